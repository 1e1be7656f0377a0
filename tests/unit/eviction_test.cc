// The policies: what each gives up, and all of them against a model of who is held.
#include <map>
#include <set>

#include "cluster/random.h"
#include "router/core/eviction_policies.h"
#include "router/core/frequency_sketch.h"
#include "router/core/ghost_list.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

constexpr EvictionKind kAllKinds[] = {EvictionKind::kS3Fifo, EvictionKind::kLru, EvictionKind::kWTinyLfu, EvictionKind::kAdaptive};

std::uint64_t HashOf(std::uint64_t key) { return Random(key).Next(); }

// A cache without values: keys are numbers, each of the cost of a chunk.
constexpr std::uint64_t kCost = 16'384;

class Replay {
 public:
  Replay(EvictionKind kind, std::size_t capacity) : capacity_(capacity), policy_(MakePolicy(kind, capacity * kCost)) {}
  bool Use(std::uint64_t key) {
    if (const auto it = places_.find(key); it != places_.end()) {
      policy_->Touch(it->second);
      return true;
    }
    EntryIndex entry = static_cast<EntryIndex>(keys_.size());
    if (free_.empty()) {
      keys_.push_back(key);
    } else {
      entry = free_.back();
      free_.pop_back();
      keys_[entry] = key;
    }
    places_[key] = entry;
    policy_->Insert(entry, HashOf(key), kCost);
    while (places_.size() > capacity_) {
      const EntryIndex victim = policy_->Evict();
      places_.erase(keys_[victim]);
      free_.push_back(victim);
    }
    return false;
  }
  const EvictionPolicy& policy() const { return *policy_; }

 private:
  const std::size_t capacity_;
  std::unique_ptr<EvictionPolicy> policy_;
  std::map<std::uint64_t, EntryIndex> places_;
  std::vector<std::uint64_t> keys_;
  std::vector<EntryIndex> free_;
};

// Share of hits on a loop over `keys`, rounds after the first `warm` ones.
double LoopHits(EvictionKind kind, std::size_t capacity, int keys, int rounds) {
  Replay replay(kind, capacity);
  int hits = 0;
  for (int round = 0; round < rounds; ++round) {
    for (int key = 0; key < keys; ++key) hits += replay.Use(static_cast<std::uint64_t>(key)) && round >= rounds / 2;
  }
  return hits / static_cast<double>(keys * (rounds - rounds / 2));
}

}  // namespace

TEST_CASE("each kind has a name that leads back to it") {
  for (const EvictionKind kind : kAllKinds) {
    CHECK(EvictionKindOf(Name(kind)) == kind);
    CHECK(EvictionKindNames().find(Name(kind)) != std::string_view::npos);
  }
  CHECK_FALSE(EvictionKindOf("arc"));
}

TEST_CASE("any policy gives up only what it holds, and in the end everything, under random use") {
  for (const EvictionKind kind : kAllKinds) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      Random random(seed);
      constexpr std::uint64_t kCapacity = 1000;
      auto policy = MakePolicy(kind, kCapacity);
      std::map<EntryIndex, std::uint64_t> held;  // with their costs
      std::uint64_t cost = 0;
      const auto evict = [&] {
        const EntryIndex victim = policy->Evict();
        REQUIRE(held.count(victim) == 1);
        cost -= held.at(victim);
        held.erase(victim);
      };
      for (int step = 0; step < 20'000; ++step) {
        const auto entry = static_cast<EntryIndex>(random.Below(300));
        if (held.count(entry) == 0) {
          held[entry] = 1 + random.Below(20);
          cost += held[entry];
          policy->Insert(entry, HashOf(random.Below(500)), held[entry]);
          while (cost > kCapacity) evict();
        } else if (random.Chance(1, 10)) {
          policy->Remove(entry);
          cost -= held[entry];
          held.erase(entry);
        } else {
          policy->Touch(entry);
        }
        if (step % 1000 == 999) {
          std::set<EntryIndex> order;
          for (const HeldEntry& e : policy->Order()) {
            REQUIRE(order.insert(e.entry).second);
            REQUIRE(held.at(e.entry) == e.cost);
          }
          REQUIRE(order.size() == held.size());
          auto next = MakePolicy(kAllKinds[random.Below(4)], kCapacity);
          next->TakeOver(policy->Order());
          if (random.Chance(1, 2)) policy = std::move(next);
        }
      }
      while (!held.empty()) evict();
      CHECK(policy->Evict() == kNoEntry);
    }
  }
}

TEST_CASE("lru gives up what was used least recently") {
  auto policy = MakeLru();
  for (EntryIndex entry : {0, 1, 2}) policy->Insert(entry, entry, 1);
  policy->Touch(0);
  CHECK(policy->Evict() == 1);
  policy->Remove(2);
  CHECK(policy->Evict() == 0);
  CHECK(policy->Evict() == kNoEntry);
}

TEST_CASE("s3-fifo takes a key that left too early straight into its main queue") {
  auto policy = MakeS3Fifo(1000, 10);  // small queue: 100
  policy->Insert(9, 99, 60);           // so that there is room for a ghost
  policy->Insert(8, 98, 60);
  policy->Insert(0, 77, 90);
  CHECK(policy->Evict() == 9);
  CHECK(policy->Evict() == 8);
  policy->Insert(1, 99, 60);  // remembered: now in main
  policy->Insert(2, 66, 60);
  CHECK(policy->Evict() == 0);
  CHECK(policy->Evict() == 1);  // the small queue is within its share: main gives
  CHECK(policy->Evict() == 2);
  CHECK(policy->Evict() == kNoEntry);
}

TEST_CASE("w-tinylfu lets nothing in that is used less often than what it would replace") {
  Replay replay(EvictionKind::kWTinyLfu, 100);
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t key = 0; key < 90; ++key) replay.Use(key);
  }
  for (std::uint64_t key = 1000; key < 3000; ++key) replay.Use(key);
  int left = 0;
  for (std::uint64_t key = 0; key < 90; ++key) left += replay.Use(key);
  CHECK(left > 70);
}

TEST_CASE("adaptive finds what a loop needs, and what recency needs, and changes its mind") {
  CHECK(LoopHits(EvictionKind::kLru, 500, 1000, 40) == 0);
  CHECK(LoopHits(EvictionKind::kWTinyLfu, 500, 1000, 40) > 0.45);
  CHECK(LoopHits(EvictionKind::kAdaptive, 500, 1000, 40) > 0.45);
  // What was used 200 keys ago comes back once, then never: only recency holds it.
  Replay replay(EvictionKind::kAdaptive, 500);
  for (int round = 0; round < 40; ++round) {
    for (std::uint64_t key = 0; key < 1000; ++key) replay.Use(key);
  }
  CHECK(replay.policy().deciding().substr(0, 9) == "w-tinylfu");
  std::uint64_t hits = 0;
  for (std::uint64_t key = 10'000; key < 60'000; ++key) {
    replay.Use(key);
    hits += replay.Use(key - 200) && key > 35'000;
  }
  CHECK(replay.policy().deciding() == "lru");
  CHECK(hits > 20'000);
}

TEST_CASE("a frequency is never underestimated before it is halved, and seldom overestimated") {
  FrequencySketch sketch;
  sketch.Fit(1000);
  Random random(1);
  std::map<std::uint64_t, int> truth;
  for (int i = 0; i < 3000; ++i) {
    const std::uint64_t key = random.Below(800);
    sketch.Count(HashOf(key));
    ++truth[key];
  }
  int over = 0;
  for (const auto& [key, uses] : truth) {
    CHECK(sketch.Estimate(HashOf(key)) >= std::min(uses, FrequencySketch::kMost));
    over += sketch.Estimate(HashOf(key)) > uses;
  }
  CHECK(over < 80);
  sketch.Fit(8000);  // growing forgets nothing
  for (const auto& [key, uses] : truth) CHECK(sketch.Estimate(HashOf(key)) >= std::min(uses, FrequencySketch::kMost));
  for (int i = 0; i < 200'000; ++i) sketch.Count(HashOf(1'000'000 + random.Below(100'000)));
  CHECK(sketch.Estimate(HashOf(truth.begin()->first)) <= FrequencySketch::kMost);
}

TEST_CASE("ghosts are forgotten in the order they came, and taken once") {
  GhostList ghosts;
  for (std::uint64_t hash = 0; hash < 10; ++hash) ghosts.Put(hash, 5);
  CHECK(ghosts.size() == 5);
  CHECK_FALSE(ghosts.Take(4));
  CHECK(ghosts.Take(5));
  CHECK_FALSE(ghosts.Take(5));
  ghosts.Put(5, 5);
  for (std::uint64_t hash = 20; hash < 24; ++hash) ghosts.Put(hash, 5);
  CHECK(ghosts.Take(5));
  for (int i = 0; i < 100'000; ++i) {  // keys that keep coming back do not pile up
    ghosts.Put(7, 5);
    ghosts.Take(7);
  }
  CHECK(ghosts.memory_bytes() < 2000);
}
