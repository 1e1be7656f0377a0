// W-TinyLFU (Einziger, Friedman, Manes 2017): new keys live in a small window by recency; what leaves it stays only if it is
// used more often than what it would replace in the main part, which is a segmented LRU.
#include <algorithm>

#include "router/core/entry_list.h"
#include "router/core/eviction_policies.h"
#include "router/core/frequency_sketch.h"

namespace coffer::router {
namespace {

class WTinyLfu final : public EvictionPolicy {
 public:
  WTinyLfu(std::uint64_t capacity, unsigned window_share, const FrequencySketch& known)
      : capacity_(capacity),
        window_bound_(std::max<std::uint64_t>(capacity * window_share / 100, 1)),
        protected_bound_((capacity - std::min(capacity, window_bound_)) * 4 / 5),
        sketch_(known) {}

  void Insert(EntryIndex entry, std::uint64_t hash, std::uint64_t cost) override {
    nodes_.Add(entry, hash, cost);
    window_.PushNewest(entry);
    sketch_.Fit(window_.size() + probation_.size() + protected_.size());
    sketch_.Count(hash);
    // While there is room, nobody has to compete.
    while (window_.cost() > window_bound_ && Cost() <= capacity_) Move(window_.oldest(), &window_, &probation_);
  }
  void Touch(EntryIndex entry) override {
    const EntryNode& node = nodes_[entry];
    sketch_.Count(node.hash);
    switch (node.list) {
      case kWindow: return window_.MoveToNewest(entry);
      case kProtected: return protected_.MoveToNewest(entry);
      default: Move(entry, &probation_, &protected_);
    }
    while (protected_.cost() > protected_bound_) Move(protected_.oldest(), &protected_, &probation_);
  }
  void Remove(EntryIndex entry) override { ListOf(entry).Erase(entry); }
  EntryIndex Evict() override {
    const EntryIndex victim = !probation_.empty() ? probation_.oldest() : protected_.oldest();
    EntryIndex loser = victim;
    if (victim == kNoEntry) loser = window_.oldest();
    if (victim != kNoEntry && window_.cost() > window_bound_) {
      const EntryIndex candidate = window_.oldest();
      if (sketch_.Estimate(nodes_[candidate].hash) > sketch_.Estimate(nodes_[victim].hash)) {
        Move(candidate, &window_, &probation_);
      } else {
        loser = candidate;
      }
    }
    if (loser != kNoEntry) ListOf(loser).Erase(loser);
    return loser;
  }
  std::vector<HeldEntry> Order() const override {
    std::vector<HeldEntry> order;
    probation_.AppendTo(&order);
    protected_.AppendTo(&order);
    window_.AppendTo(&order);
    return order;
  }
  // In the order of Order: what would have gone first to probation, what would have gone last to the window.
  void TakeOver(const std::vector<HeldEntry>& order) override {
    std::uint64_t rest = 0;
    for (const HeldEntry& held : order) rest += held.cost;
    for (const HeldEntry& held : order) {
      nodes_.Add(held.entry, held.hash, held.cost);
      EntryList& list = rest <= window_bound_ ? window_ : rest <= window_bound_ + protected_bound_ ? protected_ : probation_;
      list.PushNewest(held.entry);
      rest -= held.cost;
    }
    sketch_.Fit(order.size());
  }
  std::uint64_t memory_bytes() const override { return nodes_.memory_bytes() + sketch_.memory_bytes(); }
  std::string_view deciding() const override { return Name(EvictionKind::kWTinyLfu); }

 private:
  static constexpr std::uint8_t kWindow = 1, kProbation = 2, kProtected = 3;

  std::uint64_t Cost() const { return window_.cost() + probation_.cost() + protected_.cost(); }
  EntryList& ListOf(EntryIndex entry) {
    switch (nodes_[entry].list) {
      case kWindow: return window_;
      case kProbation: return probation_;
      default: return protected_;
    }
  }
  static void Move(EntryIndex entry, EntryList* from, EntryList* to) {
    from->Erase(entry);
    to->PushNewest(entry);
  }

  const std::uint64_t capacity_, window_bound_, protected_bound_;
  EntryNodes nodes_;
  EntryList window_{&nodes_, kWindow}, probation_{&nodes_, kProbation}, protected_{&nodes_, kProtected};
  FrequencySketch sketch_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeWTinyLfu(std::uint64_t capacity, unsigned window_share, const FrequencySketch& known) {
  return std::make_unique<WTinyLfu>(capacity, window_share, known);
}

}  // namespace coffer::router
