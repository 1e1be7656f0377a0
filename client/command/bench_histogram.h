// Counts times in buckets whose width grows with the time: any length, less than 1 % off, 38 KiB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cluster/ids.h"

namespace coffer::command {

// Log-linear: 128 equal buckets to each doubling, from a nanosecond to almost five hours. Not thread-safe.
class Histogram {
 public:
  void Add(Duration time);
  void Add(const Histogram& other);

  std::uint64_t count() const { return count_; }
  // Exact; zero when empty.
  Duration max() const { return max_; }
  // The time that `share` (0 to 1) of all took at most: the upper end of its bucket, never above max(). Zero when
  // empty.
  Duration Quantile(double share) const;

 private:
  static constexpr int kSubBits = 8;
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  static constexpr std::size_t kDoublings = 44 - kSubBits;  // 2^44 ns are 4.9 hours; what is longer counts as that

  static constexpr std::size_t kBuckets = kSub + kDoublings * (kSub / 2);

  static std::size_t BucketOf(std::uint64_t ns);
  static std::uint64_t UpperEnd(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  Duration max_{};
};

}  // namespace coffer::command
