#include "cluster/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstddef>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace coffer {
namespace {

// The library's code for AVX-512 ends without vzeroupper (version 2.30). On Intel's processors everything that the thread runs from then
// on and that was compiled for SSE, which is nearly all of a program, waits for the upper halves of the registers it writes: measured, a
// simulator that computes checksums ran a quarter longer. (Intel 64 and IA-32 Architectures Optimization Reference Manual, "Mixing AVX
// code with SSE code".)
#ifdef __x86_64__
__attribute__((target("avx"))) void ZeroUpperHalves() { _mm256_zeroupper(); }
const bool kHasUpperHalves = __builtin_cpu_supports("avx");
void LeaveAsSse() {
  if (kHasUpperHalves) ZeroUpperHalves();
}
#else
void LeaveAsSse() {}
#endif

}  // namespace

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
  LeaveAsSse();
  return ~crc;
}

}  // namespace coffer
