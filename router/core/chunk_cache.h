// Immutable chunks in memory. A chunk never changes, so a cached one is never stale; a delete elsewhere is bounded by age.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"
#include "proto/mutex.h"
#include "router/core/chunk_key.h"
#include "router/core/eviction.h"
#include "router/core/ghost_list.h"

namespace coffer::router {

struct ChunkCacheConfig {
  std::uint64_t bytes = 64u << 20;              // bound over all shards: values, and what keeping them costs; 0: no cache
  std::uint64_t largest_chunk = 1u << 20;       // larger ones are not kept
  Duration max_age = std::chrono::seconds(60);  // how long a delete through another router may stay unseen
  std::size_t shards = 4;                       // each with a lock; fewer know the work better, more stand in each other's way less
  EvictionKind policy = EvictionKind::kAdaptive;
  // Where chunks go that were read more than once and have to make room; a chunk counts as read again too if it comes back while it
  // is remembered that it left. `read_at`: when it was asked of a node. Called under the lock of a shard; empty: nowhere.
  std::function<void(const ChunkKey& key, Instant read_at, Payload chunk)> overflow;
};

// What the cache did, since its start.
struct ChunkCacheCounters {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t evictions = 0;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;          // in use, everything counted
  std::uint64_t overhead_bytes = 0; // of these: not the chunks' own
  std::uint64_t bound_bytes = 0;
  EvictionKind policy = EvictionKind::kAdaptive;
  std::string_view deciding;        // the policy the first shard follows now
};

// What the cache did for one zone, since its start.
struct ZoneHits {
  ZoneId zone;  // zero: all the zones that are not counted by themselves
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t disk_hits = 0;    // of the misses, found on disk
  std::uint64_t disk_misses = 0;  // and not found there either; 0 without a disk
};

// Thread-safe: each shard has its own lock.
class ChunkCache {
 public:
  // `seed` makes the places of keys unpredictable for whoever chooses ids.
  ChunkCache(ChunkCacheConfig config, std::uint64_t seed);

  // The whole chunk, or null. Counted as a hit or a miss.
  Payload Find(Instant now, const ZoneId& zone, const BlockId& id);
  // As Find, but what is not there is not counted: for those who ask Find then.
  Payload FindHit(Instant now, const ZoneId& zone, const BlockId& id);
  // Keeps a whole chunk that was read in answer to a question asked at `asked`, unless it is too large, or was removed since then.
  void Insert(Instant asked, const ZoneId& zone, const BlockId& id, Payload chunk);
  // Keeps a chunk again that left through `overflow`, was read by a node at `read_at`, and is known not to be removed since.
  void TakeBack(Instant read_at, const ZoneId& zone, const BlockId& id, Payload chunk);
  // Counts what a look for a chunk on disk led to, for its zone.
  void CountDisk(const ChunkKey& key, bool found);
  // Forgets a chunk (it is being deleted). Answers to questions asked before `now` are not kept afterwards.
  void Remove(Instant now, const ZoneId& zone, const BlockId& id);
  // Forgets all chunks of a zone that is deleted, and keeps none of it from now on: a zone's id is never used again.
  void RemoveZone(const ZoneId& zone);
  // Another policy from now on; no chunk is lost, and the new policy takes over the order of the old.
  void SetPolicy(EvictionKind kind);
  // Forgets every chunk. The counters go on.
  void Clear();

  ChunkCacheCounters Counters() const;
  // The busiest zone first; what goes beyond kCountedZones is summed up in the last one.
  std::vector<ZoneHits> CountersByZone() const;
  static constexpr std::size_t kCountedZones = 100;

 private:
  using Key = ChunkKey;
  using Hash = ChunkKeyHash;
  struct Entry {
    Key key;
    Payload chunk;  // null: free
    Instant read_at;
    std::uint64_t cost : 63 = 0;
    bool read_again : 1 = false;  // since it was put here, or soon after it had left
  };
  struct Shard {
    Shard(const Hash& hash, EvictionKind kind, std::uint64_t bound);
    std::uint64_t Tables() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    mutable Mutex mutex;
    std::unordered_map<Key, EntryIndex, Hash> places ABSL_GUARDED_BY(mutex);  // of entries in use
    std::vector<Entry> entries ABSL_GUARDED_BY(mutex);
    std::vector<EntryIndex> free ABSL_GUARDED_BY(mutex);
    std::unique_ptr<EvictionPolicy> policy ABSL_GUARDED_BY(mutex);
    std::uint64_t cost ABSL_GUARDED_BY(mutex) = 0;  // of all entries
    // Bytes of Tables(); cost + tables <= bound of the shard after every call.
    std::uint64_t tables ABSL_GUARDED_BY(mutex) = 0;
    GhostList left ABSL_GUARDED_BY(mutex);  // keys of chunks that were read once and made room; empty without an overflow
    // When; so that an answer on its way can't bring a chunk back.
    std::unordered_map<Key, Instant, Hash> removed ABSL_GUARDED_BY(mutex);
    std::deque<Key> removed_order ABSL_GUARDED_BY(mutex);  // oldest first; bounded
    std::map<ZoneId, ZoneHits> zones ABSL_GUARDED_BY(mutex);  // at most kCountedZones, and one for the others
    // What was removed until then may be forgotten in `removed`.
    Instant removed_before ABSL_GUARDED_BY(mutex){};
    std::set<ZoneId> removed_zones ABSL_GUARDED_BY(mutex);  // zones that were deleted
  };

  Payload Find(Instant now, const Key& key, bool count_miss);
  static ZoneHits& HitsOf(Shard& shard, const ZoneId& zone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  void Keep(Shard& shard, std::uint64_t hash, Entry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  std::size_t ShardOf(std::uint64_t hash) const { return (hash >> 56) % shards_.size(); }
  static void Drop(Shard& shard, EntryIndex entry, bool tell_policy) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);
  void MakeRoom(Shard& shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex);

  const ChunkCacheConfig config_;
  const std::uint64_t shard_bound_;
  const Hash hash_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<EvictionKind> kind_;
  std::atomic<std::uint64_t> hits_{0}, misses_{0}, evictions_{0};
};

}  // namespace coffer::router
