// "Did you mean ...?"
#pragma once

#include <string>
#include <vector>

namespace coffer::command {

// The candidate that differs least from a mistyped word; empty when none is near.
std::string Closest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace coffer::command
