#include "node/core/record_check.h"

#include "cluster/sha256.h"
#include "node/core/replica.h"

namespace coffer::node {

bool RecordVerifies(const RecordKey& key, const RecordHeader& header, std::string_view value) {
  if (header.value_gone) return value.empty();
  if (header.size != value.size()) return false;
  switch (key.kind) {
    case RecordKind::kChunk:
    case RecordKind::kZone:
      return Sha256({value}) == header.hash;
    case RecordKind::kEntry:
      return EntryHash(key.id, key.position, header.predecessor, header.signature, value) == header.hash;
    case RecordKind::kZoneDrop:
    case RecordKind::kChainDelete:
      return value.empty();
  }
  return false;
}

}  // namespace coffer::node
