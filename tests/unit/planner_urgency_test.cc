// Which successors may be held back for more changes to gather, and how a log tells what one changed.
#include <string>
#include <vector>

#include "cluster/layout_changes.h"
#include "planner_world.h"

namespace coffer::cluster {
namespace {

using Kind = OperatorChange::Kind;
using namespace std::chrono_literals;

// What the next step would be, taken; whether it could not have waited.
bool TakeUrgent(PlannerWorld* world, const OperatorChange& change = {}) {
  const auto next = world->Plan(change);
  REQUIRE(next);
  const bool urgent = CannotWait(world->layout, *next, world->members, world->requests);
  REQUIRE(world->Step(change));
  return urgent;
}

TEST_CASE("the dead leave their groups at once; joins, adds and hand-overs can wait") {
  PlannerWorld world = StartedTogether(3);
  world.Start(3);
  CHECK_FALSE(TakeUrgent(&world));  // the join
  world.HandInAdds();
  CHECK_FALSE(TakeUrgent(&world));  // the adds
  world.Settle();
  world.Kill(3);
  CHECK(TakeUrgent(&world));
  world.Settle();
  world.Pass(30s);
  CHECK_FALSE(TakeUrgent(&world));  // given up: it is out of every group already
}

TEST_CASE("a dead member whose groups have nobody else does not make every successor urgent") {
  PlannerWorld world = StartedTogether(2);
  world.Kill(1);
  CHECK(TakeUrgent(&world));
  world.Start(2);
  world.Kill(0);
  world.Start(1);  // node-1 alone is in_sync, and dead
  const auto next = world.Plan();
  REQUIRE(next);
  CHECK_FALSE(CannotWait(world.layout, *next, world.members, world.requests));
}

TEST_CASE("a renewal that a primary asks for is urgent while its term lasts") {
  PlannerWorld world = StartedTogether(3);
  world.requests.renewals[7] = world.layout.group(7).term;
  CHECK(TakeUrgent(&world));
  world.Start(3);
  CHECK_FALSE(TakeUrgent(&world));  // the request is of a term that is over
}

TEST_CASE("what a layout changed is counted from the layouts, not from the plan it belongs to") {
  PlannerWorld world = StartedTogether(3);
  const auto told = [&](const OperatorChange& change = {}) {
    const Layout before = world.layout;
    REQUIRE(world.Step(change));
    return WhatChanged(before, world.layout);
  };
  world.Start(3);
  const std::string joined = told();
  CHECK_THAT(joined, Catch::StartsWith("node-4 joined; new places for "));
  CHECK_THAT(joined, !Catch::Contains("complete"));
  world.HandInAdds();
  const std::string added = told();
  CHECK_THAT(added, Catch::Contains("copies complete") && !Catch::Contains("joined"));
  world.Settle();
  world.Kill(0);
  CHECK_THAT(told(), Catch::Contains("copies no longer counted; 15 primaries moved"));
  CHECK_THAT(told({Kind::kPauseResync}), Catch::Contains("resync paused"));
  CHECK_THAT(told({Kind::kLimitResync, "", 1000}), Catch::Contains("resync limit 1000 B/s"));
  world.requests.renewals[7] = world.layout.group(7).term;
  CHECK_THAT(told(), Catch::Contains("1 term renewed"));
  world.Pass(30s);
  CHECK_THAT(told(), Catch::Contains("node-1 given up"));
  world.Settle();
  CHECK_THAT(told({Kind::kForget, "node-1"}), Catch::Contains("node-1 left"));
}

TEST_CASE("a crowd is counted, not named, and forced layouts say so") {
  PlannerWorld world;
  for (std::uint32_t n = 1; n < 9; ++n) world.Start(n);
  const Layout before = world.layout;
  REQUIRE(world.Step());
  CHECK_THAT(WhatChanged(before, world.layout), Catch::StartsWith("8 members joined; "));
  PlannerWorld two = StartedTogether(2);
  two.Kill(1);
  const Layout pair = two.layout;
  REQUIRE(two.Step({Kind::kForce, PlannerWorld::Off({"node-2"})}));
  CHECK_THAT(WhatChanged(pair, two.layout), Catch::StartsWith("forced by an operator; node-2 given up for good"));
  CHECK_THAT(WhatChanged(pair, two.layout), Catch::EndsWith("voters are node-1"));
  CHECK(WhatChanged(pair, pair) == "nothing of note");
}

TEST_CASE("what is asked of a partition that does not exist, or of members unknown to gossip, is not urgent") {
  PlannerWorld world = StartedTogether(3);
  world.requests.renewals[999] = Term(1);
  world.Start(3);
  world.members.erase(TestId(1));
  const auto next = world.Plan();
  REQUIRE(next);
  CHECK_FALSE(CannotWait(world.layout, *next, world.members, world.requests));
}

}  // namespace
}  // namespace coffer::cluster
