#include "router/front_stream.h"

#include <vector>

namespace coffer::router {
namespace {

// So that the refusals of one frame can't fill the memory.
constexpr std::size_t kMaxCallsPerFrame = 65'536;
// Answers that leave although more may join them: so that the caller is at work on some while the router is on others.
constexpr std::size_t kRepliesAtOnce = 32;

}  // namespace

// One call of a stream: keeps the one answer of a unary method until its end, so that both travel in one reply.
class StreamSession::Call final : public ResponseSink {
 public:
  Call(std::shared_ptr<StreamSession> session, std::uint64_t id, std::size_t request_bytes, Method method)
      : id(id), request_bytes(request_bytes), record(session->state_, method), session_(std::move(session)) {}

  void OnResponse(Response message) override {
    if (IsStreaming(record.method())) return session_->Reply(this, std::move(message), nullptr);
    answer_ = std::move(message);
  }

  void OnEnd(Status status) override {
    canceller.Ended();
    record.End(CodeOf(status));
    permit.Release();
    if (!IsOk(status)) answer_.reset();
    session_->Reply(this, std::move(answer_), &status);
  }

  bool Writable() const override { return session_->Writable(); }

  const std::uint64_t id;
  const std::size_t request_bytes;
  const CallRecord record;
  Canceller canceller;
  Admission::Permit permit;
  bool dropped = false;  // guarded by the session's mutex_

 private:
  const std::shared_ptr<StreamSession> session_;
  std::optional<Response> answer_;
};

void StreamSession::Start(FrontState* state, std::unique_ptr<link::IncomingCall> call) {
  auto session = std::make_shared<StreamSession>(state, std::move(call));
  session->self_ = session;
  state->streams += 1;
  state->to_drain.Add(session);
  Status status = state->admission.Enter(session->caller_.peer, 0, &session->permit_);
  if (IsOk(status) && state->draining) status = Stopping();
  if (!IsOk(status)) {
    MutexLock lock(session->mutex_);
    session->broken_ = ToGrpc(status);
  }
  session->Proceed();
}

void StreamSession::Drain() {
  const Status stopping = Stopping();
  std::vector<std::shared_ptr<Call>> lasting;
  {
    MutexLock lock(mutex_);
    draining_ = true;
    for (const auto& [id, call] : calls_) {
      if (MayLast(call->record.method())) lasting.push_back(call);
    }
    for (const auto& call : lasting) {
      Enqueue(EncodeReply(call->id, std::nullopt, &stopping));
      call->dropped = true;
      calls_.erase(call->id);
    }
  }
  for (const auto& call : lasting) call->canceller.Cancel();
  Proceed();
}

void StreamSession::OnReadDone(bool ok) {
  std::vector<StreamCall> calls;
  const bool valid = !ok || DecodeCalls(&read_buffer_, kMaxCallsPerFrame, &calls);
  read_buffer_.Clear();
  if (!valid) {
    Break(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "a frame on the stream is no coffer.v1.OpenRequest of at most " +
                                                               std::to_string(kMaxCallsPerFrame) + " calls"));
  } else {
    const AnswerBatch batch;
    for (StreamCall& call : calls) Accept(std::move(call));
  }
  {
    MutexLock lock(mutex_);
    reading_ = false;
    if (!ok) read_closed_ = true;
  }
  Proceed();
}

void StreamSession::Accept(StreamCall call) {
  if (call.cancel) return CancelCall(call.id);
  const auto method = FindMethod(call.method);
  const std::size_t bytes = call.request.size();
  if (!call.known || !method) {
    const Status status = UnknownMethod(call.method);
    MutexLock lock(mutex_);
    return Enqueue(EncodeReply(call.id, std::nullopt, &status));
  }
  if (*method == Method::kChunksGet && GetAnsweredNow(call)) return;
  auto sink = std::make_shared<Call>(shared_from_this(), call.id, bytes, *method);
  const Status status = Open(call, sink, &sink->permit);
  if (!IsOk(status)) {
    sink->record.End(CodeOf(status));
    MutexLock lock(mutex_);
    return Enqueue(EncodeReply(call.id, std::nullopt, &status));
  }
  {
    MutexLock lock(mutex_);
    if (sink->dropped) return;
  }
  const auto deadline = LessMargin(std::chrono::milliseconds(call.deadline_ms));
  sink->canceller.Set(state_.api.Invoke(*method, std::move(call.request), deadline, caller_, sink));
}

// It holds no place among the calls under way, because it never is: its bytes count where all answers count.
bool StreamSession::GetAnsweredNow(const StreamCall& call) {
  if (call.deadline_ms == 0) return false;
  {
    MutexLock lock(mutex_);
    if (draining_ || broken_ || finished_ || calls_.contains(call.id)) return false;
  }
  const CallRecord record(state_, Method::kChunksGet);
  auto response = state_.api.AnswerGetNow(call.request.bytes, LessMargin(std::chrono::milliseconds(call.deadline_ms)));
  if (!response) return false;
  const std::uint64_t most = state_.options.stream.reply_bytes;
  Status status;
  bool many = false;
  {
    MutexLock lock(mutex_);
    if (reply_bytes_ + response->size() > most) status = TooManyBytes(most);
    if (!IsOk(status)) response.reset();
    Enqueue(EncodeReply(call.id, std::move(response), &status));
    many = replies_.size() >= kRepliesAtOnce;
  }
  record.End(CodeOf(status));
  AnswerBatch::Hold(shared_from_this());  // there is one: OnReadDone's
  if (many) Proceed();
  return true;
}

Status StreamSession::Open(const StreamCall& call, const std::shared_ptr<Call>& sink, Admission::Permit* permit) {
  const StreamBounds& bounds = state_.options.stream;
  if (call.deadline_ms == 0) return DeadlineRequired();
  Status status = state_.admission.Enter(caller_.peer, sink->request_bytes, permit);
  if (!IsOk(status)) return status;
  MutexLock lock(mutex_);
  if (draining_) return Stopping();
  if (open_ >= bounds.calls) return TooManyCalls(bounds.calls);
  if (request_bytes_ + sink->request_bytes > bounds.request_bytes) return TooManyBytes(bounds.request_bytes);
  if (broken_ || finished_) return Cancelled();
  if (!calls_.emplace(call.id, sink).second) {
    lock.Unlock();
    const std::string what = "call id " + std::to_string(call.id) + " is used by two open calls of the stream";
    Break(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, what));
    return Cancelled();
  }
  open_ += 1;
  request_bytes_ += sink->request_bytes;
  return Ok();
}

void StreamSession::CancelCall(std::uint64_t id) {
  std::shared_ptr<Call> call;
  {
    MutexLock lock(mutex_);
    const auto found = calls_.find(id);
    if (found == calls_.end()) return;
    call = std::move(found->second);
    call->dropped = true;
    calls_.erase(found);
  }
  call->canceller.Cancel();
}

void StreamSession::Reply(Call* call, std::optional<Response> response, const Status* status) {
  bool too_much = false;
  {
    MutexLock lock(mutex_);
    if (status) {
      open_ -= 1;
      request_bytes_ -= call->request_bytes;
    }
    if (!call->dropped) {
      // Memory stays bounded though the caller does not read. Only an answer that can be asked for again may be dropped: of
      // a write nothing but the truth may be said, and those answers are small.
      const std::uint64_t most = state_.options.stream.reply_bytes;
      too_much = response && IsReading(call->record.method()) && reply_bytes_ + response->size() > most;
      const Status refusal = too_much ? TooManyBytes(most) : Status();
      if (too_much) response.reset();
      Enqueue(EncodeReply(call->id, std::move(response), too_much ? &refusal : status));
      if (too_much || status) {
        call->dropped = true;
        calls_.erase(call->id);
      }
    }
  }
  if (too_much) call->canceller.Cancel();
  if (!AnswerBatch::Hold(shared_from_this())) Proceed();
}

void StreamSession::Enqueue(EncodedReply reply) {
  if (broken_ || finished_) return;
  reply_bytes_ += reply.bytes();
  replies_.push_back(std::move(reply));
}

bool StreamSession::Writable() const {
  MutexLock lock(mutex_);
  return broken_ || finished_ || reply_bytes_ < state_.options.stream.reply_bytes / 4;
}

void StreamSession::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    reply_bytes_ -= writing_bytes_;
    writing_bytes_ = 0;
  }
  if (!ok) return Break(grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone"));
  Proceed();
}

void StreamSession::OnCancel() { Break(grpc::Status(grpc::StatusCode::CANCELLED, "the caller cancelled the stream")); }

void StreamSession::Break(grpc::Status why) {
  std::unordered_map<std::uint64_t, std::shared_ptr<Call>> calls;
  {
    MutexLock lock(mutex_);
    if (!broken_) broken_ = std::move(why);
    calls.swap(calls_);
    for (auto& [id, call] : calls) call->dropped = true;
    replies_.clear();
    reply_bytes_ = writing_bytes_;
  }
  for (auto& [id, call] : calls) call->canceller.Cancel();
  Proceed();
}

// Only one thread at a time starts operations; the others leave it to that one. None is asked for after Finish; a read asked for before may
// begin after it (Poller::Pace).
void StreamSession::Proceed() {
  MutexLock lock(mutex_);
  while (!starting_ && !finished_) {
    if (!writing_ && (broken_ || ((read_closed_ || draining_) && Idle()))) {
      finished_ = true;
      const grpc::Status status = broken_ ? *broken_ : read_closed_ ? grpc::Status::OK : ToGrpc(Stopping());
      lock.Unlock();
      return Finish(status);
    }
    const bool write = !writing_ && !replies_.empty();
    // A caller who does not read his answers gets to ask nothing more.
    const bool read = !reading_ && !read_closed_ && !broken_ && reply_bytes_ < state_.options.stream.reply_bytes;
    if (!write && !read) return;
    if (write) write_buffer_ = TakeFrame(&replies_, state_.options.stream.frame_bytes, &writing_bytes_);
    writing_ |= write;
    reading_ |= read;
    starting_ = true;
    lock.Unlock();
    if (write) StartWrite(&write_buffer_);
    if (read) StartRead(&read_buffer_);
    lock.Lock();
    starting_ = false;
  }
}

void StreamSession::OnDone() {
  state_.to_drain.Remove(this);
  state_.streams -= 1;
  ReleaseCall();
  self_.reset();
}

}  // namespace coffer::router
