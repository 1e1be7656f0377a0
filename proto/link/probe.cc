#include "proto/link/credentials.h"
#include "proto/link/endpoint.h"
#include "proto/link/session.h"
#include "proto/link/tls_check.h"

namespace coffer::link {
namespace {

// A host of one session that never becomes a link. Everything happens on the thread that asks, which polls.
class Asker final : public SessionHost {
 public:
  Identity Self() const override { return {}; }

  RefusalInfo JudgeCertificate(const Session& session) override {
    if (!session.certificate() || session.certificate()->member) return {};
    return {"CERTIFICATE_MISMATCH", "the certificate at " + session.aim().address + " is not a member's"};
  }

  RefusalInfo Judge(const Session& session) override {
    result_.peer = session.peer();
    return {};
  }

  bool Attach(const std::shared_ptr<Session>&) override { return false; }
  void Deliver(const Session&, std::vector<PeerMessage>) override {}
  void CountFrame(bool, std::size_t, std::size_t) override {}
  void CountFault(FrameFault) override {}
  void CountRefusal(const RefusalInfo&) override {}

  void Ended(const std::shared_ptr<Session>& session) override {
    if (!result_.peer) result_.refusal = session->ending();
    ended_ = true;
  }

  // Polls until the end, at most until `deadline`; false: not ended yet.
  bool Wait(Poller& poller, std::chrono::steady_clock::time_point deadline) {
    while (!ended_ && std::chrono::steady_clock::now() < deadline) poller.Poll(deadline);
    return ended_;
  }
  const ProbeResult& result() const { return result_; }

 private:
  ProbeResult result_;
  bool ended_ = false;
};

}  // namespace

ProbeResult Probe(const std::string& address, const std::string& secret, const TlsFiles& tls,
                  std::chrono::milliseconds timeout) {
  HubOptions options;
  options.secret = secret;
  options.tls = tls;
  options.dial_timeout = std::min(options.dial_timeout, timeout);
  options.handshake_timeout = timeout;
  const auto now = std::chrono::steady_clock::now();
  Poller poller(std::make_unique<grpc::CompletionQueue>());
  // What gRPC leaves behind dies here, when the stream is over.
  std::shared_ptr<void> remains;
  Asker asker;
  auto stream = DialledStream::Make(OpenChannel(address, options, ChannelCredentialsFor(tls)), &poller,
                                    [&remains](std::shared_ptr<void> call) { remains = std::move(call); });
  auto session = Session::Dial(&asker, options, {.address = address, .probe = true}, std::move(stream));
  session->Start();
  if (!asker.Wait(poller, now + options.dial_timeout)) session->OnConnectDeadline();
  if (!asker.Wait(poller, now + timeout)) session->OnHandshakeDeadline();
  asker.Wait(poller, std::chrono::steady_clock::time_point::max());
  session.reset();
  poller.Shutdown();
  while (poller.Poll(std::chrono::steady_clock::time_point::max())) {
  }
  ProbeResult result = asker.result();
  if (result.refusal.reason == "UNREACHABLE" && (tls.enabled() || !tls.ca.empty())) {
    const std::string explanation = ExplainTlsFailure(address, tls, options.dial_timeout);
    if (!explanation.empty()) result.refusal.message = "no link to " + address + ": " + explanation;
  }
  return result;
}

}  // namespace coffer::link
