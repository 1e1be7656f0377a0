#include "router/core/chain_ends.h"

#include <utility>

namespace coffer::router {

std::optional<ChainEnds::End> ChainEnds::Find(const Key& key) {
  const auto it = ends_.find(key);
  if (it == ends_.end()) return std::nullopt;
  ++asked_;
  uses_.splice(uses_.end(), uses_, it->second.use);
  return it->second.end;
}

void ChainEnds::Keep(const Key& key, End end) {
  if (const auto it = ends_.find(key); it != ends_.end()) Drop(it);
  const std::uint64_t cost = Cost(end);
  if (cost > most_) return;
  while (bytes_ + cost > most_) Drop(ends_.find(uses_.front()));
  bytes_ += cost;
  ends_[key] = {std::move(end), uses_.insert(uses_.end(), key)};
}

void ChainEnds::RemoveZone(const ZoneId& zone) {
  auto it = ends_.lower_bound({zone, {}, 0});
  while (it != ends_.end() && it->first.zone == zone) it = Drop(it);
}

void ChainEnds::Clear() {
  ends_.clear();
  uses_.clear();
  bytes_ = 0;
}

std::map<ChainEnds::Key, ChainEnds::Kept>::iterator ChainEnds::Drop(std::map<Key, Kept>::iterator at) {
  bytes_ -= Cost(at->second.end);
  uses_.erase(at->second.use);
  return ends_.erase(at);
}

}  // namespace coffer::router
