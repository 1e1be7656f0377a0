// News that travels on the back of probes: what was sent least often goes first, and each item only a few times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"

namespace coffer::cluster {

// A bounded queue of member updates. Newer news of a member replaces older; several accusations of one incarnation stand side
// by side, because each counts. Single-threaded.
class GossipQueue {
 public:
  explicit GossipQueue(std::size_t capacity) : capacity_(capacity) {}

  // Queues an update that passed ReadUpdate, with no transmissions yet. If full, what was sent most often is dropped and
  // counted.
  void Put(const NodeId& id, const wire::MemberUpdate& update);
  bool Contains(const NodeId& id) const;
  void Remove(const NodeId& id);
  // Up to `max` updates for one message, fewest transmissions first, then newest first. Each leaves the queue at its
  // `limit`-th transmission.
  std::vector<wire::MemberUpdate> Take(std::size_t max, int limit);

  bool empty() const { return items_.empty(); }
  std::size_t size() const { return items_.size(); }
  std::uint64_t dropped() const { return dropped_; }

 private:
  using Key = std::pair<NodeId, NodeId>;  // member, accuser (zeros: no suspicion)
  struct Item {
    wire::MemberUpdate update;
    int transmissions = 0;
    std::uint64_t age = 0;  // falls with every Put, so that the newest is the smallest
  };
  using Rank = std::tuple<int, std::uint64_t, Key>;
  using Items = std::map<Key, Item>;

  static Rank RankOf(const Items::value_type& item) { return {item.second.transmissions, item.second.age, item.first}; }
  void Erase(Items::iterator it);

  std::size_t capacity_;
  Items items_;
  std::set<Rank> order_;  // one per item
  std::uint64_t next_age_ = ~std::uint64_t{0};
  std::uint64_t dropped_ = 0;
};

}  // namespace coffer::cluster
