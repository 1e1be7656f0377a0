#include "client/call_series.h"

#include <algorithm>

namespace coffer::client {

CallSeries::CallSeries(const std::shared_ptr<Client::Impl>& client, CallOptions options)
    : client_(client), options_(std::move(options)), deadline_(SteadyNow() + client->Timeout(options_)) {}

Status CallSeries::Closed() {
  return Status::Failed(Code::kCancelled, "the client is being closed", "CANCELLED");
}

void CallSeries::Limit(Job* job) const {
  job->timeout = std::max<Duration>(deadline_ - SteadyNow(), std::chrono::milliseconds(1));
}

void CallSeries::Cancel() {
  MutexLock guard(lock_);
  cancelled_ = true;
  const Ticket running = running_;
  guard.Unlock();
  running.Cancel();
}

void CallSeries::Keep(Ticket ticket) {
  MutexLock guard(lock_);
  running_ = ticket;
  const bool cancel = cancelled_;
  guard.Unlock();
  if (cancel) ticket.Cancel();
}

}  // namespace coffer::client
