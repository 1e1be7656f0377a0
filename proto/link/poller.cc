#include "proto/link/poller.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <utility>

namespace coffer::link {
namespace {

// Then whoever polls looks after its other work.
constexpr int kEventsAtOnce = 256;
// Reads in a row that had to wait, after which a stream's next one can begin later.
constexpr int kWaitedOften = 4;

// Whose event this thread runs.
thread_local Poller* running = nullptr;

gpr_timespec ToGpr(std::chrono::steady_clock::time_point until) {
  const auto left = std::clamp<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now(),
                                                         std::chrono::nanoseconds(0), std::chrono::hours(1));
  if (left.count() == 0) return gpr_inf_past(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

}  // namespace

grpc::CompletionQueue::NextStatus Poller::Next(void** tag, bool* ok, gpr_timespec deadline) {
  const Unjudged in_grpc;  // it also ends what was begun on another thread
  return queue_->AsyncNext(tag, ok, deadline);
}

void Poller::Pace::Start(std::function<void()> begin) {
  const bool in_event = running && running == poller_;
  if (in_event && waited_ >= kWaitedOften) return running->due_.push_back({this, std::move(begin)});
  begun_ = in_event ? running->round_ : 0;
  begin();
}

void Poller::Pace::Ended() {
  poller_ = running;
  waited_ = begun_ == running->round_ ? 0 : std::min(waited_ + 1, kWaitedOften);
}

bool Poller::BeginReads() {
  const bool any = !due_.empty();
  for (Due& due : std::exchange(due_, {})) {
    due.pace->begun_ = round_;
    due.begin();
  }
  return any;
}

bool Poller::Poll(std::chrono::steady_clock::time_point until) {
  const gpr_timespec at_once = gpr_inf_past(GPR_CLOCK_MONOTONIC);
  ++round_;
  bool wait = !BeginReads();  // what they find there already is of this round
  for (int i = 0; i < kEventsAtOnce; ++i) {
    void* tag = nullptr;
    bool ok = false;
    if (wait) ++round_;
    const auto next = Next(&tag, &ok, wait ? ToGpr(until) : at_once);
    if (next == grpc::CompletionQueue::SHUTDOWN) return false;
    if (next == grpc::CompletionQueue::TIMEOUT) {
      if (wait || i > 0) return true;
      wait = true;
      continue;
    }
    TakeOver(tag);
    running = this;
    static_cast<Event*>(tag)->Run(ok);
    running = nullptr;
    wait = false;
  }
  return true;
}

void Poller::Wake() {
  if (waking_) return;
  MutexLock lock(mutex_);
  if (shut_ || waking_.exchange(true)) return;
  // A moment that is over: gRPC rounds the present one up, to a millisecond from now.
  Event* const woken = &woken_;
  HandOver(woken);
  alarm_.Set(queue_.get(), gpr_inf_past(GPR_CLOCK_MONOTONIC), woken);
}

void Poller::Woken::Run(bool) {
  poller->waking_ = false;
}

void Poller::Leave() {
  MutexLock lock(mutex_);
  if (users_.fetch_sub(1) == 1) unused_.NotifyAll();
}

void Poller::AwaitNoUsers() {
  MutexLock lock(mutex_);
  while (users_ != 0) unused_.Wait(mutex_);
}

void Poller::Shutdown() {
  MutexLock lock(mutex_);
  shut_ = true;
  queue_->Shutdown();
}

Ticker::Ticker(Poller* poller, std::chrono::milliseconds every, std::function<void()> run)
    : poller_(poller), every_(every), run_(std::move(run)) {
  MutexLock lock(mutex_);
  user_.emplace(poller_);
  Set();
}

void Ticker::Set() {
  const auto wait = gpr_time_from_millis(every_.count(), GPR_TIMESPAN);
  alarm_.Set(poller_->queue(), gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), wait), static_cast<Poller::Event*>(this));
}

void Ticker::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  alarm_.Cancel();
}

void Ticker::Run(bool) {
  {
    MutexLock lock(mutex_);
    if (stopped_) return user_.reset();
  }
  run_();
  MutexLock lock(mutex_);
  stopped_ ? user_.reset() : Set();
}

// ---- The accepting side

PolledServerStream::PolledServerStream(std::unique_ptr<IncomingCall> call) : call_(std::move(call)) {
  call_->on_end = [this] {
    if (call_->context.IsCancelled()) OnCancel();
    Drop();
  };
}

void PolledServerStream::StartRead(grpc::ByteBuffer* into) {
  ++pending_;
  pace_.Start([this, into] { Poller::Begin(&read_, [&stream = call_->stream, into](void* tag) { stream.Read(into, tag); }); });
}

void PolledServerStream::ReadEnded(bool ok) {
  pace_.Ended();
  OnReadDone(ok);
}

void PolledServerStream::StartWrite(const grpc::ByteBuffer* frame) {
  ++pending_;
  Poller::Begin(&write_, [&stream = call_->stream, frame](void* tag) { stream.Write(*frame, tag); });
}

void PolledServerStream::StartWriteAndFinish(const grpc::ByteBuffer* frame, const grpc::Status& status) {
  Poller::Begin(&finish_, [&stream = call_->stream, frame, &status](void* tag) {
    stream.WriteAndFinish(*frame, grpc::WriteOptions(), status, tag);
  });
}

void PolledServerStream::Finish(const grpc::Status& status) {
  Poller::Begin(&finish_, [&stream = call_->stream, &status](void* tag) { stream.Finish(status, tag); });
}

void PolledServerStream::Step::Run(bool ok) {
  (stream->*run)(ok);
  stream->Drop();
}

void PolledServerStream::Drop() {
  if (--pending_ == 0) OnDone();
}

// ---- The dialling side

void PolledClientStream::StartCall(Stream* stream) {
  stream_ = stream;
  const Unjudged in_grpc;
  stream->StartCall(nullptr);  // corked: no event of its own
}

void PolledClientStream::StartRead(grpc::ByteBuffer* into) {
  ++pending_;
  pace_.Start([this, into] { Poller::Begin(&read_, [stream = stream_, into](void* tag) { stream->Read(into, tag); }); });
}

void PolledClientStream::StartWrite(const grpc::ByteBuffer& frame) {
  ++pending_;
  Poller::Begin(&write_, [stream = stream_, &frame](void* tag) { stream->Write(frame, tag); });
}

void PolledClientStream::Read(bool ok) {
  pace_.Ended();
  OnReadDone(ok);
  if (ok) return;
  Poller::Begin(&finish_, [this](void* tag) { stream_->Finish(&status_, tag); });
}

void PolledClientStream::Step::Run(bool ok) {
  (stream->*run)(ok);
  if (--stream->pending_ == 0) stream->OnDone(stream->status_);
}

// ---- Calls

void CallTaker::Ask() {
  next_ = std::make_unique<IncomingCall>(poller_);
  Poller::Begin(&next_->end, [this](void* tag) { next_->context.AsyncNotifyWhenDone(tag); });
  request_(next_.get(), this);
}

void CallTaker::Run(bool ok) {
  auto call = std::move(next_);
  // A call that never began has no end.
  if (ok) take_(std::move(call));
}

}  // namespace coffer::link
