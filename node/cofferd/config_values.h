// Values as people write them: 4MiB, 10s, node-1:7701.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coffer::server {

// "1000", "4KiB", "64 MiB", "1GB" (powers of 1024 with an i, of 1000 without).
std::optional<std::uint64_t> ParseSize(std::string_view text);
std::string FormatSize(std::uint64_t bytes);

// "250ms", "10s", "5m", "2h"; a bare number has no unit and is refused, but for 0.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);
std::string FormatDuration(std::chrono::milliseconds duration);

std::optional<bool> ParseBool(std::string_view text);
std::optional<std::uint64_t> ParseInteger(std::string_view text);
// "a, b,c"; empty items are dropped.
std::vector<std::string> ParseList(std::string_view text);

// host:port with a port of 0 to 65535; "[::1]:7701" for IPv6. An empty host is refused.
bool IsHostPort(std::string_view text);
// 1 to 63 of letters, digits, '-', '_' and '.', beginning and ending with a letter or digit.
bool IsName(std::string_view text);

// The least number of insertions, deletions, replacements and swaps of neighbours.
std::size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace coffer::server
