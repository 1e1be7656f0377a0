// The bytes of the log of values (node/value_log.h): places, records, and what is kept of a segment.
//
// docs/formats.md has the grammar. A record found in another place than it was written for, another segment's or an
// earlier use of the same file, does not verify; nor does one of another key, or with other bytes than its header names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cluster/ids.h"

namespace coffer::node {

// Where a record begins. Segments are numbered from 1; a number names one use of a file.
struct ValuePosition {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
  bool operator==(const ValuePosition&) const = default;
};

// Where a value is, as its header's row keeps it.
struct ValueLocator {
  ValuePosition at;
  std::uint32_t size = 0;  // bytes of the value
  bool operator==(const ValueLocator&) const = default;
};
std::string EncodeLocator(const ValueLocator& locator);
std::optional<ValueLocator> DecodeLocator(std::string_view bytes);

// What stands before a value.
struct ValueRecord {
  PartitionId partition = 0;
  std::string key;             // the record's, encoded
  std::uint32_t size = 0;      // bytes of the value
  std::uint32_t checksum = 0;  // ValueChecksum of it (node/store_format.h)
};
std::string EncodeValueRecord(const ValuePosition& at, const ValueRecord& record);
// From the beginning of `bytes`; nothing if it does not verify for that place.
std::optional<ValueRecord> DecodeValueRecord(const ValuePosition& at, std::string_view bytes);

// Bytes of the record's header for a key of that many bytes.
std::size_t ValueRecordBytes(std::size_t key_bytes);
// The most bytes of a record's header.
inline constexpr std::size_t kMostValueRecordBytes = 17 + 255;
// Bytes of a whole record in its segment: header, value, and zeros up to the next multiple of 8.
std::uint64_t StoredValueBytes(std::size_t key_bytes, std::uint64_t value_bytes);

// What LevelDB keeps of a segment, under Space::kSegment.
struct SegmentRow {
  std::uint64_t size = 0;  // of its file
  std::uint64_t end = 0;   // records were written up to here
  std::uint64_t live = 0;  // bytes of records that headers point to
  bool operator==(const SegmentRow&) const = default;
};
std::string SegmentKey(std::uint64_t segment);
std::optional<std::uint64_t> DecodeSegmentKey(std::string_view stored_key);
std::string EncodeSegmentRow(std::uint64_t segment, const SegmentRow& row);
std::optional<SegmentRow> DecodeSegmentRow(std::uint64_t segment, std::string_view row);

}  // namespace coffer::node
