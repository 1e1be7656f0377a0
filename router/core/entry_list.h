// Doubly linked lists of entries through one table: an entry is in at most one list, and moving it allocates nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "router/core/eviction.h"

namespace coffer::router {

// What a policy keeps of an entry.
struct EntryNode {
  std::uint64_t hash = 0;
  std::uint32_t cost = 0;
  EntryIndex newer = kNoEntry;
  EntryIndex older = kNoEntry;
  std::uint8_t list = 0;  // which list of the policy; 0: none
  std::uint8_t uses = 0;  // since it came, saturating; what it means is the policy's
};

// Nodes by entry. Grows with the owner's table.
class EntryNodes {
 public:
  EntryNode& operator[](EntryIndex entry) { return nodes_[entry]; }
  const EntryNode& operator[](EntryIndex entry) const { return nodes_[entry]; }
  bool Holds(EntryIndex entry) const { return entry < nodes_.size() && nodes_[entry].list != 0; }
  EntryNode& Add(EntryIndex entry, std::uint64_t hash, std::uint64_t cost) {
    if (entry >= nodes_.size()) nodes_.resize(entry + 1);
    nodes_[entry] = {.hash = hash, .cost = static_cast<std::uint32_t>(cost)};
    return nodes_[entry];
  }
  std::uint64_t memory_bytes() const { return nodes_.capacity() * sizeof(EntryNode); }

 private:
  std::vector<EntryNode> nodes_;
};

// One list, newest to oldest. All lists of a policy share its nodes; `tag` tells them apart and is not 0.
class EntryList {
 public:
  EntryList(EntryNodes* nodes, std::uint8_t tag) : nodes_(nodes), tag_(tag) {}

  void PushNewest(EntryIndex entry) {
    EntryNode& node = (*nodes_)[entry];
    node.list = tag_;
    node.newer = kNoEntry;
    node.older = newest_;
    (newest_ == kNoEntry ? oldest_ : (*nodes_)[newest_].newer) = entry;
    newest_ = entry;
    cost_ += node.cost;
    ++size_;
  }
  void Erase(EntryIndex entry) {
    EntryNode& node = (*nodes_)[entry];
    (node.newer == kNoEntry ? newest_ : (*nodes_)[node.newer].older) = node.older;
    (node.older == kNoEntry ? oldest_ : (*nodes_)[node.older].newer) = node.newer;
    node.list = 0;
    cost_ -= node.cost;
    --size_;
  }
  void MoveToNewest(EntryIndex entry) {
    Erase(entry);
    PushNewest(entry);
  }
  // Oldest first.
  void AppendTo(std::vector<HeldEntry>* out) const {
    for (EntryIndex entry = oldest_; entry != kNoEntry; entry = (*nodes_)[entry].newer) {
      out->push_back({entry, (*nodes_)[entry].hash, (*nodes_)[entry].cost});
    }
  }

  EntryIndex oldest() const { return oldest_; }
  bool empty() const { return oldest_ == kNoEntry; }
  std::uint64_t cost() const { return cost_; }
  std::size_t size() const { return size_; }

 private:
  EntryNodes* nodes_;
  std::uint8_t tag_;
  EntryIndex newest_ = kNoEntry;
  EntryIndex oldest_ = kNoEntry;
  std::uint64_t cost_ = 0;
  std::size_t size_ = 0;
};

}  // namespace coffer::router
