// A successor layout while PlanNext writes it, and the steps that do. Internal to the planner.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/planner.h"

namespace coffer::cluster {

// The successor and what the steps tell each other. Members of `next` keep the numbers they have in `current` (new ones
// are appended) until RemoveForgotten; the references must outlive it.
struct Draft {
  Draft(const Layout& current, const std::map<NodeId, PlannerMember>& members, const PlannerConfig& config);

  const Layout& current;
  const std::map<NodeId, PlannerMember>& members;
  const PlannerConfig& config;
  Layout next;
  std::vector<const PlannerMember*> seen;  // by number in next; null: gossip does not know it (yet): treated as suspect
  std::vector<std::string> causes;         // why goals change, for people
  bool replan = false;                     // weights, domains or the set of members that take data changed
  bool fresh = false;                      // goals start anew from the plain rule
  bool forced = false;
  bool goals_changed = false;
  std::vector<bool> forget;  // by number in next: to be removed if nothing names it

  // What is made of slow disks (L11.3, L11.5).
  enum class SlowDisks { kNone, kSome, kMost };
  SlowDisks slow_disks = SlowDisks::kNone;

  bool Alive(MemberIndex m) const { return seen[m] != nullptr && seen[m]->alive; }
  bool Dead(MemberIndex m) const { return seen[m] != nullptr && !seen[m]->alive && !seen[m]->suspect; }
  bool DeadForLong(MemberIndex m) const { return Dead(m) && seen[m]->dead_for >= config.resync_delay; }
  bool Slow(MemberIndex m) const { return Alive(m) && seen[m]->disk == DiskPace::kSlow; }
  std::size_t member_count() const { return next.members.size(); }
  std::size_t CountTakers() const;
  std::size_t CountLivingTakers() const;

  void Add(Member member, const PlannerMember* facts);
  // Excludes a member from the goals and notes what it was to hold.
  void MarkDown(MemberIndex m);
  void ChangeGoals(const std::string& cause);
};

// planner_members.cc
void JoinNewMembers(Draft* draft);
void MarkDownAndReturned(Draft* draft);
void TakeOverFailureDomains(Draft* draft);
void FindSuperseded(Draft* draft);
void RemoveForgotten(Draft* draft);
void TakeOverFacts(Draft* draft);

// planner_slow_disks.cc
void LookAtDisks(Draft* draft);
// Who of the group is to lead it once the goal's members are in_sync and live.
MemberIndex LeaderOfGoal(const Draft& draft, const Group& group);
// Who is to lead instead of the present primary because that one's disk is slow; the primary if nobody is better.
MemberIndex BetterLeader(const Draft& draft, const Group& before, const Group& group);

// planner_operator.cc
void ApplyOperatorChange(Draft* draft, const OperatorChange& change);

// planner_groups.cc
void UpdateGoals(Draft* draft);
void UpdateGroups(Draft* draft, const PlannerRequests& requests);
void ForceGroups(Draft* draft);

// planner_voters.cc
// Whether the member may leave the layout without leaving fewer than three voters where three could be.
bool VotersCanSpare(const Layout& layout, const std::map<NodeId, PlannerMember>& members, MemberIndex m);
void UpdateVoters(Draft* draft);

}  // namespace coffer::cluster
