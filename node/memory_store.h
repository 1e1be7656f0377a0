// A store in memory, for simulation and tests: nothing happens unless its owner says so.
//
// Write() only queues. The owner decides when batches become durable (CompleteWrites), when the process dies (Crash),
// when a sync fails, what is damaged. Reads see completed batches and no others. Deterministic; not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "node/store.h"

namespace coffer::node {

class MemoryStore final : public Store {
 public:
  static constexpr std::size_t kAll = static_cast<std::size_t>(-1);

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

  // What checkers look at all the time, without copies: null when there is none that verifies; up to the first bad line.
  const PartitionMeta* MetaOf(PartitionId partition) const;
  void VisitLog(PartitionId partition, Seq to, const std::function<void(const LogRecord&)>& visit) const;
  // Another number whenever what can be read of the partition's records of this kind may have become another; 0 while there never were
  // any. Numbers of two stores say nothing about each other, nor do those from before this one was assigned to.
  std::uint64_t Changes(PartitionId partition, RecordKind kind) const;

  // Batches that are queued and not yet durable.
  std::size_t pending() const { return queue_.size(); }
  const StoreBatch& Pending(std::size_t i) const { return queue_[i].batch; }
  // One group commit: the oldest `count` batches queued by now become durable and visible together, then their
  // callbacks run in order. What a callback writes is queued behind. After FailNextSync or a failure they are told
  // false instead.
  void CompleteWrites(std::size_t count = kAll);

  // The process dies: queued batches are gone, their callbacks never run. The oldest `survive` of them had reached the
  // disk although nobody was told. Failures are over; what is durable, damage, fullness and slowness stay. Use the object on.
  void Crash(std::size_t survive = 0);
  // The next CompleteWrites fails, and everything after it until Crash. What its batches left behind is decided by the
  // `survive` of that Crash.
  void FailNextSync() { fail_next_sync_ = true; }
  // A new, empty disk. Nothing may be pending.
  void Wipe();

  // Which part of a record is hit.
  enum class Part { kHeader, kValue };
  // What is durable of this record no longer verifies, until it is written again. False: there is no such part.
  bool DamageRecord(PartitionId partition, const RecordKey& key, Part part);
  // Whether the bytes of a record are there, sound or not; what is empty counts.
  bool HasValue(PartitionId partition, const RecordKey& key) const;
  // Records whose header is damaged verify again, as if a backup had been put back.
  void RestoreHeaders(PartitionId partition);
  // The line of the log no longer verifies. False: there is none.
  bool DamageLog(PartitionId partition, Seq seq);
  // The meta line no longer verifies. False: there is none.
  bool DamageMeta(PartitionId partition);
  // Every read ends in kFailed while set, but for the first `sound` ones.
  void SetReadErrors(bool on, std::size_t sound = 0) {
    read_errors_ = on;
    sound_reads_ = sound;
    all_changed_ = ++changes_;
  }
  void SetFull(bool full) { full_ = full; }
  void SetSlow(bool slow) { slow_ = slow; }
  void SetSinceLastSync(Duration age) { since_last_sync_ = age; }

 private:
  struct Row {
    RecordHeader header;
    Payload value;  // null: none
    bool header_damaged = false;
    bool value_damaged = false;
  };
  struct LogRow {
    LogRecord record;
    bool damaged = false;
  };
  struct Partition {
    std::map<std::string, Row, std::less<>> records;  // by encoded key
    std::map<Seq, LogRow> log;
    std::optional<PartitionMeta> meta;
    bool meta_damaged = false;
    std::array<std::uint64_t, 6> changes{};  // by kind
  };
  struct Queued {
    StoreBatch batch;
    std::function<void(bool)> done;
  };

  void Apply(const StoreBatch& batch);
  void ApplyChange(const StoreBatch::PutRecord& c);
  void ApplyChange(const StoreBatch::SetHeader& c);
  void ApplyChange(const StoreBatch::DropValue& c);
  void ApplyChange(const StoreBatch::EraseRecord& c);
  void ApplyChange(const StoreBatch::EraseRange& c);
  void ApplyChange(const StoreBatch::PutLog& c);
  void ApplyChange(const StoreBatch::EraseLog& c);
  void ApplyChange(const StoreBatch::PutMeta& c);
  void ApplyChange(const StoreBatch::ErasePartition& c);
  // Of a partition that a record of this kind is about to be changed in.
  Partition& Changing(PartitionId partition, RecordKind kind);
  const Partition* Find(PartitionId partition) const;
  const Row* Find(PartitionId partition, const RecordKey& key) const;
  bool ReadFails() const;
  static ReadOutcome ValueOf(const Row& row, Payload* value);

  std::deque<Queued> queue_;
  std::map<PartitionId, Partition> partitions_;
  std::uint64_t changes_ = 0;      // the last number given
  std::uint64_t all_changed_ = 0;  // the number of the last change that was to everything
  bool fail_next_sync_ = false;
  bool failed_ = false;
  bool read_errors_ = false;
  mutable std::size_t sound_reads_ = 0;  // that are left while read_errors_
  bool full_ = false;
  bool slow_ = false;
  Duration since_last_sync_{};
};

}  // namespace coffer::node
