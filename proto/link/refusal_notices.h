// Which refusals are worth a line in the log: whoever is refused dials again every second.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace coffer::link {

// One notice per caller and reason in ten minutes, and of no more than kMost of them in that time: strangers must not fill the log.
// Not thread-safe.
class RefusalNotices {
 public:
  using Moment = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::minutes kAgainAfter{10};
  static constexpr std::size_t kMost = 100;

  bool Tell(const std::string& caller, const std::string& reason, Moment now) {
    std::erase_if(told_, [now](const auto& entry) { return now - entry.second >= kAgainAfter; });
    return told_.size() < kMost && told_.try_emplace({caller, reason}, now).second;
  }

 private:
  std::map<std::pair<std::string, std::string>, Moment> told_;
};

}  // namespace coffer::link
