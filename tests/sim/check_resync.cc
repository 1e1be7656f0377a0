#include "sim/check_resync.h"

namespace coffer::sim {

std::optional<std::string> ResyncChecker::Look(const SimCluster& cluster, std::size_t node) {
  const SimNode& n = cluster.node(node);
  if (!n.core) return std::nullopt;
  const auto report = n.core->Report(cluster.now()).resync();
  Seen& seen = seen_[node];
  const Seen now{n.life, report.plan(), report.blocks_done()};
  const Seen before = std::exchange(seen, now);
  if (before.life == now.life && before.plan == now.plan && now.blocks_done < before.blocks_done) {
    return "the resync of " + n.name + " ran backwards: " + std::to_string(before.blocks_done) + " blocks done, then " +
           std::to_string(now.blocks_done);
  }
  return std::nullopt;
}

}  // namespace coffer::sim
