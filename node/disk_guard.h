// Watches over the disk under a store: is there room, and does it still sync.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cluster/ids.h"
#include "node/leveldb_store.h"
#include "proto/mutex.h"

namespace coffer::node {

class DiskFaults;

// Free space as the file system says it; zeros if it does not answer.
DiskSpace SpaceOf(const std::string& folder);

// When a store is full. Thread-safe.
class SpaceGuard {
 public:
  // `reserve` as configured; `compaction_bytes` is the most a compaction may need for a while.
  SpaceGuard(std::function<DiskSpace()> space, std::optional<std::uint64_t> reserve, std::uint64_t write_buffer_bytes,
             std::uint64_t compaction_bytes);
  // Looks at the disk. May block on a dead one.
  void Refresh();
  // As of the last Refresh.
  bool full() const;
  // Nearly nothing is left of the reserve: what adds data must wait.
  bool AtTheFloor() const;
  DiskSpace space() const;
  std::uint64_t reserve() const;

 private:
  std::uint64_t ReserveLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const std::function<DiskSpace()> source_;
  const std::optional<std::uint64_t> configured_;
  const std::uint64_t least_;
  mutable Mutex mutex_;
  DiskSpace space_ ABSL_GUARDED_BY(mutex_);
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
};

// A small preallocated file that is overwritten and synced to see whether the disk answers. For one thread.
class SyncProbe {
 public:
  // An errno in `error` when the file can't be made; the probe then fails with it.
  SyncProbe(std::string path, DiskFaults* faults);
  ~SyncProbe();
  SyncProbe(const SyncProbe&) = delete;
  SyncProbe& operator=(const SyncProbe&) = delete;
  // Blocks until the disk answers. Empty, or what failed.
  std::string Run();

 private:
  const std::string path_;
  DiskFaults* const faults_;
  int fd_ = -1;
  int open_error_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace coffer::node
