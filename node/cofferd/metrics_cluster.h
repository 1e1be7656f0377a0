// The cluster's status as metrics: the same facts, in the same words, as `coffer status`.
#pragma once

#include <chrono>
#include <optional>

#include "coffer/v1/cluster.pb.h"
#include "node/cofferd/metrics.h"
#include "router/api.h"

namespace coffer::server {

// For one thread.
class ClusterMetrics {
 public:
  using Clock = std::chrono::steady_clock;
  // `status` is null when none could be had.
  void Write(const v1::Status* status, Clock::time_point now, MetricsWriter* writer);

 private:
  std::optional<Clock::time_point> under_replicated_since_;  // as seen by this process
};

// Asks the api, as any client would; nothing when it does not answer OK in time.
std::optional<v1::Status> AskStatus(router::Api* api, std::chrono::milliseconds patience);

}  // namespace coffer::server
