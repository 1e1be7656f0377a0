// Whom to probe next: round-robin over a list that is shuffled anew after every round, so that each member is probed within
// a bounded time, yet two members do not march in step (SWIM, section 4.3).
#pragma once

#include <cstddef>
#include <vector>

#include "cluster/ids.h"
#include "cluster/random.h"

namespace coffer::cluster {

// Single-threaded; its order is determined by its seed and the calls.
class ProbeOrder {
 public:
  explicit ProbeOrder(std::uint64_t seed) : random_(seed) {}

  // At a random place among those still to come or already done. It must not be there yet.
  void Add(const NodeId& id);
  void Remove(const NodeId& id);
  // The next one; zeros if the list is empty.
  NodeId Next();
  // One of them by a random number below size(); drawing does not change whose turn it is.
  const NodeId& At(std::size_t index) const { return ids_[index]; }
  std::size_t size() const { return ids_.size(); }

 private:
  Random random_;
  std::vector<NodeId> ids_;
  std::size_t next_ = 0;  // those before it were probed in this round
};

}  // namespace coffer::cluster
