// How often a key was used lately, in half a byte a counter: a count-min sketch that halves itself (TinyLFU).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace coffer::router {

// Source: Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM ToS 2017). Four counters of 4
// bits per key; after 10 uses per entry all are halved, so that old fame fades. Single-threaded.
class FrequencySketch {
 public:
  static constexpr int kMost = 15;

  FrequencySketch() { Fit(1); }

  // Room for this many entries. Only grows; what was counted stays.
  void Fit(std::size_t entries);
  // One use of a key with this well-mixed hash.
  void Count(std::uint64_t hash);
  // Uses lately: at least the truth since the last halvings, at most kMost.
  int Estimate(std::uint64_t hash) const;
  std::uint64_t memory_bytes() const { return words_.capacity() * sizeof(std::uint64_t); }

 private:
  struct Place {
    std::size_t word;
    int shift;
  };
  Place PlaceOf(std::uint64_t hash, int row) const;
  void Halve();

  std::vector<std::uint64_t> words_;  // a power of two; 16 counters each, 4 for each row
  std::uint64_t counted_ = 0;         // since the last halving, less what that took away
};

}  // namespace coffer::router
