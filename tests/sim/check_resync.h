// Checks what a node reports of its resync: within one plan and one start it never runs backwards (S11).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/sim_cluster.h"

namespace coffer::sim {

class ResyncChecker {
 public:
  std::optional<std::string> Look(const SimCluster& cluster, std::size_t node);

 private:
  struct Seen {
    std::uint64_t life = 0;
    std::uint64_t plan = 0;
    std::uint64_t blocks_done = 0;
  };
  std::map<std::size_t, Seen> seen_;
};

}  // namespace coffer::sim
