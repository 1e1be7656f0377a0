// Reads back everything a node stores, at a bounded rate, and verifies it: damage is found while the other copy is still good.
// What it finds goes to the core, which repairs. How far a pass has come is kept in a file, so that a restart costs one partition.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "coffer/v1/cluster.pb.h"
#include "node/scrub_progress.h"
#include "node/store.h"
#include "proto/mutex.h"

namespace coffer::node {

struct ScrubberOptions {
  std::string progress_path;
  NodeId owner;                               // whose store it is: the progress of a retired identity does not count
  std::uint64_t bytes_per_second = 8u << 20;  // read at most; 0: no bound
  // From the end of a pass to the beginning of the next, by a fifth more or less; 0: a pass only when it is asked for.
  std::chrono::milliseconds interval = std::chrono::hours(14 * 24);
  std::uint64_t seed = 0;                     // of the fifth: nodes do not all begin at once
  std::function<std::uint64_t()> wall_ms;     // milliseconds since 1970
};

// Called on the scrubber's thread; must not block for long.
class ScrubSinks {
 public:
  virtual ~ScrubSinks() = default;
  virtual void OnBadRecord(PartitionId partition, const RecordKey& key) = 0;
  // Read to its end; `unreadable`: a part of it could not be read, and its records are not known.
  virtual void OnPartitionRead(PartitionId partition, bool unreadable) = 0;
  virtual void OnScrubStatus(const coffer::v1::ScrubStatus& status) = 0;
};

class Scrubber {
 public:
  // `store` and `sinks` must outlive it.
  Scrubber(ScrubberOptions options, const StoreReader& store, ScrubSinks& sinks);
  ~Scrubber();
  void Start();
  // Ends the thread; where the pass is stays known. Idempotent.
  void Stop();
  // What the layout says: thread-safe.
  void Control(bool paused, Epoch asked);

 private:
  void Run();
  // False: this is the end of the thread.
  bool WaitForWork();
  void ReadNext();
  // False: stopped or paused before its end.
  bool ReadPartition(PartitionId partition, bool* unreadable);
  // Its bytes.
  std::uint64_t ReadRecord(PartitionId partition, const RecordKey& key);
  // Waits until reading `bytes` more is within the rate. False: stopped or paused.
  bool Pace(std::uint64_t bytes);
  void Save();
  void Tell();
  // When a pass begins by itself, milliseconds since 1970; nothing: never.
  std::optional<std::uint64_t> Due() const;
  coffer::v1::ScrubState State() const;

  const ScrubberOptions options_;
  const StoreReader& store_;
  ScrubSinks& sinks_;

  Mutex mutex_;
  Condition wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t asked_ ABSL_GUARDED_BY(mutex_) = 0;

  // The thread's own.
  ScrubProgress progress_;
  ScrubProgress reading_;                            // of the partition under way
  std::vector<PartitionId> held_;                    // looked up once in a pass
  std::chrono::steady_clock::time_point free_at_{};  // when the next byte may be read
  std::chrono::steady_clock::time_point told_{};
  std::uint64_t told_bytes_ = 0;
  double rate_ = 0;
  std::chrono::steady_clock::time_point saved_{};
  bool stands_ = false;                              // paused, as this thread last saw it
  std::thread thread_;
};

}  // namespace coffer::node
