// What an operation has that takes several calls, one after another: one deadline for all of them, and a cancellation
// that reaches the one under way. Not for users.
#pragma once

#include <memory>

#include "client/client_impl.h"
#include "proto/mutex.h"

namespace coffer::client {

// Thread-safe. Outlives the client harmlessly.
class CallSeries {
 public:
  void Cancel();

 protected:
  CallSeries(const std::shared_ptr<Client::Impl>& client, CallOptions options);
  ~CallSeries() = default;

  const CallOptions& options() const { return options_; }
  // Null once the client is gone; then the operation ends with Closed().
  std::shared_ptr<Client::Impl> client() const { return client_.lock(); }
  static Status Closed();
  bool Late() const { return SteadyNow() >= deadline_; }
  // Gives the job what is left of the time.
  void Limit(Job* job) const;
  // The call under way now.
  void Keep(Ticket ticket);

 private:
  const std::weak_ptr<Client::Impl> client_;
  const CallOptions options_;
  const Instant deadline_;
  Mutex lock_;
  Ticket running_ ABSL_GUARDED_BY(lock_);
  bool cancelled_ ABSL_GUARDED_BY(lock_) = false;
};

}  // namespace coffer::client
