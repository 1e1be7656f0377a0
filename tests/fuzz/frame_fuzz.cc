// Frames between members, as they arrive from a peer that has proven the secret or from one whose memory is broken.
#include "fuzz_target.h"
#include "proto/link/envelope.h"
#include "unit/envelope_seal.h"

using namespace coffer;

namespace {

// The bytes as one slice or torn into several: a value may lie across slices.
grpc::ByteBuffer InSlices(std::string_view bytes, std::size_t slice_bytes) {
  std::vector<grpc::Slice> slices;
  for (std::size_t at = 0; at < bytes.size(); at += slice_bytes) {
    const std::string_view part = bytes.substr(at, slice_bytes);
    slices.emplace_back(part.data(), part.size());
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

// The frame with checksums that verify: what a peer with bad intentions would send. Nothing, if it is no frame.
std::string Sealed(std::string_view bytes) {
  wire::LinkRequest frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return {};
  for (auto& envelope : *frame.mutable_envelopes()) link::Seal(&envelope);
  return frame.SerializeAsString();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const std::size_t slice_bytes = 1 + choices.Byte() * 16u;
  const std::size_t limit = choices.Byte() < 128 ? 1u << 20 : 256;
  const std::string_view bytes = choices.Rest();
  std::vector<PeerMessage> messages;
  for (const std::string& each : {std::string(bytes), Sealed(bytes)}) {
    grpc::ByteBuffer frame = InSlices(each, slice_bytes);
    link::Decode(&frame, limit, &messages);
  }

  // What was understood is understood again after the way back, with the same values.
  link::FrameBuilder builder;
  for (const PeerMessage& message : messages) builder.Add(link::Encode(message));
  grpc::ByteBuffer again = builder.Take();
  std::vector<PeerMessage> copies;
  fuzz::Require(link::Decode(&again, 64u << 20, &copies) == link::FrameFault::kNone, "an encoded frame decodes");
  fuzz::Require(copies.size() == messages.size(), "as many messages as were encoded");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    fuzz::Require(copies[i].header.SerializeAsString() == messages[i].header.SerializeAsString(), "the same header");
    fuzz::Require(copies[i].bodies.size() == messages[i].bodies.size(), "as many bodies");
    for (std::size_t b = 0; b < messages[i].bodies.size(); ++b) {
      fuzz::Require(*copies[i].bodies[b] == *messages[i].bodies[b], "the same body");
    }
  }
  return 0;
}
