// How often something may be guessed wrong before nobody may guess for a moment. Pure; the owner guards it.
#pragma once

#include <algorithm>
#include <chrono>

namespace coffer::link {

// Ten wrong guesses at once, then one a second.
class GuessLimit {
 public:
  using Moment = std::chrono::steady_clock::time_point;
  static constexpr int kBurst = 10;
  static constexpr std::chrono::seconds kOneEvery{1};

  bool MayGuess(Moment now) const { return full_at_ - now <= kOneEvery * (kBurst - 1); }
  void Wrong(Moment now) { full_at_ = std::max(full_at_, now) + kOneEvery; }

 private:
  Moment full_at_{};  // when all guesses are to be had again
};

}  // namespace coffer::link
