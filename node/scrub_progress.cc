#include "node/scrub_progress.h"

#include "cluster/checksum.h"
#include "node/byte_codec.h"

namespace coffer::node {
namespace {

constexpr std::string_view kMagic = "CFRS";
constexpr std::uint8_t kFormat = 1;

}  // namespace

std::string EncodeScrubProgress(const NodeId& owner, const ScrubProgress& p) {
  ByteWriter body;
  body.U8(p.running ? 1 : 0).Varint(p.next).Varint(p.partitions).Varint(p.blocks).Varint(p.bytes).Varint(p.bad).Varint(p.unreadable);
  body.Varint(p.since_ms).Varint(p.last_pass_ms).Varint(p.asked);
  ByteWriter out;
  out.Raw(kMagic).U8(kFormat).Raw(owner.view()).U32(Crc32c({owner.view(), body.bytes()})).Raw(body.bytes());
  return out.Take();
}

std::optional<ScrubProgress> DecodeScrubProgress(const NodeId& owner, std::string_view bytes) {
  ByteReader in(bytes);
  if (in.Raw(kMagic.size()) != kMagic || in.U8() != kFormat || in.Raw(NodeId::kSize) != owner.view()) return std::nullopt;
  const std::uint32_t crc = in.U32();
  if (!in.ok() || crc != Crc32c({owner.view(), in.rest()})) return std::nullopt;
  ScrubProgress p;
  const std::uint8_t running = in.U8();
  const std::uint64_t next = in.Varint();
  p.running = running == 1;
  p.next = static_cast<PartitionId>(next);
  for (auto* field : {&p.partitions, &p.blocks, &p.bytes, &p.bad, &p.unreadable, &p.since_ms, &p.last_pass_ms, &p.asked}) {
    *field = in.Varint();
  }
  if (!in.Done() || running > 1 || p.next != next) return std::nullopt;
  return p;
}

}  // namespace coffer::node
