// The hub behind link.h: sessions come from the listener and from dialling, and go to peers.
#pragma once

#include <array>
#include <atomic>
#include <thread>
#include <unordered_set>

#include "coffer/internal/v1/peer.grpc.pb.h"
#include "proto/link/guess_limit.h"
#include "proto/link/peers.h"
#include "proto/mutex.h"

namespace coffer::link {

// Locks, in the order in which they may be taken: a stripe of deliveries, then mutex_, then a session's or outbox's
// own. The handler is called under a stripe at most.
class HubImpl final : public Hub, public SessionHost {
 public:
  HubImpl(HubOptions options, Identity self, Handler* handler);
  ~HubImpl() override;
  // Checks the TLS files, binds and listens; throws.
  void Open();

  void Dial(const std::string& address) override;
  bool Send(const NodeId& to, PeerMessage message) override;
  bool Queue(const NodeId& to, PeerMessage message) override;
  void Flush() override;
  void Poll(std::chrono::steady_clock::time_point until) override { poller_->Poll(until); }
  void Wake() override { poller_->Wake(); }
  Poller* poller() override { return poller_.get(); }
  bool Linked(const NodeId& peer) const override;
  void Drop(const NodeId& peer, const std::string& why) override;
  void SetIdentity(Identity self) override;
  void SetSecrets(Keyring keyring) override;
  int port() const override { return port_; }
  void Stop() override;
  HubStats stats() const override;

  Identity Self() const override;
  RefusalInfo MayShowToken(const Session& session) override;
  void OnWrongToken(const Session& session) override;
  void OnToken(const SessionPtr& session, const ShownToken& token) override;
  void OnErrand(const SessionPtr& session, const wire::Errand& errand) override;
  RefusalInfo JudgeCertificate(const Session& session) override;
  RefusalInfo Judge(const Session& session) override;
  bool Attach(const SessionPtr& session) override;
  void Deliver(const Session& session, std::vector<PeerMessage> messages) override;
  void Ended(const SessionPtr& session) override;
  void CountFrame(bool sent, std::size_t messages, std::size_t bytes) override;
  void OnFault(const Session& session, FrameFault fault, const RefusalInfo& why) override;
  void Refused(const Session& session, const RefusalInfo& why) override;

 private:
  using Service = internal::v1::PeerService::WithRawMethod_Link<internal::v1::PeerService::Service>;

  void Beat();
  void CountRefusal(const RefusalInfo& why);
  // Throws when the certificate was not made for this member: every other member would refuse it.
  void CheckOwnCertificate() const;
  void OnCall(std::unique_ptr<IncomingCall> call);
  void Listen();
  void StartPolling();
  // Starts a stream; false when stopping.
  bool Launch(DialAim aim);
  void WatchHandshake(const SessionPtr& session);
  // Opens the second stream to a peer, again and again while the first one that we dialled is up.
  void LaunchBulk(const std::string& address, const NodeId& peer);
  // Whether a process may link under the id of a peer that is linked. `asks`: the peer is to be asked for a
  // sign of life.
  RefusalInfo JudgeRival(const Session& session, Peer* known, bool* asks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool JoinPeer(const SessionPtr& session, std::vector<SessionPtr>* replaced, bool* up, bool* active,
                std::shared_ptr<Outbox>* outbox);
  void Detach(const SessionPtr& session);
  // The sessions of a peer that were made by a secret that is gone.
  std::vector<SessionPtr> Stale(const Peer& peer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The session that sends the message, with the message in its queue; null: dropped and counted.
  SessionPtr Enqueue(const NodeId& to, const PeerMessage& message, bool pump_later);
  bool Stopping() const;
  void FailDial(const std::string& address, RefusalInfo why);
  Mutex& StripeOf(const NodeId& peer) { return stripes_[BytesHash()(peer) % stripes_.size()]; }

  const HubOptions options_;
  Handler* const handler_;
  std::shared_ptr<grpc::ChannelCredentials> channel_credentials_;
  Service service_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<Ticker> pulse_;
  std::unique_ptr<CallTaker> taker_;  // none without a port
  std::unique_ptr<grpc::Server> server_;
  std::thread polling_;  // none while the owner polls
  int port_ = 0;
  std::once_flag stopped_;

  // Guards the calls of the handler that concern a peer, and Session::down.
  std::array<Mutex, 64> stripes_;

  mutable Mutex mutex_;
  Condition all_ended_;  // with mutex_
  Identity self_ ABSL_GUARDED_BY(mutex_);
  Keyring keyring_ ABSL_GUARDED_BY(mutex_);
  GuessLimit token_guesses_ ABSL_GUARDED_BY(mutex_);
  Peers peers_ ABSL_GUARDED_BY(mutex_);
  std::unordered_set<SessionPtr> sessions_ ABSL_GUARDED_BY(mutex_);     // all that have not ended
  std::unordered_set<std::string> dialling_ ABSL_GUARDED_BY(mutex_);    // addresses
  std::unordered_set<std::string> own_nonces_ ABSL_GUARDED_BY(mutex_);  // of sessions we dialled
  std::size_t in_handshake_ ABSL_GUARDED_BY(mutex_) = 0;     // accepted sessions that have proven nothing yet
  std::vector<SessionPtr> to_pump_ ABSL_GUARDED_BY(mutex_);  // something was queued since the last flush
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  struct Counters {
    std::atomic<std::uint64_t> frames_sent{0}, frames_received{0}, messages_sent{0}, messages_received{0},
        bytes_sent{0}, bytes_received{0}, bulk_messages_sent{0}, dropped_unlinked{0}, dropped_full{0},
        dropped_oversize{0}, dropped_at_end{0}, oversize_received{0}, malformed_received{0}, broken_off{0},
        handshakes_refused{0};
  } counters_;

  // Last, so that they end first: they run closures that use everything above.
  Alarm alarm_;
  Alarm diagnosis_;  // may wait for the network
};

}  // namespace coffer::link
