#include "cluster/planner.h"

#include <algorithm>
#include <utility>

#include "cluster/planner_draft.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

// The sentence fragments, joined, within the bound of a layout's texts.
std::string JoinCauses(const std::vector<std::string>& causes) {
  std::string all;
  for (const std::string& cause : causes) {
    const std::size_t separator = all.empty() ? 0 : 2;
    if (all.size() + separator + cause.size() > kMaxTextBytes) break;
    all += (all.empty() ? "" : ", ") + cause;
  }
  return all.empty() ? "layout changed" : all;
}

// Who is missing where it should be, when the goals did not change: a restart, or an outage that is not yet a loss.
std::string CauseOfGaps(const Draft& draft) {
  std::vector<bool> missing(draft.member_count(), false);
  for (const Group& group : draft.next.partitions) {
    for (MemberIndex m : group.goal) missing[m] = missing[m] || !group.InSync(m);
  }
  std::vector<std::string> causes;
  for (MemberIndex m = 0; m < missing.size(); ++m) {
    if (missing[m]) causes.push_back(draft.next.members[m].name + (draft.Alive(m) ? " catches up" : " unreachable"));
  }
  return JoinCauses(causes);
}

// The plan's total is frozen when it is made, so that progress never runs backwards; more work than that is a new plan.
void UpdatePlan(Draft* draft) {
  Layout& next = draft->next;
  const auto slow = [&](MemberIndex m) { return draft->Slow(m); };
  const auto moving = static_cast<std::uint32_t>(std::count_if(
      next.partitions.begin(), next.partitions.end(), [&](const Group& g) { return !g.goal.empty() && !g.IsInPlace(slow); }));
  if (moving == 0) {
    next.plan.reset();
  } else if (draft->goals_changed) {
    next.plan = MovePlan{next.epoch, JoinCauses(draft->causes), moving};
  } else if (!next.plan || next.plan->partitions_total < moving) {
    next.plan = MovePlan{next.epoch, CauseOfGaps(*draft), moving};
  } else {
    RULE("S11");  // what is still to be moved is measured against the total that was frozen
  }
}

// Step 6. Never lowered here: acknowledging with fewer copies is an operator's decision.
void RaiseMinCopies(Draft* draft) {
  Settings& settings = draft->next.settings;
  if (settings.min_copies_chosen || settings.min_copies >= 2 || draft->CountTakers() < 2) return;
  const auto& groups = draft->next.partitions;
  if (std::all_of(groups.begin(), groups.end(), [](const Group& g) { return g.in_sync.size() >= 2; }))
    settings.min_copies = 2;
}

// Whether a successor is worth an epoch: newer addresses and the plan's wording alone are not.
bool WorthProposing(const Layout& current, const Layout& next) {
  return next.members != current.members || next.voters != current.voters || next.settings != current.settings ||
         next.partitions != current.partitions || next.forced_epoch != current.forced_epoch ||
         next.join_tokens != current.join_tokens;
}

}  // namespace

Draft::Draft(const Layout& current, const std::map<NodeId, PlannerMember>& members, const PlannerConfig& config)
    : current(current), members(members), config(config), next(current), forget(current.members.size(), false) {
  next.epoch = current.epoch.Next();
  for (const Member& member : next.members) {
    const auto found = members.find(member.id);
    seen.push_back(found == members.end() ? nullptr : &found->second);
  }
}

std::size_t Draft::CountTakers() const {
  return std::count_if(next.members.begin(), next.members.end(), [](const Member& m) { return m.TakesData(); });
}

std::size_t Draft::CountLivingTakers() const {
  std::size_t count = 0;
  for (MemberIndex m = 0; m < member_count(); ++m) count += next.members[m].TakesData() && Alive(m);
  return count;
}

void Draft::Add(Member member, const PlannerMember* facts) {
  next.members.push_back(std::move(member));
  seen.push_back(facts);
  forget.push_back(false);
}

void Draft::MarkDown(MemberIndex m) {
  Member& member = next.members[m];
  member.down = true;
  member.former.clear();
  for (PartitionId p = 0; p < next.partition_count(); ++p) {
    if (!next.group(p).InGoal(m)) continue;
    if (member.former.empty()) member.former.assign((next.partition_count() + 7) / 8, '\0');
    member.former[p / 8] = static_cast<char>(static_cast<unsigned char>(member.former[p / 8]) | 1u << (p % 8));
  }
}

void Draft::ChangeGoals(const std::string& cause) {
  causes.push_back(cause);
  replan = true;
}

std::optional<Layout> PlanNext(const Layout& current, const std::map<NodeId, PlannerMember>& members,
                               const PlannerRequests& requests, const OperatorChange& change,
                               const PlannerConfig& config) {
  Draft draft(current, members, config);
  JoinNewMembers(&draft);
  TakeOverFailureDomains(&draft);
  MarkDownAndReturned(&draft);
  FindSuperseded(&draft);
  ApplyOperatorChange(&draft, change);
  UpdateGoals(&draft);
  LookAtDisks(&draft);
  if (draft.forced) {
    ForceGroups(&draft);
  } else {
    UpdateGroups(&draft, requests);
  }
  RemoveForgotten(&draft);
  RaiseMinCopies(&draft);
  UpdateVoters(&draft);
  if (!WorthProposing(current, draft.next)) return std::nullopt;
  UpdatePlan(&draft);
  TakeOverFacts(&draft);
  return std::move(draft.next);
}

bool CannotWait(const Layout& current, const Layout& next, const std::map<NodeId, PlannerMember>& members,
                const PlannerRequests& requests) {
  const auto is_current = [&](const auto& renewal) {
    return renewal.first < current.partition_count() && current.group(renewal.first).term == renewal.second;
  };
  if (std::any_of(requests.renewals.begin(), requests.renewals.end(), is_current)) return true;
  const auto of_this_term = [&](const auto& entry) { return is_current(std::pair(entry.first, entry.second.term)); };
  if (std::any_of(requests.merged.begin(), requests.merged.end(), of_this_term)) return true;
  if (std::any_of(requests.removals.begin(), requests.removals.end(), of_this_term)) return true;
  for (MemberIndex m = 0; m < current.members.size(); ++m) {
    const auto found = members.find(current.members[m].id);
    if (found == members.end() || found->second.alive || found->second.suspect) continue;
    const MemberIndex after = next.IndexOf(current.members[m].id);
    for (PartitionId p = 0; p < current.partition_count(); ++p) {
      if (current.group(p).InSync(m) && (after == kNoMember || !next.group(p).InSync(after))) return true;
    }
  }
  return false;
}

bool IsDrained(const Layout& layout, MemberIndex member) {
  return std::none_of(layout.partitions.begin(), layout.partitions.end(),
                      [member](const Group& g) { return g.InSync(member) || g.InGoal(member); });
}

Layout FirstLayout(const ClusterId& cluster, const std::string& cluster_name, const PlannerMember& self,
                   const Settings& settings) {
  Layout layout;
  layout.cluster = cluster;
  layout.cluster_name = cluster_name;
  layout.epoch = Epoch(1);
  layout.voters = {0};
  Member member;
  member.id = self.id;
  member.name = self.name;
  member.address = self.address;
  member.weight = self.weight;
  member.failure_domain = self.failure_domain;
  member.certificate_name = self.certificate_name;
  layout.members.push_back(std::move(member));
  layout.settings = settings;
  if (!settings.min_copies_chosen) layout.settings.min_copies = 1;
  layout.partitions.assign(settings.partitions, Group{0, {0}, Term(1), {0}});
  return layout;
}

}  // namespace coffer::cluster
