// The head of a request to the listener of metrics and health: whatever it is, an answer that HTTP knows.
#include <string>

#include "fuzz_target.h"
#include "node/cofferd/http_listener.h"

using namespace coffer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::map<std::string, server::HttpListener::Page> pages{{"/metrics", [] { return server::HttpResponse{200, "text/plain", "figures"}; }}};
  const std::string head(fuzz::Text(data, size));
  const server::HttpResponse answer = server::AnswerTo(head, pages);
  fuzz::Require(answer.code == 200 || answer.code == 400 || answer.code == 404 || answer.code == 405, "the code is one of those");
  fuzz::Require(answer.code != 200 || head.rfind("GET /metrics", 0) == 0, "a page is shown to who asked for it");
  fuzz::Require(!answer.body.empty(), "a refusal says why");
  return 0;
}
