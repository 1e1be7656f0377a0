#include "node/sync_watch.h"

#include <algorithm>

namespace coffer::node {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// One sync stands in the window beside the one before it however long it took: else syncs longer than the window would never be two.
constexpr std::size_t kAdvancesAtMost = 3;

}  // namespace

void SyncWatch::Advance(Instant now) {
  const auto seconds = (now - second_) / std::chrono::seconds(1);
  if (seconds <= 0) return;
  const std::size_t steps = std::min<std::size_t>(static_cast<std::size_t>(seconds), kAdvancesAtMost);
  std::move_backward(counts_.begin(), counts_.end() - static_cast<std::ptrdiff_t>(steps), counts_.end());
  std::fill_n(counts_.begin(), steps, Count{});
  second_ += seconds * std::chrono::seconds(1);
}

void SyncWatch::Note(Instant now, Duration took, std::uint64_t bytes) {
  if (config_.bound == Duration(0)) return;
  Advance(now);
  ++counts_[0].all;
  if (took > config_.bound + config_.bound * static_cast<std::int64_t>(bytes) / static_cast<std::int64_t>(kMiB)) ++counts_[0].slow;
  Count window;
  for (const Count& count : counts_) window = {window.all + count.all, window.slow + count.slow};
  const bool becomes = window.all >= 2 && 2 * window.slow > window.all;
  if (!slow(now)) {
    if (!becomes) return;
    hold_ = was_slow_ && now - slow_until_ < kForgiven ? std::min(2 * hold_, config_.longest_hold) : config_.hold;
    was_slow_ = true;
  }
  if (4 * window.slow > window.all) slow_until_ = now + hold_;
}

}  // namespace coffer::node
