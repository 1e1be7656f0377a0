// CRC32C (Castagnoli) of stored bytes. Finds what a disk does to bytes; it is no defence against a person.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace coffer {

// The checksum of the concatenation of `parts`. Thread-safe.
std::uint32_t Crc32c(std::initializer_list<std::string_view> parts);
// The checksum of what has the checksum `crc`, and of `bytes` behind it. Thread-safe.
std::uint32_t Crc32cBehind(std::uint32_t crc, std::string_view bytes);

}  // namespace coffer
