// Public requests: parsed and judged, nothing else.
#include "fuzz_target.h"
#include "router/core/methods.h"
#include "router/core/validate.h"

using namespace coffer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const auto method = static_cast<router::Method>(choices.Byte() % router::kMethodNames.size());
  const std::string_view bytes = choices.Rest();
  if (const auto request = router::ParseRequest(method, std::string(bytes))) {
    fuzz::Require(router::MethodOf(*request) == method, "a request of the method that was named");
    fuzz::Require(router::Validate(*request, 4u << 20).size() <= router::kMaxViolations, "violations are bounded");
  }
  // No token is the first page.
  if (const auto name = router::FromPageToken(bytes); name && !bytes.empty()) {
    fuzz::Require(router::PageToken(*name) == bytes, "a page token has one form");
  }
  router::IsZoneName(bytes);
  return 0;
}
