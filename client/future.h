// The result of an operation that may still be under way.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "client/status.h"
#include "proto/mutex.h"

namespace coffer::client {

// Handle of an operation under way. Copyable; dropping it does not cancel; harmless after the end and after the client.
class Ticket {
 public:
  Ticket() = default;
  explicit Ticket(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
  // Ends the operation early. A write that was sent already ends with kOutcomeUnknown, everything else with CANCELLED.
  // The callback still comes, exactly once, unless it has come; it may run within this call, so hold no lock that it
  // takes.
  void Cancel() const {
    if (cancel_) cancel_();
  }

 private:
  std::function<void()> cancel_;
};

// Called exactly once per operation, on a thread of the client. It may start further operations; it must not block and
// must not destroy the client.
template <class T>
using Callback = std::function<void(Result<T>)>;

// The future form of an operation. Copyable (all copies share the result), thread-safe.
template <class T>
class Future {
 public:
  // Waits and returns the result; every operation has a deadline, so this ends.
  Result<T> Get() const {
    MutexLock guard(shared_->lock);
    while (!shared_->result) shared_->arrived.Wait(shared_->lock);
    return *shared_->result;
  }
  // As Get, but gives the value away: for large ones. Only one caller may.
  Result<T> Take() {
    MutexLock guard(shared_->lock);
    while (!shared_->result) shared_->arrived.Wait(shared_->lock);
    return std::move(*shared_->result);
  }
  bool Ready() const {
    MutexLock guard(shared_->lock);
    return shared_->result.has_value();
  }
  // False if it is not ready after `time`.
  bool WaitFor(std::chrono::milliseconds time) const {
    MutexLock guard(shared_->lock);
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared_->lock) { return shared_->result.has_value(); };
    return shared_->arrived.WaitFor(shared_->lock, time, ready);
  }
  void Cancel() const { ticket_.Cancel(); }

  // Makes the future form out of the callback form: `start` takes a Callback<T> and returns a Ticket.
  template <class Start>
  static Future Of(Start start) {
    Future out;
    out.ticket_ = start([shared = out.shared_](Result<T> result) {
      MutexLock guard(shared->lock);
      shared->result = std::move(result);
      shared->arrived.NotifyAll();
    });
    return out;
  }

 private:
  struct Shared {
    Mutex lock;
    Condition arrived;
    std::optional<Result<T>> result ABSL_GUARDED_BY(lock);
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  Ticket ticket_;
};

}  // namespace coffer::client
