#include "router/front_call.h"

#include <deque>
#include <optional>

#include "router/front_frame.h"

namespace coffer::router {
namespace {

using grpc::ByteBuffer;

// What the calls that arrive one by one have in common: they may enter or not, and then one request is read.
class LoneCall : public link::PolledServerStream, public ResponseSink {
 public:
  LoneCall(FrontState* state, Method method, std::unique_ptr<link::IncomingCall> call)
      : link::PolledServerStream(std::move(call)), record_(*state, method), state_(*state), caller_(CallerOf(context())) {}

 protected:
  // The first thing: before anything of the request is read.
  Status Enter() {
    Status status = state_.admission.Enter(caller_.peer, 0, &permit_);
    if (IsOk(status) && state_.draining) status = Stopping();
    if (IsOk(status)) status = DeadlineOf(context(), record_.method(), &deadline_);
    if (IsOk(status)) StartRead(&request_);
    return status;
  }
  // With the request that was read, or without one.
  Status Invoke(bool read, const std::shared_ptr<ResponseSink>& self) {
    if (!read) return Unparsable(NameOf(record_.method()));
    Status status = permit_.Add(request_.Length());
    if (!IsOk(status)) return status;
    RequestBytes request = ReadRequest(record_.method(), &request_);
    request_.Clear();
    if (record_.method() == Method::kChunksGet) {
      if (auto response = state_.api.AnswerGetNow(request.bytes, deadline_)) {
        self->OnResponse(std::move(*response));
        self->OnEnd(Ok());
        return status;
      }
    }
    canceller_.Set(state_.api.Invoke(record_.method(), std::move(request), deadline_, caller_, self));
    return status;
  }

  const CallRecord record_;
  FrontState& state_;
  Admission::Permit permit_;
  Canceller canceller_;

 private:
  const Caller caller_;
  std::chrono::steady_clock::time_point deadline_;
  ByteBuffer request_;  // of the read in flight
};

class UnaryCall final : public LoneCall, public std::enable_shared_from_this<UnaryCall> {
 public:
  using LoneCall::LoneCall;

  void Begin() {
    self_ = shared_from_this();
    if (Status status = Enter(); !IsOk(status)) OnEnd(std::move(status));
  }

  void OnReadDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      if (finished_) return;
    }
    if (Status status = Invoke(ok, self_); !IsOk(status)) OnEnd(std::move(status));
  }

  void OnResponse(Response message) override {
    MutexLock lock(mutex_);
    answer_ = std::move(message);
  }

  void OnEnd(Status status) override {
    canceller_.Ended();
    permit_.Release();  // before the caller hears of the end, who may then call again
    FinishOnce(status);
  }

  // The answer is not wanted any more, so it is not waited for.
  void OnCancel() override {
    canceller_.Cancel();
    FinishOnce(Cancelled());
  }

  void OnDone() override {
    ReleaseCall();
    self_.reset();
  }

 private:
  void FinishOnce(const Status& status) {
    Response answer;
    {
      MutexLock lock(mutex_);
      if (finished_) return;
      finished_ = true;
      answer = std::move(answer_);
    }
    record_.End(CodeOf(status));
    if (!IsOk(status)) return Finish(ToGrpc(status));
    const ByteBuffer response = BufferOf(std::move(answer));
    StartWriteAndFinish(&response, grpc::Status::OK);
  }

  std::shared_ptr<UnaryCall> self_;  // until OnDone
  Mutex mutex_;
  Response answer_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

class StreamingCall final : public LoneCall, public Drainable, public std::enable_shared_from_this<StreamingCall> {
 public:
  StreamingCall(FrontState* state, Method method, std::unique_ptr<link::IncomingCall> call)
      : LoneCall(state, method, std::move(call)),
        writable_bytes_(state->options.writable_bytes),
        most_bytes_(state->options.stream.reply_bytes) {}

  void Begin() {
    self_ = shared_from_this();
    if (Status status = Enter(); !IsOk(status)) return End(std::move(status));
    if (MayLast(record_.method())) state_.to_drain.Add(self_);
  }

  void OnReadDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      if (end_) return;
    }
    if (Status status = Invoke(ok, self_); !IsOk(status)) End(std::move(status));
  }

  // Only calls that may last are told: the others end by themselves.
  void Drain() override {
    End(Stopping());
    canceller_.Cancel();
  }

  void OnResponse(Response message) override {
    MutexLock lock(mutex_);
    if (end_) return;
    if (queued_ + message.size() > most_bytes_) {
      // All streaming methods read: what is dropped can be asked for again.
      end_ = TooManyBytes(most_bytes_);
      lock.Unlock();
      canceller_.Cancel();
      return Proceed();
    }
    queued_ += message.size();
    queue_.push_back(std::move(message));
    lock.Unlock();
    Proceed();
  }

  void OnEnd(Status status) override {
    canceller_.Ended();
    End(std::move(status));
  }

  bool Writable() const override {
    MutexLock lock(mutex_);
    return end_ || queued_ < writable_bytes_;
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      queued_ -= writing_bytes_;
      if (!ok) DropQueue();
    }
    if (!ok) canceller_.Cancel();
    if (!ok) return End(Cancelled());
    Proceed();
  }

  void OnCancel() override {
    canceller_.Cancel();
    {
      MutexLock lock(mutex_);
      DropQueue();
    }
    End(Cancelled());
  }

  void OnDone() override {
    state_.to_drain.Remove(this);
    ReleaseCall();
    self_.reset();
  }

 private:
  void End(Status status) {
    {
      MutexLock lock(mutex_);
      if (!end_) end_ = std::move(status);
    }
    Proceed();
  }

  void DropQueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    queue_.clear();
    queued_ = writing_ ? writing_bytes_ : 0;
  }

  // Writes what waits, or finishes when there is nothing more to write.
  void Proceed() {
    MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      writing_ = true;
      writing_bytes_ = queue_.front().size();
      buffer_ = BufferOf(std::move(queue_.front()));
      queue_.pop_front();
      lock.Unlock();
      return StartWrite(&buffer_);
    }
    if (!end_) return;
    finished_ = true;
    const Status status = *end_;
    lock.Unlock();
    record_.End(CodeOf(status));
    Finish(ToGrpc(status));
  }

  const std::uint64_t writable_bytes_;
  const std::uint64_t most_bytes_;
  std::shared_ptr<StreamingCall> self_;  // until OnDone
  mutable Mutex mutex_;
  std::deque<Response> queue_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t queued_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes in queue_ and of the write in flight
  std::uint64_t writing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Status> end_ ABSL_GUARDED_BY(mutex_);
  ByteBuffer buffer_;                    // of the write in flight
};

// Deletes itself.
class RefusedCall final : public link::PolledServerStream {
 public:
  explicit RefusedCall(std::unique_ptr<link::IncomingCall> call) : link::PolledServerStream(std::move(call)) {}
  void End(const Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

void StartUnary(FrontState* state, Method method, std::unique_ptr<link::IncomingCall> call) {
  std::make_shared<UnaryCall>(state, method, std::move(call))->Begin();
}

void StartServerStreaming(FrontState* state, Method method, std::unique_ptr<link::IncomingCall> call) {
  std::make_shared<StreamingCall>(state, method, std::move(call))->Begin();
}

void Refuse(std::unique_ptr<link::IncomingCall> call, const Status& status) {
  (new RefusedCall(std::move(call)))->End(status);
}

void Canceller::Set(std::shared_ptr<CallHandle> handle) {
  {
    MutexLock lock(mutex_);
    if (ended_ || !handle) return;
    handle_ = handle;
    if (!cancelled_) return;
  }
  handle->Cancel();
}

void Canceller::Cancel() {
  std::shared_ptr<CallHandle> handle;
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    handle = handle_;
  }
  if (handle) handle->Cancel();
}

void Canceller::Ended() {
  std::shared_ptr<CallHandle> last;  // destroyed outside the lock
  MutexLock lock(mutex_);
  ended_ = true;
  last.swap(handle_);
}

}  // namespace coffer::router
