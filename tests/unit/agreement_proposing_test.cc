// Proposing, sentence by sentence (docs/protocol.md, "Agreeing on a layout").
#include <set>

#include "agreement_messages.h"
#include "cluster/proposer.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

const Layout kFive = FirstOf(6, {0, 1, 2, 3, 4});

// Waits until the proposer under test asks for promises again.
wire::Prepare NextAttempt(TestMember& m) {
  for (int i = 0; i < 10; ++i) {
    REQUIRE(m.agreement().NextDeadline() != kNever);
    m.TickTo(m.agreement().NextDeadline());
    m.SyncAll();
    const auto sent = m.TakeSent(kPrepare);
    if (!sent.empty()) return sent[0].message.header.prepare();
  }
  FAIL("no further attempt");
  return {};
}

}  // namespace

TEST_CASE("A9: a ballot's counter is durable before the ballot is seen, and is never drawn again") {
  TestMember m(Node(0), 1, &kFive);
  m.Propose(After(kFive, 7));
  CHECK(m.sent.empty());
  m.Sync();
  const auto sent = m.TakeSent(kPrepare);
  REQUIRE(sent.size() == 4);
  const std::uint64_t used = sent[0].message.header.prepare().ballot().counter();
  CHECK(m.disk().ballot_counter == used);
  m.Crash();
  m.Start();
  const auto again = StartProposal(m, After(kFive, 8));
  CHECK(again.ballot().counter() > used);
  CHECK(again.ballot().node() == Node(0).str());
  // Nor after the instance is over and its promise forgotten.
  m.Run(m.agreement().Adopt(m.now, Encode(After(kFive, 9))));
  m.SyncAll();
  CHECK(m.disk().promised == Ballot{});
  m.Crash();
  m.Start();
  const auto next_epoch = StartProposal(m, After(After(kFive, 9), 10));
  CHECK(next_epoch.ballot().counter() > again.ballot().counter());
}

TEST_CASE("A10: answers to another ballot, boot or epoch are dropped, and each voter counts once") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  auto other_boot = prepare;
  other_boot.set_boot(prepare.boot() - 1);
  auto other_ballot = prepare;
  other_ballot.mutable_ballot()->set_counter(prepare.ballot().counter() + 1);
  auto other_epoch = prepare;
  other_epoch.set_epoch(3);
  m.Receive(Node(1), Promise(prepare));
  m.Receive(Node(1), Promise(prepare));
  m.Receive(Node(5), Promise(prepare));  // has no vote
  for (const auto& asked : {other_boot, other_ballot, other_epoch}) m.Receive(Node(2), Promise(asked));
  CHECK(m.agreement().counters().stale == 5);
  CHECK(m.TakeSent(kAccept).empty());
  m.Receive(Node(2), Promise(prepare));
  const auto accepts = m.TakeSent(kAccept);
  REQUIRE(accepts.size() == 4);
  m.SyncAll();  // our own acceptance: one
  const auto accept = accepts[0].message.header.accept();
  auto accept_of_other_boot = accept;
  accept_of_other_boot.set_boot(accept.boot() + 1);
  m.Receive(Node(1), Accepted(accept));
  m.Receive(Node(1), Accepted(accept));
  m.Receive(Node(5), Accepted(accept));
  m.Receive(Node(2), Accepted(accept_of_other_boot));
  CHECK(m.agreement().epoch() == Epoch(1));
  m.Receive(Node(2), Accepted(accept));
  CHECK(m.agreement().epoch() == Epoch(2));
}

TEST_CASE("A11: the value asked for is the accepted one of the highest ballot") {
  TestMember m(Node(0), 1, &kFive);
  const std::string lower = Encode(After(kFive, 100));
  const std::string higher = Encode(After(kFive, 200));
  // Whatever the order in which they are heard of.
  const bool higher_first = GENERATE(true, false);
  const auto prepare = StartProposal(m, After(kFive, 7));
  const Ballot low{3, Node(4)};
  const Ballot high{4, Node(1)};
  m.Receive(Node(1), Promise(prepare, true, {}, higher_first ? high : low, higher_first ? higher : lower));
  m.Receive(Node(2), Promise(prepare, true, {}, higher_first ? low : high, higher_first ? lower : higher));
  const auto sent = m.TakeSent(kAccept);
  REQUIRE(sent.size() == 4);
  CHECK(sent[0].message.header.accept().layout() == higher);
}

TEST_CASE("A11: a value this member itself accepted counts like any other") {
  TestMember m(Node(0), 1, &kFive);
  const std::string theirs = Encode(After(kFive, 100));
  m.Receive(Node(1), Accept(2, {3, Node(1)}, theirs));
  m.SyncAll();
  const auto prepare = StartProposal(m, After(kFive, 7));
  m.Receive(Node(2), Promise(prepare));
  m.Receive(Node(3), Promise(prepare));
  const auto sent = m.TakeSent(kAccept);
  REQUIRE(sent.size() == 4);
  CHECK(sent[0].message.header.accept().layout() == theirs);
}

TEST_CASE("A11: a refusal's accepted value is not looked at") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  m.Receive(Node(1), Promise(prepare, false, {99, Node(1)}, {3, Node(1)}, Encode(After(kFive, 100))));
  m.Receive(Node(2), Promise(prepare));
  m.Receive(Node(3), Promise(prepare));
  const auto sent = m.TakeSent(kAccept);
  REQUIRE(sent.size() == 4);
  CHECK(sent[0].message.header.accept().layout() == Encode(After(kFive, 7)));
}

TEST_CASE("A11: what an earlier attempt heard does not count in the present one") {
  TestMember m(Node(0), 1, &kFive);
  const auto first = StartProposal(m, After(kFive, 7));
  m.Receive(Node(1), Promise(first, true, {}, {3, Node(4)}, Encode(After(kFive, 100))));
  for (int n = 2; n <= 4; ++n) m.Receive(Node(n), Promise(first, false, {40, Node(2)}));
  const auto second = NextAttempt(m);
  m.Receive(Node(2), Promise(second));
  m.Receive(Node(3), Promise(second));
  const auto sent = m.TakeSent(kAccept);
  REQUIRE(sent.size() == 4);
  CHECK(sent[0].message.header.accept().layout() == Encode(After(kFive, 7)));
}

TEST_CASE("A12, A13: decided on a quorum of acceptances; finishing another's value ends our own proposal as overtaken") {
  TestMember m(Node(0), 1, &kFive);
  const bool forced = GENERATE(false, true);
  const Layout own = After(kFive, 7);
  const Layout theirs = After(kFive, 100);
  const auto prepare = StartProposal(m, own);
  m.Receive(Node(1), forced ? Promise(prepare, true, {}, {3, Node(4)}, Encode(theirs)) : Promise(prepare));
  m.Receive(Node(2), Promise(prepare));
  const auto accepts = m.TakeSent(kAccept);
  REQUIRE(accepts.size() == 4);
  m.SyncAll();
  m.Receive(Node(1), Accepted(accepts[0].message.header.accept()));
  CHECK_FALSE(m.ended.has_value());
  m.Receive(Node(2), Accepted(accepts[0].message.header.accept()));
  CHECK(m.ended == !forced);
  CHECK(m.why == (forced ? "overtaken: another layout was decided" : ""));
  REQUIRE(m.adopted);
  CHECK(m.agreement().state().layout == Encode(forced ? theirs : own));
  CHECK_FALSE(m.agreement().proposing());
}

TEST_CASE("A13: a proposal ends when its epoch is decided without us") {
  const bool as_wished = GENERATE(true, false);
  TestMember m(Node(0), 1, &kFive);
  StartProposal(m, After(kFive, 7));
  wire::Peer push;
  push.mutable_layout_push()->set_layout(Encode(After(kFive, as_wished ? 7 : 8)));
  m.Receive(Node(4), push);
  CHECK(m.ended == as_wished);
  CHECK_FALSE(m.agreement().proposing());
}

TEST_CASE("A14: outvoted, the next attempt comes after a random wait and with a higher ballot than any refusal named") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  m.Receive(Node(1), Promise(prepare, false, {40, Node(1)}));
  m.Receive(Node(2), Promise(prepare, false, {50, Node(2)}));
  m.Receive(Node(3), Promise(prepare));
  CHECK(m.TakeSent().empty());
  // Two of five refused: three others may still grant it.
  CHECK(m.agreement().NextDeadline() >= m.now + Proposer::kAnswerWait);
  m.Receive(Node(4), Promise(prepare, false, {30, Node(4)}));
  CHECK(m.agreement().NextDeadline() <= m.now + Proposer::kBackOff);
  CHECK(NextAttempt(m).ballot().counter() > 50);
}

TEST_CASE("A14: members that collide wait for different times") {
  std::set<Instant> deadlines;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    TestMember m(Node(0), seed, &kFive);
    const auto prepare = StartProposal(m, After(kFive, 7));
    for (int n = 1; n <= 3; ++n) m.Receive(Node(n), Promise(prepare, false, {40, Node(1)}));
    deadlines.insert(m.agreement().NextDeadline());
  }
  CHECK(deadlines.size() >= 7);
}

TEST_CASE("A14: unanswered, it tries again with longer waits, gives up, and names who was silent") {
  TestMember m(Node(0), 1, &kFive);
  auto prepare = StartProposal(m, After(kFive, 7));
  int attempts = 1;
  for (int i = 0; i < 10 * Proposer::kMaxAttempts && !m.ended; ++i) {
    m.Receive(Node(3), Promise(prepare));
    m.TickTo(m.agreement().NextDeadline());
    m.SyncAll();
    const auto sent = m.TakeSent(kPrepare);
    if (sent.empty()) continue;
    CHECK(sent[0].message.header.prepare().ballot().counter() > prepare.ballot().counter());
    prepare = sent[0].message.header.prepare();
    ++attempts;
  }
  CHECK(attempts == Proposer::kMaxAttempts);
  CHECK(m.ended == false);
  CHECK(m.why == "no majority of the 5 voters answers; silent: node-1, node-2, node-4");
  CHECK(m.now > Instant{} + std::chrono::seconds(20));
  CHECK(m.agreement().NextDeadline() == kNever);
}

TEST_CASE("A14: refused as illegal by so many that no quorum is left, it ends at once") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  m.Receive(Node(1), Promise(prepare));
  m.Receive(Node(2), Promise(prepare));
  const auto accept = m.TakeSent(kAccept).at(0).message.header.accept();
  m.SyncAll();
  for (int n = 1; n <= 3; ++n) m.Receive(Node(n), Accepted(accept, false, "rule (b)"));
  CHECK(m.ended == false);
  CHECK(m.why == "refused by the voters: rule (b)");
}

TEST_CASE("A14: a new wish replaces the old one, the same wish changes nothing") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  m.Propose(After(kFive, 7));
  CHECK(m.writes() == 0);
  m.Propose(After(kFive, 8));
  CHECK(m.writes() == 0);
  CHECK_FALSE(m.ended.has_value());
  m.Receive(Node(1), Promise(prepare));
  m.Receive(Node(2), Promise(prepare));
  const auto accept = m.TakeSent(kAccept).at(0).message.header.accept();
  CHECK(accept.layout() == Encode(After(kFive, 8)));
  // One ballot has one value: a wish that comes later waits for the next attempt.
  m.Propose(After(kFive, 9));
  CHECK(m.TakeSent(kAccept).empty());
  m.SyncAll();
  m.Receive(Node(1), Accepted(accept));
  m.Receive(Node(2), Accepted(accept));
  CHECK(m.ended == false);
  CHECK(m.agreement().state().layout == Encode(After(kFive, 8)));
}

TEST_CASE("A14: a proposal that is withdrawn ends, and answers to it count no more") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  CHECK_FALSE(m.agreement().accepting());
  m.Run(m.agreement().Withdraw(m.now));
  CHECK(m.ended == false);
  CHECK_FALSE(m.agreement().proposing());
  m.Receive(Node(1), Promise(prepare));
  m.Receive(Node(2), Promise(prepare));
  CHECK(m.TakeSent(kAccept).empty());
  m.ended.reset();
  m.Run(m.agreement().Withdraw(m.now));
  CHECK_FALSE(m.ended.has_value());
}

TEST_CASE("A14: outvoted in every attempt, it gives up and says that others kept proposing") {
  TestMember m(Node(0), 1, &kFive);
  auto prepare = StartProposal(m, After(kFive, 7));
  int attempts = 1;
  for (int i = 0; i < 10 * Proposer::kMaxAttempts && !m.ended; ++i) {
    const Ballot higher{prepare.ballot().counter() + 1, Node(1)};
    for (const int refuser : {1, 2, 3}) m.Receive(Node(refuser), Promise(prepare, false, higher));
    const Instant next = m.agreement().NextDeadline();
    m.TickTo(next == kNever ? m.now : next);  // the last refusal may leave nothing to wait for
    m.SyncAll();
    const auto sent = m.TakeSent(kPrepare);
    if (sent.empty()) continue;
    prepare = sent[0].message.header.prepare();
    CHECK(prepare.ballot().counter() > higher.counter);
    ++attempts;
  }
  CHECK(attempts == Proposer::kMaxAttempts);
  CHECK(m.ended == false);
  CHECK(m.why == "other members kept proposing at the same time");
}

}  // namespace coffer::cluster
