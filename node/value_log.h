// Where the values live that are too large for their header's row: an append-only log of segments beside LevelDB.
//
// LevelDB rewrites what it stores several times over as its tables are merged; large values are written here once, and
// LevelDB keeps a locator in the header's row. The order of a group commit makes it safe: the values first, written and
// synced, then the one batch of LevelDB that points to them. So power loss leaves no locator without its value; a value
// without a locator is garbage.
//
// How much of a segment is still pointed to is counted in a row of LevelDB, in the very batches that change it. A
// segment that is empty is used again, under a new number, which every record's checksum covers: what an earlier use of
// the file left in it verifies for nobody.
#pragma once

#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "node/group_writer.h"
#include "node/segment_file.h"
#include "node/store.h"
#include "node/value_record.h"
#include "proto/mutex.h"

namespace coffer::node {

class DiskEnv;

struct ValueLogOptions {
  std::string folder;               // made if absent; its parent must exist
  std::uint64_t segment_bytes = 0;  // size of a segment; larger values get one of their own size
  std::size_t spare_segments = 0;   // empty ones that are kept to be used again
  std::uint64_t direct_bytes = 0;   // of a group from which on it is written past the page cache
};

// A record of a segment, as the cleaner meets it.
struct LoggedValue {
  ValueLocator locator;
  ValueRecord record;
};

// Get, Next and the counts are thread-safe; everything else is for the one thread that writes the store.
class ValueLog {
 public:
  // Reads which segments there are. `db` and `env` must outlive the log.
  static leveldb::Status Open(DiskEnv* env, leveldb::DB* db, ValueLogOptions options, std::unique_ptr<ValueLog>* out);

  // Takes the value for the group commit under way and says where it will be.
  leveldb::Status Put(PartitionId partition, std::string_view key, const RecordHeader& header, const Payload& value,
                      std::string* locator);
  // Forgets a value together with `batch`. An empty locator: one of an older store, or not known, and there may be none.
  void Erase(PartitionId partition, std::string_view key, std::string_view locator, leveldb::WriteBatch* batch);
  // Writes and syncs what was put, and adds to `batch` what must be known of the segments. Right before the batch is written,
  // with sync: segments which are empty with it may be used again after it.
  leveldb::Status Prepare(leveldb::WriteBatch* batch);
  // Right after the batch that was prepared is durable.
  leveldb::Status Committed();
  // Adds to `batch` that no header points into the segment any more, whatever was counted.
  void Drop(std::uint64_t segment);
  // Removes spare segments but for `keep`. The disk is full.
  leveldb::Status RemoveSpares(std::size_t keep);

  // The value, verified for its key and header. kAbsent: there is none at that place (any more).
  ReadOutcome Get(PartitionId partition, std::string_view key, const RecordHeader& header, std::string_view locator,
                  Payload* value) const;

  // The full segment with the largest share of garbage, if that is at least `percent`; none of `but`.
  std::optional<std::uint64_t> MostGarbage(int percent, const std::set<std::uint64_t>& but) const;
  // The record of the segment at `offset`, without its value; nothing at the end. kDamaged: it does not verify, so where the
  // next one begins is not known.
  ReadOutcome Next(std::uint64_t segment, std::uint64_t offset, std::optional<LoggedValue>* found) const;
  // For one who goes through a segment: the disk fetches the next `size` bytes from now on, which it does not do by itself.
  void Expect(std::uint64_t segment, std::uint64_t offset, std::uint64_t size) const;

  struct Counts {
    std::uint64_t segments = 0;       // with values
    std::uint64_t spare = 0;          // empty, kept to be used again
    std::uint64_t live_bytes = 0;     // records that headers point to
    std::uint64_t garbage_bytes = 0;  // all other bytes of full segments
  };
  Counts counts() const;

 private:
  struct Segment {
    SegmentRow row;
    std::shared_ptr<SegmentFile> file;  // null: gone, its values are damaged
  };
  // A record on its way to the disk.
  struct Pending {
    std::shared_ptr<SegmentFile> file;
    std::uint64_t offset;
    std::string header;
    Payload value;
  };
  ValueLog(DiskEnv* env, leveldb::DB* db, ValueLogOptions options)
      : env_(env), db_(db), options_(std::move(options)), writer_(options_.direct_bytes) {}
  leveldb::Status Load();
  leveldb::Status LoadRows(std::map<std::uint64_t, SegmentRow>* rows) const;
  bool FitsActive(std::uint64_t bytes) const;
  leveldb::Status OpenSegment(std::uint64_t bytes);
  leveldb::Status TakeSpare(std::uint64_t size, const std::string& path, std::shared_ptr<SegmentFile>* file);
  leveldb::Status WritePending();
  std::string PathOf(std::uint64_t segment) const;
  std::shared_ptr<SegmentFile> FileOf(std::uint64_t segment) const;

  DiskEnv* const env_;
  leveldb::DB* const db_;
  const ValueLogOptions options_;

  // Of the writing thread.
  std::uint64_t active_ = 0;  // the segment that is written; 0: none yet
  std::uint64_t next_ = 1;    // number of the next segment
  std::vector<Pending> pending_;
  GroupWriter writer_;
  std::set<std::uint64_t> touched_;  // their rows change with the batch
  std::set<std::uint64_t> emptied_;  // spare once the batch is durable

  mutable Mutex mutex_;
  std::map<std::uint64_t, Segment> segments_ ABSL_GUARDED_BY(mutex_);         // changed by the writing thread only
  std::vector<std::shared_ptr<SegmentFile>> spares_ ABSL_GUARDED_BY(mutex_);  // changed by the writing thread only
  std::uint64_t full_below_ ABSL_GUARDED_BY(mutex_) = 0;  // segments below are full, and all in them was committed
};

}  // namespace coffer::node
