// The responses of one attempt at an operation, serialised, in order. Nearly always there is one, which needs no memory besides its own.
#pragma once

#include <string>

#include "absl/container/inlined_vector.h"

namespace coffer::client {

using Responses = absl::InlinedVector<std::string, 1>;

}  // namespace coffer::client
