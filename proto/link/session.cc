#include "proto/link/session.h"

#include <utility>

namespace coffer::link {
namespace {

// How much longer a stream of large values may be silent: a frame that is on its way over a slow link is not seen to come.
constexpr int kLargeValues = 4;

}  // namespace

std::shared_ptr<Session> Session::Dial(SessionHost* host, const HubOptions& options, Keyring keyring, DialAim aim,
                                       std::shared_ptr<DialledStream> stream) {
  std::shared_ptr<Session> session(new Session(host, options));
  session->aim_ = aim;
  session->dialler_.emplace(std::move(keyring), host->Self(), std::move(aim));
  session->to_start_ = stream;
  MutexLock lock(session->mutex_);
  session->stream_ = std::move(stream);
  return session;
}

std::shared_ptr<Session> Session::Answer(SessionHost* host, const HubOptions& options, Keyring keyring,
                                         std::shared_ptr<Stream> stream) {
  std::shared_ptr<Session> session(new Session(host, options));
  session->acceptor_.emplace(std::move(keyring));
  MutexLock lock(session->mutex_);
  session->stream_ = std::move(stream);
  return session;
}

void Session::Start() {
  {
    MutexLock lock(mutex_);
    writing_ = true;
  }
  auto stream = std::move(to_start_);
  stream->Start(shared_from_this(), BufferOf(dialler_->first_frame()));
}

RefusalInfo Session::ending() const {
  MutexLock lock(mutex_);
  return ending_;
}

bool Session::Ending() const {
  MutexLock lock(mutex_);
  return !ending_.reason.empty();
}

void Session::End(const std::string& reason, const std::string& why) {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    if (ending_.reason.empty()) ending_ = {reason, why};
    stream = stream_;
  }
  if (stream) stream->End(why);
}

void Session::OnConnectDeadline() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    stream = stream_;
  }
  if (!stream || stream->Connected()) return;
  End("TIMEOUT", "no connection to " + aim_.address + " within " + std::to_string(options_.dial_timeout.count()) +
                     " ms; check that the host is up and that no firewall drops its packets");
}

void Session::OnHandshakeDeadline() {
  if (attached_) return;
  End("TIMEOUT", "the handshake took longer than " + std::to_string(options_.handshake_timeout.count()) + " ms");
}

void Session::Activate(std::shared_ptr<Outbox> outbox) {
  {
    MutexLock lock(mutex_);
    outbox_ = std::move(outbox);
  }
  Pump();
}

void Session::Pump() {
  std::shared_ptr<Stream> stream;
  grpc::ByteBuffer frame;
  std::size_t messages = 0;
  {
    MutexLock lock(mutex_);
    if (writing_ || !stream_) return;
    if (!control_.empty()) {
      frame = std::move(control_.front());
      control_.pop_front();
    } else {
      auto next = outbox_ ? outbox_->Next(static_cast<int>(aim().lane), sent_ + 1) : std::nullopt;
      if (!next && !beat_due_) return;
      frame = next ? std::move(next->buffer) : FrameBuilder().Take(sent_ + 1);
      in_flight_ = next ? next->bytes : 0;
      messages = next ? next->messages : 0;
      ++sent_;
      beat_due_ = false;
    }
    writing_ = said_ = true;
    stream = stream_;
  }
  if (messages > 0) host_->CountFrame(true, messages, frame.Length());
  stream->Write(std::move(frame));
}

void Session::Beat() {
  if (!attached_ || Ending()) return;
  const auto patience = aim().lane == 0 ? options_.deaf_after : kLargeValues * options_.deaf_after;
  if (peer_.pulse && ++silent_beats_ * options_.pulse >= patience) {
    return Break(FrameFault::kMissing, {"SILENT", "nothing came for " + std::to_string(patience.count()) +
                                                      " ms on a stream whose connection lives: the link is made anew"});
  }
  {
    MutexLock lock(mutex_);
    beat_due_ = !said_ && !writing_;
    said_ = false;
  }
  Pump();
}

void Session::OnWritten() {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (in_flight_ > 0) outbox_->Written(in_flight_);
    in_flight_ = 0;
  }
  Pump();
}

void Session::OnFrame(grpc::ByteBuffer* frame) {
  if (Ending()) return;
  heard_ = std::chrono::steady_clock::now();
  silent_beats_ = 0;
  if (!attached_ && !welcomed_) {
    auto bytes = BytesOf(*frame, kHandshakeFrameBytes);
    return OnHandshakeFrame(bytes.value_or(std::string(kHandshakeFrameBytes + 1, '\0')));
  }
  if (!attached_) {
    welcomed_ = false;
    if (aim().probe && frame->Length() > 0) return OnErrandFrame(frame);
    AttachOrEnd();
    if (!attached_) return;
  }
  const std::size_t bytes = frame->Length();
  if (bytes == 0) return;
  std::vector<PeerMessage> messages;
  std::uint64_t number = 0;
  FrameFault fault = Decode(frame, options_.message_bytes, &messages, &number);
  if (!messages.empty() || fault != FrameFault::kNone) host_->CountFrame(false, messages.size(), bytes);
  if (fault == FrameFault::kNone && peer_.pulse && number != ++received_) {
    fault = FrameFault::kMissing;
    messages.clear();
  }
  if (!messages.empty()) host_->Deliver(*this, std::move(messages));
  if (fault != FrameFault::kNone) Break(fault, Explain(fault));
}

void Session::Break(FrameFault fault, const RefusalInfo& why) {
  host_->OnFault(*this, fault, why);
  End(why.reason, why.message);
}

RefusalInfo Session::Explain(FrameFault fault) const {
  switch (fault) {
    case FrameFault::kOversize:
      return {"OVERSIZE", "a message was larger than the limit of " + std::to_string(options_.message_bytes) + " bytes"};
    case FrameFault::kDamaged:
      return {"DAMAGED",
              "a message was damaged on its way, its checksum does not verify: the link is made anew. Look for a bad network card, "
              "switch or memory between the two"};
    case FrameFault::kMissing:
      return {"MISSING", "a frame got lost on its way, though the connection stands: the link is made anew. Look for a bad network card, "
                         "switch or memory between the two"};
    default:
      return {"MALFORMED", "a frame was not a valid message"};
  }
}

RefusalInfo Session::CheckCertificate() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    stream = stream_;
  }
  if (stream) certificate_ = stream->PeerCertificate();
  return host_->JudgeCertificate(*this);
}

void Session::OnHandshakeFrame(std::string_view frame) {
  if (settling_) return End("MALFORMED", "the other side spoke before it was answered");
  if (!std::exchange(greeted_, true)) {
    const RefusalInfo judgement = CheckCertificate();
    if (!judgement.reason.empty()) return dialled() ? End(judgement.reason, judgement.message) : RefusePeer(judgement);
  }
  dialled() ? OnDiallerFrame(frame) : OnAcceptorFrame(frame);
}

void Session::OnDiallerFrame(std::string_view frame) {
  auto step = dialler_->OnFrame(frame);
  if (step.send) return SendControl(*step.send);
  if (!step.refusal.reason.empty()) return End(step.refusal.reason, step.refusal.message);
  peer_ = *step.proven;
  const RefusalInfo judgement = host_->Judge(*this);
  if (!judgement.reason.empty()) return End(judgement.reason, judgement.message);
  // We are up before the acceptor is: what it sends at once finds us ready.
  AttachOrEnd();
  if (attached_) SendControl("");
}

void Session::OnAcceptorFrame(std::string_view frame) {
  if (acceptor_->joiner()) {
    const RefusalInfo verdict = host_->MayShowToken(*this);
    if (!verdict.reason.empty()) return RefusePeer(verdict);
  }
  auto step = acceptor_->OnFrame(frame);
  if (step.send) return SendControl(*step.send);
  if (!step.refusal.reason.empty()) return RefusePeer(step.refusal);
  peer_ = acceptor_->peer();
  const RefusalInfo judgement = host_->Judge(*this);
  if (!judgement.reason.empty()) return RefusePeer(judgement);
  if (step.token) {
    settling_ = true;
    return host_->OnToken(shared_from_this(), *step.token);
  }
  welcomed_ = true;
  SendControl(acceptor_->Welcome(host_->Self()));
}

void Session::OnErrandFrame(grpc::ByteBuffer* frame) {
  auto step = acceptor_->OnErrandFrame(BytesOf(*frame, kHandshakeFrameBytes).value_or(std::string(kHandshakeFrameBytes + 1, '\0')));
  if (!step.refusal.reason.empty()) return RefusePeer(step.refusal);
  settling_ = true;
  host_->OnErrand(shared_from_this(), *step.errand);
}

void Session::Settle(const RefusalInfo& refusal) {
  if (Ending()) return;
  if (!refusal.reason.empty()) return RefusePeer(refusal);
  SendControl(acceptor_->Welcome(host_->Self()));
}

void Session::AnswerErrand(const wire::ErrandAnswer& answer) {
  if (!Ending()) SendControl(ErrandFrame(answer));
}

std::string Session::PeerAddress() const {
  MutexLock lock(mutex_);
  return stream_ ? stream_->PeerAddress() : std::string();
}

void Session::AttachOrEnd() {
  attached_ = host_->Attach(shared_from_this());
  if (!attached_) End("CLOSED", "the link is not needed any more");
}

void Session::SendControl(const std::string& frame) {
  {
    MutexLock lock(mutex_);
    control_.push_back(BufferOf(frame));
  }
  Pump();
}

void Session::RefusePeer(const RefusalInfo& why) {
  host_->Refused(*this, why);
  if (why.reason == "WRONG_TOKEN") host_->OnWrongToken(*this);
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    if (ending_.reason.empty()) ending_ = why;
    stream = stream_;
  }
  if (stream) stream->WriteLast(BufferOf(RefusalFrame(why)));
}

void Session::OnEnded(const StreamEnd& end) {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    stream = std::move(stream_);
    stream_.reset();
    if (in_flight_ > 0) outbox_->Written(in_flight_);
    in_flight_ = 0;
    if (ending_.reason.empty()) ending_ = WhyItBroke(end.status);
  }
  host_->Ended(shared_from_this());
}

RefusalInfo Session::WhyItBroke(const grpc::Status& status) const {
  const std::string& text = status.error_message();
  if (!dialled() || attached_) return {"UNREACHABLE", text.empty() ? "the other side ended the link" : text};
  if (text.find("Connection refused") != std::string::npos) {
    return {"REFUSED", "nothing listens at " + aim_.address + " (connection refused)"};
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return {"UNREACHABLE", "no link to " + aim_.address +
                               ": what answers there is no member's peer port; the port of `listen` is meant (7701), not a router's "
                               "public port (public_listen, 7700)"};
  }
  // A TLS port hangs up on cleartext without a word.
  const bool hung_up =
      text.find("Socket closed") != std::string::npos || text.find("reset by peer") != std::string::npos;
  return {"UNREACHABLE", "no link to " + aim_.address + ": " + (text.empty() ? "the stream was closed" : text) +
                             (hung_up && !options_.tls.enabled() ? "; if it uses TLS, so must we" : "")};
}

}  // namespace coffer::link
