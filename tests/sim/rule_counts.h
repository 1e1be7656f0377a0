// How often the branches marked with RULE were taken in this process; 0: never.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cluster/rule_mark.h"

namespace coffer::sim {

inline std::map<std::string, std::uint64_t> RuleCounts() {
  std::map<std::string, std::uint64_t> counts;
  for (const RuleMark* mark = RuleMark::first; mark; mark = mark->next) counts[mark->rule] += mark->count;
  return counts;
}

}  // namespace coffer::sim
