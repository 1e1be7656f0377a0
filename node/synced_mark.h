// How far the files that LevelDB appends to were synced, kept beside them.
//
// What a crash left unsynced at the end of a log, and what was cut off it later, look the same. So each sync of a log or a manifest is
// followed by a note of where that file ended then, in a file of one sector, which is overwritten in place and not synced: it costs a
// copy into the page cache. The note is written after the sync, so that power loss may leave it behind the file, never ahead; and a
// process that is killed leaves it exact, for nothing is acknowledged before. What the note says was synced has to be there at the
// next start, or the store is damaged (docs/decisions/0013-how-far-a-log-was-synced.md).
//
// A note counts only beside the manifest it names: each opening makes a new one, whose first note is synced before CURRENT names it. So
// what a program without notes did is not held against the store. A note that does not verify says nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "proto/mutex.h"

namespace coffer::node {

class DiskFaults;

// Of the files of one opening of a DB.
struct SyncedEnds {
  struct File {
    std::uint64_t number = 0;  // by LevelDB; 0: none
    std::uint64_t bytes = 0;
    bool operator==(const File&) const = default;
  };
  File manifest;
  std::array<File, 2> logs;  // what is in memory, and what is on its way into a table: LevelDB has no more
  bool operator==(const SyncedEnds&) const = default;
};

// The file's bytes, and back; nothing if they do not verify.
std::string EncodeSyncedEnds(const SyncedEnds& ends);
std::optional<SyncedEnds> DecodeSyncedEnds(std::string_view bytes);

std::string SyncedMarkPath(const std::string& folder);
// Nothing: there is no mark that verifies.
std::optional<SyncedEnds> ReadSyncedMark(const std::string& folder);

// The number in the name of a manifest or log; 0 for other names.
std::uint64_t ManifestNumber(std::string_view name);
std::uint64_t LogNumber(std::string_view name);

// Thread-safe.
class SyncedMark {
 public:
  // `faults` may be null, else must outlive it.
  explicit SyncedMark(DiskFaults* faults) : faults_(faults) {}
  ~SyncedMark();
  SyncedMark(const SyncedMark&) = delete;
  SyncedMark& operator=(const SyncedMark&) = delete;

  // Makes the file if there is none. What it says stays until the first note. All return an errno, 0 for success.
  int Open(const std::string& folder);
  // The file of this name ends at `bytes` and is synced up to there. Names of other files than manifests and logs are passed over.
  int Synced(std::string_view name, std::uint64_t bytes);
  // The file is about to be removed: returns once no note of it can come back.
  int Removing(std::string_view name);

 private:
  int Write(const SyncedEnds& ends) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int Sync() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  DiskFaults* const faults_;
  std::string path_;
  int fd_ = -1;
  Mutex mutex_;
  SyncedEnds ends_ ABSL_GUARDED_BY(mutex_);
  // Logs that some note may still name after power loss: one that is not among the ends any more stands in older notes.
  std::set<std::uint64_t> named_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace coffer::node
