// One thread that runs closures at, or some time after, a given moment. It also takes what must not be destroyed on a
// thread of gRPC: a channel that dies there waits for the thread it dies on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "proto/mutex.h"

namespace coffer::link {

// Thread-safe. Closures run one after another; they must not throw.
class Alarm {
 public:
  using Clock = std::chrono::steady_clock;
  using Key = std::pair<Clock::time_point, std::uint64_t>;

  Alarm();
  ~Alarm();  // as Stop

  Key At(Clock::time_point when, std::function<void()> run);
  Key After(Clock::duration delay, std::function<void()> run) { return At(Clock::now() + delay, std::move(run)); }
  Key Now(std::function<void()> run) { return At(Clock::time_point::min(), std::move(run)); }
  // The closure will not begin any more, unless it runs already.
  void Cancel(const Key& key);
  // Runs what is due, drops the rest, joins. Not from a closure.
  void Stop();

 private:
  void Run();

  Mutex mutex_;
  Condition changed_;
  std::map<Key, std::function<void()>> due_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace coffer::link
