// What one access to the router's cache of chunks costs, by policy: a look, and after a miss putting the chunk there.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>

#include "client/command/bench_draw.h"
#include "cluster/random.h"
#include "router/core/chunk_cache.h"

namespace coffer::router {
namespace {

constexpr std::size_t kChunk = 1024;
constexpr std::uint64_t kRoom = 16u << 20;

BlockId IdOf(std::uint64_t key) {
  Random random(key);
  BlockId id;
  for (std::size_t i = 0; i < id.bytes.size(); i += 8) {
    const std::uint64_t word = random.Next();
    std::memcpy(id.bytes.data() + i, &word, 8);
  }
  return id;
}

// Reads through the cache, of so many keys by Zipf's law: a few thousand are always found, more than the room holds are not.
void BM_CacheAccess(benchmark::State& state) {
  const auto kind = static_cast<EvictionKind>(state.range(0));
  const auto keys = static_cast<std::uint64_t>(state.range(1));
  ChunkCacheConfig config;
  config.bytes = kRoom;
  config.policy = kind;
  ChunkCache cache(config, 1);
  const Payload chunk = std::make_shared<const std::string>(kChunk, 'v');
  const command::KeyLots lots(keys, 0.9);
  Random random(7);
  std::vector<BlockId> ids;
  for (int i = 0; i < 1 << 18; ++i) ids.push_back(IdOf(lots.Draw(random)));
  const ZoneId zone;
  const Instant now = Instant(std::chrono::seconds(1));
  std::size_t next = 0;
  const auto access = [&] {
    const BlockId& id = ids[next];
    next = (next + 1) % ids.size();
    if (Payload found = cache.Find(now, zone, id)) return found;
    cache.Insert(now, zone, id, chunk);
    return chunk;
  };
  // Once through: it is full, and the policy knows the work.
  for (std::size_t i = 0; i < ids.size(); ++i) access();
  const ChunkCacheCounters before = cache.Counters();
  for (auto _ : state) benchmark::DoNotOptimize(access());
  const ChunkCacheCounters after = cache.Counters();
  state.SetLabel(std::string(Name(kind)));
  state.SetItemsProcessed(state.iterations());
  state.counters["hits"] = static_cast<double>(after.hits - before.hits) / static_cast<double>(state.iterations());
}

void Register() {
  for (const std::int64_t keys : {4'000, 400'000}) {
    for (const EvictionKind kind : {EvictionKind::kLru, EvictionKind::kS3Fifo, EvictionKind::kWTinyLfu, EvictionKind::kAdaptive}) {
      benchmark::RegisterBenchmark("BM_CacheAccess", BM_CacheAccess)->ArgNames({"policy", "keys"})->Args({static_cast<std::int64_t>(kind), keys});
    }
  }
}

const bool registered = (Register(), true);

}  // namespace
}  // namespace coffer::router
