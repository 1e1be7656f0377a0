#include <algorithm>

#include "client/client_impl.h"
#include "proto/mutex.h"

namespace coffer::client {
namespace {

// A watch is renewed before anything on the way could think it forgotten.
constexpr Duration kRenew = std::chrono::hours(1);

bool ForGood(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
    case Code::kFailedPrecondition:
    case Code::kUnimplemented:
    case Code::kOutOfRange:
    case Code::kDataLoss:
      return true;
    default:
      return false;
  }
}

}  // namespace

Follower::Follower(std::shared_ptr<Client::Impl> client, std::string method, std::function<std::string()> next_request,
                   Duration silence, std::function<void(std::string)> on_message, Callback<Done> done)
    : client_(client),
      method_(std::move(method)),
      next_request_(std::move(next_request)),
      silence_(silence),
      on_message_(std::move(on_message)),
      done_(std::move(done)) {}

void Follower::Start() {
  const auto client = client_.lock();
  if (!client || client->closing)
    return Finish(Status::Failed(Code::kCancelled, "the client is being closed", "CANCELLED"));
  std::uint64_t turn;
  {
    MutexLock guard(lock_);
    if (finished_ || cancelled_) return;
    active_ = true;
    messages_ = 0;
    turn = ++turn_;
  }
  Job job;
  job.method = method_;
  job.request = next_request_();
  job.effect = Effect::kOnce;
  job.timeout = kRenew;
  job.on_message = [self = shared_from_this()](std::string m) { self->OnMessage(std::move(m)); };
  job.on_end = [self = shared_from_this()](const Status& s, const Responses&) { self->OnEnd(s); };
  const Ticket ticket = client->Run(std::move(job));
  bool late = false;
  {
    MutexLock guard(lock_);
    if (turn_ == turn) running_ = ticket;
    late = cancelled_;
  }
  if (late) ticket.Cancel();
  ListenForSilence(turn, 0);
}

void Follower::OnMessage(std::string message) {
  {
    MutexLock guard(lock_);
    if (cancelled_) return;
    ++messages_;
    failures_ = 0;
    ever_heard_ = true;
  }
  on_message_(std::move(message));
}

void Follower::OnEnd(const Status& status) {
  const auto client = client_.lock();
  Duration pause;
  {
    MutexLock guard(lock_);
    active_ = false;
    const bool unreachable = !ever_heard_ && status.retry_class == RetryClass::kRetryLater;
    if (!client || client->closing || cancelled_ || ForGood(status.code) || unreachable) {
      pause = Duration::zero();
    } else {
      const int doubled = std::min(failures_++, 6);
      pause = std::chrono::milliseconds(20) * (1 << doubled);
    }
  }
  if (pause == Duration::zero()) {
    MutexLock guard(lock_);
    const bool ours = cancelled_;
    guard.Unlock();
    return Finish(ours ? Status::Failed(Code::kCancelled, "cancelled by the caller", "CANCELLED") : status);
  }
  client->engine->After(pause, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Start();
  });
}

void Follower::ListenForSilence(std::uint64_t turn, std::uint64_t messages) {
  const auto client = client_.lock();
  if (!client) return;
  client->engine->After(silence_, [weak = weak_from_this(), turn, messages] {
    const auto self = weak.lock();
    if (!self) return;
    MutexLock guard(self->lock_);
    if (self->finished_ || self->turn_ != turn || !self->active_) return;
    const std::uint64_t now = self->messages_;
    const Ticket running = self->running_;
    guard.Unlock();
    if (now == messages) {
      running.Cancel();  // its end starts the next turn
    } else {
      self->ListenForSilence(turn, now);
    }
  });
}

void Follower::Cancel() {
  Ticket running;
  bool idle;
  {
    MutexLock guard(lock_);
    if (cancelled_ || finished_) return;
    cancelled_ = true;
    idle = !active_;
    running = running_;
  }
  if (idle) return Finish(Status::Failed(Code::kCancelled, "cancelled by the caller", "CANCELLED"));
  running.Cancel();
}

void Follower::Finish(Status status) {
  Callback<Done> done;
  {
    MutexLock guard(lock_);
    if (finished_) return;
    finished_ = true;
    done = std::move(done_);
  }
  const auto self = shared_from_this();  // the set may hold the last reference
  if (const auto client = client_.lock()) {
    MutexLock guard(client->followers_lock);
    client->followers.erase(self);
  }
  if (status.ok()) status = Status::Failed(Code::kCancelled, "the stream ended", "CANCELLED");
  done(std::move(status));
}

}  // namespace coffer::client
