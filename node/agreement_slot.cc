#include "node/agreement_slot.h"

#include "cluster/checksum.h"
#include "node/byte_codec.h"

namespace coffer::node {
namespace {

constexpr std::string_view kSlotMagic = "CFRVOTES";
constexpr std::uint8_t kSlotFormat = 2;
constexpr std::uint8_t kOldestSlotFormat = 1;  // a boot counter alone instead of the lineage, and nothing remembered
constexpr std::size_t kSlotPrefixBytes = 8 + 1 + 8;  // magic, format, length of the body
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

}  // namespace

std::string EncodeAgreementSlot(const AgreementSlot& slot) {
  const std::string body = EncodeBody(slot);
  ByteWriter out;
  out.Raw(kSlotMagic).U8(kSlotFormat).U64(body.size());
  const std::uint32_t checksum = Crc32c({out.bytes(), body});
  out.U32(checksum).Raw(body);
  return out.Take();
}

std::optional<AgreementSlot> DecodeAgreementSlot(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.Raw(kSlotMagic.size()) != kSlotMagic) return std::nullopt;
  const std::uint8_t format = in.U8();
  if (format < kOldestSlotFormat || format > kSlotFormat) return std::nullopt;
  const std::uint64_t size = in.U64();
  const std::uint32_t checksum = in.U32();
  if (!in.ok() || size > kMostBodyBytes || size > in.rest().size()) return std::nullopt;
  const std::string_view body = in.rest().substr(0, static_cast<std::size_t>(size));
  if (Crc32c({bytes.substr(0, kSlotPrefixBytes), body}) != checksum) return std::nullopt;
  return DecodeBody(format, body);
}

bool IsNewerAgreementSlot(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.Raw(kSlotMagic.size()) != kSlotMagic) return false;
  const std::uint8_t format = in.U8();
  return in.ok() && format > kSlotFormat && format <= kSlotFormat + 8;  // further away it is damage
}

std::optional<AgreementSlot> NewerSlot(std::optional<AgreementSlot> a, std::optional<AgreementSlot> b) {
  return !a || (b && b->sequence > a->sequence) ? std::move(b) : std::move(a);
}

}  // namespace coffer::node
