// Checks that no queue and no buffer of a node or a router is fuller than it may be (I18).
#pragma once

#include <optional>
#include <string>

#include "cluster/queue_fill.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

std::optional<std::string> WhyTooFull(const std::string& process, const QueueFill& fill);

// Of all processes that live, the first that is too full.
std::optional<std::string> WhyTooFull(const SimCluster& cluster);

}  // namespace coffer::sim
