#include "cluster/layout.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>

#include "cluster/join_tokens.h"

namespace coffer::cluster {
namespace {

using Complaint = std::optional<std::string>;

bool Names(const MemberList& list, MemberIndex m) {
  return std::find(list.begin(), list.end(), m) != list.end();
}

bool StrictlyAscending(const MemberList& list) {
  return std::adjacent_find(list.begin(), list.end(), std::greater_equal<>()) == list.end();
}

Complaint WhyMemberMalformed(const Member& m, std::size_t index, std::uint32_t partitions) {
  const std::string who = "member " + std::to_string(index);
  if (m.id.IsZero()) return who + " has no id";
  if (m.name.empty()) return who + " has no name";
  for (std::string_view text : {m.name, m.address, m.failure_domain, m.certificate_name}) {
    if (text.size() > kMaxTextBytes)
      return who + " has a text of more than " + std::to_string(kMaxTextBytes) + " bytes";
  }
  if (m.weight > kMaxWeight) return who + " has a weight above " + std::to_string(kMaxWeight);
  if (m.former.size() > (partitions + 7) / 8) return who + " notes more former partitions than there are";
  for (PartitionId p = partitions; p < m.former.size() * 8; ++p) {
    if (m.Held(p)) return who + " notes a former partition that does not exist";
  }
  return std::nullopt;
}

Complaint WhyMembersMalformed(const Layout& layout) {
  if (layout.members.empty()) return "the layout has no members";
  if (layout.members.size() > kMaxMembers)
    return "the layout has more than " + std::to_string(kMaxMembers) + " members";
  std::unordered_set<NodeId, BytesHash> ids;
  std::unordered_set<std::string_view> names;
  for (std::size_t i = 0; i < layout.members.size(); ++i) {
    const Member& m = layout.members[i];
    if (auto why = WhyMemberMalformed(m, i, layout.partition_count())) return why;
    if (!ids.insert(m.id).second) return "the member id " + Short(m.id) + " appears twice";
    if (!names.insert(m.name).second) return "the member name " + m.name + " appears twice";
  }
  return std::nullopt;
}

Complaint WhyVotersMalformed(const Layout& layout) {
  if (layout.voters.empty()) return "the layout has no voters";
  if (layout.voters.size() > kMaxVoters) return "the layout has more than " + std::to_string(kMaxVoters) + " voters";
  if (!StrictlyAscending(layout.voters)) return "the voters are not in ascending order";
  if (layout.voters.back() >= layout.members.size()) return "a voter is not a member";
  return std::nullopt;
}

Complaint WhySettingsMalformed(const Layout& layout) {
  const Settings& s = layout.settings;
  if (layout.partitions.empty()) return "the layout has no partitions";
  if (layout.partitions.size() > kMaxPartitions) return "the layout has too many partitions";
  if (s.partitions != layout.partitions.size()) return "the number of partitions differs from the setting";
  if (s.min_copies < 1 || s.min_copies > 2) return "min_copies is neither 1 nor 2";
  if (s.voters_wanted < 1 || s.voters_wanted > kMaxVoters)
    return "the wished-for number of voters is not within 1 to 7";
  if (s.chunk_limit_bytes == 0) return "the chunk limit is 0";
  return std::nullopt;
}

Complaint WhyPlanMalformed(const Layout& layout) {
  if (!layout.plan) return std::nullopt;
  if (layout.plan->id > layout.epoch) return "the plan is newer than the layout";
  if (layout.plan->cause.size() > kMaxTextBytes) return "the cause of the plan is too long";
  if (layout.plan->partitions_total > layout.partition_count()) return "the plan counts more partitions than there are";
  return std::nullopt;
}

// Whether all are members that may hold data.
bool AllHoldData(const Layout& layout, const MemberList& list) {
  return std::all_of(list.begin(), list.end(),
                     [&](MemberIndex m) { return m < layout.members.size() && !layout.members[m].witness; });
}

bool HasRepeats(MemberList list) {
  std::sort(list.begin(), list.end());
  return !StrictlyAscending(list);
}

Complaint WhyGroupMalformed(const Layout& layout, PartitionId p) {
  const Group& g = layout.partitions[p];
  const auto say = [p](std::string_view what) { return "partition " + std::to_string(p) + ": " + std::string(what); };
  if (g.in_sync.empty()) return say("in_sync is empty");
  if (g.in_sync.size() > kMaxGroupMembers) return say("in_sync has more than 3 members");
  if (!StrictlyAscending(g.in_sync)) return say("in_sync is not in ascending order");
  if (!AllHoldData(layout, g.in_sync)) return say("in_sync names a witness or nobody");
  if (!g.InSync(g.primary)) return say("the primary is not in_sync");
  if (g.term.value == 0 || g.term.value > layout.epoch.value) return say("the term is no epoch up to this one");
  if (g.goal.size() > kMaxGroupMembers) return say("the goal has more than 3 members");
  if (!AllHoldData(layout, g.goal)) return say("the goal names a witness or nobody");
  if (HasRepeats(g.goal)) return say("the goal names a member twice");
  if (g.survivors.empty()) return std::nullopt;
  if (g.survivors.size() > kMaxSurvivors) return say("more than " + std::to_string(kMaxSurvivors) + " survivors are to be merged");
  if (!StrictlyAscending(g.survivors)) return say("the survivors are not in ascending order");
  if (!AllHoldData(layout, g.survivors)) return say("the survivors name a witness or nobody");
  if (!Names(g.survivors, g.primary)) return say("the primary is not among the survivors it merges");
  if (g.in_sync.size() != 1) return say("survivors are to be merged, yet more than the primary is in_sync");
  return std::nullopt;
}

Complaint WhyRetiredMalformed(const Layout& layout) {
  if (layout.retired.size() > kMaxRetired) return "more than " + std::to_string(kMaxRetired) + " members were given up by force";
  std::unordered_set<NodeId, BytesHash> ids;
  for (const Member& member : layout.members) ids.insert(member.id);
  for (const Retired& retired : layout.retired) {
    if (retired.id.IsZero() || retired.name.size() > kMaxTextBytes) return "a member given up by force has no id, or too long a name";
    if (retired.epoch > layout.forced_epoch) return "a member was given up by force later than force was used";
    if (!ids.insert(retired.id).second) return "the id " + Short(retired.id) + " was given up by force and appears again";
  }
  return std::nullopt;
}

}  // namespace

bool Group::InSync(MemberIndex m) const {
  return Names(in_sync, m);
}

bool Group::InGoal(MemberIndex m) const {
  return Names(goal, m);
}

bool Group::HoldsGoal() const {
  return !goal.empty() && in_sync.size() == goal.size() &&
         std::all_of(goal.begin(), goal.end(), [this](MemberIndex m) { return InSync(m); });
}

bool Group::AtGoal() const { return HoldsGoal() && primary == goal.front(); }

MemberIndex Layout::IndexOf(const NodeId& id) const {
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].id == id) return static_cast<MemberIndex>(i);
  }
  return kNoMember;
}

MemberIndex Layout::IndexOfName(std::string_view name) const {
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].name == name) return static_cast<MemberIndex>(i);
  }
  return kNoMember;
}

bool Layout::IsVoter(const NodeId& id) const {
  const MemberIndex m = IndexOf(id);
  return m != kNoMember && Names(voters, m);
}

std::optional<Epoch> Layout::RetiredAt(const NodeId& id) const {
  for (const Retired& gone : retired) {
    if (gone.id == id) return gone.epoch;
  }
  return std::nullopt;
}

std::string WhyRetired(Epoch epoch) {
  return "`layout force` gave this node up with epoch " + std::to_string(epoch.value) +
         ", on an operator's word that it would never return; the others go on without it. Its id never acts again. What it held is "
         "set aside; it comes back under a new id and is filled from the others.";
}

std::optional<std::string> WhyMalformed(const Layout& layout) {
  if (layout.cluster.IsZero()) return "the layout names no cluster";
  if (layout.cluster_name.size() > kMaxTextBytes) return "the cluster's name is too long";
  if (layout.epoch.value == 0) return "the epoch is 0";
  if (layout.forced_epoch > layout.epoch) return "it claims to have been forced later than it was made";
  for (auto check : {WhySettingsMalformed, WhyMembersMalformed, WhyVotersMalformed, WhyPlanMalformed, WhyRetiredMalformed}) {
    if (auto why = check(layout)) return why;
  }
  if (auto why = WhyTokensMalformed(layout.join_tokens)) return why;
  for (PartitionId p = 0; p < layout.partition_count(); ++p) {
    if (auto why = WhyGroupMalformed(layout, p)) return why;
  }
  return std::nullopt;
}

}  // namespace coffer::cluster
