#include "cluster/suspicion.h"

#include <algorithm>
#include <cmath>

namespace coffer::cluster {

Suspicion::Suspicion(Instant start, const SuspicionTimes& times, int expected, const NodeId& accuser)
    : start_(start), times_(times), expected_(std::max(expected, 0)), accusers_{accuser} {}

bool Suspicion::Accuse(const NodeId& accuser) {
  if (static_cast<int>(accusers_.size()) > expected_) return false;
  if (std::find(accusers_.begin(), accusers_.end(), accuser) != accusers_.end()) return false;
  accusers_.push_back(accuser);
  return true;
}

Instant Suspicion::Deadline() const {
  Duration wait = times_.min;
  if (expected_ > 0 && times_.max > times_.min) {
    const double share = std::log(static_cast<double>(accusers_.size())) / std::log(expected_ + 1.0);
    const double range = static_cast<double>((times_.max - times_.min).count());
    wait = std::max(times_.min, times_.max - Duration(static_cast<Duration::rep>(range * share)));
  }
  if (hastened_) wait = std::min(wait, times_.refused);
  return start_ + wait;
}

}  // namespace coffer::cluster
