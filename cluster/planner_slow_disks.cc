// Members with slow disks lead nothing that another can lead (L11). They keep their copies and their places in the goals.
#include <algorithm>

#include "cluster/planner_draft.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {

void LookAtDisks(Draft* draft) {
  std::size_t living = 0;
  std::size_t slow = 0;
  for (MemberIndex m = 0; m < draft->member_count(); ++m) {
    if (!draft->Alive(m)) continue;
    const bool votes = draft->current.IsVoter(draft->next.members[m].id);
    // L11.5: it may be the next to plan, and would undo what it does not know the reason of.
    if (votes && draft->seen[m]->disk == DiskPace::kUnknown) return;
    if (draft->next.members[m].witness) continue;
    ++living;
    slow += draft->Slow(m);
  }
  if (slow == 0) return;
  draft->slow_disks = 2 * slow > living ? Draft::SlowDisks::kMost : Draft::SlowDisks::kSome;
}

MemberIndex LeaderOfGoal(const Draft& draft, const Group& group) {
  const MemberIndex first = group.goal.front();
  if (draft.slow_disks == Draft::SlowDisks::kNone) return first;
  for (const MemberIndex m : group.goal) {
    if (draft.slow_disks == Draft::SlowDisks::kSome && !draft.Slow(m)) return m;
  }
  if (!group.InGoal(group.primary)) return first;
  RULE("L11.3");
  return group.primary;
}

MemberIndex BetterLeader(const Draft& draft, const Group& before, const Group& group) {
  if (draft.slow_disks != Draft::SlowDisks::kSome || !draft.Slow(group.primary)) return group.primary;
  for (const auto* candidates : {&group.goal, &group.in_sync}) {
    for (const MemberIndex m : *candidates) {
      const bool may_lead = before.InSync(m) && group.InSync(m) && draft.Alive(m) && !draft.Slow(m);
      if (may_lead && draft.next.members[m].TakesData()) {
        RULE("L11.2");
        return m;
      }
    }
  }
  return group.primary;
}

}  // namespace coffer::cluster
