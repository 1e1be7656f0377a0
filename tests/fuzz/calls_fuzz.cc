// Frames of the public stream, as any gRPC client may send them.
#include <utility>

#include "fuzz_target.h"
#include "router/core/methods.h"
#include "router/core/validate.h"
#include "router/front_frame.h"

using namespace coffer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const std::size_t slice_bytes = 1 + choices.Byte() * 16u;
  const std::string_view bytes = choices.Rest();
  std::vector<grpc::Slice> slices;
  for (std::size_t at = 0; at < bytes.size(); at += slice_bytes) {
    const std::string_view part = bytes.substr(at, slice_bytes);
    slices.emplace_back(part.data(), part.size());
  }
  grpc::ByteBuffer frame(slices.data(), slices.size());
  std::vector<router::StreamCall> calls;
  if (!router::DecodeCalls(&frame, 64, &calls)) return 0;
  fuzz::Require(calls.size() <= 64, "no more calls than the bound");
  for (router::StreamCall& call : calls) {
    const auto method = router::FindMethod(call.method);
    if (!method) continue;
    if (const auto request = router::ParseRequest(*method, std::move(call.request))) router::Validate(*request, 4u << 20);
  }
  return 0;
}
