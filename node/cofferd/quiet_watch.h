// When a process that was busy has become quiet: the time to give back the memory that its work needed.
#pragma once

#include <chrono>

namespace coffer::server {

// For one thread.
class QuietWatch {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  // `processor`: what the process has used so far. True once each time it has used less than a twentieth of one processor since the
  // call before, and more earlier; a process has been busy starting. Calls within a second of the last one that counted are ignored.
  bool BecameQuiet(Instant now, Duration processor);

 private:
  Instant last_{};
  Duration used_{};
  bool busy_ = true;
};

// Processor time of the process, all threads.
QuietWatch::Duration ProcessorTime();

}  // namespace coffer::server
