// How much a learner may have under way, from the question to the disk: as much as the cluster carries without anybody waiting for it.
//
// Whatever is under way stands in the same queues as the clients' reads and writes: of the source's disk, of the link, of the learner's
// syncs. So the time from asking until what came is durable says how long they wait. The window grows while that time stays near the
// shortest of late, which is that of empty queues, and shrinks when it does not, whoever filled them (as in LEDBAT, RFC 6817): an idle
// cluster is filled as fast as it can be, a busy one yields.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "cluster/ids.h"

namespace coffer::node {

// A single-threaded value; the caller says what time it is.
class FillWindow {
 public:
  static constexpr std::uint64_t kLeast = 256u << 10;
  static constexpr std::uint64_t kFirst = 1u << 20;
  static constexpr std::uint64_t kMost = 4u << 20;

  std::uint64_t bytes() const { return bytes_; }

  // Something that was asked for `took` ago is durable now.
  void Took(Instant now, Duration took) {
    if (now - span_began_ >= kSpan) {
      shortest_before_ = now - span_began_ >= 2 * kSpan ? kNone : shortest_;
      shortest_ = kNone;
      span_began_ = now;
    }
    shortest_ = std::min(shortest_, took);
    const Duration shortest = std::min(shortest_, shortest_before_);
    if (took <= shortest + shortest / 2 + kSlack) {
      bytes_ = std::min(kMost, bytes_ + kGrowth);
      return;
    }
    // What was asked before the last shrinking says nothing about it.
    if (now - took < shrunk_) return;
    shrunk_ = now;
    bytes_ = std::max(kLeast, bytes_ - bytes_ / 4);
  }

 private:
  static constexpr Duration kNone = std::chrono::hours(1);
  static constexpr Duration kSpan = std::chrono::seconds(5);  // "of late": this one and the one before
  static constexpr Duration kSlack = std::chrono::milliseconds(1);
  static constexpr std::uint64_t kGrowth = 16u << 10;

  std::uint64_t bytes_ = kFirst;
  Duration shortest_ = kNone, shortest_before_ = kNone;
  Instant span_began_{}, shrunk_{};
};

}  // namespace coffer::node
