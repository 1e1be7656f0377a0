#include "router/front_call.h"

#include <deque>
#include <optional>

namespace coffer::router {
namespace {

using grpc::ByteBuffer;

class UnaryCall final : public grpc::ServerUnaryReactor,
                        public ResponseSink,
                        public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(const FrontState& state, Method method, ByteBuffer* response)
      : record_(state, method), response_(response) {}

  void Begin(FrontState* state, const grpc::CallbackServerContext& context, const ByteBuffer& request) {
    self_ = shared_from_this();
    canceller_.Set(EnterAndInvoke(state, record_.method(), context, request, &permit_, self_));
  }

  void OnResponse(std::string message) override {
    MutexLock lock(mutex_);
    answer_ = std::move(message);
  }

  void OnEnd(Status status) override {
    canceller_.Ended();
    permit_.Release();  // before the caller hears of the end, who may then call again
    FinishOnce(std::move(status));
  }

  // The answer is not wanted any more, so it is not waited for.
  void OnCancel() override {
    canceller_.Cancel();
    FinishOnce(Cancelled());
  }

  void OnDone() override { self_.reset(); }

 private:
  void FinishOnce(Status status) {
    {
      MutexLock lock(mutex_);
      if (finished_) return;
      finished_ = true;
      if (IsOk(status)) *response_ = BufferOf(std::move(answer_));
    }
    record_.End(CodeOf(status));
    Finish(ToGrpc(status));
  }

  const CallRecord record_;
  Admission::Permit permit_;
  Canceller canceller_;
  std::shared_ptr<UnaryCall> self_;  // until OnDone
  Mutex mutex_;
  std::string answer_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // afterwards response_ is gRPC's
  ByteBuffer* const response_;
};

class StreamingCall final : public grpc::ServerWriteReactor<ByteBuffer>,
                            public ResponseSink,
                            public Drainable,
                            public std::enable_shared_from_this<StreamingCall> {
 public:
  StreamingCall(FrontState& state, Method method)
      : record_(state, method),
        to_drain_(state.to_drain),
        writable_bytes_(state.options.writable_bytes),
        most_bytes_(state.options.stream.reply_bytes) {}

  void Begin(FrontState* state, const grpc::CallbackServerContext& context, const ByteBuffer& request) {
    self_ = shared_from_this();
    if (MayLast(record_.method())) to_drain_.Add(self_);
    canceller_.Set(EnterAndInvoke(state, record_.method(), context, request, &permit_, self_));
  }

  // Only calls that may last are told: the others end by themselves.
  void Drain() override {
    End(Stopping());
    canceller_.Cancel();
  }

  void OnResponse(std::string message) override {
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
    to_drain_.Remove(this);
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

  const CallRecord record_;
  DrainList& to_drain_;
  const std::uint64_t writable_bytes_;
  const std::uint64_t most_bytes_;
  Admission::Permit permit_;
  Canceller canceller_;
  std::shared_ptr<StreamingCall> self_;  // until OnDone
  mutable Mutex mutex_;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t queued_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes in queue_ and of the write in flight
  std::uint64_t writing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Status> end_ ABSL_GUARDED_BY(mutex_);
  ByteBuffer buffer_;                    // of the write in flight
};

}  // namespace

grpc::ServerUnaryReactor* StartUnary(FrontState* state, Method method, grpc::CallbackServerContext* context,
                                     const ByteBuffer* request, ByteBuffer* response) {
  auto call = std::make_shared<UnaryCall>(*state, method, response);
  call->Begin(state, *context, *request);
  return call.get();
}

grpc::ServerWriteReactor<ByteBuffer>* StartServerStreaming(FrontState* state, Method method,
                                                           grpc::CallbackServerContext* context,
                                                           const ByteBuffer* request) {
  auto call = std::make_shared<StreamingCall>(*state, method);
  call->Begin(state, *context, *request);
  return call.get();
}

std::shared_ptr<CallHandle> EnterAndInvoke(FrontState* state, Method method, const grpc::CallbackServerContext& context,
                                           const ByteBuffer& request, Admission::Permit* permit,
                                           const std::shared_ptr<ResponseSink>& sink) {
  const Caller caller = CallerOf(context);
  std::chrono::steady_clock::time_point deadline;
  Status status = state->admission.Enter(caller.peer, request.Length(), permit);
  if (IsOk(status) && state->draining) status = Stopping();
  if (IsOk(status)) status = DeadlineOf(context, method, &deadline);
  if (!IsOk(status)) {
    sink->OnEnd(std::move(status));
    return nullptr;
  }
  return state->api.Invoke(NameOf(method), BytesOf(request), deadline, caller, sink);
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
