// The envelope of the coalescing stream (coffer.v1.OpenRequest and OpenResponse), read and written by hand around the
// values: a value is copied once on its way in, and a large one not at all on its way out.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "router/core/errors.h"
#include "router/core/methods.h"
#include "router/request_bytes.h"
#include "router/response.h"

namespace coffer::router {

// One coffer.v1.Call.
struct StreamCall {
  std::uint64_t id = 0;
  bool cancel = false;      // else an invocation
  bool known = false;       // has a kind that this version knows
  std::string method;
  RequestBytes request;
  std::uint32_t deadline_ms = 0;
};

// The calls of a frame, in their order. False: the bytes are no OpenRequest, or it has more than `most` calls.
bool DecodeCalls(grpc::ByteBuffer* frame, std::size_t most, std::vector<StreamCall>* calls);

// The request of a call that came alone; the value of a put stands apart.
RequestBytes ReadRequest(Method method, grpc::ByteBuffer* message);

// One coffer.v1.Reply, encoded with its tag in the frame. The response stands apart from the bytes around it.
struct EncodedReply {
  std::string head;
  Response body;
  std::string tail;
  std::size_t bytes() const { return head.size() + body.size() + tail.size(); }
};
// `status` is present on the last reply of a call.
EncodedReply EncodeReply(std::uint64_t id, std::optional<Response> response, const Status* status);

// Takes replies off the front of the queue until the frame has `frame_bytes`, at least one; adds up their bytes.
grpc::ByteBuffer TakeFrame(std::deque<EncodedReply>* replies, std::size_t frame_bytes, std::size_t* bytes);

}  // namespace coffer::router
