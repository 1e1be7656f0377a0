#include "router/core/frequency_sketch.h"

#include <algorithm>
#include <bit>

namespace coffer::router {
namespace {

constexpr int kRows = 4;
constexpr std::size_t kUsesPerEntry = 10;
constexpr std::uint64_t kSeeds[kRows] = {0xc3a5c85c97cb3127, 0xb492b66fbe98f273, 0x9ae16a3b2f90404f, 0xcbf29ce484222325};

}  // namespace

// A word's place is the low bits of a hash, so two copies of a table are the same table at twice the size.
void FrequencySketch::Fit(std::size_t entries) {
  const std::size_t wanted = std::bit_ceil(std::max<std::size_t>(entries, 64));
  if (words_.empty()) words_.assign(wanted, 0);
  while (words_.size() < wanted) {
    const std::size_t half = words_.size();
    words_.resize(2 * half);
    std::copy_n(words_.begin(), half, words_.begin() + static_cast<std::ptrdiff_t>(half));
  }
}

FrequencySketch::Place FrequencySketch::PlaceOf(std::uint64_t hash, int row) const {
  std::uint64_t mixed = (hash ^ kSeeds[row]) * kSeeds[(row + 1) % kRows];
  mixed ^= mixed >> 32;
  const int counter = row * 4 + static_cast<int>((mixed >> 60) & 3);
  return {static_cast<std::size_t>(mixed) & (words_.size() - 1), counter * 4};
}

void FrequencySketch::Count(std::uint64_t hash) {
  bool counted = false;
  for (int row = 0; row < kRows; ++row) {
    const Place place = PlaceOf(hash, row);
    if (((words_[place.word] >> place.shift) & kMost) == kMost) continue;
    words_[place.word] += std::uint64_t{1} << place.shift;
    counted = true;
  }
  if (counted && ++counted_ >= kUsesPerEntry * words_.size()) Halve();
}

int FrequencySketch::Estimate(std::uint64_t hash) const {
  int least = kMost;
  for (int row = 0; row < kRows; ++row) {
    const Place place = PlaceOf(hash, row);
    least = std::min(least, static_cast<int>((words_[place.word] >> place.shift) & kMost));
  }
  return least;
}

void FrequencySketch::Halve() {
  for (std::uint64_t& word : words_) word = (word >> 1) & 0x7777777777777777;
  counted_ /= 2;
}

}  // namespace coffer::router
