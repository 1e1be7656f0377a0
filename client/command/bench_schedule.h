// When the operations of an open loop begin: by the clock, whatever the cluster answers.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

#include "cluster/ids.h"
#include "cluster/random.h"

namespace coffer::command {

// Arrivals at a given mean rate, independent of each other (a Poisson process), as of many users who do not know of one
// another. An operation that can't begin when it is due keeps its due time, and its latency counts from there: a
// cluster that stalls for a second is charged with all that should have happened in that second (no coordinated
// omission). Pure.
class ArrivalSchedule {
 public:
  // `per_second` above 0.
  ArrivalSchedule(Instant begin, double per_second, std::uint64_t seed)
      : random_(seed), mean_ns_(1e9 / per_second), next_(begin) {
    Advance();
  }
  // When the next operation is due.
  Instant next() const { return next_; }
  // Takes the next arrival if it is due by `now`.
  std::optional<Instant> Take(Instant now) {
    if (next_ > now) return std::nullopt;
    const Instant due = next_;
    Advance();
    return due;
  }

 private:
  void Advance() {
    const double u = (static_cast<double>(random_.Next() >> 11) + 1) * 0x1p-53;
    rest_ns_ += -std::log(u) * mean_ns_;
    const double whole = std::floor(rest_ns_);
    rest_ns_ -= whole;
    next_ += Duration(static_cast<std::int64_t>(whole));
  }

  Random random_;
  double mean_ns_;
  double rest_ns_ = 0;  // what rounding to nanoseconds has left over
  Instant next_;
};

}  // namespace coffer::command
