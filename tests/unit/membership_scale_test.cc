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
