// Which call goes where: every service of the public port, by the names of their methods.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "router/front_state.h"

namespace coffer::router {

// A call of any method, on the thread that polls; it ends by itself. `state` must outlive it.
void Serve(FrontState* state, std::unique_ptr<link::IncomingCall> call);

// Full names of the services of coffer.v1, for health.
std::vector<std::string> ServiceNames();
// And of all that answer here.
std::vector<std::string> ReflectedServices();

}  // namespace coffer::router
