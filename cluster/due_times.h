// When each of many is due, the earliest first, without a look at the others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "cluster/id_map.h"
#include "cluster/ids.h"

namespace coffer::cluster {

// Single-threaded. Equal times: by id.
class DueTimes {
 public:
  // Due at `due`, whatever was set before.
  void Set(const NodeId& id, Instant due) {
    due_[id] = due;
    heap_.emplace_back(due, id);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    Tidy();
  }
  void Drop(const NodeId& id) {
    if (due_.erase(id) != 0) Tidy();
  }
  void Clear() {
    due_.clear();
    heap_.clear();
  }
  bool Contains(const NodeId& id) const { return due_.contains(id); }
  Instant Next() const { return heap_.empty() ? kNever : heap_.front().first; }
  // Takes out the earliest of those that are due.
  std::optional<NodeId> TakeDue(Instant now) {
    if (heap_.empty() || heap_.front().first > now) return std::nullopt;
    const NodeId id = heap_.front().second;
    Drop(id);
    return id;
  }

 private:
  bool IsStale(const std::pair<Instant, NodeId>& entry) const {
    const auto it = due_.find(entry.second);
    return it == due_.end() || it->second != entry.first;
  }
  // Times that were set anew or dropped leave the heap when they come to its top, or when they are most of it.
  void Tidy() {
    if (heap_.size() > 2 * due_.size() + 16) {
      heap_.clear();
      for (const auto& [id, due] : due_) heap_.emplace_back(due, id);
      std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
    while (!heap_.empty() && IsStale(heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
    }
  }

  IdMap<Instant> due_;
  std::vector<std::pair<Instant, NodeId>> heap_;  // with all of `due_`, and some that are no more true; its top is true
};

}  // namespace coffer::cluster
