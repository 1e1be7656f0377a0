// Two hubs on loopback in cleartext: links come and go, messages arrive in order and within bounds.
#include <atomic>
#include <filesystem>
#include <thread>

#include "link_test_support.h"
#include "test_support.h"
#include "unit/slowness.h"

namespace coffer::link {
namespace {

using Catch::Matchers::Contains;

// Both sides have noticed the link.
void Connect(Station& from, Station& to) {
  const std::size_t here = from.recorder.ups.size(), there = to.recorder.ups.size();
  from.hub->Dial(to.address());
  REQUIRE(from.recorder.Until([&] { return from.recorder.ups.size() > here; }));
  REQUIRE(to.recorder.Until([&] { return to.recorder.ups.size() > there; }));
}

bool Received(Station& at, std::size_t count) {
  return at.recorder.Until([&] { return at.recorder.messages.size() >= count; });
}

// Sends bulk messages, each awaited, until one took the second stream.
void AwaitBulkLane(Station& from, Station& to, const NodeId& id) {
  std::size_t sent = to.recorder.messages.size();
  while (from.hub->stats().bulk_messages_sent == 0) {
    REQUIRE(from.hub->Send(id, Request(0, {std::string(70000, 'b')})));
    REQUIRE(Received(to, ++sent));
  }
}

RefusalInfo Failure(Station& from, const std::string& address) {
  const std::size_t before = from.recorder.failures.size();
  from.hub->Dial(address);
  REQUIRE(from.recorder.Until([&] { return from.recorder.failures.size() > before; }));
  CHECK(from.recorder.failures.back().first == address);
  return from.recorder.failures.back().second;
}

TEST_CASE("two hubs link and exchange messages in both directions") {
  Station a(1), b(2);
  Connect(a, b);
  CHECK(a.recorder.ups[0].id == NodeOf(2));
  CHECK(b.recorder.ups[0].name == "node-1");
  CHECK(a.hub->Linked(NodeOf(2)));
  CHECK_FALSE(a.hub->Linked(NodeOf(3)));

  CHECK(a.hub->Send(NodeOf(2), Request(7, {"small", "", std::string(100000, 'x')})));
  REQUIRE(Received(b, 1));
  const auto& [from, message] = b.recorder.messages[0];
  CHECK(from == NodeOf(1));
  CHECK(message.header.data_request().call() == 7);
  REQUIRE(message.bodies.size() == 3);
  CHECK(*message.bodies[0] == "small");
  CHECK(message.bodies[1]->empty());
  CHECK(*message.bodies[2] == std::string(100000, 'x'));

  CHECK(b.hub->Send(NodeOf(1), Request(8)));
  REQUIRE(Received(a, 1));
  CHECK(a.recorder.messages[0].second.header.data_request().call() == 8);
}

TEST_CASE("what is queued leaves with the flush, in few frames") {
  Station a(1), b(2);
  Connect(a, b);
  const std::uint64_t before = a.hub->stats().frames_sent;
  constexpr std::uint64_t kCount = 400;
  for (std::uint64_t i = 0; i < kCount; ++i) REQUIRE(a.hub->Queue(NodeOf(2), Request(i)));
  a.hub->Flush();
  REQUIRE(Received(b, kCount));
  for (std::uint64_t i = 0; i < kCount; ++i) CHECK(b.recorder.messages[i].second.header.data_request().call() == i);
  // In one, but for what the hub's own thread takes along when a frame of the handshake has just been written.
  CHECK(a.hub->stats().frames_sent < before + kCount / 4);
  CHECK_FALSE(a.hub->Queue(NodeOf(3), Request(0)));
  a.hub->Flush();  // nothing waits: no harm
}

TEST_CASE("messages of one lane stay in order, many share a frame") {
  Station a(1), b(2);
  Connect(a, b);
  constexpr std::uint64_t kCount = 20000;
  for (std::uint64_t i = 0; i < kCount; ++i) REQUIRE(a.hub->Send(NodeOf(2), Replication(i, {std::string(100, 'x')})));
  REQUIRE(Received(b, kCount));
  for (std::uint64_t i = 0; i < kCount; ++i) REQUIRE(b.recorder.messages[i].second.header.replicate().committed() == i);
  const HubStats sent = a.hub->stats(), received = b.hub->stats();
  CHECK(sent.messages_sent == kCount);
  CHECK(sent.frames_sent < kCount / 4 * kSlowness);  // a slow sender finds the line free more often
  CHECK(received.frames_received == sent.frames_sent);
  CHECK(received.bytes_received == sent.bytes_sent);
  CHECK(received.messages_received == kCount);
}

TEST_CASE("large values of data messages take the second stream, replication never does") {
  Station a(1), b(2);
  Connect(a, b);
  AwaitBulkLane(a, b, NodeOf(2));
  AwaitBulkLane(b, a, NodeOf(1));  // the accepting side uses it too

  const auto bulk = a.hub->stats().bulk_messages_sent;
  const std::size_t before = b.recorder.messages.size();
  for (std::uint64_t i = 0; i < 200; ++i) {
    REQUIRE(a.hub->Send(NodeOf(2), Replication(i, {std::string(i % 3 == 0 ? 200000 : 10, 'r')})));
  }
  REQUIRE(a.hub->Send(NodeOf(2), Request(1, {std::string(1000, 's')})));
  REQUIRE(Received(b, before + 201));
  for (std::uint64_t i = 0; i < 200; ++i) {
    REQUIRE(b.recorder.messages[before + i].second.header.replicate().committed() == i);
  }
  CHECK(a.hub->stats().bulk_messages_sent == bulk);
}

TEST_CASE("a peer that reads slowly fills its queue up to the bound and no further") {  // I18
  HubOptions options;
  options.queue_bytes = 1 << 20;
  // They outlive the stations: the last message may still arrive.
  std::mutex gate;
  std::vector<std::uint64_t> got;
  Station a(1, options), b(2);
  b.recorder.on_message = [&](const NodeId&, PeerMessage message) {
    std::lock_guard wait(gate);
    got.push_back(message.header.replicate().committed());
    b.recorder.changed.notify_all();
  };
  Connect(a, b);
  std::uint64_t accepted = 0;
  {
    std::lock_guard closed(gate);
    bool full = false;
    // What the network holds is bounded too, so this ends.
    while (!full && accepted < 100000) {
      full = !a.hub->Send(NodeOf(2), Replication(accepted, {std::string(32 << 10, 'x')}));
      if (!full) ++accepted;
      CHECK(a.hub->stats().queued_bytes <= options.queue_bytes);
    }
    REQUIRE(full);
    CHECK(a.hub->stats().dropped_full == 1);
  }
  REQUIRE(b.recorder.Until([&] {
    std::lock_guard look(gate);
    return got.size() == accepted;
  }));
  for (std::uint64_t i = 0; i < accepted; ++i) REQUIRE(got[i] == i);
  CHECK(a.hub->Send(NodeOf(2), Replication(accepted)));
}

TEST_CASE("what can't be sent is counted") {
  HubOptions options;
  options.message_bytes = 10000;
  Station a(1, options), b(2);
  CHECK_FALSE(a.hub->Send(NodeOf(2), Request(1)));
  CHECK(a.hub->stats().dropped_unlinked == 1);
  Connect(a, b);
  CHECK_FALSE(a.hub->Send(NodeOf(2), Request(1, {std::string(10000, 'x')})));
  CHECK(a.hub->stats().dropped_oversize == 1);
  CHECK(a.hub->Send(NodeOf(2), Request(1, {std::string(9000, 'x')})));
  CHECK(Received(b, 1));
}

TEST_CASE("the end of one side is noticed at once, and a link can be made anew") {
  Station a(1);
  auto b = std::make_unique<Station>(2);
  Connect(a, *b);
  HubOptions same_port;
  same_port.listen = b->address();
  const std::string address = b->address();
  b.reset();
  REQUIRE(a.recorder.Until([&] { return a.recorder.downs.size() == 1; }, std::chrono::seconds(2)));
  CHECK(a.recorder.downs[0].first == NodeOf(2));
  CHECK_FALSE(a.recorder.downs[0].second.empty());
  CHECK_FALSE(a.hub->Linked(NodeOf(2)));

  Identity restarted = Member(2);
  restarted.boot = Boot(2);
  Station again(restarted, same_port);
  a.hub->Dial(address);
  REQUIRE(a.recorder.Until([&] { return a.recorder.ups.size() == 2; }));
  CHECK(a.recorder.ups[1].boot == Boot(2));
}

TEST_CASE("Drop ends a link on both sides") {
  Station a(1), b(2);
  Connect(a, b);
  const bool from_dialler = GENERATE(true, false);
  (from_dialler ? a : b).hub->Drop(NodeOf(from_dialler ? 2 : 1), "for a test");
  REQUIRE(a.recorder.Until([&] { return a.recorder.downs.size() == 1; }));
  REQUIRE(b.recorder.Until([&] { return b.recorder.downs.size() == 1; }));
  CHECK((from_dialler ? a : b).recorder.downs[0].second == "for a test");
}

TEST_CASE("two links from dialling at the same time are one to the handler") {
  Station a(1), b(2);
  a.hub->Dial(b.address());
  b.hub->Dial(a.address());
  REQUIRE(a.recorder.Until([&] { return !a.recorder.ups.empty(); }));
  REQUIRE(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    REQUIRE(a.hub->Send(NodeOf(2), Replication(i)));
    REQUIRE(b.hub->Send(NodeOf(1), Replication(i)));
  }
  REQUIRE(Received(a, 1000));
  REQUIRE(Received(b, 1000));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    REQUIRE(a.recorder.messages[i].second.header.replicate().committed() == i);
    REQUIRE(b.recorder.messages[i].second.header.replicate().committed() == i);
  }
  CHECK(a.recorder.ups.size() == 1);
  CHECK(b.recorder.ups.size() == 1);
  CHECK(a.recorder.failures.empty());
  b.hub->Stop();
  REQUIRE(a.recorder.Until([&] { return !a.hub->Linked(NodeOf(2)) && !a.recorder.downs.empty(); }));
  CHECK(a.recorder.downs.size() == 1);
  CHECK(b.recorder.downs.size() == 1);
}

TEST_CASE("an address that is linked, or being dialled, is not dialled again") {
  Station a(1), b(2);
  for (int i = 0; i < 10; ++i) a.hub->Dial(b.address());
  REQUIRE(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
  REQUIRE(a.recorder.Until([&] { return !a.recorder.ups.empty(); }));
  for (int i = 0; i < 10; ++i) a.hub->Dial(b.address());
  AwaitBulkLane(a, b, NodeOf(2));
  CHECK(a.hub->stats().links == 1);
  CHECK(b.hub->stats().links == 1);
}

TEST_CASE("who may not link is told why, and the handler never sees a link") {
  Station a(1);
  HubOptions options;
  Identity other = Member(2);
  std::string reason, words;
  SECTION("another secret") {
    options.keyring = "another";
    reason = "WRONG_SECRET";
    words = "same secret file";
  }
  SECTION("another cluster") {
    other.cluster = ClusterOf(9);
    reason = "FOREIGN_CLUSTER";
    words = "belongs to cluster";
  }
  SECTION("our own id") {
    other.id = NodeOf(1);
    reason = "OWN_ID";
    words = "data folder was copied";
  }
  Station b(other, options);
  const RefusalInfo why = Failure(a, b.address());
  CHECK(why.reason == reason);
  CHECK_THAT(why.message, Contains(words));
  CHECK(b.recorder.ups.empty());
  CHECK(b.recorder.admitted.empty());
  CHECK(a.recorder.ups.empty());
  CHECK(a.hub->stats().handshakes_refused == 1);
}

TEST_CASE("the handler of either side may refuse") {
  Station a(1), b(2);
  const bool dialler_refuses = GENERATE(true, false);
  (dialler_refuses ? a : b).recorder.refuse = {"RETIRED_ID", "this id was retired"};
  const RefusalInfo why = Failure(a, b.address());
  CHECK(why.reason == "RETIRED_ID");
  CHECK(why.message == "this id was retired");
  CHECK(a.recorder.ups.empty());
  CHECK(b.recorder.ups.empty());
}

TEST_CASE("our own address is recognised") {
  Station a(1);
  CHECK(Failure(a, a.address()).reason == "SELF");
  CHECK(a.hub->stats().handshakes_refused == 0);
  CHECK(a.recorder.admitted.empty());
}

TEST_CASE("a member without a cluster links, and dials as a member once it has joined one") {
  Identity newcomer = Member(2);
  newcomer.cluster = ClusterId();
  Station a(1), b(newcomer, {});
  Connect(a, b);
  CHECK(a.recorder.ups[0].cluster.IsZero());
  b.hub->SetIdentity(Member(2));
  Station c(3);
  Connect(c, b);
  CHECK(c.recorder.ups[0].cluster == ClusterOf(1));
  CHECK(a.hub->Linked(NodeOf(2)));
}

TEST_CASE("the secret is changed without a moment without a link") {
  HubOptions options;
  options.keyring = "the older secret";
  options.dial_timeout = kPatience;
  Station a(Member(1), options), b(Member(2), options);
  // Addresses that lead to them.
  a.hub->SetIdentity(Member(1, a.address()));
  b.hub->SetIdentity(Member(2, b.address()));
  Connect(a, b);
  const Keyring added = Keyring::Parse("the older secret\nthe newer secret\n", "the test");
  const Keyring used = Keyring::Parse("the newer secret\nthe older secret\n", "the test");
  const auto began = std::chrono::steady_clock::now();
  for (const Keyring& step : {added, used, Keyring("the newer secret")}) {
    for (Station* station : {&a, &b}) station->hub->SetSecrets(step);
  }
  // A link by the new secret replaced the old one: the old secret opens nothing any more, and nobody was ever gone.
  REQUIRE(Eventually([&] { return a.hub->stats().links > 0 && b.hub->stats().links > 0; }));
  CHECK(Probe(b.address(), "the older secret", {}, std::chrono::seconds(10)).refusal.reason == "WRONG_SECRET");
  CHECK(Probe(b.address(), "the newer secret", {}, std::chrono::seconds(10)).peer);
  // What was on its way over the old link may be lost, as with any link.
  REQUIRE(Eventually([&] {
    a.hub->Send(NodeOf(2), Request(7));
    return b.recorder.Until([&] { return !b.recorder.messages.empty(); }, std::chrono::milliseconds(50));
  }));
  // Links that are not replaced within 5 s are ended, so a machine that stood still as long proves nothing.
  if (std::chrono::steady_clock::now() - began > std::chrono::seconds(4)) return;
  CHECK(a.recorder.downs.empty());
  CHECK(b.recorder.downs.empty());
}

TEST_CASE("a port in use is named at the start") {
  Station a(1);
  HubOptions options;
  options.listen = a.address();
  CHECK_THROWS_WITH(Station(2, options), Contains(a.address()) && Contains("in use"));
  options.listen = "192.0.2.1:7701";
  CHECK_THROWS_WITH(Station(2, options), Contains("192.0.2.1:7701") && Contains("assign"));
}

TEST_CASE("a hub stops while messages are on their way") {
  for (int round = 0; round < 5; ++round) {
    Station a(1);
    auto b = std::make_unique<Station>(2);
    Connect(a, *b);
    std::atomic<bool> over{false};
    std::thread sender([&] {
      for (std::uint64_t i = 0; !over; ++i) {
        a.hub->Send(NodeOf(2), Request(i, {std::string(i % 100 == 0 ? 100000 : 50, 'x')}));
        b->hub->Send(NodeOf(1), Request(i, {std::string(i % 100 == 0 ? 100000 : 50, 'x')}));
      }
    });
    const bool had = Received(*b, 500) && Received(a, 500);
    (round % 2 == 0 ? *b : a).hub->Stop();
    const std::size_t after = (round % 2 == 0 ? *b : a).recorder.messages.size();
    const bool noticed =
        (round % 2 == 0 ? a : *b).recorder.Until([&] { return !(round % 2 == 0 ? a : *b).recorder.downs.empty(); });
    over = true;
    sender.join();
    CHECK(had);
    CHECK(noticed);
    CHECK((round % 2 == 0 ? *b : a).recorder.messages.size() == after);
    CHECK((round % 2 == 0 ? a : *b).hub->stats().queued_bytes == 0);
  }
}

std::size_t OpenFiles() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::size_t Threads() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

TEST_CASE("a thousand links that come and go leave nothing behind") {
  Station a(1), b(2);
  std::size_t files = 0, threads = 0;
  for (std::size_t round = 1; round <= 1000; ++round) {
    a.hub->Dial(b.address());
    REQUIRE(a.recorder.Until([&] { return a.recorder.ups.size() == round; }));
    REQUIRE(b.recorder.Until([&] { return b.recorder.ups.size() == round; }));
    (round % 2 == 0 ? a : b).hub->Drop(NodeOf(round % 2 == 0 ? 2 : 1), "next round");
    REQUIRE(a.recorder.Until([&] { return a.recorder.downs.size() == round; }));
    REQUIRE(b.recorder.Until([&] { return b.recorder.downs.size() == round; }));
    if (round == 100) files = OpenFiles(), threads = Threads();
  }
  CHECK(OpenFiles() <= files + 20);
  CHECK(Threads() <= threads + 8);
  CHECK(a.hub->stats().links == 0);
}

// Not run by default: link_hub_test "[.speed]" prints what a link carries on this machine.
TEST_CASE("speed of a link", "[.speed]") {
  Station a(1), b(2);
  std::atomic<std::uint64_t> got{0};
  b.recorder.on_message = [&](const NodeId&, PeerMessage message) {
    if (message.header.data_request().call() == 1) b.hub->Send(NodeOf(1), Request(2));
    ++got;
    b.recorder.changed.notify_all();
  };
  Connect(a, b);
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };

  constexpr std::uint64_t kCount = 500000;
  const auto value = std::make_shared<const std::string>(1024, 'x');
  auto begin = Clock::now();
  for (std::uint64_t i = 0; i < kCount; ++i) {
    PeerMessage message = Request(0);
    message.bodies.push_back(value);
    while (!a.hub->Send(NodeOf(2), message)) std::this_thread::yield();
  }
  REQUIRE(b.recorder.Until([&] { return got == kCount; }));
  const double sent = seconds(Clock::now() - begin);
  const HubStats stats = a.hub->stats();
  WARN("1 KiB messages: " << static_cast<std::uint64_t>(kCount / sent) << "/s, "
                          << stats.messages_sent / stats.frames_sent << " messages a frame");

  constexpr std::size_t kEchoes = 20000;
  begin = Clock::now();
  for (std::size_t i = 1; i <= kEchoes; ++i) {
    REQUIRE(a.hub->Send(NodeOf(2), Request(1)));
    REQUIRE(Received(a, i));
  }
  WARN("echo: " << static_cast<std::uint64_t>(1e6 * seconds(Clock::now() - begin) / kEchoes) << " us");

  constexpr std::uint64_t kLarge = 2000;
  const auto large = std::make_shared<const std::string>(1 << 20, 'x');
  got = 0;
  begin = Clock::now();
  for (std::uint64_t i = 0; i < kLarge; ++i) {
    PeerMessage message = Request(0);
    message.bodies.push_back(large);
    while (!a.hub->Send(NodeOf(2), message)) std::this_thread::yield();
  }
  REQUIRE(b.recorder.Until([&] { return got == kLarge; }));
  WARN("1 MiB values: " << static_cast<std::uint64_t>(kLarge / seconds(Clock::now() - begin)) << " MiB/s");
}

}  // namespace
}  // namespace coffer::link
