// When each peer that can't be talked to is tried again, a bounded number at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cluster/due_times.h"
#include "cluster/ids.h"

namespace coffer::cluster {

// Single-threaded.
class RetrySchedule {
 public:
  // At most `batch` peers come due at once, with `gap` between batches: a thousand dead peers must not cause a storm.
  RetrySchedule(std::size_t batch, Duration gap) : batch_(batch), gap_(gap) {}

  // The peer is due at `due`, whatever was set before.
  void Set(const NodeId& id, Instant due) { due_.Set(id, due); }
  void Drop(const NodeId& id) { due_.Drop(id); }
  bool Contains(const NodeId& id) const { return due_.Contains(id); }

  // Takes those that are due out of the schedule, longest waiting first.
  std::vector<NodeId> TakeDue(Instant now) {
    std::vector<NodeId> taken;
    if (now < not_before_) return taken;
    while (taken.size() < batch_) {
      const auto id = due_.TakeDue(now);
      if (!id) break;
      taken.push_back(*id);
    }
    if (taken.size() == batch_) not_before_ = now + gap_;
    return taken;
  }
  Instant NextDue() const { return due_.Next() == kNever ? kNever : std::max(due_.Next(), not_before_); }

 private:
  std::size_t batch_;
  Duration gap_;
  DueTimes due_;
  Instant not_before_{};
};

}  // namespace coffer::cluster
