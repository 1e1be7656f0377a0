// The one thread that writes a store, and the two beside it: one asks the disk whether it is well and notices when nobody writes; one
// gets erased space back and writes out LevelDB's buffer.
#pragma once

#include <leveldb/db.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "node/disk_env.h"
#include "node/disk_guard.h"
#include "node/leveldb_batch.h"
#include "node/leveldb_store.h"
#include "node/sync_watch.h"
#include "proto/mutex.h"

namespace coffer::node {

// Thread-safe. Everything passed to the constructor must outlive it.
class LevelDbWriter {
 public:
  LevelDbWriter(leveldb::DB* db, ValueLog* values, DiskEnv* env, SpaceGuard* guard,
                const LevelDbStoreOptions& options);
  // Commits what is queued; while it waits for space its callbacks are told false.
  ~LevelDbWriter();

  // As Store::Write. The queue is as long as the callers let it become.
  void Submit(StoreBatch batch, std::function<void(bool)> done);
  // Writes values anew elsewhere; `emptied`, if not 0, is a segment that nothing points into any more then.
  void SubmitMoves(std::vector<ValueMove> moves, std::uint64_t emptied, std::function<void(bool)> done);

  // Empty, or why nothing is written any more. Final.
  std::string failure() const;
  // A batch waits because the disk is nearly full.
  bool holding() const { return holding_; }
  Duration SinceLastSync() const;
  bool DiskIsSlow() const;
  void FillCounters(LevelDbStore::Counters* counters) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Queued {
    StoreBatch batch;
    std::vector<ValueMove> moves;
    std::uint64_t emptied = 0;
    std::function<void(bool)> done;
  };
  using Group = std::vector<Queued>;

  void Enqueue(Queued queued);
  void WriteLoop();
  // Blocks until there is a group to write. Empty: the end.
  Group NextGroup() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What it writes, about.
  static std::size_t Bytes(const Queued& queued);
  bool MustHold(const StoreBatch& batch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets go of the mutex in between.
  bool Commit(Group* group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the values a group puts go with their headers, whatever their size.
  bool StayInLevelDb(const Group& group) const;
  leveldb::Status Add(const Queued& queued, LevelDbBatch* batch);
  leveldb::Status CommitBatch(LevelDbBatch* batch, std::uint64_t bytes);
  void WatchLoop();
  void ReclaimLoop();
  void CompactErased(PartitionId partition);
  // As much was committed since the last time that it is worth a table, and nothing for a while. LevelDB may have made tables of it itself.
  bool WorthWritingOut() const;
  void WriteOutBuffer();
  void FailBy(const leveldb::Status& status);
  // Nothing is written any more. `trust_lost`: what the disk holds is not known.
  void Fail(const std::string& what, bool trust_lost);
  void NoteSync() { last_sync_ = Clock::now().time_since_epoch().count(); }
  // A sync that began then, and wrote about so many bytes.
  void NoteSync(Clock::time_point began, std::uint64_t bytes);

  leveldb::DB* const db_;
  ValueLog* const values_;
  DiskEnv* const env_;
  SpaceGuard* const guard_;
  const LevelDbStoreOptions options_;
  SyncProbe probe_;               // watch thread only
  std::uint64_t next_erase_ = 0;  // writer thread only

  mutable Mutex mutex_;
  Condition wake_writer_;
  Condition wake_others_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::string failure_ ABSL_GUARDED_BY(mutex_);
  // Erased bits and pieces: worth a compaction once the disk is full.
  std::set<PartitionId> erased_in_ ABSL_GUARDED_BY(mutex_);
  std::set<PartitionId> reclaim_ ABSL_GUARDED_BY(mutex_);  // erased in bulk: worth a compaction at once
  bool write_out_ ABSL_GUARDED_BY(mutex_) = false;         // LevelDB's buffer is to be written out
  std::atomic<std::uint64_t> buffered_{0};                 // bytes given to LevelDB since that was done, about
  std::atomic<Clock::rep> last_commit_{0};
  std::atomic<bool> holding_{false};
  std::atomic<bool> writing_{false};
  std::atomic<Clock::rep> last_sync_{0};
  std::atomic<std::uint64_t> batches_{0};
  std::atomic<std::uint64_t> group_commits_{0};
  std::atomic<std::uint64_t> reclaims_{0};
  std::atomic<std::uint64_t> write_outs_{0};

  mutable Mutex watch_mutex_;
  SyncWatch syncs_ ABSL_GUARDED_BY(watch_mutex_);

  std::thread writer_;
  std::thread watcher_;
  std::thread reclaimer_;
};

}  // namespace coffer::node
