#include "router/core/chunk_cache.h"

#include <algorithm>
#include <utility>

namespace coffer::router {
namespace {

// What keeping a chunk costs beside its bytes, as glibc's malloc hands it out; the test "every byte is counted" measures it.
constexpr std::uint64_t kStringCost = 64 + 24;   // the shared string, and the block that holds its bytes
constexpr std::uint64_t kPlaceCost = 80;         // a node of the map
constexpr std::uint64_t kOverhead = kStringCost + kPlaceCost;

constexpr std::size_t kRemovedPerShard = 4096;
constexpr std::size_t kRemovedZones = 1024;

}  // namespace

ChunkCache::Shard::Shard(const Hash& hash, EvictionKind kind, std::uint64_t bound)
    : places(0, hash), policy(MakePolicy(kind, bound)), removed(0, hash) {}

ChunkCache::ChunkCache(ChunkCacheConfig config, std::uint64_t seed)
    : config_(config), shard_bound_(config.bytes / std::max<std::size_t>(config.shards, 1)), hash_{seed}, kind_(config.policy) {
  for (std::size_t i = 0; i < std::max<std::size_t>(config.shards, 1); ++i) {
    shards_.push_back(std::make_unique<Shard>(hash_, config.policy, shard_bound_));
  }
}

std::uint64_t ChunkCache::Shard::Tables() const {
  return entries.capacity() * sizeof(Entry) + free.capacity() * sizeof(EntryIndex) + places.bucket_count() * sizeof(void*) +
         policy->memory_bytes() + left.memory_bytes();
}

Payload ChunkCache::Find(Instant now, const ZoneId& zone, const BlockId& id) { return Find(now, {zone, id}, true); }

Payload ChunkCache::FindHit(Instant now, const ZoneId& zone, const BlockId& id) { return Find(now, {zone, id}, false); }

Payload ChunkCache::Find(Instant now, const Key& key, bool count_miss) {
  Shard& shard = *shards_[ShardOf(hash_(key))];
  MutexLock lock(shard.mutex);
  auto it = shard.places.find(key);
  if (it != shard.places.end() && now - shard.entries[it->second].read_at >= config_.max_age) {
    Drop(shard, it->second, /*tell_policy=*/true);
    it = shard.places.end();
  }
  if (it == shard.places.end()) {
    if (!count_miss) return nullptr;
    misses_.fetch_add(1, std::memory_order_relaxed);
    HitsOf(shard, key.zone).misses += 1;
    return nullptr;
  }
  hits_.fetch_add(1, std::memory_order_relaxed);
  HitsOf(shard, key.zone).hits += 1;
  shard.policy->Touch(it->second);
  shard.entries[it->second].read_again = true;
  return shard.entries[it->second].chunk;
}

void ChunkCache::Insert(Instant asked, const ZoneId& zone, const BlockId& id, Payload chunk) {
  const std::uint64_t cost = chunk->capacity() + kOverhead;
  if (chunk->size() > config_.largest_chunk || cost > shard_bound_) return;
  const Key key{zone, id};
  const std::uint64_t hash = hash_(key);
  Shard& shard = *shards_[ShardOf(hash)];
  MutexLock lock(shard.mutex);
  if (asked <= shard.removed_before || shard.removed_zones.count(zone)) return;
  if (auto removed = shard.removed.find(key); removed != shard.removed.end() && asked <= removed->second) return;
  Keep(shard, hash, {key, std::move(chunk), asked, cost, config_.overflow && shard.left.Take(hash)});
}

void ChunkCache::TakeBack(Instant read_at, const ZoneId& zone, const BlockId& id, Payload chunk) {
  const std::uint64_t cost = chunk->capacity() + kOverhead;
  if (cost > shard_bound_) return;
  const Key key{zone, id};
  const std::uint64_t hash = hash_(key);
  Shard& shard = *shards_[ShardOf(hash)];
  MutexLock lock(shard.mutex);
  if (shard.removed_zones.count(zone) == 0) Keep(shard, hash, {key, std::move(chunk), read_at, cost, true});
}

void ChunkCache::Keep(Shard& shard, std::uint64_t hash, Entry entry) {
  if (auto it = shard.places.find(entry.key); it != shard.places.end()) {
    Entry& held = shard.entries[it->second];
    held.read_at = std::max(held.read_at, entry.read_at);
    return;
  }
  if (shard.free.empty()) {
    shard.entries.emplace_back();
    shard.free.push_back(static_cast<EntryIndex>(shard.entries.size() - 1));
  }
  const EntryIndex index = shard.free.back();
  shard.free.pop_back();
  shard.places.emplace(entry.key, index);
  shard.cost += entry.cost;
  shard.policy->Insert(index, hash, entry.cost);
  shard.entries[index] = std::move(entry);
  MakeRoom(shard);
}

void ChunkCache::CountDisk(const ChunkKey& key, bool found) {
  Shard& shard = *shards_[ShardOf(hash_(key))];
  MutexLock lock(shard.mutex);
  ZoneHits& hits = HitsOf(shard, key.zone);
  ++(found ? hits.disk_hits : hits.disk_misses);
}

void ChunkCache::MakeRoom(Shard& shard) {
  shard.tables = shard.Tables();
  while (shard.cost + shard.tables > shard_bound_) {
    const EntryIndex victim = shard.policy->Evict();
    if (victim == kNoEntry) break;
    if (config_.overflow) {
      Entry& entry = shard.entries[victim];
      if (entry.read_again) {
        config_.overflow(entry.key, entry.read_at, entry.chunk);
      } else {
        shard.left.Put(hash_(entry.key), shard.places.size());
      }
    }
    Drop(shard, victim, /*tell_policy=*/false);
    evictions_.fetch_add(1, std::memory_order_relaxed);
    shard.tables = shard.Tables();
  }
}

void ChunkCache::Remove(Instant now, const ZoneId& zone, const BlockId& id) {
  const Key key{zone, id};
  Shard& shard = *shards_[ShardOf(hash_(key))];
  MutexLock lock(shard.mutex);
  if (auto it = shard.places.find(key); it != shard.places.end()) Drop(shard, it->second, /*tell_policy=*/true);
  if (shard.removed.insert_or_assign(key, now).second) shard.removed_order.push_back(key);
  while (shard.removed_order.size() > kRemovedPerShard) {
    const auto oldest = shard.removed.find(shard.removed_order.front());
    shard.removed_before = std::max(shard.removed_before, oldest->second);
    shard.removed.erase(oldest);
    shard.removed_order.pop_front();
  }
}

void ChunkCache::RemoveZone(const ZoneId& zone) {
  for (const auto& shard : shards_) {
    MutexLock lock(shard->mutex);
    if (shard->removed_zones.size() >= kRemovedZones) shard->removed_zones.erase(shard->removed_zones.begin());
    shard->removed_zones.insert(zone);
    shard->zones.erase(zone);
    for (EntryIndex entry = 0; entry < shard->entries.size(); ++entry) {
      if (shard->entries[entry].chunk && shard->entries[entry].key.zone == zone) Drop(*shard, entry, /*tell_policy=*/true);
    }
  }
}

void ChunkCache::SetPolicy(EvictionKind kind) {
  kind_ = kind;
  for (const auto& shard : shards_) {
    MutexLock lock(shard->mutex);
    auto policy = MakePolicy(kind, shard_bound_);
    policy->TakeOver(shard->policy->Order());
    shard->policy = std::move(policy);
    MakeRoom(*shard);
  }
}

void ChunkCache::Clear() {
  for (const auto& shard : shards_) {
    MutexLock lock(shard->mutex);
    for (EntryIndex entry = 0; entry < shard->entries.size(); ++entry) {
      if (shard->entries[entry].chunk) Drop(*shard, entry, /*tell_policy=*/true);
    }
  }
}

ZoneHits& ChunkCache::HitsOf(Shard& shard, const ZoneId& zone) {
  const auto known = shard.zones.find(zone);
  if (known != shard.zones.end()) return known->second;
  const ZoneId counted = shard.zones.size() < kCountedZones ? zone : ZoneId();
  return shard.zones.try_emplace(counted, ZoneHits{counted}).first->second;
}

std::vector<ZoneHits> ChunkCache::CountersByZone() const {
  std::map<ZoneId, ZoneHits> sums;
  for (const auto& shard : shards_) {
    MutexLock lock(shard->mutex);
    for (const auto& [zone, hits] : shard->zones) {
      ZoneHits& sum = sums.try_emplace(zone, ZoneHits{zone}).first->second;
      sum.hits += hits.hits;
      sum.misses += hits.misses;
      sum.disk_hits += hits.disk_hits;
      sum.disk_misses += hits.disk_misses;
    }
  }
  ZoneHits others;
  std::vector<ZoneHits> zones;
  for (const auto& [zone, hits] : sums) {
    if (zone.IsZero()) {
      others = hits;
    } else {
      zones.push_back(hits);
    }
  }
  std::stable_sort(zones.begin(), zones.end(),
                   [](const ZoneHits& a, const ZoneHits& b) { return a.hits + a.misses > b.hits + b.misses; });
  while (zones.size() >= kCountedZones) {
    others.hits += zones.back().hits;
    others.misses += zones.back().misses;
    others.disk_hits += zones.back().disk_hits;
    others.disk_misses += zones.back().disk_misses;
    zones.pop_back();
  }
  if (others.hits + others.misses > 0) zones.push_back(others);
  return zones;
}

void ChunkCache::Drop(Shard& shard, EntryIndex index, bool tell_policy) {
  if (tell_policy) shard.policy->Remove(index);
  Entry& entry = shard.entries[index];
  shard.cost -= entry.cost;
  shard.places.erase(entry.key);
  entry.chunk.reset();
  shard.free.push_back(index);
}

ChunkCacheCounters ChunkCache::Counters() const {
  ChunkCacheCounters counters;
  counters.hits = hits_.load(std::memory_order_relaxed);
  counters.misses = misses_.load(std::memory_order_relaxed);
  counters.evictions = evictions_.load(std::memory_order_relaxed);
  counters.bound_bytes = config_.bytes;
  counters.policy = kind_;
  for (const auto& shard : shards_) {
    MutexLock lock(shard->mutex);
    counters.entries += shard->places.size();
    counters.bytes += shard->cost + shard->tables;
    counters.overhead_bytes += shard->places.size() * kOverhead + shard->tables;
    if (counters.deciding.empty()) counters.deciding = shard->policy->deciding();
  }
  return counters;
}

}  // namespace coffer::router
