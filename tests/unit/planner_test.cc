// What the planner does, step by step: growing, copies, voters.
#include "cluster/planner.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "planner_world.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using namespace std::chrono_literals;
using Kind = OperatorChange::Kind;

}  // namespace

TEST_CASE("the first layout: one member has everything, alone, with one copy") {
  PlannerWorld world;
  CHECK(!WhyMalformed(world.layout));
  CHECK(world.layout.epoch == Epoch(1));
  CHECK(world.layout.settings.min_copies == 1);
  CHECK(world.layout.voters == MemberList{0});
  CHECK(world.AllAtGoal());
  CHECK(!world.Plan());
}

TEST_CASE("a number of copies that was chosen at formation stays") {
  Settings settings;
  settings.partitions = 4;
  settings.min_copies = 2;
  settings.min_copies_chosen = true;
  CHECK(FirstLayout(ClusterId{}, "test", TestFacts(0), settings).settings.min_copies == 2);
  settings.min_copies_chosen = false;
  CHECK(FirstLayout(ClusterId{}, "test", TestFacts(0), settings).settings.min_copies == 1);
}

TEST_CASE("nothing changes, nothing is proposed") {
  for (std::uint32_t n = 1; n <= 6; ++n) {
    PlannerWorld world = Grown(n);
    CHECK(!world.Plan());
    world.Get(0).address = "elsewhere:1";  // an address alone is not worth an epoch
    CHECK(!world.Plan());
  }
}

TEST_CASE("an empty cluster that grows ends at plain modulo") {
  for (std::uint32_t n = 2; n <= 6; ++n) {
    PlannerWorld world;
    world.blocks = 0;
    world.Get(0).blocks = 0;
    for (std::uint32_t i = 1; i < n; ++i) {
      world.Start(i);
      if (i % 2 == 1) world.Step();  // some arrive together, some while the last ones are still on their way
    }
    world.Settle();
    CHECK(GoalsOf(world.layout) == FreshGoals(world.layout.members, world.layout.partition_count()));
    for (PartitionId p = 0; p < world.layout.partition_count(); ++p) CHECK(world.layout.group(p).primary == p % n);
    CHECK(world.AllAtGoal());
    CHECK(world.layout.settings.min_copies == 2);
  }
}

TEST_CASE("a full cluster that grows moves the least") {
  PlannerWorld world = Grown(3);
  const std::vector<Goal> before = GoalsOf(world.layout);
  world.Start(3);
  REQUIRE(world.Step());
  CHECK(CountMovement(before, GoalsOf(world.layout)).copies == 2 * world.layout.partition_count() / 4);
  REQUIRE(world.layout.plan);
  CHECK(world.layout.plan->cause == "node-4 joined");
  CHECK(world.layout.plan->id == world.layout.epoch);
  const std::uint32_t total = world.layout.plan->partitions_total;
  CHECK(total == 2 * world.layout.partition_count() / 4);
  world.HandInAdd(0), world.HandInAdd(1), world.HandInAdd(2);
  while (world.Step()) {
    if (world.layout.plan) CHECK(world.layout.plan->partitions_total == total);  // frozen
  }
  world.Settle();
  CHECK(!world.layout.plan);
  CHECK(world.AllAtGoal());
}

TEST_CASE("min_copies rises by itself once every group has two, and never falls") {
  PlannerWorld world;
  world.Start(1);
  REQUIRE(world.Step());
  CHECK(world.layout.settings.min_copies == 1);
  world.Settle();
  CHECK(world.layout.settings.min_copies == 2);
  world.Kill(1);
  world.Step();
  CHECK(world.layout.settings.min_copies == 2);
  PlannerWorld chosen;
  REQUIRE(chosen.Step({Kind::kMinCopies, "", 1}));
  chosen.Start(1);
  chosen.Settle();
  CHECK(chosen.AllAtGoal());
  CHECK(chosen.layout.settings.min_copies == 1);
}

TEST_CASE("voters: 1, 2, 3, 3, then 5; one at a time; as many as wished") {
  const std::vector<std::size_t> wanted = {1, 2, 3, 3, 5, 5, 5, 5};
  for (std::uint32_t n = 1; n <= wanted.size(); ++n) {
    PlannerWorld world;
    for (std::uint32_t i = 1; i < n; ++i) world.Start(i);
    std::size_t before = 1;
    for (world.HandInAdds(); world.Step(); world.HandInAdds()) {
      CHECK(world.layout.voters.size() <= before + 1);
      before = world.layout.voters.size();
    }
    CHECK(world.layout.voters.size() == wanted[n - 1]);
    world.layout.settings.voters_wanted = 7;
    world.Settle();
    CHECK(world.layout.voters.size() == (n >= 7 ? 7 : wanted[n - 1]));
    world.layout.settings.voters_wanted = 3;
    world.Settle();
    CHECK(world.layout.voters.size() == std::min<std::size_t>(wanted[n - 1], 3));
  }
}

TEST_CASE("a dead voter is replaced by a living member, and the returned one does not push it out") {
  PlannerWorld world = Grown(4);
  CHECK(world.layout.voters == MemberList{0, 1, 2});
  world.Suspect(1);
  CHECK(!world.Plan());
  world.Kill(1);
  REQUIRE(world.Step());
  CHECK(world.layout.voters == MemberList{0, 2, 3});
  world.Start(1);
  world.Settle();
  CHECK(world.layout.voters == MemberList{0, 2, 3});
}

TEST_CASE("never below three voters: without a candidate the dead one stays") {
  PlannerWorld world = Grown(3);
  world.Kill(2);
  world.Pass(60s);
  world.Settle();
  CHECK(world.layout.voters == MemberList{0, 1, 2});
  PlannerWorld five = Grown(5);
  five.Kill(3), five.Kill(4);
  five.Pass(60s);
  five.Settle();
  CHECK(five.layout.voters ==
        MemberList{0, 1, 2});  // three that live tolerate a loss, five with two dead none
}

TEST_CASE("planning is a pure function: the same question has the same answer, down to the bytes") {
  PlannerWorld world = Grown(5);
  world.Kill(1);
  world.Pass(30s);
  world.Start(5);
  CHECK(Encode(*world.Plan()) == Encode(*world.Plan()));
}

}  // namespace coffer::cluster
