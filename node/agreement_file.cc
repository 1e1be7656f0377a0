#include "node/agreement_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cluster/checksum.h"
#include "node/byte_codec.h"
#include "node/disk_env.h"
#include "node/durable_file.h"

namespace coffer::node {
namespace {

constexpr std::string_view kMagic = "CFRVOTES";
constexpr std::uint8_t kFormat = 2;
constexpr std::uint8_t kOldestFormat = 1;  // a boot counter alone instead of the lineage, and nothing remembered
constexpr std::size_t kPrefixBytes = 8 + 1 + 8;  // magic, format, length of the body
constexpr std::uint64_t kAtFirst = 256u << 10;   // preallocated: a full disk does not stop votes
constexpr std::uint64_t kMostBodyBytes = 48u << 20;
constexpr std::uint64_t kMostAdds = cluster::kMaxPartitions;
constexpr std::uint64_t kMostRemembered = 1u << 16;

void PutBallot(const cluster::Ballot& ballot, ByteWriter* out) {
  out->Varint(ballot.counter).Raw(ballot.node.view());
}

cluster::Ballot TakeBallot(ByteReader* in) {
  cluster::Ballot ballot;
  ballot.counter = in->Varint();
  ballot.node = in->Fixed<NodeId>();
  return ballot;
}

void PutMark(const cluster::FolderMark& mark, ByteWriter* out) {
  out->Varint(mark.boot.value).Raw(mark.nonce.view()).Varint(mark.step);
}

cluster::FolderMark TakeMark(ByteReader* in) {
  cluster::FolderMark mark;
  mark.boot = Boot(in->Varint());
  mark.nonce = in->Fixed<cluster::BootNonce>();
  mark.step = in->Varint();
  return mark;
}

std::string EncodeBody(const AgreementSlot& slot) {
  ByteWriter out;
  const auto& agreement = slot.state.agreement;
  out.U64(slot.sequence).Raw(slot.owner.view()).Varint(slot.state.lineage.size());
  for (const auto& mark : slot.state.lineage) PutMark(mark, &out);
  out.Text(agreement.layout);
  PutBallot(agreement.promised, &out);
  PutBallot(agreement.accepted_ballot, &out);
  out.Text(agreement.accepted_layout).Varint(agreement.ballot_counter).Varint(slot.state.adds.size());
  for (const auto& add : slot.state.adds) out.Varint(add.partition).Varint(add.term.value).Raw(add.learner.view());
  out.Varint(slot.state.remembered.size());
  for (const auto& [id, mark] : slot.state.remembered) {
    out.Raw(id.view());
    PutMark(mark, &out);
  }
  return out.Take();
}

bool TakeLineage(std::uint8_t format, ByteReader* in, cluster::Lineage* lineage) {
  const std::uint64_t first = in->Varint();
  if (format == 1) {
    if (first > 0) lineage->push_back({Boot(first), {}, 0});
    return in->ok();
  }
  if (first > cluster::kMaxLineage) return false;
  for (std::uint64_t i = 0; i < first && in->ok(); ++i) {
    const cluster::FolderMark mark = TakeMark(in);
    if (!lineage->empty() && mark.boot != lineage->back().boot.Next()) return false;
    lineage->push_back(mark);
  }
  return in->ok();
}

std::optional<AgreementSlot> DecodeBody(std::uint8_t format, std::string_view body) {
  ByteReader in(body);
  AgreementSlot slot;
  slot.sequence = in.U64();
  slot.owner = in.Fixed<NodeId>();
  if (!TakeLineage(format, &in, &slot.state.lineage)) return std::nullopt;
  slot.state.agreement.layout = in.Text();
  slot.state.agreement.promised = TakeBallot(&in);
  slot.state.agreement.accepted_ballot = TakeBallot(&in);
  slot.state.agreement.accepted_layout = in.Text();
  slot.state.agreement.ballot_counter = in.Varint();
  const std::uint64_t adds = in.Varint();
  if (adds > kMostAdds) return std::nullopt;
  for (std::uint64_t i = 0; i < adds && in.ok(); ++i) {
    cluster::ProposedAdd add;
    const std::uint64_t partition = in.Varint();
    if (partition >= cluster::kMaxPartitions) return std::nullopt;
    add.partition = static_cast<PartitionId>(partition);
    add.term = Term(in.Varint());
    add.learner = in.Fixed<NodeId>();
    slot.state.adds.push_back(add);
  }
  const std::uint64_t remembered = format == 1 ? 0 : in.Varint();
  if (remembered > kMostRemembered) return std::nullopt;
  for (std::uint64_t i = 0; i < remembered && in.ok(); ++i) {
    const NodeId id = in.Fixed<NodeId>();
    if (!slot.state.remembered.empty() && id <= slot.state.remembered.rbegin()->first) return std::nullopt;
    slot.state.remembered[id] = TakeMark(&in);
  }
  if (!in.Done()) return std::nullopt;
  return slot;
}

AgreementFile::Opened Refused(AgreementFile::Outcome outcome, std::string message) {
  AgreementFile::Opened opened;
  opened.outcome = outcome;
  opened.message = std::move(message);
  return opened;
}

}  // namespace

std::string EncodeAgreementSlot(const AgreementSlot& slot) {
  const std::string body = EncodeBody(slot);
  ByteWriter out;
  out.Raw(kMagic).U8(kFormat).U64(body.size());
  const std::uint32_t checksum = Crc32c({out.bytes(), body});
  out.U32(checksum).Raw(body);
  return out.Take();
}

std::optional<AgreementSlot> DecodeAgreementSlot(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.Raw(kMagic.size()) != kMagic) return std::nullopt;
  const std::uint8_t format = in.U8();
  if (format < kOldestFormat || format > kFormat) return std::nullopt;
  const std::uint64_t size = in.U64();
  const std::uint32_t checksum = in.U32();
  if (!in.ok() || size > kMostBodyBytes || size > in.rest().size()) return std::nullopt;
  const std::string_view body = in.rest().substr(0, static_cast<std::size_t>(size));
  if (Crc32c({bytes.substr(0, kPrefixBytes), body}) != checksum) return std::nullopt;
  return DecodeBody(format, body);
}

bool IsNewerAgreementSlot(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.Raw(kMagic.size()) != kMagic) return false;
  const std::uint8_t format = in.U8();
  return in.ok() && format > kFormat && format <= kFormat + 8;  // further away it is damage
}

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
    } else if (!best || decoded->sequence > best->sequence) {
      best = std::move(decoded);
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
                                            const AgreementFileState& state, DiskFaults* faults) {
  std::unique_ptr<AgreementFile> file(new AgreementFile(folder, owner, faults));
  const Saved saved = file->Save(state);
  if (!saved.ok) return Refused(Outcome::kFailed, saved.message);
  Opened opened;
  opened.file = std::move(file);
  opened.state = state;
  opened.outcome = Outcome::kLoaded;
  return opened;
}

AgreementFile::Saved AgreementFile::Save(const AgreementFileState& state) {
  MutexLock lock(mutex_);
  if (failed_) return *failed_;
  Saved saved = SaveLocked(state);
  if (!saved.ok) failed_ = saved;
  return saved;
}

AgreementFile::Saved AgreementFile::SaveLocked(const AgreementFileState& state) {
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
