// The planted bugs by name.
#pragma once

#include <string>
#include <vector>

namespace coffer::sim {

// False: there is no such bug.
bool PlantBug(const std::string& name);
std::vector<std::string> BugNames();

}  // namespace coffer::sim
