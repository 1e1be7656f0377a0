// Which records a write is about.
#pragma once

#include <string>

#include "cluster/ids.h"
#include "cluster/message.h"
#include "node/store.h"

namespace coffer::node {

inline RecordKey ChunkKey(const wire::Write& w) {
  return {ZoneId::Must(w.zone()), RecordKind::kChunk, BlockId::Must(w.id()), 0};
}
inline RecordKey ChainDeleteKey(const ZoneId& zone, const BlockId& chain) { return {zone, RecordKind::kChainDelete, chain, 0}; }
inline RecordKey EntryKey(const ZoneId& zone, const BlockId& chain, std::uint64_t position) {
  return {zone, RecordKind::kEntry, chain, position};
}
inline RecordKey DropKey(const ZoneId& zone) { return {zone, RecordKind::kZoneDrop, BlockId{}, 0}; }
inline RecordKey ZoneKey(const wire::Write& w) { return {ZoneId{}, RecordKind::kZone, BlockId::Must(w.id()), 0}; }

inline std::string EndKey(const ZoneId& zone, const BlockId& chain) { return zone.str() + chain.str(); }

inline bool IsDelete(const wire::Write& w) {
  return w.kind() == wire::WRITE_KIND_DELETE_CHUNK || w.kind() == wire::WRITE_KIND_DELETE_CHAIN ||
         w.kind() == wire::WRITE_KIND_DROP_ZONE;
}

inline bool HasBodies(const wire::Write& w) {
  return w.kind() == wire::WRITE_KIND_PUT_CHUNK || w.kind() == wire::WRITE_KIND_APPEND;
}

}  // namespace coffer::node
