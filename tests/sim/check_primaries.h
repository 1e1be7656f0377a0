// Checks who answers as primary: in one term of a partition it is one node (R1, R2).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "cluster/ids.h"

namespace coffer::sim {

class PrimaryChecker {
 public:
  // `by` acknowledged a write, or answered a read that is its primary's to answer, asked of the partition in this term.
  std::optional<std::string> Answered(PartitionId partition, Term term, const NodeId& by);

 private:
  std::map<std::pair<PartitionId, Term>, NodeId> primaries_;
};

}  // namespace coffer::sim
