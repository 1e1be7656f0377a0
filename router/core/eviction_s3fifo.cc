// S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue that new keys must
// survive, a main queue, and ghosts that remember what left the small one too early.
#include <algorithm>

#include "router/core/entry_list.h"
#include "router/core/eviction_policies.h"
#include "router/core/ghost_list.h"

namespace coffer::router {
namespace {

class S3Fifo final : public EvictionPolicy {
 public:
  S3Fifo(std::uint64_t capacity, unsigned small_share) : small_bound_(capacity * small_share / 100) {}

  void Insert(EntryIndex entry, std::uint64_t hash, std::uint64_t cost) override {
    nodes_.Add(entry, hash, cost);
    (ghosts_.Take(hash) ? main_ : small_).PushNewest(entry);
  }
  void Touch(EntryIndex entry) override {
    EntryNode& node = nodes_[entry];
    if (node.uses < kMaxUses) ++node.uses;
  }
  void Remove(EntryIndex entry) override { (nodes_[entry].list == kSmall ? small_ : main_).Erase(entry); }
  EntryIndex Evict() override {
    while (!small_.empty() || !main_.empty()) {
      const bool from_small = !small_.empty() && (small_.cost() > small_bound_ || main_.empty());
      const EntryIndex victim = from_small ? EvictFromSmall() : EvictFromMain();
      if (victim != kNoEntry) return victim;
    }
    return kNoEntry;
  }
  std::vector<HeldEntry> Order() const override {
    std::vector<HeldEntry> order;
    small_.AppendTo(&order);
    main_.AppendTo(&order);
    return order;
  }
  // What would have gone first has to survive the small queue.
  void TakeOver(const std::vector<HeldEntry>& order) override {
    for (const HeldEntry& held : order) {
      nodes_.Add(held.entry, held.hash, held.cost);
      (small_.cost() < small_bound_ ? small_ : main_).PushNewest(held.entry);
    }
  }
  std::uint64_t memory_bytes() const override { return nodes_.memory_bytes() + ghosts_.memory_bytes(); }
  std::string_view deciding() const override { return Name(EvictionKind::kS3Fifo); }

 private:
  static constexpr std::uint8_t kSmall = 1, kMain = 2;
  static constexpr std::uint8_t kMaxUses = 3;
  static constexpr std::uint8_t kUsesToStay = 2;

  // kNoEntry when the oldest was used meanwhile and moved to the main queue.
  EntryIndex EvictFromSmall() {
    const EntryIndex oldest = small_.oldest();
    small_.Erase(oldest);
    EntryNode& node = nodes_[oldest];
    if (node.uses >= kUsesToStay) {
      node.uses = 0;
      main_.PushNewest(oldest);
      return kNoEntry;
    }
    // As many ghosts as the main queue holds entries, as in the paper.
    ghosts_.Put(node.hash, (small_.size() + main_.size()) * 9 / 10);
    return oldest;
  }
  // kNoEntry when the oldest was used meanwhile and gets another round.
  EntryIndex EvictFromMain() {
    const EntryIndex oldest = main_.oldest();
    if (nodes_[oldest].uses > 0) {
      --nodes_[oldest].uses;
      main_.MoveToNewest(oldest);
      return kNoEntry;
    }
    main_.Erase(oldest);
    return oldest;
  }

  const std::uint64_t small_bound_;
  EntryNodes nodes_;
  EntryList small_{&nodes_, kSmall}, main_{&nodes_, kMain};
  GhostList ghosts_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeS3Fifo(std::uint64_t capacity, unsigned small_share) {
  return std::make_unique<S3Fifo>(capacity, small_share);
}

}  // namespace coffer::router
