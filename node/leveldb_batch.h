// Turns the changes of a group commit into one batch of LevelDB.
//
// Some changes depend on what is there (a header is replaced, its value stays; a range is erased). "There" is LevelDB
// as of the last commit, and over it what this very group has done: the overlay.
#pragma once

#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "node/store.h"
#include "node/store_format.h"
#include "node/value_log.h"

namespace coffer::node {

// A range of headers and their values that is erased step by step after the commit that decided it. A row in
// Space::kErase says so until it is done, so that a restart finishes it.
struct LongErase {
  std::string row_key;
  PartitionId partition = 0;
  std::string from;
  std::string to;  // "" is the end of the partition
};
std::string EncodeEraseRow(const LongErase& erase);
std::optional<LongErase> DecodeEraseRow(std::string_view row_key, std::string_view row);

// A value that is to leave its segment, so that the segment can be used again.
struct ValueMove {
  PartitionId partition = 0;
  std::string key;   // of the record, encoded
  std::string from;  // locator
  RecordHeader header;
  Payload value;
};

struct LevelDbBatchLimits {
  std::size_t inline_value_bytes = 4 << 10;  // values up to here stay in the header's row
  bool all_inline = false;                // so do those that this group puts, whatever their size
  std::size_t erase_at_once = 10'000;     // records; a larger range becomes a LongErase
};

// For one group commit. Single-threaded.
class LevelDbBatch {
 public:
  // `next_erase` numbers the long erasures of a store; it is advanced.
  LevelDbBatch(leveldb::DB* db, ValueLog* values, LevelDbBatchLimits limits, std::uint64_t* next_erase)
      : db_(db), values_(values), limits_(limits), next_erase_(next_erase) {}

  // Adds a batch. Not ok: the disk could not be read, and nothing of this group may be written.
  leveldb::Status Add(const StoreBatch& batch);
  // Writes the value anew, unless its header points elsewhere by now.
  leveldb::Status Move(const ValueMove& move);
  // All of it, once nothing more is added. Of a partition's meta lines the last one.
  leveldb::WriteBatch* Finish();
  // To be carried out right after the commit, before any later group. When not empty, no further batch may be added.
  const std::vector<LongErase>& long_erases() const { return long_erases_; }
  // Partitions in which something was erased.
  const std::set<PartitionId>& erased_in() const { return erased_in_; }

 private:
  // A header's row as this group leaves it.
  struct Row {
    ValuePlace place = ValuePlace::kNone;
    std::string tail;      // the value's row, or the locator
    Payload rest;          // the value, if this group put it: `tail` is then its seal alone
    RecordHeader header;   // of a row that was read
    bool damaged = false;  // the row does not verify: nothing is known of its value
  };
  using Changes = std::vector<StoreBatch::Change>;

  leveldb::Status Apply(const StoreBatch::PutRecord& c);
  leveldb::Status Apply(const StoreBatch::SetHeader& c);
  leveldb::Status Apply(const StoreBatch::DropValue& c);
  leveldb::Status Apply(const StoreBatch::EraseRecord& c);
  leveldb::Status Apply(const StoreBatch::EraseRange& c);
  leveldb::Status Apply(const StoreBatch::PutLog& c);
  leveldb::Status Apply(const StoreBatch::EraseLog& c);
  leveldb::Status Apply(const StoreBatch::PutMeta& c);
  leveldb::Status Apply(const StoreBatch::ErasePartition& c);

  leveldb::Status EraseRecords(PartitionId partition, const std::string& from, const std::string& to);
  leveldb::Status EraseLogRange(PartitionId partition, Seq from, Seq to);
  // Whether a later change of the batch under way writes records of the partition.
  bool WrittenLater(PartitionId partition) const;
  // The row as it is now; nothing in `row` if there is none.
  leveldb::Status FindRow(PartitionId partition, const std::string& key, std::optional<Row>* row);
  void PutRow(PartitionId partition, const std::string& key, const RecordHeader& header, Row row);
  void EraseRow(PartitionId partition, const std::string& key, const Row& row);
  // Forgets the row's value, if it is apart.
  void EraseValue(PartitionId partition, const std::string& key, const Row& row);

  leveldb::DB* const db_;
  ValueLog* const values_;
  const LevelDbBatchLimits limits_;
  std::uint64_t* const next_erase_;
  leveldb::WriteBatch out_;
  std::string encoded_;                                // the last row that was put, for its memory
  std::map<std::string, std::optional<Row>> overlay_;  // by stored header key; nothing: erased
  std::set<std::pair<PartitionId, Seq>> logged_;       // log lines this group writes
  std::map<PartitionId, PartitionMeta> metas_;         // meta lines this group leaves, still to be written
  std::vector<LongErase> long_erases_;
  std::set<PartitionId> erased_in_;
  const Changes* changes_ = nullptr;  // of the batch under way
  std::size_t at_ = 0;                // index of its change under way
};

// Carries out a long erasure in steps of about `at_once` records. Ok once it is complete and its row is gone.
leveldb::Status FinishErase(leveldb::DB* db, ValueLog* values, const LongErase& erase, std::size_t at_once);

}  // namespace coffer::node
