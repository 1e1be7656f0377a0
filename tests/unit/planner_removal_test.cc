// Removals that primaries ask for, of members that others still reach (L5.1 to L5.3).
#include "planner_world.h"

namespace coffer::cluster {
namespace {

using namespace std::chrono_literals;

// Every partition that node 0 leads with node 1 in its group asks for node 1's removal.
std::vector<PartitionId> AskAll(PlannerWorld* world) {
  std::vector<PartitionId> asked;
  for (PartitionId p = 0; p < world->layout.partition_count(); ++p) {
    const Group& group = world->layout.group(p);
    if (group.primary != world->Index(0) || !group.InSync(world->Index(1))) continue;
    world->requests.removals[p] = {group.term, TestId(1)};
    asked.push_back(p);
  }
  return asked;
}

TEST_CASE("L5.1 one layout takes a member out of all groups whose primary asks, at once, and touches no other") {
  PlannerWorld world = StartedTogether(3);
  const auto asked = AskAll(&world);
  REQUIRE(asked.size() > 5);
  const Layout before = world.layout;
  const auto next = world.Plan();
  REQUIRE(next);
  CHECK(CannotWait(world.layout, *next, world.members, world.requests));
  REQUIRE(world.Step());
  for (PartitionId p = 0; p < before.partition_count(); ++p) {
    const bool was_asked = std::find(asked.begin(), asked.end(), p) != asked.end();
    CHECK(world.layout.group(p).primary == before.group(p).primary);
    CHECK(world.layout.group(p).goal == before.group(p).goal);  // it is not lost: it keeps its place
    CHECK((world.layout.group(p).term != before.group(p).term) == was_asked);
    CHECK(world.layout.group(p).in_sync == (was_asked ? MemberList{world.Index(0)} : before.group(p).in_sync));
  }
  CHECK_FALSE(world.Step());  // the requests' terms are over
}

TEST_CASE("L5.2 a request of another term changes nothing") {
  PlannerWorld world = StartedTogether(3);
  for (const PartitionId p : AskAll(&world)) --world.requests.removals[p].term.value;
  CHECK_FALSE(world.Plan());
}

TEST_CASE("L5.3 nobody is removed for a primary that does not live or does not stay, nor the primary itself") {
  PlannerWorld world = StartedTogether(3);
  const auto asked = AskAll(&world);
  world.Suspect(0);
  CHECK_FALSE(world.Plan());
  world.Kill(0);
  REQUIRE(world.Step());
  for (const PartitionId p : asked) {
    CHECK(world.layout.group(p).primary == world.Index(1));
    CHECK(world.layout.group(p).InSync(world.Index(1)));
  }
  PlannerWorld other = StartedTogether(3);
  for (const PartitionId p : AskAll(&other)) other.requests.removals[p].member = TestId(0);
  CHECK_FALSE(other.Plan());
}

TEST_CASE("L5.3 an add that is handed in at the same time is granted with it") {
  PlannerWorld world = StartedTogether(3);
  const auto asked = AskAll(&world);
  for (const PartitionId p : asked) world.requests.adds[p] = {p, world.layout.group(p).term, TestId(2)};
  REQUIRE(world.Step());
  for (const PartitionId p : asked) {
    CHECK(world.layout.group(p).InSync(world.Index(0)));
    CHECK_FALSE(world.layout.group(p).InSync(world.Index(1)));
  }
}

}  // namespace
}  // namespace coffer::cluster
