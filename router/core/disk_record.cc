#include "router/core/disk_record.h"

#include "cluster/checksum.h"

namespace coffer::router {
namespace {

void AppendWord(std::uint32_t word, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(word >> shift));
}

// Everything of the head but the checksum.
std::string Body(const ChunkKey& key, std::size_t size) {
  std::string body;
  body.reserve(kDiskRecordHead);
  AppendWord(static_cast<std::uint32_t>(size), &body);
  body += key.zone.view();
  body += key.block.view();
  return body;
}

std::string Checksum(const DiskPlace& place, std::string_view body, std::string_view chunk) {
  std::string where, sum;
  AppendWord(place.segment, &where);
  AppendWord(place.use, &where);
  AppendWord(place.offset, &where);
  AppendWord(Crc32c({where, body, chunk}), &sum);
  return sum;
}

}  // namespace

std::string DiskRecordHead(const DiskPlace& place, const ChunkKey& key, std::string_view chunk) {
  const std::string body = Body(key, chunk.size());
  return Checksum(place, body, chunk) + body;
}

std::optional<ChunkKey> VerifyDiskRecord(const DiskPlace& place, std::string_view head, std::string_view chunk) {
  static_assert(kDiskRecordHead == 8 + ZoneId::kSize + BlockId::kSize);
  if (head.size() != kDiskRecordHead) return std::nullopt;
  const ChunkKey key{ZoneId::Must(head.substr(8, ZoneId::kSize)), BlockId::Must(head.substr(8 + ZoneId::kSize))};
  if (head.substr(4) != Body(key, chunk.size()) || head.substr(0, 4) != Checksum(place, head.substr(4), chunk)) return std::nullopt;
  return key;
}

}  // namespace coffer::router
