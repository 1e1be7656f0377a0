// What operators ask for: what it changes, and each refusal.
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
  CHECK(world.layout.voters == MemberList{0});
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
      {&two, {Kind::kMinCopies, "", 2}, ""},
      {&two, {static_cast<Kind>(99)}, "This version does not know the change."},
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

TEST_CASE("each refusal says what to do instead, in full") {
  PlannerWorld one = Grown(1);
  const auto why = [](const PlannerWorld& world, const OperatorChange& change) {
    CHECK_FALSE(world.Plan(change));
    return WhyRefused(world.layout, world.members, change).value_or("");
  };
  CHECK(why(one, {Kind::kDrain, "node-1"}) == "node-1 is the only node that takes data: add another node first.");
  CHECK(why(one, {Kind::kMinCopies, "", 2}) ==
        "Only one node takes data, so nothing could be written with 2 copies: add another node first.");
  CHECK(why(one, {Kind::kMinCopies, "", 0}) == "Min copies is 1 or 2.");
  CHECK(why(one, {Kind::kReweight, "node-1", 0}) == "A weight of 0 is not possible: use drain to empty node-1.");
  CHECK(why(one, {Kind::kReweight, "node-1", kMaxWeight + 1ull}) == "A weight is at most 1000000.");
  PlannerWorld off = one;
  off.Kill(0);
  CHECK(why(off, {Kind::kForget, "node-1"}) == "node-1 is the only member: a cluster without members does not exist.");

  PlannerWorld two = Grown(2);
  CHECK(why(two, {Kind::kDrain, "node-9"}) == "There is no member named \"node-9\"; the members are node-1, node-2.");
  CHECK(why(two, {Kind::kUndrain, "node-9"}) == "There is no member named \"node-9\"; the members are node-1, node-2.");
  CHECK(why(two, {Kind::kDrain, "node-2"}) ==
        "Without node-2 only one node would take data, and writes need 2 copies: add another node first, or set min copies to 1.");
  CHECK(why(two, {Kind::kUndrain, "node-2"}) == "node-2 is not being drained.");
  CHECK(why(two, {Kind::kForget, "node-2"}) == "node-2 is running and would join again: drain it and stop it first.");
  PlannerWorld leaving = Grown(2);
  leaving.layout.members[1].draining = true;
  CHECK(*WhyRefused(leaving.layout, leaving.members, {Kind::kForget, "node-2"}) == "node-2 is running and would join again: stop it first.");
  two.members.erase(TestId(1));  // gossip has not heard of it
  CHECK(why(two, {Kind::kForget, "node-2"}) == "node-2 is not known to be dead: wait a few seconds and try again.");

  PlannerWorld drained = Grown(2);
  REQUIRE(drained.Step({Kind::kMinCopies, "", 1}));
  REQUIRE(drained.Step({Kind::kDrain, "node-2"}));
  CHECK_FALSE(drained.Plan({Kind::kDrain, "node-2"}));  // once more: it is so already
  CHECK_FALSE(WhyRefused(drained.layout, drained.members, {Kind::kDrain, "node-2"}));
  CHECK(why(drained, {Kind::kDrain, "node-1"}) == "node-1 is the only node that takes data: add another node first.");
  drained.layout.members[0].draining = true;  // no operator can come to that
  CHECK(WhyRefused(drained.layout, drained.members, {Kind::kFresh}) == "No node takes data: there is nothing to lay out.");
}

TEST_CASE("force is refused where nothing is lost, and where nobody is left to go on") {
  const auto why = [](const PlannerWorld& world, std::vector<std::string> names) {
    return WhyRefused(world.layout, world.members, {Kind::kForce, PlannerWorld::Off(names)}).value_or("");
  };
  PlannerWorld world = Grown(3);
  world.Kill(2);
  CHECK(why(world, {"node-3"}) ==
        "A majority of voters answers and every partition has a running member that holds all of it: nothing has to be forced.");
  world.Settle();
  world.Kill(0), world.Kill(1);
  CHECK(why(world, {"node-1", "node-2", "node-3"}) == "No storage node answers: start one first.");
  world.Start(3)->witness = true;  // of whom the layout knows nothing yet
  CHECK(why(world, {"node-1", "node-2", "node-3"}) == "No storage node answers: start one first.");

  PlannerWorld witness = Grown(2);
  witness.Start(2)->witness = true;
  witness.Settle();
  witness.Kill(0), witness.Kill(1);
  CHECK(why(witness, {"node-1", "node-2"}) == "No storage node answers: start one first.");

  PlannerWorld full = Grown(2);
  full.Kill(1);
  for (std::uint32_t n = 0; n < kMaxRetired; ++n) full.layout.retired.push_back({TestId(100 + n), "old", Epoch(1)});
  CHECK(why(full, {"node-2"}) ==
        "Too many members were given up by force since the cluster was formed: form a new one and copy the data.");
  full.layout.retired.pop_back();
  CHECK(why(full, {"node-2"}).empty());
}

TEST_CASE("force gives up witnesses, the drained and those given up before, too, and moves goals only for who took data") {
  PlannerWorld world = Grown(4);
  world.Start(4)->witness = true;
  world.Settle();
  REQUIRE(world.Step({Kind::kDrain, "node-2"}));
  world.Settle();
  world.Kill(2);
  world.Pass(10s);
  world.Settle();
  REQUIRE(world.InLayout(2).down);
  world.Kill(0), world.Kill(1), world.Kill(4);
  REQUIRE(world.Step({Kind::kForce, PlannerWorld::Off({"node-1", "node-2", "node-3", "node-5"}), kForcedEpochs}));
  CHECK(world.layout.members.size() == 1);
  CHECK(world.layout.retired.size() == 4);
  for (std::uint32_t n : {0u, 1u, 2u, 4u}) CHECK(world.layout.RetiredAt(TestId(n)) == world.layout.epoch);
  CHECK(world.layout.settings.min_copies == 1);
  for (const Group& group : world.layout.partitions) CHECK(group.primary == 0);
}

TEST_CASE("a change by name is about the member that had the name when it was asked, not about who takes it at that moment") {
  PlannerWorld world = Grown(4);
  world.Kill(1);
  world.Settle();
  world.Start(7)->name = "node-2";
  REQUIRE_FALSE(WhyRefused(world.layout, world.members, {Kind::kForget, "node-2"}));
  REQUIRE(world.Step({Kind::kForget, "node-2"}));
  CHECK(world.Index(1) == kNoMember);
  REQUIRE(world.Index(7) != kNoMember);
  CHECK(world.InLayout(7).name == "node-2");
  CHECK_FALSE(world.InLayout(7).down);
  CHECK(NamedInGoal(world.layout, world.Index(7)));

  PlannerWorld heavy = Grown(4);
  heavy.Kill(1);
  heavy.Settle();
  heavy.Start(7)->name = "node-2";
  REQUIRE(heavy.Step({Kind::kReweight, "node-2", 300}));
  CHECK(heavy.InLayout(1).weight == 300);
  CHECK(heavy.InLayout(7).weight == 100);
}

TEST_CASE("forgetting a witness moves nothing") {
  PlannerWorld world = Grown(3);
  world.Start(3)->witness = true;
  world.Settle();
  const auto goals = GoalsOf(world.layout);
  world.Kill(3);
  REQUIRE(world.Step({Kind::kForget, "node-4"}));
  CHECK(world.Index(3) == kNoMember);
  CHECK(GoalsOf(world.layout) == goals);
  CHECK_FALSE(world.layout.plan);
}

TEST_CASE("who was given up is forgotten, drained and taken back without new goals") {
  PlannerWorld world = Grown(4);
  world.Kill(3);
  world.Pass(10s);
  world.Settle();
  REQUIRE(world.InLayout(3).down);
  const auto goals = GoalsOf(world.layout);
  REQUIRE(world.Step({Kind::kDrain, "node-4"}));
  CHECK(world.InLayout(3).draining);
  REQUIRE(world.Step({Kind::kUndrain, "node-4"}));
  CHECK_FALSE(world.InLayout(3).draining);
  CHECK(GoalsOf(world.layout) == goals);
  REQUIRE(world.Step({Kind::kForget, "node-4"}));
  CHECK(world.Index(3) == kNoMember);
  CHECK(world.layout.members.size() == 3);
  CHECK_FALSE(world.layout.plan);
}

TEST_CASE("causes of a move: drained, taken back, forgotten, given up by force") {
  PlannerWorld world = Grown(5);
  REQUIRE(world.Step({Kind::kDrain, "node-5"}));
  CHECK(world.layout.plan->cause == "node-5 drains");
  REQUIRE(world.Step({Kind::kUndrain, "node-5"}));
  world.Settle();
  REQUIRE(world.Step({Kind::kDrain, "node-5"}));
  world.Settle();
  REQUIRE(world.Step({Kind::kUndrain, "node-5"}));
  CHECK(world.layout.plan->cause == "node-5 takes data again");
  world.Settle();
  world.Kill(4);
  world.Settle();
  REQUIRE(world.Step({Kind::kForget, "node-5"}));
  CHECK(world.layout.plan->cause == "node-5 forgotten");
  world.Settle();
  world.Kill(2), world.Kill(3);
  REQUIRE(world.Step({Kind::kForce, PlannerWorld::Off({"node-3", "node-4"})}));
  CHECK(world.layout.plan->cause == "node-3 given up by force, node-4 given up by force");
}

TEST_CASE("scrub is asked for, paused and resumed; a pass that is asked for ends the pause") {
  PlannerWorld world = Grown(2);
  REQUIRE(world.Step({Kind::kPauseScrub}));
  CHECK(world.layout.settings.scrub_paused);
  REQUIRE(world.Step({Kind::kResumeScrub}));
  CHECK_FALSE(world.layout.settings.scrub_paused);
  REQUIRE(world.Step({Kind::kPauseScrub}));
  REQUIRE(world.Step({Kind::kStartScrub}));
  CHECK_FALSE(world.layout.settings.scrub_paused);
  CHECK(world.layout.settings.scrub_asked == world.layout.epoch);
}

TEST_CASE("J2: a join token is made by a layout, and a refusal is told") {
  PlannerWorld world = Grown(2);
  OperatorChange create{Kind::kJoinToken};
  create.token = {JoinTokenChange::Kind::kCreate, {std::string(kJoinTokenHashBytes, 'a'), 2000, "", ""}, 1000};
  REQUIRE(world.Step(create));  // alone it is worth an epoch
  CHECK(world.layout.join_tokens.size() == 1);
  OperatorChange wrong = create;
  wrong.token.token.hash = "short";
  CHECK_THAT(*WhyRefused(world.layout, world.members, wrong), Catch::Contains("32 bytes"));
  CHECK_FALSE(world.Plan(wrong));
}

}  // namespace coffer::cluster
