#include "client/engine.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "client/rpc_status.h"
#include "coffer/v1/stream.pb.h"

namespace coffer::client {
namespace {

// As patient with routers as with attempts.
RouterPolicy PolicyFor(const RetryPolicy& retry) {
  RouterPolicy policy;
  policy.patience = retry.patience;
  policy.penalty = retry.patience * 3 / 2;
  policy.dead_after = retry.patience * 4;
  return policy;
}

std::string Seconds(Duration d) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

std::uint64_t FreshSeed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

}  // namespace

// A job under way.
struct Engine::Running {
  Job job;
  ZoneStages stages;
  Instant started;
  Instant deadline;
  std::uint64_t bytes;                  // it was admitted with
  std::optional<RetryMachine> machine;  // of the present stage
  bool ever_sent = false;
  bool cancelled = false;
  std::optional<std::size_t> last_router;
  Status last_error;  // of the attempt that failed last
  struct Try {
    Attempt attempt;
    std::uint64_t call;
    Responses responses;
  };
  absl::InlinedVector<Try, 1> tries;  // open attempts
  Instant timer = kNever;             // in timers_, unless never
};

Engine::Engine(EngineOptions options)
    : options_(std::move(options)),
      choice_(options_.transport.routers.size(), PolicyFor(options_.retry)),
      states_(options_.transport.routers.size()),
      seeds_(options_.seed != 0 ? options_.seed : FreshSeed()) {
  transport_ = std::make_unique<Transport>(options_.transport, &lock_, static_cast<TransportEvents*>(this));
  driver_ = std::thread([this] { Drive(); });
}

Engine::~Engine() {
  Close();
}

void Engine::Close() {
  {
    MutexLock guard(lock_);
    if (stopping_) return;
    stopping_ = true;
    const Instant now = SteadyNow();
    std::vector<JobId> ids;
    for (const auto& [id, job] : jobs_) ids.push_back(id);
    for (JobId id : ids) {
      Running& job = *jobs_.at(id);
      job.cancelled = true;
      Obey(id, job, job.machine->OnCancel(now), now);
    }
    transport_->Wake();
  }
  Flush();
  driver_.join();
  transport_.reset();
  MutexLock guard(lock_);
  while (flushing_ || !deferred_.empty()) flushed_.Wait(lock_);
}

Engine::JobId Engine::Start(Job job) {
  JobId id = 0;
  {
    MutexLock guard(lock_);
    const std::uint64_t bytes = job.request.size() + (job.value ? job.value->size() : 0);
    const bool full = bytes_ > 0 && bytes_ + bytes > options_.max_in_flight_bytes;
    if (full || stopping_) {
      Status status{full ? Code::kResourceExhausted : Code::kCancelled,
                    full ? RetryClass::kRetryLater : RetryClass::kFailed,
                    full ? "the client has " + std::to_string(bytes_) + " bytes of requests under way; its limit is " +
                               std::to_string(options_.max_in_flight_bytes) + " bytes"
                         : "the client is being closed",
                    full ? "CLIENT_QUEUE_FULL" : "CLIENT_CLOSED",
                    {},
                    {}};
      deferred_.push_back([done = std::move(job.on_end), status] { done(status, {}); });
    } else {
      id = next_id_++;
      const Instant now = SteadyNow();
      const Duration timeout = job.timeout;
      bytes_ += bytes;
      ZoneStages stages(job.zone, job.effect);
      auto running = std::make_unique<Running>(Running{std::move(job), std::move(stages), now, now + timeout, bytes});
      Running& r = *running;
      jobs_.emplace(id, std::move(running));
      Begin(id, r, now);
    }
  }
  Flush();
  return id;
}

void Engine::Cancel(JobId id) {
  {
    MutexLock guard(lock_);
    const auto it = jobs_.find(id);
    if (it == jobs_.end()) return;
    it->second->cancelled = true;
    const Instant now = SteadyNow();
    Obey(id, *it->second, it->second->machine->OnCancel(now), now);
  }
  Flush();
}

void Engine::TellZone(const std::string& name, const std::string& id) {
  MutexLock guard(lock_);
  id.empty() ? zones_.Forget(name, zones_.Find(name)) : zones_.Remember(name, id);
}

void Engine::After(Duration delay, std::function<void()> what) {
  MutexLock guard(lock_);
  if (stopping_) return;
  const Instant at = SteadyNow() + delay;
  later_.emplace(at, std::move(what));
  if (at < sleeping_until_) transport_->Wake();
}

std::uint64_t Engine::in_flight_bytes() const {
  MutexLock guard(lock_);
  return bytes_;
}

void Engine::Begin(JobId id, Running& job, Instant now) {
  job.stages.Begin(zones_, &job.job.request);
  job.machine.emplace(options_.retry, job.stages.effect(), job.deadline, seeds_.Next(), &budget_);
  Obey(id, job, job.machine->Start(now), now);
}

void Engine::Obey(JobId id, Running& job, const RetryOutput& output, Instant now) {
  if (output.launch != 0) Launch(id, job, output, now);
  if (output.finished) return End(id, job, output, now);
  Schedule(id, job);
}

void Engine::Launch(JobId id, Running& job, const RetryOutput& output, Instant now) {
  const std::size_t router = Choose(now, job, output.elsewhere);
  const std::uint64_t call = next_id_++;
  job.last_router = router;
  job.tries.push_back({output.launch, call, {}});
  calls_.emplace(call, Sent{id, output.launch, router, now});
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(job.deadline - now).count();
  const auto deadline_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, UINT32_MAX));
  if (job.stages.resolving()) return transport_->Send(router, call, kResolveMethod, job.stages.ResolveRequest(), nullptr, deadline_ms, false);
  transport_->Send(router, call, job.job.method, job.job.request, job.job.value, deadline_ms, job.job.bulk);
}

std::vector<OpenTry> Engine::OpenTries(const Running& job) const {
  std::vector<OpenTry> open;
  for (const Running::Try& t : job.tries) {
    if (const auto it = calls_.find(t.call); it != calls_.end()) open.push_back({it->second.router, it->second.since, job.job.bulk});
  }
  return open;
}

std::size_t Engine::Choose(Instant now, const Running& job, bool elsewhere) {
  for (std::size_t r = 0; r < states_.size(); ++r) states_[r] = transport_->state(r);
  return choice_.Choose(now, states_, OpenTries(job), job.last_router, elsewhere);
}

void Engine::Schedule(JobId id, Running& job) {
  Instant next = job.machine->NextDeadline();
  if (options_.connect_patience > Duration::zero() && !job.ever_sent) {
    next = std::min(next, job.started + options_.connect_patience);
  }
  if (job.timer == next) return;
  StopTimer(id, job);
  job.timer = next;
  if (next == kNever) return;
  timers_.emplace(next, id);
  if (next < sleeping_until_) transport_->Wake();
}

void Engine::StopTimer(JobId id, Running& job) {
  if (const Instant at = std::exchange(job.timer, kNever); at != kNever) timers_.erase({at, id});
}

bool Engine::GivenUpConnecting(Instant now, const Running& job) const {
  return options_.connect_patience > Duration::zero() && !job.ever_sent &&
         now - job.started >= options_.connect_patience;
}

std::string Engine::Unreachable() const {
  std::string out = "no router could be reached";
  for (std::size_t r = 0; r < transport_->size(); ++r) {
    const std::string& why = transport_->last_error(r);
    out += r == 0 ? ": " : "; ";
    out += transport_->address(r) + (why.empty() ? " did not answer in time" : " (" + why + ")");
  }
  return out;
}

bool Engine::NamesNoRouter() const {
  for (std::size_t r = 0; r < transport_->size(); ++r) {
    if (!transport_->no_router(r)) return false;
  }
  return true;
}

Responses Engine::CloseTries(Running& job, Attempt answer) {
  Responses responses;
  for (Running::Try& t : std::exchange(job.tries, {})) {
    const auto it = calls_.find(t.call);
    if (t.attempt == answer) {
      responses = std::move(t.responses);
    } else if (it != calls_.end()) {
      transport_->Drop(it->second.router, t.call);
    }
    if (it != calls_.end()) calls_.erase(it);
  }
  return responses;
}

Status Engine::Explain(const Running& job, const RetryOutput& output) const {
  Status status = job.last_error;
  const std::string took = Seconds(job.deadline - job.started);
  if (job.cancelled && output.answer == 0) {
    status = Status::Failed(Code::kCancelled, "cancelled by the caller", "CANCELLED");
  } else if (output.timed_out && status.ok()) {
    status = job.ever_sent ? Status::Failed(Code::kDeadlineExceeded, "no answer within " + took)
                           : Status::Failed(Code::kUnavailable, Unreachable(), "UNREACHABLE");
  } else if (output.timed_out) {
    status.message = "gave up after " + took + "; the last answer was: " + status.message;
    if (output.retry_class == RetryClass::kOutcomeUnknown) status.code = Code::kDeadlineExceeded;
  } else if (status.ok()) {
    status = Status::Failed(Code::kUnavailable, Unreachable(), "UNREACHABLE");
  }
  return status;
}

void Engine::End(JobId id, Running& job, const RetryOutput& output, Instant now) {
  Responses responses = CloseTries(job, output.answer);
  Status status;
  if (output.retry_class != RetryClass::kOk) status = Explain(job, output);
  ZoneStages::End end{output.retry_class, output.timed_out || job.cancelled, std::move(status), &responses};
  if (job.stages.Next(&end, &zones_)) {
    job.last_error = {};
    return Begin(id, job, now);
  }
  if (end.retry_class != RetryClass::kOk) end.error.retry_class = end.retry_class;
  StopTimer(id, job);
  bytes_ -= job.bytes;
  deferred_.push_back([done = std::move(job.job.on_end), status = std::move(end.error),
                       responses = std::move(responses)]() mutable { done(std::move(status), std::move(responses)); });
  jobs_.erase(id);
}

void Engine::OnSent(std::uint64_t call) {
  lock_.AssertHeld();
  const auto it = calls_.find(call);
  if (it == calls_.end()) return;
  Running& job = *jobs_.at(it->second.job);
  job.ever_sent = true;
  job.machine->OnSent(it->second.since, it->second.attempt);
}

void Engine::OnHeard(std::size_t router) {
  lock_.AssertHeld();
  choice_.OnHeard(router, SteadyNow());
}

void Engine::OnReply(std::size_t, v1::Reply&& reply) {
  lock_.AssertHeld();
  const Instant now = SteadyNow();
  const auto it = calls_.find(reply.id());
  if (it == calls_.end()) return;
  const Sent sent = it->second;
  Running& job = *jobs_.at(sent.job);
  if (reply.has_response()) {
    if (job.job.on_message) {
      deferred_.push_back([handler = job.job.on_message, message = std::move(*reply.mutable_response())]() mutable {
        handler(std::move(message));
      });
    } else {
      for (Running::Try& t : job.tries) {
        if (t.call == reply.id()) t.responses.push_back(std::move(*reply.mutable_response()));
      }
    }
  }
  if (!reply.has_status()) return;
  if (reply.status().code() == 0) return Obey(sent.job, job, job.machine->OnSuccess(now, sent.attempt), now);
  Status status = FromRpc(reply.status());
  ReplyFacts facts;
  facts.code = status.code;
  if (status.retry_after) facts.retry_after = *status.retry_after;
  facts.refused = RefusedBeforeWriting(reply.status());
  facts.settles = job.job.settles && job.job.settles(status);
  Fail(reply.id(), status, Judge(job.stages.effect(), facts));
}

void Engine::OnLost(std::size_t router, const std::vector<LostCall>& lost, const std::string& why) {
  lock_.AssertHeld();
  choice_.OnLost(router, SteadyNow());
  ReplyFacts facts;
  // A wrong address does not become a right one: nobody waits for that.
  facts.code = NamesNoRouter() ? Code::kUnimplemented : Code::kUnavailable;
  for (const LostCall& call : lost) {
    const auto it = calls_.find(call.id);
    if (it == calls_.end()) continue;
    facts.refused = !call.sent;
    const Status status = Status::Failed(
        Code::kUnavailable,
        call.sent ? "the connection to " + transport_->address(router) + " was lost: " + why : Unreachable(),
        call.sent ? "CONNECTION_LOST" : "UNREACHABLE");
    Fail(call.id, status, Judge(jobs_.at(it->second.job)->stages.effect(), facts));
  }
}

void Engine::Fail(std::uint64_t call, const Status& why, const AttemptFailure& failure) {
  const Sent sent = calls_.at(call);
  Running& job = *jobs_.at(sent.job);
  job.last_error = why;
  calls_.erase(call);
  job.tries.erase(
      std::find_if(job.tries.begin(), job.tries.end(), [&](const Running::Try& t) { return t.call == call; }));
  const Instant now = SteadyNow();
  Obey(sent.job, job, job.machine->OnFailure(now, sent.attempt, failure), now);
}

void Engine::Flush() {
  MutexLock guard(lock_);
  if (flushing_) return;  // the thread that flushes takes ours along
  flushing_ = true;
  while (!deferred_.empty()) {
    std::vector<Deferred> batch;
    batch.swap(deferred_);
    guard.Unlock();
    for (Deferred& callback : batch) callback();
    batch.clear();
    guard.Lock();
  }
  flushing_ = false;
  flushed_.NotifyAll();
}

void Engine::Tick(Instant now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const JobId id = timers_.begin()->second;
    Running& job = *jobs_.at(id);
    StopTimer(id, job);
    // A job that must not be sent twice may take as long as it likes.
    if (job.stages.effect() != Effect::kOnce) {
      for (const std::size_t router : choice_.Judge(now, OpenTries(job))) transport_->Reconnect(router);
    }
    if (GivenUpConnecting(now, job)) {
      RetryOutput output = job.machine->OnCancel(now);
      output.retry_class = RetryClass::kRetryLater;
      job.last_error = Status::Failed(Code::kUnavailable, Unreachable(), "UNREACHABLE");
      Obey(id, job, output, now);
    } else {
      Obey(id, job, job.machine->OnTick(now), now);
    }
  }
  while (!later_.empty() && later_.begin()->first <= now) {
    deferred_.push_back(std::move(later_.begin()->second));
    later_.erase(later_.begin());
  }
}

void Engine::Drive() {
  for (;;) {
    Instant next = kNever;
    {
      MutexLock guard(lock_);
      if (stopping_) return;
      Tick(SteadyNow());
      if (!timers_.empty()) next = timers_.begin()->first;
      if (!later_.empty()) next = std::min(next, later_.begin()->first);
      sleeping_until_ = next;
    }
    Flush();
    transport_->WaitUntil(next);
  }
}

}  // namespace coffer::client
