// What the client writes by hand is what protobuf would write.
#include "client/request_frame.h"

#include "cluster/random.h"
#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/stream.pb.h"
#include "proto/link/slices.h"
#include "test_support.h"

namespace coffer::client {
namespace {

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  REQUIRE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

std::string Filled(std::size_t size, char with) { return std::string(size, with); }

// The calls of the next frame; the rest stay in the queue.
v1::OpenRequest Next(std::deque<EncodedCall>* queue, const FrameLimits& limits) {
  v1::OpenRequest frame;
  REQUIRE(frame.ParseFromString(BytesOf(TakeFrame(queue, CallsOfFrame(*queue, limits)))));
  return frame;
}

constexpr FrameLimits kAll{1'000'000, 1u << 30};

}  // namespace

TEST_CASE("calls of any size, and cancellations, are read as they were meant, in their order") {
  Random random(7);
  const std::vector<std::size_t> sizes = {0, 1, 127, 128, 300, link::kCopiedBytes - 100, link::kCopiedBytes, 20'000, 1u << 20};
  std::deque<EncodedCall> queue;
  v1::OpenRequest meant;
  for (int i = 0; i < 200; ++i) {
    v1::Call* call = meant.add_calls();
    call->set_id(random.Next() >> random.Below(64));
    if (random.Below(5) == 0) {
      call->set_cancel(true);
      queue.push_back(EncodeCancel(call->id()));
      continue;
    }
    v1::Invocation* invocation = call->mutable_invocation();
    invocation->set_method(Filled(random.Below(200), 'm'));
    std::string request = Filled(random.Below(2) == 0 ? 100 : sizes[random.Below(sizes.size())], 'r');
    Payload value;
    invocation->set_deadline_ms(static_cast<std::uint32_t>(random.Next() >> 32 >> random.Below(32)));
    if (random.Below(2) == 0) {
      v1::PutRequest put;
      put.set_zone("a zone");
      request = put.SerializeAsString();
      value = std::make_shared<const std::string>(Filled(1 + sizes[random.Below(sizes.size())], 'v'));
      put.set_data(*value);
      invocation->set_request(put.SerializeAsString());
    } else {
      invocation->set_request(request);
    }
    queue.push_back(EncodeInvocation(call->id(), invocation->method(), request, value, invocation->deadline_ms()));
    CHECK(queue.back().bytes.capacity() < queue.back().bytes.size() + 16);  // room for it, and not much more
  }
  const v1::OpenRequest got = Next(&queue, kAll);
  CHECK(queue.empty());
  CHECK(got.SerializeAsString() == meant.SerializeAsString());
}

TEST_CASE("a frame ends at its calls or its bytes, and has one call at least") {
  std::deque<EncodedCall> queue;
  const auto add = [&](std::uint64_t id, std::size_t size) { queue.push_back(EncodeInvocation(id, "m", "", std::make_shared<const std::string>(Filled(size, 'r')), 1)); };
  add(1, 10'000);
  for (std::uint64_t id = 2; id <= 8; ++id) add(id, 100);
  const FrameLimits limits{4, 1'000};
  CHECK(Next(&queue, limits).calls_size() == 1);  // alone too large
  CHECK(Next(&queue, limits).calls_size() == 4);
  add(9, 900);
  CHECK(Next(&queue, limits).calls_size() == 3);  // the next does not fit
  CHECK(Next(&queue, limits).calls(0).id() == 9);
}

TEST_CASE("a get is written as protobuf reads it") {
  BlockId id;
  for (std::size_t i = 0; i < BlockId::kSize; ++i) id.bytes[i] = static_cast<std::uint8_t>(i);
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    v1::GetRequest meant;
    meant.set_zone("a zone");
    meant.set_id(id.str());
    meant.set_offset(number);
    meant.set_length(number / 2);
    CHECK(EncodeGetRequest("a zone", id, number, number / 2) == meant.SerializeAsString());
  }
}

}  // namespace coffer::client
