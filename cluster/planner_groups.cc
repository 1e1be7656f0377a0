// Where partitions are and should be: goals, the dead who leave, the learners who are added, the hand-over at the end.
#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "cluster/placement.h"
#include "cluster/planner_draft.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

void Insert(MemberList* sorted, MemberIndex m) {
  const auto at = std::lower_bound(sorted->begin(), sorted->end(), m);
  if (at == sorted->end() || *at != m) sorted->insert(at, m);
}

MemberList Sorted(MemberList list) {
  std::sort(list.begin(), list.end());
  return list;
}

bool NobodyHoldsABlock(const Draft& draft) {
  return std::all_of(draft.members.begin(), draft.members.end(),
                     [](const auto& entry) { return entry.second.blocks == 0; });
}

// Whether a goal names somebody who takes no data, or has too few or too many members.
bool HasStaleGoals(const Draft& draft) {
  const std::size_t copies = std::min<std::size_t>(draft.CountTakers(), 2);
  return std::any_of(draft.next.partitions.begin(), draft.next.partitions.end(), [&](const Group& group) {
    return group.goal.size() != copies || !std::all_of(group.goal.begin(), group.goal.end(), [&](MemberIndex m) {
             return draft.next.members[m].TakesData();
           });
  });
}

// The goals to rebalance: behind its goal each partition names who else holds it, so that a member that stepped in for
// a lost one keeps the place if there is no better reason.
std::vector<Goal> PresentGoals(const Layout& layout) {
  std::vector<Goal> goals;
  goals.reserve(layout.partitions.size());
  for (const Group& group : layout.partitions) {
    Goal goal = group.goal;
    std::copy_if(group.in_sync.begin(), group.in_sync.end(), std::back_inserter(goal),
                 [&](MemberIndex m) { return !group.InGoal(m); });
    goals.push_back(std::move(goal));
  }
  return goals;
}

// The change of one group. All of it is decided against the group as it is in the current layout, for that is what
// legality compares with.
class GroupUpdate {
 public:
  GroupUpdate(Draft* draft, PartitionId p)
      : draft_(*draft), before_(draft->current.group(p)), group_(draft->next.partitions[p]) {}

  void Apply(const ProposedAdd* add, const Removal* removal, const MergedSurvivors* merged, bool renew) {
    if (!before_.survivors.empty()) return EndMerge(merged);
    bool changed = renew;
    MemberIndex learner = kNoMember;
    if (add != nullptr) {
      learner = draft_.next.IndexOf(add->learner);
      // A learner that is merely suspected may answer again; every other add ends now, granted or cancelled by a
      // renewal.
      if (learner == kNoMember || draft_.Alive(learner) || draft_.Dead(learner)) changed = true;
    }
    DropDead();
    if (removal != nullptr) DropUnreached(draft_.next.IndexOf(removal->member));
    if (learner != kNoMember && MayGrant(learner)) {
      RULE("L3");
      Insert(&group_.in_sync, learner);
    }
    Settle();
    group_.primary = BetterLeader(draft_, before_, group_);
    if (group_.in_sync.size() > kMaxGroupMembers) MakeRoom(learner);
    const bool same = group_.primary == before_.primary && group_.in_sync == before_.in_sync;
    if (changed && same) RULE("L6");
    if (changed || !same) {
      RULE("L7");
      group_.term = Term(draft_.next.epoch.value);
    }
  }

 private:
  // L10: until its survivors are merged nothing of the group changes; whether its primary holds everything is not known.
  void EndMerge(const MergedSurvivors* merged) {
    if (merged == nullptr) {
      RULE("L10.1 nothing changes");
      return;
    }
    group_.survivors.clear();
    group_.loss = merged->loss;
    group_.loss->epoch = draft_.current.forced_epoch;
    group_.term = Term(draft_.next.epoch.value);
  }

  // Step 2: the dead leave as long as somebody stays who was in_sync and lives.
  void DropDead() {
    const auto lives = [this](MemberIndex m) { return draft_.Alive(m); };
    if (Planted(Bug::kAnyoneIsPromoted) && draft_.Dead(group_.primary)) {
      const auto anyone = std::find_if(group_.goal.rbegin(), group_.goal.rend(), lives);
      if (anyone == group_.goal.rend()) return;
      group_.primary = *anyone;
      group_.in_sync = {*anyone};
      return;
    }
    if (std::none_of(before_.in_sync.begin(), before_.in_sync.end(), lives)) {
      RULE("L5");
      return;
    }
    RemoveIf(&group_.in_sync, [this](MemberIndex m) { return draft_.Dead(m); });
    if (!group_.InSync(group_.primary)) group_.primary = Heir();
  }

  // L5.3: the primary wins. It stays, and it must be alive as far as the proposer knows.
  void DropUnreached(MemberIndex member) {
    const MemberIndex primary = before_.primary;
    if (member == primary || group_.primary != primary || !group_.InSync(primary) || !draft_.Alive(primary)) return;
    RULE("L5.3");
    Remove(&group_.in_sync, member);
  }

  // The living member that becomes primary: by the order of the goal, then of the members.
  MemberIndex Heir() const {
    for (const auto* candidates : {&group_.goal, &group_.in_sync}) {
      for (MemberIndex m : *candidates) {
        if (!draft_.Alive(m)) continue;
        if (before_.InSync(m)) return m;
        RULE("L2");  // it lives, but may lack what was acknowledged
      }
    }
    return group_.primary;
  }

  // Step 3: a learner is wanted where the goal names it, or as a second copy until a better one comes.
  bool MayGrant(MemberIndex learner) const {
    const Member& member = draft_.next.members[learner];
    if (!draft_.Alive(learner) || member.witness) return false;
    if (group_.InGoal(learner)) return true;
    const auto living =
        std::count_if(group_.in_sync.begin(), group_.in_sync.end(), [this](MemberIndex m) { return draft_.Alive(m); });
    return member.TakesData() && living < 2;
  }

  // Step 4: once all of the goal are in_sync and live, the others leave and the goal's primary takes over, or who
  // leads in its place (L11). It can't in the epoch that adds it (rule (a)): then the present primary stays for that one.
  void Settle() {
    if (group_.goal.empty() || (group_.AtGoal() && !draft_.Slow(group_.primary))) return;
    for (MemberIndex m : group_.goal) {
      if (!group_.InSync(m) || !draft_.Alive(m)) return;
    }
    MemberList in_sync = Sorted(group_.goal);
    if (const MemberIndex leader = LeaderOfGoal(draft_, group_); before_.InSync(leader)) {
      group_.primary = leader;
    } else {
      Insert(&in_sync, group_.primary);
    }
    group_.in_sync = std::move(in_sync);
  }

  // After goals have changed twice a group may be full of members that are to leave: one does, for the learner. The
  // goal has two members at most and the primary is one more, so there is one.
  void MakeRoom(MemberIndex learner) {
    MemberIndex leaves = learner;
    for (MemberIndex m : group_.in_sync) {
      if (m == group_.primary || m == learner || group_.InGoal(m)) continue;
      if (leaves == learner || !draft_.Alive(m)) leaves = m;
    }
    Remove(&group_.in_sync, leaves);
  }

  const Draft& draft_;
  const Group& before_;
  Group& group_;
};

// Living members that may hold something of the partition, who holds most of it first: it has the least to fetch. What the merge
// comes to does not depend on the order.
MemberList Survivors(const Draft& draft, PartitionId p) {
  MemberList found;
  const auto add = [&](MemberIndex m) {
    const bool room = found.size() < kMaxSurvivors && std::find(found.begin(), found.end(), m) == found.end();
    if (room && draft.Alive(m) && !draft.next.members[m].witness) found.push_back(m);
  };
  const Group& before = draft.current.group(p);
  for (const auto* likely : {&before.in_sync, &before.goal, &before.survivors}) {
    for (MemberIndex m : *likely) add(m);
  }
  for (MemberIndex m = 0; m < draft.current.members.size(); ++m) {
    if (draft.current.members[m].Held(p)) add(m);
  }
  for (MemberIndex m = 0; m < draft.member_count(); ++m) add(m);
  return found;
}

// The first of `order` that is in_sync, else anybody who is.
MemberIndex FirstInSync(const Group& group, const MemberList& order) {
  const auto found = std::find_if(order.begin(), order.end(), [&](MemberIndex m) { return group.InSync(m); });
  return found == order.end() ? group.in_sync.front() : *found;
}

// A request, if it is about the partition's present term.
const ProposedAdd* CurrentAdd(const PlannerRequests& requests, PartitionId p, Term term) {
  const auto found = requests.adds.find(p);
  return found != requests.adds.end() && found->second.term == term ? &found->second : nullptr;
}

const Removal* CurrentRemoval(const PlannerRequests& requests, PartitionId p, Term term) {
  const auto found = requests.removals.find(p);
  return found != requests.removals.end() && found->second.term == term ? &found->second : nullptr;
}

const MergedSurvivors* CurrentMerge(const PlannerRequests& requests, PartitionId p, Term term) {
  const auto found = requests.merged.find(p);
  return found != requests.merged.end() && found->second.term == term ? &found->second : nullptr;
}

bool CurrentRenewal(const PlannerRequests& requests, PartitionId p, Term term) {
  const auto found = requests.renewals.find(p);
  return found != requests.renewals.end() && found->second == term;
}

void RenewGoals(Draft* draft) {
  if (draft->CountTakers() == 0) return;
  if (!draft->replan && !draft->fresh && !HasStaleGoals(*draft)) return;
  Layout& next = draft->next;
  const bool fresh = draft->fresh || NobodyHoldsABlock(*draft);
  const std::vector<Goal> goals =
      fresh ? FreshGoals(next.members, next.partition_count()) : Rebalance(PresentGoals(next), next.members);
  for (PartitionId p = 0; p < next.partition_count(); ++p) {
    draft->goals_changed = draft->goals_changed || next.partitions[p].goal != goals[p];
    next.partitions[p].goal = goals[p];
  }
}

}  // namespace

void UpdateGoals(Draft* draft) {
  RenewGoals(draft);
  for (Member& member : draft->next.members) {
    if (!member.down) member.former.clear();  // who returned has been given its share
  }
}

void UpdateGroups(Draft* draft, const PlannerRequests& requests) {
  for (PartitionId p = 0; p < draft->next.partition_count(); ++p) {
    const Term term = draft->current.group(p).term;
    GroupUpdate(draft, p).Apply(CurrentAdd(requests, p, term), CurrentRemoval(requests, p, term), CurrentMerge(requests, p, term),
                                CurrentRenewal(requests, p, term));
  }
}

void ForceGroups(Draft* draft) {
  const auto gone = [draft](MemberIndex m) { return !draft->Alive(m); };
  for (PartitionId p = 0; p < draft->next.partition_count(); ++p) {
    Group& group = draft->next.partitions[p];
    RemoveIf(&group.goal, gone);
    RemoveIf(&group.in_sync, gone);
    // The term of every partition: nothing that is decided elsewhere under an old one may count.
    group.term = Term(draft->next.epoch.value);
    if (!group.in_sync.empty() && group.survivors.empty()) {
      if (!group.InSync(group.primary)) group.primary = FirstInSync(group, group.goal);
      continue;
    }
    RULE("L10");
    group.survivors = Survivors(*draft, p);
    group.primary = group.survivors.front();
    group.in_sync = {group.primary};
    std::sort(group.survivors.begin(), group.survivors.end());
  }
}

}  // namespace coffer::cluster
