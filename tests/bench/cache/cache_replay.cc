// Replays recorded requests through the shipping policies and prints the hit ratios of docs/benchmarks.md.
//
//   cache_replay FOLDER   FOLDER holds NAME.u32.xz: ids in the order of their requests, as little-endian 32-bit numbers
//   cache_replay --smoke  a made-up loop, with its figures checked
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/random.h"
#include "router/core/eviction.h"

namespace coffer::router {
namespace {

using Trace = std::vector<std::uint32_t>;

struct Row {
  const char* trace;
  std::size_t entries;
  double published;  // of S3-FIFO, by libCacheSim's rules, percent
};
constexpr Row kRows[] = {
    {"oltp", 250, 21.71},  {"oltp", 1000, 40.84},     {"oltp", 5000, 55.88},   {"cloudphysics-io", 4897, 24.75}, {"web07", 2048, 58.12},
    {"orm-busy", 763, 75.67}, {"multi3", 2000, 55.23}, {"sprite", 1000, 89.36}, {"loop", 512, 0},              {"corda", 512, 33.33},
};
constexpr EvictionKind kKinds[] = {EvictionKind::kLru, EvictionKind::kS3Fifo, EvictionKind::kWTinyLfu, EvictionKind::kAdaptive};
// Every entry costs the same; so much that the adaptive policy's own memory is within its bound, as it is with chunks.
constexpr std::uint64_t kCost = 16384;
// As the router's cache is divided by default.
constexpr std::size_t kShards = 4;
constexpr int kSeeds = 8;

// A cache of ids, divided like ChunkCache.
class Replay {
 public:
  Replay(EvictionKind kind, std::size_t entries, std::size_t shards, std::uint64_t seed) : seed_(seed), shards_(shards) {
    for (Shard& shard : shards_) {
      shard.capacity = entries / shards;
      shard.policy = MakePolicy(kind, shard.capacity * kCost);
    }
  }
  // Whether the id was held.
  bool Use(std::uint32_t id) {
    const std::uint64_t hash = Random(id ^ seed_ << 32).Next();
    Shard& shard = shards_[(hash >> 56) % shards_.size()];
    if (id >= places_.size()) places_.resize(id + 1, kNoEntry);
    if (places_[id] != kNoEntry) {
      shard.policy->Touch(places_[id]);
      return true;
    }
    if (shard.free.empty()) {
      shard.free.push_back(static_cast<EntryIndex>(shard.ids.size()));
      shard.ids.push_back(0);
    }
    const EntryIndex entry = shard.free.back();
    shard.free.pop_back();
    shard.ids[entry] = id;
    places_[id] = entry;
    shard.policy->Insert(entry, hash, kCost);
    if (++shard.held > shard.capacity) {
      const EntryIndex victim = shard.policy->Evict();
      places_[shard.ids[victim]] = kNoEntry;
      shard.free.push_back(victim);
      --shard.held;
    }
    return false;
  }

 private:
  struct Shard {
    std::size_t capacity = 0;
    std::size_t held = 0;
    std::unique_ptr<EvictionPolicy> policy;
    std::vector<std::uint32_t> ids;  // by entry
    std::vector<EntryIndex> free;
  };
  const std::uint64_t seed_;
  std::vector<Shard> shards_;
  std::vector<EntryIndex> places_;  // by id
};

// Percent. What depends on hashes is the mean over several seeds of them.
double HitRatio(const Trace& trace, EvictionKind kind, std::size_t entries, std::size_t shards) {
  const bool hashed = shards > 1 || kind == EvictionKind::kWTinyLfu || kind == EvictionKind::kAdaptive;
  const int seeds = hashed ? kSeeds : 1;
  std::size_t hits = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    Replay replay(kind, entries, shards, static_cast<std::uint64_t>(seed));
    for (const std::uint32_t id : trace) hits += replay.Use(id);
  }
  return 100.0 * static_cast<double>(hits) / static_cast<double>(trace.size()) / seeds;
}

// Belady's optimum: gives up what is used again last, if need be what has just come.
double BestRatio(const Trace& trace, std::size_t entries) {
  const std::size_t never = trace.size();
  std::vector<std::size_t> next(trace.size()), last;
  for (std::size_t i = trace.size(); i-- > 0;) {
    if (trace[i] >= last.size()) last.resize(trace[i] + 1, never);
    next[i] = last[trace[i]];
    last[trace[i]] = i;
  }
  std::set<std::pair<std::size_t, std::uint32_t>> held;  // by next use
  std::size_t hits = 0;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    hits += held.erase({i, trace[i]});
    if (next[i] == never) continue;
    held.insert({next[i], trace[i]});
    if (held.size() > entries) held.erase(std::prev(held.end()));
  }
  return 100.0 * static_cast<double>(hits) / static_cast<double>(trace.size());
}

Trace Load(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name + ".u32.xz";
  Trace trace;
  FILE* pipe = popen(("xz -dc -- '" + path + "'").c_str(), "r");
  if (pipe == nullptr) return trace;
  unsigned char word[4];
  while (std::fread(word, 1, 4, pipe) == 4) {
    trace.push_back(word[0] | word[1] << 8 | word[2] << 16 | static_cast<std::uint32_t>(word[3]) << 24);
  }
  if (pclose(pipe) != 0) trace.clear();
  return trace;
}

int PrintTable(const std::string& folder) {
  std::printf("| trace, entries | LRU | S3-FIFO | W-TinyLFU 1 %% | **adaptive** | adaptive, %zu shards | S3-FIFO published | optimum |\n", kShards);
  std::printf("|---|---|---|---|---|---|---|---|\n");
  bool reached = true;
  for (const Row& row : kRows) {
    const Trace trace = Load(folder, row.trace);
    if (trace.empty()) {
      std::fprintf(stderr, "cache_replay: can't read %s.u32.xz in %s\n", row.trace, folder.c_str());
      return 1;
    }
    std::printf("| %s %zu |", row.trace, row.entries);
    double adaptive = 0;
    for (const EvictionKind kind : kKinds) {
      const double ratio = HitRatio(trace, kind, row.entries, 1);
      std::printf(kind == EvictionKind::kAdaptive ? " **%.2f** |" : " %.2f |", ratio);
      adaptive = ratio;
    }
    std::printf(" %.2f | %.2f | %.2f |\n", HitRatio(trace, EvictionKind::kAdaptive, row.entries, kShards), row.published,
                BestRatio(trace, row.entries));
    std::fflush(stdout);
    reached = reached && adaptive + 0.005 >= row.published;
  }
  std::printf("\nadaptive %s the published S3-FIFO on every trace\n", reached ? "reaches" : "does NOT reach");
  return reached ? 0 : 1;
}

bool Expect(const char* what, double got, double least, double most) {
  std::printf("%s: %.2f %% (expected %.2f to %.2f)\n", what, got, least, most);
  return got >= least && got <= most;
}

int Smoke() {
  Trace loop;
  for (int round = 0; round < 100; ++round) {
    for (std::uint32_t id = 0; id < 500; ++id) loop.push_back(id);
  }
  bool good = Expect("loop, lru", HitRatio(loop, EvictionKind::kLru, 250, 1), 0, 0);
  good &= Expect("loop, w-tinylfu", HitRatio(loop, EvictionKind::kWTinyLfu, 250, 1), 45, 50);
  good &= Expect("loop, adaptive", HitRatio(loop, EvictionKind::kAdaptive, 250, 1), 40, 50);
  good &= Expect("loop, optimum", BestRatio(loop, 250), 49, 50);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace coffer::router

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--smoke") == 0) return coffer::router::Smoke();
  if (argc == 2 && argv[1][0] != '-') return coffer::router::PrintTable(argv[1]);
  std::fprintf(stderr, "usage: cache_replay FOLDER | --smoke\n  FOLDER holds the traces, NAME.u32.xz\n");
  return 2;
}
