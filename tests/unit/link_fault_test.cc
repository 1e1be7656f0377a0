// Links in a bad world: peers that fall silent, lie, or are not peers at all.
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "link_puppet.h"
#include "link_test_support.h"
#include "proto/link/handshake.h"
#include "slowness.h"
#include "test_support.h"

namespace coffer::link {
namespace {

using Catch::Matchers::Contains;

// A listening socket on loopback that accepts nothing by itself.
class Listener {
 public:
  Listener() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&at), size) != 0 || listen(fd_, 16) != 0)
      throw std::runtime_error("bind");
    getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
  }
  ~Listener() { close(fd_); }
  int fd() const { return fd_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  const int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port_ = 0;
};

// Passes bytes between whoever connects and a port, until told to stop doing so: a cable that can be cut without a
// sound.
class Cable {
 public:
  explicit Cable(int port) : port_(port), thread_([this] { Run(); }) {}
  ~Cable() {
    over_ = true;
    thread_.join();
    for (const auto& [from, to] : pairs_) close(from);
  }
  std::string address() const { return listener_.address(); }
  void Cut() { cut_ = true; }

 private:
  void Run() {
    while (!over_) {
      std::vector<pollfd> wait{{listener_.fd(), POLLIN, 0}};
      if (!cut_) {
        for (const auto& [from, to] : pairs_) wait.push_back({from, POLLIN, 0});
      }
      if (poll(wait.data(), wait.size(), 10) <= 0) continue;
      if (wait[0].revents != 0) AcceptOne();
      for (std::size_t i = 1; i < wait.size(); ++i) {
        if (wait[i].revents != 0) Pass(wait[i].fd);
      }
    }
  }

  void AcceptOne() {
    const int near = accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC);
    const int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(port_);
    if (connect(far, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) shutdown(near, SHUT_RDWR);
    pairs_[near] = far;
    pairs_[far] = near;
  }

  void Pass(int from) {
    char bytes[65536];
    const ssize_t size = read(from, bytes, sizeof bytes);
    if (size > 0 && send(pairs_[from], bytes, size, MSG_NOSIGNAL) == size) return;
    const int to = pairs_[from];
    pairs_.erase(from);
    pairs_.erase(to);
    close(from);
    close(to);
  }

  const int port_;
  Listener listener_;
  std::map<int, int> pairs_;
  std::atomic<bool> cut_{false}, over_{false};
  std::thread thread_;
};

// The hello in a dialler's first frame.
std::string RequestHello(const DiallerHandshake& dialler) {
  wire::LinkRequest frame;
  REQUIRE(frame.ParseFromString(dialler.first_frame()));
  return frame.hello().SerializeAsString();
}

bool Down(Station& at, std::size_t count = 1) {
  return at.recorder.Until([&] { return at.recorder.downs.size() >= count; });
}

TEST_CASE("a refused connection is reported at once, a silent address within the dial timeout") {
  HubOptions patient;
  patient.dial_timeout *= kSlowness;
  Station a(1, patient);
  std::string closed;
  { closed = Listener().address(); }
  auto begin = std::chrono::steady_clock::now();
  a.hub->Dial(closed);
  REQUIRE(a.recorder.Until([&] { return a.recorder.failures.size() == 1; }));
  CHECK(a.recorder.failures[0].second.reason == "REFUSED");
  CHECK_THAT(a.recorder.failures[0].second.message, Contains(closed));
  CHECK(std::chrono::steady_clock::now() - begin < kSlowness * std::chrono::milliseconds(700));

  HubOptions hasty;
  hasty.dial_timeout = hasty.handshake_timeout = std::chrono::milliseconds(200);
  Station b(2, hasty);
  Listener mute;
  begin = std::chrono::steady_clock::now();
  b.hub->Dial(mute.address());
  REQUIRE(b.recorder.Until([&] { return b.recorder.failures.size() == 1; }));
  CHECK(b.recorder.failures[0].second.reason == "TIMEOUT");
  CHECK(std::chrono::steady_clock::now() - begin < kSlowness * std::chrono::seconds(2));
  CHECK(Probe(mute.address(), "x", {}, std::chrono::milliseconds(200)).refusal.reason == "TIMEOUT");

  a.hub->Dial("no-such-host.invalid:7701");
  REQUIRE(a.recorder.Until([&] { return a.recorder.failures.size() == 2; }));
  CHECK_THAT(a.recorder.failures[1].second.message, Contains("no-such-host.invalid"));
}

TEST_CASE("an address can be dialled again as soon as a dial has failed") {
  HubOptions patient;
  patient.dial_timeout *= kSlowness;
  Station a(1, patient);
  std::string closed;
  { closed = Listener().address(); }
  for (std::size_t i = 1; i <= 20; ++i) {
    a.hub->Dial(closed);
    REQUIRE(a.recorder.Until([&] { return a.recorder.failures.size() == i; }));
    CHECK(a.recorder.failures.back().second.reason == "REFUSED");
  }
}

TEST_CASE("a link whose other end falls silent breaks on both sides") {  // K1
  HubOptions options;
  options.keepalive = kSlowness * std::chrono::milliseconds(500);
  Station a(1, options), b(2, options);
  Cable cable(b.hub->port());
  a.hub->Dial(cable.address());
  REQUIRE(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
  const auto begin = std::chrono::steady_clock::now();
  cable.Cut();
  REQUIRE(Down(a));
  REQUIRE(Down(b));
  CHECK(std::chrono::steady_clock::now() - begin < kSlowness * std::chrono::seconds(4));
  CHECK(a.hub->stats().queued_bytes == 0);
}

TEST_CASE("when one of two links falls silent the other takes over what waits") {
  HubOptions options;
  options.keepalive = kSlowness * std::chrono::milliseconds(500);
  Station a(1, options), b(2, options);
  Cable cable(b.hub->port());
  a.hub->Dial(cable.address());
  REQUIRE(a.recorder.Until([&] { return !a.recorder.ups.empty(); }));
  REQUIRE(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
  b.hub->Dial(a.address());
  REQUIRE(Eventually([&] { return a.hub->stats().links == 2 && b.hub->stats().links == 2; }));
  cable.Cut();
  // More than the network holds, so that a frame is in flight when the link breaks.
  for (std::uint64_t i = 0; i < 500; ++i) REQUIRE(a.hub->Send(NodeOf(2), Replication(i, {std::string(32 << 10, 'x')})));
  REQUIRE(Eventually([&] { return a.hub->stats().links == 1; }));
  REQUIRE(a.hub->Send(NodeOf(2), Replication(1000)));
  REQUIRE(b.recorder.Until([&] {
    return !b.recorder.messages.empty() && b.recorder.messages.back().second.header.replicate().committed() == 1000;
  }));
  CHECK(Eventually([&] { return a.hub->stats().queued_bytes == 0; }));
  CHECK(a.recorder.downs.empty());
  CHECK(a.recorder.ups.size() == 1);
}

TEST_CASE("a quiet link lives") {  // K1
  HubOptions options;
  options.keepalive = kSlowness * std::chrono::milliseconds(500);
  Station a(1, options), b(2, options);
  a.hub->Dial(b.address());
  REQUIRE(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
  // Many keepalive periods without a message.
  CHECK_FALSE(a.recorder.Until([&] { return !a.recorder.downs.empty(); }, kSlowness * std::chrono::seconds(3)));
  CHECK(b.recorder.downs.empty());
  REQUIRE(a.hub->Send(NodeOf(2), Request(1)));
  CHECK(b.recorder.Until([&] { return b.recorder.messages.size() == 1; }));
}

TEST_CASE("a member that starts anew replaces the link of its earlier start, which may only seem to live") {
  Station b(2);
  auto old = std::make_unique<Station>(1);
  Cable cable(b.hub->port());
  old->hub->Dial(cable.address());
  REQUIRE(b.recorder.Until([&] { return b.recorder.ups.size() == 1; }));
  cable.Cut();

  Identity restarted = Member(1);
  restarted.boot = Boot(2);
  Station fresh(restarted, {});
  fresh.hub->Dial(b.address());
  REQUIRE(fresh.recorder.Until([&] { return fresh.recorder.failures.size() == 1; }));
  CHECK(fresh.recorder.failures[0].second.reason == "EARLIER_START");
  REQUIRE(Eventually([&] {
    fresh.hub->Dial(b.address());
    return b.recorder.Until([&] { return b.recorder.ups.size() == 2; }, std::chrono::milliseconds(50));
  }));
  CHECK(b.recorder.downs.size() == 1);
  CHECK(b.recorder.ups[1].boot == Boot(2));
  REQUIRE(b.hub->Send(NodeOf(1), Request(5)));
  CHECK(fresh.recorder.Until([&] { return fresh.recorder.messages.size() == 1; }));

  // The earlier start comes back to life: it is refused, the later one stays.
  Station revenant(1);
  revenant.hub->Dial(b.address());
  REQUIRE(revenant.recorder.Until([&] { return !revenant.recorder.failures.empty(); }));
  CHECK(revenant.recorder.failures[0].second.reason == "DUPLICATE_ID");
  CHECK(b.recorder.downs.size() == 1);
}

TEST_CASE("a later start is refused while the earlier one lives") {  // R8.8
  const bool same_boot = GENERATE(true, false);  // a copy of the data folder that was started as often
  Station b(2), first(Member(1, "node-1:7701"), {});
  first.hub->Dial(b.address());
  REQUIRE(b.recorder.Until([&] { return b.recorder.ups.size() == 1; }));
  Identity later = Member(1, "node-9:7701");
  if (!same_boot) later.boot = Boot(2);
  later.boot_nonce.bytes.fill(9);
  Station copy(later, {});
  REQUIRE(Eventually([&] {
    first.hub->Send(NodeOf(2), Request(1));  // a sign of life
    copy.hub->Dial(b.address());
    return copy.recorder.Until([&] { return !copy.recorder.failures.empty() && copy.recorder.failures.back().second.reason == "DUPLICATE_ID"; },
                               std::chrono::milliseconds(50));
  }));
  CHECK_THAT(copy.recorder.failures.back().second.message, Contains("node-1:7701") && Contains("data folder was copied"));
  CHECK(b.hub->Linked(NodeOf(1)));
  CHECK(b.recorder.ups.size() == 1);
  CHECK(b.recorder.downs.empty());
}

TEST_CASE("two processes with one id are told apart by their addresses") {  // R8.8
  Station b(2), first(Member(1, "node-1:7701"), {}), copy(Member(1, "node-9:7701"), {});
  first.hub->Dial(b.address());
  REQUIRE(b.recorder.Until([&] { return b.recorder.ups.size() == 1; }));
  copy.hub->Dial(b.address());
  REQUIRE(copy.recorder.Until([&] { return !copy.recorder.failures.empty(); }));
  CHECK(copy.recorder.failures[0].second.reason == "DUPLICATE_ID");
  CHECK_THAT(copy.recorder.failures[0].second.message, Contains("node-1:7701") && Contains("data folder was copied"));
  CHECK(b.hub->Linked(NodeOf(1)));
  CHECK(b.recorder.downs.empty());
}

TEST_CASE("a message above the limit ends the link, is counted and named") {
  HubOptions small;
  small.message_bytes = 100000;
  Station a(1), b(2, small);
  a.hub->Dial(b.address());
  REQUIRE(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
  REQUIRE(a.hub->Send(NodeOf(2), Replication(1, {std::string(50000, 'x')})));
  REQUIRE(a.hub->Send(NodeOf(2), Replication(2, {std::string(150000, 'x')})));
  REQUIRE(Down(b));
  CHECK(b.hub->stats().oversize_received == 1);
  CHECK_THAT(b.recorder.downs[0].second, Contains("larger than the limit of 100000"));
  CHECK(b.recorder.messages.size() == 1);
  REQUIRE(Down(a));
}

TEST_CASE("a frame that is not what it should be ends the link, is counted and named") {
  Station b(2);
  Puppet puppet(b.address());
  puppet.Introduce(Member(1));
  wire::LinkRequest good;
  good.add_envelopes()->mutable_peer()->mutable_data_request()->set_call(5);
  Seal(good.mutable_envelopes(0));
  REQUIRE(puppet.Write(good));
  REQUIRE(b.recorder.Until([&] { return b.recorder.messages.size() == 1; }));
  // Field 3 holds 3 bytes that promise 99.
  wire::LinkRequest damaged;
  UnknownFields(&damaged)->AddLengthDelimited(3, std::string("\x0a\x63z", 3));
  puppet.Write(damaged);
  REQUIRE(Down(b));
  CHECK(b.hub->stats().malformed_received == 1);
  CHECK_THAT(b.recorder.downs[0].second, Contains("not a valid message"));
  CHECK_THAT(puppet.Finish().error_message(), Contains("not a valid message"));
}

TEST_CASE("a message that was damaged on its way ends the link, is counted and named") {
  Station b(2);
  Puppet puppet(b.address());
  puppet.Introduce(Member(1));
  wire::LinkRequest frame;
  frame.add_envelopes()->mutable_peer()->mutable_data_request()->set_call(5);
  frame.mutable_envelopes(0)->add_bodies("what was put");
  Seal(frame.mutable_envelopes(0));
  frame.mutable_envelopes(0)->set_bodies(0, "what was pus");
  puppet.Write(frame);
  REQUIRE(Down(b));
  CHECK(b.hub->stats().malformed_received == 1);
  CHECK(b.recorder.messages.empty());
  CHECK_THAT(b.recorder.downs[0].second, Contains("checksum does not verify"));
  REQUIRE(b.recorder.refused.size() == 1);
  CHECK(b.recorder.refused[0].first == "node-1");
  CHECK(b.recorder.refused[0].second.reason == "DAMAGED");
}

TEST_CASE("who is not done with the handshake in time is cut off") {
  HubOptions hasty;
  hasty.handshake_timeout = std::chrono::milliseconds(300);
  Station b(2, hasty);
  Puppet puppet(b.address());
  puppet.Open();
  CHECK_FALSE(puppet.Read());
  CHECK_THAT(puppet.Finish().error_message(), Contains("handshake took longer"));
  CHECK(b.recorder.admitted.empty());
}

TEST_CASE("after a refusal nothing more is listened to") {
  Station b(2);
  Puppet puppet(b.address());
  puppet.Open();
  DiallerHandshake wrong("guess", Member(1), {.address = "there"});
  puppet.WriteBytes(wrong.first_frame());
  auto challenge = puppet.Read();
  REQUIRE(challenge);
  const std::string proof = *wrong.OnFrame(challenge->SerializeAsString()).send;
  puppet.WriteBytes(proof);
  // The right proof comes too late: there is one guess a stream.
  wire::LinkRequest right;
  right.mutable_proof()->set_mac(
      ProofOf("open sesame", "coffer link 1 dialler", RequestHello(wrong), challenge->hello().SerializeAsString()));
  puppet.Write(right);
  auto refusal = puppet.Read();
  REQUIRE(refusal);
  CHECK(refusal->refusal().reason() == "WRONG_SECRET");
  CHECK_FALSE(refusal->has_hello());
  CHECK_FALSE(puppet.Read());
  CHECK_FALSE(puppet.Finish().ok());
  CHECK(b.hub->stats().handshakes_refused == 1);
}

TEST_CASE("envelopes before the handshake are not delivered") {
  Station b(2);
  Puppet puppet(b.address());
  puppet.Open();
  wire::LinkRequest frame;
  frame.add_envelopes()->mutable_peer()->mutable_ping();
  puppet.Write(frame);
  auto refusal = puppet.Read();
  REQUIRE(refusal);
  CHECK(refusal->refusal().reason() == "MALFORMED");
  CHECK(b.recorder.messages.empty());
}

TEST_CASE("compressed frames are refused") {
  Station b(2);
  Puppet puppet(b.address());
  puppet.context().set_compression_algorithm(GRPC_COMPRESS_GZIP);
  puppet.Open();
  DiallerHandshake handshake("open sesame", Member(1), {.address = std::string(2000, 'a')});
  wire::LinkRequest frame;
  REQUIRE(frame.ParseFromString(handshake.first_frame()));
  puppet.Write(frame);
  CHECK_FALSE(puppet.Read());
  CHECK(puppet.Finish().error_code() == grpc::StatusCode::UNIMPLEMENTED);
}

TEST_CASE("strangers on the peer port don't disturb it") {
  Station a(1), b(2);
  for (int i = 0; i < 20; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(b.hub->port());
    REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    const std::string noise = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    REQUIRE(send(fd, noise.data(), noise.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(noise.size()));
    close(fd);
  }
  a.hub->Dial(b.address());
  CHECK(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
}

}  // namespace
}  // namespace coffer::link
