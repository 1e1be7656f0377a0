// A serialised request on its way in. The value of a put stands apart from the bytes around it, so that a large one is copied once, out of
// the frame that it came in.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace coffer::router {

struct RequestBytes {
  RequestBytes() = default;
  RequestBytes(std::string all) : bytes(std::move(all)) {}  // NOLINT: most are nothing else

  std::size_t size() const { return bytes.size() + (value ? value->size() : 0); }

  std::string bytes;
  std::optional<std::string> value;  // what PutRequest.data is to be; nothing: it is among the bytes, if anywhere
};

}  // namespace coffer::router
