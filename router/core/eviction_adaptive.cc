// Lets the other policies compete on a sample of the keys, and works as the one that would have found most of late.
//
// Each contender runs on the same sample: keys whose hash falls into one part in 2^n, in a cache of as small a part of the
// capacity (as miniature simulations: Waldspurger et al., "Cache Modeling and Optimization using Miniature Simulations",
// USENIX ATC 2017). A sample holds no values, so a contender costs a few tens of kilobytes whatever the capacity. A change of
// policy moves no value either: the new one takes the entries over in the order of the old.
#include <algorithm>
#include <array>
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "router/core/entry_list.h"
#include "router/core/eviction_policies.h"

namespace coffer::router {
namespace {

struct Contender {
  std::string_view name;
  std::unique_ptr<EvictionPolicy> (*make)(std::uint64_t capacity, const FrequencySketch& known);
};

// The first is the one to begin with.
constexpr std::array<Contender, 4> kContenders = {{
    {"s3-fifo", [](std::uint64_t capacity, const FrequencySketch&) { return MakeS3Fifo(capacity, 10); }},
    {"lru", [](std::uint64_t, const FrequencySketch&) { return MakeLru(); }},
    {"w-tinylfu 1%", [](std::uint64_t capacity, const FrequencySketch& known) { return MakeWTinyLfu(capacity, 1, known); }},
    {"w-tinylfu 20%", [](std::uint64_t capacity, const FrequencySketch& known) { return MakeWTinyLfu(capacity, 20, known); }},
}};

// One contender's cache of the sampled keys: no values, only which of them it would hold.
class Sample {
 public:
  Sample(const Contender& contender, std::uint64_t capacity) : capacity_(capacity), policy_(contender.make(capacity, {})) {}

  // One use of a key; whether it was held.
  bool Use(std::uint64_t hash, std::uint64_t cost) {
    if (const auto it = places_.find(hash); it != places_.end()) {
      policy_->Touch(it->second);
      return true;
    }
    if (cost > capacity_) return false;
    const EntryIndex entry = TakePlace();
    held_[entry] = {hash, cost};
    places_[hash] = entry;
    cost_ += cost;
    policy_->Insert(entry, hash, cost);
    while (cost_ > capacity_) Free(policy_->Evict());
    return false;
  }
  void Remove(std::uint64_t hash) {
    const auto it = places_.find(hash);
    if (it == places_.end()) return;
    const EntryIndex entry = it->second;
    policy_->Remove(entry);
    Free(entry);
  }
  std::size_t size() const { return places_.size(); }
  std::uint64_t memory_bytes() const {
    return policy_->memory_bytes() + held_.capacity() * sizeof(Held) + free_.capacity() * sizeof(EntryIndex) +
           places_.capacity() * (sizeof(std::pair<std::uint64_t, EntryIndex>) + 1);
  }

 private:
  struct Held {
    std::uint64_t hash;
    std::uint64_t cost;
  };
  EntryIndex TakePlace() {
    if (free_.empty()) {
      held_.emplace_back();
      return static_cast<EntryIndex>(held_.size() - 1);
    }
    const EntryIndex entry = free_.back();
    free_.pop_back();
    return entry;
  }
  void Free(EntryIndex entry) {
    cost_ -= held_[entry].cost;
    places_.erase(held_[entry].hash);
    free_.push_back(entry);
  }

  const std::uint64_t capacity_;
  std::uint64_t cost_ = 0;
  std::unique_ptr<EvictionPolicy> policy_;
  absl::flat_hash_map<std::uint64_t, EntryIndex> places_;  // never iterated
  std::vector<Held> held_;
  std::vector<EntryIndex> free_;
};

class Adaptive final : public EvictionPolicy {
 public:
  explicit Adaptive(std::uint64_t capacity) : capacity_(capacity), policy_(kContenders[0].make(capacity, sketch_)) {}

  void Insert(EntryIndex entry, std::uint64_t hash, std::uint64_t cost) override {
    nodes_.Add(entry, hash, cost);
    ++held_;
    sketch_.Fit(held_);
    sketch_.Count(hash);
    Observe(hash, cost, /*found=*/false);
    policy_->Insert(entry, hash, cost);
  }
  void Touch(EntryIndex entry) override {
    sketch_.Count(nodes_[entry].hash);
    Observe(nodes_[entry].hash, nodes_[entry].cost, /*found=*/true);
    policy_->Touch(entry);
  }
  void Remove(EntryIndex entry) override {
    if (IsSampled(nodes_[entry].hash)) {
      for (Sample& sample : samples_) sample.Remove(nodes_[entry].hash);
    }
    --held_;
    policy_->Remove(entry);
  }
  EntryIndex Evict() override {
    if (samples_.empty() || held_ > 4 * sampled_at_ + 4) BeginSampling();
    const EntryIndex entry = policy_->Evict();
    if (entry != kNoEntry) --held_;
    return entry;
  }
  std::vector<HeldEntry> Order() const override { return policy_->Order(); }
  void TakeOver(const std::vector<HeldEntry>& order) override {
    for (const HeldEntry& held : order) nodes_.Add(held.entry, held.hash, held.cost);
    held_ = order.size();
    policy_->TakeOver(order);
  }
  std::uint64_t memory_bytes() const override {
    std::uint64_t bytes = nodes_.memory_bytes() + sketch_.memory_bytes() + policy_->memory_bytes();
    for (const Sample& sample : samples_) bytes += sample.memory_bytes();
    return bytes;
  }
  std::string_view deciding() const override { return kContenders[current_].name; }

 private:
  // A sample is of about this many entries; of a smaller cache it is the whole.
  static constexpr std::size_t kSampleEntries = 512;
  // And never takes more than this part of the capacity, at about so many bytes for an entry in all contenders.
  static constexpr std::uint64_t kSampleShare = 16;
  static constexpr std::uint64_t kSampleCost = 640;
  // How a contender takes over, in uses of sampled keys. A policy that takes over has no history, so a lead must be clear.
  static constexpr std::size_t kChecksPerTurn = 4;    // a turn: as many uses as the sample has entries
  static constexpr double kKept = 0.98;               // of the scores, from check to check
  static constexpr double kPatience = 4;              // turns before the first decision
  static constexpr double kLeadPerTurn = 0.2;         // the least lead, in turns
  static constexpr double kLeadShare = 0.08;          // and as a share of the hits or misses, whichever are fewer
  static constexpr double kLeadDeviations = 1.5;      // and against chance

  bool IsSampled(std::uint64_t hash) const { return (hash >> 40 & ((std::uint64_t{1} << shift_) - 1)) == 0; }

  // Only a full cache has to choose. The samples begin with what is held, in its order.
  void BeginSampling() {
    sampled_at_ = held_;
    shift_ = 0;
    const std::size_t most = std::min<std::size_t>(2 * kSampleEntries, capacity_ / kSampleShare / kSampleCost);
    while ((held_ >> shift_) > std::max<std::size_t>(most, 1)) ++shift_;
    samples_.clear();
    for (const Contender& contender : kContenders) samples_.emplace_back(contender, capacity_ >> shift_);
    for (const HeldEntry& held : policy_->Order()) {
      if (!IsSampled(held.hash)) continue;
      for (Sample& sample : samples_) sample.Use(held.hash, held.cost);
    }
    scores_.fill(0);
    found_ = 0;
    uses_ = 0;
  }

  void Observe(std::uint64_t hash, std::uint64_t cost, bool found) {
    if (samples_.empty() || !IsSampled(hash)) return;
    found_ += found;
    for (std::size_t i = 0; i < samples_.size(); ++i) scores_[i] += samples_[i].Use(hash, cost);
    uses_ += 1;
    if (++since_check_ < std::max<std::size_t>(SampledEntries() / kChecksPerTurn, 16)) return;
    since_check_ = 0;
    Choose();
    for (double& score : scores_) score *= kKept;
    found_ *= kKept;
    uses_ *= kKept;
  }

  void Choose() {
    const double turn = static_cast<double>(SampledEntries());
    const std::size_t best = static_cast<std::size_t>(std::max_element(scores_.begin(), scores_.end()) - scores_.begin());
    const double hits = std::min(scores_[current_], found_);
    const double enough = std::max({kLeadPerTurn * turn, kLeadShare * std::min(hits, uses_ - hits), kLeadDeviations * std::sqrt(uses_)});
    if (uses_ < kPatience * turn || scores_[best] - hits < enough) return;
    // The present policy's own sample does better than the cache: it has a past that the cache has not. Once more from here.
    if (best == current_) return BeginSampling();
    current_ = best;
    auto next = kContenders[best].make(capacity_, sketch_);
    next->TakeOver(policy_->Order());
    policy_ = std::move(next);
  }

  std::size_t SampledEntries() const { return (sampled_at_ >> shift_) + 1; }

  const std::uint64_t capacity_;
  EntryNodes nodes_;  // of the entries held; the lists are the policy's
  std::size_t held_ = 0;
  FrequencySketch sketch_;  // what a policy that takes over needs to know from the start
  std::unique_ptr<EvictionPolicy> policy_;
  std::size_t current_ = 0;
  std::vector<Sample> samples_;  // empty until the cache is full
  int shift_ = 0;
  std::size_t sampled_at_ = 0;   // entries held when the samples began
  std::array<double, kContenders.size()> scores_{};  // hits
  double found_ = 0;             // hits of the cache itself on the same keys
  double uses_ = 0;              // of sampled keys; decays like the scores
  std::size_t since_check_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeAdaptive(std::uint64_t capacity) { return std::make_unique<Adaptive>(capacity); }

}  // namespace coffer::router
