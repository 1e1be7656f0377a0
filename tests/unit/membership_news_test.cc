// One member, driven by hand: what it believes, whom it tells, and what it refuses to believe.
#include <chrono>
#include <set>

#include <google/protobuf/stubs/logging.h>

#include "membership_fixture.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using Kind = wire::Peer;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A table without what is local to one member.
std::string Believed(const Membership& m) {
  std::string text;
  for (const auto& [id, member] : *m.view()) text += WriteUpdate(member, Peer(0)).SerializeAsString() + '\n';
  return text;
}

template <class T>
void Shuffle(std::vector<T>* items, Random* random) {
  for (std::size_t i = items->size(); i > 1; --i) std::swap((*items)[i - 1], (*items)[random->Below(i)]);
}

}  // namespace

// --- Convergence ------------------------------------------------------------------------------------------------------

TEST_CASE("any order of the same news, with repetitions, by gossip or by table, ends in the same beliefs") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    std::vector<wire::MemberUpdate> news;
    for (int i = 0; i < 60; ++i) {
      wire::MemberUpdate update =
          Say(1 + static_cast<int>(random.Below(5)), static_cast<Liveness>(1 + random.Below(4)), 1 + random.Below(4),
              1 + static_cast<int>(random.Below(8)), 1 + random.Below(2));
      // Facts belong to an incarnation; now and then two processes share an id.
      update.mutable_facts()->set_blocks(update.incarnation() * 10 + (random.Chance(1, 8) ? 1 : 0));
      news.push_back(update);
    }
    std::set<std::string> outcomes;
    for (int order = 0; order < 4; ++order) {
      std::vector<wire::MemberUpdate> told = news;
      for (int i = 0; i < 20; ++i) told.push_back(news[random.Below(news.size())]);
      Shuffle(&told, &random);
      Driven d;
      for (std::size_t i = 0; i < told.size();) {
        const std::size_t count = std::min<std::size_t>(told.size() - i, 1 + random.Below(5));
        const std::vector<wire::MemberUpdate> part(told.begin() + static_cast<long>(i), told.begin() + static_cast<long>(i + count));
        if (random.Chance(1, 2)) {
          d.Hear(7, part);
        } else {
          wire::Peer table;
          for (const auto& u : part) *table.mutable_push_pull()->add_updates() = u;
          d.Take(d.m.Receive(d.now, Peer(7), table));
        }
        i += count;
      }
      outcomes.insert(Believed(d.m));
    }
    INFO("seed " << seed);
    CHECK(outcomes.size() == 1);
  }
}

TEST_CASE("random and damaged messages never break what must hold") {
  google::protobuf::LogSilencer no_words_on_damaged_text;
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    Driven d;
    d.Meet(4);
    std::uint64_t own = d.OwnIncarnation();
    for (int i = 0; i < 300; ++i) {
      const int from = static_cast<int>(random.Below(7));
      wire::Peer message;
      const std::vector<wire::MemberUpdate> news{Say(static_cast<int>(random.Below(6)), static_cast<Liveness>(1 + random.Below(4)),
                                                     random.Below(200), 1 + static_cast<int>(random.Below(6)))};
      switch (random.Below(6)) {
        case 0: d.Ping(from, random.Below(20), Peer(static_cast<int>(random.Below(3))), news); break;
        case 1: d.Hear(from, news); break;
        case 2: d.Ack(from, random.Below(40)); break;
        case 3: d.Nack(from, random.Below(40)); break;
        case 4: d.AskToProbe(from, 1 + random.Below(20), static_cast<int>(random.Below(6))); break;
        default: {
          *message.mutable_push_pull()->add_updates() = news[0];
          std::string bytes = message.SerializeAsString();
          bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
          if (message.ParseFromString(bytes)) d.Take(d.m.Receive(d.now, Peer(from), message));
        }
      }
      if (random.Chance(1, 5)) d.Take(d.m.LinkDown(d.now, Peer(static_cast<int>(random.Below(6))), random.Chance(1, 2)));
      if (random.Chance(1, 5)) d.Take(d.m.LinkUp(d.now, Peer(static_cast<int>(random.Below(6)))));
      d.RunFor(milliseconds(random.Below(50)));
      REQUIRE(d.OwnIncarnation() >= own);
      own = d.OwnIncarnation();
      REQUIRE(d.State(0) == Liveness::kAlive);
      for (const Outgoing& o : d.sent) {
        REQUIRE(o.to != Peer(0));
        REQUIRE(o.message.header.ping().updates_size() <= 17);
        REQUIRE(o.message.header.ping_ack().updates_size() <= 16);
      }
      for (const std::string& address : d.dialled) REQUIRE(address != "peer-0:1");
      for (const MembershipChange& change : d.changes) REQUIRE(change.id != Peer(0));
      d.Clear();
    }
  }
}

// --- Telling ----------------------------------------------------------------------------------------------------------

TEST_CASE("news is told at once to some, and not more often than it takes (M8)") {
  Driven d;
  d.Meet(5);
  d.Hear(1, {Say(9, Liveness::kAlive, 1)});
  CHECK(d.Sent(Kind::kPingAck).size() == 3);
  REQUIRE(d.Told(9));
  d.RunFor(seconds(10));
  std::size_t told = 0;
  for (const auto& m : d.Sent(Kind::kPingAck)) {
    for (const auto& u : m.ping_ack().updates()) told += u.facts().id() == Peer(9).str();
  }
  CHECK(told == 4);  // 4 * ceil(log10(7 + 1))
  d.Clear();
  d.Hear(2, {Say(9, Liveness::kAlive, 1)});  // nothing new
  d.RunFor(seconds(1));
  CHECK_FALSE(d.Told(9));
}

TEST_CASE("a change of epoch is spread at once with a raised incarnation; load waits for the next table") {  // M2
  Driven d;
  d.Meet(3);
  wire::MemberFacts facts = PeerFacts(0);
  facts.set_blocks(7);
  d.Take(d.m.UpdateSelf(d.now, facts, false));
  d.RunFor(seconds(1));
  CHECK(d.sent.empty());
  CHECK(d.OwnIncarnation() == 100);
  CHECK(d.m.view()->at(Peer(0)).facts.blocks() == 7);
  d.Take(d.m.LinkUp(d.now, Peer(3)));
  REQUIRE(d.Told(0, 3));
  CHECK(d.Told(0, 3)->incarnation() == 101);
  CHECK(d.Told(0, 3)->facts().blocks() == 7);
  d.Clear();
  facts.set_epoch(2);
  d.Take(d.m.UpdateSelf(d.now, facts, false));
  REQUIRE(d.Told(0));
  CHECK(d.Told(0)->incarnation() == 102);
  CHECK(d.Told(0)->facts().epoch() == 2);
  d.Clear();
  d.Take(d.m.UpdateSelf(d.now, facts, true));  // no change, no news
  CHECK(d.sent.empty());
  CHECK(d.OwnIncarnation() == 102);
}

TEST_CASE("figures that came with a table are believed but not passed on; an epoch is") {
  Driven d;
  d.Meet(3);
  wire::Peer table;
  table.mutable_push_pull()->set_answer(true);
  wire::MemberUpdate update = Say(1, Liveness::kAlive, 2);
  update.mutable_facts()->set_blocks(5);
  *table.mutable_push_pull()->add_updates() = update;
  d.Take(d.m.Receive(d.now, Peer(2), table));
  CHECK(d.m.view()->at(Peer(1)).facts.blocks() == 5);
  REQUIRE(d.changes.size() == 1);
  CHECK_FALSE(d.changes[0].state_changed);
  d.RunFor(seconds(1));
  CHECK_FALSE(d.Told(1));
  update.set_incarnation(3);
  update.mutable_facts()->set_epoch(4);
  *table.mutable_push_pull()->mutable_updates(0) = update;
  d.Take(d.m.Receive(d.now, Peer(2), table));
  REQUIRE(d.Told(1));
  CHECK(d.Told(1)->facts().epoch() == 4);
}

TEST_CASE("goodbye goes to everybody linked; then nobody is probed, accused or dialled, and pings are answered (M11)") {
  Driven d;
  d.Meet(8);
  d.Hear(2, {Say(1, Liveness::kSuspect, 1, 2)});
  d.Clear();
  d.Take(d.m.Leave(d.now));
  for (int n = 1; n <= 8; ++n) {
    REQUIRE(d.Told(0, n));
    CHECK(d.Told(0, n)->state() == 4);
    CHECK(d.Told(0, n)->facts().leaving());
    CHECK(d.Told(0, n)->incarnation() == 101);
  }
  d.Clear();
  d.Take(d.m.Leave(d.now));
  CHECK(d.sent.empty());
  d.Hear(2, {Say(0, Liveness::kSuspect, 101, 2)});
  d.Hear(2, {Say(3, Liveness::kSuspect, 1, 2)});
  d.Take(d.m.LinkDown(d.now, Peer(4), true));
  d.RunFor(hours(11));
  CHECK(d.OwnIncarnation() == 101);
  CHECK(d.dialled.empty());
  CHECK(d.Sent(Kind::kPing).empty());
  CHECK(d.State(1) == Liveness::kSuspect);
  CHECK(d.State(4) == Liveness::kAlive);
  d.Clear();  // news of the suspicion went out in acks, to whom chance chose
  d.Ping(5, 7, Peer(0));
  CHECK(d.Sent(Kind::kPingAck, 5).size() == 1);
}

// --- Membership's edges -----------------------------------------------------------------------------------------------

TEST_CASE("a forgotten member stays away until it speaks with a higher incarnation") {
  Driven d;
  d.Meet(3);
  d.m.Forget(Peer(2));
  CHECK_FALSE(d.Knows(2));
  CHECK(d.m.IsSuspected(Peer(2)));
  d.Hear(1, {Say(2, Liveness::kAlive, 1), Say(2, Liveness::kDead, 9), Say(2, Liveness::kSuspect, 9, 1)});
  CHECK_FALSE(d.Knows(2));
  d.Hear(1, {Say(2, Liveness::kAlive, 2)});
  CHECK(d.Knows(2));
  d.m.Forget(Peer(0));
  CHECK(d.Knows(0));
}

TEST_CASE("a new boot is a restart, also when the state did not change") {
  Driven d;
  d.Meet(2);
  d.Hear(2, {Say(1, Liveness::kAlive, 1, 9, 2)});  // even with a lower incarnation than an earlier boot had
  REQUIRE(d.changes.size() == 1);
  CHECK(d.changes[0].restarted);
  CHECK_FALSE(d.changes[0].state_changed);
  CHECK(d.m.view()->at(Peer(1)).boot() == Boot(2));
  d.Hear(2, {Say(1, Liveness::kDead, 9, 9, 1)});  // of the process that was
  CHECK(d.State(1) == Liveness::kAlive);
}

TEST_CASE("a later boot of our own id is believed and reported, not shouted down (M13)") {
  for (const Liveness state : {Liveness::kAlive, Liveness::kDead}) {
    Driven d;
    d.Meet(2);
    wire::MemberUpdate other = Say(0, state, 5, 9, 2);
    other.mutable_facts()->set_address("elsewhere:1");
    d.Hear(1, {other});
    d.Hear(2, {other});
    REQUIRE(d.duplicates.size() == 1);
    CHECK(d.duplicates[0].id == Peer(0));
    CHECK(d.duplicates[0].address == "elsewhere:1");
    CHECK(d.duplicates[0].boot == Boot(2));
    CHECK(d.duplicates[0].known_address == "peer-0:1");
    CHECK(d.duplicates[0].known_boot == Boot(1));
    CHECK(d.m.counters().duplicates == 2);
    CHECK(d.OwnIncarnation() == 100);
  }
}

TEST_CASE("what is left of our own earlier boots is no duplicate") {
  Driven d;
  d.Meet(2);
  wire::MemberUpdate past = Say(0, Liveness::kAlive, 500, 9, 0);
  past.mutable_facts()->set_address("before:1");
  d.Hear(1, {past});
  wire::MemberUpdate earlier = Say(0, Liveness::kAlive, 90, 9, 1);
  earlier.mutable_facts()->set_address("before:1");
  d.Hear(1, {earlier});
  CHECK(d.duplicates.empty());
  REQUIRE(d.Told(0, 1));
  CHECK(d.Told(0, 1)->incarnation() == 100);
}

TEST_CASE("a twin with our boot counter is reported; its death does not make us dead") {
  Driven d;
  d.Meet(2);
  wire::MemberUpdate twin = Say(0, Liveness::kAlive, 200);
  twin.mutable_facts()->set_address("twin:1");
  d.Hear(1, {twin});
  CHECK(d.duplicates.size() == 1);
  CHECK(d.OwnIncarnation() == 100);
  twin.set_state(3);
  d.Hear(1, {twin});
  CHECK(d.OwnIncarnation() == 201);
}

TEST_CASE("others see two processes with one id: the newest boot stays, the older is reported when it speaks") {
  Driven d;
  d.Meet(2);
  d.Hear(2, {Say(1, Liveness::kAlive, 1, 9, 2)});
  wire::MemberUpdate older = Say(1, Liveness::kAlive, 50, 9, 1);
  older.mutable_facts()->set_address("old:1");
  d.Hear(2, {older});  // by hearsay: may be long past
  CHECK(d.duplicates.empty());
  d.Hear(1, {older});
  REQUIRE(d.duplicates.size() == 1);
  CHECK(d.duplicates[0].address == "old:1");
  CHECK(d.duplicates[0].known_boot == Boot(2));
  CHECK(d.m.view()->at(Peer(1)).boot() == Boot(2));
}

TEST_CASE("the death of a router nobody told us of is no news, and dead routers are forgotten in time") {
  MembershipConfig config = Driven::Quiet();
  config.router_memory = hours(1);
  Driven d(config);
  d.Meet(1);
  wire::MemberUpdate router = Say(5, Liveness::kDead, 1);
  router.mutable_facts()->set_role(3);
  d.Hear(1, {router});
  CHECK_FALSE(d.Knows(5));
  router.set_incarnation(2);
  router.set_state(1);
  d.Hear(1, {router});
  CHECK(d.Knows(5));
  router.set_state(3);
  d.Hear(1, {router});
  d.Hear(1, {Say(6, Liveness::kDead, 1)});
  d.RunFor(milliseconds(59 * 60 * 1000));
  CHECK(d.Knows(5));
  d.RunFor(hours(1));
  CHECK_FALSE(d.Knows(5));
  CHECK(d.Knows(6));  // a storage node is dropped by the layout only
}

TEST_CASE("more members than the bound are counted, not kept") {
  MembershipConfig config = Driven::Quiet();
  config.max_members = 10;
  Driven d(config);
  for (int n = 1; n <= 30; ++n) d.Hear(1, {Say(n, Liveness::kAlive, 1)});
  CHECK(d.m.view()->size() == 10);
  CHECK(d.m.counters().overflow == 21);
}

TEST_CASE("what is malformed is counted and changes nothing") {
  Driven d;
  d.Meet(1);
  const std::string before = Believed(d.m);
  std::uint64_t count = 0;
  const auto refused = [&](const wire::Peer& message, const NodeId& from = Peer(1)) {
    d.Clear();
    d.Take(d.m.Receive(d.now, from, message));
    CHECK(d.m.counters().malformed == ++count);
    CHECK(d.sent.empty());
    CHECK(Believed(d.m) == before);
  };
  wire::Peer m;
  refused(m);
  m.mutable_prepare();
  refused(m);
  m.mutable_ping()->set_sequence(1);
  refused(m);  // no target
  m.mutable_ping()->set_target(Peer(0).str());
  refused(m, Peer(0));  // from ourselves
  refused(m, NodeId{});
  m.mutable_ping()->set_sequence(0);
  refused(m);
  m.mutable_ping_request()->set_sequence(1);
  refused(m);
  m.mutable_ping_request()->set_target(std::string(17, 'x'));
  refused(m);
  m.mutable_ping_request()->set_target(Peer(1).str());
  m.mutable_ping_request()->set_target_address(std::string(5000, 'x'));
  refused(m);
  m.mutable_ping_ack()->add_updates();
  refused(m);
  m.mutable_push_pull()->set_answer(true);
  m.mutable_push_pull()->add_updates()->mutable_facts()->set_id("short");
  refused(m);
}

}  // namespace coffer::cluster
