// How long an answer usually takes: the 95th percentile of the last answers, for the moment to ask a second node.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "cluster/ids.h"

namespace coffer::router {

class LatencyEstimate {
 public:
  // `initial` is the answer until enough samples are there; no answer is below `least` or above `most`.
  LatencyEstimate(Duration initial, Duration least, Duration most) : least_(least), most_(most), p95_(initial) {}

  void Add(Duration sample) {
    ring_[next_++ % kWindow] = sample;
    if (next_ % kEvery == 0) Recompute();
  }
  Duration p95() const { return p95_; }

 private:
  static constexpr std::size_t kWindow = 256;
  static constexpr std::size_t kEvery = 32;  // recomputed after this many samples

  void Recompute() {
    std::vector<Duration> sorted(ring_.begin(), ring_.begin() + static_cast<std::ptrdiff_t>(std::min(next_, kWindow)));
    auto at = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() * 95 / 100);
    std::nth_element(sorted.begin(), at, sorted.end());
    p95_ = std::clamp(*at, least_, most_);
  }

  const Duration least_, most_;
  Duration p95_;
  std::array<Duration, kWindow> ring_{};
  std::size_t next_ = 0;
};

}  // namespace coffer::router
