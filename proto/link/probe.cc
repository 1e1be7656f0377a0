#include "proto/link/caller_text.h"
#include "proto/link/credentials.h"
#include "proto/link/endpoint.h"
#include "proto/link/session.h"
#include "proto/link/tls_check.h"

namespace coffer::link {
namespace {

// What an asker is told: who answered, and what its token or errand brought.
struct Outcome : ProbeResult {
  Keyring granted;
  wire::ErrandAnswer answer;
};

// A host of one session that never becomes a link. Everything happens on the thread that asks, which polls.
class Asker final : public SessionHost {
 public:
  explicit Asker(Identity self) : self_(std::move(self)) {}
  Identity Self() const override { return self_; }

  RefusalInfo JudgeCertificate(const Session& session) override {
    if (!session.certificate() || session.certificate()->member) return {};
    return {"CERTIFICATE_MISMATCH", "the certificate at " + session.aim().address + " is not a member's"};
  }

  RefusalInfo Judge(const Session& session) override {
    result_.peer = session.peer();
    if (session.granted()) result_.granted = *session.granted();
    if (session.answer()) result_.answer = *session.answer();
    return {};
  }

  bool Attach(const std::shared_ptr<Session>&) override { return false; }
  void Deliver(const Session&, std::vector<PeerMessage>) override {}
  void CountFrame(bool, std::size_t, std::size_t) override {}
  void OnFault(const Session&, FrameFault, const RefusalInfo&) override {}
  void Refused(const Session&, const RefusalInfo&) override {}

  void Ended(const std::shared_ptr<Session>& session) override {
    if (!result_.peer) result_.refusal = session->ending();
    ended_ = true;
  }

  // Polls until the end, at most until `deadline`; false: not ended yet.
  bool Wait(Poller& poller, std::chrono::steady_clock::time_point deadline) {
    while (!ended_ && std::chrono::steady_clock::now() < deadline) poller.Poll(deadline);
    return ended_;
  }
  const Outcome& result() const { return result_; }

 private:
  const Identity self_;
  Outcome result_;
  bool ended_ = false;
};

Outcome Ask(DialAim aim, const Keyring& keyring, const Identity& self, const TlsFiles& tls, std::chrono::milliseconds timeout) {
  const std::string address = aim.address;
  aim.probe = true;
  HubOptions options;
  options.tls = tls;
  options.dial_timeout = std::min(options.dial_timeout, timeout);
  options.handshake_timeout = timeout;
  const auto now = std::chrono::steady_clock::now();
  Poller poller(grpc::ServerBuilder().AddCompletionQueue());
  // What gRPC leaves behind dies here, when the stream is over.
  std::shared_ptr<void> remains;
  Asker asker(self);
  auto stream = DialledStream::Make(OpenChannel(address, options, ChannelCredentialsFor(tls)), &poller,
                                    [&remains](std::shared_ptr<void> call) { remains = std::move(call); });
  auto session = Session::Dial(&asker, options, keyring, std::move(aim), std::move(stream));
  session->Start();
  if (!asker.Wait(poller, now + options.dial_timeout)) session->OnConnectDeadline();
  if (!asker.Wait(poller, now + timeout)) session->OnHandshakeDeadline();
  asker.Wait(poller, std::chrono::steady_clock::time_point::max());
  session.reset();
  poller.Shutdown();
  while (poller.Poll(std::chrono::steady_clock::time_point::max())) {
  }
  Outcome result = asker.result();
  if (result.refusal.reason == "UNREACHABLE" && (tls.enabled() || !tls.ca.empty())) {
    const std::string explanation = ExplainTlsFailure(address, tls, options.dial_timeout);
    if (!explanation.empty()) result.refusal.message = NoLinkText(address, explanation);
  }
  return result;
}

}  // namespace

ProbeResult Probe(const std::string& address, const Keyring& keyring, const TlsFiles& tls, std::chrono::milliseconds timeout) {
  return Ask({.address = address}, keyring, {}, tls, timeout);
}

ErrandResult RunErrand(const std::string& address, const Keyring& keyring, const TlsFiles& tls, const wire::Errand& errand,
                       std::chrono::milliseconds timeout) {
  Outcome outcome = Ask({.address = address, .errand = errand}, keyring, {}, tls, timeout);
  return {{outcome.peer, outcome.refusal}, outcome.answer};
}

GrantResult ShowJoinToken(const std::string& address, const JoinToken& token, const Identity& self, const TlsFiles& tls,
                          std::chrono::milliseconds timeout) {
  Outcome outcome = Ask({.address = address, .token = token}, {}, self, tls, timeout);
  return {{outcome.peer, outcome.refusal}, outcome.granted};
}

}  // namespace coffer::link
