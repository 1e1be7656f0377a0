// What a running node and a running router have counted.
#pragma once

#include "cluster/layout.h"
#include "node/cofferd/metrics.h"

namespace coffer::node {
struct NodeMetrics;
}
namespace coffer::router {
struct RouterMetrics;
}

namespace coffer::server {

void WriteNodeMetrics(const node::NodeMetrics& metrics, MetricsWriter* writer);
// What the layout gives the node to hold.
void WriteNodePartitions(const cluster::Layout& layout, const NodeId& self, MetricsWriter* writer);
void WriteRouterMetrics(const router::RouterMetrics& metrics, MetricsWriter* writer);

}  // namespace coffer::server
