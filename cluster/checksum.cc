#include "cluster/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstddef>

namespace coffer {

std::uint32_t Crc32c(std::initializer_list<std::string_view> parts) {
  std::uint32_t crc = 0;
  for (const std::string_view part : parts) crc = Crc32cBehind(crc, part);
  return crc;
}

std::uint32_t Crc32cBehind(std::uint32_t crc, std::string_view bytes) {
  constexpr std::size_t kMost = 1u << 30;  // the library counts in int
  crc = ~crc;
  while (!bytes.empty()) {
    const std::size_t n = std::min(bytes.size(), kMost);
    // The library's signature lacks a const; it only reads.
    crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())), static_cast<int>(n), crc);
    bytes.remove_prefix(n);
  }
  return ~crc;
}

}  // namespace coffer
