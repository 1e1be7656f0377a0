// The result of an operation that may still be under way.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "client/status.h"

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
    std::unique_lock<std::mutex> guard(shared_->lock);
    shared_->arrived.wait(guard, [this] { return shared_->result.has_value(); });
    return *shared_->result;
  }
  // As Get, but gives the value away: for large ones. Only one caller may.
  Result<T> Take() {
    std::unique_lock<std::mutex> guard(shared_->lock);
    shared_->arrived.wait(guard, [this] { return shared_->result.has_value(); });
    return std::move(*shared_->result);
  }
  bool Ready() const {
    std::lock_guard<std::mutex> guard(shared_->lock);
    return shared_->result.has_value();
  }
  // False if it is not ready after `time`.
  bool WaitFor(std::chrono::milliseconds time) const {
    std::unique_lock<std::mutex> guard(shared_->lock);
    return shared_->arrived.wait_for(guard, time, [this] { return shared_->result.has_value(); });
  }
  void Cancel() const { ticket_.Cancel(); }

  // Makes the future form out of the callback form: `start` takes a Callback<T> and returns a Ticket.
  template <class Start>
  static Future Of(Start start) {
    Future out;
    out.ticket_ = start([shared = out.shared_](Result<T> result) {
      std::lock_guard<std::mutex> guard(shared->lock);
      shared->result = std::move(result);
      shared->arrived.notify_all();
    });
    return out;
  }

 private:
  struct Shared {
    std::mutex lock;
    std::condition_variable arrived;
    std::optional<Result<T>> result;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  Ticket ticket_;
};

}  // namespace coffer::client
