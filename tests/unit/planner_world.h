// A cluster in miniature for the planner's tests: who lives, what primaries hand in, and the layout that results.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "cluster/planner.h"
#include "layout_fixtures.h"
#include "test_support.h"

namespace coffer::cluster {

class PlannerWorld {
 public:
  explicit PlannerWorld(std::uint32_t partitions = 60) {
    Settings settings;
    settings.partitions = partitions;
    ClusterId cluster;
    cluster.bytes[0] = 1;
    Start(0);
    layout = FirstLayout(cluster, "test", members.begin()->second, settings);
  }

  // Starts the n-th test member for the first time, or again.
  PlannerMember* Start(std::uint32_t n) {
    auto [at, fresh] = members.try_emplace(TestId(n), TestFacts(n));
    at->second.alive = true;
    at->second.suspect = false;
    at->second.dead_for = {};
    if (fresh) at->second.blocks = blocks;
    return &at->second;
  }
  void Suspect(std::uint32_t n) { Get(n).alive = false, Get(n).suspect = true; }
  void Kill(std::uint32_t n) { Get(n).alive = Get(n).suspect = false; }
  void Pass(Duration time) {
    for (auto& [id, m] : members) {
      if (!m.alive && !m.suspect) m.dead_for += time;
    }
  }
  PlannerMember& Get(std::uint32_t n) { return members.at(TestId(n)); }
  MemberIndex Index(std::uint32_t n) const { return layout.IndexOf(TestId(n)); }
  const Member& InLayout(std::uint32_t n) const { return layout.members.at(Index(n)); }
  bool Alive(MemberIndex m) const {
    const auto found = members.find(layout.members[m].id);
    return found != members.end() && found->second.alive;
  }

  // Hands in the add of every learner that is due: a living primary, a living member of the goal that is not in_sync.
  void HandInAdds() {
    for (PartitionId p = 0; p < layout.partition_count(); ++p) HandInAdd(p);
  }
  void HandInAdd(PartitionId p) {
    const Group& group = layout.group(p);
    if (!Alive(group.primary)) return;
    for (MemberIndex m : group.goal) {
      if (group.InSync(m) || !Alive(m)) continue;
      requests.adds[p] = {p, group.term, layout.members[m].id};
      return;
    }
  }

  std::optional<Layout> Plan(const OperatorChange& change = {}) const {
    return PlanNext(layout, members, requests, change, config);
  }

  // The statement that these are off.
  static std::string Off(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return "I am sure that " + list + " is off and will never return";
  }

  // One successor, checked: legal, decodable, never left to the suspected alone. False when there is nothing to do.
  bool Step(const OperatorChange& change = {}) {
    const std::optional<Layout> next = Plan(change);
    if (!next) return false;
    Check(*next);
    layout = *next;
    return true;
  }

  // Until nothing is left to do; every learner completes at once. Returns the number of epochs.
  int Settle() {
    int steps = 0;
    for (HandInAdds(); Step(); HandInAdds()) REQUIRE(++steps < 60);
    return steps;
  }

  bool AllAtGoal() const {
    return std::all_of(layout.partitions.begin(), layout.partitions.end(), [](const Group& g) { return g.AtGoal(); });
  }

  std::map<NodeId, PlannerMember> members;
  PlannerRequests requests;
  PlannerConfig config;
  Layout layout;
  std::uint64_t blocks = 1;  // what a member that starts for the first time is said to hold

 private:
  void Check(const Layout& next) const {
    const auto why = WhyIllegal(layout, next);
    INFO(why.value_or(""));
    REQUIRE(!why);
    REQUIRE(DecodeLayout(Encode(next), nullptr) == next);
    const bool forced = next.forced_epoch == next.epoch;
    for (PartitionId p = 0; p < next.partition_count(); ++p) {
      if (next.group(p).term.value != next.epoch.value || forced) continue;
      CheckGroup(next, p);
    }
  }

  void CheckGroup(const Layout& next, PartitionId p) const {
    const Group& before = layout.group(p);
    const Group& after = next.group(p);
    INFO("partition " << p);
    const auto lives = [](const auto& world, const Layout& l, const MemberList& list) {
      return std::any_of(list.begin(), list.end(),
                         [&](MemberIndex m) { return world.members.at(l.members[m].id).alive; });
    };
    if (lives(*this, layout, before.in_sync)) REQUIRE(lives(*this, next, after.in_sync));
    for (MemberIndex m : after.in_sync) {
      const NodeId& id = next.members[m].id;
      const MemberIndex old = layout.IndexOf(id);
      if (old != kNoMember && before.InSync(old)) continue;
      const auto add = requests.adds.find(p);  // whoever comes was vouched for by the primary, in this term
      REQUIRE(add != requests.adds.end());
      REQUIRE(add->second == ProposedAdd{p, before.term, id});
    }
  }
};

// `n` members that joined one after the other and came to rest, with data.
inline PlannerWorld Grown(std::uint32_t n) {
  PlannerWorld world;
  for (std::uint32_t i = 1; i < n; ++i) {
    world.Start(i);
    world.Settle();
  }
  REQUIRE(world.AllAtGoal());
  REQUIRE(world.layout.members.size() == n);
  return world;
}

// As many that all started at once.
inline PlannerWorld StartedTogether(std::uint32_t n) {
  PlannerWorld world;
  for (std::uint32_t i = 1; i < n; ++i) world.Start(i);
  world.Settle();
  return world;
}

inline bool NamedInSync(const Layout& layout, MemberIndex m) {
  return std::any_of(layout.partitions.begin(), layout.partitions.end(), [m](const Group& g) { return g.InSync(m); });
}

inline bool NamedInGoal(const Layout& layout, MemberIndex m) {
  return std::any_of(layout.partitions.begin(), layout.partitions.end(), [m](const Group& g) { return g.InGoal(m); });
}

inline std::vector<Goal> GoalsOf(const Layout& layout) {
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

}  // namespace coffer::cluster
