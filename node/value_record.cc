#include "node/value_record.h"

#include "cluster/checksum.h"
#include "node/byte_codec.h"
#include "node/store_format.h"

namespace coffer::node {
namespace {

constexpr std::uint8_t kLocatorVersion = 1;
constexpr std::uint8_t kSegmentRowVersion = 1;
constexpr std::uint64_t kAlignment = 8;
constexpr std::size_t kFixedBytes = 17;  // checksum, size, value's checksum, partition, length of the key

std::uint32_t HeaderChecksum(const ValuePosition& at, std::string_view rest) {
  return Crc32c({ByteWriter().Raw("coffer value").U64(at.segment).U64(at.offset).bytes(), rest});
}

}  // namespace

std::string EncodeLocator(const ValueLocator& locator) {
  return ByteWriter()
      .U8(kLocatorVersion)
      .Varint(locator.at.segment)
      .Varint(locator.at.offset)
      .Varint(locator.size)
      .Take();
}

std::optional<ValueLocator> DecodeLocator(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.U8() != kLocatorVersion) return std::nullopt;
  ValueLocator locator;
  locator.at.segment = in.Varint();
  locator.at.offset = in.Varint();
  const std::uint64_t size = in.Varint();
  locator.size = static_cast<std::uint32_t>(size);
  if (!in.Done() || locator.size != size || locator.at.segment == 0) return std::nullopt;
  return locator;
}

std::string EncodeValueRecord(const ValuePosition& at, const ValueRecord& record) {
  ByteWriter rest;
  rest.U32(record.size).U32(record.checksum).U32(record.partition);
  rest.U8(static_cast<std::uint8_t>(record.key.size())).Raw(record.key);
  return ByteWriter().U32(HeaderChecksum(at, rest.bytes())).Raw(rest.bytes()).Take();
}

std::optional<ValueRecord> DecodeValueRecord(const ValuePosition& at, std::string_view bytes) {
  ByteReader in(bytes);
  const std::uint32_t checksum = in.U32();
  ValueRecord record;
  record.size = in.U32();
  record.checksum = in.U32();
  record.partition = in.U32();
  record.key = in.Raw(in.U8());
  if (!in.ok()) return std::nullopt;
  const std::string_view summed = bytes.substr(4, ValueRecordBytes(record.key.size()) - 4);
  if (checksum != HeaderChecksum(at, summed)) return std::nullopt;
  return record;
}

std::size_t ValueRecordBytes(std::size_t key_bytes) {
  return kFixedBytes + key_bytes;
}

std::uint64_t StoredValueBytes(std::size_t key_bytes, std::uint64_t value_bytes) {
  return (ValueRecordBytes(key_bytes) + value_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::string SegmentKey(std::uint64_t segment) {
  return ByteWriter().U8(static_cast<std::uint8_t>(Space::kSegment)).U64(segment).Take();
}

std::optional<std::uint64_t> DecodeSegmentKey(std::string_view stored_key) {
  ByteReader in(stored_key);
  if (in.U8() != static_cast<std::uint8_t>(Space::kSegment)) return std::nullopt;
  const std::uint64_t segment = in.U64();
  return in.Done() && segment != 0 ? std::optional(segment) : std::nullopt;
}

std::string EncodeSegmentRow(std::uint64_t segment, const SegmentRow& row) {
  const auto body = ByteWriter().U8(kSegmentRowVersion).Varint(row.size).Varint(row.end).Varint(row.live).Take();
  return SealRow(SegmentKey(segment), body);
}

std::optional<SegmentRow> DecodeSegmentRow(std::uint64_t segment, std::string_view row) {
  const auto body = OpenRow(SegmentKey(segment), row);
  if (!body) return std::nullopt;
  ByteReader in(*body);
  if (in.U8() != kSegmentRowVersion) return std::nullopt;
  const SegmentRow out{in.Varint(), in.Varint(), in.Varint()};
  if (!in.Done() || out.end > out.size || out.live > out.end) return std::nullopt;
  return out;
}

}  // namespace coffer::node
