// The generated services, with every method handed on as bytes. Generated raw handlers keep reflection working.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>
#include <vector>

#include "router/front_state.h"

namespace coffer::router {

// All services of coffer.v1; they and `state` must outlive the server.
std::vector<std::unique_ptr<grpc::Service>> MakeServices(FrontState* state);
// Their full names, for health.
std::vector<std::string> ServiceNames();

}  // namespace coffer::router
