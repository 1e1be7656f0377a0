// One member, driven by hand, sentence by sentence of cluster/membership.h: probes, accusations, links.
#include <chrono>

#include "membership_fixture.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using Kind = wire::Peer;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Probes one member every ten minutes.
MembershipConfig Probing() {
  MembershipConfig config = Driven::Quiet();
  config.probe_interval = std::chrono::minutes(10);
  config.probes_per_interval = 1;
  return config;
}

// Runs until a probe of ours goes to the peer; its number.
std::uint64_t ProbeOf(Driven* d, int peer) {
  for (int i = 0; i < 1000; ++i) {
    const auto pings = d->Sent(Kind::kPing, peer);
    if (!pings.empty()) return pings.back().ping().sequence();
    d->Clear();
    d->now = d->m.NextDeadline();
    d->Take(d->m.Tick(d->now));
    for (const Outgoing& o : std::vector<Outgoing>(d->sent)) {
      if (o.message.header.has_ping() && o.to != Peer(peer)) {
        wire::Peer ack;
        ack.mutable_ping_ack()->set_sequence(o.message.header.ping().sequence());
        d->Take(d->m.Receive(d->now, o.to, ack));
      }
    }
  }
  return 0;
}

}  // namespace

// --- Answering --------------------------------------------------------------------------------------------------------

TEST_CASE("a ping meant for us is answered under its number, also a stranger's") {
  Driven d;
  d.Ping(5, 77, Peer(0));
  const auto acks = d.Sent(Kind::kPingAck, 5);
  REQUIRE(acks.size() == 1);
  CHECK(acks[0].ping_ack().sequence() == 77);
  CHECK(d.m.counters().misdirected == 0);
}

TEST_CASE("a ping meant for another is not answered (M12)") {
  Driven d;
  d.Ping(5, 77, Peer(3));
  CHECK(d.sent.empty());
  CHECK(d.m.counters().misdirected == 1);
}

TEST_CASE("a member that must not answer is silent and does not refute until it may (M10)") {  // R9
  Driven d;
  d.Meet(2);
  d.m.SetAnswering(false);
  d.Ping(1, 7, Peer(0), {Say(0, Liveness::kDead, 100, 1)});
  d.AskToProbe(1, 8, 2);
  wire::MemberFacts facts = PeerFacts(0);
  facts.set_epoch(9);
  d.Take(d.m.UpdateSelf(d.now, facts, true));
  d.RunFor(seconds(5));
  CHECK(d.sent.empty());
  CHECK(d.OwnIncarnation() == 100);
  CHECK(d.m.counters().unanswered == 2);
  d.m.SetAnswering(true);
  CHECK(d.m.NextDeadline() <= d.now);
  d.Take(d.m.Tick(d.now));
  REQUIRE(d.Told(0));
  CHECK(d.Told(0)->incarnation() > 100);
  CHECK(d.Told(0)->facts().epoch() == 9);
  CHECK(d.m.NextDeadline() > d.now);
}

// --- Accusations against us -------------------------------------------------------------------------------------------

TEST_CASE("an accusation is refuted above its incarnation, at once (M5)") {  // I19
  for (const Liveness state : {Liveness::kSuspect, Liveness::kDead, Liveness::kLeft}) {
    Driven d;
    d.Meet(2);
    d.Hear(1, {Say(0, state, 150, 2)});
    CHECK(d.OwnIncarnation() == 151);
    REQUIRE(d.Told(0));
    CHECK(d.Told(0)->incarnation() == 151);
    CHECK(d.Told(0)->state() == 1);
    CHECK(d.m.awareness() == 1);
    CHECK(d.changes.empty());
    CHECK(d.m.IsAlive(Peer(0)));
  }
}

TEST_CASE("an accusation of an incarnation long past is answered to him who repeats it") {
  Driven d;
  d.Meet(2);
  d.Hear(2, {Say(0, Liveness::kSuspect, 99, 1)});
  CHECK(d.OwnIncarnation() == 100);
  REQUIRE(d.Told(0, 2));
  CHECK(d.Told(0, 2)->incarnation() == 100);
  CHECK_FALSE(d.Told(0, 1));
}

TEST_CASE("an accusation of another that has spoken since is answered too") {
  Driven d;
  d.Meet(2);
  d.Hear(1, {Say(1, Liveness::kAlive, 8)});
  d.RunFor(seconds(2));
  d.Clear();
  d.Hear(2, {Say(1, Liveness::kSuspect, 7, 2)});
  REQUIRE(d.Told(1, 2));
  CHECK(d.Told(1, 2)->incarnation() == 8);
  CHECK(d.State(1) == Liveness::kAlive);
}

// --- Probing ----------------------------------------------------------------------------------------------------------

TEST_CASE("without a direct answer k others are asked; an answer through one of them is enough (M3)") {
  Driven d(Probing());
  d.Meet(5);
  const std::uint64_t sequence = ProbeOf(&d, 3);
  d.RunFor(milliseconds(140));
  CHECK(d.Sent(Kind::kPingRequest).empty());
  d.RunFor(milliseconds(20));
  const auto requests = d.Sent(Kind::kPingRequest);
  REQUIRE(requests.size() == 3);
  int helper = 0;
  for (int n = 1; n <= 5; ++n) {
    if (!d.Sent(Kind::kPingRequest, n).empty()) helper = n;
  }
  CHECK(requests[0].ping_request().target() == Peer(3).str());
  CHECK(requests[0].ping_request().target_address() == "peer-3:1");
  CHECK(d.Sent(Kind::kPingRequest, 3).empty());
  d.Ack(helper, sequence);
  d.RunFor(milliseconds(300));
  CHECK(d.State(3) == Liveness::kAlive);
  CHECK(d.m.counters().stale == 0);
}

TEST_CASE("a probe that nobody answers makes a suspect, and everybody hears who accuses (M4)") {
  Driven d(Probing());
  d.Meet(3);
  ProbeOf(&d, 3);
  d.RunFor(milliseconds(290));
  CHECK(d.State(3) == Liveness::kAlive);
  d.RunFor(milliseconds(20));
  CHECK(d.State(3) == Liveness::kSuspect);
  REQUIRE(d.Told(3));
  CHECK(d.Told(3)->state() == 2);
  CHECK(d.Told(3)->accuser() == Peer(0).str());
  CHECK(d.m.IsSuspected(Peer(3)));
  CHECK_FALSE(d.m.IsAlive(Peer(3)));
}

TEST_CASE("an answer of somebody who was not asked counts for nothing") {
  Driven d(Probing());
  d.Meet(3);
  const std::uint64_t sequence = ProbeOf(&d, 3);
  d.Ack(2, sequence);
  CHECK(d.m.counters().stale == 1);
  d.RunFor(milliseconds(310));
  CHECK(d.State(3) == Liveness::kSuspect);
}

TEST_CASE("helpers that stay silent make us doubt ourselves, helpers that say no do not") {
  for (const bool nacks : {false, true}) {
    Driven d(Probing());
    d.Meet(4);
    const std::uint64_t sequence = ProbeOf(&d, 3);
    d.RunFor(milliseconds(160));
    for (const int n : {1, 2, 4}) {
      if (nacks) d.Nack(n, sequence);
    }
    d.RunFor(milliseconds(160));
    CHECK(d.State(3) == Liveness::kSuspect);
    CHECK(d.m.awareness() == (nacks ? 0 : 3));
  }
}

TEST_CASE("a suspect is told so by the ping, and its refutation is believed") {
  Driven d;
  d.Meet(2);
  d.Hear(2, {Say(1, Liveness::kSuspect, 1, 2)});
  CHECK(d.State(1) == Liveness::kSuspect);
  const auto pings = d.Sent(Kind::kPing, 1);  // it is looked at, at once
  REQUIRE_FALSE(pings.empty());
  REQUIRE(pings[0].ping().updates_size() >= 1);
  CHECK(pings[0].ping().updates(0).facts().id() == Peer(1).str());
  CHECK(pings[0].ping().updates(0).state() == 2);
  d.Hear(1, {Say(1, Liveness::kAlive, 1)});
  CHECK(d.State(1) == Liveness::kSuspect);
  d.Hear(1, {Say(1, Liveness::kAlive, 2)});
  CHECK(d.State(1) == Liveness::kAlive);
  d.Ack(1, pings[0].ping().sequence());
  d.RunFor(seconds(1));
  CHECK(d.State(1) == Liveness::kAlive);
}

TEST_CASE("a suspicion ends in death, sooner with confirmations by others (M4)") {
  const auto time_to_death = [](std::vector<int> accusers) {
    Driven d;
    d.Meet(5);
    const Instant start = d.now;
    for (const int n : accusers) d.Hear(n, {Say(1, Liveness::kSuspect, 1, n)});
    while (d.State(1) != Liveness::kDead && d.now < start + seconds(10)) {
      d.now = d.m.NextDeadline();
      d.Take(d.m.Tick(d.now));
    }
    return d.now - start;
  };
  CHECK(time_to_death({2, 3, 4}) < time_to_death({2, 3}));
  CHECK(time_to_death({2, 2, 2}) == time_to_death({2, 2}));
  CHECK(time_to_death({2, 3, 4, 5}) == seconds(1));
}

TEST_CASE("we probe for others: their answer comes back with what we know, or a no in time") {
  Driven d;
  d.Meet(2);
  d.AskToProbe(1, 55, 2);
  const auto pings = d.Sent(Kind::kPing, 2);
  REQUIRE(pings.size() == 1);
  SECTION("answered") {
    d.Ack(2, pings[0].ping().sequence());
    const auto acks = d.Sent(Kind::kPingAck, 1);
    REQUIRE(acks.size() == 1);
    CHECK(acks[0].ping_ack().sequence() == 55);
    CHECK(d.Told(2, 1).has_value());
    d.RunFor(seconds(1));
    CHECK(d.Sent(Kind::kPingNack).empty());
  }
  SECTION("silent, then late") {
    d.RunFor(milliseconds(119));
    CHECK(d.Sent(Kind::kPingNack).empty());
    d.RunFor(milliseconds(2));
    REQUIRE(d.Sent(Kind::kPingNack, 1).size() == 1);
    CHECK(d.Sent(Kind::kPingNack, 1)[0].ping_nack().sequence() == 55);
    d.Ack(2, pings[0].ping().sequence());
    CHECK(d.Sent(Kind::kPingAck, 1).size() == 1);
  }
}

TEST_CASE("asked to probe whom we are refused too, we say no at once") {
  Driven d;
  d.Meet(2);
  d.Take(d.m.LinkDown(d.now, Peer(2), true));
  d.Clear();
  d.AskToProbe(1, 55, 2);
  CHECK(d.Sent(Kind::kPingNack, 1).size() == 1);
}

TEST_CASE("who doubts himself waits longer before he asks others, and again before he accuses (M6)") {
  MembershipConfig config = Probing();
  config.probes_per_interval = 5;
  Driven d(config);
  d.Meet(4);
  ProbeOf(&d, 3);
  d.RunFor(milliseconds(310));  // three helpers silent
  REQUIRE(d.m.awareness() == 3);
  d.Take(d.m.LinkUp(d.now, Peer(2)));
  d.Clear();
  d.Hear(1, {Say(2, Liveness::kSuspect, 1, 1)});  // looked at, at once
  REQUIRE(d.Sent(Kind::kPing, 2).size() == 1);
  d.RunFor(milliseconds(590));
  CHECK(d.Sent(Kind::kPingRequest).empty());
  d.RunFor(milliseconds(20));
  CHECK_FALSE(d.Sent(Kind::kPingRequest).empty());
  d.RunFor(milliseconds(570));
  CHECK(d.m.counters().probes_failed == 1);
  d.RunFor(milliseconds(30));
  CHECK(d.m.counters().probes_failed == 2);
}

TEST_CASE("after a pause of ours nobody is accused") {
  Driven d(Probing());
  d.Meet(2);
  ProbeOf(&d, 1);
  d.Hear(2, {Say(1, Liveness::kSuspect, 1, 2)});
  d.now += hours(1);
  d.Clear();
  for (int i = 0; i < 100; ++i) d.Hear(2, {});  // what has piled up
  d.Take(d.m.Tick(d.now));
  CHECK(d.State(1) == Liveness::kSuspect);
  CHECK(d.State(2) == Liveness::kAlive);
  CHECK(d.m.counters().stalls == 1);
  CHECK(d.m.awareness() == 1);
}

// --- Links ------------------------------------------------------------------------------------------------------------

TEST_CASE("a link that comes up brings the table; who asks for it when it was just sent gets no second (M8)") {
  Driven d;
  d.Take(d.m.LinkUp(d.now, Peer(1)));
  REQUIRE(d.Sent(Kind::kPushPull, 1).size() == 1);
  wire::Peer table;
  *table.mutable_push_pull()->add_updates() = Say(1, Liveness::kAlive, 5);
  d.Take(d.m.Receive(d.now, Peer(1), table));
  CHECK(d.Sent(Kind::kPushPull, 1).size() == 1);
  CHECK(d.State(1) == Liveness::kAlive);
}

TEST_CASE("a table is answered with ours, an answer is not") {
  Driven d;
  wire::Peer table;
  *table.mutable_push_pull()->add_updates() = Say(1, Liveness::kAlive, 5);
  d.Take(d.m.Receive(d.now, Peer(1), table));
  REQUIRE(d.Sent(Kind::kPushPull, 1).size() == 1);
  CHECK(d.Sent(Kind::kPushPull, 1)[0].push_pull().answer());
  CHECK(d.Sent(Kind::kPushPull, 1)[0].push_pull().updates_size() == 2);
  d.Clear();
  table.mutable_push_pull()->set_answer(true);
  d.Take(d.m.Receive(d.now, Peer(2), table));
  CHECK(d.Sent(Kind::kPushPull).empty());
}

TEST_CASE("a broken link is dialled at once and the peer looked at through others; their word saves it") {
  Driven d;
  d.Meet(3);
  d.Take(d.m.LinkDown(d.now, Peer(2), false));
  CHECK(d.dialled == std::vector<std::string>{"peer-2:1"});
  const auto requests = d.Sent(Kind::kPingRequest);
  REQUIRE(requests.size() == 2);
  d.Take(d.m.LinkDown(d.now, Peer(2), true));
  d.Nack(1, requests[0].ping_request().sequence());
  CHECK(d.State(2) == Liveness::kAlive);
  d.Ack(3, requests[0].ping_request().sequence());
  d.RunFor(milliseconds(200));
  CHECK(d.State(2) == Liveness::kAlive);
}

TEST_CASE("refused, and out of reach for all that were asked: suspect at once, dead half a second later (M7)") {
  Driven d;
  d.Meet(3);
  d.Take(d.m.LinkDown(d.now, Peer(2), false));
  const std::uint64_t sequence = d.Sent(Kind::kPingRequest)[0].ping_request().sequence();
  d.Nack(1, sequence);
  d.Nack(3, sequence);
  CHECK(d.State(2) == Liveness::kAlive);  // a broken link alone proves nothing
  d.Take(d.m.DialFailed(d.now, "peer-2:1", true));
  CHECK(d.State(2) == Liveness::kSuspect);
  d.RunFor(milliseconds(490));
  CHECK(d.State(2) == Liveness::kSuspect);
  d.RunFor(milliseconds(20));
  CHECK(d.State(2) == Liveness::kDead);
  CHECK(d.m.counters().deaths == 1);
}

TEST_CASE("a refusal that nobody asked confirms does not hasten the end") {
  Driven d;
  d.Meet(3);
  d.Take(d.m.LinkDown(d.now, Peer(2), true));  // helpers asked, both silent
  d.RunFor(milliseconds(160));
  CHECK(d.State(2) == Liveness::kSuspect);
  d.m.SetAnswering(true);
  d.RunFor(milliseconds(600));
  CHECK(d.State(2) == Liveness::kSuspect);
}

TEST_CASE("a member that moved is dialled at its new address at once; the refusals of the old one are forgotten") {
  Driven d;
  d.Meet(3);
  d.Take(d.m.LinkDown(d.now, Peer(2), true));
  d.Clear();
  wire::MemberUpdate moved = Say(2, Liveness::kAlive, 2);
  moved.mutable_facts()->set_address("elsewhere:1");
  d.Hear(1, {moved});
  CHECK(d.dialled == std::vector<std::string>{"elsewhere:1"});
  d.AskToProbe(1, 55, 2);
  CHECK(d.Sent(Kind::kPingNack).empty());
}

TEST_CASE("a dial that fails is not repeated at once") {
  for (const bool refused : {false, true}) {
    Driven d;
    d.Meet(3);
    d.Take(d.m.LinkDown(d.now, Peer(2), false));
    CHECK(d.dialled.size() == 1);
    d.Take(d.m.LinkDown(d.now, Peer(2), refused));
    d.Take(d.m.LinkDown(d.now, Peer(2), refused));
    CHECK(d.dialled.size() == 1);
    d.RunFor(milliseconds(400));
    CHECK(d.dialled.size() >= 2);
  }
}

TEST_CASE("a dead member is dialled until it answers, but not where its successor lives, nor at our own address") {
  Driven d;
  d.Meet(2);
  d.Take(d.m.LinkDown(d.now, Peer(2), true));
  d.Hear(1, {Say(2, Liveness::kDead, 1)});
  d.Clear();
  d.RunFor(seconds(10));
  CHECK(std::count(d.dialled.begin(), d.dialled.end(), "peer-2:1") >= 7);
  CHECK(std::count(d.dialled.begin(), d.dialled.end(), "peer-2:1") <= 14);
  d.RunFor(seconds(60));
  d.Clear();
  d.RunFor(seconds(60));
  CHECK(d.dialled.size() >= 9);
  CHECK(d.dialled.size() <= 16);  // less often after a minute
  wire::MemberUpdate successor = Say(5, Liveness::kAlive, 1);
  successor.mutable_facts()->set_address("peer-2:1");
  d.Take(d.m.LinkUp(d.now, Peer(5)));
  d.Hear(5, {successor});
  wire::MemberUpdate here = Say(6, Liveness::kDead, 1);
  here.mutable_facts()->set_address("peer-0:1");
  d.Hear(1, {here});
  d.Clear();
  d.RunFor(seconds(60));
  CHECK(d.dialled.empty());
}

TEST_CASE("remembered peers are known, not alive, and dialled at once; addresses without an id too (M9)") {
  Driven d;
  wire::MemberFacts seed;
  seed.set_address("seed:1");
  wire::MemberFacts broken = PeerFacts(4);
  broken.set_id("x");
  d.Take(d.m.Remember(d.now, {PeerFacts(1), PeerFacts(2), seed, broken, PeerFacts(0)}));
  CHECK(d.dialled.size() == 3);
  CHECK(d.State(1) == Liveness::kDead);
  CHECK_FALSE(d.m.IsAlive(Peer(1)));
  CHECK(d.changes.empty());
  CHECK(d.m.counters().malformed == 1);
  CHECK(d.m.view()->size() == 3);
  d.Clear();
  d.RunFor(seconds(3));
  CHECK(std::count(d.dialled.begin(), d.dialled.end(), "seed:1") == 3);
  d.Take(d.m.LinkUp(d.now, Peer(1)));
  d.Hear(1, {Say(1, Liveness::kAlive, 1)});
  CHECK(d.State(1) == Liveness::kAlive);
}

}  // namespace coffer::cluster
