// News that travels on the back of probes: what was sent least often goes first, and each item only a few times.
#pragma once

#include <absl/container/btree_set.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cluster/ids.h"
#include "cluster/member_record.h"

namespace coffer::cluster {

// A bounded queue of member updates. Newer news of a member replaces older; several accusations of one incarnation stand side
// by side, because each counts. Single-threaded.
class GossipQueue {
 public:
  explicit GossipQueue(std::size_t capacity) : capacity_(capacity), by_member_(Less{this}) {}
  GossipQueue(const GossipQueue&) = delete;
  GossipQueue& operator=(const GossipQueue&) = delete;

  // Queues news of a member, with no transmissions yet; the accuser matters for a suspicion only. If full, what was sent most
  // often is dropped and counted.
  void Put(const NodeId& id, const MemberRecord& record, const NodeId& accuser);
  bool Contains(const NodeId& id) const;
  void Remove(const NodeId& id);
  // Up to `max` updates for one message, fewest transmissions first, then newest first. Each leaves the queue at its
  // `limit`-th transmission.
  std::vector<MemberNews> Take(std::size_t max, int limit);

  bool empty() const { return by_member_.empty(); }
  std::size_t size() const { return by_member_.size(); }
  std::uint64_t dropped() const { return dropped_; }

 private:
  using Slot = std::uint32_t;                   // index into items_
  using Key = std::pair<NodeId, NodeId>;        // member, accuser (zeros: no suspicion)
  using Rank = std::pair<std::uint64_t, Slot>;  // transmissions above age, so that the least is the next to be told; of which item
  struct Item {
    MemberNews news;
    std::uint64_t rank = 0;
  };
  struct Less {
    using is_transparent = void;
    const GossipQueue* queue;
    Key Of(Slot slot) const { return queue->KeyOf(slot); }
    const Key& Of(const Key& key) const { return key; }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const { return Of(a) < Of(b); }
  };
  static constexpr int kAgeBits = 48;
  static constexpr std::size_t kKept = 64;  // items whose room is kept when all is told

  Key KeyOf(Slot slot) const { return {items_[slot].news.id, items_[slot].news.accuser}; }
  void Erase(Slot slot);

  std::size_t capacity_;
  std::vector<Item> items_;
  std::vector<Slot> free_;                 // of items_
  absl::btree_set<Slot, Less> by_member_;  // all but the free, by Key
  absl::btree_set<Rank> by_rank_;          // the same, but in Take
  std::uint64_t next_age_ = (std::uint64_t{1} << kAgeBits) - 1;  // falls with every Put, so that the newest is the smallest
  std::uint64_t dropped_ = 0;
};

}  // namespace coffer::cluster
