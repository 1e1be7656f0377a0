// Bytes as gRPC sends them: what is small is copied, what is large is taken over or referenced.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <string>
#include <vector>

#include "cluster/message.h"

namespace coffer::link {

// Below this a copy is cheaper than what it takes to own the bytes.
inline constexpr std::size_t kCopiedBytes = 4096;

// Takes a large string over.
grpc::Slice SliceOf(std::string bytes);
// Holds a reference to a large value; it must not be null.
grpc::Slice SliceOf(Payload value);

// Bytes put together from parts, one behind the other: small ones share a slice.
class SliceJoiner {
 public:
  // What a part adds to the bytes that are copied.
  static std::size_t CopiedOf(std::size_t part) { return part < kCopiedBytes ? part : 0; }
  // `copied`: of all parts, about.
  explicit SliceJoiner(std::size_t copied) { flat_.reserve(copied); }

  void Add(std::string&& part);
  // Not null.
  void Add(Payload&& part);
  grpc::ByteBuffer Take();

 private:
  void Cut();

  std::string flat_;
  std::vector<grpc::Slice> slices_;
};

}  // namespace coffer::link
