// The process itself, under the names every Prometheus client uses.
#pragma once

#include "node/cofferd/metrics.h"

namespace coffer::server {

void WriteProcessMetrics(const std::string& version, MetricsWriter* writer);

}  // namespace coffer::server
