// How far a scrub had come, as it is found at a start: raw, or behind a good checksum.
#include "cluster/checksum.h"
#include "fuzz_target.h"
#include "node/byte_codec.h"
#include "node/scrub_progress.h"

using namespace coffer;
using namespace coffer::node;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const bool sealed = choices.Byte() % 2 == 0;
  const NodeId owner = NodeId::Must(std::string(NodeId::kSize, static_cast<char>(choices.Byte())));
  const std::string_view body = choices.Rest();
  std::string bytes(body);
  if (sealed) {
    const std::string begin = EncodeScrubProgress(owner, {}).substr(0, 4 + 1 + NodeId::kSize);
    bytes = ByteWriter().Raw(begin).U32(Crc32c({owner.view(), body})).Raw(body).Take();
  }
  const auto progress = DecodeScrubProgress(owner, bytes);
  if (!progress) return 0;
  fuzz::Require(EncodeScrubProgress(owner, *progress) == bytes, "progress has one form");
  std::string other(owner.view());
  other[0] ^= 1;
  fuzz::Require(!DecodeScrubProgress(NodeId::Must(other), bytes), "nobody goes by another's progress");
  return 0;
}
