// Who is in the layout: joining, dying, returning, being replaced under the same name.
#include "cluster/planner.h"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "planner_world.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using namespace std::chrono_literals;

}  // namespace

TEST_CASE("witnesses join without data and vote where there are two storage nodes") {
  PlannerWorld world = Grown(2);
  CHECK(world.layout.voters == MemberList{0, 1});
  world.Start(2)->witness = true;
  world.Settle();
  CHECK(world.InLayout(2).witness);
  CHECK(world.InLayout(2).weight == 0);
  CHECK(world.layout.voters == MemberList{0, 1, 2});
  CHECK(!NamedInGoal(world.layout, 2));
  world.Kill(1);  // reads and fail-over go on by themselves; the setting stays, so writes wait
  world.Pass(20s);
  world.Settle();
  CHECK(world.layout.voters.size() == 3);
  CHECK(world.layout.settings.min_copies == 2);
  for (const Group& group : world.layout.partitions) CHECK(group.in_sync == MemberList{0});
  world.Start(1);
  world.Start(3);  // a third storage node: the witness is no longer needed
  world.Settle();
  CHECK(world.layout.voters == MemberList{0, 1, 3});
}

TEST_CASE("a dead member leaves in_sync at once, its replica is promoted, its goal stays until the delay is over") {
  PlannerWorld world = Grown(3);
  const std::vector<Goal> goals = GoalsOf(world.layout);
  const Layout before = world.layout;
  world.Suspect(1);
  CHECK(!world.Plan());  // suspicion alone changes nothing
  world.Kill(1);
  world.Pass(9s);
  REQUIRE(world.Step());
  CHECK(GoalsOf(world.layout) == goals);
  CHECK(!NamedInSync(world.layout, 1));
  CHECK(!world.InLayout(1).down);
  CHECK(world.layout.plan->cause == "node-2 unreachable");
  for (PartitionId p = 0; p < world.layout.partition_count(); ++p) {
    const bool touched = before.group(p).InSync(1);
    CHECK((world.layout.group(p).term.value == world.layout.epoch.value) == touched);
    if (before.group(p).primary == 1) CHECK(before.group(p).InSync(world.layout.group(p).primary));
  }
  CHECK(!world.Plan());
  world.Start(1);  // back in time: its partitions are where they were
  world.Settle();
  CHECK(GoalsOf(world.layout) == goals);
  CHECK(world.AllAtGoal());
  CHECK(!world.layout.plan);
}

TEST_CASE("a member dead for longer than the delay leaves the goals; a late return gives it back what it held") {
  PlannerWorld world = Grown(3);
  const Layout before = world.layout;
  world.Kill(2);
  world.Settle();
  world.Pass(10s);
  REQUIRE(world.Step());
  CHECK(world.InLayout(2).down);
  CHECK(!NamedInGoal(world.layout, 2));
  CHECK(world.layout.plan->cause == "node-3 down");
  for (PartitionId p = 0; p < before.partition_count(); ++p)
    CHECK(world.InLayout(2).Held(p) == before.group(p).InGoal(2));
  world.Settle();
  CHECK(world.AllAtGoal());
  world.Start(2);
  REQUIRE(world.Step());
  CHECK(world.layout.plan->cause == "node-3 returned");
  CHECK(!world.InLayout(2).down);
  CHECK(world.InLayout(2).former.empty());
  world.Settle();
  for (PartitionId p = 0; p < before.partition_count(); ++p)
    CHECK(world.layout.group(p).InSync(2) == before.group(p).InSync(2));
  CHECK(world.AllAtGoal());
}

TEST_CASE("the last nodes that take data are not given up: there would be nowhere to go") {
  PlannerWorld world = Grown(2);
  world.Start(2)->witness = true;
  world.Settle();
  world.Kill(0), world.Kill(1);
  world.Pass(60s);
  CHECK(!world.Plan());
}

TEST_CASE("a member that returns with an empty disk takes the name; its old self is forgotten") {
  PlannerWorld world = Grown(3);
  PlannerMember* again = world.Start(7);
  again->name = "node-3";
  world.Suspect(2);
  CHECK(!world.Plan());  // not known to be dead: the name is taken
  CHECK_THAT(*WhyNotJoining(world.layout, world.members, TestId(7)), Catch::Contains("choose another name"));
  world.Kill(2);
  REQUIRE(world.Step());
  CHECK(!WhyNotJoining(world.layout, world.members, TestId(7)));
  CHECK(world.InLayout(2).name == "node-3 (old " + Short(TestId(2)) + ")");
  CHECK(world.InLayout(7).name == "node-3");
  world.Settle();
  CHECK(world.Index(2) != kNoMember);  // not yet dead for long
  world.Pass(10s);
  world.Settle();
  CHECK(world.Index(2) == kNoMember);
  CHECK(world.layout.members.size() == 3);
  CHECK(world.layout.voters.size() == 3);
  CHECK(world.layout.IsVoter(TestId(7)));
  CHECK(world.AllAtGoal());
}

TEST_CASE("what does not fit a layout does not join") {
  PlannerWorld world;
  world.Start(1)->name.clear();
  CHECK(!world.Plan());
  world.Get(1).name.assign(kMaxTextBytes + 1, 'x');
  CHECK(!world.Plan());
  CHECK_THAT(*WhyNotJoining(world.layout, world.members, TestId(1)), Catch::Contains("too large"));
}

TEST_CASE("newer addresses come along with the next change") {
  PlannerWorld world = Grown(3);
  world.Get(0).address = "elsewhere:1";
  world.Start(3);
  REQUIRE(world.Step());
  CHECK(world.InLayout(0).address == "elsewhere:1");
}

TEST_CASE("a changed failure domain changes the goals") {
  PlannerWorld world = Grown(4);
  world.Get(0).failure_domain = world.Get(1).failure_domain = "a";
  world.Get(2).failure_domain = world.Get(3).failure_domain = "b";
  world.Settle();
  CHECK(world.AllAtGoal());
  for (const Group& group : world.layout.partitions) CHECK((group.goal[0] < 2) != (group.goal[1] < 2));
}

TEST_CASE("facts that a layout can't have keep a member out, and it is told why") {
  const std::string too_long(kMaxTextBytes + 1, 'x');
  const std::vector<std::function<void(PlannerMember*)>> damages = {
      [](PlannerMember* m) { m->id = {}; },
      [](PlannerMember* m) { m->name.clear(); },
      [&](PlannerMember* m) { m->name = too_long; },
      [&](PlannerMember* m) { m->address = too_long; },
      [&](PlannerMember* m) { m->failure_domain = too_long; },
      [&](PlannerMember* m) { m->certificate_name = too_long; },
      [](PlannerMember* m) { m->weight = kMaxWeight + 1; },
  };
  for (std::size_t i = 0; i < damages.size(); ++i) {
    INFO("damage " << i);
    PlannerWorld world = Grown(2);
    damages[i](world.Start(2));
    CHECK_FALSE(world.Plan());
    CHECK(WhyNotJoining(world.layout, world.members, TestId(2)) ==
          "its name, address, failure domain or weight is missing or too large: correct its configuration");
    // Nor does a member take such facts into the layout later.
    PlannerWorld later = Grown(2);
    damages[i](&later.Get(1));
    later.Start(2);
    later.Settle();
    CHECK(later.InLayout(1) == Grown(3).InLayout(1));
  }
}

TEST_CASE("why a member is not in the layout, for each reason") {
  PlannerWorld world = Grown(2);
  const auto why = [&](std::uint32_t n) { return WhyNotJoining(world.layout, world.members, TestId(n)).value_or("it joins"); };
  CHECK(why(9) == "it joins");  // nobody has heard of it: there is nothing to say
  CHECK(why(1) == "it joins");  // it is in
  world.Start(2);
  CHECK(why(2) == "it joins");
  world.Suspect(2);
  CHECK(why(2) == "it does not answer");
  world.Kill(2);
  CHECK(why(2) == "it does not answer");
  world.Start(2)->name = "node-2";
  const std::string taken = "member " + Short(TestId(1)) + " has the name node-2 and is not known to be dead: choose another name, or stop the other one";
  CHECK(why(2) == taken);
  CHECK_FALSE(world.Plan());
  world.Suspect(1);
  CHECK(why(2) == taken);
  world.Kill(1);
  CHECK(why(2) == "it joins");
  world.members.erase(TestId(1));  // gossip has not heard of it since our start
  CHECK(why(2) == taken);
  CHECK_FALSE(world.Plan());
}

TEST_CASE("a layout that is full takes nobody in") {
  PlannerWorld world;
  for (std::uint32_t n = 1; n < kMaxMembers; ++n) {
    Member witness = TestMember(n);
    witness.witness = true;
    witness.weight = 0;
    world.layout.members.push_back(witness);
  }
  world.Start(kMaxMembers);
  const std::optional<Layout> next = world.Plan();
  CHECK((!next || next->members.size() == kMaxMembers));
  CHECK(WhyNotJoining(world.layout, world.members, TestId(kMaxMembers)) == "the cluster has 1024 members, the most it can have");
}

TEST_CASE("the name of a member that is replaced is cut between characters, so that the layout stays readable") {
  for (const std::string& begin : {std::string(), std::string("x")}) {
    std::string name = begin;
    while (name.size() + 2 <= kMaxTextBytes) name += "\xc3\xa9";
    PlannerWorld world;
    world.Start(1)->name = name;
    world.Settle();
    world.Kill(1);
    world.Start(2)->name = name;
    REQUIRE(world.Step());  // it checks that the layout can be decoded
    const std::string suffix = " (old " + Short(TestId(1)) + ")";
    const std::string old = world.InLayout(1).name;
    CHECK_THAT(old, Catch::EndsWith(suffix) && Catch::StartsWith(begin + "\xc3\xa9"));
    CHECK(old.size() <= kMaxTextBytes);
    CHECK(old.size() > kMaxTextBytes - 2);
    CHECK(world.InLayout(2).name == name);
  }
}

TEST_CASE("a witness, or who was given up already, is replaced without new goals") {
  PlannerWorld witness = Grown(3);
  witness.Start(3)->witness = true;
  witness.Settle();
  witness.Kill(3);
  witness.Settle();
  PlannerMember* other = witness.Start(4);
  other->witness = true;
  other->name = "node-4";
  const auto goals = GoalsOf(witness.layout);
  REQUIRE(witness.Step());
  CHECK(GoalsOf(witness.layout) == goals);
  CHECK_FALSE(witness.InLayout(3).down);
  CHECK(witness.InLayout(3).name == "node-4 (old " + Short(TestId(3)) + ")");

  PlannerWorld given_up = Grown(4);
  given_up.Kill(3);
  given_up.Pass(10s);
  given_up.Settle();
  REQUIRE(given_up.InLayout(3).down);
  given_up.Start(4)->name = "node-4";
  REQUIRE(given_up.Step());
  CHECK(given_up.layout.plan->cause == "node-4 joined");  // nothing of "is replaced"
  CHECK(given_up.Index(3) == kNoMember);                  // and it is forgotten in the same epoch
}

TEST_CASE("L10: who is replaced is not forgotten while its copy is to be merged") {
  OneGroup g(4, {0, {0, 1}, Term(5), {0, 2}});
  g.world.Kill(0), g.world.Kill(1);
  REQUIRE(g.world.Step({OperatorChange::Kind::kForce, PlannerWorld::Off({"node-1", "node-2"})}));
  REQUIRE(g.world.layout.group(0).survivors.size() == 2);
  const std::uint32_t other = g.world.layout.members[g.world.layout.group(0).primary].id == TestId(2) ? 3 : 2;
  g.world.Kill(other);
  g.world.Pass(30s);
  g.world.Start(7)->name = TestMember(other).name;
  g.world.Settle();
  REQUIRE(g.world.Index(other) != kNoMember);
  CHECK(g.world.layout.group(0).survivors.size() == 2);
  g.world.requests.merged[0] = {g.world.layout.group(0).term, Loss{}};
  g.world.Settle();
  CHECK(g.world.Index(other) == kNoMember);
}

TEST_CASE("a witness's domain is taken over and changes no goal") {
  PlannerWorld world = Grown(2);
  world.Start(2)->witness = true;
  world.Settle();
  const auto goals = GoalsOf(world.layout);
  world.Get(2).failure_domain = "rack-9";
  REQUIRE(world.Step());
  CHECK(world.InLayout(2).failure_domain == "rack-9");
  CHECK(GoalsOf(world.layout) == goals);
  CHECK_FALSE(world.layout.plan);
}

TEST_CASE("what is drained or drains when it dies and returns moves nothing") {
  PlannerWorld world = Grown(4);
  REQUIRE(world.Step({OperatorChange::Kind::kDrain, "node-4"}));
  world.Settle();
  const auto goals = GoalsOf(world.layout);
  world.Kill(3);
  world.Pass(10s);
  world.Settle();
  CHECK(world.InLayout(3).down);
  world.Start(3);
  world.Settle();
  CHECK_FALSE(world.InLayout(3).down);
  CHECK(world.InLayout(3).draining);
  CHECK(GoalsOf(world.layout) == goals);
}

}  // namespace coffer::cluster
