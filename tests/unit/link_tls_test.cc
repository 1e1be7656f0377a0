// Links under mutual TLS: who gets in, and what those who don't are told.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "link_test_support.h"
#include "proto/link/certificates.h"
#include "proto/link/credentials.h"
#include "proto/link/refusal_notices.h"
#include "proto/link/tls_check.h"
#include "test_support.h"

namespace coffer::link {
namespace {

using Catch::Matchers::Contains;

// A folder of certificates that goes with the test.
class Certificates {
 public:
  Certificates() {
    char name[] = "/tmp/coffer-certificates-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = name;
    MakeAuthority(folder_);
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }

  TlsFiles Make(const std::string& name, CertificateKind kind = CertificateKind::kMember, int days = 30,
                std::vector<std::string> hosts = {}) {
    if (hosts.empty()) hosts = {name, "127.0.0.1"};
    MakeCertificate(folder_, {.name = name, .hosts = std::move(hosts), .kind = kind, .days = days});
    return Files(name);
  }
  TlsFiles Files(const std::string& name) const {
    return {folder_ + "/" + name + ".pem", folder_ + "/" + name + ".key", folder_ + "/ca.pem"};
  }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

HubOptions With(TlsFiles tls) {
  HubOptions options;
  options.tls = std::move(tls);
  return options;
}

// As a member whose advertised address is on loopback.
Identity Local(std::uint8_t n) {
  return Member(n, "127.0.0.1:1");
}

// Dials and waits for the failure.
RefusalInfo FailingDial(Station& from, const std::string& address) {
  from.hub->Dial(address);
  REQUIRE(from.recorder.Until([&] { return !from.recorder.failures.empty(); }));
  return from.recorder.failures[0].second;
}

std::string StartError(const TlsFiles& tls) {
  try {
    Station station(Local(1), With(tls));
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

// Probe does not check its own files first: it stands for a peer that is set up wrongly.
std::string ProbeMessage(const std::string& address, const TlsFiles& tls) {
  const ProbeResult result = Probe(address, "open sesame", tls, std::chrono::seconds(5));
  CHECK_FALSE(result.peer);
  return result.refusal.reason + " " + result.refusal.message;
}

TEST_CASE("members with certificates of one authority link, and Admit learns the certificate's name") {
  Certificates certs;
  Station a(Local(1), With(certs.Make("node-1"))), b(Local(2), With(certs.Make("node-2")));
  a.hub->Dial(b.address());
  // Looked at under the lock: the second stream of the link is admitted meanwhile.
  const auto learned = [](Station& by, const std::string& name) {
    return by.recorder.Until([&] { return !by.recorder.ups.empty() && by.recorder.certificate_names.front() == name; });
  };
  CHECK(learned(b, "node-1"));
  CHECK(learned(a, "node-2"));
  REQUIRE(a.hub->Send(NodeOf(2), Request(1, {std::string(200000, 'v')})));
  REQUIRE(b.recorder.Until([&] { return b.recorder.messages.size() == 1; }));
  CHECK(b.recorder.messages[0].second.bodies[0]->size() == 200000);
}

TEST_CASE("a client's certificate does not open the peer port") {
  Certificates certs;
  Station b(Local(2), With(certs.Make("node-2")));
  const std::string said = ProbeMessage(b.address(), certs.Make("browser", CertificateKind::kClient));
  CHECK_THAT(said, Contains("CERTIFICATE_MISMATCH") && Contains("a client's") && Contains("coffer://member"));
  CHECK(b.recorder.ups.empty());
}

TEST_CASE("an expired certificate is refused, and the dialler is told why") {
  Certificates certs;
  const TlsFiles good = certs.Make("node-2");
  const TlsFiles expired = certs.Make("old", CertificateKind::kMember, -1);
  Station b(Local(2), With(good));
  CHECK_THAT(ProbeMessage(b.address(), expired), Contains("does not accept our certificate") && Contains("expired"));
}

TEST_CASE("a certificate of another authority is refused on either side") {
  Certificates certs, others;
  Station a(Local(1), With(certs.Make("node-1"))), b(Local(2), With(others.Make("node-2")));
  const RefusalInfo why = FailingDial(a, b.address());
  CHECK(why.reason == "UNREACHABLE");
  CHECK_THAT(why.message, Contains("its certificate is not signed by the authority in"));

  // We trust them, they don't trust us.
  TlsFiles credulous = certs.Files("node-1");
  credulous.ca = others.folder() + "/ca.pem";
  CHECK_THAT(ProbeMessage(b.address(), credulous), Contains("does not accept our certificate"));
}

TEST_CASE("a caller without a certificate gets nowhere") {
  Certificates certs;
  Station b(Local(2), With(certs.Make("node-2")));
  TlsFiles anonymous;
  anonymous.ca = certs.folder() + "/ca.pem";
  CHECK_THAT(ProbeMessage(b.address(), anonymous), Contains("certificate") && Contains("required"));
  CHECK(b.recorder.admitted.empty());
}

TEST_CASE("cleartext and TLS do not meet") {
  Certificates certs;
  Station a(Local(1), With(certs.Make("node-1"))), plain(Local(2), HubOptions{});
  CHECK_THAT(FailingDial(a, plain.address()).message, Contains("does not speak TLS"));
  CHECK_THAT(ProbeMessage(a.address(), {}), Contains("UNREACHABLE") && Contains("if it uses TLS, so must we"));
}

TEST_CASE("the certificate has to be for the name that was dialled") {
  Certificates certs;
  Station a(Local(1), With(certs.Make("node-1")));
  Station b(Local(2), With(certs.Make("node-2", CertificateKind::kMember, 30, {"node-2"})));
  CHECK_THAT(FailingDial(a, b.address()).message, Contains("not for 127.0.0.1 but for node-2"));
}

TEST_CASE("the certificate has to be for the name that the peer advertises") {
  Certificates certs;
  Station honest(Local(2), With(certs.Make("node-2")));
  Station liar(Member(1, "node-3:7701"), With(certs.Make("node-1")));
  const RefusalInfo why = FailingDial(liar, honest.address());
  CHECK(why.reason == "CERTIFICATE_MISMATCH");
  CHECK_THAT(why.message, Contains("certificate of 'node-1' is not for node-3"));
  CHECK(honest.recorder.admitted.empty());
}

TEST_CASE("a certificate serves only the member it was made for") {
  Certificates certs;
  Station honest(Local(2), With(certs.Make("node-2")));
  Station thief(Local(1), With(certs.Make("node-1")));
  Identity posing = Local(3);  // with node-1's certificate, under an address that certificate is for
  thief.hub->SetIdentity(posing);
  const RefusalInfo why = FailingDial(thief, honest.address());
  CHECK(why.reason == "CERTIFICATE_MISMATCH");
  CHECK_THAT(why.message, Contains("'node-1' was not made for the member 'node-3'"));
  // Who refuses is told too, for its log.
  REQUIRE(honest.recorder.Until([&] { return !honest.recorder.refused.empty(); }));
  CHECK(honest.recorder.refused[0].first == "node-3");
  CHECK(honest.recorder.refused[0].second.message == why.message);

  // The router within a node's process is named after the node, and has its certificate; nobody dials it.
  Identity within = Member(7);
  within.name = std::string("node-1") + kRouterWithin;
  within.role = coffer::v1::MEMBER_ROLE_ROUTER;
  Station inside(within, With(certs.Files("node-1")));
  inside.hub->Dial(honest.address());
  CHECK(inside.recorder.Until([&] { return !inside.recorder.ups.empty(); }));

  // The holder of another's certificate is told at once, before it dials anybody.
  std::string said;
  try {
    Station wrong(Local(3), With(certs.Files("node-1")));
  } catch (const std::runtime_error& error) {
    said = error.what();
  }
  CHECK_THAT(said, Contains("node-1.pem was not made for this member") && Contains("'node-3'"));
}

TEST_CASE("a caller that is refused is told of once in ten minutes, by host and reason, and strangers do not fill the log") {
  RefusalNotices notices;
  const RefusalNotices::Moment t0{std::chrono::hours(1)};
  CHECK(notices.Tell("10.0.0.1", "WRONG_SECRET", t0));
  CHECK_FALSE(notices.Tell("10.0.0.1", "WRONG_SECRET", t0 + std::chrono::minutes(9)));
  CHECK(notices.Tell("10.0.0.1", "FOREIGN_CLUSTER", t0));
  CHECK(notices.Tell("10.0.0.2", "WRONG_SECRET", t0));
  CHECK(notices.Tell("10.0.0.1", "WRONG_SECRET", t0 + std::chrono::minutes(10)));
  int told = 0;
  for (int i = 0; i < 1000; ++i) told += notices.Tell(std::to_string(i), "MALFORMED", t0 + std::chrono::minutes(11));
  CHECK(told == 99);
}

TEST_CASE("files that can't work are named at the start") {
  Certificates certs, others;
  const TlsFiles good = certs.Make("node-1");
  certs.Make("node-2");
  CHECK(StartError(good) == "");

  TlsFiles missing = good;
  missing.certificate = certs.folder() + "/nowhere.pem";
  CHECK_THAT(StartError(missing), Contains("nowhere.pem") && Contains("No such file"));
  TlsFiles no_key = good;
  no_key.key.clear();
  CHECK_THAT(StartError(no_key), Contains("no file is given for the key"));
  TlsFiles no_certificate = good;
  no_certificate.certificate.clear();
  CHECK_THAT(StartError(no_certificate), Contains("no file is given for the certificate"));
  TlsFiles swapped = good;
  swapped.key = certs.Files("node-2").key;
  CHECK_THAT(StartError(swapped), Contains("does not belong to the certificate"));
  TlsFiles foreign = good;
  foreign.ca = others.folder() + "/ca.pem";
  CHECK_THAT(StartError(foreign), Contains("not signed by the authority"));
  TlsFiles garbage = good;
  garbage.ca = good.key;
  CHECK_THAT(StartError(garbage), Contains("holds no PEM certificate"));
  CHECK_THAT(StartError(certs.Make("old", CertificateKind::kMember, -1)), Contains("has expired"));
  CHECK_THAT(StartError(certs.Make("browser", CertificateKind::kClient)), Contains("not a member's"));
}

// A gRPC server as the public front would start it, and whether a client gets a connection to it.
bool Connects(const TlsFiles& server_tls, CallerCertificate asks, const TlsFiles& client_tls) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", ServerCredentialsFor(server_tls, asks), &port);
  grpc::CallbackGenericService nothing;
  builder.RegisterCallbackGenericService(&nothing);
  auto server = builder.BuildAndStart();
  auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(port), ChannelCredentialsFor(client_tls));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  grpc::GenericStub stub(channel);
  std::promise<grpc::StatusCode> answer;
  const grpc::Slice empty("");
  grpc::ByteBuffer request(&empty, 1), response;
  stub.UnaryCall(&context, "/any.Service/Method", {}, &request, &response,
                 [&](const grpc::Status& status) { answer.set_value(status.error_code()); });
  // The server that answers this knows no method.
  const bool connected = answer.get_future().get() == grpc::StatusCode::UNIMPLEMENTED;
  server->Shutdown();
  return connected;
}

TEST_CASE("the public front may do without client certificates, ask for them, or insist") {
  Certificates certs, others;
  const TlsFiles server = certs.Make("node-1"), client = certs.Make("browser", CertificateKind::kClient);
  TlsFiles anonymous, deceived;
  anonymous.ca = server.ca;
  deceived.ca = others.folder() + "/ca.pem";
  CHECK(Connects(server, CallerCertificate::kNone, anonymous));
  CHECK(Connects(server, CallerCertificate::kOptional, anonymous));
  CHECK(Connects(server, CallerCertificate::kOptional, client));
  CHECK(Connects(server, CallerCertificate::kRequired, client));
  CHECK(Connects({}, CallerCertificate::kNone, {}));
  CHECK_FALSE(Connects(server, CallerCertificate::kRequired, anonymous));
  CHECK_FALSE(Connects(server, CallerCertificate::kNone, deceived));
  CHECK_FALSE(Connects(server, CallerCertificate::kNone, {}));
}

TEST_CASE("made certificates say what was asked for, keys are private, nothing is overwritten") {
  Certificates certs;
  const TlsFiles files =
      certs.Make("node-1", CertificateKind::kMember, 30, {"node-1", "*.example.org", "10.0.0.1", "::1"});
  std::ifstream in(files.certificate);
  const auto names = ReadCertificateNames(std::string(std::istreambuf_iterator<char>(in), {}));
  REQUIRE(names);
  CHECK(names->member);
  CHECK_FALSE(names->client);
  CHECK(names->First() == "node-1");
  CHECK(names->Covers("NODE-1"));
  CHECK(names->Covers("a.example.org"));
  CHECK_FALSE(names->Covers("a.b.example.org"));
  CHECK_FALSE(names->Covers("example.org"));
  CHECK(names->Covers("10.0.0.1"));
  CHECK(names->Covers("::1"));
  CHECK_FALSE(names->Covers("node-2"));
  using std::filesystem::perms;
  CHECK(std::filesystem::status(files.key).permissions() == (perms::owner_read | perms::owner_write));
  CHECK_THROWS_WITH(MakeAuthority(certs.folder()), Contains("File exists"));
  CHECK_THROWS_WITH(certs.Make("node-1"), Contains("File exists"));
  CHECK_THROWS_WITH(certs.Make("node-3,URI:coffer://member", CertificateKind::kClient), Contains("neither a DNS name"));
  CHECK_FALSE(ReadCertificateNames("not a certificate"));
}

}  // namespace
}  // namespace coffer::link
