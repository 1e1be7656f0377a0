// Rebalancing held to the theory: least movement, fair shares, spread recovery, the same safe state in any order.
#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "cluster/random.h"
#include "cluster/shares.h"
#include "layout_fixtures.h"
#include "rounds.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

constexpr std::uint32_t kPartitions = 5040;

struct Loads {
  std::vector<std::uint32_t> copies;
  std::vector<std::uint32_t> primaries;
  std::vector<std::vector<std::uint32_t>> shared;  // partitions two members hold together
};

Loads LoadsOf(const std::vector<Goal>& goals, std::size_t members) {
  Loads loads{std::vector<std::uint32_t>(members), std::vector<std::uint32_t>(members),
              std::vector<std::vector<std::uint32_t>>(members, std::vector<std::uint32_t>(members))};
  for (const Goal& goal : goals) {
    ++loads.primaries[goal.front()];
    for (MemberIndex m : goal) ++loads.copies[m];
    if (goal.size() < 2) continue;
    ++loads.shared[goal[0]][goal[1]];
    ++loads.shared[goal[1]][goal[0]];
  }
  return loads;
}

// Every partition has two holders that take data, differ, and are in two domains if there are two.
void CheckSafe(const std::vector<Goal>& goals, const std::vector<Member>& members) {
  const Takers takers = TakersOf(members);
  std::vector<std::uint32_t> domain(members.size());
  for (std::size_t t = 0; t < takers.size(); ++t) domain[takers.members[t]] = takers.domains[t];
  for (const Goal& goal : goals) {
    REQUIRE(goal.size() == takers.copies());
    for (MemberIndex m : goal) REQUIRE(members[m].TakesData());
    if (goal.size() == 2) REQUIRE(domain[goal[0]] != domain[goal[1]]);
  }
}

// Copies and primaries are each within one partition of the share by weight.
void CheckBalanced(const std::vector<Goal>& goals, const std::vector<Member>& members) {
  const Takers takers = TakersOf(members);
  const Loads loads = LoadsOf(goals, members.size());
  std::vector<std::uint32_t> held;
  for (MemberIndex m : takers.members) held.push_back(loads.copies[m]);
  const auto quotas = CopyQuotas(takers, static_cast<std::uint32_t>(goals.size()), held);
  double weight = 0;
  for (std::uint32_t w : takers.weights) weight += w;
  for (std::size_t t = 0; t < takers.size(); ++t) {
    const MemberIndex m = takers.members[t];
    CHECK(loads.copies[m] == quotas[t]);
    CHECK(std::abs(loads.primaries[m] - goals.size() * takers.weights[t] / weight) < 1);
  }
}

// Rebalances and holds the result to everything that is always true. Returns it.
std::vector<Goal> Checked(const std::vector<Goal>& from, const std::vector<Member>& members) {
  std::vector<Goal> to = Rebalance(from, members);
  CheckSafe(to, members);
  CheckBalanced(to, members);
  CHECK(Rebalance(from, members) == to);
  CHECK(Rebalance(to, members) == to);
  return to;
}

void CheckLeastMovement(const std::vector<Goal>& from, const std::vector<Goal>& to,
                        const std::vector<Member>& members) {
  const std::uint32_t least = LeastCopies(from, members);
  CHECK(CountMovement(from, to).copies >= least);
  CHECK(CountMovement(from, to).copies <= least + least / 100);
}

// Marks the member down and notes what it held, as the planner does.
void GiveUp(Member* member, MemberIndex index, const std::vector<Goal>& goals) {
  member->down = true;
  member->former.assign((goals.size() + 7) / 8, '\0');
  for (PartitionId p = 0; p < goals.size(); ++p) {
    if (std::find(goals[p].begin(), goals[p].end(), index) == goals[p].end()) continue;
    member->former[p / 8] = static_cast<char>(member->former[p / 8] | 1 << (p % 8));
  }
}

// Processor time, the best of three: other processes on the machine don't count.
double Milliseconds(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const std::clock_t start = std::clock();
    work();
    best = std::min(best, 1000.0 * (std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

}  // namespace

TEST_CASE("losing a node re-creates the copies of 2/N of the blocks and no others") {
  for (std::uint32_t n = 2; n <= 10; ++n) {
    for (MemberIndex lost = 0; lost < n; ++lost) {
      const std::vector<Goal> before = FreshGoals(TestMembers(n), kPartitions);
      std::vector<Member> members = TestMembers(n);
      members[lost].down = true;
      const std::vector<Goal> after = Checked(before, members);
      const Movement moved = CountMovement(before, after);
      CHECK(moved.copies == (n == 2 ? 0 : 2 * kPartitions / n));
      CHECK(moved.primaries == kPartitions / n);
      for (PartitionId p = 0; p < kPartitions; ++p) {
        const bool touched = before[p][0] == lost || before[p][1] == lost;
        if (!touched) REQUIRE(after[p] == before[p]);
      }
    }
  }
}

TEST_CASE("a lost primary is always replaced by its own replica") {
  Random random(3);
  for (std::uint32_t n = 2; n <= 24; ++n) {
    std::vector<Member> members = TestMembers(n);
    for (Member& member : members) member.weight = static_cast<std::uint32_t>(90 + random.Below(20));
    const std::vector<Goal> before = FreshGoals(members, kPartitions);
    const auto lost = static_cast<MemberIndex>(random.Below(n));
    members[lost].down = true;
    const std::vector<Goal> after = Rebalance(before, members);
    for (PartitionId p = 0; p < kPartitions; ++p) {
      if (before[p][0] == lost) REQUIRE(after[p][0] == before[p][1]);
    }
  }
}

TEST_CASE("a join moves 2/(N+1) of the copies and 1/(N+1) of the primaries, all of them to the new node") {
  for (std::uint32_t n = 1; n <= 9; ++n) {
    const std::vector<Goal> before = FreshGoals(TestMembers(n), kPartitions);
    const std::vector<Goal> after = Checked(before, TestMembers(n + 1));
    const Movement moved = CountMovement(before, after);
    CHECK(moved.copies == 2 * kPartitions / (n + 1));
    CHECK(moved.primaries == kPartitions / (n + 1));
    for (PartitionId p = 0; p < kPartitions; ++p) {
      for (MemberIndex m : after[p]) {
        const bool had = std::find(before[p].begin(), before[p].end(), m) != before[p].end();
        REQUIRE((had || m == n));
      }
    }
  }
}

TEST_CASE("leaving moves what the leaver held; its primaries go to their replicas") {
  for (std::uint32_t n = 3; n <= 12; ++n) {
    std::vector<Member> members = TestMembers(n);
    const std::vector<Goal> before = FreshGoals(members, kPartitions);
    members[n / 2].draining = true;
    const std::vector<Goal> after = Checked(before, members);
    CheckLeastMovement(before, after, members);
    CHECK(CountMovement(before, after).copies == LoadsOf(before, n).copies[n / 2]);
  }
}

TEST_CASE("reweighting moves the difference and no more") {
  Random random(4);
  for (int round = 0; round < Rounds(60); ++round) {
    const auto n = static_cast<std::uint32_t>(2 + random.Below(12));
    std::vector<Member> members = TestMembers(n);
    const std::vector<Goal> before = FreshGoals(members, kPartitions);
    for (Member& member : members) member.weight = static_cast<std::uint32_t>(60 + random.Below(90));
    const std::vector<Goal> after = Checked(before, members);
    CheckLeastMovement(before, after, members);
  }
}

TEST_CASE("reweighting to extremes stays close to a bound that is then out of reach") {
  // A node that is to hold nearly one copy of everything must be let into almost every partition, also into those whose
  // two holders may not give: each of these costs a second move, which the bound does not know.
  Random random(4);
  for (int round = 0; round < Rounds(200); ++round) {
    const auto n = static_cast<std::uint32_t>(2 + random.Below(12));
    std::vector<Member> members = TestMembers(n);
    const std::vector<Goal> before = FreshGoals(members, kPartitions);
    for (Member& member : members) member.weight = static_cast<std::uint32_t>(20 + random.Below(200));
    const std::vector<Goal> after = Checked(before, members);
    CHECK(CountMovement(before, after).copies <= 1.1 * LeastCopies(before, members));
  }
}

TEST_CASE("one node far heavier than all others holds one copy of everything and no two") {
  std::vector<Member> members = TestMembers(4);
  members[2].weight = 1000;
  const std::vector<Goal> goals = Checked(FreshGoals(TestMembers(4), kPartitions), members);
  CHECK(LoadsOf(goals, 4).copies[2] == kPartitions);
  members[2].weight = kMaxWeight;
  members[1].weight = 1;
  Checked(goals, members);
}

TEST_CASE("the load is even: max over mean at most 1.01, for copies and for primaries") {
  for (std::uint32_t n = 2; n <= 10; ++n) {
    // Not the fresh layout, which is even by arithmetic, but one that went through a loss, a join and a return.
    std::vector<Member> members = TestMembers(n);
    std::vector<Goal> goals = FreshGoals(members, kPartitions);
    members.push_back(TestMember(n));
    goals = Rebalance(goals, members);
    GiveUp(&members[0], 0, goals);
    goals = Rebalance(goals, members);
    members[0].down = false;
    goals = Rebalance(goals, members);
    members[n].draining = true;
    goals = Rebalance(goals, members);
    const Loads loads = LoadsOf(goals, members.size());
    CHECK(*std::max_element(loads.copies.begin(), loads.copies.end()) <= 1.01 * 2 * kPartitions / n);
    CHECK(*std::max_element(loads.primaries.begin(), loads.primaries.end()) <= 1.01 * kPartitions / n);
  }
}

TEST_CASE("recovery is spread over all survivors, as sources and as destinations, also after many events") {
  Random random(5);
  std::vector<Member> members = TestMembers(6);
  std::vector<Goal> goals = FreshGoals(members, kPartitions);
  for (int event = 0; event < 40; ++event) {
    const auto m = static_cast<MemberIndex>(random.Below(members.size()));
    const auto takers = TakersOf(members).size();
    if (members.size() < 10 && random.Chance(1, 3)) {
      members.push_back(TestMember(static_cast<std::uint32_t>(members.size())));
    } else if (members[m].down) {
      members[m].down = false;
    } else if (takers > 4) {
      GiveUp(&members[m], m, goals);
    }
    goals = Rebalance(goals, members);
    if (!members[m].down) members[m].former.clear();
    const Takers now = TakersOf(members);
    const Loads loads = LoadsOf(goals, members.size());
    const double fair = 2.0 * kPartitions / (now.size() * (now.size() - 1));
    for (MemberIndex lost : now.members) {
      std::vector<Member> survivors = members;
      survivors[lost].down = true;
      const std::vector<Goal> repaired = Rebalance(goals, survivors);
      std::vector<std::uint32_t> received(members.size());
      for (PartitionId p = 0; p < kPartitions; ++p) {
        for (MemberIndex to : repaired[p])
          received[to] += std::find(goals[p].begin(), goals[p].end(), to) == goals[p].end();
      }
      for (MemberIndex other : now.members) {
        if (other == lost) continue;
        CHECK(loads.shared[lost][other] >= 0.8 * fair);
        CHECK(loads.shared[lost][other] <= 1.2 * fair);
        CHECK(std::abs(received[other] - fair) <= 2);
      }
    }
  }
}

TEST_CASE("failure domains: two copies never share one while there are two") {
  Random random(6);
  for (int round = 0; round < Rounds(80); ++round) {
    std::vector<Member> members = TestMembers(static_cast<std::uint32_t>(2 + random.Below(9)));
    const auto domains = 1 + random.Below(4);
    for (Member& member : members) {
      if (random.Chance(9, 10)) member.failure_domain = "rack-" + std::to_string(random.Below(domains));
      if (random.Chance(1, 3)) member.weight = static_cast<std::uint32_t>(50 + random.Below(100));
    }
    std::vector<Goal> goals = FreshGoals(members, kPartitions);
    CheckSafe(goals, members);
    CheckBalanced(goals, members);
    goals = Checked(goals, members);
    members[random.Below(members.size())].down = true;
    goals = Checked(goals, members);
    members.push_back(TestMember(static_cast<std::uint32_t>(members.size())));
    members.back().failure_domain = "rack-0";
    Checked(goals, members);
  }
}

TEST_CASE("a copy leaves its domain only if it must") {
  std::vector<Member> members = TestMembers(6);
  for (MemberIndex m = 0; m < 6; ++m) members[m].failure_domain = "rack-" + std::to_string(m / 2);
  const std::vector<Goal> plain = FreshGoals(TestMembers(6), kPartitions);
  const std::vector<Goal> goals = Checked(plain, members);
  std::uint32_t clashes = 0;
  for (const Goal& goal : plain) clashes += goal[0] / 2 == goal[1] / 2;
  CHECK(CountMovement(plain, goals).copies == clashes);
  for (PartitionId p = 0; p < kPartitions; ++p) CHECK(goals[p].front() == p % 6);  // a fresh layout stays hash mod N
}

TEST_CASE(
    "three nodes, one lost, rebalanced, returned: exactly its former copies go back, roles as balanced as fresh") {
  for (MemberIndex lost = 0; lost < 3; ++lost) {
    std::vector<Member> members = TestMembers(3);
    const std::vector<Goal> before = FreshGoals(members, kPartitions);
    GiveUp(&members[lost], lost, before);
    const std::vector<Goal> without = Checked(before, members);
    members[lost].down = false;
    const std::vector<Goal> after = Checked(without, members);
    CHECK(CountMovement(without, after).copies == 2 * kPartitions / 3);
    for (PartitionId p = 0; p < kPartitions; ++p) {
      const bool holds = std::find(after[p].begin(), after[p].end(), lost) != after[p].end();
      REQUIRE(holds == members[lost].Held(p));
    }
    CHECK(LoadsOf(after, 3).primaries == LoadsOf(before, 3).primaries);
    CHECK(LoadsOf(after, 3).copies == LoadsOf(before, 3).copies);
    CHECK(LoadsOf(after, 3).shared == LoadsOf(before, 3).shared);
  }
}

TEST_CASE("a returning member gets its former partitions, for every size") {
  for (std::uint32_t n = 2; n <= 12; ++n) {
    std::vector<Member> members = TestMembers(n);
    const std::vector<Goal> before = FreshGoals(members, kPartitions);
    GiveUp(&members[n - 1], static_cast<MemberIndex>(n - 1), before);
    const std::vector<Goal> without = Rebalance(before, members);
    members[n - 1].down = false;
    const std::vector<Goal> after = Checked(without, members);
    for (PartitionId p = 0; p < kPartitions; ++p) {
      const bool holds = std::find(after[p].begin(), after[p].end(), n - 1) != after[p].end();
      if (holds) REQUIRE(members[n - 1].Held(p));
    }
  }
}

TEST_CASE("any order of events ends in the same safe state") {
  // Joins, losses, drains and weights in random order: always safe, always balanced, never more moves than needed.
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Random random(seed);
    std::vector<Member> members = TestMembers(static_cast<std::uint32_t>(1 + random.Below(8)));
    std::vector<Goal> goals = FreshGoals(members, kPartitions);
    for (int event = 0; event < 25; ++event) {
      INFO("seed " << seed << " event " << event);
      const auto m = static_cast<MemberIndex>(random.Below(members.size()));
      switch (random.Below(5)) {
        case 0:
          members.push_back(TestMember(static_cast<std::uint32_t>(members.size())));
          break;
        case 1:
          GiveUp(&members[m], m, goals);
          break;
        case 2:
          members[m].down = false;
          break;
        case 3:
          members[m].draining = !members[m].draining;
          break;
        default:
          members[m].weight = static_cast<std::uint32_t>(50 + random.Below(100));
          break;
      }
      if (TakersOf(members).size() == 0) members[m].down = members[m].draining = false;
      const std::vector<Goal> next = Checked(goals, members);
      CheckLeastMovement(goals, next, members);
      goals = next;
      for (Member& member : members) {
        if (!member.down) member.former.clear();
      }
    }
  }
}

TEST_CASE("two losses seen in either order end with the same holders' loads and no lost partition") {
  for (std::uint32_t n = 4; n <= 10; ++n) {
    const std::vector<Goal> fresh = FreshGoals(TestMembers(n), kPartitions);
    std::vector<std::vector<std::uint32_t>> copies;
    for (const auto& [first, second] : {std::pair{0, 1}, std::pair{1, 0}}) {
      std::vector<Member> members = TestMembers(n);
      members[first].down = true;
      std::vector<Goal> goals = Checked(fresh, members);
      members[second].down = true;
      goals = Checked(goals, members);
      copies.push_back(LoadsOf(goals, n).copies);
    }
    if (2 * kPartitions % (n - 2) == 0) CHECK(copies[0] == copies[1]);
  }
}

TEST_CASE("goals that are missing, short, or name strangers are completed") {
  const std::vector<Member> members = TestMembers(5);
  std::vector<Goal> goals(kPartitions);
  Checked(goals, members);
  goals.assign(kPartitions, Goal{3});
  Checked(goals, members);
  goals.assign(kPartitions, Goal{3, 3});
  Checked(goals, members);
  goals.assign(kPartitions, Goal{900, 2, 4, 1});
  Checked(goals, members);
}

TEST_CASE("nobody takes data: what is there stays") {
  std::vector<Member> members = TestMembers(3);
  const std::vector<Goal> goals = FreshGoals(members, kPartitions);
  for (Member& member : members) member.draining = true;
  CHECK(Rebalance(goals, members) == goals);
}

TEST_CASE("small clusters of any shape: from anything to fair shares in one step") {
  for (int seed = 0; seed < Rounds(20000); ++seed) {
    INFO("seed " << seed);
    Random random(static_cast<std::uint64_t>(seed));
    std::vector<Member> members = TestMembers(static_cast<std::uint32_t>(2 + random.Below(10)));
    const auto partitions = static_cast<std::uint32_t>(members.size() + random.Below(40));
    for (Member& member : members) {
      member.weight = static_cast<std::uint32_t>(1 + random.Below(6));
      if (random.Chance(1, 2)) member.failure_domain = std::string(1, static_cast<char>('a' + random.Below(3)));
    }
    std::vector<Goal> goals;
    for (PartitionId p = 0; p < partitions; ++p) {
      goals.push_back({static_cast<MemberIndex>(random.Below(members.size())),
                       static_cast<MemberIndex>(random.Below(members.size()))});
    }
    Checked(goals, members);
  }
}

TEST_CASE("rebalancing is fast enough to be done while deciding") {
  // The design's bounds are 20 and 100 ms; sanitizers slow everything down. A slip of complexity would still show.
  for (const auto& [n, bound] : {std::pair{10u, 100.0}, std::pair{100u, 500.0}}) {
    std::vector<Member> members = TestMembers(n);
    const std::vector<Goal> fresh = FreshGoals(members, kPartitions);
    members[1].down = true;
    CHECK(Milliseconds([&] { Rebalance(fresh, members); }) < bound);
    members = TestMembers(n + 1);
    CHECK(Milliseconds([&] { Rebalance(fresh, members); }) < bound);
    members.pop_back();
    for (MemberIndex m = 0; m < n; ++m) members[m].weight = 50 + m * 37 % 100;
    CHECK(Milliseconds([&] { Rebalance(fresh, members); }) < bound);
  }
}

}  // namespace coffer::cluster
