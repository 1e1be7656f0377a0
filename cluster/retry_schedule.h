// When each peer that can't be talked to is tried again, a bounded number at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "cluster/ids.h"

namespace coffer::cluster {

// Single-threaded.
class RetrySchedule {
 public:
  // At most `batch` peers come due at once, with `gap` between batches: a thousand dead peers must not cause a storm.
  RetrySchedule(std::size_t batch, Duration gap) : batch_(batch), gap_(gap) {}

  // The peer is due at `due`, whatever was set before.
  void Set(const NodeId& id, Instant due) {
    Drop(id);
    due_[id] = due;
    order_.insert({due, id});
  }
  void Drop(const NodeId& id) {
    const auto it = due_.find(id);
    if (it == due_.end()) return;
    order_.erase({it->second, id});
    due_.erase(it);
  }
  bool Contains(const NodeId& id) const { return due_.count(id) != 0; }

  // Takes those that are due out of the schedule, longest waiting first.
  std::vector<NodeId> TakeDue(Instant now) {
    std::vector<NodeId> taken;
    if (now < not_before_) return taken;
    while (taken.size() < batch_ && !order_.empty() && order_.begin()->first <= now) {
      taken.push_back(order_.begin()->second);
      Drop(taken.back());
    }
    if (taken.size() == batch_) not_before_ = now + gap_;
    return taken;
  }
  Instant NextDue() const { return order_.empty() ? kNever : std::max(order_.begin()->first, not_before_); }

 private:
  std::size_t batch_;
  Duration gap_;
  std::map<NodeId, Instant> due_;
  std::set<std::pair<Instant, NodeId>> order_;  // the same, by time
  Instant not_before_{};
};

}  // namespace coffer::cluster
