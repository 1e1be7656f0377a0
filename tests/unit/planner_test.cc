// What the planner does, step by step: one test per sentence of cluster/planner.h.
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

// `n` members that joined one after the other and came to rest, with data.
PlannerWorld Grown(std::uint32_t n) {
  PlannerWorld world;
  for (std::uint32_t i = 1; i < n; ++i) {
    world.Start(i);
    world.Settle();
  }
  REQUIRE(world.AllAtGoal());
  REQUIRE(world.layout.members.size() == n);
  return world;
}

bool NamedInSync(const Layout& layout, MemberIndex m) {
  return std::any_of(layout.partitions.begin(), layout.partitions.end(), [m](const Group& g) { return g.InSync(m); });
}

bool NamedInGoal(const Layout& layout, MemberIndex m) {
  return std::any_of(layout.partitions.begin(), layout.partitions.end(), [m](const Group& g) { return g.InGoal(m); });
}

std::vector<Goal> GoalsOf(const Layout& layout) {
  std::vector<Goal> goals;
  for (const Group& group : layout.partitions) goals.push_back(group.goal);
  return goals;
}

// A planner's answer for one hand-made group of members 0.. in a layout of `count` living members.
struct OneGroup {
  OneGroup(std::uint32_t count, Group group) {
    world.layout = TestLayout(count, {std::move(group)});
    world.layout.settings.min_copies = 2;
    world.members.clear();
    for (std::uint32_t n = 0; n < count; ++n) world.Start(n);
  }
  void Add(MemberIndex learner, Term term = Term(5)) { world.requests.adds[0] = {0, term, TestId(learner)}; }
  // The group in the next layout; as it is if there is none.
  Group Next() {
    world.Step();
    return world.layout.group(0);
  }
  PlannerWorld world;
};

}  // namespace

TEST_CASE("the first layout: one member has everything, alone, with one copy") {
  PlannerWorld world;
  CHECK(!WhyMalformed(world.layout));
  CHECK(world.layout.epoch == Epoch(1));
  CHECK(world.layout.settings.min_copies == 1);
  CHECK(world.layout.voters == std::vector<MemberIndex>{0});
  CHECK(world.AllAtGoal());
  CHECK(!world.Plan());
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

TEST_CASE("witnesses join without data and vote where there are two storage nodes") {
  PlannerWorld world = Grown(2);
  CHECK(world.layout.voters == std::vector<MemberIndex>{0, 1});
  world.Start(2)->witness = true;
  world.Settle();
  CHECK(world.InLayout(2).witness);
  CHECK(world.InLayout(2).weight == 0);
  CHECK(world.layout.voters == std::vector<MemberIndex>{0, 1, 2});
  CHECK(!NamedInGoal(world.layout, 2));
  world.Kill(1);  // reads and fail-over go on by themselves; the setting stays, so writes wait
  world.Pass(20s);
  world.Settle();
  CHECK(world.layout.voters.size() == 3);
  CHECK(world.layout.settings.min_copies == 2);
  for (const Group& group : world.layout.partitions) CHECK(group.in_sync == std::vector<MemberIndex>{0});
  world.Start(1);
  world.Start(3);  // a third storage node: the witness is no longer needed
  world.Settle();
  CHECK(world.layout.voters == std::vector<MemberIndex>{0, 1, 3});
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

TEST_CASE("an add that is not wanted any more, or whose learner died, is cancelled by a renewal") {
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
  CHECK(world.layout.voters == std::vector<MemberIndex>{0, 1, 2});
  world.Suspect(1);
  CHECK(!world.Plan());
  world.Kill(1);
  REQUIRE(world.Step());
  CHECK(world.layout.voters == std::vector<MemberIndex>{0, 2, 3});
  world.Start(1);
  world.Settle();
  CHECK(world.layout.voters == std::vector<MemberIndex>{0, 2, 3});
}

TEST_CASE("never below three voters: without a candidate the dead one stays") {
  PlannerWorld world = Grown(3);
  world.Kill(2);
  world.Pass(60s);
  world.Settle();
  CHECK(world.layout.voters == std::vector<MemberIndex>{0, 1, 2});
  PlannerWorld five = Grown(5);
  five.Kill(3), five.Kill(4);
  five.Pass(60s);
  five.Settle();
  CHECK(five.layout.voters ==
        std::vector<MemberIndex>{0, 1, 2});  // three that live tolerate a loss, five with two dead none
}

TEST_CASE("draining builds the new copies first, and only then is the node empty") {
  PlannerWorld world = Grown(4);
  REQUIRE(world.Step({Kind::kDrain, "node-2"}));
  CHECK(world.layout.plan->cause == "node-2 drains");
  CHECK(!IsDrained(world.layout, 1));
  CHECK(!NamedInGoal(world.layout, 1));
  while (world.Step()) {  // nothing is handed in: nothing leaves before its replacement is there
  }
  for (const Group& group : world.layout.partitions) CHECK(group.in_sync.size() == 2);
  CHECK(NamedInSync(world.layout, 1));
  world.Settle();
  CHECK(IsDrained(world.layout, 1));
  CHECK(world.AllAtGoal());
  CHECK(!world.layout.IsVoter(TestId(1)));
  REQUIRE(world.Step({Kind::kUndrain, "node-2"}));
  world.Settle();
  CHECK(NamedInSync(world.layout, 1));
}

TEST_CASE("two nodes become one again: the drained one loses its vote first, so that the other can go on alone") {
  PlannerWorld world = Grown(2);
  REQUIRE(world.Step({Kind::kMinCopies, "", 1}));
  REQUIRE(world.Step({Kind::kDrain, "node-2"}));
  world.Settle();
  CHECK(world.layout.voters == std::vector<MemberIndex>{0});
  CHECK(IsDrained(world.layout, 1));
  world.Kill(1);
  REQUIRE(world.Step({Kind::kForget, "node-2"}));
  CHECK(world.layout.members.size() == 1);
  CHECK(world.AllAtGoal());
}

TEST_CASE("a stopped and drained node is forgotten, and everybody else keeps what it has under new numbers") {
  PlannerWorld world = Grown(4);
  REQUIRE(world.Step({Kind::kDrain, "node-2"}));
  world.Settle();
  const Layout before = world.layout;
  CHECK_THAT(*WhyRefused(world.layout, world.members, {Kind::kForget, "node-2"}), Catch::Contains("is running"));
  world.Kill(1);
  REQUIRE(world.Step({Kind::kForget, "node-2"}));
  CHECK(world.layout.members.size() == 3);
  CHECK(world.layout.IndexOfName("node-2") == kNoMember);
  CHECK(world.layout.IsVoter(TestId(0)));
  for (PartitionId p = 0; p < before.partition_count(); ++p) {
    const Group& was = before.group(p);
    const Group& is = world.layout.group(p);
    CHECK(world.layout.members[is.primary].id == before.members[was.primary].id);
    CHECK(is.term == was.term);
    REQUIRE(is.in_sync.size() == was.in_sync.size());
    for (std::size_t i = 0; i < is.in_sync.size(); ++i) {
      CHECK(world.layout.members[is.in_sync[i]].id == before.members[was.in_sync[i]].id);
    }
  }
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

TEST_CASE("settings an operator changes") {
  PlannerWorld world = Grown(3);
  REQUIRE(world.Step({Kind::kPauseResync}));
  CHECK(world.layout.settings.resync_paused);
  CHECK(!world.Plan({Kind::kPauseResync}));  // already so
  REQUIRE(world.Step({Kind::kResumeResync}));
  CHECK(!world.layout.settings.resync_paused);
  REQUIRE(world.Step({Kind::kLimitResync, "", 1000}));
  CHECK(world.layout.settings.resync_limit_bytes_per_second == 1000);
  REQUIRE(world.Step({Kind::kReweight, "node-2", 200}));
  CHECK(world.InLayout(1).weight == 200);
  CHECK(world.layout.plan->cause == "node-2 weighs 200");
  world.Settle();
  CHECK(world.AllAtGoal());
  REQUIRE(world.Step({Kind::kReweight, "node-2", 100}));
  world.Settle();
  world.Step({Kind::kFresh});
  world.Settle();
  CHECK(GoalsOf(world.layout) == FreshGoals(world.layout.members, world.layout.partition_count()));
  CHECK(!world.Plan({Kind::kFresh}));
}

TEST_CASE("what is refused, and why") {
  const PlannerWorld one = Grown(1);
  const PlannerWorld two = Grown(2);
  PlannerWorld three = Grown(3);
  three.Start(3)->witness = true;
  three.Settle();
  PlannerWorld given_up = Grown(2);
  given_up.Kill(1);
  given_up.Pass(std::chrono::hours(1));
  given_up.Settle();
  REQUIRE(given_up.InLayout(1).down);
  struct Case {
    const PlannerWorld* world;
    OperatorChange change;
    std::string why;  // empty: not refused
  };
  const std::vector<Case> cases = {
      {&one, {Kind::kDrain, "node-9"}, "no member named \"node-9\"; the members are node-1."},
      {&one, {Kind::kDrain, "node-1"}, "only node that takes data"},
      {&two, {Kind::kDrain, "node-1"}, "writes need 2 copies"},
      {&three, {Kind::kDrain, "node-1"}, ""},
      {&three, {Kind::kDrain, "node-4"}, "is a witness"},
      {&given_up, {Kind::kDrain, "node-2"}, "add another node first"},  // it would return as a node that takes nothing
      {&three, {Kind::kUndrain, "node-1"}, "is not being drained"},
      {&three, {Kind::kForget, "node-1"}, "is running"},
      {&three, {Kind::kReweight, "node-1", 0}, "use drain"},
      {&three, {Kind::kReweight, "node-1", kMaxWeight + 1ull}, "at most"},
      {&three, {Kind::kReweight, "node-4", 10}, "is a witness"},
      {&three, {Kind::kReweight, "node-1", 10}, ""},
      {&one, {Kind::kMinCopies, "", 2}, "Only one node"},
      {&two, {Kind::kMinCopies, "", 3}, "1 or 2"},
      {&two, {Kind::kMinCopies, "", 1}, ""},
      {&two, {Kind::kForce, PlannerWorld::Off({"node-2"})}, "nothing has to be forced"},
      {&two, {Kind::kFresh}, ""},
      {&two, {Kind::kPauseResync}, ""},
      {&two, {Kind::kNone}, ""},
  };
  for (const Case& c : cases) {
    INFO(c.why);
    const auto why = WhyRefused(c.world->layout, c.world->members, c.change);
    REQUIRE(why.has_value() == !c.why.empty());
    if (!why) continue;
    CHECK_THAT(*why, Catch::Contains(c.why));
    CHECK(!c.world->Plan(c.change));  // and it changes nothing
  }
}

TEST_CASE("forgetting is refused while the member's data or vote is needed") {
  PlannerWorld world = Grown(3);
  world.Suspect(2);
  CHECK_THAT(*WhyRefused(world.layout, world.members, {Kind::kForget, "node-3"}),
             Catch::Contains("not known to be dead"));
  world.Kill(2);
  CHECK_THAT(*WhyRefused(world.layout, world.members, {Kind::kForget, "node-3"}), Catch::Contains("being removed"));
  world.Kill(1);
  CHECK_THAT(*WhyRefused(world.layout, world.members, {Kind::kForget, "node-3"}),
             Catch::Contains("no running member has in full"));
  world.Start(1);
  world.Settle();
  CHECK(!WhyRefused(world.layout, world.members, {Kind::kForget, "node-3"}));
  PlannerWorld four = Grown(4);
  four.Kill(2), four.Kill(3);
  four.Step();
  CHECK_THAT(*WhyRefused(four.layout, four.members, {Kind::kForget, "node-3"}), Catch::Contains("one of three voters"));
}

TEST_CASE("planning is a pure function: the same question has the same answer, down to the bytes") {
  PlannerWorld world = Grown(5);
  world.Kill(1);
  world.Pass(30s);
  world.Start(5);
  CHECK(Encode(*world.Plan()) == Encode(*world.Plan()));
}

}  // namespace coffer::cluster
