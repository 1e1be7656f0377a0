// Whether a disk is slow, by how long its syncs take. Decision 0012 says why it is judged so.
//
// A sync is slow if it takes longer than a bound, and that bound again for each MiB it writes. A disk is slow once more than half of the
// syncs of the last 5 s are, and as long after as every window of 5 s has more than a quarter of slow ones, and 30 s more. If that comes
// again within 10 min, the time after is twice as long, 8 min at most: a disk that comes and goes is left alone.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "cluster/ids.h"

namespace coffer::node {

// A value; not thread-safe. It has no clock: whoever times the syncs says when they ended.
class SyncWatch {
 public:
  struct Config {
    Duration bound = std::chrono::milliseconds(100);  // of a sync of few bytes; 0: no disk is ever slow
    Duration hold = std::chrono::seconds(30);         // how long a disk counts as slow after it was
    Duration longest_hold = std::chrono::minutes(8);
  };
  explicit SyncWatch(const Config& config) : config_(config), hold_(config.hold) {}

  // A sync of so many bytes ended now.
  void Note(Instant now, Duration took, std::uint64_t bytes);
  bool slow(Instant now) const { return now < slow_until_; }

 private:
  struct Count {
    std::uint32_t all = 0;
    std::uint32_t slow = 0;
  };
  static constexpr std::size_t kSeconds = 5;
  static constexpr Duration kForgiven = std::chrono::minutes(10);

  // Takes out of the window what has become too old.
  void Advance(Instant now);

  Config config_;
  Duration hold_;
  Instant slow_until_{};
  bool was_slow_ = false;                  // ever
  Instant second_{};                       // when the newest count began
  std::array<Count, kSeconds> counts_{};   // by second, the newest first
};

}  // namespace coffer::node
