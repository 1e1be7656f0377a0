// A sliding high percentile of answer times: two half-windows of log-linear buckets, the older one dropped in turn.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "cluster/ids.h"

namespace coffer::cluster {

class LatencyWindow {
 public:
  void Add(Instant now, Duration latency) {
    Turn(now);
    ++current_[Bucket(latency)];
  }

  // The 99th percentile of the last 5 to 10 s, in seconds; 0 when nothing was answered. Upper end of its bucket (+- 12 %).
  double P99() const {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) total += current_[i] + previous_[i];
    if (total == 0) return 0;
    std::uint64_t above = total / 100;
    for (std::size_t i = kBuckets; i-- > 0;) {
      const std::uint64_t here = current_[i] + previous_[i];
      if (here > above) return UpperMicroseconds(i) / 1e6;
      above -= here;
    }
    return 0;
  }

  void Turn(Instant now) {
    if (now - turned_ < std::chrono::seconds(5)) return;
    previous_ = now - turned_ < std::chrono::seconds(10) ? current_ : Buckets{};
    current_ = {};
    turned_ = now;
  }

 private:
  static constexpr std::size_t kSub = 8;  // per power of two
  static constexpr std::size_t kBuckets = 40 * kSub;
  using Buckets = std::array<std::uint32_t, kBuckets>;

  static std::size_t Bucket(Duration latency) {
    const auto us = static_cast<std::uint64_t>(latency.count() <= 0 ? 0 : latency.count() / 1000);
    if (us < kSub) return us;
    const auto power = static_cast<std::size_t>(std::bit_width(us)) - 4;
    const std::size_t bucket = power * kSub + (us >> power);
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  static double UpperMicroseconds(std::size_t bucket) {
    if (bucket < 2 * kSub) return static_cast<double>(bucket + 1);
    const std::size_t power = bucket / kSub - 1;
    return static_cast<double>((bucket - power * kSub + 1) << power);
  }

  Buckets current_{};
  Buckets previous_{};
  Instant turned_{};
};

}  // namespace coffer::cluster
