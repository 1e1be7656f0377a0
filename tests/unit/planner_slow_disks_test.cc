// Members whose disks are slow: they lead nothing that another can lead, and keep all else (L11).
#include <string>
#include <utility>
#include <vector>

#include "planner_world.h"

namespace coffer::cluster {
namespace {

std::size_t Primaries(const PlannerWorld& world, std::uint32_t n) {
  const auto& all = world.layout.partitions;
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const Group& g) { return g.primary == world.Index(n); }));
}

void Slow(PlannerWorld* world, std::uint32_t n, bool slow = true) { world->Get(n).disk = slow ? DiskPace::kSlow : DiskPace::kUsual; }

TEST_CASE("L11.2 one layout hands all that a slow member leads to those that hold it, and moves no copy") {
  for (const std::uint32_t n : {2u, 3u, 5u}) {
    PlannerWorld world = StartedTogether(n);
    const Layout before = world.layout;
    REQUIRE(Primaries(world, 1) > 0);
    Slow(&world, 1);
    REQUIRE(world.Step());
    CHECK(Primaries(world, 1) == 0);
    for (PartitionId p = 0; p < before.partition_count(); ++p) {
      const Group& was = before.group(p);
      const Group& is = world.layout.group(p);
      CHECK(is.in_sync == was.in_sync);
      CHECK(is.goal == was.goal);
      if (was.primary != world.Index(1)) CHECK(is.term == was.term);  // untouched
    }
    CHECK_FALSE(world.layout.plan);  // nothing is to be copied
    for (std::uint32_t m = 0; m < n; ++m) CHECK(Primaries(world, m) <= 60 / (n - 1) + 10);
    CHECK_FALSE(world.Step());  // it rests while the disk is slow
  }
}

TEST_CASE("L11.2 once its disk is well it leads again what it led") {
  PlannerWorld world = StartedTogether(3);
  const auto before = world.layout.partitions;
  Slow(&world, 1);
  REQUIRE(world.Step());
  Slow(&world, 1, false);
  REQUIRE(world.Step());
  for (PartitionId p = 0; p < before.size(); ++p) CHECK(world.layout.group(p).primary == before[p].primary);
  CHECK_FALSE(world.Step());
}

TEST_CASE("L11.2 nobody who is suspected, on a slow disk or being drained takes over") {
  OneGroup suspected(3, {0, {0, 1}, Term(5), {0, 1}});
  Slow(&suspected.world, 0);
  suspected.world.Suspect(1);
  CHECK(suspected.Next().primary == 0);
  OneGroup both(5, {0, {0, 1}, Term(5), {0, 1}});
  Slow(&both.world, 0), Slow(&both.world, 1);
  CHECK(both.Next().primary == 0);
  OneGroup drained(4, {0, {0, 1}, Term(5), {0, 2}});
  drained.world.layout.members[1].draining = true;
  Slow(&drained.world, 0);
  CHECK(drained.Next().primary == 0);
}

TEST_CASE("L11.2 of those that can lead in place of the dead, one with a slow disk comes last") {
  OneGroup group(4, {0, {0, 1, 2}, Term(5), {0, 1}});
  group.world.Kill(0);
  Slow(&group.world, 1);
  const Group next = group.Next();
  CHECK(next.primary == 2);
  CHECK(next.in_sync == MemberList{1, 2});
  OneGroup alone(4, {0, {0, 1}, Term(5), {0, 1}});
  alone.world.Kill(0);
  Slow(&alone.world, 1);
  CHECK(alone.Next().primary == 1);  // rather than nobody
}

TEST_CASE("L11.2 a slow member of the goal is added as ever, and leads when its disk is well") {
  OneGroup group(4, {1, {1, 2}, Term(5), {0, 1}});
  Slow(&group.world, 0);
  group.Add(0);
  const Group added = group.Next();
  CHECK(added.in_sync == MemberList{0, 1});
  CHECK(added.primary == 1);
  CHECK(group.Next().primary == 1);
  Slow(&group.world, 0, false);
  CHECK(group.Next().primary == 0);
}

TEST_CASE("L11.2 whoever is added in place of a slow primary leads one layout later") {
  OneGroup group(4, {0, {0}, Term(5), {0, 1}});
  Slow(&group.world, 0);
  group.Add(1);
  const Group added = group.Next();
  CHECK(added.in_sync == MemberList{0, 1});
  CHECK(added.primary == 0);
  CHECK(group.Next().primary == 1);
}

TEST_CASE("L11.3 while most disks are slow nothing moves, neither away nor back") {
  PlannerWorld world = StartedTogether(3);
  Slow(&world, 0), Slow(&world, 1);
  CHECK_FALSE(world.Step());
  Slow(&world, 0, false);
  REQUIRE(world.Step());
  REQUIRE(Primaries(world, 1) == 0);
  Slow(&world, 2);
  CHECK_FALSE(world.Step());
  Slow(&world, 1, false);
  REQUIRE(world.Step());
  CHECK(Primaries(world, 2) == 0);
  CHECK(Primaries(world, 1) >= 20);
}

TEST_CASE("L11.3 a witness and the dead are not counted") {
  PlannerWorld world = StartedTogether(2);
  PlannerMember* witness = world.Start(2);
  witness->witness = true;
  world.Settle();
  Slow(&world, 1);
  Slow(&world, 2);
  REQUIRE(world.Step());  // one of two storage nodes
  CHECK(Primaries(world, 1) == 0);
}

TEST_CASE("L11.5 slowness counts for nothing while a living voter does not say how its disk is") {
  PlannerWorld world = StartedTogether(3);
  const auto before = world.layout;
  Slow(&world, 1);
  world.Get(2).disk = DiskPace::kUnknown;
  CHECK_FALSE(world.Step());
  world.Get(2).disk = DiskPace::kUsual;
  REQUIRE(world.Step());
  world.Get(2).disk = DiskPace::kUnknown;  // back to the version before: it would hand them back, so we do
  REQUIRE(world.Step());
  for (PartitionId p = 0; p < before.partition_count(); ++p) CHECK(world.layout.group(p).primary == before.group(p).primary);
}

}  // namespace
}  // namespace coffer::cluster
