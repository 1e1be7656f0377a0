#include "proto/link/envelope.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <array>

#include "cluster/checksum.h"
#include "proto/wire_form.h"

namespace coffer::link {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using wire_form::AppendHead;

constexpr std::uint32_t kEnvelopeTag = wire_form::Tag(3, wire_form::kBytes);   // LinkRequest.envelopes, LinkResponse.envelopes
constexpr std::uint32_t kPeerTag = wire_form::Tag(1, wire_form::kBytes);       // Envelope.peer
constexpr std::uint32_t kBodyTag = wire_form::Tag(2, wire_form::kBytes);       // Envelope.bodies
constexpr std::uint32_t kChecksumTag = wire_form::Tag(3, wire_form::kFixed32); // Envelope.checksum
constexpr std::uint32_t kNumberTag = wire_form::Tag(7, wire_form::kVarint);    // LinkRequest.number, LinkResponse.number
constexpr std::size_t kChecksumBytes = 1 + 4;
constexpr std::size_t kMaxBodies = 1u << 18;    // more are an attack on our memory: each costs us 64 bytes

constexpr std::size_t kHeadBytes = 6;           // of a field, at most: its tag and a length below 4 GiB
constexpr std::size_t kMostRoom = 64 << 10;     // set aside at once for what is copied of a message
constexpr std::size_t kSharedSlice = 16 << 10;

std::size_t FieldBytes(std::size_t content) {
  return 1 + CodedOutputStream::VarintSize64(content) + content;
}

std::size_t SizeOf(const Payload& body) {
  return body ? body->size() : 0;
}

using Word = std::array<char, 4>;

Word WordOf(std::uint32_t number) {
  Word word;
  CodedOutputStream::WriteLittleEndian32ToArray(number, reinterpret_cast<std::uint8_t*>(word.data()));
  return word;
}

std::string_view Bytes(const Word& word) { return {word.data(), word.size()}; }

// As peer.proto says of Envelope.
std::uint32_t ChecksumOf(std::string_view peer, const std::vector<Payload>& bodies) {
  std::uint32_t crc = Crc32c({peer});
  for (const auto& body : bodies) {
    crc = Crc32cBehind(crc, Bytes(WordOf(static_cast<std::uint32_t>(SizeOf(body)))));
    crc = Crc32cBehind(crc, Bytes(WordOf(Crc32c({body ? std::string_view(*body) : std::string_view()}))));
  }
  return crc;
}

// The end of the input, too, looks like the end of a message: a frame that was cut is told by what its length promised.
bool ReadToLimit(CodedInputStream* in) {
  return in->ConsumedEntireMessage() && in->BytesUntilLimit() == 0;
}

bool ReadBody(CodedInputStream* in, PeerMessage* message) {
  std::uint32_t size = 0;
  if (message->bodies.size() >= kMaxBodies) return false;
  if (!in->ReadVarint32(&size) || static_cast<int>(size) < 0) return false;
  auto body = std::make_shared<std::string>();
  if (!wire_form::AppendNext(in, static_cast<int>(size), body.get())) return false;
  message->bodies.push_back(std::move(body));
  return true;
}

// The bytes of the header, which are taken apart once they verify.
bool ReadPeer(CodedInputStream* in, std::string* peer) {
  std::uint32_t size = 0;
  if (!in->ReadVarint32(&size) || static_cast<int>(size) < 0 || in->BytesUntilLimit() < static_cast<int>(size)) {
    return false;
  }
  peer->clear();
  return wire_form::AppendNext(in, static_cast<int>(size), peer);
}

// `peer` is room that is used again from message to message.
FrameFault ReadEnvelope(CodedInputStream* in, std::string* peer, PeerMessage* message) {
  std::optional<std::uint32_t> checksum;
  peer->clear();
  while (true) {
    const std::uint32_t tag = in->ReadTag();
    bool ok = false;
    if (tag == 0) break;
    if (tag == kPeerTag) {
      ok = ReadPeer(in, peer);
    } else if (tag == kBodyTag) {
      ok = ReadBody(in, message);
    } else if (tag == kChecksumTag) {
      ok = in->ReadLittleEndian32(&checksum.emplace());
    } else {
      ok = WireFormatLite::SkipField(in, tag);
    }
    if (!ok) return FrameFault::kMalformed;
  }
  if (!ReadToLimit(in)) return FrameFault::kMalformed;
  if (checksum != ChecksumOf(*peer, message->bodies)) return FrameFault::kDamaged;
  return message->header.ParseFromString(*peer) ? FrameFault::kNone : FrameFault::kMalformed;
}

}  // namespace

Encoded Encode(const PeerMessage& message) {
  Encoded out;
  const std::size_t header = message.header.ByteSizeLong();
  out.envelope = FieldBytes(header);
  std::size_t copied = header + kHeadBytes * (2 + message.bodies.size());
  for (const auto& body : message.bodies) {
    out.envelope += FieldBytes(SizeOf(body));
    out.body_bytes += SizeOf(body);
    if (SizeOf(body) < kCopiedBytes) copied += SizeOf(body);
  }
  out.envelope += kChecksumBytes;
  copied += kChecksumBytes;
  out.bytes = FieldBytes(out.envelope);

  Piece piece;
  piece.flat.reserve(std::min(copied, kMostRoom));
  AppendHead(kEnvelopeTag, out.envelope, &piece.flat);
  AppendHead(kPeerTag, header, &piece.flat);
  const std::size_t begin = piece.flat.size();
  message.header.AppendToString(&piece.flat);
  const std::uint32_t crc = ChecksumOf(std::string_view(piece.flat).substr(begin), message.bodies);
  for (const auto& body : message.bodies) {
    AppendHead(kBodyTag, SizeOf(body), &piece.flat);
    if (SizeOf(body) < kCopiedBytes) {
      if (body) piece.flat.append(*body);
      continue;
    }
    piece.body = body;
    out.pieces.push_back(std::move(piece));
    piece = Piece();
  }
  piece.flat.push_back(static_cast<char>(kChecksumTag));
  piece.flat.append(Bytes(WordOf(crc)));
  out.pieces.push_back(std::move(piece));
  return out;
}

void FrameBuilder::Add(Encoded message) {
  bytes_ += message.bytes;
  for (auto& piece : message.pieces) {
    // Small messages share a slice; what would make a long one is a slice of its own, and is not copied once more.
    if (flat_.size() + piece.flat.size() > kSharedSlice) Flush();
    if (flat_.empty()) {
      flat_ = std::move(piece.flat);
    } else {
      flat_.append(piece.flat);
    }
    if (!piece.body) continue;
    Flush();
    slices_.push_back(SliceOf(std::move(piece.body)));
  }
}

void FrameBuilder::Flush() {
  if (!flat_.empty()) slices_.push_back(SliceOf(std::move(flat_)));
  flat_.clear();
}

grpc::ByteBuffer FrameBuilder::Take(std::uint64_t number) {
  if (number != 0) AppendHead(kNumberTag, number, &flat_);
  Flush();
  bytes_ = 0;
  grpc::ByteBuffer frame(slices_.data(), slices_.size());
  slices_.clear();
  return frame;
}

grpc::ByteBuffer BufferOf(const std::string& frame) {
  grpc::Slice slice(frame);
  return grpc::ByteBuffer(&slice, 1);
}

std::optional<std::string> BytesOf(const grpc::ByteBuffer& buffer, std::size_t limit) {
  std::vector<grpc::Slice> slices;
  if (buffer.Length() > limit || !buffer.Dump(&slices).ok()) return std::nullopt;
  std::string bytes;
  for (const auto& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

FrameFault Decode(grpc::ByteBuffer* frame, std::size_t message_bytes, std::vector<PeerMessage>* out, std::uint64_t* number) {
  std::uint64_t unused = 0;
  if (number == nullptr) number = &unused;
  *number = 0;
  grpc::ProtoBufferReader reader(frame);
  if (!reader.status().ok()) return FrameFault::kMalformed;
  CodedInputStream in(&reader);
  std::string peer;
  while (true) {
    const std::uint32_t tag = in.ReadTag();
    if (tag == 0) return in.ConsumedEntireMessage() ? FrameFault::kNone : FrameFault::kMalformed;
    if (tag == kNumberTag) {
      if (!in.ReadVarint64(number)) return FrameFault::kMalformed;
      continue;
    }
    if (tag != kEnvelopeTag) {
      if (!WireFormatLite::SkipField(&in, tag)) return FrameFault::kMalformed;
      continue;
    }
    std::uint32_t size = 0;
    if (!in.ReadVarint32(&size)) return FrameFault::kMalformed;
    if (size > message_bytes) return FrameFault::kOversize;
    const auto limit = in.PushLimit(static_cast<int>(size));
    const auto fault = ReadEnvelope(&in, &peer, &out->emplace_back());
    // A kind that a newer peer knows and we don't: nothing here could answer it.
    if (fault != FrameFault::kNone || out->back().header.kind_case() == wire::Peer::KIND_NOT_SET) out->pop_back();
    if (fault != FrameFault::kNone) return fault;
    in.PopLimit(limit);
  }
}

}  // namespace coffer::link
