// The file of writes that were cut off (rule R4): never acknowledged, kept for a person to look at.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"
#include "proto/mutex.h"

namespace coffer::node {

class DiskFaults;

// One write that was cut off.
struct QuarantineRecord {
  PartitionId partition = 0;
  std::uint64_t recorded_ms = 0;  // milliseconds since 1970 UTC, by this node's clock
  wire::Write write;
  std::vector<Payload> bodies;  // null: the body was not there any more
};

std::string EncodeQuarantineRecord(const QuarantineRecord& record);

// Appends. Thread-safe.
class QuarantineFile {
 public:
  // Beyond `most_bytes` the file is kept as PATH.old, in place of an earlier one, and a new one begun.
  explicit QuarantineFile(std::string path, std::uint64_t most_bytes = 256u << 20, DiskFaults* faults = nullptr);
  ~QuarantineFile();
  QuarantineFile(const QuarantineFile&) = delete;
  QuarantineFile& operator=(const QuarantineFile&) = delete;
  // Durable on return. Empty, or what failed: the records are not kept then, and the next Append tries again.
  std::string Append(const std::vector<QuarantineRecord>& records);

 private:
  std::string OpenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const std::string path_;
  const std::uint64_t most_bytes_;
  DiskFaults* const faults_;
  Mutex mutex_;
  int fd_ ABSL_GUARDED_BY(mutex_) = -1;
  std::uint64_t size_ ABSL_GUARDED_BY(mutex_) = 0;
};

// What a reading found.
struct QuarantineSummary {
  std::uint64_t records = 0;
  std::uint64_t damaged_bytes = 0;  // skipped: torn or changed
  std::string error;                // the file could not be read (there being none is no error)
};
// Visits the records of the file, oldest first, until `visit` returns false. Reads the file piece by piece.
QuarantineSummary ReadQuarantine(const std::string& path, const std::function<bool(const QuarantineRecord&)>& visit);

}  // namespace coffer::node
