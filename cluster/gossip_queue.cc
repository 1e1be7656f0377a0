#include "cluster/gossip_queue.h"

#include <iterator>

#include "cluster/member_view.h"

namespace coffer::cluster {
namespace {

bool IsSuspicion(const wire::MemberUpdate& u) { return u.state() == static_cast<std::uint32_t>(Liveness::kSuspect); }

// Two accusations of the same incarnation add up; anything else replaces.
bool StandSideBySide(const wire::MemberUpdate& a, const wire::MemberUpdate& b) {
  return IsSuspicion(a) && IsSuspicion(b) && a.incarnation() == b.incarnation() && a.facts().boot() == b.facts().boot();
}

}  // namespace

void GossipQueue::Put(const NodeId& id, const wire::MemberUpdate& update) {
  const Key key{id, IsSuspicion(update) ? NodeId::Must(update.accuser()) : NodeId{}};
  for (auto it = items_.lower_bound({id, NodeId{}}); it != items_.end() && it->first.first == id;) {
    const auto next = std::next(it);
    if (it->first == key || !StandSideBySide(it->second.update, update)) Erase(it);
    it = next;
  }
  if (items_.size() >= capacity_) {
    Erase(items_.find(std::get<Key>(*order_.rbegin())));
    ++dropped_;
  }
  const auto it = items_.emplace(key, Item{update, 0, next_age_--}).first;
  order_.insert(RankOf(*it));
}

bool GossipQueue::Contains(const NodeId& id) const {
  const auto it = items_.lower_bound({id, NodeId{}});
  return it != items_.end() && it->first.first == id;
}

void GossipQueue::Remove(const NodeId& id) {
  for (auto it = items_.lower_bound({id, NodeId{}}); it != items_.end() && it->first.first == id;) Erase(it++);
}

std::vector<wire::MemberUpdate> GossipQueue::Take(std::size_t max, int limit) {
  std::vector<Items::iterator> chosen;
  for (const Rank& rank : order_) {
    if (chosen.size() == max) break;
    chosen.push_back(items_.find(std::get<Key>(rank)));
  }
  std::vector<wire::MemberUpdate> updates;
  updates.reserve(chosen.size());
  for (const auto it : chosen) {
    updates.push_back(it->second.update);
    order_.erase(RankOf(*it));
    if (++it->second.transmissions >= limit) {
      items_.erase(it);
    } else {
      order_.insert(RankOf(*it));
    }
  }
  return updates;
}

void GossipQueue::Erase(Items::iterator it) {
  order_.erase(RankOf(*it));
  items_.erase(it);
}

}  // namespace coffer::cluster
