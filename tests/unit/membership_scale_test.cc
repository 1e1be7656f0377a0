// How the times of failure detection follow the number of members, and how many there may be.
#include <chrono>

#include "membership_fixture.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

wire::Peer TableOf(int members) {
  wire::Peer table;
  table.mutable_push_pull()->set_answer(true);
  for (int n = 1; n < members; ++n) *table.mutable_push_pull()->add_updates() = Say(n, Liveness::kAlive, 1);
  return table;
}

// How long a member among so many is suspected before who has no company in that gives it up.
Duration SuspicionAmong(int members, const MembershipConfig& config = Driven::Quiet()) {
  Driven d(config);
  d.Meet(2);
  d.Take(d.m.Receive(d.now, Peer(2), TableOf(members)));
  REQUIRE(d.m.view()->size() == static_cast<std::size_t>(members));
  d.Hear(2, {Say(1, Liveness::kSuspect, 1, 2)});
  REQUIRE(d.m.view()->at(Peer(1)).state == Liveness::kSuspect);
  const Instant began = d.now;
  while (d.m.view()->at(Peer(1)).state == Liveness::kSuspect && d.now - began < minutes(1)) d.RunFor(milliseconds(100));
  return d.now - began;
}

TEST_CASE("larger clusters wait longer and exchange tables less often, and never less than the defaults") {
  const MembershipConfig usual;
  const MembershipConfig small = usual.Scaled(3);
  CHECK(small.suspicion_min == usual.suspicion_min);
  CHECK(small.push_pull_interval == usual.push_pull_interval);
  const MembershipConfig large = usual.Scaled(320);
  CHECK(large.suspicion_min == 2 * usual.suspicion_min);
  CHECK(large.suspicion_max == 2 * usual.suspicion_max);
  CHECK(large.suspicion_refused == 2 * usual.suspicion_refused);
  CHECK(large.push_pull_interval == 10 * usual.push_pull_interval);
  CHECK(large.probes_per_interval == usual.probes_per_interval);
}

TEST_CASE("what was chosen by hand stays, whatever the size") {
  MembershipConfig least;
  least.suspicion_min = seconds(2);
  least.suspicion_min_chosen = true;
  CHECK(least.Scaled(3200).suspicion_min == seconds(2));
  CHECK(least.Scaled(3200).suspicion_max == 3 * least.suspicion_max);
  MembershipConfig most;
  most.suspicion_max = milliseconds(1500);
  most.suspicion_max_chosen = true;
  CHECK(most.Scaled(3200).suspicion_max == milliseconds(1500));
  CHECK(most.Scaled(3200).suspicion_min == milliseconds(1500));  // never above the most
}

TEST_CASE("a running member scales its times with those it knows of") {
  const Duration among_few = SuspicionAmong(20);
  const Duration among_many = SuspicionAmong(320);
  CHECK(among_few >= seconds(3));
  CHECK(among_many >= 2 * among_few - milliseconds(400));
  CHECK(among_many <= 2 * among_few + milliseconds(400));
  MembershipConfig by_hand = Driven::Quiet();
  by_hand.suspicion_max_chosen = true;
  CHECK(SuspicionAmong(320, by_hand) <= among_few + milliseconds(400));
}

// Whether somebody who knew nobody, and is told of so many members by a table, tells others of them.
bool PassesOn(int members) {
  Driven d;
  d.Take(d.m.LinkUp(d.now, Peer(1)));
  d.Take(d.m.LinkUp(d.now, Peer(2)));
  d.Take(d.m.Receive(d.now, Peer(1), TableOf(members)));
  d.Clear();
  d.RunFor(seconds(5));
  return d.Told(3).has_value();
}

TEST_CASE("a newcomer passes on what a small table says, and not what a large one does") {
  CHECK(PassesOn(20));
  CHECK_FALSE(PassesOn(200));
}

TEST_CASE("a newcomer's own news is told, and later news of members of a large table is passed on") {
  Driven d;
  for (int n = 1; n <= 3; ++n) d.Take(d.m.LinkUp(d.now, Peer(n)));
  d.Take(d.m.Receive(d.now, Peer(1), TableOf(200)));
  d.Clear();
  d.Hear(1, {Say(3, Liveness::kAlive, 2)});
  auto facts = PeerFacts(0);
  facts.set_epoch(7);
  d.Take(d.m.UpdateSelf(d.now, facts, true));
  d.RunFor(seconds(5));
  CHECK(d.Told(3).has_value());
  CHECK(d.Told(0).has_value());
}

// What a member does about another one that is linked, and dead as far as it knows.
Driven WithDeadLinked(int members) {
  Driven d;
  d.Meet(3);
  d.Take(d.m.Receive(d.now, Peer(2), TableOf(members)));
  d.Hear(2, {Say(1, Liveness::kDead, 1)});
  d.RunFor(seconds(1));
  d.Clear();
  d.RunFor(seconds(4));
  return d;
}

TEST_CASE("a dead member with a link is told so: by the whole table in a small cluster, by the accusation alone in a large one") {
  const Driven small = WithDeadLinked(20);
  CHECK(small.Sent(wire::Peer::kPushPull, 1).size() >= 2);
  const Driven large = WithDeadLinked(200);
  CHECK(large.Sent(wire::Peer::kPushPull, 1).empty());
  const auto pings = large.Sent(wire::Peer::kPing, 1);
  REQUIRE(pings.size() >= 2);
  REQUIRE(pings.back().ping().updates_size() >= 1);
  CHECK(pings.back().ping().updates(0).facts().id() == Peer(1).str());
  CHECK(pings.back().ping().updates(0).state() == static_cast<std::uint32_t>(Liveness::kDead));
}

TEST_CASE("many that learn of a large cluster at the same time do not send their tables at the same time") {
  int early = 0;
  for (int n = 0; n < 10; ++n) {
    MembershipConfig config;
    config.probe_interval = std::chrono::hours(10);
    const Instant began{seconds(1000)};
    Instant now = began;
    Membership m(config, PeerFacts(0), Incarnation(100), static_cast<std::uint64_t>(n + 1), now);
    (void)m.LinkUp(now, Peer(1));
    (void)m.Receive(now, Peer(1), TableOf(320));  // 100 s from table to table
    bool sent = false;
    while (m.NextDeadline() <= began + seconds(10)) {
      now = std::max(now, m.NextDeadline());
      for (const Outgoing& o : m.Tick(now).send) sent = sent || o.message.header.has_push_pull();
    }
    early += sent;
  }
  CHECK(early <= 4);
}

TEST_CASE("five thousand members are known, and their table fits a message") {
  Driven d;
  d.Meet(1);
  const wire::Peer table = TableOf(5000);
  d.Take(d.m.Receive(d.now, Peer(1), table));
  CHECK(d.m.view()->size() == 5000);
  CHECK(d.m.counters().overflow == 0);
  CHECK(d.m.counters().news_dropped == 0);
  CHECK(table.ByteSizeLong() < 1u << 20);  // links take messages of 24 MiB
}

}  // namespace
}  // namespace coffer::cluster
