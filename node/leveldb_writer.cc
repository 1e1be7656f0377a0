#include "node/leveldb_writer.h"

#include <utility>

#include "node/store_format.h"
#include "proto/allocator.h"

namespace coffer::node {
namespace {

// Less than this is not worth a table of its own.
constexpr std::uint64_t kWorthWritingOut = 1 << 20;

// What a batch adds, about.
std::size_t BytesOf(const StoreBatch& batch) {
  std::size_t bytes = 0;
  for (const auto& change : batch.changes) {
    bytes += 256;
    if (const auto* put = std::get_if<StoreBatch::PutRecord>(&change); put && put->value) bytes += put->value->size();
  }
  return bytes;
}

// Of the values that are too large for their headers' rows.
std::size_t LargeBytesOf(const StoreBatch& batch, std::size_t inline_value_bytes) {
  std::size_t bytes = 0;
  for (const auto& change : batch.changes) {
    const auto* put = std::get_if<StoreBatch::PutRecord>(&change);
    if (put && put->value && put->value->size() > inline_value_bytes) bytes += put->value->size();
  }
  return bytes;
}

bool AddsData(const StoreBatch& batch) {
  for (const auto& change : batch.changes) {
    if (const auto* put = std::get_if<StoreBatch::PutRecord>(&change); put && put->value) return true;
  }
  return false;
}

Instant AsInstant(std::chrono::steady_clock::time_point time) {
  return Instant(std::chrono::duration_cast<Duration>(time.time_since_epoch()));
}

// Whether all of a partition goes at once.
bool ErasesInBulk(const StoreBatch& batch) {
  for (const auto& change : batch.changes) {
    if (std::holds_alternative<StoreBatch::ErasePartition>(change)) return true;
  }
  return false;
}

}  // namespace

LevelDbWriter::LevelDbWriter(leveldb::DB* db, ValueLog* values, DiskEnv* env, SpaceGuard* guard,
                             const LevelDbStoreOptions& options)
    : db_(db),
      values_(values),
      env_(env),
      guard_(guard),
      options_(options),
      probe_(options.folder + "/probe", options.faults),
      syncs_(SyncWatch::Config{.bound = options.slow_disk}) {
  NoteSync();
  env_->StartWaiting();
  writer_ = std::thread([this] { WriteLoop(); });
  watcher_ = std::thread([this] { WatchLoop(); });
  reclaimer_ = std::thread([this] { ReclaimLoop(); });
}

LevelDbWriter::~LevelDbWriter() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  env_->StopWaiting();
  wake_writer_.NotifyAll();
  wake_others_.NotifyAll();
  writer_.join();
  watcher_.join();
  reclaimer_.join();
}

void LevelDbWriter::Submit(StoreBatch batch, std::function<void(bool)> done) {
  Enqueue({std::move(batch), {}, 0, std::move(done)});
}

void LevelDbWriter::SubmitMoves(std::vector<ValueMove> moves, std::uint64_t emptied, std::function<void(bool)> done) {
  Enqueue({{}, std::move(moves), emptied, std::move(done)});
}

void LevelDbWriter::Enqueue(Queued queued) {
  {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(queued));
  }
  wake_writer_.NotifyOne();
}

std::string LevelDbWriter::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

Duration LevelDbWriter::SinceLastSync() const {
  return std::chrono::duration_cast<Duration>(Clock::now().time_since_epoch() - Clock::duration(last_sync_.load()));
}

bool LevelDbWriter::DiskIsSlow() const {
  MutexLock lock(watch_mutex_);
  return syncs_.slow(AsInstant(Clock::now()));
}

void LevelDbWriter::NoteSync(Clock::time_point began, std::uint64_t bytes) {
  NoteSync();
  const auto now = Clock::now();
  MutexLock lock(watch_mutex_);
  syncs_.Note(AsInstant(now), std::chrono::duration_cast<Duration>(now - began), bytes);
}

void LevelDbWriter::FillCounters(LevelDbStore::Counters* counters) const {
  counters->batches = batches_;
  counters->group_commits = group_commits_;
  counters->reclaims = reclaims_;
  counters->write_outs = write_outs_;
}

void LevelDbWriter::WriteLoop() {
  MutexLock lock(mutex_);
  for (;;) {
    Group group = NextGroup();
    if (group.empty()) return;
    bool ok = failure_.empty();
    if (ok) ok = Commit(&group);
    lock.Unlock();
    for (auto& queued : group) {
      if (queued.done) queued.done(ok);
    }
    group.clear();
    lock.Lock();
  }
}

bool LevelDbWriter::MustHold(const StoreBatch& batch) const {
  return failure_.empty() && AddsData(batch) && guard_->AtTheFloor();
}

LevelDbWriter::Group LevelDbWriter::NextGroup() {
  while (!stopping_ && queue_.empty()) wake_writer_.Wait(mutex_);
  while (!queue_.empty() && MustHold(queue_.front().batch)) {
    holding_ = true;
    if (stopping_) {
      failure_ = "stopped while waiting for free space on the disk of " + options_.folder;
      break;
    }
    wake_writer_.WaitFor(mutex_, options_.probe_interval);
    mutex_.Unlock();
    guard_->Refresh();
    mutex_.Lock();
  }
  holding_ = false;
  Group group;
  std::size_t bytes = 0;
  while (!queue_.empty() && (group.empty() || bytes < options_.group_bytes)) {
    if (!group.empty() && MustHold(queue_.front().batch)) break;
    bytes += Bytes(queue_.front());
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return group;
}

std::size_t LevelDbWriter::Bytes(const Queued& queued) {
  std::size_t bytes = BytesOf(queued.batch);
  for (const ValueMove& move : queued.moves) bytes += move.value->size();
  return bytes;
}

// Puts back what does not fit behind a long erasure.
bool LevelDbWriter::Commit(Group* group) {
  mutex_.Unlock();
  writing_ = true;
  LevelDbBatch batch(db_, values_, {options_.inline_value_bytes, StayInLevelDb(*group), options_.erase_at_once}, &next_erase_);
  std::size_t taken = 0;
  std::uint64_t bytes = 0;
  bool in_bulk = false;
  leveldb::Status status;
  while (taken < group->size() && status.ok() && batch.long_erases().empty()) {
    in_bulk = in_bulk || ErasesInBulk((*group)[taken].batch);
    bytes += Bytes((*group)[taken]);
    status = Add((*group)[taken++], &batch);
  }
  if (status.ok()) status = CommitBatch(&batch, bytes);
  writing_ = false;
  if (status.ok()) {
    batches_ += taken;
    guard_->Refresh();
    // One stays: the cleaner needs it to win more.
    if (guard_->full()) status = values_->RemoveSpares(1);
  }
  if (!status.ok()) FailBy(status);
  mutex_.Lock();
  if (status.ok()) {
    in_bulk = in_bulk || !batch.long_erases().empty();
    (in_bulk ? reclaim_ : erased_in_).insert(batch.erased_in().begin(), batch.erased_in().end());
    if (in_bulk) wake_others_.NotifyAll();
    for (std::size_t i = group->size(); i > taken; --i) queue_.push_front(std::move((*group)[i - 1]));
    group->resize(taken);
  }
  return status.ok();
}

// A lone value of moderate size would wait for two syncs in a row, the log's and LevelDB's. Written to LevelDB alone it waits
// for one, and being alone it costs LevelDB's merges little.
bool LevelDbWriter::StayInLevelDb(const Group& group) const {
  std::size_t bytes = 0;
  for (const Queued& queued : group) {
    if (!queued.moves.empty()) return false;  // the log is synced anyway
    bytes += LargeBytesOf(queued.batch, options_.inline_value_bytes);
    if (bytes > options_.lone_value_bytes) return false;
  }
  return true;
}

leveldb::Status LevelDbWriter::Add(const Queued& queued, LevelDbBatch* batch) {
  auto status = batch->Add(queued.batch);
  for (const ValueMove& move : queued.moves) {
    if (status.ok()) status = batch->Move(move);
  }
  if (status.ok() && queued.emptied != 0) values_->Drop(queued.emptied);
  return status;
}

// The values, then what points to them.
leveldb::Status LevelDbWriter::CommitBatch(LevelDbBatch* batch, std::uint64_t bytes) {
  leveldb::WriteOptions sync;
  sync.sync = true;
  leveldb::WriteBatch* const rows = batch->Finish();
  const auto began = Clock::now();
  auto status = values_->Prepare(rows);
  if (status.ok()) status = db_->Write(sync, rows);
  if (status.ok()) status = values_->Committed();
  if (!status.ok()) return status;
  buffered_ += rows->ApproximateSize();
  last_commit_ = Clock::now().time_since_epoch().count();
  NoteSync(began, bytes);
  ++group_commits_;
  for (const auto& erase : batch->long_erases()) {
    status = FinishErase(db_, values_, erase, options_.erase_at_once);
    if (!status.ok()) return status;
    NoteSync();
  }
  return status;
}

void LevelDbWriter::WatchLoop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    wake_others_.WaitFor(mutex_, options_.probe_interval,
                         [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    if (stopping_) return;
    const bool failed = !failure_.empty();
    lock.Unlock();
    guard_->Refresh();
    // A compaction may meet a failure while nobody writes.
    if (!failed && !env_->failure().empty()) FailBy(leveldb::Status::OK());
    // A commit under way is a probe of its own: while it hangs, the last sync must be seen to age.
    if (!failed && !writing_ && SinceLastSync() * 2 >= options_.probe_interval) {
      const auto began = Clock::now();
      const std::string error = probe_.Run();
      if (error.empty()) {
        NoteSync(began, 0);
      } else {
        Fail(error, true);
      }
    }
    const bool write_out = !failed && WorthWritingOut();
    if (write_out) buffered_ = 0;
    lock.Lock();
    write_out_ |= write_out;
    if (write_out_ || guard_->full()) wake_others_.NotifyAll();
  }
}

bool LevelDbWriter::WorthWritingOut() const {
  return buffered_ >= kWorthWritingOut && Clock::now().time_since_epoch() - Clock::duration(last_commit_.load()) >= options_.write_out_after;
}

// What it holds is memory for nothing while nobody writes, and what the next start would have to read.
void LevelDbWriter::WriteOutBuffer() {
  // Before every key: there is nothing to compact, but LevelDB writes out its buffer first.
  const leveldb::Slice none("", 0);
  db_->CompactRange(&none, &none);
  ReturnFreeMemory();
  ++write_outs_;
}

void LevelDbWriter::ReclaimLoop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    wake_others_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || write_out_ || !reclaim_.empty() || (!erased_in_.empty() && guard_->full() && failure_.empty());
    });
    if (stopping_) return;
    if (std::exchange(write_out_, false)) {
      if (!failure_.empty()) continue;
      lock.Unlock();
      WriteOutBuffer();
      lock.Lock();
      continue;
    }
    auto& from = reclaim_.empty() ? erased_in_ : reclaim_;
    const PartitionId partition = *from.begin();
    reclaim_.erase(partition);
    erased_in_.erase(partition);
    if (!failure_.empty()) continue;
    lock.Unlock();
    CompactErased(partition);
    lock.Lock();
  }
}

void LevelDbWriter::CompactErased(PartitionId partition) {
  for (const Space space : {Space::kHeader, Space::kValue}) {
    const std::string begin = StoredKey(space, partition, {});
    const std::string end = StoredKeysEnd(space, partition);
    const leveldb::Slice first(begin);
    const leveldb::Slice last(end);
    db_->CompactRange(&first, &last);
  }
  ++reclaims_;
  guard_->Refresh();
}

void LevelDbWriter::FailBy(const leveldb::Status& status) {
  const std::string disk = env_->failure();
  Fail(disk.empty() ? status.ToString() : disk, disk.empty() ? status.IsCorruption() : env_->trust_lost());
}

void LevelDbWriter::Fail(const std::string& what, bool trust_lost) {
  const std::string message =
      what +
      ". This process acknowledges nothing any more and must stop. What was acknowledged is on the other copies. " +
      (trust_lost
           ? "What this disk holds is not known: the node must start under a new id and fill itself from the others; "
             "look at the kernel's log and at the disk's health first."
           : "Remove the cause and start it again.");
  {
    MutexLock lock(mutex_);
    if (!failure_.empty()) return;
    failure_ = message;
  }
  // Failures the environment saw were reported by it.
  if (trust_lost && env_->failure().empty() && options_.on_failure) options_.on_failure(what);
}

}  // namespace coffer::node
