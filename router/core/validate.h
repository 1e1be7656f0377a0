// Whether a request keeps the rules of the protos, field by field, before anything is sent for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "router/core/errors.h"
#include "router/core/methods.h"

namespace coffer::router {

// The limits of requests. Those of the cluster (the chunk limit) come from its layout.
inline constexpr std::size_t kMaxIdsPerRequest = 1000;      // GetMany, Has, Head, PutMany
inline constexpr std::size_t kMaxEntriesPerAppend = 1000;
inline constexpr std::size_t kMaxQueriesPerRead = 100;
inline constexpr std::size_t kMaxSignatureBytes = 128;
inline constexpr std::size_t kMaxZoneNameBytes = 63;
inline constexpr std::size_t kMaxPageSize = 1000;
inline constexpr std::uint64_t kMaxMessageBytes = 16u << 20;
inline constexpr std::uint32_t kMaxWeight = 1000;
inline constexpr std::uint64_t kLeastResyncLimit = 64u << 10;  // bytes per second; slower than that a resync does not end
inline constexpr std::size_t kMaxViolations = 16;           // beyond, the list is cut

// Every rule the request breaks; empty: none. `chunk_limit` is Settings::chunk_limit_bytes. What only one chunk of PutMany or
// GetMany breaks is not among them: it is that chunk's own status.
std::vector<Violation> Validate(const Request& request, std::uint64_t chunk_limit);
// Every rule that one chunk of many breaks; empty: none. `size` is 0 for a read.
std::vector<Violation> ValidateChunk(std::string_view id, std::size_t size, std::uint64_t chunk_limit);

// 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit.
bool IsZoneName(std::string_view name);

// The page token that continues behind a name, and back; nothing for a token that was not made here.
std::string PageToken(std::string_view after);
std::optional<std::string> FromPageToken(std::string_view token);

}  // namespace coffer::router
