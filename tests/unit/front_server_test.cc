// The server as a whole: health, reflection, its port, and its end.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "front_fixture.h"
#include "proto/link/certificates.h"
#include "proto/link/credentials.h"
#include "proto/link/poller.h"
#include "router/front_probe.h"
#include "router/front_services.h"

namespace coffer::router {
namespace {

using std::chrono::milliseconds;

// grpc.health.v1.HealthCheckResponse.ServingStatus.
constexpr int kServing = 1;
constexpr int kNotServing = 2;

int HealthOf(const Front& front, const std::string& service) {
  const std::string request =
      service.empty() ? "" : std::string("\x0a") + static_cast<char>(service.size()) + service;
  std::string response;
  const grpc::Status status = Exchange(front.channel, "/grpc.health.v1.Health/Check", request, &response);
  if (!status.ok()) return -static_cast<int>(status.error_code());
  return response.size() == 2 ? response[1] : 0;
}

void AwaitHealth(const Front& front, const std::string& service, int wanted) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (HealthOf(front, service) != wanted) REQUIRE(std::chrono::steady_clock::now() < until);
}

TEST_CASE("health follows the api for every service and for the whole") {
  Front front;
  CHECK(HealthOf(front, "") == kServing);
  for (const std::string& name : ServiceNames()) {
    CAPTURE(name);
    CHECK(HealthOf(front, name) == kServing);
  }
  CHECK(HealthOf(front, "coffer.v1.Nothing") == -static_cast<int>(grpc::StatusCode::NOT_FOUND));
  front.api.serving = false;
  AwaitHealth(front, "", kNotServing);
  AwaitHealth(front, "coffer.v1.Chunks", kNotServing);
  front.api.serving = true;
  AwaitHealth(front, "", kServing);
  front.server->Drain();
  CHECK(HealthOf(front, "") == kNotServing);
  CHECK(HealthOf(front, "coffer.v1.Stream") == kNotServing);
}

TEST_CASE("reflection lists the services") {
  Front front;
  std::string response;
  // ServerReflectionRequest{list_services: ""}.
  const std::string request("\x3a\x00", 2);
  const std::string method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  REQUIRE(Exchange(front.channel, method, request, &response).ok());
  for (const std::string& name : ServiceNames()) {
    CAPTURE(name);
    CHECK(response.find(name) != std::string::npos);
  }
}

TEST_CASE("whoever watches health hears of each change until the server drains") {
  Front front;
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(front.channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  auto call = stub.PrepareCall(&context, "/grpc.health.v1.Health/Watch", &queue);
  const auto next = [&queue] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto heard = [&] {
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    return next() ? static_cast<int>(BytesOf(answer).back()) : 0;
  };
  call->StartCall(nullptr);
  REQUIRE(next());
  call->WriteLast(BufferOf(std::string()), {}, nullptr);
  REQUIRE(next());
  CHECK(heard() == kServing);
  front.api.serving = false;
  CHECK(heard() == kNotServing);
  front.api.serving = true;
  CHECK(heard() == kServing);
  front.server->Drain();
  while (heard() != 0) {  // that it serves no more may be said before the end, or not
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
  CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_CASE("reflection gives the file of a service and of its messages") {
  Front front;
  std::string response;
  // ServerReflectionRequest{file_containing_symbol: "coffer.v1.Chunks"}.
  const std::string request = "\x22\x10" "coffer.v1.Chunks";
  const std::string method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  REQUIRE(Exchange(front.channel, method, request, &response).ok());
  CHECK(response.find("coffer/v1/chunks.proto") != std::string::npos);
  CHECK(response.find("google/rpc/status.proto") != std::string::npos);  // which it imports
}

TEST_CASE("the front's calls can come over a poller of its owner") {
  FakeApi api;
  link::Poller poller(grpc::ServerBuilder().AddCompletionQueue());
  std::thread owner([&poller] {
    while (poller.Poll(std::chrono::steady_clock::time_point::max())) {
    }
  });
  std::thread::id arrived_on;
  api.arrived = [&] { arrived_on = std::this_thread::get_id(); };
  FrontOptions options;
  options.listen = "127.0.0.1:0";
  options.poller = &poller;
  auto server = FrontServer::Start(options, &api);
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()), grpc::InsecureChannelCredentials());
  std::string response;
  auto got = std::async(std::launch::async, [&] { return Exchange(channel, "/coffer.v1.Chunks/Get", "", &response); });
  api.Next()->Answer("here");
  CHECK(got.get().ok());
  CHECK(response == "here");
  const auto owned = owner.get_id();
  server->Stop(milliseconds(0));
  poller.Shutdown();
  owner.join();
  CHECK(arrived_on == owned);
}

TEST_CASE("a port in use is an error that says so") {
  Front front;
  FrontOptions options;
  options.listen = "127.0.0.1:" + std::to_string(front.server->port());
  FakeApi api;
  std::string message;
  try {
    FrontServer::Start(options, &api);
  } catch (const std::runtime_error& e) {
    message = e.what();
  }
  CHECK_THAT(message, Catch::Contains(options.listen) && Catch::Contains("in use"));
}

TEST_CASE("compressed requests are refused") {
  Front front;
  std::string response;
  const grpc::Status status = Exchange(front.channel, "/coffer.v1.Chunks/Get", std::string(100'000, 0), &response,
                                       GRPC_COMPRESS_GZIP);
  CHECK(status.error_code() == grpc::StatusCode::UNIMPLEMENTED);
  CHECK(front.api.waiting() == 0);
}

TEST_CASE("requests over the message limit are refused") {
  Front front;
  std::string response;
  const grpc::Status status =
      Exchange(front.channel, "/coffer.v1.Chunks/Put", std::string((17 << 20) + 1, 0), &response);
  CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(front.api.waiting() == 0);
}

TEST_CASE("a draining server refuses new calls, and stopping waits for those under way") {
  Front front;
  std::string first;
  auto under_way = std::async(std::launch::async, [&] {
    return Exchange(front.channel, "/coffer.v1.Chunks/Get", "", &first);
  });
  auto call = front.api.Next();
  front.server->Drain();
  std::string response;
  const grpc::Status refused = Exchange(front.channel, "/coffer.v1.Chunks/Get", "", &response);
  CHECK(refused.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(ReasonOf(DetailsOf(refused)) == "STOPPING");

  auto stopped = std::async(std::launch::async, [&] { front.server->Stop(milliseconds(kPatience)); });
  CHECK(stopped.wait_for(milliseconds(50)) == std::future_status::timeout);
  call->Answer("done");
  CHECK(under_way.get().ok());
  CHECK(first == "done");
  stopped.get();
}

TEST_CASE("a call that never ends does not hold up the stop") {
  Front front;
  std::string response;
  auto stuck = std::async(std::launch::async, [&] {
    return Exchange(front.channel, "/coffer.v1.Chunks/Get", "", &response);
  });
  auto call = front.api.Next();
  front.server->Stop(milliseconds(50));
  CHECK_FALSE(stuck.get().ok());
  front.api.AwaitCancel(call);
}

TEST_CASE("the probe tells a listener that accepts from one that does not") {
  Front front;
  CHECK(ProbeListener("0.0.0.0", front.server->port(), milliseconds(kPatience)) == ProbeOutcome::kAccepted);

  // A socket that listens and never accepts, as gRPC leaves it after running out of descriptors.
  const int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(bind(deaf, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(deaf, 64) == 0);
  socklen_t size = sizeof address;
  REQUIRE(getsockname(deaf, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const int port = ntohs(address.sin_port);
  CHECK(ProbeListener("127.0.0.1", port, milliseconds(20)) == ProbeOutcome::kSilent);

  std::promise<std::string> dead;
  ListenerProbe::Options options;
  options.host = "127.0.0.1";
  options.port = port;
  options.interval = milliseconds(1);
  options.patience = milliseconds(10);
  options.on_dead = [&](const std::string& message) { dead.set_value(message); };
  ListenerProbe probe(options);
  auto message = dead.get_future();
  REQUIRE(message.wait_for(kPatience) == std::future_status::ready);
  CHECK_THAT(message.get(), Catch::Contains(std::to_string(port)) && Catch::Contains("ulimit"));
  close(deaf);
  CHECK(ProbeListener("127.0.0.1", port, milliseconds(20)) == ProbeOutcome::kSilent);
}

// A private authority, a certificate of the server and one of a client, in a folder of their own.
class Certificates {
 public:
  Certificates() {
    char name[] = "/tmp/coffer-front-XXXXXX";
    REQUIRE(mkdtemp(name));
    folder_ = name;
    link::MakeAuthority(folder_);
    link::MakeCertificate(folder_, {"server", {"127.0.0.1"}, link::CertificateKind::kMember});
    link::MakeCertificate(folder_, {"ops", {}, link::CertificateKind::kClient});
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }
  link::TlsFiles Of(const std::string& name) const {
    return {folder_ + "/" + name + ".pem", folder_ + "/" + name + ".key", folder_ + "/ca.pem"};
  }
  link::TlsFiles AuthorityOnly() const { return {"", "", folder_ + "/ca.pem"}; }

 private:
  std::string folder_;
};

grpc::Status GetOverTls(const FrontServer& server, const link::TlsFiles& files) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto channel = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server.port()),
                                                 link::ChannelCredentialsFor(files), arguments);
  std::string response;
  return Exchange(channel, "/coffer.v1.Chunks/Get", "", &response);
}

TEST_CASE("over TLS the caller's certificate is told to the api, and can be required") {
  const Certificates certificates;
  FakeApi api;
  FrontOptions options;
  options.listen = "127.0.0.1:0";
  options.tls = certificates.Of("server");
  const auto open = FrontServer::Start(options, &api);

  auto with = std::async(std::launch::async, [&] { return GetOverTls(*open, certificates.Of("ops")); });
  auto call = api.Next();
  CHECK(call->caller.certificate_name == "ops");
  call->Answer("");
  CHECK(with.get().ok());
  auto without = std::async(std::launch::async, [&] { return GetOverTls(*open, certificates.AuthorityOnly()); });
  call = api.Next();
  CHECK(call->caller.certificate_name.empty());
  call->Answer("");
  CHECK(without.get().ok());

  options.require_certificate = true;
  const auto closed = FrontServer::Start(options, &api);
  CHECK(GetOverTls(*closed, certificates.AuthorityOnly()).error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(GetOverTls(*closed, {}).error_code() == grpc::StatusCode::UNAVAILABLE);
  auto shown = std::async(std::launch::async, [&] { return GetOverTls(*closed, certificates.Of("ops")); });
  api.Next()->Answer("");
  CHECK(shown.get().ok());
  // The probe knows no certificate, and needs none.
  CHECK(ProbeListener("127.0.0.1", closed->port(), milliseconds(kPatience)) == ProbeOutcome::kAccepted);
}

}  // namespace
}  // namespace coffer::router
