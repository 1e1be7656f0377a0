// `layout force` as the planner sees it (L9, L10): who is given up, who serves, and what waits for the survivors to be merged.
#include <chrono>

#include "cluster/planner.h"
#include "planner_world.h"

namespace coffer::cluster {
namespace {

using Kind = OperatorChange::Kind;
using namespace std::chrono_literals;

std::string Off(const std::vector<std::string>& names) { return PlannerWorld::Off(names); }

}  // namespace

TEST_CASE("force: the living go on alone, with every term new, and who was given up never acts again") {
  PlannerWorld world = Grown(2);
  world.Kill(1);
  const NodeId gone = world.layout.members[1].id;
  REQUIRE(world.Step({Kind::kForce, Off({"node-2"})}));
  const Layout& layout = world.layout;
  CHECK(layout.forced_epoch == layout.epoch);
  CHECK(layout.voters == MemberList{0});
  CHECK(layout.settings.min_copies == 1);
  CHECK(layout.members.size() == 1);
  CHECK(layout.retired == std::vector<Retired>{{gone, "node-2", layout.epoch}});
  CHECK(layout.RetiredAt(gone) == layout.epoch);
  // Node 1 was in_sync everywhere: nothing is to be merged.
  for (const Group& group : layout.partitions) CHECK(group == Group{0, {0}, Term(layout.epoch.value), {0}});
  world.Settle();
  world.Start(1);  // the other comes back after all, under the same id
  world.Settle();
  CHECK(world.layout.members.size() == 1);
  CHECK_THAT(*WhyNotJoining(world.layout, world.members, gone), Catch::Contains("its id never acts again"));
  world.Kill(1);
  world.Start(2);  // and as a new node
  world.Settle();
  CHECK(world.AllAtGoal());
  CHECK(world.layout.settings.min_copies == 2);
  CHECK(world.layout.voters.size() == 2);
}

TEST_CASE("force: past the voters it skips what they may have decided") {
  PlannerWorld world = Grown(3);
  world.Kill(1), world.Kill(2);
  const Epoch before = world.layout.epoch;
  REQUIRE(world.Step({Kind::kForce, Off({"node-2", "node-3"}), kForcedEpochs}));
  CHECK(world.layout.epoch.value == before.value + 1 + kForcedEpochs);
  CHECK(world.layout.forced_epoch == world.layout.epoch);
  for (const Group& group : world.layout.partitions) CHECK(group.term == Term(world.layout.epoch.value));
}

TEST_CASE("force: the statement names exactly those who do not answer") {
  PlannerWorld world = Grown(4);
  world.Kill(0), world.Kill(2), world.Kill(3);
  const auto why = [&](const std::string& statement) { return WhyRefused(world.layout, world.members, {Kind::kForce, statement}).value_or(""); };
  CHECK(why(Off({"node-4", "node-1", "node-3"})).empty());
  CHECK_THAT(why(Off({"node-1", "node-3"})), Catch::Contains("node-4 does not answer either"));
  CHECK_THAT(why(Off({"node-1", "node-2", "node-3", "node-4"})), Catch::Contains("node-2 answers"));
  CHECK_THAT(why(Off({"node-1", "node-3", "node-9"})), Catch::Contains("There is no member named \"node-9\""));
  for (const char* wrong : {"", "yes", "I am sure that  is off and will never return", "I am sure that node-1, , node-3 is off and will never return"}) {
    CHECK_THAT(why(wrong), Catch::Contains("The statement must be"));
  }
}

TEST_CASE("force: a partition whose holders are all gone goes to its survivors, who are merged before it is served") {
  OneGroup g(5, {0, {0, 1}, Term(5), {0, 2}});
  g.world.layout.members[3].former = "\1";
  g.world.Kill(0), g.world.Kill(1);
  REQUIRE(g.world.Step({Kind::kForce, Off({"node-1", "node-2"})}));
  // Numbered anew without the two. Node 3 was on the way to hold it, node 4 held it before it was given up once.
  const Group forced = g.world.layout.group(0);
  CHECK(forced.primary == 0);
  CHECK(forced.in_sync == MemberList{0});
  CHECK(forced.survivors == MemberList{0, 1, 2});
  CHECK_FALSE(forced.loss);
  CHECK(g.world.layout.voters == MemberList{0, 1, 2});

  // Until the primary has merged them nothing of the group changes, whoever dies or learns.
  g.world.requests.adds[0] = {0, forced.term, g.world.layout.members[1].id};
  g.world.requests.renewals[0] = forced.term;
  g.world.Kill(2);
  g.world.Pass(30s);
  g.world.Settle();
  CHECK(g.world.layout.group(0).survivors == forced.survivors);
  CHECK(g.world.layout.group(0).in_sync == forced.in_sync);
  CHECK(g.world.layout.group(0).term == forced.term);
  CHECK_THAT(*WhyRefused(g.world.layout, g.world.members, {Kind::kForget, "node-3"}), Catch::Contains("force the layout"));

  Loss loss;
  loss.last = Seq(7);
  g.world.requests.merged[0] = {Term(3), loss};  // of another term: too late
  const auto before = g.world.layout.group(0);
  g.world.Step();
  CHECK(g.world.layout.group(0).survivors == before.survivors);
}

TEST_CASE("force: once the survivors are merged the group is served, grows, and remembers what was lost") {  // L10.1
  OneGroup g(4, {0, {0, 1}, Term(5), {0, 2}});
  g.world.Kill(0), g.world.Kill(1);
  REQUIRE(g.world.Step({Kind::kForce, Off({"node-1", "node-2"})}));
  const Group forced = g.world.layout.group(0);
  Loss loss;
  loss.from = Seq(3), loss.to = Seq(5), loss.last = Seq(7), loss.set_aside = 2;
  g.world.requests.merged[0] = {forced.term, loss};
  CHECK(CannotWait(g.world.layout, *g.world.Plan(), g.world.members, g.world.requests));
  REQUIRE(g.world.Step());
  loss.epoch = g.world.layout.forced_epoch;
  CHECK(g.world.layout.group(0).survivors.empty());
  CHECK(g.world.layout.group(0).loss == loss);
  CHECK(g.world.layout.group(0).term == Term(g.world.layout.epoch.value));
  g.world.Settle();
  CHECK(g.world.layout.group(0).in_sync.size() == 2);
  CHECK(g.world.layout.group(0).loss == loss);
}

TEST_CASE("force: once more, when a survivor dies before it is merged") {
  OneGroup g(5, {0, {0, 1}, Term(5), {0, 2}});
  g.world.Kill(0), g.world.Kill(1);
  REQUIRE(g.world.Step({Kind::kForce, Off({"node-1", "node-2"})}));
  CHECK_THAT(*WhyRefused(g.world.layout, g.world.members, {Kind::kForce, Off({"node-3"})}), Catch::Contains("nothing has to be forced"));
  g.world.Kill(2);
  REQUIRE(g.world.Step({Kind::kForce, Off({"node-3"})}));
  CHECK(g.world.layout.group(0).survivors == MemberList{0, 1});
  CHECK(g.world.layout.retired.size() == 3);
}

TEST_CASE("force: where only a node that is being drained lives, it merges alone") {
  OneGroup drained(2, {0, {0}, Term(5), {0}});
  drained.world.layout.members[1].draining = true;
  drained.world.Kill(0);
  REQUIRE(drained.world.Step({Kind::kForce, Off({"node-1"})}));
  CHECK(drained.world.layout.group(0).in_sync == MemberList{0});
  CHECK(drained.world.layout.group(0).survivors == MemberList{0});
}

TEST_CASE("force: once more, when it is not the one that merges who died: the merge has one survivor less") {
  OneGroup g(6, {0, {0, 1}, Term(5), {0, 2}});
  g.world.Kill(0), g.world.Kill(1);
  REQUIRE(g.world.Step({Kind::kForce, Off({"node-1", "node-2"})}));
  const Group before = g.world.layout.group(0);
  REQUIRE(before.survivors.size() == 4);
  const MemberIndex other = before.survivors[before.survivors[0] == before.primary ? 1 : 0];
  const std::string name = g.world.layout.members[other].name;
  const NodeId primary = g.world.layout.members[before.primary].id;
  g.world.members.at(g.world.layout.members[other].id).alive = false;
  REQUIRE(g.world.Step({Kind::kForce, Off({name})}));
  const Group after = g.world.layout.group(0);
  CHECK(after.survivors.size() == 3);
  CHECK(g.world.layout.members[after.primary].id == primary);
  CHECK(after.in_sync == MemberList{after.primary});
}

TEST_CASE("force: the heir is of the goal, else anybody who is in_sync; witnesses are no survivors, and there are 64 at most") {
  OneGroup heir(5, {0, {0, 3}, Term(5), {1, 2}});  // nobody of the goal holds it
  heir.world.layout.voters = {0, 1, 2};
  heir.world.Kill(0), heir.world.Kill(1), heir.world.Kill(2);
  REQUIRE(heir.world.Step({Kind::kForce, Off({"node-1", "node-2", "node-3"}), kForcedEpochs}));
  CHECK(heir.world.layout.members[heir.world.layout.group(0).primary].id == TestId(3));
  CHECK(heir.world.layout.group(0).survivors.empty());

  OneGroup many(70, {0, {0, 1}, Term(5), {0, 1}});
  many.world.layout.members[69].witness = true;
  many.world.Get(69).witness = true;
  many.world.Kill(0), many.world.Kill(1);
  for (MemberIndex m = 2; m < 69; ++m) many.world.layout.members[m].former = "\1";
  REQUIRE(many.world.Step({Kind::kForce, Off({"node-1", "node-2"}), kForcedEpochs}));
  const Layout& layout = many.world.layout;
  CHECK(layout.group(0).survivors.size() == kMaxSurvivors);
  for (MemberIndex m : layout.group(0).survivors) CHECK_FALSE(layout.members[m].witness);
}

}  // namespace coffer::cluster
