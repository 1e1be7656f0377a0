#include "cluster/gossip_queue.h"

#include <algorithm>
#include <iterator>

#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

// Two accusations of the same incarnation add up; anything else replaces.
bool StandSideBySide(const MemberRecord& a, const MemberRecord& b) {
  return a.state == Liveness::kSuspect && b.state == Liveness::kSuspect && a.incarnation == b.incarnation && a.boot() == b.boot();
}

}  // namespace

void GossipQueue::Put(const NodeId& id, const MemberRecord& record, const NodeId& accuser) {
  const Key key{id, record.state == Liveness::kSuspect ? accuser : NodeId{}};
  for (auto it = by_member_.lower_bound(Key{id, NodeId{}}); it != by_member_.end() && items_[*it].news.id == id;) {
    const Slot slot = *it;
    const Key next{id, items_[slot].news.accuser};
    const bool stays = KeyOf(slot) != key && StandSideBySide(items_[slot].news.record, record);
    if (!stays) Erase(slot);
    it = by_member_.upper_bound(next);
  }
  if (size() >= capacity_) {
    Erase(by_rank_.rbegin()->second);
    ++dropped_;
  }
  Slot slot = static_cast<Slot>(items_.size());
  if (free_.empty()) {
    items_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  items_[slot] = {{id, record, key.second}, next_age_--};
  by_member_.insert(slot);
  by_rank_.emplace(items_[slot].rank, slot);
}

bool GossipQueue::Contains(const NodeId& id) const {
  const auto it = by_member_.lower_bound(Key{id, NodeId{}});
  return it != by_member_.end() && items_[*it].news.id == id;
}

void GossipQueue::Remove(const NodeId& id) {
  for (;;) {
    const auto it = by_member_.lower_bound(Key{id, NodeId{}});
    if (it == by_member_.end() || items_[*it].news.id != id) return;
    Erase(*it);
  }
}

std::vector<MemberNews> GossipQueue::Take(std::size_t max, int limit) {
  const std::size_t count = std::min(max, size());
  std::vector<Slot> chosen;
  chosen.reserve(count);
  const auto end = std::next(by_rank_.begin(), static_cast<std::ptrdiff_t>(count));
  for (auto it = by_rank_.begin(); it != end; ++it) chosen.push_back(it->second);
  by_rank_.erase(by_rank_.begin(), end);
  std::vector<MemberNews> updates;
  updates.reserve(count);
  for (const Slot slot : chosen) {
    Item& item = items_[slot];
    updates.push_back(item.news);
    item.rank += std::uint64_t{1} << kAgeBits;
    if (item.rank >> kAgeBits < static_cast<std::uint64_t>(limit)) {
      by_rank_.emplace(item.rank, slot);
    } else {
      RULE("M8 told often enough");
      Erase(slot);
    }
  }
  return updates;
}

void GossipQueue::Erase(Slot slot) {
  by_member_.erase(by_member_.find(slot));
  by_rank_.erase({items_[slot].rank, slot});
  items_[slot] = {};
  free_.push_back(slot);
  if (!empty() || items_.size() <= kKept) return;
  items_ = {};
  free_ = {};
}

}  // namespace coffer::cluster
