// The answer to a get, from a whole chunk.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "router/response.h"

namespace coffer::router {

// A serialised GetResponse, by hand: the chunk is referenced, and comes last. What protobuf reads of it is what it would have written.
Response EncodeGetResponse(Payload data, std::uint64_t total_size);

// The range of a whole chunk, by the rule of GetRequest; nothing: out of range.
std::optional<std::string_view> Cut(std::string_view chunk, std::uint64_t offset, std::uint64_t length);

}  // namespace coffer::router
