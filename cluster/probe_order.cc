#include "cluster/probe_order.h"

#include <algorithm>
#include <utility>

namespace coffer::cluster {

void ProbeOrder::Add(const NodeId& id) {
  const std::size_t at = random_.Below(ids_.size() + 1);
  ids_.insert(ids_.begin() + static_cast<std::ptrdiff_t>(at), id);
  if (at < next_) ++next_;
}

void ProbeOrder::Remove(const NodeId& id) {
  const auto it = std::find(ids_.begin(), ids_.end(), id);
  if (it == ids_.end()) return;
  if (static_cast<std::size_t>(it - ids_.begin()) < next_) --next_;
  ids_.erase(it);
}

NodeId ProbeOrder::Next() {
  if (ids_.empty()) return {};
  if (next_ >= ids_.size()) {
    for (std::size_t i = ids_.size() - 1; i > 0; --i) std::swap(ids_[i], ids_[random_.Below(i + 1)]);
    next_ = 0;
  }
  return ids_[next_++];
}

}  // namespace coffer::cluster
