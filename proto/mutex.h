// The lock of the threaded shells: std::mutex with the annotations that let clang check, at compile time, that what is
// guarded is touched under its lock only (-Wthread-safety). Not absl::Mutex, which has them: as Debian builds it,
// ThreadSanitizer does not see it lock.
//
//   Mutex mutex_;
//   int count_ ABSL_GUARDED_BY(mutex_);
//   void Grow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
#pragma once

#include <absl/base/thread_annotations.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace coffer {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  // Says to clang, where it can't know, that the caller holds it: one lock behind two names. Checks nothing itself.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}

 private:
  friend class Condition;  // waits on the mutex inside
  std::mutex mutex_;
};

// Holds a mutex to the end of its scope, but between Unlock and Lock.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() {
    if (held_) mutex_.Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    held_ = false;
    mutex_.Unlock();
  }
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    mutex_.Lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// As std::condition_variable, of a Mutex that the caller holds. A condition is a lambda with
// ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) of its own: clang looks at it by itself.
class Condition {
 public:
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Held held(mutex);
    condition_.wait(held.lock);
  }
  template <class Until>
  void Wait(Mutex& mutex, Until until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Held held(mutex);
    condition_.wait(held.lock, until);
  }
  // May also return early for no reason.
  template <class Clock, class D>
  void WaitUntil(Mutex& mutex, std::chrono::time_point<Clock, D> when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Held held(mutex);
    condition_.wait_until(held.lock, when);
  }
  // Whether the condition holds; false only once the time is over.
  template <class Clock, class D, class Until>
  bool WaitUntil(Mutex& mutex, std::chrono::time_point<Clock, D> when, Until until)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Held held(mutex);
    return condition_.wait_until(held.lock, when, until);
  }
  template <class Rep, class Period>
  void WaitFor(Mutex& mutex, std::chrono::duration<Rep, Period> time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Held held(mutex);
    condition_.wait_for(held.lock, time);
  }
  template <class Rep, class Period, class Until>
  bool WaitFor(Mutex& mutex, std::chrono::duration<Rep, Period> time, Until until)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Held held(mutex);
    return condition_.wait_for(held.lock, time, until);
  }

 private:
  // The form std::condition_variable takes it in; the mutex stays locked in the end.
  struct Held {
    explicit Held(Mutex& mutex) : lock(mutex.mutex_, std::adopt_lock) {}
    ~Held() { lock.release(); }
    std::unique_lock<std::mutex> lock;
  };
  std::condition_variable condition_;
};

}  // namespace coffer
