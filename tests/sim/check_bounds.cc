#include "sim/check_bounds.h"

namespace coffer::sim {

std::optional<std::string> WhyTooFull(const std::string& process, const QueueFill& fill) {
  if (fill.size <= fill.most) return std::nullopt;
  return process + " holds " + std::to_string(fill.size) + " " + fill.what + "; the bound is " + std::to_string(fill.most) + " (I18)";
}

std::optional<std::string> WhyTooFull(const SimCluster& cluster) {
  std::optional<std::string> why;
  const auto look = [&why](const auto& process) {
    if (why || !process.core) return;
    process.core->VisitQueues([&](const QueueFill& fill) {
      if (!why) why = WhyTooFull(process.name, fill);
    });
  };
  for (std::size_t i = 0; i < cluster.size(); ++i) look(cluster.node(i));
  for (std::size_t r = 0; r < cluster.routers(); ++r) look(cluster.router(kFirstRouter + r));
  return why;
}

}  // namespace coffer::sim
