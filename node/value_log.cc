#include "node/value_log.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "node/disk_env.h"
#include "node/leveldb_read.h"
#include "node/prompt_read.h"
#include "node/store_format.h"

namespace coffer::node {
namespace {

// Groups end with zeros up to a multiple of this: the kernel need not read a page of an old file to change a part of it.
constexpr std::uint64_t kPage = SegmentFile::kBlock;
constexpr std::string_view kSuffix = ".values";
const std::array<char, kPage> kZeros{};

// The number in the name of a segment's file.
std::optional<std::uint64_t> NumberOf(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || number == 0) return std::nullopt;
  return number;
}

}  // namespace

leveldb::Status ValueLog::Open(DiskEnv* env, leveldb::DB* db, ValueLogOptions options, std::unique_ptr<ValueLog>* out) {
  std::unique_ptr<ValueLog> log(new ValueLog(env, db, std::move(options)));
  if (::mkdir(log->options_.folder.c_str(), 0750) != 0 && errno != EEXIST) {
    return leveldb::Status::IOError(log->options_.folder, std::generic_category().message(errno));
  }
  if (const int error = SyncFolder(FolderOf(log->options_.folder))) {
    return leveldb::Status::IOError(log->options_.folder, std::generic_category().message(error));
  }
  if (auto status = log->Load(); !status.ok()) return status;
  *out = std::move(log);
  return leveldb::Status::OK();
}

leveldb::Status ValueLog::Load() {
  std::map<std::uint64_t, SegmentRow> rows;
  if (auto status = LoadRows(&rows); !status.ok()) return status;
  std::vector<std::string> names;
  if (auto status = env_->GetChildren(options_.folder, &names); !status.ok()) return status;
  env_->CountFolder(options_.folder);
  MutexLock lock(mutex_);
  for (const auto& [number, row] : rows) segments_[number] = {row, nullptr};
  for (const std::string& name : names) {
    const auto number = NumberOf(name);
    if (!number) continue;
    std::shared_ptr<SegmentFile> file;
    if (auto status = SegmentFile::Open(env_, PathOf(*number), &file); !status.ok()) return status;
    next_ = std::max(next_, *number + 1);
    if (const auto it = segments_.find(*number); it != segments_.end()) {
      it->second.file = std::move(file);
    } else {
      spares_.push_back(std::move(file));  // nothing points into it: it was emptied, or never came into use
    }
  }
  if (segments_.empty()) return leveldb::Status::OK();
  const auto& [last, segment] = *segments_.rbegin();
  next_ = std::max(next_, last + 1);
  // What lies behind the end was never committed and is written over.
  if (segment.file && segment.file->size() == segment.row.size) active_ = last;
  full_below_ = last;
  return leveldb::Status::OK();
}

leveldb::Status ValueLog::LoadRows(std::map<std::uint64_t, SegmentRow>* rows) const {
  const std::string prefix(1, static_cast<char>(Space::kSegment));
  std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(VerifiedScan()));
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    const auto number = DecodeSegmentKey(AsView(it->key()));
    const auto row = number ? DecodeSegmentRow(*number, AsView(it->value())) : std::nullopt;
    if (!row) return leveldb::Status::Corruption("the row of a segment of values does not verify");
    rows->emplace(*number, *row);
  }
  return it->status();
}

leveldb::Status ValueLog::Put(PartitionId partition, std::string_view key, const RecordHeader& header,
                              const Payload& value, std::string* locator) {
  const std::uint64_t bytes = StoredValueBytes(key.size(), value->size());
  if (!FitsActive(bytes)) {
    if (auto status = OpenSegment(bytes); !status.ok()) return status;
  }
  MutexLock lock(mutex_);
  Segment& segment = segments_[active_];
  const ValueLocator place{{active_, segment.row.end}, static_cast<std::uint32_t>(value->size())};
  const ValueRecord record{partition, std::string(key), place.size, ValueChecksum(partition, key, header, *value)};
  pending_.push_back({segment.file, place.at.offset, EncodeValueRecord(place.at, record), value});
  segment.row.end += bytes;
  segment.row.live += bytes;
  touched_.insert(active_);
  *locator = EncodeLocator(place);
  return leveldb::Status::OK();
}

void ValueLog::Erase(PartitionId partition, std::string_view key, std::string_view locator,
                     leveldb::WriteBatch* batch) {
  if (locator.empty()) return batch->Delete(StoredKey(Space::kValue, partition, key));
  const auto place = DecodeLocator(locator);
  if (!place) return;
  MutexLock lock(mutex_);
  const auto it = segments_.find(place->at.segment);
  if (it == segments_.end()) return;
  SegmentRow& row = it->second.row;
  row.live -= std::min(row.live, StoredValueBytes(key.size(), place->size));
  touched_.insert(it->first);
}

void ValueLog::Drop(std::uint64_t segment) {
  MutexLock lock(mutex_);
  const auto it = segments_.find(segment);
  if (it == segments_.end()) return;
  it->second.row.live = 0;
  touched_.insert(segment);
}

bool ValueLog::FitsActive(std::uint64_t bytes) const {
  MutexLock lock(mutex_);
  const auto active = segments_.find(active_);
  return active != segments_.end() && active->second.row.size - active->second.row.end >= bytes;
}

leveldb::Status ValueLog::OpenSegment(std::uint64_t bytes) {
  const std::uint64_t size = std::max(options_.segment_bytes, (bytes + kPage - 1) / kPage * kPage);
  const std::string path = PathOf(next_);
  std::shared_ptr<SegmentFile> file;
  if (auto status = TakeSpare(size, path, &file); !status.ok()) return status;
  if (!file) {
    if (auto status = SegmentFile::Create(env_, path, size, &file); !status.ok()) return status;
  }
  MutexLock lock(mutex_);
  // The one before may have been emptied while it was written.
  if (active_ != 0) touched_.insert(active_);
  active_ = next_++;
  segments_[active_] = {{file->size(), 0, 0}, std::move(file)};
  return leveldb::Status::OK();
}

leveldb::Status ValueLog::TakeSpare(std::uint64_t size, const std::string& path, std::shared_ptr<SegmentFile>* file) {
  std::shared_ptr<SegmentFile> spare;
  {
    MutexLock lock(mutex_);
    const auto fits = [size](const auto& spare) { return spare->size() >= size; };
    const auto it = std::find_if(spares_.begin(), spares_.end(), fits);
    if (it == spares_.end()) return leveldb::Status::OK();
    spare = *it;
  }
  if (auto status = spare->Rename(path, file); !status.ok()) return status;
  MutexLock lock(mutex_);
  std::erase(spares_, spare);
  return leveldb::Status::OK();
}

leveldb::Status ValueLog::Prepare(leveldb::WriteBatch* batch) {
  if (auto status = WritePending(); !status.ok()) return status;
  MutexLock lock(mutex_);
  for (const std::uint64_t number : touched_) {
    const auto it = segments_.find(number);
    if (it == segments_.end()) continue;
    if (it->second.row.live == 0 && number != active_) {
      batch->Delete(SegmentKey(number));
      emptied_.insert(number);
    } else {
      batch->Put(SegmentKey(number), EncodeSegmentRow(number, it->second.row));
    }
  }
  touched_.clear();
  return leveldb::Status::OK();
}

leveldb::Status ValueLog::WritePending() {
  for (std::size_t i = 0; i < pending_.size();) {
    const std::shared_ptr<SegmentFile> file = pending_[i].file;
    const std::uint64_t from = pending_[i].offset;
    std::uint64_t at = from;
    std::vector<std::string_view> pieces;
    const auto pad_to = [&](std::uint64_t multiple) {
      const std::uint64_t zeros = std::min((at + multiple - 1) / multiple * multiple, file->size()) - at;
      pieces.emplace_back(kZeros.data(), zeros);
      at += zeros;
    };
    for (; i < pending_.size() && pending_[i].file == file; ++i) {
      pieces.emplace_back(pending_[i].header);
      pieces.emplace_back(*pending_[i].value);
      at += pending_[i].header.size() + pending_[i].value->size();
      pad_to(8);
    }
    pad_to(kPage);
    if (auto status = writer_.Write(file, from, pieces); !status.ok()) return status;
    if (auto status = file->Sync(); !status.ok()) return status;
  }
  pending_.clear();
  return leveldb::Status::OK();
}

leveldb::Status ValueLog::Committed() {
  {
    MutexLock lock(mutex_);
    full_below_ = std::max(full_below_, active_);
    for (const std::uint64_t number : emptied_) {
      const auto it = segments_.find(number);
      if (it->second.file) spares_.push_back(std::move(it->second.file));
      segments_.erase(it);
    }
  }
  if (emptied_.empty()) return leveldb::Status::OK();
  emptied_.clear();
  return RemoveSpares(options_.spare_segments);
}

leveldb::Status ValueLog::RemoveSpares(std::size_t keep) {
  // Only the writing thread changes them; others count them meanwhile.
  for (;;) {
    std::shared_ptr<SegmentFile> spare;
    {
      MutexLock lock(mutex_);
      if (spares_.size() <= keep) return leveldb::Status::OK();
      // Those of a size of their own fit nobody else: they go first.
      const auto larger = [](const auto& a, const auto& b) { return a->size() < b->size(); };
      spare = *std::max_element(spares_.begin(), spares_.end(), larger);
    }
    if (auto status = spare->Remove(); !status.ok()) return status;
    MutexLock lock(mutex_);
    std::erase(spares_, spare);
  }
}

ReadOutcome ValueLog::Get(PartitionId partition, std::string_view key, const RecordHeader& header,
                          std::string_view locator, Payload* value) const {
  if (locator.empty()) {
    std::string row;
    const auto outcome = OutcomeOf(db_->Get(VerifiedRead(), StoredKey(Space::kValue, partition, key), &row));
    if (outcome != ReadOutcome::kFound) return outcome;
    const auto opened = OpenValue(partition, key, header, row);
    if (!opened) return ReadOutcome::kDamaged;
    *value = std::make_shared<const std::string>(*opened);
    return ReadOutcome::kFound;
  }
  const auto place = DecodeLocator(locator);
  if (!place || place->size != header.size) return ReadOutcome::kDamaged;
  const auto file = FileOf(place->at.segment);
  if (!file) return ReadOutcome::kAbsent;
  std::array<char, kMostValueRecordBytes> head;
  const std::size_t head_size = ValueRecordBytes(key.size());
  if (!MayRead(head_size + place->size)) return ReadOutcome::kFailed;
  std::string bytes(place->size, '\0');
  const auto status = file->Read(place->at.offset, head.data(), head_size, bytes.data(), bytes.size());
  if (status.IsNotFound()) return ReadOutcome::kDamaged;
  if (!status.ok()) return ReadOutcome::kFailed;
  const auto record = DecodeValueRecord(place->at, {head.data(), head_size});
  if (!record || record->partition != partition || record->key != key || record->size != place->size ||
      record->checksum != ValueChecksum(partition, key, header, bytes)) {
    return ReadOutcome::kDamaged;
  }
  *value = std::make_shared<const std::string>(std::move(bytes));
  return ReadOutcome::kFound;
}

std::optional<std::uint64_t> ValueLog::MostGarbage(int percent, const std::set<std::uint64_t>& but) const {
  MutexLock lock(mutex_);
  std::optional<std::uint64_t> most;
  double share = percent / 100.0;
  for (const auto& [number, segment] : segments_) {
    if (!segment.file || number >= full_below_ || but.contains(number)) continue;
    const double garbage = 1.0 - static_cast<double>(segment.row.live) / static_cast<double>(segment.row.size);
    if (garbage < share || (most && garbage == share)) continue;
    share = garbage;
    most = number;
  }
  return most;
}

ReadOutcome ValueLog::Next(std::uint64_t segment, std::uint64_t offset, std::optional<LoggedValue>* found) const {
  found->reset();
  std::shared_ptr<SegmentFile> file;
  std::uint64_t end = 0;
  {
    MutexLock lock(mutex_);
    const auto it = segments_.find(segment);
    if (it == segments_.end() || !it->second.file) return ReadOutcome::kFound;
    file = it->second.file;
    end = it->second.row.end;
  }
  if (offset >= end) return ReadOutcome::kFound;
  std::array<char, kMostValueRecordBytes> head;
  const std::size_t head_size = std::min<std::uint64_t>(head.size(), file->size() - offset);
  const auto status = file->Read(offset, head.data(), head_size, nullptr, 0);
  if (!status.ok() && !status.IsNotFound()) return ReadOutcome::kFailed;
  const ValuePosition at{segment, offset};
  auto record = status.ok() ? DecodeValueRecord(at, {head.data(), head_size}) : std::nullopt;
  if (!record || offset + StoredValueBytes(record->key.size(), record->size) > end) return ReadOutcome::kDamaged;
  *found = LoggedValue{{at, record->size}, std::move(*record)};
  return ReadOutcome::kFound;
}

void ValueLog::Expect(std::uint64_t segment, std::uint64_t offset, std::uint64_t size) const {
  if (const auto file = FileOf(segment)) file->Expect(offset, size);
}

ValueLog::Counts ValueLog::counts() const {
  MutexLock lock(mutex_);
  Counts counts;
  for (const auto& [number, segment] : segments_) {
    const bool full = number < full_below_;
    counts.live_bytes += segment.row.live;
    counts.garbage_bytes += (full ? segment.row.size : segment.row.end) - segment.row.live;
  }
  counts.segments = segments_.size();
  counts.spare = spares_.size();
  return counts;
}

std::string ValueLog::PathOf(std::uint64_t segment) const {
  std::string digits = std::to_string(segment);
  digits.insert(0, 8 - std::min<std::size_t>(8, digits.size()), '0');
  return options_.folder + "/" + digits + std::string(kSuffix);
}

std::shared_ptr<SegmentFile> ValueLog::FileOf(std::uint64_t segment) const {
  MutexLock lock(mutex_);
  const auto it = segments_.find(segment);
  return it == segments_.end() ? nullptr : it->second.file;
}

}  // namespace coffer::node
