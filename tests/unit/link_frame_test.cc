// Frames made by hand against protobuf's own, and the queue that makes them.
#include <algorithm>

#include "cluster/random.h"
#include "coffer/internal/v1/peer.pb.h"
#include "link_test_support.h"
#include "proto/link/outbox.h"
#include "test_support.h"

namespace coffer::link {
namespace {

std::string Flatten(const grpc::ByteBuffer& buffer) {
  return *BytesOf(buffer, SIZE_MAX);
}

grpc::ByteBuffer FrameOf(const std::vector<PeerMessage>& messages) {
  FrameBuilder builder;
  for (const auto& message : messages) builder.Add(Encode(message));
  return builder.Take();
}

// The same frame by generated code.
std::string ByProtobuf(const std::vector<PeerMessage>& messages) {
  wire::LinkRequest frame;
  for (const auto& message : messages) {
    auto* envelope = frame.add_envelopes();
    *envelope->mutable_peer() = message.header;
    for (const auto& body : message.bodies) envelope->add_bodies(*body);
    Seal(envelope);
  }
  return frame.SerializeAsString();
}

// The bytes cut into slices of a few sizes, as a network would.
grpc::ByteBuffer Sliced(const std::string& bytes, std::size_t step) {
  std::vector<grpc::Slice> slices;
  for (std::size_t at = 0; at < bytes.size(); at += step) slices.emplace_back(bytes.substr(at, step));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::vector<PeerMessage> Samples() {
  std::vector<PeerMessage> samples;
  samples.push_back(Request(1));
  samples.push_back(Request(2, {"", "a", std::string(kCopiedBytes - 1, 'b'), std::string(kCopiedBytes, 'c')}));
  samples.push_back(Replication(3, {std::string(70000, 'd'), std::string(70000, 'e')}));
  samples.push_back(Request(4, {std::string(300, 'f')}));
  return samples;
}

TEST_CASE("a frame is the protobuf message that the .proto file says") {
  const auto samples = Samples();
  CHECK(Flatten(FrameOf(samples)) == ByProtobuf(samples));
  FrameBuilder builder;
  std::size_t bytes = 0;
  for (const auto& sample : samples) {
    Encoded encoded = Encode(sample);
    CHECK(encoded.bytes == ByProtobuf({sample}).size());
    bytes += encoded.bytes;
    builder.Add(std::move(encoded));
  }
  CHECK(builder.bytes() == bytes);
  CHECK(builder.Take().Length() == bytes);
}

TEST_CASE("large values are referenced, not copied") {
  auto body = std::make_shared<const std::string>(100000, 'x');
  PeerMessage message = Request(1);
  message.bodies.push_back(body);
  grpc::ByteBuffer frame = FrameOf({message});
  std::vector<grpc::Slice> slices;
  REQUIRE(frame.Dump(&slices).ok());
  const auto* data = reinterpret_cast<const std::uint8_t*>(body->data());
  CHECK(std::any_of(slices.begin(), slices.end(), [&](const auto& slice) { return slice.begin() == data; }));
  message.bodies.clear();
  CHECK(body.use_count() == 2);
  slices.clear();
  frame.Clear();
  CHECK(body.use_count() == 1);
}

TEST_CASE("a frame comes apart into the same messages, however it is cut") {
  const auto samples = Samples();
  const std::string bytes = ByProtobuf(samples);
  const std::size_t step = GENERATE(1u, 7u, 4096u, 1000000u);
  grpc::ByteBuffer frame = Sliced(bytes, step);
  std::vector<PeerMessage> read;
  REQUIRE(Decode(&frame, 1 << 20, &read) == FrameFault::kNone);
  REQUIRE(read.size() == samples.size());
  CHECK(ByProtobuf(read) == bytes);
}

TEST_CASE("a frame may carry what a newer version added") {
  wire::LinkRequest frame;
  auto* envelope = frame.add_envelopes();
  envelope->mutable_peer()->mutable_ping();
  UnknownFields(envelope)->AddLengthDelimited(77, "new");
  UnknownFields(&frame)->AddVarint(99, 1);
  UnknownFields(frame.add_envelopes()->mutable_peer())->AddLengthDelimited(500, "a kind not known here");
  for (auto& each : *frame.mutable_envelopes()) Seal(&each);
  grpc::ByteBuffer buffer = BufferOf(frame.SerializeAsString());
  std::vector<PeerMessage> read;
  CHECK(Decode(&buffer, 1 << 20, &read) == FrameFault::kNone);
  REQUIRE(read.size() == 1);
  CHECK(read[0].header.has_ping());
}

TEST_CASE("an envelope above the limit is told from one that is damaged") {
  grpc::ByteBuffer large = FrameOf({Request(1), Request(2, {std::string(5000, 'x')}), Request(3)});
  std::vector<PeerMessage> read;
  CHECK(Decode(&large, 4999, &read) == FrameFault::kOversize);
  CHECK(read.size() == 1);

  for (const std::string& bytes : {std::string("\x1a\x05\x0a\x7f", 4), std::string("\x1a\xff\xff\xff\xff\xff\xff", 7),
                                   std::string("\x1a\x02\x12\x05x", 5), std::string("\x1b\x1b", 2)}) {
    grpc::ByteBuffer damaged = BufferOf(bytes);
    read.clear();
    CHECK(Decode(&damaged, 1 << 20, &read) == FrameFault::kMalformed);
    CHECK(read.empty());
  }
}

TEST_CASE("a frame that was cut anywhere is malformed, or ends between two messages") {
  const std::string one = ByProtobuf({Request(1, {"body"})});
  const std::string two = one + ByProtobuf({Request(2, {"another", "body"})});
  for (std::size_t size = 1; size < two.size(); ++size) {
    grpc::ByteBuffer cut = BufferOf(two.substr(0, size));
    std::vector<PeerMessage> read;
    const FrameFault fault = Decode(&cut, 1 << 20, &read);
    CAPTURE(size);
    CHECK(read.size() == (size < one.size() ? 0 : 1));
    CHECK(fault == (size == one.size() ? FrameFault::kNone : FrameFault::kMalformed));
  }
}

TEST_CASE("a message with any bit flipped is not taken for another") {
  const std::string good = ByProtobuf({Request(1, {"a body", ""}), Request(2, {std::string(kCopiedBytes, 'x')})});
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    grpc::ByteBuffer frame = BufferOf(bytes);
    std::vector<PeerMessage> read;
    const FrameFault fault = Decode(&frame, 1 << 20, &read);
    CAPTURE(bit);
    // What is left of it stood before the damage, or after a message that the flip hid.
    for (const auto& message : read) REQUIRE(good.find(ByProtobuf({message})) != std::string::npos);
    REQUIRE(read.size() < 2);
    REQUIRE((fault != FrameFault::kNone || read.size() == 1));
  }
}

TEST_CASE("a message without its checksum is damaged") {
  wire::LinkRequest frame;
  frame.add_envelopes()->mutable_peer()->mutable_ping();
  grpc::ByteBuffer buffer = BufferOf(frame.SerializeAsString());
  std::vector<PeerMessage> read;
  CHECK(Decode(&buffer, 1 << 20, &read) == FrameFault::kDamaged);
  CHECK(read.empty());
}

TEST_CASE("damaged frames never yield more than they hold") {
  const std::string good = ByProtobuf(Samples());
  Random random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good.substr(0, random.Below(good.size()));
    for (int flips = 0; flips < 3 && !bytes.empty(); ++flips)
      bytes[random.Below(std::min<std::size_t>(bytes.size(), 200))] ^= 1 << random.Below(8);
    grpc::ByteBuffer frame = Sliced(bytes, 1 + random.Below(5000));
    std::vector<PeerMessage> read;
    Decode(&frame, 1 << 20, &read);
    std::size_t total = 0;
    for (const auto& message : read) {
      for (const auto& body : message.bodies) total += body->size();
    }
    REQUIRE(total <= bytes.size());
  }
}

TEST_CASE("what waits goes into one frame, up to its bound, in order") {
  Outbox outbox(1 << 20, 1000);
  for (int i = 0; i < 50; ++i) REQUIRE(outbox.Push(false, Encode(Request(i, {std::string(90, 'x')}))) == kMainLane);
  int expected = 0, frames = 0;
  while (auto frame = outbox.Next(kMainLane)) {
    ++frames;
    CHECK(frame->buffer.Length() <= 1000);
    CHECK(frame->buffer.Length() == frame->bytes);
    std::vector<PeerMessage> read;
    REQUIRE(Decode(&frame->buffer, 1 << 20, &read) == FrameFault::kNone);
    CHECK(read.size() == frame->messages);
    for (const auto& message : read)
      CHECK(message.header.data_request().call() == static_cast<std::uint64_t>(expected++));
    outbox.Written(frame->bytes);
  }
  CHECK(expected == 50);
  const int fit = static_cast<int>(1000 / Encode(Request(1, {std::string(90, 'x')})).bytes);
  CHECK(frames == (50 + fit - 1) / fit);
  CHECK(outbox.bytes() == 0);
}

TEST_CASE("a message above the bound of a frame travels alone") {
  Outbox outbox(1 << 20, 1000);
  outbox.Push(false, Encode(Request(1)));
  outbox.Push(false, Encode(Request(2, {std::string(5000, 'x')})));
  outbox.Push(false, Encode(Request(3)));
  std::vector<std::size_t> sizes;
  while (auto frame = outbox.Next(kMainLane)) sizes.push_back(frame->messages);
  CHECK(sizes == std::vector<std::size_t>{1, 1, 1});
}

TEST_CASE("the queue is bounded in bytes, and what is being written counts") {
  const std::size_t one = Encode(Request(1, {std::string(90, 'x')})).bytes;
  Outbox outbox(3 * one, 1 << 20);
  const auto push = [&] { return outbox.Push(false, Encode(Request(1, {std::string(90, 'x')}))); };
  CHECK(push() == kMainLane);
  CHECK(push() == kMainLane);
  CHECK(push() == kMainLane);
  CHECK(push() == -1);
  auto frame = outbox.Next(kMainLane);
  CHECK(push() == -1);
  outbox.Written(frame->bytes);
  CHECK(push() == kMainLane);
  CHECK(outbox.Clear() == 1);
  CHECK(outbox.bytes() == 0);
}

TEST_CASE("bulk takes the main lane while its own is closed, and moves over when it closes") {
  Outbox outbox(1 << 20, 1 << 20);
  CHECK(outbox.Push(true, Encode(Request(1))) == kMainLane);
  outbox.SetBulkOpen(true);
  CHECK(outbox.Push(true, Encode(Request(2))) == kBulkLane);
  CHECK(outbox.Push(false, Encode(Request(3))) == kMainLane);
  outbox.SetBulkOpen(false);
  CHECK_FALSE(outbox.Next(kBulkLane));
  CHECK(outbox.Next(kMainLane)->messages == 3);
}

}  // namespace
}  // namespace coffer::link
