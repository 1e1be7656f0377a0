// A serialised response on its way to a caller: bytes of its own, then perhaps a value that is only referenced, so that a large one is
// not copied between the node, or the cache, it came from and the connection it leaves by.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "cluster/message.h"

namespace coffer::router {

struct Response {
  Response() = default;
  Response(std::string own) : bytes(std::move(own)) {}  // NOLINT: most are nothing else
  Response(std::string own, Payload follows) : bytes(std::move(own)), value(std::move(follows)) {}

  std::size_t size() const { return bytes.size() + (value ? value->size() : 0); }
  // All of it, copied.
  std::string str() const { return value ? bytes + *value : bytes; }

  std::string bytes;
  Payload value;  // its bytes come last; null: none
};

}  // namespace coffer::router
