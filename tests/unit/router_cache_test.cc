// The cache of chunks: its bound, its age, deletions, and its policies.
#include <malloc.h>

#include <map>
#include <thread>

#include "cluster/random.h"
#include "router/core/chunk_cache.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

ZoneId Zone(int n = 1) {
  ZoneId id;
  id.bytes[0] = static_cast<std::uint8_t>(n);
  return id;
}
BlockId Block(int n) {
  BlockId id;
  for (int i = 0; i < 4; ++i) id.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}
Payload Value(std::size_t size, char c = 'x') { return std::make_shared<const std::string>(size, c); }
Instant At(int ms) { return Instant(std::chrono::milliseconds(ms)); }
constexpr int kFar = 1 << 20;
constexpr EvictionKind kAllKinds[] = {EvictionKind::kS3Fifo, EvictionKind::kLru, EvictionKind::kWTinyLfu, EvictionKind::kAdaptive};

ChunkCacheConfig Config(std::uint64_t bytes, EvictionKind policy = EvictionKind::kS3Fifo, std::size_t shards = 1) {
  ChunkCacheConfig config;
  config.bytes = bytes;
  config.policy = policy;
  config.shards = shards;
  return config;
}

}  // namespace

TEST_CASE("a chunk is found under its zone and id, and under no other") {
  ChunkCache cache(Config(1 << 20), 1);
  cache.Insert(At(1), Zone(1), Block(1), Value(10, 'a'));
  REQUIRE(cache.Find(At(2), Zone(1), Block(1)));
  CHECK(*cache.Find(At(2), Zone(1), Block(1)) == std::string(10, 'a'));
  CHECK_FALSE(cache.Find(At(2), Zone(2), Block(1)));
  CHECK_FALSE(cache.Find(At(2), Zone(1), Block(2)));
  CHECK(cache.Counters().hits == 2);
  CHECK(cache.Counters().misses == 2);
}

TEST_CASE("a chunk is not served beyond its age, counted from the question") {
  ChunkCache cache(Config(1 << 20), 1);
  cache.Insert(At(1000), Zone(), Block(1), Value(10));
  CHECK(cache.Find(At(60'999), Zone(), Block(1)));
  CHECK_FALSE(cache.Find(At(61'000), Zone(), Block(1)));
  CHECK(cache.Counters().entries == 0);
}

TEST_CASE("what was asked before a removal is not kept after it") {
  ChunkCache cache(Config(1 << 20), 1);
  cache.Insert(At(1), Zone(), Block(1), Value(10));
  cache.Remove(At(5), Zone(), Block(1));
  CHECK_FALSE(cache.Find(At(6), Zone(), Block(1)));
  cache.Insert(At(4), Zone(), Block(1), Value(10));
  cache.Insert(At(5), Zone(), Block(1), Value(10));
  CHECK_FALSE(cache.Find(At(6), Zone(), Block(1)));
  cache.Insert(At(7), Zone(), Block(1), Value(10));
  CHECK(cache.Find(At(8), Zone(), Block(1)));
}

TEST_CASE("chunks that are too large, and all with a cache of no bytes, are not kept") {
  ChunkCacheConfig config = Config(64 << 20);
  ChunkCache cache(config, 1);
  cache.Insert(At(1), Zone(), Block(1), Value((1 << 20) + 1));
  CHECK_FALSE(cache.Find(At(1), Zone(), Block(1)));
  cache.Insert(At(1), Zone(), Block(1), Value(1 << 20));
  CHECK(cache.Find(At(1), Zone(), Block(1)));
  ChunkCache none(Config(0), 1);
  none.Insert(At(1), Zone(), Block(1), Value(0));
  CHECK_FALSE(none.Find(At(1), Zone(), Block(1)));
}

TEST_CASE("the bound holds, and what is found is what was put, under random use") {
  for (const EvictionKind policy : kAllKinds) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      ChunkCache cache(Config(100'000, policy, 4), seed);
      Random random(seed);
      std::uint64_t found = 0;
      for (int step = 0; step < 20'000; ++step) {
        const int n = static_cast<int>(random.Below(random.Chance(1, 2) ? 30 : 3000));
        const std::size_t size = static_cast<std::size_t>(n % 500);
        const Payload got = cache.Find(At(step), Zone(), Block(n));
        if (got) {
          ++found;
          REQUIRE(got->size() == size);
        }
        if (!got) cache.Insert(At(step), Zone(), Block(n), Value(size));
        if (random.Chance(1, 50)) cache.Remove(At(step), Zone(), Block(n));
        REQUIRE(cache.Counters().bytes <= 100'000);
      }
      CHECK(cache.Counters().hits == found);
      CHECK(cache.Counters().evictions > 0);
      CHECK(found > 5'000);  // half the look-ups are of 30 keys, which fit
    }
  }
}

TEST_CASE("s3-fifo keeps what is used again through a scan that lru does not survive") {
  auto survivors = [](EvictionKind kind) {
    ChunkCache cache(Config(60'000, kind), 1);
    for (int round = 0; round < 4; ++round) {
      for (int n = 0; n < 50; ++n) {
        if (!cache.Find(At(1), Zone(), Block(n))) cache.Insert(At(1), Zone(), Block(n), Value(100));
      }
    }
    for (int n = 0; n < 2000; ++n) cache.Insert(At(1), Zone(), Block(kFar + n), Value(100));  // each once
    int left = 0;
    for (int n = 0; n < 50; ++n) left += cache.Find(At(1), Zone(), Block(n)) != nullptr;
    return left;
  };
  CHECK(survivors(EvictionKind::kS3Fifo) == 50);
  CHECK(survivors(EvictionKind::kLru) == 0);
}

TEST_CASE("a deleted zone's chunks are gone, and answers on their way bring none back") {
  ChunkCache cache(Config(1 << 20, EvictionKind::kAdaptive, 4), 1);
  for (int n = 0; n < 100; ++n) {
    cache.Insert(At(1), Zone(1), Block(n), Value(100));
    cache.Insert(At(1), Zone(2), Block(n), Value(100));
  }
  cache.RemoveZone(Zone(1));
  CHECK(cache.Counters().entries == 100);
  for (int n = 0; n < 100; ++n) {
    CHECK_FALSE(cache.Find(At(2), Zone(1), Block(n)));
    CHECK(cache.Find(At(2), Zone(2), Block(n)));
  }
  cache.Insert(At(3), Zone(1), Block(1), Value(100));
  CHECK_FALSE(cache.Find(At(4), Zone(1), Block(1)));
}

TEST_CASE("a removal is not outlived by an answer when more were removed since than are remembered") {
  ChunkCache cache(Config(1 << 20), 1);
  for (int n = 0; n < 10'000; ++n) cache.Remove(At(5), Zone(), Block(n));
  cache.Insert(At(4), Zone(), Block(0), Value(10));
  CHECK_FALSE(cache.Find(At(6), Zone(), Block(0)));
  cache.Insert(At(6), Zone(), Block(0), Value(10));
  CHECK(cache.Find(At(7), Zone(), Block(0)));
}

TEST_CASE("a change of policy keeps every chunk, and so does clearing keep the counters") {
  for (const EvictionKind from : kAllKinds) {
    for (const EvictionKind to : kAllKinds) {
      ChunkCache cache(Config(400'000, from, 2), 1);
      for (int n = 0; n < 2000; ++n) {
        cache.Insert(At(1), Zone(), Block(n), Value(100));
        cache.Find(At(1), Zone(), Block(n / 2));
      }
      const auto before = cache.Counters();
      cache.SetPolicy(to);
      CHECK(cache.Counters().policy == to);
      CHECK(cache.Counters().entries + 200 > before.entries);  // but for the room a larger policy needs
      for (int n = 0; n < 4000; ++n) cache.Insert(At(1), Zone(), Block(kFar + n), Value(100));
      CHECK(cache.Counters().bytes <= 400'000);
      cache.Clear();
      CHECK(cache.Counters().entries == 0);
      CHECK(cache.Counters().hits == before.hits);
    }
  }
}

TEST_CASE("what was read more than once and makes room is handed over, once-read chunks are not") {
  for (const EvictionKind kind : kAllKinds) {
    std::map<int, int> handed;  // by block: how often
    ChunkCacheConfig config = Config(40'000, kind);
    config.overflow = [&](const ChunkKey& key, Instant read_at, const Payload& chunk) {
      const int n = key.block.bytes[0] | key.block.bytes[1] << 8 | key.block.bytes[2] << 16;
      CHECK(chunk->size() == 1000);
      CHECK(read_at == At(n));
      ++handed[n];
    };
    ChunkCache cache(config, 1);
    auto read = [&](int n) {
      if (!cache.Find(At(n), Zone(), Block(n))) cache.Insert(At(n), Zone(), Block(n), Value(1000));
    };
    for (int n = 0; n < 300; ++n) read(n);
    CHECK(handed.empty());
    for (int n = 1000; n < 1200; ++n) {
      read(n);
      read(n);
    }
    CHECK(handed.size() > 100);
    CHECK(handed.begin()->first >= 1000);
    // Gone and come back, while it is remembered.
    handed.clear();
    cache.Clear();
    for (int round = 0; round < 3; ++round) {
      for (int n = 2000; n < 2050; ++n) read(n);
    }
    for (int n = 3000; n < 3100; ++n) read(n);
    int back = 0;
    for (const auto& [n, times] : handed) back += n >= 2000 && n < 2050;
    INFO(Name(kind));
    CHECK(back > 5);
    CHECK(handed.upper_bound(2999) == handed.end());
  }
}

TEST_CASE("a chunk that comes back from where it was handed over keeps its age, and counts as read again") {
  int handed = 0;
  ChunkCacheConfig config = Config(10'000, EvictionKind::kLru);
  config.overflow = [&](const ChunkKey& key, Instant read_at, const Payload&) {
    handed += key.block == Block(1);
    if (key.block == Block(1)) CHECK(read_at == At(5));
  };
  ChunkCache cache(config, 1);
  cache.TakeBack(At(5), Zone(), Block(1), Value(1000));
  CHECK(cache.Find(At(60'004), Zone(), Block(1)));
  for (int n = 10; n < 30; ++n) cache.Insert(At(6), Zone(), Block(n), Value(1000));
  CHECK(handed == 1);
  cache.TakeBack(At(5), Zone(), Block(1), Value(1000));
  CHECK_FALSE(cache.Find(At(60'005), Zone(), Block(1)));
  cache.RemoveZone(Zone());
  cache.TakeBack(At(5), Zone(), Block(1), Value(1000));
  CHECK_FALSE(cache.Find(At(6), Zone(), Block(1)));
}

TEST_CASE("every byte is counted") {
  if (mallinfo2().arena == 0) {
    WARN("another allocator is in use (a sanitizer's), which does not say what it gave out");
    return;
  }
  for (const std::size_t size : {0, 100, 1000, 20'000}) {
    const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    ChunkCache cache(Config(16 << 20, EvictionKind::kAdaptive, 4), 1);
    for (int n = 0; n < 200'000 && cache.Counters().evictions < 20'000; ++n) cache.Insert(At(1), Zone(), Block(n), Value(size));
    const std::size_t used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    const auto counters = cache.Counters();
    INFO(size << " bytes: used " << used << ", counted " << counters.bytes << ", entries " << counters.entries);
    CHECK(used < counters.bytes + counters.bytes / 20);
    CHECK(used > counters.bytes - counters.bytes / 5);
  }
}

TEST_CASE("the cache may be used by many threads") {
  ChunkCache cache(Config(200'000, EvictionKind::kAdaptive, 4), 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      Random random(static_cast<std::uint64_t>(t));
      for (int step = 0; step < 5'000; ++step) {
        const int n = static_cast<int>(random.Below(500));
        if (!cache.Find(At(step), Zone(), Block(n))) cache.Insert(At(step), Zone(), Block(n), Value(100));
        if (random.Chance(1, 20)) cache.Remove(At(step), Zone(), Block(n));
        if (random.Chance(1, 500)) cache.SetPolicy(kAllKinds[random.Below(4)]);
        if (random.Chance(1, 1000)) cache.Clear();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto counters = cache.Counters();
  CHECK(counters.hits + counters.misses == 20'000);
  CHECK(counters.bytes <= 200'000);
}

TEST_CASE("hits and misses are counted by zone, the busiest first") {
  ChunkCache cache(Config(1 << 20, EvictionKind::kS3Fifo, 4), 1);
  for (int i = 0; i < 10; ++i) cache.Insert(At(1), Zone(1), Block(i), Value(10));
  for (int i = 0; i < 10; ++i) REQUIRE(cache.Find(At(2), Zone(1), Block(i)));
  for (int i = 0; i < 3; ++i) CHECK_FALSE(cache.Find(At(2), Zone(2), Block(i)));
  auto zones = cache.CountersByZone();
  REQUIRE(zones.size() == 2);
  CHECK(zones[0].zone == Zone(1));
  CHECK(zones[0].hits == 10);
  CHECK(zones[0].misses == 0);
  CHECK(zones[1].zone == Zone(2));
  CHECK(zones[1].hits == 0);
  CHECK(zones[1].misses == 3);
  cache.RemoveZone(Zone(2));
  CHECK(cache.CountersByZone().size() == 1);
}

TEST_CASE("zones beyond the bound are counted together, and nothing is lost") {
  ChunkCache cache(Config(1 << 20, EvictionKind::kS3Fifo, 2), 1);
  for (int zone = 1; zone <= 255; ++zone) {
    for (int i = 0; i < 8; ++i) cache.Find(At(1), Zone(zone), Block(i));
  }
  const auto zones = cache.CountersByZone();
  CHECK(zones.size() <= ChunkCache::kCountedZones);
  CHECK(zones.back().zone == ZoneId());
  std::uint64_t misses = 0;
  for (const ZoneHits& zone : zones) misses += zone.misses;
  CHECK(misses == 255 * 8);
}
