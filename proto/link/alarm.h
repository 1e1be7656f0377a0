// One thread that runs closures at, or some time after, a given moment. It also takes what must not be destroyed on a
// thread of gRPC: a channel that dies there waits for the thread it dies on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

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

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, std::function<void()>> due_;  // guarded by mutex_
  std::uint64_t next_ = 1;                    // guarded by mutex_
  bool stopping_ = false;                     // guarded by mutex_
  std::thread thread_;
};

}  // namespace coffer::link
