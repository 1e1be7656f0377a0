// The checksum of stored bytes and of frames, and how it leaves the processor behind.
#include "cluster/checksum.h"

#include <string>

#include "tests/test_support.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace coffer {
namespace {

// RFC 3720, B.4.
TEST_CASE("crc32c: the values of the standard, whole and in parts") {
  CHECK(Crc32c({}) == 0);
  CHECK(Crc32c({std::string(32, '\0')}) == 0x8a9136aa);
  CHECK(Crc32c({std::string(32, '\xff')}) == 0x62a8ab43);
  CHECK(Crc32c({"123456789"}) == 0xe3069283);
  CHECK(Crc32c({"1234", "", "56789"}) == 0xe3069283);
  CHECK(Crc32cBehind(Crc32c({"123456"}), "789") == 0xe3069283);
  CHECK(Crc32cBehind(Crc32c({"123456789"}), "") == 0xe3069283);
}

#ifdef __x86_64__
// Whether the upper halves of the vector registers hold anything, as the processor keeps account of it (XINUSE, bits 2 and 6).
__attribute__((target("xsave"))) bool UpperHalvesInUse() { return (_xgetbv(1) & 0x44) != 0; }
__attribute__((target("avx"))) void Clear() { _mm256_zeroupper(); }
__attribute__((target("avx"))) void Fill() {
  const __m256i ones = _mm256_set1_epi8(1);
  asm volatile("vmovdqa %0, %%ymm7" : : "m"(ones) : "xmm7");
}

bool KeepsAccount() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("avx") && __get_cpuid_count(0xd, 1, &a, &b, &c, &d) && (a & 4);
}

// Were they in use, all code for SSE that follows on the thread would be slower.
TEST_CASE("crc32c: the upper halves of the vector registers are left empty, whatever the size") {
  if (!KeepsAccount()) return;
  Fill();
  const bool noticed = UpperHalvesInUse();
  Clear();
  if (!noticed || UpperHalvesInUse()) return;  // a processor that says so always, or never
  for (std::size_t size = 1; size <= 1u << 16; size *= 2) {
    const std::string bytes(size, 'x');
    Clear();
    const std::uint32_t sum = Crc32c({bytes});
    const bool used = UpperHalvesInUse();
    INFO(size << " bytes, checksum " << sum);
    CHECK_FALSE(used);
  }
}
#endif

}  // namespace
}  // namespace coffer
