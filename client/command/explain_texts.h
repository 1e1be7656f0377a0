// The texts of `coffer explain`.
#pragma once

#include <string>
#include <vector>

namespace coffer::command {

struct Explanation {
  std::string code;
  std::string meaning;  // what happened, and what is safe
  std::string action;   // what to do
};

// All codes: of the status (the most urgent first), of refusals, of this program and of joining, of gRPC. The first two
// are the table of the router (router/core/codes.h), so that the words are the same everywhere. A code may occur in
// both.
const std::vector<Explanation>& Explanations();

}  // namespace coffer::command
