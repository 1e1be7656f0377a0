// The life of one stream: handshake, then envelopes. Knows nothing of other streams.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>

#include "proto/link/alarm.h"
#include "proto/link/handshake.h"
#include "proto/link/outbox.h"
#include "proto/link/stream.h"
#include "proto/mutex.h"

namespace coffer::link {

class Session;

// What a session asks of the hub (or of Probe). Called on gRPC's threads.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // Our identity, as of now.
  virtual Identity Self() const = 0;
  // The first frame is here: whether the peer's certificate is one for this port. Empty reason: yes.
  virtual RefusalInfo JudgeCertificate(const Session& session) = 0;
  // The peer has proven the secret: whether it may link. Empty reason: yes.
  virtual RefusalInfo Judge(const Session& session) = 0;
  // Accepting side: the peer says that it holds a join token: whether it may show it now. Empty reason: yes.
  virtual RefusalInfo MayShowToken(const Session&) { return {}; }
  virtual void OnWrongToken(const Session&) {}
  // Accepting side: the peer holds this join token, or brings an errand. Ends in Session::Settle or AnswerErrand.
  virtual void OnToken(const std::shared_ptr<Session>&, const ShownToken&) {}
  virtual void OnErrand(const std::shared_ptr<Session>&, const wire::Errand&) {}
  // The handshake is done on both sides. False: no longer wanted, the session ends itself.
  virtual bool Attach(const std::shared_ptr<Session>& session) = 0;
  virtual void Deliver(const Session& session, std::vector<PeerMessage> messages) = 0;
  // The last call for this session.
  virtual void Ended(const std::shared_ptr<Session>& session) = 0;

  virtual void CountFrame(bool sent, std::size_t messages, std::size_t bytes) = 0;
  // The link ends for what came over it.
  virtual void OnFault(const Session& session, FrameFault fault, const RefusalInfo& why) = 0;
  // We refuse the one who dialled us.
  virtual void Refused(const Session& session, const RefusalInfo& why) = 0;
};

// Thread-safe. Owned by the host and by its stream.
class Session final : public StreamEvents, public std::enable_shared_from_this<Session> {
 public:
  // Dials: `aim` says what and why. The secrets are those of this moment.
  static std::shared_ptr<Session> Dial(SessionHost* host, const HubOptions& options, Keyring keyring, DialAim aim,
                                       std::shared_ptr<DialledStream> stream);
  // Takes an accepted stream.
  static std::shared_ptr<Session> Answer(SessionHost* host, const HubOptions& options, Keyring keyring,
                                         std::shared_ptr<Stream> stream);

  // Dialling side: sends the first frame.
  void Start();

  // Ends the stream; the first reason is kept.
  void End(const std::string& reason, const std::string& why);
  // Ends a dialled session that has no connection yet.
  void OnConnectDeadline();
  // Ends a session that has not finished its handshake.
  void OnHandshakeDeadline();

  // The verdict on the peer's token: with an empty reason it is welcomed and gets the secrets. On the thread that polls.
  void Settle(const RefusalInfo& refusal);
  // What became of the peer's errand. On the thread that polls.
  void AnswerErrand(const wire::ErrandAnswer& answer);

  // Every HubOptions::pulse, on the thread that polls: says something if nothing was said since the last one, and ends the stream if
  // nothing was heard for too many of them. What counts is not time but these calls: while our own thread stood still, so did they.
  void Beat();

  // From now on sends what is in `outbox`.
  void Activate(std::shared_ptr<Outbox> outbox);
  // Writes the next frame unless one is in flight.
  void Pump();

  bool dialled() const { return dialler_.has_value(); }
  // As dialled, by us or (as it says) by the peer.
  const DialAim& aim() const { return dialled() ? aim_ : acceptor_->aim(); }
  // Of the dialler of this stream.
  const std::string& nonce() const { return dialled() ? dialler_->nonce() : acceptor_->peer_nonce(); }
  // From the handshake; set when the host is asked to Judge.
  const Identity& peer() const { return peer_; }
  const std::optional<CertificateNames>& certificate() const { return certificate_; }
  // By which the two sides have proven themselves; set when the host is asked to Judge, empty with a token.
  const std::string& secret() const { return dialled() ? dialler_->secret() : acceptor_->secret(); }
  // Dialling side, once proven: what the aim's token or errand brought.
  const std::optional<Keyring>& granted() const { return dialler_->granted(); }
  const std::optional<wire::ErrandAnswer>& answer() const { return dialler_->answer(); }
  // Host and port the peer's connection comes from.
  std::string PeerAddress() const;
  // Why it ended; final in SessionHost::Ended.
  RefusalInfo ending() const;
  bool attached() const { return attached_; }
  // When its last frame came.
  std::chrono::steady_clock::time_point heard() const { return heard_; }

  // For the host, guarded by its lock of deliveries: messages of a session that was taken down are not delivered.
  bool down = false;
  // For the host, guarded by its own lock: counts among the sessions whose handshake is not done.
  bool in_handshake = false;
  // For the host, set before the stream can end.
  Alarm::Key connect_alarm, handshake_alarm;

  void OnFrame(grpc::ByteBuffer* frame) override;
  void OnWritten() override;
  void OnEnded(const StreamEnd& end) override;

 private:
  Session(SessionHost* host, const HubOptions& options) : host_(host), options_(options) {}
  bool Ending() const;
  RefusalInfo Explain(FrameFault fault) const;
  void Break(FrameFault fault, const RefusalInfo& why);
  RefusalInfo CheckCertificate();
  void OnHandshakeFrame(std::string_view frame);
  void OnDiallerFrame(std::string_view frame);
  void OnAcceptorFrame(std::string_view frame);
  void OnErrandFrame(grpc::ByteBuffer* frame);
  void AttachOrEnd();
  void SendControl(const std::string& frame);
  // Accepting side: tells the peer why, then ends.
  void RefusePeer(const RefusalInfo& why);
  RefusalInfo WhyItBroke(const grpc::Status& status) const;

  SessionHost* const host_;
  const HubOptions& options_;
  DialAim aim_;
  std::shared_ptr<DialledStream> to_start_;
  // Handshake; touched by OnFrame only, which runs one at a time.
  std::optional<DiallerHandshake> dialler_;
  std::optional<AcceptorHandshake> acceptor_;
  Identity peer_;
  std::optional<CertificateNames> certificate_;
  bool greeted_ = false;   // the first frame was here
  bool welcomed_ = false;  // accepting side: our welcome is out, the next frame makes the link
  bool settling_ = false;  // accepting side: the host looks at a token or an errand, nothing may be said meanwhile
  // On the thread that polls.
  std::uint64_t received_ = 0;  // number of the last frame of a peer that numbers them
  int silent_beats_ = 0;        // since the last frame
  std::atomic<bool> attached_{false};
  std::atomic<std::chrono::steady_clock::time_point> heard_{};

  mutable Mutex mutex_;
  std::shared_ptr<Stream> stream_ ABSL_GUARDED_BY(mutex_);        // none once ended
  std::deque<grpc::ByteBuffer> control_ ABSL_GUARDED_BY(mutex_);  // handshake frames to be written
  std::shared_ptr<Outbox> outbox_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;  // number of the last frame since the handshake
  bool said_ ABSL_GUARDED_BY(mutex_) = false;       // a frame was written since the last beat
  bool beat_due_ ABSL_GUARDED_BY(mutex_) = false;
  std::size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes of the outbox in the frame being written
  RefusalInfo ending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace coffer::link
