// What a client sends on the coalescing stream (coffer.v1.OpenRequest), written by hand: a large value is not copied, and a small
// request costs one allocation where protobuf's objects would cost five. Requests that are sent often are written by hand, too.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "cluster/ids.h"
#include "cluster/message.h"

namespace coffer::client {

// One coffer.v1.Call, encoded with its tag in the frame.
struct EncodedCall {
  std::uint64_t id = 0;
  bool invokes = false;  // else it cancels
  std::string bytes;
  Payload value;  // its bytes come last; null: none
  std::size_t size() const { return bytes.size() + (value ? value->size() : 0); }
};
// `value`, unless it is null, is the field `data` of the request, which is then a PutRequest, serialised without it.
EncodedCall EncodeInvocation(std::uint64_t id, std::string_view method, std::string_view request, Payload value, std::uint32_t deadline_ms);
EncodedCall EncodeCancel(std::uint64_t id);

// How much goes into a frame: calls, and bytes unless the first call alone has more.
struct FrameLimits {
  std::size_t calls = 0;
  std::size_t bytes = 0;
};
// How many calls at the front of the queue, which is not empty, the next frame takes.
std::size_t CallsOfFrame(const std::deque<EncodedCall>& queue, const FrameLimits& limits);
// Takes that many off the queue.
grpc::ByteBuffer TakeFrame(std::deque<EncodedCall>* queue, std::size_t calls);

// A serialised coffer.v1.GetRequest.
std::string EncodeGetRequest(std::string_view zone, const BlockId& id, std::uint64_t offset, std::uint64_t length);

}  // namespace coffer::client
