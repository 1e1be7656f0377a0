#include "router/core/plan.h"

#include <algorithm>
#include <utility>

#include "cluster/placement.h"
#include "router/core/status_parts.h"

namespace coffer::router {
namespace {

using cluster::Goal;
using cluster::Layout;
using cluster::MemberIndex;
using Kind = cluster::OperatorChange::Kind;

std::vector<Goal> GoalsOf(const Layout& layout) {
  std::vector<Goal> goals;
  goals.reserve(layout.partitions.size());
  for (const cluster::Group& group : layout.partitions) goals.push_back(group.goal);
  return goals;
}

// Goals of `layout` in the member indices of `other`: members may have left in between.
std::vector<Goal> InIndicesOf(const Layout& layout, const Layout& other) {
  std::vector<Goal> goals = GoalsOf(layout);
  for (Goal& goal : goals) {
    for (MemberIndex& member : goal) member = other.IndexOf(layout.members[member].id);
    cluster::Remove(&goal, cluster::kNoMember);
  }
  return goals;
}

void CountNodes(const Layout& before, const Layout& after, v1::PlanResponse* response) {
  std::map<std::string, v1::PlannedNode> nodes;
  auto count = [&nodes](const Layout& layout, auto primaries, auto replicas) {
    for (const auto& member : layout.members) {
      if (!member.witness) nodes[member.name].set_name(member.name);
    }
    for (const auto& group : layout.partitions) {
      for (std::size_t i = 0; i < group.goal.size(); ++i) {
        v1::PlannedNode& node = nodes[layout.members[group.goal[i]].name];
        i == 0 ? primaries(node) : replicas(node);
      }
    }
  };
  count(
      before, [](auto& n) { n.set_primaries_before(n.primaries_before() + 1); },
      [](auto& n) { n.set_replicas_before(n.replicas_before() + 1); });
  count(
      after, [](auto& n) { n.set_primaries_after(n.primaries_after() + 1); },
      [](auto& n) { n.set_replicas_after(n.replicas_after() + 1); });
  for (auto& [name, node] : nodes) *response->add_nodes() = std::move(node);
}

// Bytes of the copies that have to be made, by what is known of each partition.
std::uint64_t BytesToMove(const StatusInputs& inputs, const std::vector<Goal>& from, const std::vector<Goal>& to) {
  std::uint64_t bytes = 0;
  for (std::size_t p = 0; p < to.size() && p < inputs.partitions.size(); ++p) {
    for (const MemberIndex member : to[p]) {
      if (std::find(from[p].begin(), from[p].end(), member) == from[p].end()) bytes += inputs.partitions[p].bytes;
    }
  }
  return bytes;
}

std::string Describe(const cluster::OperatorChange& change) {
  switch (change.kind) {
    case Kind::kDrain: return change.node + " is drained: its partitions move to the others.";
    case Kind::kUndrain: return change.node + " is kept and takes its share again.";
    case Kind::kForget: return change.node + " leaves the layout for good; what its disk holds is not looked at again.";
    case Kind::kReweight: return change.node + " gets weight " + std::to_string(change.number) + " (100 is the usual share).";
    case Kind::kFresh: return "Placement becomes plain modulo over the present nodes.";
    case Kind::kMinCopies:
      return "A write is acknowledged with at least " + std::to_string(change.number) +
             (change.number == 1 ? " copy: a lost disk can then lose acknowledged writes." : " copies.");
    case Kind::kForce:
      return "Every partition is served again from what is left; acknowledged writes that are only on the missing nodes are lost. "
             "The ids of the missing nodes never act again: one that is started after all sets its data aside and joins as a new node.";
    case Kind::kStartScrub: return "Every node begins to read back all it stores.";
    case Kind::kPauseScrub: return "No node reads further until the scrub is resumed.";
    case Kind::kResumeScrub: return "Every node goes on reading where it was.";
    default: return {};
  }
}

// What the cluster can bear afterwards, where it is less than before.
void DescribeLeaving(const Layout& before, const Layout& after, v1::PlanResponse* response) {
  const auto takers = [](const Layout& layout) {
    return std::count_if(layout.members.begin(), layout.members.end(), [](const auto& m) { return m.TakesData(); });
  };
  const auto voters = [](const Layout& layout) {
    return std::count_if(layout.voters.begin(), layout.voters.end(), [&](MemberIndex v) { return !layout.members[v].draining; });
  };
  if (takers(after) == 1 && takers(before) > 1) {
    response->add_effects("One storage node is left: every block has one copy then, and the loss of that disk loses data.");
  }
  if (voters(after) < 3 && voters(after) < voters(before)) {
    response->add_effects("Voters left: " + std::to_string(voters(after)) +
                          ". All of them have to answer for any change of the layout, so none may stop without stopping fail-over.");
  }
}

// What becomes of the partitions, before anybody has looked at what the survivors hold.
void DescribeForce(const StatusInputs& inputs, const Layout& after, v1::PlanResponse* response) {
  std::uint64_t whole = 0, merged = 0;
  std::vector<bool> asked(after.members.size());
  for (const cluster::Group& group : after.partitions) {
    (group.survivors.empty() ? whole : merged) += 1;
    for (const MemberIndex m : group.survivors) asked[m] = true;
  }
  response->add_effects(Grouped(whole) + " partitions have an up-to-date copy on a node that answers: what was acknowledged under this layout is there.");
  const auto& voters = inputs.layout->voters;
  const auto answer = std::count_if(voters.begin(), voters.end(), [&](auto v) { return IsUp(inputs, inputs.layout->members[v].id); });
  if (static_cast<std::size_t>(answer) < inputs.layout->Quorum()) {
    response->add_effects("No majority of the voters answers: if they decided layouts since that nobody left knows of, what was acknowledged "
                          "under those is lost.");
  }
  if (merged == 0) return;
  std::vector<std::string> names;
  for (std::size_t m = 0; m < asked.size(); ++m) {
    if (asked[m]) names.push_back(after.members[m].name);
  }
  response->add_effects(Grouped(merged) + " partitions have none: what " + Listed(names) +
                        " still hold of them is merged before they are served, and may lack acknowledged writes. `coffer layout losses` says then what was not found.");
}

}  // namespace

cluster::OperatorChange ToOperatorChange(const v1::LayoutChange& change) {
  switch (change.kind_case()) {
    case v1::LayoutChange::kDrain: return {Kind::kDrain, change.drain(), 0};
    case v1::LayoutChange::kForget: return {Kind::kForget, change.forget(), 0};
    case v1::LayoutChange::kReweight: return {Kind::kReweight, change.reweight().node(), change.reweight().weight()};
    case v1::LayoutChange::kFresh: return {Kind::kFresh, {}, 0};
    case v1::LayoutChange::kUndrain: return {Kind::kUndrain, change.undrain(), 0};
    case v1::LayoutChange::kMinCopies: return {Kind::kMinCopies, {}, change.min_copies()};
    case v1::LayoutChange::kForce: return {Kind::kForce, change.force(), 0};
    case v1::LayoutChange::kScrub:
      if (change.scrub() == v1::SCRUB_CONTROL_START) return {Kind::kStartScrub, {}, 0};
      return {change.scrub() == v1::SCRUB_CONTROL_PAUSE ? Kind::kPauseScrub : Kind::kResumeScrub, {}, 0};
    case v1::LayoutChange::KIND_NOT_SET: break;
  }
  return {};
}

cluster::OperatorChange ToOperatorChange(const v1::ControlResyncRequest& request) {
  if (request.has_pause()) return {Kind::kPauseResync, {}, 0};
  if (request.has_resume()) return {Kind::kResumeResync, {}, 0};
  return {Kind::kLimitResync, {}, request.limit_bytes_per_second()};
}

std::map<NodeId, cluster::PlannerMember> PlannerMembers(const StatusInputs& inputs) {
  std::map<NodeId, cluster::PlannerMember> members;
  for (const cluster::Member& member : inputs.layout->members) {  // never heard of: dead, as far as anybody knows
    cluster::PlannerMember& planned = members[member.id];
    planned = {member.id, member.name, member.address, member.weight, member.failure_domain, member.certificate_name};
    planned.witness = member.witness;
  }
  for (const auto& [id, view] : *inputs.members) {
    const auto& facts = view.facts;
    if (facts.role() == v1::MEMBER_ROLE_ROUTER || view.state == cluster::Liveness::kLeft) continue;
    cluster::PlannerMember& planned = members[id];
    const bool placed = !planned.id.IsZero();
    if (!placed) {
      planned = {id, facts.name(), facts.address(), facts.weight() ? facts.weight() : 100, facts.failure_domain(),
                 facts.certificate_name()};
      planned.witness = facts.role() == v1::MEMBER_ROLE_WITNESS;
    }
    planned.alive = view.state == cluster::Liveness::kAlive;
    planned.suspect = view.state == cluster::Liveness::kSuspect;
    if (view.state == cluster::Liveness::kDead) planned.dead_for = inputs.now - view.since;
    planned.blocks = facts.blocks();
  }
  return members;
}

v1::PlanResponse BuildPlan(const StatusInputs& inputs, const v1::LayoutChange& wanted) {
  const Layout& layout = *inputs.layout;
  const cluster::OperatorChange change = ToOperatorChange(wanted);
  const auto members = PlannerMembers(inputs);
  v1::PlanResponse response;
  response.set_epoch(layout.epoch.value);
  std::optional<Layout> next;
  if (auto refusal = cluster::WhyRefused(layout, members, change)) {
    response.set_refusal(*refusal);
  } else {
    next = cluster::PlanNext(layout, members, {}, change, {});
  }
  const Layout& after = next ? *next : layout;
  const std::vector<Goal> from = InIndicesOf(layout, after);
  const std::vector<Goal> to = GoalsOf(after);
  const cluster::Movement movement = cluster::CountMovement(from, to);
  response.set_copies_to_move(movement.copies);
  response.set_primaries_to_move(movement.primaries);
  response.set_copies_to_move_least(std::min(movement.copies, cluster::LeastCopies(from, after.members)));
  response.set_bytes_to_move(BytesToMove(inputs, from, to));
  CountNodes(layout, after, &response);
  if (!response.refusal().empty()) return response;
  if (const std::string effect = Describe(change); !effect.empty()) response.add_effects(effect);
  if (change.kind == Kind::kDrain || change.kind == Kind::kForget) DescribeLeaving(layout, after, &response);
  if (change.kind == Kind::kForce && next) DescribeForce(inputs, *next, &response);
  response.add_effects(movement.copies == 0 && movement.primaries == 0
                           ? "Nothing has to move."
                           : Grouped(movement.copies) + " copies of partitions have to be made, and " +
                                 Grouped(movement.primaries) + " primaries change.");
  return response;
}

bool Holds(const Layout& before, const Layout& now, const cluster::OperatorChange& change) {
  const MemberIndex index = now.IndexOfName(change.node);
  const bool known = index != cluster::kNoMember;
  switch (change.kind) {
    case Kind::kNone: return true;
    case Kind::kDrain: return known && now.members[index].draining;
    case Kind::kUndrain: return known && !now.members[index].draining;
    case Kind::kForget: return !known && before.IndexOfName(change.node) != cluster::kNoMember;
    case Kind::kReweight: return known && now.members[index].weight == change.number;
    case Kind::kFresh: return GoalsOf(now) == cluster::FreshGoals(now.members, now.partition_count());
    case Kind::kMinCopies: return now.settings.min_copies_chosen && now.settings.min_copies == change.number;
    case Kind::kPauseResync: return now.settings.resync_paused;
    case Kind::kResumeResync: return !now.settings.resync_paused;
    case Kind::kLimitResync: return now.settings.resync_limit_bytes_per_second == change.number;
    case Kind::kForce: return now.forced_epoch > before.forced_epoch;
    case Kind::kStartScrub: return now.settings.scrub_asked > before.settings.scrub_asked;
    case Kind::kPauseScrub: return now.settings.scrub_paused;
    case Kind::kResumeScrub: return !now.settings.scrub_paused;
    case Kind::kJoinToken: return false;  // never asked for through a router
  }
  return false;
}

v1::WhereResponse BuildWhere(const Layout& layout, const ZoneId& zone, const BlockId& block) {
  v1::WhereResponse response;
  const std::uint64_t hash = cluster::BlockHash(zone, block);
  const PartitionId partition = cluster::PartitionOf(zone, block, layout.partition_count());
  const cluster::Group& group = layout.group(partition);
  response.set_hash(hash);
  response.set_partition(partition);
  response.set_partitions(layout.partition_count());
  response.set_primary(layout.members[group.primary].name);
  for (const MemberIndex m : group.in_sync) response.add_in_sync(layout.members[m].name);
  for (const MemberIndex m : group.goal) response.add_goal(layout.members[m].name);
  response.set_term(group.term.value);
  response.set_epoch(layout.epoch.value);
  std::vector<std::string> holders(response.in_sync().begin(), response.in_sync().end());
  response.set_arithmetic("SHA-256(zone id || block id) begins " + std::to_string(hash) + "; " + std::to_string(hash) +
                          " mod " + std::to_string(layout.partition_count()) + " = partition " + std::to_string(partition) +
                          "; epoch " + std::to_string(layout.epoch.value) + " puts it on " + Listed(holders) + ", primary " +
                          response.primary());
  return response;
}

}  // namespace coffer::router
