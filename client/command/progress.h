// A line on stderr that tells how far a transfer is: share, rate, time left. Silent unless stderr is a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace coffer::command {

class Progress {
 public:
  // `shown`: false makes every call do nothing. `total` 0: unknown.
  Progress(std::ostream& err, bool shown, std::string what, std::uint64_t total, int width);
  ~Progress() { Clear(); }
  // So many bytes more are done; redraws at most ten times a second.
  void Add(std::uint64_t bytes);
  // As a share of a total that is known elsewhere.
  void Set(std::uint64_t done, std::uint64_t total, const std::string& detail);
  // Removes the line.
  void Clear();

 private:
  using Time = std::chrono::steady_clock::time_point;
  void Draw(const std::string& text);

  std::ostream& err_;
  const bool shown_;
  const std::string what_;
  const std::uint64_t total_;
  const int width_;
  std::uint64_t done_ = 0;
  const Time started_ = std::chrono::steady_clock::now();
  Time drawn_{};
  bool visible_ = false;
};

// The line of a transfer; pure.
std::string ProgressLine(const std::string& what, std::uint64_t done, std::uint64_t total, double seconds, int width);

}  // namespace coffer::command
