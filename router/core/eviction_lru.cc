// Least recently used.
#include "router/core/entry_list.h"
#include "router/core/eviction_policies.h"

namespace coffer::router {
namespace {

class Lru final : public EvictionPolicy {
 public:
  void Insert(EntryIndex entry, std::uint64_t hash, std::uint64_t cost) override {
    nodes_.Add(entry, hash, cost);
    order_.PushNewest(entry);
  }
  void Touch(EntryIndex entry) override { order_.MoveToNewest(entry); }
  void Remove(EntryIndex entry) override { order_.Erase(entry); }
  EntryIndex Evict() override {
    const EntryIndex oldest = order_.oldest();
    if (oldest != kNoEntry) order_.Erase(oldest);
    return oldest;
  }
  std::vector<HeldEntry> Order() const override {
    std::vector<HeldEntry> order;
    order_.AppendTo(&order);
    return order;
  }
  void TakeOver(const std::vector<HeldEntry>& order) override {
    for (const HeldEntry& held : order) Insert(held.entry, held.hash, held.cost);
  }
  std::uint64_t memory_bytes() const override { return nodes_.memory_bytes(); }
  std::string_view deciding() const override { return Name(EvictionKind::kLru); }

 private:
  EntryNodes nodes_;
  EntryList order_{&nodes_, 1};
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLru() { return std::make_unique<Lru>(); }

}  // namespace coffer::router
