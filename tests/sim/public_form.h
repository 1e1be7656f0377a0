// The routers' public requests and answers in the form that nodes are asked in, so that one client can do either.
#pragma once

#include <string>
#include <vector>

#include "sim/public_caller.h"

namespace coffer::sim {

// What a node would be asked, as a call on a zone of a router.
PublicCall ToPublic(const std::string& zone, const wire::DataRequest& request, const std::vector<Payload>& bodies);
// The answer as a node would have put it: status, bodies, head, presence. False: it can't be read.
bool FromPublic(const wire::DataRequest& request, const PublicAnswer& answer, wire::DataResponse* response, std::vector<Payload>* bodies);

}  // namespace coffer::sim
