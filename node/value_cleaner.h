// Gets garbage out of the log of values: what is still needed of a segment is written anew, then the segment is free.
//
// Safe at every step: a value is moved by a group commit like any other, which checks that its header still points to the
// old place; the segment is given up only by a commit after the last of them. A crash in between leaves some values
// moved and the segment as it was. Where something does not verify the rest is moved, and the segment is given up by its count
// of needed bytes alone, when what is left in it has been repaired or deleted.
#pragma once

#include <leveldb/db.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "node/leveldb_writer.h"
#include "proto/mutex.h"

namespace coffer::node {

// Thread-safe. Everything passed to the constructor must outlive it.
class ValueCleaner {
 public:
  ValueCleaner(leveldb::DB* db, const ValueLog* values, const SpaceGuard* guard, LevelDbWriter* writer,
               const LevelDbStoreOptions& options);
  ~ValueCleaner();

  void FillCounters(LevelDbStore::Counters* counters) const;

 private:
  void Loop();
  // The segment to clean next, if there is one worth it.
  std::optional<std::uint64_t> Choose() const;
  // False: it is left, without what could be moved: something in it does not verify or can't be read, or this ends.
  bool Clean(std::uint64_t segment);
  // Calls `visit` with each value that is needed until it says false. True: those were all. What does not verify is passed over, but for
  // a record's head: where the next one begins is not known then.
  bool Walk(std::uint64_t segment, const std::function<bool(ValueMove)>& visit) const;
  // The value at that place if a header points to it: then it is to be moved. kDamaged, kFailed: that can't be told.
  ReadOutcome ReadIfNeeded(const LoggedValue& logged, std::optional<ValueMove>* move) const;
  // Moves, waits until that is durable, and then as long as the pace demands.
  bool Commit(std::vector<ValueMove> moves, std::uint64_t emptied);
  // False: the end.
  // As long as moving so many bytes may take.
  bool PauseFor(std::uint64_t bytes);
  bool Pause(std::chrono::nanoseconds time);

  leveldb::DB* const db_;
  const ValueLog* const values_;
  const SpaceGuard* const guard_;
  LevelDbWriter* const writer_;
  const LevelDbStoreOptions options_;
  // Of the thread.
  std::set<std::uint64_t> left_;  // not to be tried before `again_`
  std::chrono::steady_clock::time_point again_{};

  // Shared with the callback of a commit, which may come when this is gone: a writer that waits for space is not waited for.
  struct Signal {
    Mutex mutex;
    Condition wake;
    bool stopping ABSL_GUARDED_BY(mutex) = false;
    std::optional<bool> committed ABSL_GUARDED_BY(mutex);
  };
  const std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  std::atomic<std::uint64_t> moved_bytes_{0};
  std::atomic<std::uint64_t> cleaned_{0};
  std::thread thread_;
};

}  // namespace coffer::node
