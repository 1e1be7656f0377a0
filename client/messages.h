// Typed calls for the methods that Client has no words of its own for (the Cluster service): include the .pb.h you
// need.
#pragma once

#include <string>

#include "client/client.h"

namespace coffer::client {

// Calls a unary method and waits. A response that does not parse is INTERNAL.
template <class Response, class Request>
Result<Response> CallAndWait(Client& client, const std::string& method, const Request& request, Effect effect,
                             const CallOptions& options = {}) {
  Result<std::string> raw = client.Call(method, request.SerializeAsString(), effect, options).Take();
  if (!raw.ok()) return raw.status;
  Response response;
  if (!response.ParseFromString(raw.value)) {
    return Status::Failed(Code::kInternal, "the router's answer to " + method + " can't be parsed", "BAD_ANSWER");
  }
  return response;
}

}  // namespace coffer::client
