// What a member says of its load: reads and writes per second, averaged over about 5 s, and the 99th percentile of its answers.
#pragma once

#include <cmath>
#include <cstdint>

#include "cluster/ids.h"
#include "cluster/latency_window.h"

namespace coffer::cluster {

// Single-threaded. The totals only grow; Sample is called about once a second, also when nothing happens.
class LoadMeter {
 public:
  explicit LoadMeter(Instant now) : sampled_(now) {}

  void Answered(Instant now, Duration latency) { latency_.Add(now, latency); }

  void Sample(Instant now, std::uint64_t gets, std::uint64_t puts) {
    latency_.Turn(now);
    const double span = std::chrono::duration<double>(now - sampled_).count();
    if (span <= 0) return;
    const double weight = 1 - std::exp(-span / kAveragedOver);
    gets_per_second_ += weight * (static_cast<double>(gets - gets_) / span - gets_per_second_);
    puts_per_second_ += weight * (static_cast<double>(puts - puts_) / span - puts_per_second_);
    gets_ = gets;
    puts_ = puts;
    sampled_ = now;
  }

  double gets_per_second() const { return gets_per_second_; }
  double puts_per_second() const { return puts_per_second_; }
  double p99_seconds() const { return latency_.P99(); }

 private:
  static constexpr double kAveragedOver = 5;  // seconds

  LatencyWindow latency_;
  Instant sampled_;
  std::uint64_t gets_ = 0, puts_ = 0;  // totals when sampled last
  double gets_per_second_ = 0, puts_per_second_ = 0;
};

}  // namespace coffer::cluster
