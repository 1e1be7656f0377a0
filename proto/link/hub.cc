#include "proto/link/hub.h"

#include <algorithm>
#include <stdexcept>

#include "proto/link/caller_text.h"
#include "proto/link/credentials.h"
#include "proto/link/endpoint.h"
#include "proto/link/tls_check.h"

namespace coffer::link {
namespace {

constexpr std::size_t kMaxInHandshake = 256;
// The second stream is accepted once the first one stands at the other end too.
constexpr auto kBulkDelay = std::chrono::milliseconds(20);
constexpr auto kBulkRetry = std::chrono::seconds(1);
constexpr auto kShutdownGrace = std::chrono::seconds(1);

// Messages whose order does not matter to anyone, and which may be large.
bool MayTakeBulkLane(const wire::Peer& header) {
  switch (header.kind_case()) {
    case wire::Peer::kFetched:
    case wire::Peer::kDataRequest:
    case wire::Peer::kDataResponse:
      return true;
    default:
      return false;
  }
}

// Whether one side said no, as opposed to a link that did not come about or is not needed.
bool IsRefusal(const std::string& reason) {
  for (const char* other : {"SELF", "UNREACHABLE", "REFUSED", "TIMEOUT", "CLOSED"}) {
    if (reason == other) return false;
  }
  return true;
}

std::string ListenTarget(const std::string& listen) {
  return listen.front() == ':' ? "[::]" + listen : listen;
}

}  // namespace

std::unique_ptr<Hub> Hub::Start(HubOptions options, Identity self, Handler* handler) {
  auto hub = std::make_unique<HubImpl>(std::move(options), std::move(self), handler);
  hub->Open();
  return hub;
}

HubImpl::HubImpl(HubOptions options, Identity self, Handler* handler)
    : options_(std::move(options)), handler_(handler), self_(std::move(self)), keyring_(options_.keyring) {
  self_.pulse = true;
}

HubImpl::~HubImpl() {
  Stop();
}

void HubImpl::Open() {
  // Any of the three: a forgotten certificate must not mean cleartext.
  if (!options_.tls.certificate.empty() || !options_.tls.key.empty() || !options_.tls.ca.empty()) {
    CheckTlsFiles(options_.tls, CertificateKind::kMember);
    CheckOwnCertificate();
  }
  channel_credentials_ = ChannelCredentialsFor(options_.tls);
  if (options_.listen.empty()) {
    poller_ = std::make_unique<Poller>(grpc::ServerBuilder().AddCompletionQueue());
  } else {
    Listen();
  }
  pulse_ = std::make_unique<Ticker>(poller_.get(), options_.pulse, [this] { Beat(); });
  if (!options_.owner_polls) StartPolling();
}

void HubImpl::Beat() {
  std::vector<SessionPtr> sessions;
  {
    MutexLock lock(mutex_);
    sessions.assign(sessions_.begin(), sessions_.end());
  }
  for (const auto& session : sessions) session->Beat();
}

void HubImpl::StartPolling() {
  polling_ = std::thread([this] {
    while (poller_->Poll(std::chrono::steady_clock::time_point::max())) {
    }
  });
}

void HubImpl::Listen() {
  grpc::ServerBuilder builder;
  ConfigureServer(options_, &builder);
  builder.AddListeningPort(ListenTarget(options_.listen),
                           ServerCredentialsFor(options_.tls, CallerCertificate::kRequired), &port_);
  builder.RegisterService(&service_);
  poller_ = std::make_unique<Poller>(builder.AddCompletionQueue());
  grpc::ServerCompletionQueue* const calls = poller_->queue();
  server_ = builder.BuildAndStart();
  if (!server_ || port_ == 0) {
    server_.reset();
    poller_->Shutdown();
    while (poller_->Poll(std::chrono::steady_clock::time_point::max())) {
    }
    poller_.reset();
    throw std::runtime_error(WhyNotListening(options_.listen));
  }
  taker_ = std::make_unique<CallTaker>(
      poller_.get(),
      [this, calls](IncomingCall* call, CallTaker* taker) {
        Poller::Begin(taker, [&](void* tag) { service_.RequestLink(&call->context, &call->stream, calls, calls, tag); });
      },
      [this](std::unique_ptr<IncomingCall> call) { OnCall(std::move(call)); });
  taker_->Ask();
}

// ---- Streams come

void HubImpl::OnCall(std::unique_ptr<IncomingCall> call) {
  MutexLock lock(mutex_);
  if (stopping_) return Refuse(std::move(call), {grpc::StatusCode::UNAVAILABLE, "this member is stopping"});
  taker_->Ask();
  if (in_handshake_ >= kMaxInHandshake) {
    return Refuse(std::move(call), {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many callers in the handshake (limit " +
                                                                              std::to_string(kMaxInHandshake) + ")"});
  }
  auto accepted = Accept(std::move(call));
  auto session = Session::Answer(this, options_, keyring_, accepted.stream);
  session->in_handshake = true;
  ++in_handshake_;
  sessions_.insert(session);
  WatchHandshake(session);
  accepted.start(session);
}

void HubImpl::WatchHandshake(const SessionPtr& session) {
  session->handshake_alarm = alarm_.After(options_.handshake_timeout, [weak = std::weak_ptr<Session>(session)] {
    if (auto session = weak.lock()) session->OnHandshakeDeadline();
  });
}

void HubImpl::Dial(const std::string& address) {
  {
    MutexLock lock(mutex_);
    if (stopping_ || peers_.Reaches(address) || !dialling_.insert(address).second) return;
  }
  Launch({.address = address});
}

bool HubImpl::Launch(DialAim aim) {
  Keyring keyring;
  {
    MutexLock lock(mutex_);
    keyring = keyring_;
  }
  auto channel = OpenChannel(aim.address, options_, channel_credentials_);
  auto stream = DialledStream::Make(std::move(channel), poller_.get(), [this](std::shared_ptr<void> remains) {
    alarm_.Now([remains = std::move(remains)] {});
  });
  auto session = Session::Dial(this, options_, std::move(keyring), std::move(aim), std::move(stream));
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    sessions_.insert(session);
    own_nonces_.insert(session->nonce());
    WatchHandshake(session);
    session->connect_alarm = alarm_.After(options_.dial_timeout, [weak = std::weak_ptr<Session>(session)] {
      if (auto session = weak.lock()) session->OnConnectDeadline();
    });
  }
  session->Start();
  return true;
}

void HubImpl::LaunchBulk(const std::string& address, const NodeId& peer) {
  {
    MutexLock lock(mutex_);
    if (stopping_ || !peers_.Dialled(peer, kMainLane) || peers_.Dialled(peer, kBulkLane)) return;
  }
  Launch({.address = address, .lane = kBulkLane, .expect = peer});
}

// ---- Who we are

Identity HubImpl::Self() const {
  MutexLock lock(mutex_);
  return self_;
}

void HubImpl::SetIdentity(Identity self) {
  MutexLock lock(mutex_);
  self_ = std::move(self);
  self_.pulse = true;
}

// ---- Links

bool HubImpl::JoinPeer(const SessionPtr& session, std::vector<SessionPtr>* replaced, bool* up, bool* active,
                       std::shared_ptr<Outbox>* outbox) {
  MutexLock lock(mutex_);
  if (session->in_handshake) --in_handshake_;
  session->in_handshake = false;
  if (stopping_ || session->aim().probe) return false;
  const std::uint32_t lane = session->aim().lane;
  Peer* peer = peers_.Find(session->peer().id);
  if (peer != nullptr && !SameProcess(peer->identity, session->peer())) {
    // The process behind the older links is gone, even if the network has not said so yet.
    if (lane != kMainLane || session->peer().boot < peer->identity.boot) return false;
    counters_.dropped_at_end += peer->outbox->Clear();
    *replaced = peers_.Remove(session->peer().id);
    peer = nullptr;
  }
  if (peer == nullptr) {
    if (lane != kMainLane) return false;
    peer = peers_.Add(session->peer(), std::make_shared<Outbox>(options_.queue_bytes, options_.frame_bytes));
    *up = true;
  }
  peer->lanes[lane].push_back(session);
  if (lane == kBulkLane) peer->outbox->SetBulkOpen(true);
  *active = peer->lanes[lane].front() == session;
  *outbox = peer->outbox;
  return true;
}

bool HubImpl::Attach(const SessionPtr& session) {
  alarm_.Cancel(session->handshake_alarm);
  const NodeId id = session->peer().id;
  std::vector<SessionPtr> replaced;
  bool up = false, active = false;
  std::shared_ptr<Outbox> outbox;
  {
    MutexLock stripe(StripeOf(id));
    if (!JoinPeer(session, &replaced, &up, &active, &outbox)) return false;
    for (auto& old : replaced) old->down = true;
    if (!replaced.empty()) handler_->OnDown(id, "it was started anew");
    if (up) handler_->OnUp(session->peer());
  }
  for (auto& old : replaced) old->End("CLOSED", "a newer start of the same member has linked");
  if (active) session->Activate(std::move(outbox));
  // Whose secret is gone makes room for this one. The dialler is the first to know of a link: it leaves that to the other side, or to
  // the end of kStaleLinks, lest the other side be without one for a moment.
  std::vector<SessionPtr> stale;
  if (!session->dialled() && session->aim().lane == kMainLane) {
    MutexLock lock(mutex_);
    const Peer* peer = peers_.Find(id);
    if (peer && keyring_.Has(session->secret())) stale = Stale(*peer);
  }
  for (auto& old : stale) old->End("CLOSED", "the secret of this link was removed; another link took its place");
  if (session->dialled()) {
    MutexLock lock(mutex_);
    own_nonces_.erase(session->nonce());
    if (session->aim().lane == kMainLane) dialling_.erase(session->aim().address);
  }
  if (session->dialled() && session->aim().lane == kMainLane) {
    alarm_.After(kBulkDelay, [this, address = session->aim().address, id] { LaunchBulk(address, id); });
  }
  return true;
}

void HubImpl::Deliver(const Session& session, std::vector<PeerMessage> messages) {
  const NodeId id = session.peer().id;
  MutexLock stripe(StripeOf(id));
  if (session.down) return;
  handler_->OnMessages(id, std::move(messages));
}

void HubImpl::Detach(const SessionPtr& session) {
  const NodeId id = session->peer().id;
  std::vector<SessionPtr> bulk;
  Peers::Detached gone;
  {
    MutexLock stripe(StripeOf(id));
    if (session->down) return;
    session->down = true;
    {
      MutexLock lock(mutex_);
      gone = peers_.Detach(session);
      if (gone.last) {
        counters_.dropped_at_end += gone.outbox->Clear();
        bulk = peers_.Remove(id);
      }
    }
    for (auto& other : bulk) other->down = true;
    if (gone.last) handler_->OnDown(id, session->ending().message);
  }
  for (auto& other : bulk) other->End("CLOSED", "the first stream of the link ended");
  if (!gone.last) {
    for (auto& other : gone.active) other->Activate(gone.outbox);
  }
}

void HubImpl::Ended(const SessionPtr& session) {
  alarm_.Cancel(session->connect_alarm);
  alarm_.Cancel(session->handshake_alarm);
  const RefusalInfo why = session->ending();
  const DialAim& aim = session->aim();
  if (session->attached()) {
    Detach(session);
  } else if (session->dialled() && aim.lane == kMainLane) {
    FailDial(aim.address, why);
  }
  if (session->dialled() && aim.lane == kBulkLane) {
    alarm_.After(kBulkRetry, [this, address = aim.address, id = aim.expect] { LaunchBulk(address, id); });
  }
  MutexLock lock(mutex_);
  if (session->in_handshake) --in_handshake_;
  if (session->dialled()) own_nonces_.erase(session->nonce());
  sessions_.erase(session);
  if (sessions_.empty()) all_ended_.NotifyAll();
}

void HubImpl::FailDial(const std::string& address, RefusalInfo why) {
  const auto report = [this, address](const RefusalInfo& why) {
    {
      MutexLock lock(mutex_);
      dialling_.erase(address);
      if (stopping_) return;
    }
    CountRefusal(why);
    handler_->OnDialFailed(address, why);
  };
  if (!options_.tls.enabled() || why.reason != "UNREACHABLE") return report(why);
  // gRPC does not say what is wrong with a certificate; a second look with OpenSSL does, but waits for the network.
  diagnosis_.Now([this, address, why, report]() mutable {
    std::string explanation;
    if (!Stopping()) explanation = ExplainTlsFailure(address, options_.tls, options_.dial_timeout);
    if (!explanation.empty()) why.message = NoLinkText(address, explanation);
    report(why);
  });
}

bool HubImpl::Stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

bool HubImpl::Linked(const NodeId& peer) const {
  MutexLock lock(mutex_);
  return peers_.Find(peer) != nullptr;
}

void HubImpl::Drop(const NodeId& id, const std::string& why) {
  std::vector<SessionPtr> sessions;
  {
    MutexLock lock(mutex_);
    const Peer* peer = peers_.Find(id);
    if (peer == nullptr) return;
    for (const auto& lane : peer->lanes) sessions.insert(sessions.end(), lane.begin(), lane.end());
  }
  for (auto& session : sessions) session->End("CLOSED", why);
}

// ---- Messages

bool HubImpl::Send(const NodeId& to, PeerMessage message) {
  const SessionPtr session = Enqueue(to, message, /*pump_later=*/false);
  if (session) session->Pump();
  return session != nullptr;
}

bool HubImpl::Queue(const NodeId& to, PeerMessage message) {
  return Enqueue(to, message, /*pump_later=*/true) != nullptr;
}

void HubImpl::Flush() {
  std::vector<SessionPtr> sessions;
  {
    MutexLock lock(mutex_);
    sessions.swap(to_pump_);
  }
  for (const auto& session : sessions) session->Pump();
}

SessionPtr HubImpl::Enqueue(const NodeId& to, const PeerMessage& message, bool pump_later) {
  Encoded encoded = Encode(message);
  if (encoded.envelope > options_.message_bytes) {
    ++counters_.dropped_oversize;
    return nullptr;
  }
  const bool bulk = encoded.body_bytes >= options_.large_bytes && MayTakeBulkLane(message.header);
  MutexLock lock(mutex_);
  Peer* peer = peers_.Find(to);
  if (peer == nullptr) {
    ++counters_.dropped_unlinked;
    return nullptr;
  }
  const int lane = peer->outbox->Push(bulk, std::move(encoded));
  if (lane < 0) {
    ++counters_.dropped_full;
    return nullptr;
  }
  if (lane == kBulkLane) ++counters_.bulk_messages_sent;
  const SessionPtr& session = peer->lanes[lane].front();
  if (pump_later && std::find(to_pump_.begin(), to_pump_.end(), session) == to_pump_.end()) to_pump_.push_back(session);
  return session;
}

void HubImpl::CountFrame(bool sent, std::size_t messages, std::size_t bytes) {
  ++(sent ? counters_.frames_sent : counters_.frames_received);
  (sent ? counters_.messages_sent : counters_.messages_received) += messages;
  (sent ? counters_.bytes_sent : counters_.bytes_received) += bytes;
}

void HubImpl::OnFault(const Session& session, FrameFault fault, const RefusalInfo& why) {
  ++(fault == FrameFault::kOversize  ? counters_.oversize_received
     : fault == FrameFault::kMissing ? counters_.broken_off
                                     : counters_.malformed_received);
  handler_->OnRefused(session.PeerAddress(), session.peer().name, why);
}

void HubImpl::CountRefusal(const RefusalInfo& why) {
  if (IsRefusal(why.reason)) ++counters_.handshakes_refused;
}

void HubImpl::Refused(const Session& session, const RefusalInfo& why) {
  CountRefusal(why);
  if (IsRefusal(why.reason)) handler_->OnRefused(session.PeerAddress(), session.peer().name, why);
}

HubStats HubImpl::stats() const {
  HubStats s;
  s.frames_sent = counters_.frames_sent;
  s.frames_received = counters_.frames_received;
  s.messages_sent = counters_.messages_sent;
  s.messages_received = counters_.messages_received;
  s.bytes_sent = counters_.bytes_sent;
  s.bytes_received = counters_.bytes_received;
  s.bulk_messages_sent = counters_.bulk_messages_sent;
  s.dropped_unlinked = counters_.dropped_unlinked;
  s.dropped_full = counters_.dropped_full;
  s.dropped_oversize = counters_.dropped_oversize;
  s.dropped_at_end = counters_.dropped_at_end;
  s.oversize_received = counters_.oversize_received;
  s.malformed_received = counters_.malformed_received;
  s.broken_off = counters_.broken_off;
  s.handshakes_refused = counters_.handshakes_refused;
  MutexLock lock(mutex_);
  for (const auto& [id, peer] : peers_.all()) {
    s.links += peer.lanes[kMainLane].size();
    s.queued_bytes += peer.outbox->bytes();
  }
  return s;
}

// ---- The end

void HubImpl::Stop() {
  std::call_once(stopped_, [this] {
    std::vector<SessionPtr> sessions;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      sessions.assign(sessions_.begin(), sessions_.end());
      to_pump_.clear();
    }
    if (options_.owner_polls && poller_) StartPolling();
    for (auto& session : sessions) session->End("CLOSED", "this member is stopping");
    sessions.clear();
    if (pulse_) pulse_->Stop();
    if (server_) server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
    {
      MutexLock lock(mutex_);
      while (!sessions_.empty()) all_ended_.Wait(mutex_);
    }
    diagnosis_.Stop();
    alarm_.Stop();
    if (poller_) {  // else it never opened
      poller_->AwaitNoUsers();
      poller_->Shutdown();
      polling_.join();
    }
    server_.reset();
  });
}

}  // namespace coffer::link
