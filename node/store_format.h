// What a store keeps on disk: keys of its spaces, and rows that carry a format byte and a checksum bound to their key.
//
// docs/formats.md has the grammar. A row found under another key than it was written for, or that changed by a bit,
// does not decode: every function that decodes verifies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "node/store.h"

namespace coffer::node {

// The spaces of a store; the first byte of every stored key.
enum class Space : char {
  kHeader = 'h',  // partition, record key -> header, and the value or where it is
  kValue = 'v',   // partition, record key -> value; of stores before format 2, which had no log of values
  kLog = 'l',     // partition, sequence -> write
  kMeta = 'm',    // partition -> meta line
  kErase = 'e',   // partition, number -> a range whose erasure is under way
  kSegment = 'g', // number -> a segment of the log of values (node/value_record.h)
  kStore = 's',   // what the store is and whose
};

// space(1) || partition(4) || key
std::string StoredKey(Space space, PartitionId partition, std::string_view key);
std::string StoredLogKey(PartitionId partition, Seq seq);
// The first stored key after all those of the space and partition.
std::string StoredKeysEnd(Space space, PartitionId partition);
// Partition and the rest of a stored key of that space; nothing if it is of another space or too short.
struct SplitKey {
  PartitionId partition = 0;
  std::string_view key;
};
std::optional<SplitKey> SplitStoredKey(Space space, std::string_view stored);

// Where a record's value is.
enum class ValuePlace : std::uint8_t {
  kNone = 0,      // it has none, or it is gone
  kInline = 1,    // in the header's row
  kSeparate = 2,  // where the locator says (node/value_log.h)
};

// The row of a header, decoded: views into the row's bytes, valid as long as they are.
struct HeaderRow {
  RecordHeader header;
  ValuePlace place = ValuePlace::kNone;
  std::string_view value;    // kInline: the value's row, still to be verified (OpenValue)
  std::string_view locator;  // kSeparate
};
// `tail` is the value's row (SealValue) for kInline, the locator for kSeparate, empty for kNone.
std::string EncodeHeaderRow(PartitionId partition, std::string_view key, const RecordHeader& header, ValuePlace place,
                            std::string_view tail);
// As above, into `out`, whose memory is used again. The value's row comes in two parts, its seal (ValueSeal) and the value, so that
// they need not be put together first.
void EncodeHeaderRow(PartitionId partition, std::string_view key, const RecordHeader& header, ValuePlace place,
                     std::string_view tail, std::string_view rest, std::string* out);
// Nothing when it does not verify. An inline value is not verified here, so a bad value does not hide a good header.
std::optional<HeaderRow> DecodeHeaderRow(PartitionId partition, std::string_view key, std::string_view row);

// The row of a value, bound to its partition, record key and the hash its header names: a stale value does not verify.
std::string SealValue(PartitionId partition, std::string_view key, const RecordHeader& header, std::string_view value);
std::optional<std::string_view> OpenValue(PartitionId partition, std::string_view key, const RecordHeader& header,
                                          std::string_view row);
// What that row begins with; the value is the rest of it.
std::string ValueSeal(PartitionId partition, std::string_view key, const RecordHeader& header, std::string_view value);
// The checksum in that row.
std::uint32_t ValueChecksum(PartitionId partition, std::string_view key, const RecordHeader& header,
                            std::string_view value);

std::string EncodeMetaRow(PartitionId partition, const PartitionMeta& meta);
std::optional<PartitionMeta> DecodeMetaRow(PartitionId partition, std::string_view row);

std::string EncodeLogRow(PartitionId partition, const LogRecord& record);
std::optional<LogRecord> DecodeLogRow(PartitionId partition, Seq seq, std::string_view row);

// format(1) || crc32c(4) over key and body || body. The plain row all others are made of.
std::string SealRow(std::string_view stored_key, std::string_view body);
std::optional<std::string_view> OpenRow(std::string_view stored_key, std::string_view row);

}  // namespace coffer::node
