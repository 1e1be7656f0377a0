#include "sim/check_primaries.h"

namespace coffer::sim {

std::optional<std::string> PrimaryChecker::Answered(PartitionId partition, Term term, const NodeId& by) {
  const auto [primary, first] = primaries_.emplace(std::pair(partition, term), by);
  if (first || primary->second == by) return std::nullopt;
  return "partition " + std::to_string(partition) + " has two primaries in term " + std::to_string(term.value) + ": " + Hex(primary->second.view()) +
         " and " + Hex(by.view()) + " answered (R1)";
}

}  // namespace coffer::sim
