#include "node/core/entry_pack.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>

#include "coffer/v1/chains.pb.h"
#include "proto/wire_form.h"

namespace coffer::node {
namespace {

using google::protobuf::io::CodedOutputStream;
using coffer::v1::Entry;
using coffer::v1::ReadResponse;
using wire_form::AppendHead;
using wire_form::kBytes;
using wire_form::kVarint;
using wire_form::Tag;

constexpr std::uint64_t kRoomFor = 64;  // entries, at most

static_assert(Entry::kHashFieldNumber < 16 && ReadResponse::kEntriesFieldNumber < 16, "a tag is counted as one byte");

std::size_t FieldBytes(std::size_t content) { return 1 + CodedOutputStream::VarintSize64(content) + content; }

void AppendField(int field, std::string_view content, std::string* out) {
  AppendHead(Tag(field, kBytes), content.size(), out);
  out->append(content);
}

}  // namespace

void EntryPack::Add(std::uint64_t position, const RecordHeader& header, std::string_view body) {
  const std::size_t size = 1 + CodedOutputStream::VarintSize64(position) + FieldBytes(body.size()) +
                           FieldBytes(header.signature.size()) + 2 * FieldBytes(Digest::kSize);
  // Entries of a chain are often alike.
  if (bytes_.empty()) bytes_.reserve(std::min(expected_, kRoomFor) * FieldBytes(size));
  AppendHead(Tag(ReadResponse::kEntriesFieldNumber, kBytes), size, &bytes_);
  AppendHead(Tag(Entry::kPositionFieldNumber, kVarint), position, &bytes_);
  AppendField(Entry::kBodyFieldNumber, body, &bytes_);
  AppendField(Entry::kSignatureFieldNumber, header.signature, &bytes_);
  AppendField(Entry::kPredecessorFieldNumber, header.predecessor.view(), &bytes_);
  AppendField(Entry::kHashFieldNumber, header.hash.view(), &bytes_);
  ++count_;
  if (keep_marks_) marks_.push_back({bytes_.size(), header.stamp.seq, header.hash});
}

}  // namespace coffer::node
