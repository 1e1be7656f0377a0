// Bytes as gRPC sends them: what is small is copied, what is large is taken over or referenced.
#pragma once

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <string>

#include "cluster/message.h"

namespace coffer::link {

// Below this a copy is cheaper than what it takes to own the bytes.
inline constexpr std::size_t kCopiedBytes = 4096;

// Takes a large string over.
grpc::Slice SliceOf(std::string bytes);
// Holds a reference to a large value; it must not be null.
grpc::Slice SliceOf(Payload value);

}  // namespace coffer::link
