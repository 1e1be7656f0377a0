// A chunk as it lies on the disk of a router's cache: checksum, size, zone, id, and the chunk's bytes. The checksum is also
// over the place and its use, so a record that lies where another was meant to be does not verify.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "router/core/disk_index.h"

namespace coffer::router {

// What comes before the chunk's bytes; kDiskRecordHead bytes.
std::string DiskRecordHead(const DiskPlace& place, const ChunkKey& key, std::string_view chunk);
// The key under which a record was written; nothing: it does not verify, or lies elsewhere by right.
std::optional<ChunkKey> VerifyDiskRecord(const DiskPlace& place, std::string_view head, std::string_view chunk);

}  // namespace coffer::router
