#include "client/response_bytes.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <chrono>

#include "coffer/v1/chains.pb.h"
#include "coffer/v1/chunks.pb.h"

namespace coffer::client {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr std::uint32_t Varint(int field) { return static_cast<std::uint32_t>(field) << 3 | WireFormatLite::WIRETYPE_VARINT; }
constexpr std::uint32_t Bytes(int field) { return static_cast<std::uint32_t>(field) << 3 | WireFormatLite::WIRETYPE_LENGTH_DELIMITED; }

CodedInputStream Over(std::string_view bytes) {
  return CodedInputStream(reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
}

// The bytes of a field of the message `whole`, which `in` reads.
bool ReadView(CodedInputStream* in, std::string_view whole, std::string_view* field) {
  std::uint32_t size = 0;
  if (!in->ReadVarint32(&size)) return false;
  const auto at = static_cast<std::size_t>(in->CurrentPosition());
  if (size > whole.size() - at) return false;
  *field = whole.substr(at, size);
  return in->Skip(static_cast<int>(size));
}

bool ReadDigest(CodedInputStream* in, std::string_view whole, Digest* digest) {
  std::string_view field;
  if (!ReadView(in, whole, &field)) return false;
  *digest = Digest::Must(field);
  return true;
}

bool ReadText(CodedInputStream* in, std::string_view whole, std::string* text) {
  std::string_view field;
  if (!ReadView(in, whole, &field)) return false;
  text->assign(field);
  return true;
}

// Runs `field` for every field of the message; it says whether it could read it.
template <class Field>
bool ForEachField(CodedInputStream* in, Field field) {
  while (const std::uint32_t tag = in->ReadTag()) {
    if (!field(tag)) return false;
  }
  return in->ConsumedEntireMessage();
}

bool ParseEntry(std::string_view bytes, Entry* entry) {
  CodedInputStream in = Over(bytes);
  return ForEachField(&in,
                      [&](std::uint32_t tag) {
                        switch (tag) {
                          case Varint(v1::Entry::kPositionFieldNumber):
                            return in.ReadVarint64(&entry->position);
                          case Bytes(v1::Entry::kBodyFieldNumber):
                            return ReadText(&in, bytes, &entry->body);
                          case Bytes(v1::Entry::kSignatureFieldNumber):
                            return ReadText(&in, bytes, &entry->signature);
                          case Bytes(v1::Entry::kPredecessorFieldNumber):
                            return ReadDigest(&in, bytes, &entry->predecessor);
                          case Bytes(v1::Entry::kHashFieldNumber):
                            return ReadDigest(&in, bytes, &entry->hash);
                          default:
                            return WireFormatLite::SkipField(&in, tag);
                        }
                      });
}

}  // namespace

bool ParseGetResponse(std::string bytes, GetResult* result) {
  *result = {};
  CodedInputStream in = Over(bytes);
  std::string_view data;
  const bool whole = ForEachField(&in, [&](std::uint32_t tag) {
    switch (tag) {
      case Bytes(v1::GetResponse::kDataFieldNumber):
        return ReadView(&in, bytes, &data);
      case Varint(v1::GetResponse::kTotalSizeFieldNumber):
        return in.ReadVarint64(&result->total_size);
      default:
        return WireFormatLite::SkipField(&in, tag);
    }
  });
  if (!whole) return false;
  const std::size_t begin = data.empty() ? bytes.size() : static_cast<std::size_t>(data.data() - bytes.data());
  bytes.resize(begin + data.size());
  bytes.erase(0, begin);
  result->data = std::move(bytes);
  return true;
}

bool ParseReadResponse(std::string_view bytes, ReadPage* page) {
  *page = {};
  CodedInputStream in = Over(bytes);
  v1::ChainHead head;
  return ForEachField(&in, [&](std::uint32_t tag) {
    std::string_view field;
    std::uint64_t number = 0;
    switch (tag) {
      case Varint(v1::ReadResponse::kIndexFieldNumber):
        return in.ReadVarint32(&page->index);
      case Bytes(v1::ReadResponse::kStatusFieldNumber):
        return ReadView(&in, bytes, &field) && page->status.MergeFromString(std::string(field));
      case Bytes(v1::ReadResponse::kEntriesFieldNumber):
        return ReadView(&in, bytes, &field) && ParseEntry(field, &page->part.entries.emplace_back());
      case Bytes(v1::ReadResponse::kHeadFieldNumber): {
        if (!ReadView(&in, bytes, &field) || !head.MergeFromString(std::string(field))) return false;
        page->part.head = {head.length(), Digest::Must(head.hash())};
        return true;
      }
      case Varint(v1::ReadResponse::kCompleteFieldNumber):
        if (!in.ReadVarint64(&number)) return false;
        page->complete = number != 0;
        return true;
      case Varint(v1::ReadResponse::kStalenessMsFieldNumber):
        if (!in.ReadVarint64(&number)) return false;
        page->part.staleness = std::chrono::milliseconds(number);
        return true;
      default:
        return WireFormatLite::SkipField(&in, tag);
    }
  });
}

}  // namespace coffer::client
