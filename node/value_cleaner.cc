#include "node/value_cleaner.h"

#include <algorithm>
#include <utility>

#include "node/leveldb_read.h"
#include "node/store_format.h"

namespace coffer::node {
namespace {

// On a full disk what little there is to win is taken.
constexpr int kPercentWhenFull = 10;
constexpr std::size_t kBytesAtOnce = 1 << 20;

}  // namespace

ValueCleaner::ValueCleaner(leveldb::DB* db, const ValueLog* values, const SpaceGuard* guard, LevelDbWriter* writer,
                           const LevelDbStoreOptions& options)
    : db_(db), values_(values), guard_(guard), writer_(writer), options_(options) {
  thread_ = std::thread([this] { Loop(); });
}

ValueCleaner::~ValueCleaner() {
  {
    MutexLock lock(signal_->mutex);
    signal_->stopping = true;
  }
  signal_->wake.NotifyAll();
  thread_.join();
}

void ValueCleaner::FillCounters(LevelDbStore::Counters* counters) const {
  counters->moved_value_bytes = moved_bytes_;
  counters->cleaned_segments = cleaned_;
}

void ValueCleaner::Loop() {
  do {
    // What could not be read may be readable now, and what did not verify repaired.
    if (const auto now = std::chrono::steady_clock::now(); now >= again_) {
      left_.clear();
      again_ = now + options_.clean_again;
    }
    while (const auto segment = Choose()) {
      if (!Clean(*segment)) left_.insert(*segment);
    }
  } while (Pause(options_.probe_interval));
}

std::optional<std::uint64_t> ValueCleaner::Choose() const {
  // With next to nothing left a move would wait for space, and everything behind it.
  if (guard_->AtTheFloor() || !writer_->failure().empty()) return std::nullopt;
  const int percent = guard_->full() ? std::min(kPercentWhenFull, options_.garbage_percent) : options_.garbage_percent;
  return values_->MostGarbage(percent, left_);
}

bool ValueCleaner::Clean(std::uint64_t segment) {
  // What is moved out of a segment that stays takes space, and wins none.
  if (guard_->full() && !Walk(segment, [this](ValueMove move) { return PauseFor(move.value->size()); })) return false;
  std::vector<ValueMove> moves;
  std::size_t bytes = 0;
  bool going = true;
  const bool whole = Walk(segment, [&](ValueMove move) {
    bytes += move.value->size();
    moves.push_back(std::move(move));
    if (bytes < kBytesAtOnce) return true;
    bytes = 0;
    return going = Commit(std::exchange(moves, {}), 0);
  });
  if (!going || (!whole && moves.empty())) return false;
  if (!Commit(std::move(moves), whole ? segment : 0) || !whole) return false;
  ++cleaned_;
  return true;
}

bool ValueCleaner::Walk(std::uint64_t segment, const std::function<bool(ValueMove)>& visit) const {
  bool whole = true;
  std::uint64_t expected = 0;
  for (std::uint64_t offset = 0;;) {
    if (offset >= expected) {
      values_->Expect(segment, offset, kBytesAtOnce);
      expected = offset + kBytesAtOnce;
    }
    std::optional<LoggedValue> logged;
    if (values_->Next(segment, offset, &logged) != ReadOutcome::kFound) return false;
    if (!logged) return whole;
    offset += StoredValueBytes(logged->record.key.size(), logged->record.size);
    std::optional<ValueMove> move;
    const auto outcome = ReadIfNeeded(*logged, &move);
    // A disk that fails takes its time over every read.
    if (outcome == ReadOutcome::kFailed) return false;
    whole = whole && outcome == ReadOutcome::kFound;
    if (move && !visit(std::move(*move))) return false;
  }
}

ReadOutcome ValueCleaner::ReadIfNeeded(const LoggedValue& logged, std::optional<ValueMove>* move) const {
  const ValueRecord& record = logged.record;
  const std::string locator = EncodeLocator(logged.locator);
  const std::string stored_key = StoredKey(Space::kHeader, record.partition, record.key);
  std::string bytes;
  std::string before;
  // What does not verify may have been replaced in the meantime: then there is another row.
  for (;; before = std::move(bytes)) {
    bytes.clear();
    const auto outcome = OutcomeOf(db_->Get(VerifiedRead(), stored_key, &bytes));
    if (outcome == ReadOutcome::kAbsent) return ReadOutcome::kFound;
    if (outcome != ReadOutcome::kFound) return outcome;
    const auto row = DecodeHeaderRow(record.partition, record.key, bytes);
    if (!row) return ReadOutcome::kDamaged;
    if (row->place != ValuePlace::kSeparate || row->locator != locator) return ReadOutcome::kFound;
    Payload value;
    const auto read = values_->Get(record.partition, record.key, row->header, locator, &value);
    if (read == ReadOutcome::kFound) {
      *move = ValueMove{record.partition, record.key, locator, row->header, std::move(value)};
      return read;
    }
    if (bytes == before) return read == ReadOutcome::kAbsent ? ReadOutcome::kDamaged : read;
  }
}

bool ValueCleaner::Commit(std::vector<ValueMove> moves, std::uint64_t emptied) {
  std::size_t bytes = 0;
  for (const ValueMove& move : moves) bytes += move.value->size();
  writer_->SubmitMoves(std::move(moves), emptied, [signal = signal_](bool ok) {
    MutexLock lock(signal->mutex);
    signal->committed = ok;
    signal->wake.NotifyAll();
  });
  {
    MutexLock lock(signal_->mutex);
    while (!signal_->stopping && !signal_->committed) signal_->wake.Wait(signal_->mutex);
    if (signal_->stopping || !*std::exchange(signal_->committed, std::nullopt)) return false;
  }
  moved_bytes_ += bytes;
  return PauseFor(bytes);
}

bool ValueCleaner::PauseFor(std::uint64_t bytes) {
  return Pause(std::chrono::nanoseconds(bytes * 1'000'000'000 / options_.clean_bytes_per_second));
}

bool ValueCleaner::Pause(std::chrono::nanoseconds time) {
  MutexLock lock(signal_->mutex);
  return !signal_->wake.WaitFor(signal_->mutex, time,
                                [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(signal_->mutex) { return signal_->stopping; });
}

}  // namespace coffer::node
