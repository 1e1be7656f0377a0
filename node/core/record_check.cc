#include "node/core/record_check.h"

#include "cluster/checksum.h"
#include "cluster/sha256.h"
#include "node/byte_codec.h"
#include "node/core/replica.h"

namespace coffer::node {

bool KeepsValue(const RecordKey& key, const RecordHeader& header) {
  return !header.value_gone && key.kind != RecordKind::kZoneDrop && key.kind != RecordKind::kChainDelete;
}

bool RecordVerifies(const RecordKey& key, const RecordHeader& header, std::string_view value) {
  if (!KeepsValue(key, header)) return value.empty();
  if (header.size != value.size()) return false;
  if (key.kind == RecordKind::kEntry) return EntryHash(key.id, key.position, header.predecessor, header.signature, value) == header.hash;
  return Sha256({value}) == header.hash;
}

std::uint32_t FetchedChecksum(PartitionId partition, std::string_view key, std::string_view header, std::string_view value) {
  const std::string lengths = ByteWriter().Raw("coffer fetched").U32(partition).U64(key.size()).U64(header.size()).Take();
  return Crc32c({lengths, key, header, value});
}

}  // namespace coffer::node
