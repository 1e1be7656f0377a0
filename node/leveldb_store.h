// The store a node runs on: LevelDB with one writer that gathers what is queued into group commits.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "node/store.h"

namespace coffer::node {

class DiskFaults;

// Room on a file system, in bytes.
struct DiskSpace {
  std::uint64_t free_bytes = 0;  // to us; what is reserved for root does not count
  std::uint64_t total_bytes = 0;
};

struct LevelDbStoreOptions {
  std::string folder;       // made if absent; its parent must exist
  NodeId owner;             // whose store it is; another node's is refused
  bool must_exist = false;  // the node has had a store before: an absent one is damage, not a first start

  std::size_t inline_value_bytes = 4 << 10;  // larger values are stored apart from their headers, in the log of values,
  std::size_t lone_value_bytes = 16 << 10;   // unless all such values of a group commit have no more bytes: one sync, not two
  std::uint64_t segment_bytes = 64 << 20;    // of the log of values; at most a 256th of the disk
  std::size_t spare_segments = 2;            // empty ones kept to be used again
  std::uint64_t direct_bytes = 256 << 10;    // large values of a group commit from which on they are written past the page cache
  int garbage_percent = 50;                  // a segment is cleaned when this much of it is garbage; 10 on a full disk
  std::uint64_t clean_bytes_per_second = 32 << 20;  // moved to clean segments, at most
  std::size_t write_buffer_bytes = 8 << 20;  // x 2 in memory; higher: fewer compactions, longer start after a kill
  std::chrono::milliseconds write_out_after{10'000};  // without a commit; then it goes to a table, if 1 MiB was committed since it last did
  std::uint64_t log_room_bytes = 256 << 10;  // by which LevelDB's log grows ahead of what is written; 0: not at all
  std::size_t block_cache_bytes = 8 << 20;
  std::size_t table_bytes = 8 << 20;
  int open_files = 256;                // tables kept open, each with its index and filter in memory (about 50 KiB)
  std::size_t group_bytes = 8 << 20;   // values and headers in one group commit, about
  std::size_t erase_at_once = 10'000;  // records; larger ranges are erased in steps of this size

  // Below this much free space the store is full. Nothing: max(5 % of the disk, 1 GiB, 4 x write buffer + the largest
  // compaction). It is not full any more once a quarter above it is free.
  std::optional<std::uint64_t> reserve_bytes;
  // Syncs that take longer are slow (node/sync_watch.h). 0: none is.
  std::chrono::milliseconds slow_disk{100};
  // How often segments are looked at again in which something did not verify or could not be read when they were cleaned.
  std::chrono::milliseconds clean_again{10 * 60 * 1000};
  // How often an idle disk is asked whether it still syncs, and the free space is looked at.
  std::chrono::milliseconds probe_interval{1000};

  // Called once, by any thread, when the disk failed a write or sync: what was on its way to the disk is unknown from
  // then on, and the identity must be retired before the next start (DataFolder::MarkFailed). May be empty.
  std::function<void(const std::string&)> on_failure;
  // Tests: what fails, and how much room there is. Null and empty for the real disk.
  DiskFaults* faults = nullptr;
  std::function<DiskSpace()> space;
};

// Why a store can't be opened.
enum class StoreOpenError {
  kNone,
  kInUse,       // another process has it
  kPermission,  // not ours to read or write
  kReadOnly,    // the file system is mounted read-only
  kNoSpace,     // full
  kDamaged,     // bytes that do not verify, or files that are missing: the identity must be retired
  kForeign,     // the store of another node: the identity must be retired
  kNewer,       // written by a newer version
  kDisk,        // any other error of the disk
};

// Thread-safe; callbacks of Write run on its writer thread and may call Write. Destroying it commits what is queued (or
// tells its callbacks false, if it is waiting for space) and ends the threads.
class LevelDbStore final : public Store {
 public:
  struct OpenResult {
    std::unique_ptr<LevelDbStore> store;  // null on error
    StoreOpenError error = StoreOpenError::kNone;
    std::string message;  // for the operator: what happened, what is safe, what to do
  };
  static OpenResult Open(LevelDbStoreOptions options);
  ~LevelDbStore() override;

  // While the disk is full to a small rest of the reserve, batches that add data wait, and everything behind them; this
  // is seen as Health().full. The owner refuses new writes long before.
  void Write(StoreBatch batch, std::function<void(bool)> done) override;
  StoreHealth Health() const override;
  bool ReadPromptly(const std::function<void()>& reads, std::uint64_t* bytes) const override;

  ReadOutcome Lookup(PartitionId partition, const RecordKey& key, RecordHeader* header) const override;
  ReadOutcome Read(PartitionId partition, const RecordKey& key, RecordHeader* header, Payload* value) const override;
  ReadOutcome Scan(PartitionId partition, std::string_view after, std::string_view last,
                   const std::function<bool(const ScannedRecord&)>& visit) const override;
  ReadOutcome LastEntry(PartitionId partition, const ZoneId& zone, const BlockId& chain, RecordKey* key,
                        RecordHeader* header) const override;
  ReadOutcome ReadEntries(PartitionId partition, const ZoneId& zone, const BlockId& chain, std::uint64_t from,
                          std::uint64_t to, bool backwards, const EntryVisitor& visit) const override;
  ReadOutcome ReadLog(PartitionId partition, Seq from, Seq to, std::vector<LogRecord>* records) const override;
  ReadOutcome ReadMetas(const std::function<void(PartitionId, const PartitionMeta&)>& visit) const override;

  // Since the start.
  struct Counters {
    std::uint64_t batches = 0;
    std::uint64_t group_commits = 0;  // each one write and one fdatasync
    std::uint64_t bytes_written = 0;  // to the disk, compactions included
    std::uint64_t damaged_reads = 0;  // rows and blocks that did not verify
    std::uint64_t prompt_reads = 0;   // ReadPromptly that need not wait
    std::uint64_t deferred_reads = 0; // and those that would have
    std::uint64_t reclaims = 0;       // compactions asked for to get erased space back
    std::uint64_t write_outs = 0;     // of LevelDB's buffer, because nobody wrote
    std::uint64_t segments = 0;       // of the log of values
    std::uint64_t spare_segments = 0;
    std::uint64_t live_value_bytes = 0;     // in segments, and pointed to
    std::uint64_t garbage_value_bytes = 0;  // in segments, for nothing
    std::uint64_t moved_value_bytes = 0;    // written again to clean segments
    std::uint64_t cleaned_segments = 0;
  };
  Counters counters() const;

 private:
  struct Impl;
  explicit LevelDbStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace coffer::node
