// The decisions of the cache's part on disk: what is written where, what can be read, and what makes room.
//
// The space is cut into segments, written from front to back, one after the other, and used again in the same order: the
// oldest first. What was read since it was written is written once more before its segment is used again. No I/O, clock or
// thread: the owner carries out the orders and says how they ended.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cluster/ids.h"
#include "cluster/message.h"
#include "router/core/chunk_key.h"

namespace coffer::router {

struct DiskIndexConfig {
  std::string path;                             // the folder, for messages; empty: there is no disk
  std::uint64_t bytes = 0;                      // bound on the disk; at least kLeastDiskBytes
  std::uint64_t index_bytes = 16u << 20;        // bound of the memory that says what is where
  Duration max_age = std::chrono::seconds(60);  // as in memory: how long a delete may stay unseen
  std::uint64_t queued_bytes = 8u << 20;        // waiting to be written; beyond: left out
  std::uint64_t reading_bytes = 32u << 20;      // being read; beyond: not looked for
};
inline constexpr std::uint64_t kLeastDiskBytes = 16u << 20;
// Of a record, beside the chunk: what names and verifies it (disk_record.h).
inline constexpr std::uint32_t kDiskRecordHead = 56;

// Where a record lies.
struct DiskPlace {
  std::uint32_t segment = 0;
  std::uint32_t use = 0;     // how often the segment was begun; in each record's checksum, so that none outlives it
  std::uint32_t offset = 0;  // in the segment
  std::uint32_t size = 0;    // of the record
  bool operator==(const DiskPlace&) const = default;
};

// Orders to write are carried out one after the other, in their order.
struct DiskWrite {
  DiskPlace to;
  std::uint64_t hash = 0;  // of the key; handed back
  ChunkKey key;
  Payload chunk;           // null: the record that lies at `from` is moved, and `key` is not set
  DiskPlace from;
};
struct DiskWritten {
  DiskPlace to;
  std::uint64_t hash = 0;
  std::uint64_t bytes = 0;  // of the chunk that waited; 0 for a move
  bool done = false;        // false: the record to move did not verify
};

using DiskReadId = std::uint64_t;
struct DiskRead {
  DiskReadId id = 0;
  DiskPlace from;
  ChunkKey key;
};
enum class DiskReadEnd { kFound, kOtherKey, kBadRecord };

// Since the start.
struct DiskCounters {
  std::string path;
  std::string off_because;          // empty: it is used
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t writes = 0;         // records, those moved too
  std::uint64_t moves = 0;
  std::uint64_t evictions = 0;      // chunks that made room
  std::uint64_t bad_records = 0;
  std::uint64_t skipped = 0;        // left out because the disk was behind: writes and look-ups
  std::uint64_t chunks = 0;         // that can be read
  std::uint64_t queued = 0;         // records that wait to be written
  std::uint64_t bytes = 0;          // on disk, those of chunks that are gone too
  std::uint64_t bound_bytes = 0;
  std::uint64_t index_bytes = 0;
};

// Single-threaded; owned by RouterCore.
class DiskIndex {
 public:
  DiskIndex(DiskIndexConfig config, std::uint64_t seed, Instant now);

  // Whether there is a disk and it works.
  bool on() const { return !config_.path.empty() && off_because_.empty(); }
  // A chunk that leaves memory and was read more than once, last from a node at `read_at`.
  void Offer(Instant now, Instant read_at, const ChunkKey& key, Payload chunk);
  // Begins to read a chunk that memory does not have; Read follows. 0: it is not there.
  DiskReadId Find(Instant now, const ChunkKey& key);

  struct Found {
    ChunkKey key;
    Payload chunk;      // null: it is not there after all
    Instant read_at{};  // from a node
  };
  Found Read(DiskReadId id, DiskReadEnd end, Payload chunk);
  void Written(const std::vector<DiskWritten>& writes);
  // The disk failed: nothing is written or found any more.
  void SwitchOff(std::string because);

  void Remove(const ChunkKey& key);
  void RemoveZone(const ZoneId& zone);
  void Clear();

  std::vector<DiskWrite> TakeWrites() { return std::exchange(writes_, {}); }
  std::vector<DiskRead> TakeReads() { return std::exchange(reads_, {}); }
  DiskCounters Counters() const;

  // Of a disk of so many bytes.
  static std::uint32_t SegmentBytes(std::uint64_t disk_bytes);
  // The most chunks an index of so many bytes names.
  static std::size_t MostItems(std::uint64_t index_bytes);

 private:
  struct Item {
    std::uint32_t segment;
    std::uint32_t offset;
    std::uint32_t size;
    std::uint32_t read_at;   // whole seconds after began_, rounded down
    std::uint32_t zone;      // a part of its id: two zones that share it lose their chunks together
    bool written = false;
    bool read_since = false;
  };
  struct Segment {
    std::uint32_t use = 0;
    std::uint32_t size = 0;             // written or ordered to be
    std::vector<std::uint64_t> hashes;  // of what was put there; may be elsewhere or gone by now
  };
  struct Reading {
    DiskPlace from;
    std::uint64_t hash = 0;
    ChunkKey key;
  };
  using Items = absl::flat_hash_map<std::uint64_t, Item>;

  bool MakeRoom(Instant now, std::uint32_t size);
  void Recycle(Instant now, bool keep_what_was_read);
  DiskPlace Append(std::uint64_t hash, std::uint32_t size);
  DiskPlace PlaceOf(const Item& item) const { return {item.segment, segments_[item.segment].use, item.offset, item.size}; }
  // The item, if it still is the one at that place.
  Items::iterator ItemAt(std::uint64_t hash, const DiskPlace& place);
  Instant ReadAt(const Item& item) const { return began_ + std::chrono::seconds(item.read_at); }
  void ForgetAll();

  const DiskIndexConfig config_;
  const ChunkKeyHash hash_;
  const Instant began_;
  const std::uint32_t segment_bytes_;
  const std::size_t most_items_;
  std::string off_because_;
  Items items_;  // by the hash of the key; the record on disk has the whole key
  std::vector<Segment> segments_;
  std::deque<std::uint32_t> full_;  // the oldest in front
  std::vector<std::uint32_t> free_;
  std::uint32_t open_ = 0;          // the segment that is being filled
  std::uint64_t listed_ = 0;        // hashes in all segments
  std::map<DiskReadId, Reading> reading_;
  DiskReadId next_read_ = 1;
  std::uint64_t reading_bytes_ = 0;
  std::uint64_t queued_bytes_ = 0;
  std::vector<DiskWrite> writes_;
  std::vector<DiskRead> reads_;
  DiskCounters counters_;
};

}  // namespace coffer::router
