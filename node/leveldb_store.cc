#include "node/leveldb_store.h"

#include <leveldb/cache.h>
#include <leveldb/filter_policy.h>

#include <atomic>

#include "node/disk_env.h"
#include "node/disk_guard.h"
#include "node/leveldb_open.h"
#include "node/leveldb_read.h"
#include "node/leveldb_writer.h"
#include "node/prompt_read.h"
#include "node/store_format.h"
#include "node/value_cleaner.h"
#include "node/value_log.h"

namespace coffer::node {
namespace {

// LevelDB takes part in a compaction at most this many tables' worth of bytes.
constexpr std::uint64_t kTablesInCompaction = 25;

std::string ChainPrefix(const ZoneId& zone, const BlockId& chain) {
  std::string key = EncodeKey({zone, RecordKind::kEntry, chain, 0});
  key.resize(key.size() - 8);
  return key;
}

}  // namespace

// In the order of construction: each needs those above it.
struct LevelDbStore::Impl {
  explicit Impl(LevelDbStoreOptions o)
      : options(std::move(o)),
        env(options.faults, options.on_failure, options.log_room_bytes),
        filter(leveldb::NewBloomFilterPolicy(10)),
        cache(leveldb::NewLRUCache(options.block_cache_bytes)) {}

  leveldb::Options DbOptions() {
    leveldb::Options out;
    out.env = &env;
    out.paranoid_checks = true;
    out.reuse_logs = false;
    out.compression = leveldb::kNoCompression;  // it is ciphertext
    out.filter_policy = filter.get();
    out.block_cache = cache.get();
    out.write_buffer_size = options.write_buffer_bytes;
    out.max_file_size = options.table_bytes;
    out.max_open_files = options.open_files;
    out.block_size = 8 << 10;
    return out;
  }
  DiskSpace Space() const { return options.space ? options.space() : SpaceOf(options.folder); }

  // The row of a header; a damaged one is counted.
  ReadOutcome GetRow(PartitionId partition, std::string_view key, std::string* bytes, HeaderRow* row) const;
  // The value of a decoded row; a damaged one is not counted: the row may have been replaced since it was read.
  ReadOutcome GetValue(PartitionId partition, std::string_view key, const HeaderRow& row, Payload* value) const;
  ReadOutcome Damaged() const {
    ++damaged_reads;
    return ReadOutcome::kDamaged;
  }
  ReadOutcome Noted(ReadOutcome outcome) const { return outcome == ReadOutcome::kDamaged ? Damaged() : outcome; }

  const LevelDbStoreOptions options;
  DiskEnv env;
  const std::unique_ptr<const leveldb::FilterPolicy> filter;
  const std::unique_ptr<leveldb::Cache> cache;
  std::unique_ptr<leveldb::DB> db;
  std::unique_ptr<ValueLog> values;
  std::unique_ptr<SpaceGuard> guard;
  std::unique_ptr<LevelDbWriter> writer;
  std::unique_ptr<ValueCleaner> cleaner;
  mutable std::atomic<std::uint64_t> damaged_reads{0};
  mutable std::atomic<std::uint64_t> prompt_reads{0};
  mutable std::atomic<std::uint64_t> deferred_reads{0};
};

LevelDbStore::OpenResult LevelDbStore::Open(LevelDbStoreOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  OpenedDb opened = OpenDb(impl->options, &impl->env, impl->DbOptions());
  if (!opened.db) return {nullptr, opened.error, std::move(opened.message)};
  impl->db = std::move(opened.db);
  impl->values = std::move(opened.values);
  impl->guard =
      std::make_unique<SpaceGuard>([i = impl.get()] { return i->Space(); }, impl->options.reserve_bytes,
                                   impl->options.write_buffer_bytes, kTablesInCompaction * impl->options.table_bytes);
  impl->writer =
      std::make_unique<LevelDbWriter>(impl->db.get(), impl->values.get(), &impl->env, impl->guard.get(), impl->options);
  impl->cleaner = std::make_unique<ValueCleaner>(impl->db.get(), impl->values.get(), impl->guard.get(),
                                                 impl->writer.get(), impl->options);
  return {std::unique_ptr<LevelDbStore>(new LevelDbStore(std::move(impl))), StoreOpenError::kNone, {}};
}

LevelDbStore::LevelDbStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LevelDbStore::~LevelDbStore() = default;

void LevelDbStore::Write(StoreBatch batch, std::function<void(bool)> done) {
  impl_->writer->Submit(std::move(batch), std::move(done));
}

StoreHealth LevelDbStore::Health() const {
  StoreHealth health;
  health.failure = impl_->writer->failure();
  // A compaction may have met the failure before any write did.
  if (health.failure.empty()) health.failure = impl_->env.failure();
  health.failed = !health.failure.empty();
  health.full = impl_->guard->full() || impl_->writer->holding() || impl_->env.waiting_for_space();
  const DiskSpace space = impl_->guard->space();
  health.free_bytes = space.free_bytes;
  health.total_bytes = space.total_bytes;
  health.used_bytes = impl_->env.used_bytes();
  health.slow = impl_->writer->DiskIsSlow();
  health.since_last_sync = impl_->writer->SinceLastSync();
  return health;
}

bool LevelDbStore::ReadPromptly(const std::function<void()>& reads, std::uint64_t* bytes) const {
  PromptReads prompt(*bytes);
  reads();
  *bytes = prompt.left();
  ++(prompt.gave_up() ? impl_->deferred_reads : impl_->prompt_reads);
  return !prompt.gave_up();
}

LevelDbStore::Counters LevelDbStore::counters() const {
  Counters counters;
  impl_->writer->FillCounters(&counters);
  impl_->cleaner->FillCounters(&counters);
  const ValueLog::Counts values = impl_->values->counts();
  counters.segments = values.segments;
  counters.spare_segments = values.spare;
  counters.live_value_bytes = values.live_bytes;
  counters.garbage_value_bytes = values.garbage_bytes;
  counters.bytes_written = impl_->env.bytes_written();
  counters.damaged_reads = impl_->damaged_reads;
  counters.prompt_reads = impl_->prompt_reads;
  counters.deferred_reads = impl_->deferred_reads;
  return counters;
}

ReadOutcome LevelDbStore::Impl::GetRow(PartitionId partition, std::string_view key, std::string* bytes,
                                       HeaderRow* row) const {
  const auto outcome = OutcomeOf(db->Get(VerifiedRead(), StoredKey(Space::kHeader, partition, key), bytes));
  if (outcome != ReadOutcome::kFound) return Noted(outcome);
  auto decoded = DecodeHeaderRow(partition, key, *bytes);
  if (!decoded) return Damaged();
  *row = std::move(*decoded);
  return ReadOutcome::kFound;
}

ReadOutcome LevelDbStore::Impl::GetValue(PartitionId partition, std::string_view key, const HeaderRow& row,
                                         Payload* value) const {
  *value = nullptr;
  if (row.place == ValuePlace::kNone) {
    const bool none_expected = row.header.value_gone || row.header.size == 0;
    return none_expected ? ReadOutcome::kFound : ReadOutcome::kDamaged;
  }
  if (row.place == ValuePlace::kSeparate) {
    const auto outcome = values->Get(partition, key, row.header, row.locator, value);
    // An absent value under a header that has one is damage, too.
    return outcome == ReadOutcome::kAbsent ? ReadOutcome::kDamaged : outcome;
  }
  const auto opened = OpenValue(partition, key, row.header, row.value);
  if (!opened) return ReadOutcome::kDamaged;
  *value = std::make_shared<const std::string>(*opened);
  return ReadOutcome::kFound;
}

ReadOutcome LevelDbStore::Lookup(PartitionId partition, const RecordKey& key, RecordHeader* header) const {
  std::string bytes;
  HeaderRow row;
  const auto outcome = impl_->GetRow(partition, EncodeKey(key), &bytes, &row);
  if (outcome == ReadOutcome::kFound) *header = std::move(row.header);
  return outcome;
}

ReadOutcome LevelDbStore::Read(PartitionId partition, const RecordKey& key, RecordHeader* header,
                               Payload* value) const {
  *value = nullptr;
  const std::string encoded = EncodeKey(key);
  // A header and a value that is apart are two reads. When they do not fit, a write may have come between: look again.
  ReadOutcome outcome = ReadOutcome::kAbsent;
  std::string bytes;
  std::string before;
  do {
    HeaderRow row;
    before = bytes;
    outcome = impl_->GetRow(partition, encoded, &bytes, &row);
    if (outcome != ReadOutcome::kFound) return outcome;
    outcome = impl_->GetValue(partition, encoded, row, value);
    *header = std::move(row.header);
  } while (outcome == ReadOutcome::kDamaged && bytes != before);
  return impl_->Noted(outcome);
}

ReadOutcome LevelDbStore::Scan(PartitionId partition, std::string_view after, std::string_view last,
                               const std::function<bool(const ScannedRecord&)>& visit) const {
  const std::string end = StoredKeysEnd(Space::kHeader, partition);
  std::unique_ptr<leveldb::Iterator> it(impl_->db->NewIterator(VerifiedScan()));
  // The smallest key after `after` is `after` with a zero byte.
  it->Seek(StoredKey(Space::kHeader, partition, after.empty() ? std::string{} : std::string(after) + '\0'));
  for (; it->Valid() && AsView(it->key()) < end; it->Next()) {
    // A block that can't be read is left out by the iterator: what follows must not pass for its successor.
    if (!it->status().ok()) break;
    const auto split = SplitStoredKey(Space::kHeader, AsView(it->key()));
    if (!last.empty() && split->key > last) return ReadOutcome::kFound;
    const auto key = DecodeKey(split->key);
    if (!key) {
      impl_->Damaged();
      return ReadOutcome::kFailed;
    }
    ScannedRecord record{*key, {}, true};
    if (auto row = DecodeHeaderRow(partition, split->key, AsView(it->value()))) {
      record.header = std::move(row->header);
      record.damaged = false;
    } else {
      impl_->Damaged();
    }
    if (!visit(record)) return ReadOutcome::kFound;
  }
  if (it->status().ok()) return ReadOutcome::kFound;
  impl_->Noted(OutcomeOf(it->status()));
  return ReadOutcome::kFailed;  // which records are in the part that can't be read is not known
}

ReadOutcome LevelDbStore::LastEntry(PartitionId partition, const ZoneId& zone, const BlockId& chain, RecordKey* key,
                                    RecordHeader* header) const {
  const std::string prefix = StoredKey(Space::kHeader, partition, ChainPrefix(zone, chain));
  std::unique_ptr<leveldb::Iterator> it(impl_->db->NewIterator(VerifiedRead()));
  it->Seek(prefix);
  if (!it->status().ok()) return impl_->Noted(OutcomeOf(it->status()));
  if (!it->Valid() || !it->key().starts_with(prefix)) return ReadOutcome::kAbsent;
  const auto split = SplitStoredKey(Space::kHeader, AsView(it->key()));
  const auto decoded = DecodeKey(split->key);
  if (!decoded) return impl_->Damaged();
  *key = *decoded;
  auto row = DecodeHeaderRow(partition, split->key, AsView(it->value()));
  if (!row) return impl_->Damaged();
  *header = std::move(row->header);
  return ReadOutcome::kFound;
}

ReadOutcome LevelDbStore::ReadEntries(
    PartitionId partition, const ZoneId& zone, const BlockId& chain, std::uint64_t from, std::uint64_t to,
    bool backwards, const EntryVisitor& visit) const {
  if (from >= to) return ReadOutcome::kFound;
  // Stored newest first: backwards in the chain is forwards on disk.
  const std::string first = StoredKey(Space::kHeader, partition, EncodeKey({zone, RecordKind::kEntry, chain, to - 1}));
  const std::string last = StoredKey(Space::kHeader, partition, EncodeKey({zone, RecordKind::kEntry, chain, from}));
  std::unique_ptr<leveldb::Iterator> it(impl_->db->NewIterator(VerifiedRead()));
  if (backwards) {
    it->Seek(first);
  } else {
    it->Seek(last + '\0');
    if (!it->status().ok()) return impl_->Noted(OutcomeOf(it->status()));
    // The row that names the owner stands behind all headers: there is something to step back from.
    if (it->Valid()) it->Prev();
  }
  for (; it->Valid() && it->status().ok(); backwards ? it->Next() : it->Prev()) {
    const auto stored = AsView(it->key());
    if (stored < first || stored > last) return ReadOutcome::kFound;
    const auto split = SplitStoredKey(Space::kHeader, stored);
    const auto key = DecodeKey(split->key);
    if (!key) return impl_->Damaged();
    const auto row = DecodeHeaderRow(partition, split->key, AsView(it->value()));
    if (row && row->place == ValuePlace::kInline) {
      // The most usual entry is shown where the iterator holds it.
      if (const auto bytes = OpenValue(partition, split->key, row->header, row->value)) {
        if (!visit(ReadOutcome::kFound, *key, row->header, EntryValue(*bytes))) return ReadOutcome::kFound;
        continue;
      }
    }
    Payload value;
    RecordHeader header = row ? row->header : RecordHeader{};
    auto outcome = row ? impl_->GetValue(partition, split->key, *row, &value) : impl_->Damaged();
    if (row && outcome == ReadOutcome::kDamaged) {
      // The iterator shows the past, the value is of now: it may have been erased or moved since.
      outcome = Read(partition, *key, &header, &value);
      if (outcome == ReadOutcome::kAbsent) continue;
    }
    if (!visit(outcome, *key, header, EntryValue(std::move(value)))) return ReadOutcome::kFound;
  }
  return impl_->Noted(OutcomeOf(it->status()));
}

ReadOutcome LevelDbStore::ReadLog(PartitionId partition, Seq from, Seq to, std::vector<LogRecord>* records) const {
  if (to < from) return ReadOutcome::kFound;
  const std::string last = StoredLogKey(partition, to);
  std::unique_ptr<leveldb::Iterator> it(impl_->db->NewIterator(VerifiedRead()));
  for (it->Seek(StoredLogKey(partition, from)); it->Valid() && AsView(it->key()) <= last; it->Next()) {
    if (!it->status().ok()) break;
    const auto split = SplitStoredKey(Space::kLog, AsView(it->key()));
    std::uint64_t seq = 0;
    for (const char c : split->key) seq = seq << 8 | static_cast<std::uint8_t>(c);
    auto record = DecodeLogRow(partition, Seq(seq), AsView(it->value()));
    if (!record) return impl_->Damaged();
    records->push_back(std::move(*record));
  }
  return impl_->Noted(OutcomeOf(it->status()));
}

ReadOutcome LevelDbStore::ReadMetas(const std::function<void(PartitionId, const PartitionMeta&)>& visit) const {
  bool damaged = false;
  const std::string prefix(1, static_cast<char>(Space::kMeta));
  std::unique_ptr<leveldb::Iterator> it(impl_->db->NewIterator(VerifiedScan()));
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    const auto split = SplitStoredKey(Space::kMeta, AsView(it->key()));
    const auto meta = split && split->key.empty() ? DecodeMetaRow(split->partition, AsView(it->value())) : std::nullopt;
    if (meta) {
      visit(split->partition, *meta);
    } else {
      damaged = true;
    }
  }
  const auto outcome = OutcomeOf(it->status());
  return outcome == ReadOutcome::kFound && damaged ? impl_->Damaged() : impl_->Noted(outcome);
}

}  // namespace coffer::node
