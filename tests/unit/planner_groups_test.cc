// What the planner makes of one group: removals, heirs, adds, renewals.
#include "cluster/planner.h"

#include <vector>

#include "planner_world.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using namespace std::chrono_literals;

}  // namespace

TEST_CASE("never a change that leaves only the suspected or dead (L5)") {
  OneGroup g(3, {0, {0, 1}, Term(5), {0, 1}});
  g.world.Kill(0);
  g.world.Suspect(1);
  CHECK(!g.world.Plan());
  g.world.Kill(1);
  CHECK(!g.world.Plan());
  g.world.Start(1);
  CHECK(g.Next() == Group{1, {1}, Term(11), {0, 1}});
}

TEST_CASE("a member gossip does not know is not taken for dead") {
  OneGroup g(3, {0, {0, 1}, Term(5), {0, 1}});
  g.world.members.erase(TestId(1));
  CHECK(!g.world.Plan());
}

TEST_CASE("the heir is the goal's primary, else the first of the goal") {
  OneGroup preferred(4, {0, {0, 1, 2}, Term(5), {2, 3}});
  preferred.world.Kill(0);
  CHECK(preferred.Next().primary == 2);
  OneGroup first(4, {0, {0, 1, 2}, Term(5), {3, 2}});
  first.world.Kill(0);
  CHECK(first.Next().primary == 2);
  OneGroup other(4, {0, {0, 1}, Term(5), {3, 2}});
  other.world.Kill(0);
  CHECK(other.Next().primary == 1);
}

TEST_CASE("adds: only in their term, and the rest leaves in the same epoch once the goal is complete (L4)") {
  OneGroup stale(3, {0, {0, 1}, Term(5), {0, 2}});
  stale.Add(2, Term(4));
  CHECK(!stale.world.Plan());
  OneGroup granted(3, {0, {0, 1}, Term(5), {0, 2}});
  granted.Add(2);
  CHECK(granted.Next() == Group{0, {0, 2}, Term(11), {0, 2}});
  OneGroup replica(3, {0, {0, 1}, Term(5), {1, 2}});  // the primary leaves too: its successor was in_sync
  replica.Add(2);
  CHECK(replica.Next() == Group{1, {1, 2}, Term(11), {1, 2}});
}

TEST_CASE("who is just added can't be primary in the same epoch: the hand-over follows") {
  OneGroup g(3, {0, {0, 1}, Term(5), {2, 1}});
  g.Add(2);
  CHECK(g.Next() == Group{0, {0, 1, 2}, Term(11), {2, 1}});
  CHECK(g.Next() == Group{2, {1, 2}, Term(12), {2, 1}});
  CHECK(!g.world.Plan());
}

TEST_CASE("the others stay as long as a goal member is not known to live") {
  OneGroup g(4, {0, {0, 1}, Term(5), {1, 2}});
  g.world.Suspect(1);
  g.Add(2);
  CHECK(g.Next() == Group{0, {0, 1, 2}, Term(11), {1, 2}});
  CHECK(!g.world.Plan());
  g.world.Start(1);
  CHECK(g.Next() == Group{1, {1, 2}, Term(12), {1, 2}});
}

TEST_CASE("an add outlives the primary that vouched for it") {
  OneGroup both(3, {0, {0, 1}, Term(5), {0, 2}});
  both.world.Kill(0);
  both.Add(2);
  CHECK(both.Next() == Group{1, {1, 2}, Term(11), {0, 2}});
  OneGroup alone(3, {0, {0}, Term(5), {0, 2}});  // an old member has to stay for one epoch
  alone.world.Kill(0);
  alone.Add(2);
  CHECK(alone.Next() == Group{0, {0, 2}, Term(11), {0, 2}});
  CHECK(alone.Next() == Group{2, {2}, Term(12), {0, 2}});
}

TEST_CASE("an add that is not wanted any more, or whose learner died, is cancelled by a renewal") {  // R7.5, L6
  OneGroup unwanted(4, {0, {0, 1}, Term(5), {0, 1}});
  unwanted.Add(3);
  CHECK(unwanted.Next() == Group{0, {0, 1}, Term(11), {0, 1}});
  OneGroup outdated(4, {0, {0, 1}, Term(5), {0, 2}});  // the goal has changed, and there are two copies already
  outdated.Add(3);
  CHECK(outdated.Next() == Group{0, {0, 1}, Term(11), {0, 2}});
  OneGroup dead(4, {0, {0, 1}, Term(5), {0, 2}});
  dead.world.Kill(2);
  dead.Add(2);
  CHECK(dead.Next() == Group{0, {0, 1}, Term(11), {0, 2}});
  OneGroup suspect(4, {0, {0, 1}, Term(5), {0, 2}});
  suspect.world.Suspect(2);
  suspect.Add(2);
  CHECK(!suspect.world.Plan());
  OneGroup stranger(4, {0, {0, 1}, Term(5), {0, 2}});
  stranger.Add(9);
  CHECK(stranger.Next() == Group{0, {0, 1}, Term(11), {0, 2}});
}

TEST_CASE("a substitute outside the goal is the second copy until a better one comes") {
  OneGroup g(4, {0, {0}, Term(5), {0, 1}});
  g.world.Kill(1);
  g.Add(3);
  CHECK(g.Next() == Group{0, {0, 3}, Term(11), {0, 1}});
  g.world.Start(1);
  g.Add(1, Term(11));
  CHECK(g.Next() == Group{0, {0, 1}, Term(12), {0, 1}});
  // Given up instead, the lost one's place goes to the substitute if the shares allow.
  OneGroup lost(4, {0, {0, 3}, Term(5), {0, 1}});
  lost.world.Kill(1);
  lost.world.Pass(10s);
  CHECK(lost.Next().goal == Goal{0, 3});
}

TEST_CASE("a group that is full of members on their way out makes room for the learner") {
  OneGroup g(5, {0, {0, 1, 2}, Term(5), {3, 4}});
  g.Add(3);
  const Group next = g.Next();
  CHECK(next.in_sync.size() == 3);
  CHECK(next.InSync(0));
  CHECK(next.InSync(3));
}

TEST_CASE("renewals change the term and nothing else") {
  OneGroup g(3, {0, {0, 1}, Term(5), {0, 1}});
  g.world.requests.renewals[0] = Term(4);
  CHECK(!g.world.Plan());
  g.world.requests.renewals[0] = Term(5);
  CHECK(g.Next() == Group{0, {0, 1}, Term(11), {0, 1}});
  CHECK(!g.world.Plan());
}

TEST_CASE("a substitute has to take data: neither a witness nor a member that drains is granted, and the primary is rid of it") {
  OneGroup witness(4, {0, {0}, Term(5), {0, 1}});
  witness.world.Get(3).witness = true;
  witness.world.layout.members[3].witness = true;
  witness.world.Kill(1);
  witness.Add(3);
  CHECK(witness.Next() == Group{0, {0}, Term(11), {0, 1}});
  OneGroup drains(4, {0, {0}, Term(5), {0, 1}});
  drains.world.layout.members[3].draining = true;
  drains.world.Kill(1);
  drains.Add(3);
  CHECK(drains.Next() == Group{0, {0}, Term(11), {0, 1}});
}

}  // namespace coffer::cluster
