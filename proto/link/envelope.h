// Envelopes and frames by hand: the small header is protobuf, the values beside it are never copied on the way out and
// once on the way in; a checksum covers both. What is on the wire is a valid LinkRequest or LinkResponse (`envelopes` is field 3 of both).
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <optional>
#include <string>
#include <vector>

#include "cluster/message.h"
#include "proto/link/slices.h"

namespace coffer::link {

// A run of bytes, then perhaps a value that is only referenced.
struct Piece {
  std::string flat;
  Payload body;
};

// One message, ready for a frame.
struct Encoded {
  std::vector<Piece> pieces;
  std::size_t bytes = 0;       // on the wire, with the tag and length of the envelope
  std::size_t envelope = 0;    // the envelope itself, which message_bytes bounds
  std::size_t body_bytes = 0;  // of all bodies
};

Encoded Encode(const PeerMessage& message);

// Joins encoded messages into one frame.
class FrameBuilder {
 public:
  void Add(Encoded message);
  std::size_t bytes() const { return bytes_; }
  // The frame, with its number behind the messages unless that is 0.
  grpc::ByteBuffer Take(std::uint64_t number = 0);

 private:
  void Flush();
  std::vector<grpc::Slice> slices_;
  std::string flat_;
  std::size_t bytes_ = 0;
};

// A frame of bytes that stand already (handshake).
grpc::ByteBuffer BufferOf(const std::string& frame);
// The bytes of a handshake frame; empty optional if it is larger than `limit`.
std::optional<std::string> BytesOf(const grpc::ByteBuffer& buffer, std::size_t limit);

// Why a frame ends its link. kDamaged: a message is without its checksum, or has another. kMissing: the frame before it never came, or
// none comes at all; Decode can't know.
enum class FrameFault { kNone, kMalformed, kOversize, kDamaged, kMissing };

// Takes a frame apart; stops at the first fault, what stood before it is in `out`. `number`: its own, 0 if it has none.
FrameFault Decode(grpc::ByteBuffer* frame, std::size_t message_bytes, std::vector<PeerMessage>* out, std::uint64_t* number = nullptr);

}  // namespace coffer::link
