// The small machines membership is made of: beliefs, suspicion, the queue of news, the order of probes, retries.
#include <algorithm>
#include <chrono>
#include <compare>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/due_times.h"
#include "cluster/facts.h"
#include "cluster/gossip_queue.h"
#include "cluster/id_map.h"
#include "cluster/member_view.h"
#include "cluster/probe_order.h"
#include "cluster/random.h"
#include "cluster/retry_schedule.h"
#include "cluster/suspicion.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using std::chrono::milliseconds;

NodeId Id(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n >> 8);
  id.bytes[1] = static_cast<std::uint8_t>(n);
  id.bytes[2] = 1;
  return id;
}

MemberView View(std::uint64_t boot, std::uint64_t incarnation, Liveness state, const std::string& address = "a:1", int of = 1) {
  wire::MemberFacts facts;
  facts.set_id(Id(of).str());
  facts.set_boot(boot);
  facts.set_address(address);
  MemberView view;
  view.facts = facts;
  view.incarnation = Incarnation(incarnation);
  view.state = state;
  return view;
}

wire::MemberUpdate Say(int of, Liveness state, int accuser = 0, std::uint64_t incarnation = 1) {
  return WriteUpdate(View(1, incarnation, state, "a:1", of), Id(accuser));
}

MemberRecord Record(int of, Liveness state, std::uint64_t incarnation, const std::string& address = "a:1") {
  return {View(1, incarnation, state, address, of).facts, Incarnation(incarnation), state};
}

void Put(GossipQueue* queue, int of, Liveness state = Liveness::kAlive, int accuser = 0, std::uint64_t incarnation = 1) {
  queue->Put(Id(of), Record(of, state, incarnation), Id(accuser));
}

const Instant kStart = Instant(std::chrono::seconds(100));

}  // namespace

TEST_CASE("beliefs are ordered by boot, incarnation, state, facts") {
  CHECK(std::is_gt(Compare(View(2, 1, Liveness::kAlive), View(1, 9, Liveness::kLeft))));
  CHECK(std::is_gt(Compare(View(1, 2, Liveness::kAlive), View(1, 1, Liveness::kDead))));
  CHECK(std::is_gt(Compare(View(1, 1, Liveness::kSuspect), View(1, 1, Liveness::kAlive))));
  CHECK(std::is_gt(Compare(View(1, 1, Liveness::kDead), View(1, 1, Liveness::kSuspect))));
  CHECK(std::is_gt(Compare(View(1, 1, Liveness::kLeft), View(1, 1, Liveness::kDead))));
  CHECK(std::is_gt(Compare(View(1, 1, Liveness::kAlive, "b:1"), View(1, 1, Liveness::kAlive, "a:1"))));
  CHECK(std::is_eq(Compare(View(1, 1, Liveness::kAlive), View(1, 1, Liveness::kAlive))));
}

TEST_CASE("an update survives the wire, and a malformed one is refused") {
  const wire::MemberUpdate good = Say(3, Liveness::kSuspect, 4, 77);
  const auto read = ReadUpdate(good);
  REQUIRE(read);
  CHECK(read->id == Id(3));
  CHECK(read->accuser == Id(4));
  CHECK(read->view.state == Liveness::kSuspect);
  CHECK(read->view.incarnation == Incarnation(77));
  CHECK(WriteUpdate(read->view, read->accuser).SerializeAsString() == good.SerializeAsString());

  const auto refused = [&](auto damage) {
    wire::MemberUpdate bad = good;
    damage(&bad);
    return !ReadUpdate(bad).has_value();
  };
  CHECK(refused([](auto* u) { u->mutable_facts()->set_id("short"); }));
  CHECK(refused([](auto* u) { u->mutable_facts()->set_id(std::string(16, '\0')); }));
  CHECK(refused([](auto* u) { u->clear_facts(); }));
  CHECK(refused([](auto* u) { u->set_state(0); }));
  CHECK(refused([](auto* u) { u->set_state(5); }));
  CHECK(refused([](auto* u) { u->set_accuser(""); }));
  CHECK(refused([](auto* u) { u->set_incarnation(kMaxIncarnation); }));
  CHECK(refused([](auto* u) { u->mutable_facts()->set_boot(~0ull); }));
  CHECK(refused([](auto* u) { u->mutable_facts()->set_name(std::string(kMaxFactBytes + 1, 'x')); }));
  CHECK_FALSE(refused([](auto* u) { u->mutable_facts()->set_name("fine"); }));
}

TEST_CASE("a suspicion is shorter the more accuse independently") {
  const SuspicionTimes times{milliseconds(1000), milliseconds(4000), milliseconds(500)};
  Suspicion s(kStart, times, 3, Id(1));
  CHECK(s.Deadline() == kStart + milliseconds(4000));
  CHECK_FALSE(s.Accuse(Id(1)));
  CHECK(s.Deadline() == kStart + milliseconds(4000));
  Instant before = s.Deadline();
  for (int n = 2; n <= 4; ++n) {
    CHECK(s.Accuse(Id(n)));
    CHECK(s.Deadline() < before);
    before = s.Deadline();
  }
  CHECK(s.Deadline() == kStart + milliseconds(1000));
  CHECK_FALSE(s.Accuse(Id(5)));  // enough: no news
  CHECK(s.accusers().size() == 4);
}

TEST_CASE("a suspicion that nobody can confirm takes the shortest time; a refused address less; a pause of ours is added") {
  const SuspicionTimes times{milliseconds(1000), milliseconds(4000), milliseconds(500)};
  Suspicion alone(kStart, times, 0, Id(1));
  CHECK(alone.Deadline() == kStart + milliseconds(1000));
  Suspicion s(kStart, times, 1, Id(1));
  s.Hasten();
  CHECK(s.Deadline() == kStart + milliseconds(500));
  s.Calm();
  CHECK(s.Deadline() == kStart + milliseconds(4000));
  s.Postpone(milliseconds(70));
  CHECK(s.Deadline() == kStart + milliseconds(4070));
}

TEST_CASE("news that was sent least goes first, the newest among equals, each a limited number of times") {
  GossipQueue queue(100);
  for (int n = 1; n <= 3; ++n) Put(&queue, n, Liveness::kAlive);
  CHECK(queue.Take(1, 2).at(0).id == Id(3));
  CHECK(queue.Take(1, 2).at(0).id == Id(2));
  Put(&queue, 4, Liveness::kAlive);
  CHECK(queue.Take(1, 2).at(0).id == Id(4));
  CHECK(queue.Take(1, 2).at(0).id == Id(1));
  CHECK(queue.Take(10, 2).size() == 4);
  CHECK(queue.empty());
  CHECK(queue.Take(10, 2).empty());
}

TEST_CASE("newer news of a member replaces older; accusations of one incarnation stand side by side") {
  GossipQueue queue(100);
  Put(&queue, 1, Liveness::kAlive, 0, 1);
  Put(&queue, 2, Liveness::kAlive, 0, 1);
  Put(&queue, 1, Liveness::kSuspect, 5, 1);
  CHECK(queue.size() == 2);
  Put(&queue, 1, Liveness::kSuspect, 6, 1);
  CHECK(queue.size() == 3);
  Put(&queue, 1, Liveness::kSuspect, 6, 1);
  CHECK(queue.size() == 3);
  Put(&queue, 1, Liveness::kSuspect, 5, 2);
  CHECK(queue.size() == 2);
  Put(&queue, 1, Liveness::kAlive, 0, 3);
  CHECK(queue.size() == 2);
  CHECK(queue.Contains(Id(1)));
  queue.Remove(Id(1));
  CHECK_FALSE(queue.Contains(Id(1)));
  CHECK(queue.Contains(Id(2)));
}

TEST_CASE("a full queue drops what was sent most often, and counts it") {
  GossipQueue queue(3);
  for (int n = 1; n <= 3; ++n) Put(&queue, n, Liveness::kAlive);
  queue.Take(1, 9);  // member 3's
  Put(&queue, 4, Liveness::kAlive);
  CHECK(queue.size() == 3);
  CHECK(queue.dropped() == 1);
  CHECK_FALSE(queue.Contains(Id(3)));
  CHECK(queue.Contains(Id(4)));
}

TEST_CASE("a queue under random puts, removals and takes gives what a plain list gives") {
  struct Told {
    int of, accuser, transmissions;
    std::uint64_t incarnation, age;
  };
  Random random(3);
  GossipQueue queue(40);
  std::vector<Told> plain;
  const auto sooner = [](const Told& a, const Told& b) {
    return std::pair(a.transmissions, ~a.age) < std::pair(b.transmissions, ~b.age);
  };
  for (std::uint64_t step = 1; step < 5000; ++step) {
    const int of = static_cast<int>(1 + random.Below(60));
    const std::uint64_t what = random.Below(20);
    if (what < 12) {
      const int accuser = static_cast<int>(random.Below(4));  // 0: no suspicion
      const std::uint64_t incarnation = random.Below(3);
      Put(&queue, of, accuser == 0 ? Liveness::kAlive : Liveness::kSuspect, accuser, incarnation);
      std::erase_if(plain, [&](const Told& t) {
        return t.of == of && (t.accuser == accuser || t.accuser == 0 || accuser == 0 || t.incarnation != incarnation);
      });
      if (plain.size() == 40) plain.erase(std::max_element(plain.begin(), plain.end(), sooner));
      plain.push_back({of, accuser, 0, incarnation, step});
    } else if (what == 12) {
      queue.Remove(Id(of));
      std::erase_if(plain, [&](const Told& t) { return t.of == of; });
    } else {
      std::sort(plain.begin(), plain.end(), sooner);
      const auto taken = queue.Take(5, 3);
      REQUIRE(taken.size() == std::min<std::size_t>(5, plain.size()));
      for (std::size_t i = 0; i < taken.size(); ++i) {
        REQUIRE(taken[i].id == Id(plain[i].of));
        REQUIRE(taken[i].accuser == (plain[i].accuser == 0 ? NodeId{} : Id(plain[i].accuser)));
        REQUIRE(taken[i].record.incarnation == Incarnation(plain[i].incarnation));
        ++plain[i].transmissions;
      }
      std::erase_if(plain, [](const Told& t) { return t.transmissions == 3; });
    }
    REQUIRE(queue.size() == plain.size());
    REQUIRE(queue.Contains(Id(of)) == std::any_of(plain.begin(), plain.end(), [&](const Told& t) { return t.of == of; }));
  }
  CHECK(queue.dropped() > 0);
}

TEST_CASE("a map by id does what std::map does, for random ids and for those of one beginning") {
  for (const bool alike : {false, true}) {
    Random random(7);
    const auto draw = [&] {
      Random bytes(random.Below(300));
      NodeId id;
      for (std::size_t i = alike ? 14 : 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(bytes.Next());
      return id;
    };
    IdMap<int> map;
    std::map<NodeId, int> plain;
    for (int step = 0; step < 5000; ++step) {
      const NodeId id = draw();
      if (random.Chance(2, 3)) map[id] = plain[id] = step;
      else CHECK(map.erase(id) == plain.erase(id));
      const NodeId other = draw();
      REQUIRE(map.contains(other) == plain.contains(other));
      if (map.contains(other)) REQUIRE(map.at(other) == plain.at(other));
      REQUIRE(map.size() == plain.size());
    }
    CHECK(std::equal(map.begin(), map.end(), plain.begin(), plain.end(),
                     [](const auto& a, const auto& b) { return a == std::pair(b.first, b.second); }));
    CHECK_THROWS(map.at(NodeId{}));
  }
}

TEST_CASE("due times come in order, by the last that was set") {
  Random random(11);
  DueTimes times;
  std::map<NodeId, Instant> plain;
  const auto next = [&] {
    return *std::min_element(plain.begin(), plain.end(), [](const auto& a, const auto& b) {
      return std::pair(a.second, a.first) < std::pair(b.second, b.first);
    });
  };
  for (int step = 0; step < 5000; ++step) {
    const NodeId id = Id(static_cast<int>(random.Below(50)));
    const Instant due = kStart + milliseconds(random.Below(1000));
    const std::uint64_t what = random.Below(8);
    if (what < 5) {
      times.Set(id, due);
      plain[id] = due;
    } else if (what == 5) {
      times.Drop(id);
      plain.erase(id);
    } else if (!plain.empty()) {
      const auto [first, at] = next();
      CHECK(times.TakeDue(at - milliseconds(1)) == std::nullopt);
      REQUIRE(times.TakeDue(at) == first);
      plain.erase(first);
    }
    REQUIRE(times.Next() == (plain.empty() ? kNever : next().second));
    REQUIRE(times.Contains(id) == plain.contains(id));
  }
}

TEST_CASE("facts are shared by those who copy them, and a pool keeps equal ones once") {
  const MemberRecord record = Record(1, Liveness::kAlive, 1);
  MemberRecord copy = record;
  CHECK(copy.facts.SharedWith(record.facts));
  copy.facts.Edit().set_epoch(9);
  CHECK(copy.facts->epoch() == 9);
  CHECK(record.facts->epoch() == 0);
  CHECK(Facts()->id().empty());

  FactsPool pool;
  const Facts kept = pool.Keep(*record.facts);
  CHECK(pool.Keep(*Record(1, Liveness::kDead, 7).facts).SharedWith(kept));
  CHECK_FALSE(pool.Keep(*copy.facts).SharedWith(kept));
  CHECK(ReadNews(Say(1, Liveness::kAlive), &pool)->record.facts.SharedWith(kept));
  for (int n = 0; n < 3000; ++n) pool.Keep(*Record(1, Liveness::kAlive, 1, std::to_string(n)).facts);
  CHECK(pool.size() <= 1024);  // what nobody holds goes
  CHECK(pool.Keep(*record.facts).SharedWith(kept));
}

TEST_CASE("a pool is that of the innermost scope, and of none outside") {
  CHECK(FactsPool::OfScope() == nullptr);
  {
    const FactsPool::Scope scope;
    const auto pool = FactsPool::OfScope();
    REQUIRE(pool != nullptr);
    {
      const FactsPool::Scope inner;
      CHECK(FactsPool::OfScope() != pool);
    }
    CHECK(FactsPool::OfScope() == pool);
  }
  CHECK(FactsPool::OfScope() == nullptr);
}

TEST_CASE("every member is probed once a round, also when the list changes") {
  ProbeOrder order(5);
  for (int n = 0; n < 10; ++n) order.Add(Id(n));
  CHECK(order.size() == 10);
  while (order.Next() != Id(0)) {
  }
  std::map<NodeId, int> seen;
  std::vector<NodeId> first_round;
  for (int i = 0; i < 200; ++i) ++seen[order.Next()];
  for (int n = 0; n < 10; ++n) {
    CHECK(seen[Id(n)] >= 19);
    CHECK(seen[Id(n)] <= 21);
  }
  // Two turns of one member are never further apart than two rounds.
  order.Remove(Id(7));
  int gap = 0;
  for (int i = 0; i < 500; ++i) {
    const NodeId id = order.Next();
    REQUIRE(id != Id(7));
    gap = id == Id(2) ? 0 : gap + 1;
    REQUIRE(gap < 18);
  }
  for (int n = 0; n < 10; ++n) order.Remove(Id(n));
  CHECK(order.Next().IsZero());
}

TEST_CASE("rounds are shuffled, by the seed alone") {
  const auto rounds = [](std::uint64_t seed) {
    ProbeOrder order(seed);
    for (int n = 0; n < 8; ++n) order.Add(Id(n));
    std::vector<NodeId> ids;
    for (int i = 0; i < 64; ++i) ids.push_back(order.Next());
    return ids;
  };
  const auto a = rounds(1);
  CHECK(a == rounds(1));
  CHECK(a != rounds(2));
  CHECK_FALSE(std::equal(a.begin() + 16, a.begin() + 24, a.begin() + 24));
}

TEST_CASE("retries come due in order and in batches") {
  RetrySchedule retries(2, milliseconds(100));
  CHECK(retries.NextDue() == kNever);
  retries.Set(Id(1), kStart + milliseconds(30));
  retries.Set(Id(2), kStart + milliseconds(10));
  retries.Set(Id(3), kStart + milliseconds(20));
  CHECK(retries.NextDue() == kStart + milliseconds(10));
  CHECK(retries.TakeDue(kStart).empty());
  const Instant late = kStart + milliseconds(50);
  CHECK(retries.TakeDue(late) == std::vector<NodeId>{Id(2), Id(3)});
  CHECK(retries.TakeDue(late).empty());
  CHECK(retries.NextDue() == late + milliseconds(100));
  CHECK(retries.TakeDue(late + milliseconds(100)) == std::vector<NodeId>{Id(1)});
  retries.Set(Id(1), kStart);
  retries.Set(Id(1), kStart + std::chrono::hours(1));
  CHECK(retries.Contains(Id(1)));
  CHECK(retries.TakeDue(kStart + std::chrono::seconds(9)).empty());
  retries.Drop(Id(1));
  CHECK(retries.NextDue() == kNever);
}

}  // namespace coffer::cluster
