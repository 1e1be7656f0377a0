// Keys that were given up lately, by hash: recognises those that come back too soon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace coffer::router {

// First in, first out. Single-threaded.
class GhostList {
 public:
  // Remembers a key; beyond `bound` the oldest is forgotten.
  void Put(std::uint64_t hash, std::size_t bound) {
    turns_[hash] = ++turn_;
    order_.emplace_back(hash, turn_);
    while (turns_.size() > bound || order_.size() > 2 * bound + 16) ForgetOldest();
  }
  // Whether it was remembered; it is not any more.
  bool Take(std::uint64_t hash) { return turns_.erase(hash) > 0; }

  std::size_t size() const { return turns_.size(); }
  std::uint64_t memory_bytes() const {
    return turns_.capacity() * (sizeof(std::pair<std::uint64_t, std::uint64_t>) + 1) + order_.size() * sizeof(order_.front());
  }

 private:
  void ForgetOldest() {
    const auto [hash, turn] = order_.front();
    order_.pop_front();
    if (const auto it = turns_.find(hash); it != turns_.end() && it->second == turn) turns_.erase(it);
  }

  absl::flat_hash_map<std::uint64_t, std::uint64_t> turns_;      // never iterated
  std::deque<std::pair<std::uint64_t, std::uint64_t>> order_;    // may name those that came back; they are dropped in turn
  std::uint64_t turn_ = 0;
};

}  // namespace coffer::router
