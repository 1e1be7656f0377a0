#include "node/cofferd/quiet_watch.h"

#include <ctime>

namespace coffer::server {

bool QuietWatch::BecameQuiet(Instant now, Duration processor) {
  const Duration wall = now - last_;
  if (wall < std::chrono::seconds(1)) return false;
  const bool quiet = last_ != Instant{} && 20 * (processor - used_) < wall;
  last_ = now;
  used_ = processor;
  if (quiet == !busy_) return false;
  busy_ = !quiet;
  return quiet;
}

QuietWatch::Duration ProcessorTime() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace coffer::server
