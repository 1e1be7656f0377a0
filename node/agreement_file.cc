#include "node/agreement_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "node/disk_env.h"
#include "node/durable_file.h"

namespace coffer::node {
namespace {

constexpr std::uint64_t kAtFirst = 256u << 10;   // preallocated: a full disk does not stop votes

AgreementFile::Opened Refused(AgreementFile::Outcome outcome, std::string message) {
  AgreementFile::Opened opened;
  opened.outcome = outcome;
  opened.message = std::move(message);
  return opened;
}

}  // namespace

AgreementFile::AgreementFile(const std::string& folder, const NodeId& owner, DiskFaults* faults)
    : owner_(owner), faults_(faults) {
  slots_[0].path = folder + "/agreement-a";
  slots_[1].path = folder + "/agreement-b";
}

AgreementFile::~AgreementFile() {
  for (const Slot& slot : slots_) {
    if (slot.fd >= 0) ::close(slot.fd);
  }
}

AgreementFile::Opened AgreementFile::Open(const std::string& folder, const NodeId& owner, DiskFaults* faults) {
  std::unique_ptr<AgreementFile> file(new AgreementFile(folder, owner, faults));
  std::optional<AgreementSlot> best;
  std::string bad;
  int absent = 0;
  int newer = 0;
  for (const Slot& slot : file->slots_) {
    int error = faults ? faults->BeforeRead(slot.path) : 0;
    const auto bytes = error == 0 ? ReadWholeFile(slot.path, &error) : std::nullopt;
    if (!bytes && error != ENOENT && error != EFBIG) {
      return Refused(Outcome::kFailed, FileError("reading", slot.path, error).what);
    }
    absent += error == ENOENT;
    newer += bytes && IsNewerAgreementSlot(*bytes);
    auto decoded = bytes ? DecodeAgreementSlot(*bytes) : std::nullopt;
    if (!decoded) {
      bad += (bad.empty() ? "" : " and ") + slot.path + (bytes ? " does not verify" : " is gone");
    } else if (decoded->owner != owner) {
      return Refused(Outcome::kForeign,
                     slot.path + " is of node " + Hex(decoded->owner.view()) + ", this is " + Hex(owner.view()));
    } else {
      best = NewerSlot(std::move(best), std::move(decoded));
    }
  }
  if (absent == 2) return Refused(Outcome::kAbsent, bad);
  if (newer == 2 || (newer == 1 && !best)) {
    return Refused(Outcome::kNewer, "The votes in " + folder +
                                        " were written by a newer version of Coffer. Nothing was "
                                        "changed. Install that version again.");
  }
  if (!best) return Refused(Outcome::kDamaged, bad);
  Opened opened;
  // Both are written anew: what was bad is good again, and both are the same.
  file->sequence_ = best->sequence;
  const Saved saved = file->Save(best->state);
  if (!saved.ok) return Refused(Outcome::kFailed, saved.message);
  opened.file = std::move(file);
  opened.state = std::move(best->state);
  opened.outcome = Outcome::kLoaded;
  if (!bad.empty()) opened.message = bad + "; repaired from the other file";
  return opened;
}

AgreementFile::Opened AgreementFile::Create(const std::string& folder, const NodeId& owner,
                                            const NodeDurable& state, DiskFaults* faults) {
  std::unique_ptr<AgreementFile> file(new AgreementFile(folder, owner, faults));
  const Saved saved = file->Save(state);
  if (!saved.ok) return Refused(Outcome::kFailed, saved.message);
  Opened opened;
  opened.file = std::move(file);
  opened.state = state;
  opened.outcome = Outcome::kLoaded;
  return opened;
}

AgreementFile::Saved AgreementFile::Save(const NodeDurable& state) {
  MutexLock lock(mutex_);
  if (failed_) return *failed_;
  Saved saved = SaveLocked(state);
  if (!saved.ok) failed_ = saved;
  return saved;
}

AgreementFile::Saved AgreementFile::SaveLocked(const NodeDurable& state) {
  const std::string bytes = EncodeAgreementSlot({++sequence_, owner_, state});
  for (Slot& slot : slots_) {
    if (Saved saved = Reserve(&slot, bytes.size()); !saved.ok) return saved;
  }
  for (Slot& slot : slots_) {
    if (Saved saved = WriteSlot(&slot, bytes); !saved.ok) return saved;
  }
  return {true, false, {}};
}

AgreementFile::Saved AgreementFile::WriteSlot(Slot* slot, const std::string& bytes) {
  const FileResult result = OverwriteAndSync(slot->fd, slot->path, 0, bytes, faults_);
  if (!result.ok()) return {false, true, result.what};
  return {true, false, {}};
}

// Opens the file and makes it long enough, before anything in it is overwritten: a lack of space here loses nothing.
AgreementFile::Saved AgreementFile::Reserve(Slot* slot, std::uint64_t bytes) {
  if (slot->fd < 0) {
    slot->fd = ::open(slot->path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (slot->fd < 0) return {false, false, FileError("creating", slot->path, errno).what};
    if (FileResult result = SyncParent(slot->path, faults_); !result.ok()) return {false, true, result.what};
    const off_t end = ::lseek(slot->fd, 0, SEEK_END);
    slot->allocated = end < 0 ? 0 : static_cast<std::uint64_t>(end);
  }
  const std::uint64_t wanted = std::max(kAtFirst, bytes);
  if (slot->allocated >= wanted) return {true, false, {}};
  // Zeros, not only an allocation: overwriting written blocks is what syncs fast and needs no space.
  const std::string zeros(std::max(wanted, 2 * slot->allocated) - slot->allocated, '\0');
  const FileResult result = OverwriteAndSync(slot->fd, slot->path, slot->allocated, zeros, faults_);
  if (!result.ok()) {
    const bool no_space = result.error == ENOSPC || result.error == EDQUOT;
    return {false, !no_space,
            result.what + (no_space ? ". Nothing is lost; free space on this disk and start again" : "")};
  }
  slot->allocated += zeros.size();
  return {true, false, {}};
}

}  // namespace coffer::node
