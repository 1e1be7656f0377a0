#include "node/store_format.h"

#include <algorithm>
#include <array>

#include "cluster/checksum.h"
#include "node/byte_codec.h"
#include "node/stamp_codec.h"

namespace coffer::node {
namespace {

constexpr std::uint8_t kRowFormat = 1;
constexpr std::size_t kSealBytes = 5;  // format and checksum
constexpr std::size_t kPlaceBytes = 11;  // of a header's row: where the value is, and how long the header at most
constexpr std::uint8_t kMetaVersion = 1;
constexpr std::size_t kUsualMetaBytes = 160;  // two hashes and a dozen numbers, which are seldom large

// A key in parts, so that none need be put together to be summed.
struct KeyParts {
  std::string_view head;
  std::string_view key;
  std::string_view tail = {};
};

// What a stored key begins with.
using KeyHead = std::array<char, 5>;
KeyHead HeadOf(Space space, PartitionId partition) {
  return {static_cast<char>(space), static_cast<char>(partition >> 24), static_cast<char>(partition >> 16),
          static_cast<char>(partition >> 8), static_cast<char>(partition)};
}
template <std::size_t N>
std::string_view ViewOf(const std::array<char, N>& bytes) {
  return {bytes.data(), N};
}

// The key's length is part of what is summed, so that no byte can pass from the key to the body.
std::uint32_t BoundChecksum(const KeyParts& key, std::string_view body, std::string_view more = {}) {
  const std::size_t size = key.head.size() + key.key.size() + key.tail.size();
  const std::array<char, 5> lead = {static_cast<char>(kRowFormat), static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                                    static_cast<char>(size >> 8), static_cast<char>(size)};
  return Crc32c({ViewOf(lead), key.head, key.key, key.tail, body, more});
}

std::string Seal(std::uint32_t checksum, std::string_view body) {
  return ByteWriter(kSealBytes + body.size()).U8(kRowFormat).U32(checksum).Raw(body).Take();
}

void SetChecksum(std::uint32_t checksum, std::string* row) {
  for (std::size_t i = kSealBytes; i-- > 1; checksum >>= 8) (*row)[i] = static_cast<char>(checksum & 0xff);
}

// A row whose body is written right where it stays: behind room for the seal, which is known at last.
class RowWriter {
 public:
  explicit RowWriter(std::size_t body_size, std::string used = {}) : out_(kSealBytes + body_size, std::move(used)) {
    out_.U8(kRowFormat).U32(0);
  }
  ByteWriter& body() { return out_; }
  // What there is of the body so far.
  std::string_view written() const { return std::string_view(out_.bytes()).substr(kSealBytes); }
  std::string Seal(std::uint32_t checksum) {
    std::string row = out_.Take();
    SetChecksum(checksum, &row);
    return row;
  }

 private:
  ByteWriter out_;
};

// The checksum and what follows it; nothing for an unknown format.
struct Sealed {
  std::uint32_t checksum;
  std::string_view body;
};
std::optional<Sealed> Unseal(std::string_view row) {
  ByteReader in(row);
  const std::uint8_t format = in.U8();
  const std::uint32_t checksum = in.U32();
  if (!in.ok() || format != kRowFormat) return std::nullopt;
  return Sealed{checksum, in.rest()};
}

}  // namespace

std::string StoredKey(Space space, PartitionId partition, std::string_view key) {
  std::string out;
  out.reserve(5 + key.size());
  const KeyHead head = HeadOf(space, partition);
  out.append(ViewOf(head)).append(key);
  return out;
}

std::string StoredLogKey(PartitionId partition, Seq seq) {
  return StoredKey(Space::kLog, partition, ByteWriter().U64(seq.value).bytes());
}

std::string StoredKeysEnd(Space space, PartitionId partition) {
  if (partition != 0xffffffffu) return StoredKey(space, partition + 1, {});
  return std::string(1, static_cast<char>(static_cast<char>(space) + 1));
}

std::optional<SplitKey> SplitStoredKey(Space space, std::string_view stored) {
  if (stored.empty() || stored[0] != static_cast<char>(space)) return std::nullopt;
  ByteReader in(stored.substr(1));
  const PartitionId partition = in.U32();
  if (!in.ok()) return std::nullopt;
  return SplitKey{partition, in.rest()};
}

std::string SealRow(std::string_view stored_key, std::string_view body) {
  return Seal(BoundChecksum({{}, stored_key}, body), body);
}

std::optional<std::string_view> OpenRow(std::string_view stored_key, std::string_view row) {
  const auto sealed = Unseal(row);
  if (!sealed || sealed->checksum != BoundChecksum({{}, stored_key}, sealed->body)) return std::nullopt;
  return sealed->body;
}

std::string EncodeHeaderRow(PartitionId partition, std::string_view key, const RecordHeader& header, ValuePlace place,
                            std::string_view tail) {
  std::string row;
  EncodeHeaderRow(partition, key, header, place, tail, {}, &row);
  return row;
}

void EncodeHeaderRow(PartitionId partition, std::string_view key, const RecordHeader& header, ValuePlace place,
                     std::string_view tail, std::string_view rest, std::string* out) {
  const std::string header_bytes = EncodeHeader(header);
  RowWriter row(kPlaceBytes + header_bytes.size() + tail.size() + rest.size(), std::move(*out));
  row.body().U8(static_cast<std::uint8_t>(place)).Text(header_bytes);
  const std::string_view summed_tail = place == ValuePlace::kSeparate ? tail : std::string_view{};
  const KeyHead head = HeadOf(Space::kHeader, partition);
  const std::uint32_t checksum = BoundChecksum({ViewOf(head), key}, row.written(), summed_tail);
  row.body().Raw(tail).Raw(rest);
  *out = row.Seal(checksum);
}

std::optional<HeaderRow> DecodeHeaderRow(PartitionId partition, std::string_view key, std::string_view row) {
  const auto sealed = Unseal(row);
  if (!sealed) return std::nullopt;
  ByteReader in(sealed->body);
  const std::uint8_t place = in.U8();
  const std::string_view header_bytes = in.Text();
  if (!in.ok() || place > static_cast<std::uint8_t>(ValuePlace::kSeparate)) return std::nullopt;
  HeaderRow out;
  out.place = static_cast<ValuePlace>(place);
  const std::string_view tail = in.rest();
  if (out.place == ValuePlace::kInline) out.value = tail;
  if (out.place == ValuePlace::kSeparate) out.locator = tail;
  if (out.place == ValuePlace::kNone && !tail.empty()) return std::nullopt;
  const std::string_view body = sealed->body.substr(0, sealed->body.size() - tail.size());
  const KeyHead head = HeadOf(Space::kHeader, partition);
  if (BoundChecksum({ViewOf(head), key}, body, out.locator) != sealed->checksum) return std::nullopt;
  auto header = DecodeHeader(header_bytes);
  if (!header) return std::nullopt;
  out.header = std::move(*header);
  return out;
}

std::string SealValue(PartitionId partition, std::string_view key, const RecordHeader& header, std::string_view value) {
  return Seal(ValueChecksum(partition, key, header, value), value);
}

std::string ValueSeal(PartitionId partition, std::string_view key, const RecordHeader& header, std::string_view value) {
  return Seal(ValueChecksum(partition, key, header, value), {});
}

std::uint32_t ValueChecksum(PartitionId partition, std::string_view key, const RecordHeader& header,
                            std::string_view value) {
  // Bound to the place and to what the header says of the value: key || hash || size(8).
  const KeyHead head = HeadOf(Space::kValue, partition);
  std::array<char, Digest::kSize + 8> tail;
  std::copy(header.hash.bytes.begin(), header.hash.bytes.end(), tail.begin());
  for (std::size_t i = 0; i < 8; ++i) tail[Digest::kSize + i] = static_cast<char>(header.size >> (56 - 8 * i));
  return BoundChecksum({ViewOf(head), key, ViewOf(tail)}, value);
}

std::optional<std::string_view> OpenValue(PartitionId partition, std::string_view key, const RecordHeader& header,
                                          std::string_view row) {
  const auto sealed = Unseal(row);
  if (!sealed || sealed->body.size() != header.size) return std::nullopt;
  if (sealed->checksum != ValueChecksum(partition, key, header, sealed->body)) return std::nullopt;
  return sealed->body;
}

std::string EncodeMetaRow(PartitionId partition, const PartitionMeta& meta) {
  RowWriter row(kUsualMetaBytes);
  ByteWriter& body = row.body();
  body.U8(kMetaVersion);
  PutStamp(meta.last, &body);
  body.Raw(meta.last_hash.view()).Varint(meta.committed.value);
  body.Varint(meta.log_start.value).Raw(meta.log_start_hash.view()).Varint(meta.blocks).Varint(meta.bytes);
  body.Varint(meta.contact_term.value).Varint(meta.contact_boot.value);
  if (meta.lacks_to != Seq{}) body.Varint(meta.lacks_after.value).Varint(meta.lacks_to.value);
  return row.Seal(BoundChecksum({{}, StoredKey(Space::kMeta, partition, {})}, row.written()));
}

std::optional<PartitionMeta> DecodeMetaRow(PartitionId partition, std::string_view row) {
  const auto body = OpenRow(StoredKey(Space::kMeta, partition, {}), row);
  if (!body) return std::nullopt;
  ByteReader in(*body);
  if (in.U8() != kMetaVersion) return std::nullopt;
  PartitionMeta meta;
  meta.last = TakeStamp(&in);
  meta.last_hash = in.Fixed<Digest>();
  meta.committed = Seq(in.Varint());
  meta.log_start = Seq(in.Varint());
  meta.log_start_hash = in.Fixed<Digest>();
  meta.blocks = in.Varint();
  meta.bytes = in.Varint();
  meta.contact_term = Term(in.Varint());
  meta.contact_boot = Boot(in.Varint());
  if (in.ok() && !in.rest().empty()) {
    meta.lacks_after = Seq(in.Varint());
    meta.lacks_to = Seq(in.Varint());
    if (meta.lacks_to == Seq{}) return std::nullopt;  // one meaning has one form
  }
  if (!in.Done()) return std::nullopt;
  return meta;
}

std::string EncodeLogRow(PartitionId partition, const LogRecord& record) {
  // Behind room for the seal, as a RowWriter does it.
  std::string row = Seal(0, {});
  record.AppendToString(&row);
  const std::string key = StoredLogKey(partition, Seq(record.stamp().seq()));
  SetChecksum(BoundChecksum({{}, key}, std::string_view(row).substr(kSealBytes)), &row);
  return row;
}

std::optional<LogRecord> DecodeLogRow(PartitionId partition, Seq seq, std::string_view row) {
  const auto body = OpenRow(StoredLogKey(partition, seq), row);
  LogRecord record;
  if (!body || !record.ParseFromArray(body->data(), static_cast<int>(body->size()))) return std::nullopt;
  if (record.stamp().seq() != seq.value) return std::nullopt;
  return record;
}

}  // namespace coffer::node
