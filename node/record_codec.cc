// Keys and headers of records as bytes, as node/store.h declares them; they travel in resync and are part of what is
// stored.
#include "cluster/sha256.h"
#include "node/byte_codec.h"
#include "node/stamp_codec.h"
#include "node/store.h"

namespace coffer::node {
namespace {

constexpr std::uint8_t kHeaderVersion = 1;
// What a header takes without what only an entry's has: one hash and a few numbers, which are seldom large.
constexpr std::size_t kUsualHeaderBytes = 64;

// What of a header is present; absent parts are zero.
enum HeaderFlag : std::uint8_t {
  kDeleted = 1,
  kValueGone = 2,
  kHasDeletedBy = 4,
  kHasPredecessor = 8,
  kHasSignature = 16,
  kKnownFlags = 31,
};

bool ValidKind(std::uint8_t kind) {
  return kind >= static_cast<std::uint8_t>(RecordKind::kZoneDrop) &&
         kind <= static_cast<std::uint8_t>(RecordKind::kZone);
}

}  // namespace

std::string EncodeKey(const RecordKey& key) {
  ByteWriter out(ZoneId::kSize + 1 + BlockId::kSize + (key.kind == RecordKind::kEntry ? 8 : 0));
  out.Raw(key.zone.view()).U8(static_cast<std::uint8_t>(key.kind)).Raw(key.id.view());
  if (key.kind == RecordKind::kEntry) out.U64(~key.position);
  return out.Take();
}

std::optional<RecordKey> DecodeKey(std::string_view bytes) {
  ByteReader in(bytes);
  RecordKey key;
  key.zone = in.Fixed<ZoneId>();
  const std::uint8_t kind = in.U8();
  key.id = in.Fixed<BlockId>();
  if (!in.ok() || !ValidKind(kind)) return std::nullopt;
  key.kind = static_cast<RecordKind>(kind);
  if (key.kind == RecordKind::kEntry) key.position = ~in.U64();
  if (key.kind == RecordKind::kZoneDrop && !key.id.IsZero()) return std::nullopt;
  if (key.kind == RecordKind::kZone && !key.zone.IsZero()) return std::nullopt;
  if (!in.Done()) return std::nullopt;
  return key;
}

std::string EncodeHeader(const RecordHeader& header) {
  std::uint8_t flags = 0;
  if (header.deleted) flags |= kDeleted;
  if (header.value_gone) flags |= kValueGone;
  if (header.deleted_by != Stamp{}) flags |= kHasDeletedBy;
  if (!header.predecessor.IsZero()) flags |= kHasPredecessor;
  if (!header.signature.empty()) flags |= kHasSignature;
  ByteWriter out(kUsualHeaderBytes + (flags & kHasPredecessor ? Digest::kSize : 0) + header.signature.size());
  out.U8(kHeaderVersion).U8(flags);
  PutStamp(header.stamp, &out);
  out.Raw(header.hash.view()).Varint(header.size);
  if (flags & kHasDeletedBy) PutStamp(header.deleted_by, &out);
  if (flags & kHasPredecessor) out.Raw(header.predecessor.view());
  if (flags & kHasSignature) out.Text(header.signature);
  return out.Take();
}

std::optional<RecordHeader> DecodeHeader(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.U8() != kHeaderVersion) return std::nullopt;
  const std::uint8_t flags = in.U8();
  if (flags & ~kKnownFlags) return std::nullopt;
  RecordHeader header;
  header.deleted = flags & kDeleted;
  header.value_gone = flags & kValueGone;
  header.stamp = TakeStamp(&in);
  header.hash = in.Fixed<Digest>();
  header.size = in.Varint();
  if (flags & kHasDeletedBy) {
    header.deleted_by = TakeStamp(&in);
    if (header.deleted_by == Stamp{}) in.Fail();
  }
  if (flags & kHasPredecessor) {
    header.predecessor = in.Fixed<Digest>();
    if (header.predecessor.IsZero()) in.Fail();
  }
  if (flags & kHasSignature) {
    header.signature = in.Text();
    if (header.signature.empty()) in.Fail();
  }
  if (!in.Done()) return std::nullopt;
  return header;
}

Digest RecordHash(const RecordHeader& header) {
  ByteWriter fixed;
  fixed.U64(header.size).U8(header.deleted ? 1 : 0).Raw(header.predecessor.view()).U64(header.signature.size());
  return Sha256({"coffer.record.v1", header.hash.view(), fixed.bytes(), header.signature});
}

}  // namespace coffer::node
