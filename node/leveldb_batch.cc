#include "node/leveldb_batch.h"

#include <memory>

#include "node/byte_codec.h"
#include "node/leveldb_read.h"

namespace coffer::node {
namespace {

constexpr std::uint64_t kMostBlindErases = 4096;

// The stored key at which a range of records ends, exclusive.
std::string EndOfRange(PartitionId partition, const std::string& to) {
  return to.empty() ? StoredKeysEnd(Space::kHeader, partition) : StoredKey(Space::kHeader, partition, to);
}

// Erases what the header's row in LevelDB says: the row, and the value elsewhere if there may be one.
void EraseStored(ValueLog* values, PartitionId partition, std::string_view key, std::string_view row,
                 leveldb::WriteBatch* out) {
  out->Delete(StoredKey(Space::kHeader, partition, key));
  const auto decoded = DecodeHeaderRow(partition, key, row);
  if (!decoded) {
    values->Erase(partition, key, {}, out);
  } else if (decoded->place == ValuePlace::kSeparate) {
    values->Erase(partition, key, decoded->locator, out);
  }
}

}  // namespace

std::string EncodeEraseRow(const LongErase& erase) {
  return SealRow(erase.row_key, ByteWriter().U32(erase.partition).Text(erase.from).Text(erase.to).bytes());
}

std::optional<LongErase> DecodeEraseRow(std::string_view row_key, std::string_view row) {
  const auto body = OpenRow(row_key, row);
  if (!body) return std::nullopt;
  ByteReader in(*body);
  LongErase erase{std::string(row_key), in.U32(), {}, {}};
  erase.from = in.Text();
  erase.to = in.Text();
  if (!in.Done()) return std::nullopt;
  return erase;
}

leveldb::Status LevelDbBatch::Add(const StoreBatch& batch) {
  changes_ = &batch.changes;
  leveldb::Status status;
  for (at_ = 0; at_ < changes_->size() && status.ok(); ++at_) {
    status = std::visit([this](const auto& c) { return Apply(c); }, (*changes_)[at_]);
  }
  changes_ = nullptr;
  return status;
}

leveldb::WriteBatch* LevelDbBatch::Finish() {
  for (const auto& [partition, meta] : metas_) out_.Put(StoredKey(Space::kMeta, partition, {}), EncodeMetaRow(partition, meta));
  metas_.clear();
  return &out_;
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::PutRecord& c) {
  const std::string key = EncodeKey(c.key);
  const bool small = c.value && c.value->size() <= limits_.inline_value_bytes;
  const bool is_inline = small || (c.value && limits_.all_inline);
  if (!small) {
    // A value that is replaced is garbage from now on. A small one hardly ever replaces a large one, so that is not looked
    // for: what it replaced is counted as needed until its segment is cleaned.
    std::optional<Row> before;
    if (auto status = FindRow(c.partition, key, &before); !status.ok()) return status;
    if (before) EraseValue(c.partition, key, *before);
  }
  Row row;
  if (is_inline) row = {ValuePlace::kInline, ValueSeal(c.partition, key, c.header, *c.value), c.value};
  if (c.value && !is_inline) {
    row.place = ValuePlace::kSeparate;
    if (auto status = values_->Put(c.partition, key, c.header, c.value, &row.tail); !status.ok()) return status;
  }
  PutRow(c.partition, key, c.header, std::move(row));
  return leveldb::Status::OK();
}

leveldb::Status LevelDbBatch::Move(const ValueMove& move) {
  std::optional<Row> row;
  if (auto status = FindRow(move.partition, move.key, &row); !status.ok()) return status;
  if (!row || row->place != ValuePlace::kSeparate || row->tail != move.from) return leveldb::Status::OK();
  EraseValue(move.partition, move.key, *row);
  if (auto status = values_->Put(move.partition, move.key, move.header, move.value, &row->tail); !status.ok()) {
    return status;
  }
  const RecordHeader header = row->header;
  PutRow(move.partition, move.key, header, std::move(*row));
  return leveldb::Status::OK();
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::SetHeader& c) {
  const std::string key = EncodeKey(c.key);
  std::optional<Row> row;
  if (auto status = FindRow(c.partition, key, &row); !status.ok()) return status;
  if (!row) row.emplace();
  if (row->damaged) {
    // The old row can't say where the value is. Only in a store of the first format is there one place where it can be.
    const bool apart = !c.header.value_gone && c.header.size > limits_.inline_value_bytes;
    *row = {apart ? ValuePlace::kSeparate : ValuePlace::kNone};
  }
  PutRow(c.partition, key, c.header, std::move(*row));
  return leveldb::Status::OK();
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::DropValue& c) {
  const std::string key = EncodeKey(c.key);
  std::optional<Row> row;
  if (auto status = FindRow(c.partition, key, &row); !status.ok()) return status;
  if (row) EraseRow(c.partition, key, *row);
  PutRow(c.partition, key, c.header, Row{});
  return leveldb::Status::OK();
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::EraseRecord& c) {
  const std::string key = EncodeKey(c.key);
  std::optional<Row> row;
  if (auto status = FindRow(c.partition, key, &row); !status.ok()) return status;
  if (row) EraseRow(c.partition, key, *row);
  return leveldb::Status::OK();
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::EraseRange& c) {
  if (!c.to.empty() && c.to <= c.from) return leveldb::Status::OK();
  return EraseRecords(c.partition, c.from, c.to);
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::PutLog& c) {
  const Seq seq(c.record->stamp().seq());
  out_.Put(StoredLogKey(c.partition, seq), EncodeLogRow(c.partition, *c.record));
  logged_.emplace(c.partition, seq);
  return leveldb::Status::OK();
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::EraseLog& c) {
  if (c.to < c.from) return leveldb::Status::OK();
  return EraseLogRange(c.partition, c.from, c.to);
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::PutMeta& c) {
  metas_.insert_or_assign(c.partition, c.meta);
  return leveldb::Status::OK();
}

leveldb::Status LevelDbBatch::Apply(const StoreBatch::ErasePartition& c) {
  metas_.erase(c.partition);
  out_.Delete(StoredKey(Space::kMeta, c.partition, {}));
  if (auto status = EraseLogRange(c.partition, Seq(0), Seq(~0ull)); !status.ok()) return status;
  return EraseRecords(c.partition, {}, {});
}

leveldb::Status LevelDbBatch::EraseRecords(PartitionId partition, const std::string& from, const std::string& to) {
  erased_in_.insert(partition);
  const std::string first = StoredKey(Space::kHeader, partition, from);
  const std::string end = EndOfRange(partition, to);
  for (auto it = overlay_.lower_bound(first); it != overlay_.end() && it->first < end; ++it) {
    if (!it->second) continue;
    const Row row = std::move(*it->second);
    EraseRow(partition, std::string(SplitStoredKey(Space::kHeader, it->first)->key), row);
  }
  const bool may_be_long = !WrittenLater(partition);
  std::size_t erased = 0;
  std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(VerifiedScan()));
  for (it->Seek(first); it->Valid() && AsView(it->key()) < end; it->Next()) {
    const auto split = SplitStoredKey(Space::kHeader, AsView(it->key()));
    if (erased == limits_.erase_at_once && may_be_long) {
      LongErase rest{StoredKey(Space::kErase, partition, ByteWriter().U64((*next_erase_)++).bytes()), partition,
                     std::string(split->key), to};
      out_.Put(rest.row_key, EncodeEraseRow(rest));
      long_erases_.push_back(std::move(rest));
      break;
    }
    if (overlay_.contains(it->key().ToString())) continue;
    EraseStored(values_, partition, split->key, AsView(it->value()), &out_);
    overlay_[it->key().ToString()] = std::nullopt;
    ++erased;
  }
  return it->status();
}

leveldb::Status LevelDbBatch::EraseLogRange(PartitionId partition, Seq from, Seq to) {
  if (to.value - from.value < kMostBlindErases) {
    for (std::uint64_t s = from.value;; ++s) {
      out_.Delete(StoredLogKey(partition, Seq(s)));
      if (s == to.value) break;
    }
    return leveldb::Status::OK();
  }
  for (auto it = logged_.lower_bound({partition, from}); it != logged_.end() && *it <= std::pair(partition, to); ++it) {
    out_.Delete(StoredLogKey(partition, it->second));
  }
  const std::string last = StoredLogKey(partition, to);
  std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(VerifiedScan()));
  for (it->Seek(StoredLogKey(partition, from)); it->Valid() && AsView(it->key()) <= last; it->Next()) {
    out_.Delete(it->key());
  }
  return it->status();
}

bool LevelDbBatch::WrittenLater(PartitionId partition) const {
  const auto writes = [partition]<class C>(const C& c) {
    using T = std::decay_t<C>;
    if constexpr (std::is_same_v<T, StoreBatch::PutRecord> || std::is_same_v<T, StoreBatch::SetHeader> ||
                  std::is_same_v<T, StoreBatch::DropValue>) {
      return c.partition == partition;
    }
    return false;
  };
  for (std::size_t i = at_ + 1; i < changes_->size(); ++i) {
    if (std::visit(writes, (*changes_)[i])) return true;
  }
  return false;
}

leveldb::Status LevelDbBatch::FindRow(PartitionId partition, const std::string& key, std::optional<Row>* row) {
  const std::string stored = StoredKey(Space::kHeader, partition, key);
  row->reset();
  if (const auto it = overlay_.find(stored); it != overlay_.end()) {
    *row = it->second;
    return leveldb::Status::OK();
  }
  std::string bytes;
  const leveldb::Status status = db_->Get(VerifiedRead(), stored, &bytes);
  if (status.IsNotFound()) return leveldb::Status::OK();
  if (!status.ok() && !status.IsCorruption()) return status;
  const auto decoded = status.ok() ? DecodeHeaderRow(partition, key, bytes) : std::nullopt;
  if (!decoded) {
    *row = Row{.damaged = true};
  } else {
    const auto tail = decoded->place == ValuePlace::kInline ? decoded->value : decoded->locator;
    *row = Row{decoded->place, std::string(tail), {}, decoded->header};
  }
  return leveldb::Status::OK();
}

void LevelDbBatch::PutRow(PartitionId partition, const std::string& key, const RecordHeader& header, Row row) {
  std::string stored = StoredKey(Space::kHeader, partition, key);
  EncodeHeaderRow(partition, key, header, row.place, row.tail, row.rest ? std::string_view(*row.rest) : std::string_view(), &encoded_);
  out_.Put(stored, encoded_);
  row.header = header;
  overlay_[std::move(stored)] = std::move(row);
}

void LevelDbBatch::EraseRow(PartitionId partition, const std::string& key, const Row& row) {
  erased_in_.insert(partition);
  std::string stored = StoredKey(Space::kHeader, partition, key);
  out_.Delete(stored);
  EraseValue(partition, key, row);
  overlay_[std::move(stored)] = std::nullopt;
}

void LevelDbBatch::EraseValue(PartitionId partition, const std::string& key, const Row& row) {
  if (row.damaged) values_->Erase(partition, key, {}, &out_);
  if (row.place == ValuePlace::kSeparate) values_->Erase(partition, key, row.tail, &out_);
}

leveldb::Status FinishErase(leveldb::DB* db, ValueLog* values, const LongErase& erase, std::size_t at_once) {
  const std::string end = EndOfRange(erase.partition, erase.to);
  std::string next = StoredKey(Space::kHeader, erase.partition, erase.from);
  for (bool more = true; more;) {
    leveldb::WriteBatch out;
    std::size_t erased = 0;
    std::unique_ptr<leveldb::Iterator> it(db->NewIterator(VerifiedScan()));
    for (it->Seek(next); it->Valid() && AsView(it->key()) < end && erased < at_once; it->Next(), ++erased) {
      EraseStored(values, erase.partition, SplitStoredKey(Space::kHeader, AsView(it->key()))->key, AsView(it->value()),
                  &out);
    }
    if (!it->status().ok()) return it->status();
    more = it->Valid() && AsView(it->key()) < end;
    if (more) next = it->key().ToString();
    if (!more) out.Delete(erase.row_key);
    leveldb::WriteOptions options;
    options.sync = true;  // else more than the log's last record could be torn (log_tail.h)
    if (auto status = values->Prepare(&out); !status.ok()) return status;
    if (auto status = db->Write(options, &out); !status.ok()) return status;
  }
  return values->Committed();
}

}  // namespace coffer::node
