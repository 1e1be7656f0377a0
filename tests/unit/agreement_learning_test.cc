// How a decided layout reaches everybody, sentence by sentence (docs/protocol.md, "Agreeing on a layout").
#include <set>

#include "agreement_fixture.h"
#include "cluster/layout_spread.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

constexpr auto kPush = wire::Peer::kLayoutPush;
constexpr auto kPull = wire::Peer::kLayoutPull;

const Layout kOne = FirstOf(4, {0});  // one voter decides alone; three others must be told

wire::Peer Push(const Layout& layout) {
  wire::Peer m;
  m.mutable_layout_push()->set_layout(Encode(layout));
  return m;
}

wire::Peer Pull(std::uint64_t have) {
  wire::Peer m;
  m.mutable_layout_pull()->set_have_epoch(have);
  return m;
}

std::multiset<NodeId> Receivers(const std::vector<Outgoing>& messages) {
  std::multiset<NodeId> to;
  for (const Outgoing& o : messages) to.insert(o.to);
  return to;
}

}  // namespace

TEST_CASE("A15: whoever decides tells all members of the old and of the new layout") {
  TestMember m(Node(0), 1, &kOne);
  Layout next = After(kOne, 7);
  next.members[3] = {.id = Node(9), .name = "node-9", .address = "node-9:7701"};  // node 3 leaves, node 9 joins
  m.Propose(next);
  m.SyncAll();
  CHECK(m.ended == true);
  CHECK(Receivers(m.TakeSent(kPush)) == std::multiset<NodeId>{Node(1), Node(2), Node(3), Node(9)});
}

TEST_CASE("A15: it repeats it at growing intervals until a member is seen to have it, and not for ever") {
  TestMember m(Node(0), 1, &kOne);
  m.Propose(After(kOne, 7));
  m.SyncAll();
  CHECK(m.TakeSent(kPush).size() == 3);
  m.Receive(Node(1), Pull(2));                                     // its receipt
  m.Run(m.agreement().PeerEpoch(m.now, Node(2), Epoch(2)));        // gossip
  Duration last{};
  int pushes = 1;
  while (m.agreement().NextDeadline() != kNever) {
    const Instant before = m.now;
    m.TickTo(m.agreement().NextDeadline());
    CHECK(m.now - before >= last);
    last = m.now - before;
    CHECK(Receivers(m.TakeSent(kPush)) == std::multiset<NodeId>{Node(3)});
    REQUIRE(++pushes <= LayoutSpread::kMaxPushes);
  }
  CHECK(pushes == LayoutSpread::kMaxPushes);
  // Seen again, still behind: told again, at the longest interval.
  for (int i = 0; i < 100; ++i) m.Run(m.agreement().PeerEpoch(m.now, Node(3), Epoch(1)));
  CHECK(m.sent.empty());
  CHECK(m.agreement().NextDeadline() >= m.now + LayoutSpread::kPushRetryMax);
  m.TickTo(m.agreement().NextDeadline());
  CHECK(Receivers(m.TakeSent(kPush)) == std::multiset<NodeId>{Node(3)});
}

TEST_CASE("A15: a peer that is known to have it is not told because of older news about it") {
  TestMember m(Node(0), 1, &kOne);
  m.Propose(After(kOne, 7));
  m.SyncAll();
  for (int n = 1; n <= 3; ++n) m.Receive(Node(n), Pull(2));
  m.sent.clear();
  m.Run(m.agreement().PeerEpoch(m.now, Node(1), Epoch(1)));
  CHECK(m.agreement().NextDeadline() == kNever);
}

TEST_CASE("A16: a push is answered by a pull that names our epoch, once that is durable") {
  TestMember m(Node(1), 1, &kOne);
  m.Receive(Node(0), Push(After(kOne, 7)));
  CHECK(m.sent.empty());
  m.SyncAll();
  auto sent = m.TakeSent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].to == Node(0));
  CHECK(sent[0].message.header.layout_pull().have_epoch() == 2);
  m.Receive(Node(0), Push(After(kOne, 7)));  // it comes again: the receipt was lost
  sent = m.TakeSent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].message.header.layout_pull().have_epoch() == 2);
  CHECK(m.writes() == 0);
}

TEST_CASE("A16: a pull is answered by the layout if the asker lacks it, else not at all") {
  const Layout second = After(kOne, 7);
  TestMember m(Node(1), 1, &second);
  m.Receive(Node(2), Pull(1));
  auto sent = m.TakeSent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].message.header.layout_push().layout() == Encode(second));
  m.Receive(Node(2), Pull(2));
  CHECK(m.TakeSent().empty());
}

namespace {

// As kOne, with so many partitions that the way from one layout to the next is shorter than a layout.
Layout Wide() {
  Layout layout = kOne;
  layout.settings.partitions = 100;
  layout.partitions.resize(100, layout.partitions[0]);
  return layout;
}

}  // namespace

TEST_CASE("A21: what is pushed to members that have the layout before is what is new") {
  const Layout one = Wide(), two = After(one, 7);
  TestMember decider(Node(0), 1, &one);
  decider.Propose(two);
  decider.SyncAll();
  const auto sent = decider.TakeSent(kPush);
  REQUIRE(sent.size() == 3);
  const wire::Peer& push = sent[0].message.header;
  CHECK(push.layout_push().layout().empty());
  CHECK(push.ByteSizeLong() < Encode(two).size() / 2);

  SECTION("who has it adopts the very bytes that were decided") {
    TestMember m(Node(1), 1, &one);
    m.Receive(Node(0), push);
    m.SyncAll();
    CHECK(m.disk().layout == Encode(two));
    const auto answers = m.TakeSent(kPull);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].message.header.layout_pull().have_epoch() == 2);
  }
  SECTION("who has none asks, and is given the layout whole") {
    TestMember m(Node(1), 1);
    m.Receive(Node(0), push);
    CHECK_FALSE(m.adopted);
    const auto answers = m.TakeSent(kPull);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].message.header.layout_pull().have_epoch() == 0);
    decider.Receive(Node(1), answers[0].message.header);
    const auto again = decider.TakeSent(kPush);
    REQUIRE(again.size() == 1);
    CHECK(again[0].message.header.layout_push().layout() == Encode(two));
  }
  SECTION("who has another layout of that epoch asks for it whole") {
    const Layout fork = [&] {
      Layout layout = one;
      layout.partitions[99].in_sync = {0};
      return layout;
    }();
    TestMember m(Node(1), 1, &fork);
    m.Receive(Node(0), push);
    CHECK(m.writes() == 0);
    const auto answers = m.TakeSent(kPull);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].message.header.layout_pull().whole());
    decider.Receive(Node(1), answers[0].message.header);
    const auto again = decider.TakeSent(kPush);
    REQUIRE(again.size() == 1);
    CHECK(again[0].message.header.layout_push().layout() == Encode(two));
  }
  SECTION("who is several layouts behind is told what is new since then") {
    decider.Propose(After(two, 8));
    decider.SyncAll();
    decider.sent.clear();
    decider.Receive(Node(1), Pull(1));
    const auto again = decider.TakeSent(kPush);
    REQUIRE(again.size() == 1);
    CHECK(again[0].message.header.layout_push().delta().base_epoch() == 1);
  }
}

TEST_CASE("A17: a decided layout is adopted however far ahead it is, and ends promise and acceptance") {
  TestMember m(Node(0), 1, &kOne);
  wire::Peer accept;
  accept.mutable_accept()->set_epoch(2);
  accept.mutable_accept()->mutable_ballot()->set_counter(5);
  accept.mutable_accept()->mutable_ballot()->set_node(Node(2).str());
  accept.mutable_accept()->set_layout(Encode(After(kOne, 6)));
  m.Receive(Node(2), accept);
  m.SyncAll();
  REQUIRE_FALSE(m.disk().accepted_layout.empty());
  Layout far = After(kOne, 7);
  far.epoch = Epoch(9);
  m.Receive(Node(2), Push(far));
  REQUIRE(m.adopted);
  CHECK(m.adopted->epoch == Epoch(9));
  CHECK(m.disk().layout == Encode(kOne));  // not effective yet
  m.SyncAll();
  CHECK(m.disk().layout == Encode(far));
  CHECK(m.disk().promised == Ballot{});
  CHECK(m.disk().accepted_ballot == Ballot{});
  CHECK(m.disk().accepted_layout.empty());
  m.Crash();
  m.Start();
  CHECK(m.agreement().epoch() == Epoch(9));
}

TEST_CASE("A17: a member without a layout takes the first it is given") {
  TestMember m(Node(3), 1);
  CHECK(m.agreement().layout() == nullptr);
  m.Receive(Node(0), Push(kOne));
  m.SyncAll();
  CHECK(m.agreement().epoch() == Epoch(1));
}

TEST_CASE("A17: a layout of another cluster is refused and counted") {
  TestMember m(Node(1), 1, &kOne);
  Layout foreign = After(kOne, 7);
  foreign.cluster.bytes[0] ^= 1;
  m.Receive(Node(0), Push(foreign));
  CHECK(m.agreement().counters().foreign == 1);
  CHECK(m.agreement().epoch() == Epoch(1));
  CHECK(m.writes() == 0);
  m.Run(m.agreement().Adopt(m.now, Encode(foreign)));
  CHECK(m.agreement().counters().foreign == 2);
  CHECK(m.agreement().epoch() == Epoch(1));
  // Who asked for it would be sent it again, and so on as fast as the network goes.
  CHECK(m.TakeSent(kPull).empty());
}

TEST_CASE("A16: a layout that can't be read is not asked for again at once") {
  TestMember m(Node(1), 1, &kOne);
  wire::Peer push;
  push.mutable_layout_push()->set_layout(Encode(After(kOne, 7)) + "\xc0\x3e\x01");
  m.Receive(Node(0), push);
  CHECK(m.agreement().counters().malformed == 1);
  CHECK(m.TakeSent(kPull).empty());
}

TEST_CASE("A17: a decided layout with fields of a later version is not adopted without them") {
  TestMember m(Node(1), 1, &kOne);
  m.Run(m.agreement().Adopt(m.now, Encode(After(kOne, 7)) + "\xc0\x3e\x01"));
  m.SyncAll();
  CHECK_FALSE(m.adopted);
  CHECK(m.agreement().epoch() == Epoch(1));
  CHECK(m.disk().layout == Encode(kOne));
}

TEST_CASE("A17: an older layout changes nothing, one of our epoch with other bytes is counted") {
  const Layout second = After(kOne, 7);
  TestMember m(Node(1), 1, &second);
  m.Receive(Node(0), Push(kOne));
  CHECK(m.agreement().counters().conflicting == 0);
  m.Receive(Node(0), Push(After(kOne, 8)));
  CHECK(m.agreement().counters().conflicting == 1);
  CHECK(m.agreement().state().layout == Encode(second));
  CHECK(m.writes() == 0);
}

TEST_CASE("A18: whoever sees a higher epoch pulls, from one peer at a time") {
  TestMember m(Node(0), 1, &kOne);
  for (int n = 1; n <= 3; ++n) m.Run(m.agreement().PeerEpoch(m.now, Node(n), Epoch(4)));
  CHECK(m.TakeSent(kPull).size() == 1);
  // Unanswered, it asks again, anyone who has it, and not for ever.
  std::set<NodeId> asked;
  int pulls = 1;
  while (m.agreement().NextDeadline() != kNever) {
    m.TickTo(m.agreement().NextDeadline());
    const auto sent = m.TakeSent(kPull);
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].message.header.layout_pull().have_epoch() == 1);
    asked.insert(sent[0].to);
    REQUIRE(++pulls <= 3 * LayoutSpread::kMaxPulls);
  }
  CHECK(pulls == 3 * LayoutSpread::kMaxPulls);
  CHECK(asked.size() == 3);
  // Seen again, it asks again; answered, it stops.
  m.TickTo(m.now + LayoutSpread::kPullRetry);
  m.Run(m.agreement().PeerEpoch(m.now, Node(2), Epoch(4)));
  CHECK(m.TakeSent(kPull).size() == 1);
  Layout fourth = kOne;
  fourth.epoch = Epoch(4);
  m.Receive(Node(2), Push(fourth));
  CHECK(m.agreement().NextDeadline() == kNever);
}

TEST_CASE("A18: whoever sees a lower epoch pushes, after a while in which others may have been faster") {
  const Layout second = After(kOne, 7);
  TestMember m(Node(0), 1, &second);
  m.Run(m.agreement().PeerEpoch(m.now, Node(1), Epoch(1)));
  m.Run(m.agreement().PeerEpoch(m.now, Node(2), Epoch(1)));
  CHECK(m.sent.empty());
  CHECK(m.agreement().NextDeadline() >= m.now + LayoutSpread::kOthersFirst);
  m.Run(m.agreement().PeerEpoch(m.now, Node(2), Epoch(2)));  // another was faster
  m.TickTo(m.now + LayoutSpread::kOthersFirst + LayoutSpread::kOthersSpread);
  CHECK(Receivers(m.TakeSent(kPush)) == std::multiset<NodeId>{Node(1)});
}

TEST_CASE("A18: our own epoch and those of a thousand strangers need no memory without bound") {
  const Layout second = After(kOne, 7);
  TestMember m(Node(0), 1, &second);
  m.Run(m.agreement().PeerEpoch(m.now, Node(0), Epoch(9)));
  CHECK(m.agreement().NextDeadline() == kNever);
  LayoutSpread spread(1, Epoch(2));
  for (std::size_t i = 0; i < 3 * LayoutSpread::kMaxPeers; ++i) {
    NodeId id = Node(1);
    id.bytes[14] = static_cast<std::uint8_t>(i >> 8);
    id.bytes[15] = static_cast<std::uint8_t>(i);
    spread.Seen(m.now, id, Epoch(1));
  }
  CHECK(spread.Take(m.now + std::chrono::seconds(10)).push.size() <= LayoutSpread::kMaxPeers);
}

}  // namespace coffer::cluster
