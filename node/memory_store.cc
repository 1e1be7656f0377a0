#include "node/memory_store.h"

#include <algorithm>

namespace coffer::node {
namespace {

std::string ChainPrefix(const ZoneId& zone, const BlockId& chain) {
  std::string key = EncodeKey({zone, RecordKind::kEntry, chain, 0});
  key.resize(key.size() - 8);
  return key;
}

}  // namespace

void MemoryStore::Write(StoreBatch batch, std::function<void(bool)> done) {
  queue_.push_back({std::move(batch), std::move(done)});
}

void MemoryStore::CompleteWrites(std::size_t count) {
  count = std::min(count, queue_.size());
  if (count == 0) return;
  std::vector<std::function<void(bool)>> callbacks;
  if (fail_next_sync_ || failed_) {
    failed_ = true;
    fail_next_sync_ = false;
    // Every batch fails from now on, but stays queued: a Crash decides what of them the disk has.
    for (auto& queued : queue_) {
      if (queued.done) callbacks.push_back(std::exchange(queued.done, nullptr));
    }
    for (auto& done : callbacks) done(false);
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    Apply(queue_.front().batch);
    callbacks.push_back(std::move(queue_.front().done));
    queue_.pop_front();
  }
  for (auto& done : callbacks) {
    if (done) done(true);
  }
}

void MemoryStore::Crash(std::size_t survive) {
  survive = std::min(survive, queue_.size());
  for (std::size_t i = 0; i < survive; ++i) Apply(queue_[i].batch);
  queue_.clear();
  failed_ = fail_next_sync_ = false;
}

void MemoryStore::Wipe() {
  partitions_.clear();
  all_changed_ = ++changes_;
  queue_.clear();
  failed_ = fail_next_sync_ = false;
}

StoreHealth MemoryStore::Health() const {
  StoreHealth health;
  health.failed = failed_;
  if (failed_) health.failure = "a sync failed (simulated); restart the process";
  health.full = full_;
  health.total_bytes = 1ull << 40;
  for (const auto& [id, partition] : partitions_) {
    for (const auto& [key, row] : partition.records)
      health.used_bytes += key.size() + 64 + (row.value ? row.value->size() : 0);
  }
  health.free_bytes = full_ ? 0 : health.total_bytes - std::min(health.total_bytes, health.used_bytes);
  health.slow = slow_;
  health.since_last_sync = since_last_sync_;
  return health;
}

void MemoryStore::Apply(const StoreBatch& batch) {
  for (const auto& change : batch.changes) std::visit([this](const auto& c) { ApplyChange(c); }, change);
}

MemoryStore::Partition& MemoryStore::Changing(PartitionId partition, RecordKind kind) {
  Partition& p = partitions_[partition];
  p.changes[static_cast<std::size_t>(kind)] = ++changes_;
  return p;
}

std::uint64_t MemoryStore::Changes(PartitionId partition, RecordKind kind) const {
  const Partition* p = Find(partition);
  return std::max(all_changed_, p ? p->changes[static_cast<std::size_t>(kind)] : 0);
}

void MemoryStore::ApplyChange(const StoreBatch::PutRecord& c) {
  Changing(c.partition, c.key.kind).records[EncodeKey(c.key)] = Row{c.header, c.value};
}

void MemoryStore::ApplyChange(const StoreBatch::SetHeader& c) {
  Row& row = Changing(c.partition, c.key.kind).records[EncodeKey(c.key)];
  row.header = c.header;
  row.header_damaged = false;
}

void MemoryStore::ApplyChange(const StoreBatch::DropValue& c) {
  Changing(c.partition, c.key.kind).records[EncodeKey(c.key)] = Row{c.header, nullptr};
}

void MemoryStore::ApplyChange(const StoreBatch::EraseRecord& c) {
  Changing(c.partition, c.key.kind).records.erase(EncodeKey(c.key));
}

void MemoryStore::ApplyChange(const StoreBatch::EraseRange& c) {
  Partition& partition = partitions_[c.partition];
  partition.changes.fill(++changes_);
  auto& records = partition.records;
  if (!c.to.empty() && c.to <= c.from) return;
  records.erase(records.lower_bound(c.from), c.to.empty() ? records.end() : records.lower_bound(c.to));
}

void MemoryStore::ApplyChange(const StoreBatch::PutLog& c) {
  partitions_[c.partition].log[Seq(c.record->stamp().seq())] = LogRow{*c.record};
}

void MemoryStore::ApplyChange(const StoreBatch::EraseLog& c) {
  auto& log = partitions_[c.partition].log;
  if (c.to < c.from) return;
  log.erase(log.lower_bound(c.from), log.upper_bound(c.to));
}

void MemoryStore::ApplyChange(const StoreBatch::PutMeta& c) {
  Partition& partition = partitions_[c.partition];
  partition.meta = c.meta;
  partition.meta_damaged = false;
}

void MemoryStore::ApplyChange(const StoreBatch::ErasePartition& c) {
  partitions_.erase(c.partition);
  all_changed_ = ++changes_;
}

const MemoryStore::Partition* MemoryStore::Find(PartitionId partition) const {
  const auto it = partitions_.find(partition);
  return it == partitions_.end() ? nullptr : &it->second;
}

const MemoryStore::Row* MemoryStore::Find(PartitionId partition, const RecordKey& key) const {
  const Partition* p = Find(partition);
  if (!p) return nullptr;
  const auto it = p->records.find(EncodeKey(key));
  return it == p->records.end() ? nullptr : &it->second;
}

bool MemoryStore::ReadFails() const {
  if (!read_errors_) return false;
  if (sound_reads_ == 0) return true;
  --sound_reads_;
  return false;
}

// As a disk store: a value that should be there and is not, or has another size, is damage.
ReadOutcome MemoryStore::ValueOf(const Row& row, Payload* value) {
  *value = nullptr;
  if (!row.value) {
    return row.header.value_gone || row.header.size == 0 ? ReadOutcome::kFound : ReadOutcome::kDamaged;
  }
  if (row.value_damaged || row.value->size() != row.header.size) return ReadOutcome::kDamaged;
  *value = row.value;
  return ReadOutcome::kFound;
}

// Nothing here waits.
bool MemoryStore::ReadPromptly(const std::function<void()>& reads, std::uint64_t* /*bytes*/) const {
  reads();
  return true;
}

ReadOutcome MemoryStore::Lookup(PartitionId partition, const RecordKey& key, RecordHeader* header) const {
  if (ReadFails()) return ReadOutcome::kFailed;
  const Row* row = Find(partition, key);
  if (!row) return ReadOutcome::kAbsent;
  if (row->header_damaged) return ReadOutcome::kDamaged;
  *header = row->header;
  return ReadOutcome::kFound;
}

ReadOutcome MemoryStore::Read(PartitionId partition, const RecordKey& key, RecordHeader* header, Payload* value) const {
  *value = nullptr;
  if (ReadFails()) return ReadOutcome::kFailed;
  const Row* row = Find(partition, key);
  if (!row) return ReadOutcome::kAbsent;
  if (row->header_damaged) return ReadOutcome::kDamaged;
  *header = row->header;
  return ValueOf(*row, value);
}

ReadOutcome MemoryStore::Scan(PartitionId partition, std::string_view after, std::string_view last,
                              const std::function<bool(const ScannedRecord&)>& visit) const {
  if (ReadFails()) return ReadOutcome::kFailed;
  const Partition* p = Find(partition);
  if (!p) return ReadOutcome::kFound;
  auto it = after.empty() ? p->records.begin() : p->records.upper_bound(after);
  for (; it != p->records.end() && (last.empty() || it->first <= last); ++it) {
    const Row& row = it->second;
    ScannedRecord scanned{*DecodeKey(it->first), {}, row.header_damaged};
    if (!row.header_damaged) scanned.header = row.header;
    if (!visit(scanned)) break;
  }
  return ReadOutcome::kFound;
}

ReadOutcome MemoryStore::LastEntry(PartitionId partition, const ZoneId& zone, const BlockId& chain, RecordKey* key,
                                   RecordHeader* header) const {
  if (ReadFails()) return ReadOutcome::kFailed;
  const Partition* p = Find(partition);
  if (!p) return ReadOutcome::kAbsent;
  const std::string prefix = ChainPrefix(zone, chain);
  const auto it = p->records.lower_bound(prefix);
  if (it == p->records.end() || it->first.compare(0, prefix.size(), prefix) != 0) return ReadOutcome::kAbsent;
  *key = *DecodeKey(it->first);
  if (it->second.header_damaged) return ReadOutcome::kDamaged;
  *header = it->second.header;
  return ReadOutcome::kFound;
}

ReadOutcome MemoryStore::ReadEntries(
    PartitionId partition, const ZoneId& zone, const BlockId& chain, std::uint64_t from, std::uint64_t to,
    bool backwards, const EntryVisitor& visit) const {
  if (ReadFails()) return ReadOutcome::kFailed;
  const Partition* p = Find(partition);
  if (!p || from >= to) return ReadOutcome::kFound;
  // Stored newest first: the range is [key of to - 1, key of from].
  const auto begin = p->records.lower_bound(EncodeKey({zone, RecordKind::kEntry, chain, to - 1}));
  const auto end = p->records.upper_bound(EncodeKey({zone, RecordKind::kEntry, chain, from}));
  auto show = [&](const auto& entry) {
    const Row& row = entry.second;
    const RecordKey key = *DecodeKey(entry.first);
    if (row.header_damaged) return visit(ReadOutcome::kDamaged, key, RecordHeader{}, EntryValue(Payload()));
    Payload value;
    const ReadOutcome outcome = ValueOf(row, &value);
    return visit(outcome, key, row.header, EntryValue(std::move(value)));
  };
  if (backwards) {
    for (auto it = begin; it != end; ++it) {
      if (!show(*it)) break;
    }
  } else {
    for (auto it = end; it != begin;) {
      if (!show(*--it)) break;
    }
  }
  return ReadOutcome::kFound;
}

ReadOutcome MemoryStore::ReadLog(PartitionId partition, Seq from, Seq to, std::vector<LogRecord>* records) const {
  if (ReadFails()) return ReadOutcome::kFailed;
  const Partition* p = Find(partition);
  if (!p) return ReadOutcome::kFound;
  for (auto it = p->log.lower_bound(from); it != p->log.end() && it->first <= to; ++it) {
    if (it->second.damaged) return ReadOutcome::kDamaged;
    records->push_back(it->second.record);
  }
  return ReadOutcome::kFound;
}

const PartitionMeta* MemoryStore::MetaOf(PartitionId partition) const {
  const Partition* p = Find(partition);
  return p && p->meta && !p->meta_damaged ? &*p->meta : nullptr;
}

void MemoryStore::VisitLog(PartitionId partition, Seq to, const std::function<void(const LogRecord&)>& visit) const {
  const Partition* p = Find(partition);
  if (!p) return;
  for (auto it = p->log.begin(); it != p->log.end() && it->first <= to && !it->second.damaged; ++it) visit(it->second.record);
}

ReadOutcome MemoryStore::ReadMetas(const std::function<void(PartitionId, const PartitionMeta&)>& visit) const {
  if (ReadFails()) return ReadOutcome::kFailed;
  ReadOutcome outcome = ReadOutcome::kFound;
  for (const auto& [id, partition] : partitions_) {
    if (!partition.meta) continue;
    if (partition.meta_damaged) {
      outcome = ReadOutcome::kDamaged;
    } else {
      visit(id, *partition.meta);
    }
  }
  return outcome;
}

bool MemoryStore::DamageRecord(PartitionId partition, const RecordKey& key, Part part) {
  Row* row = const_cast<Row*>(Find(partition, key));
  if (!row || (part == Part::kValue && (!row->value || row->value->empty()))) return false;
  Changing(partition, key.kind);
  (part == Part::kHeader ? row->header_damaged : row->value_damaged) = true;
  return true;
}

bool MemoryStore::HasValue(PartitionId partition, const RecordKey& key) const {
  const Row* row = Find(partition, key);
  return row && (row->value || row->header.size == 0);
}

void MemoryStore::RestoreHeaders(PartitionId partition) {
  Partition& p = partitions_[partition];
  p.changes.fill(++changes_);
  for (auto& [key, row] : p.records) row.header_damaged = false;
}

bool MemoryStore::DamageLog(PartitionId partition, Seq seq) {
  const auto it = partitions_.find(partition);
  if (it == partitions_.end()) return false;
  const auto line = it->second.log.find(seq);
  if (line == it->second.log.end()) return false;
  line->second.damaged = true;
  return true;
}

bool MemoryStore::DamageMeta(PartitionId partition) {
  const auto it = partitions_.find(partition);
  if (it == partitions_.end() || !it->second.meta) return false;
  it->second.meta_damaged = true;
  return true;
}

}  // namespace coffer::node
