#include "cluster/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstddef>

namespace coffer {

std::uint32_t Crc32c(std::initializer_list<std::string_view> parts) {
  constexpr std::size_t kMost = 1u << 30;  // the library counts in int
  std::uint32_t crc = 0xffffffffu;
  for (std::string_view part : parts) {
    while (!part.empty()) {
      const std::size_t n = std::min(part.size(), kMost);
      // The library's signature lacks a const; it only reads.
      auto* bytes = reinterpret_cast<unsigned char*>(const_cast<char*>(part.data()));
      crc = crc32_iscsi(bytes, static_cast<int>(n), crc);
      part.remove_prefix(n);
    }
  }
  return ~crc;
}

}  // namespace coffer
