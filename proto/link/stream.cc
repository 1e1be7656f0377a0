#include "proto/link/stream.h"

#include <grpcpp/generic/generic_stub.h>

#include <atomic>

#include "proto/mutex.h"

namespace coffer::link {

const char kLinkMethod[] = "/coffer.internal.v1.PeerService/Link";

namespace {

using grpc::ByteBuffer;

std::optional<CertificateNames> NamesIn(const grpc::AuthContext* auth) {
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return std::nullopt;
  const auto pem = auth->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.empty()) return std::nullopt;
  return ReadCertificateNames(std::string(pem[0].data(), pem[0].size()));
}

// ---- Dialled

class Dialled final : public DialledStream, public PolledClientStream, public std::enable_shared_from_this<Dialled> {
 public:
  Dialled(std::shared_ptr<grpc::Channel> channel, Poller* poller, std::function<void(std::shared_ptr<void>)> bury)
      : user_(poller), queue_(poller->queue()), bury_(std::move(bury)), call_(std::make_shared<Call>()) {
    call_->channel = std::move(channel);
  }

  void Start(std::shared_ptr<StreamEvents> events, ByteBuffer first) override {
    self_ = shared_from_this();
    events_ = std::move(events);
    target_.store(events_.get(), std::memory_order_release);
    MutexLock lock(mutex_);
    grpc::TemplatedGenericStub<ByteBuffer, ByteBuffer> stub(call_->channel);
    call_->context.set_initial_metadata_corked(true);
    call_->stream = stub.PrepareCall(&call_->context, kLinkMethod, queue_);
    started_ = true;
    out_ = std::move(first);
    PolledClientStream::StartCall(call_->stream.get());
    StartWrite(out_);
    StartRead(&in_);
    if (ending_) call_->context.TryCancel();
  }

  void Write(ByteBuffer frame) override {
    MutexLock lock(mutex_);
    if (!started_ || ending_ || reading_over_) return;
    out_ = std::move(frame);
    StartWrite(out_);
  }

  void WriteLast(ByteBuffer) override { End("ended"); }

  void End(const std::string& why) override {
    MutexLock lock(mutex_);
    if (ending_) return;
    ending_ = true;
    why_ = why;
    if (started_ && call_) call_->context.TryCancel();
  }

  bool Connected() const override {
    MutexLock lock(mutex_);
    return call_ && call_->channel->GetState(false) == GRPC_CHANNEL_READY;
  }

  std::optional<CertificateNames> PeerCertificate() const override {
    MutexLock lock(mutex_);
    if (!call_) return std::nullopt;
    return NamesIn(call_->context.auth_context().get());
  }

  std::string PeerAddress() const override {
    MutexLock lock(mutex_);
    return call_ ? call_->context.peer() : std::string();
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      target_.load(std::memory_order_acquire)->OnFrame(&in_);
      in_.Clear();
      StartRead(&in_);
      return;
    }
    MutexLock lock(mutex_);
    reading_over_ = true;
  }

  void OnWriteDone(bool ok) override {
    if (ok) target_.load(std::memory_order_acquire)->OnWritten();
    // A failed write means that the call is over: the read fails too, with the status.
  }

  void OnDone(const grpc::Status& status) override {
    StreamEnd end;
    std::shared_ptr<Call> call;
    {
      MutexLock lock(mutex_);
      end.local = ending_;
      end.status = ending_ ? grpc::Status(grpc::StatusCode::CANCELLED, why_) : status;
      ending_ = true;
      call = std::move(call_);
      call_.reset();
    }
    auto self = std::move(self_);
    auto events = std::move(events_);
    bury_(std::move(call));
    events->OnEnded(end);
  }

 private:
  struct Call {
    std::shared_ptr<grpc::Channel> channel;
    grpc::ClientContext context;
    std::unique_ptr<PolledClientStream::Stream> stream;
  };

  const Poller::User user_;
  grpc::CompletionQueue* const queue_;
  std::function<void(std::shared_ptr<void>)> bury_;
  std::shared_ptr<Dialled> self_;         // while events may come
  std::shared_ptr<StreamEvents> events_;  // likewise
  std::atomic<StreamEvents*> target_{
      nullptr};  // events_, handed to gRPC's threads in a way that ThreadSanitizer can see
  ByteBuffer in_;
  ByteBuffer out_;  // the write in flight

  mutable Mutex mutex_;
  std::shared_ptr<Call> call_ ABSL_GUARDED_BY(mutex_);  // none once done
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_over_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more may be started
  std::string why_ ABSL_GUARDED_BY(mutex_);
};

// ---- Accepted

class Accepted final : public Stream, public PolledServerStream {
 public:
  explicit Accepted(std::unique_ptr<IncomingCall> call) : PolledServerStream(std::move(call)), context_(&context()) {}

  void Start(std::shared_ptr<Accepted> self, std::shared_ptr<StreamEvents> events) {
    MutexLock lock(mutex_);
    self_ = std::move(self);
    events_ = std::move(events);
    target_.store(events_.get(), std::memory_order_release);
    StartRead(&in_);
  }

  void Write(ByteBuffer frame) override {
    MutexLock lock(mutex_);
    if (finishing_ || last_) return;
    writing_ = true;
    out_ = std::move(frame);
    StartWrite(&out_);
  }

  void WriteLast(ByteBuffer frame) override {
    MutexLock lock(mutex_);
    if (finishing_ || last_) return;
    last_ = std::move(frame);
    if (!writing_) WriteLastLocked();
  }

  void End(const std::string& why) override {
    MutexLock lock(mutex_);
    if (done_) return;
    if (finishing_) {
      context_->TryCancel();
      return;
    }
    local_ = true;
    if (writing_) context_->TryCancel();
    FinishLocked(grpc::Status(grpc::StatusCode::UNAVAILABLE, why));
  }

  bool Connected() const override { return true; }

  std::optional<CertificateNames> PeerCertificate() const override {
    MutexLock lock(mutex_);
    if (done_) return std::nullopt;
    return NamesIn(context_->auth_context().get());
  }

  std::string PeerAddress() const override {
    MutexLock lock(mutex_);
    return done_ ? std::string() : context_->peer();
  }

  void OnReadDone(bool ok) override {
    if (ok) target_.load(std::memory_order_acquire)->OnFrame(&in_);
    MutexLock lock(mutex_);
    if (!ok) return FinishLocked(grpc::Status(grpc::StatusCode::CANCELLED, "the other side ended the link"));
    if (finishing_ || last_) return;
    in_.Clear();
    StartRead(&in_);
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (!ok) return FinishLocked(grpc::Status(grpc::StatusCode::CANCELLED, "the connection broke"));
      if (last_) return WriteLastLocked();
    }
    target_.load(std::memory_order_acquire)->OnWritten();
  }

  void OnCancel() override {
    MutexLock lock(mutex_);
    FinishLocked(grpc::Status(grpc::StatusCode::CANCELLED, "the connection broke"));
  }

  void OnDone() override {
    StreamEnd end;
    {
      MutexLock lock(mutex_);
      done_ = true;
      end.local = local_;
      end.status = status_;
    }
    auto self = std::move(self_);
    auto events = std::move(events_);
    events->OnEnded(end);
  }

 private:
  void FinishLocked(grpc::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finishing_) return;
    finishing_ = true;
    status_ = std::move(status);
    Finish(status_);
  }

  void WriteLastLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finishing_) return;
    finishing_ = local_ = true;
    status_ = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "refused");
    out_ = std::move(*last_);
    StartWriteAndFinish(&out_, status_);
  }

  grpc::ServerContext* const context_;    // valid until done_
  std::shared_ptr<Accepted> self_;        // while events may come
  std::shared_ptr<StreamEvents> events_;  // likewise
  std::atomic<StreamEvents*> target_{
      nullptr};  // events_, handed to gRPC's threads in a way that ThreadSanitizer can see
  ByteBuffer in_;
  ByteBuffer out_;  // the write in flight

  mutable Mutex mutex_;
  std::optional<ByteBuffer> last_ ABSL_GUARDED_BY(mutex_);  // to be written and finished with
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called, nothing more may be started
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool local_ ABSL_GUARDED_BY(mutex_) = false;   // we ended it
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);  // how it was finished
};

class Refused final : public PolledServerStream {
 public:
  Refused(std::unique_ptr<IncomingCall> call, const grpc::Status& status) : PolledServerStream(std::move(call)) {
    Finish(status);
  }
  void OnDone() override { delete this; }
};

}  // namespace

std::shared_ptr<DialledStream> DialledStream::Make(std::shared_ptr<grpc::Channel> channel, Poller* poller,
                                                   std::function<void(std::shared_ptr<void>)> bury) {
  return std::make_shared<Dialled>(std::move(channel), poller, std::move(bury));
}

Acceptance Accept(std::unique_ptr<IncomingCall> call) {
  auto accepted = std::make_shared<Accepted>(std::move(call));
  return {accepted, [accepted](std::shared_ptr<StreamEvents> events) { accepted->Start(accepted, std::move(events)); }};
}

void Refuse(std::unique_ptr<IncomingCall> call, const grpc::Status& status) {
  new Refused(std::move(call), status);  // deletes itself
}

}  // namespace coffer::link
