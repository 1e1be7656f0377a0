// The planner applied again and again while members come and go at random: every step is legal and safe, and in the end
// every partition is where it should be.
#include <algorithm>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "cluster/random.h"
#include "planner_world.h"
#include "rounds.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using namespace std::chrono_literals;

class Evolution {
 public:
  explicit Evolution(std::uint64_t seed) : random_(seed) {
    world_.blocks = random_.Below(2);
    world_.Get(0).blocks = world_.blocks;
    for (std::uint32_t n = 1; n <= random_.Below(5); ++n) Join();
  }

  void Run(int events) {
    for (int i = 0; i < events; ++i) {
      Event();
      world_.Pass(std::chrono::milliseconds(random_.Below(4000)));
      for (std::uint64_t steps = random_.Below(4); steps > 0; --steps) Decide({});
    }
  }

  // Everybody who still has a data folder comes back; then all must come to rest at the goal.
  void Heal() {
    for (std::uint32_t n = 0; n < started_; ++n) {
      if (!Wiped(n)) world_.Start(n);
    }
    world_.Pass(60s);
    for (int round = 0; round < 200; ++round) {
      world_.HandInAdds();
      if (!world_.Step()) break;
      REQUIRE(round < 199);
    }
    CheckAtRest();
  }

 private:
  bool Wiped(std::uint32_t n) const { return std::find(wiped_.begin(), wiped_.end(), n) != wiped_.end(); }

  PlannerMember* Join() {
    PlannerMember* facts = world_.Start(started_++);
    if (random_.Chance(1, 4)) facts->failure_domain = "rack-" + std::to_string(random_.Below(3));
    return facts;
  }

  void Event() {
    const auto n = static_cast<std::uint32_t>(random_.Below(started_));
    if (Wiped(n)) return;
    switch (random_.Below(12)) {
      case 0:
        if (started_ < 10) Join();
        break;
      case 1:
        world_.Suspect(n);
        break;
      case 2:
      case 3:
        world_.Kill(n);
        break;
      case 4:
      case 5:
      case 6:
        world_.Start(n);
        break;
      case 7:
        Replace(n);
        break;
      case 8:
        Decide({OperatorChange::Kind::kDrain, world_.Get(n).name});
        break;
      case 9:
        Decide({OperatorChange::Kind::kUndrain, world_.Get(n).name});
        break;
      case 10:
        Decide({OperatorChange::Kind::kReweight, world_.Get(n).name, 50 + random_.Below(100)});
        break;
      default:
        Forget(n);
        break;
    }
  }

  // The data folder is lost: a new id under the same name.
  void Replace(std::uint32_t n) {
    if (started_ >= 14 || !SafeToLose(n)) return;
    world_.Kill(n);
    wiped_.push_back(n);
    const std::string name = world_.Get(n).name;
    Join()->name = name;
  }

  void Forget(std::uint32_t n) {
    world_.Kill(n);
    const MemberIndex m = world_.Index(n);
    if (m == kNoMember || !SafeToLose(n)) return;
    if (Decide({OperatorChange::Kind::kForget, world_.layout.members[m].name}) && world_.Index(n) == kNoMember)
      wiped_.push_back(n);
  }

  // Whether every partition has a living holder and the voters a majority without it: losing more is not the planner's
  // to mend.
  bool SafeToLose(std::uint32_t n) const {
    const MemberIndex gone = world_.Index(n);
    const auto usable = [&](MemberIndex m) { return m != gone && world_.Alive(m); };
    const Layout& layout = world_.layout;
    const auto voters = std::count_if(layout.voters.begin(), layout.voters.end(), [&](MemberIndex m) {
      return m != gone &&
             std::none_of(wiped_.begin(), wiped_.end(), [&](std::uint32_t w) { return world_.Index(w) == m; });
    });
    return voters >= static_cast<std::ptrdiff_t>(layout.Quorum()) &&
           std::all_of(layout.partitions.begin(), layout.partitions.end(),
                       [&](const Group& g) { return std::any_of(g.in_sync.begin(), g.in_sync.end(), usable); });
  }

  // A layout is decided only by a majority of the voters.
  bool Decide(const OperatorChange& change) {
    const Layout& layout = world_.layout;
    const auto voters =
        std::count_if(layout.voters.begin(), layout.voters.end(), [&](MemberIndex m) { return world_.Alive(m); });
    if (voters < static_cast<std::ptrdiff_t>(layout.Quorum())) return false;
    for (PartitionId p = 0; p < layout.partition_count(); ++p) {
      if (random_.Chance(1, 5)) world_.HandInAdd(p);  // requests of older terms linger, as they would
      if (random_.Chance(1, 50)) world_.requests.renewals[p] = layout.group(p).term;
    }
    const std::size_t voters_before = layout.voters.size();
    const bool stepped = world_.Step(change);
    if (voters_before >= 3 && world_.layout.members.size() >= 3) REQUIRE(world_.layout.voters.size() >= 3);
    return stepped;
  }

  void CheckAtRest() {
    const Layout& layout = world_.layout;
    REQUIRE(world_.AllAtGoal());
    REQUIRE(!layout.plan);
    std::size_t takers = 0;
    for (MemberIndex m = 0; m < layout.members.size(); ++m) {
      const Member& member = layout.members[m];
      takers += member.TakesData();
      REQUIRE(world_.Alive(m));  // the wiped ones were forgotten
      REQUIRE(!member.down);
      REQUIRE(member.former.empty());
    }
    REQUIRE(takers > 0);
    for (const Group& group : layout.partitions) REQUIRE(group.in_sync.size() == std::min<std::size_t>(takers, 2));
    REQUIRE(layout.settings.min_copies == (takers >= 2 ? 2 : layout.settings.min_copies));
    REQUIRE(layout.voters.size() == WantedVoters());
    std::vector<Goal> goals;
    for (const Group& group : layout.partitions) goals.push_back(group.goal);
    REQUIRE(Rebalance(goals, layout.members) == goals);
  }

  // By the table of sizes; a member about to leave doesn't count, but votes where there would be fewer than three.
  std::size_t WantedVoters() const {
    const auto& members = world_.layout.members;
    const std::size_t staying =
        std::count_if(members.begin(), members.end(), [](const Member& m) { return !m.draining; });
    if (staying >= 5) return 5;
    return members.size() >= 3 ? 3 : std::max<std::size_t>(staying, 1);
  }

  Random random_;
  PlannerWorld world_;
  std::uint32_t started_ = 1;
  std::vector<std::uint32_t> wiped_;
};

}  // namespace

TEST_CASE(
    "random joins, deaths, returns, losses of disks, drains and forgettings: always legal and safe, always comes to "
    "rest") {
  for (int seed = 0; seed < Rounds(400); ++seed) {
    INFO("seed " << seed);
    Evolution evolution(static_cast<std::uint64_t>(seed));
    evolution.Run(60);
    evolution.Heal();
  }
}

}  // namespace coffer::cluster
