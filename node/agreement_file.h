// What a node must never forget, outside LevelDB: its votes, its starts, the learners it vouches for, and what it has seen of
// the other members' data folders.
//
// Two files hold the same state. A save writes and syncs one, then the other, and only then counts. So one of them may
// be torn by a crash or damaged at rest, and the other still holds everything ever answered for. If neither can be read
// the node may have promised what it does not remember: its id is retired.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "cluster/ids.h"
#include "node/agreement_slot.h"
#include "proto/mutex.h"

namespace coffer::node {

class DiskFaults;

class AgreementFile {
 public:
  enum class Outcome {
    kLoaded,
    kAbsent,   // neither file exists
    kDamaged,  // neither can be trusted: retire the identity
    kForeign,  // another node's: retire the identity
    kNewer,    // written by a newer version: install that again
    kFailed,   // the disk answered with an error
  };
  struct Opened {
    std::unique_ptr<AgreementFile> file;  // only if kLoaded
    NodeDurable state;
    Outcome outcome = Outcome::kFailed;
    std::string message;  // what happened; for kLoaded: empty, or which file was bad and has been repaired
  };
  // Files agreement-a and agreement-b in `folder`.
  static Opened Open(const std::string& folder, const NodeId& owner,
                     DiskFaults* faults = nullptr) ABSL_NO_THREAD_SAFETY_ANALYSIS;  // nobody else has it yet
  // Makes both files, preallocated, with this state; what was there is overwritten.
  static Opened Create(const std::string& folder, const NodeId& owner, const NodeDurable& state,
                       DiskFaults* faults = nullptr);
  ~AgreementFile();

  struct Saved {
    bool ok = false;
    bool trust_lost = false;  // what the disk holds is not known: the identity must be retired
    std::string message;
  };
  // Blocks until both files are durable. The first failure is final: every later save fails with it. Thread-safe; saves
  // become durable in the order of the calls.
  Saved Save(const NodeDurable& state);

 private:
  struct Slot {
    std::string path;
    int fd = -1;
    std::uint64_t allocated = 0;
  };
  AgreementFile(const std::string& folder, const NodeId& owner, DiskFaults* faults);
  Saved SaveLocked(const NodeDurable& state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Saved WriteSlot(Slot* slot, const std::string& bytes);
  Saved Reserve(Slot* slot, std::uint64_t bytes);

  const NodeId owner_;
  DiskFaults* const faults_;
  Mutex mutex_;
  std::array<Slot, 2> slots_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<Saved> failed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace coffer::node
