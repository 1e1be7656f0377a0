#include "sim/batch_journal.h"

#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "cluster/checksum.h"
#include "cluster/planted_bug.h"
#include "node/byte_codec.h"
#include "node/store_format.h"

namespace coffer::sim {
namespace {

using node::ByteReader;
using node::ByteWriter;
using node::StoreBatch;

constexpr std::string_view kMagic = "batch";

// What a change is: its place in StoreBatch::Change.
enum class Kind : std::uint8_t { kPutRecord, kSetHeader, kDropValue, kEraseRecord, kEraseRange, kPutLog, kEraseLog, kPutMeta, kErasePartition };

void Put(const StoreBatch::PutRecord& c, ByteWriter* out) {
  const std::string key = EncodeKey(c.key);
  const auto place = c.value ? node::ValuePlace::kInline : node::ValuePlace::kNone;
  const std::string value = c.value ? node::SealValue(c.partition, key, c.header, *c.value) : std::string();
  out->U32(c.partition).Text(key).Text(node::EncodeHeaderRow(c.partition, key, c.header, place, value));
}

template <class Change>  // with a header and no value
void PutHeader(const Change& c, ByteWriter* out) {
  const std::string key = EncodeKey(c.key);
  out->U32(c.partition).Text(key).Text(node::EncodeHeaderRow(c.partition, key, c.header, node::ValuePlace::kNone, {}));
}

void Put(const StoreBatch::SetHeader& c, ByteWriter* out) { PutHeader(c, out); }
void Put(const StoreBatch::DropValue& c, ByteWriter* out) { PutHeader(c, out); }
void Put(const StoreBatch::EraseRecord& c, ByteWriter* out) { out->U32(c.partition).Text(EncodeKey(c.key)); }
void Put(const StoreBatch::EraseRange& c, ByteWriter* out) { out->U32(c.partition).Text(c.from).Text(c.to); }
void Put(const StoreBatch::PutLog& c, ByteWriter* out) {
  out->U32(c.partition).U64(c.record->stamp().seq()).Text(node::EncodeLogRow(c.partition, *c.record));
}
void Put(const StoreBatch::EraseLog& c, ByteWriter* out) { out->U32(c.partition).U64(c.from.value).U64(c.to.value); }
void Put(const StoreBatch::PutMeta& c, ByteWriter* out) { out->U32(c.partition).Text(node::EncodeMetaRow(c.partition, c.meta)); }
void Put(const StoreBatch::ErasePartition& c, ByteWriter* out) { out->U32(c.partition); }

template <class Change>  // with a key and a header
std::optional<Change> TakeHeader(PartitionId partition, ByteReader* in, Payload* value) {
  const std::string_view bytes = in->Text();
  const auto key = node::DecodeKey(bytes);
  const auto row = node::DecodeHeaderRow(partition, bytes, in->Text());
  if (!key || !row) return std::nullopt;
  if (row->place == node::ValuePlace::kInline) {
    const auto opened = node::OpenValue(partition, bytes, row->header, row->value);
    if (!opened) return std::nullopt;
    *value = std::make_shared<const std::string>(*opened);
  }
  Change change;
  change.partition = partition;
  change.key = *key;
  change.header = row->header;
  return change;
}

std::optional<StoreBatch::Change> Take(ByteReader* in) {
  const Kind kind = static_cast<Kind>(in->U8());
  const PartitionId partition = in->U32();
  Payload value;
  switch (kind) {
    case Kind::kPutRecord: {
      auto put = TakeHeader<StoreBatch::PutRecord>(partition, in, &value);
      if (!put) return std::nullopt;
      put->value = value;
      return std::move(*put);
    }
    case Kind::kSetHeader: return TakeHeader<StoreBatch::SetHeader>(partition, in, &value);
    case Kind::kDropValue: return TakeHeader<StoreBatch::DropValue>(partition, in, &value);
    case Kind::kEraseRecord: {
      const auto key = node::DecodeKey(in->Text());
      if (!key) return std::nullopt;
      return StoreBatch::EraseRecord{partition, *key};
    }
    case Kind::kEraseRange: {
      const std::string from(in->Text());
      return StoreBatch::EraseRange{partition, from, std::string(in->Text())};
    }
    case Kind::kPutLog: {
      const Seq seq(in->U64());
      auto record = node::DecodeLogRow(partition, seq, in->Text());
      if (!record) return std::nullopt;
      return StoreBatch::PutLog(partition, std::move(*record));
    }
    case Kind::kEraseLog: {
      const Seq from(in->U64());
      return StoreBatch::EraseLog{partition, from, Seq(in->U64())};
    }
    case Kind::kPutMeta: {
      const auto meta = node::DecodeMetaRow(partition, in->Text());
      if (!meta) return std::nullopt;
      return StoreBatch::PutMeta{partition, *meta};
    }
    case Kind::kErasePartition: return StoreBatch::ErasePartition{partition};
  }
  return std::nullopt;
}

struct Frame {
  std::uint64_t number = 0;
  StoreBatch batch;
};

// The frame that the reader stands before. Nothing when it does not verify: the reader is then wherever it got to.
std::optional<Frame> TakeFrame(ByteReader* in) {
  if (in->Raw(kMagic.size()) != kMagic) return std::nullopt;
  Frame frame;
  frame.number = in->U64();
  const std::uint32_t checksum = in->U32();
  const std::string_view body = in->Text();
  if (!in->ok() || Crc32c({ByteWriter().U64(frame.number).bytes(), body}) != checksum) return std::nullopt;
  ByteReader changes(body);
  while (!changes.rest().empty()) {
    auto change = Take(&changes);
    if (!change || !changes.ok()) return std::nullopt;
    frame.batch.changes.push_back(std::move(*change));
  }
  return frame;
}

}  // namespace

std::string EncodeBatch(std::uint64_t number, const StoreBatch& batch) {
  ByteWriter body;
  for (const auto& change : batch.changes) {
    body.U8(static_cast<std::uint8_t>(change.index()));
    std::visit([&body](const auto& c) { Put(c, &body); }, change);
  }
  const std::uint32_t checksum = Crc32c({ByteWriter().U64(number).bytes(), body.bytes()});
  return ByteWriter().Raw(kMagic).U64(number).U32(checksum).Text(body.bytes()).Take();
}

std::vector<StoreBatch> ReadJournal(std::string_view bytes, std::uint64_t first) {
  std::vector<StoreBatch> batches;
  while (!bytes.empty()) {
    ByteReader in(bytes);
    auto frame = TakeFrame(&in);
    const bool next = frame && (Planted(Bug::kTornBatchSkipped) ? frame->number >= first : frame->number == first);
    if (next) {
      first = frame->number + 1;
      batches.push_back(std::move(frame->batch));
      bytes = in.rest();
    } else if (Planted(Bug::kTornBatchSkipped)) {
      const std::size_t another = bytes.find(kMagic, 1);
      bytes.remove_prefix(std::min(another, bytes.size()));
    } else {
      break;
    }
  }
  return batches;
}

}  // namespace coffer::sim
