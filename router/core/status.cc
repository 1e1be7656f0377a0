#include "router/core/status.h"

#include <algorithm>
#include <set>

#include "cluster/planner.h"
#include "router/core/status_parts.h"

namespace coffer::router {
namespace {

using cluster::Liveness;
using cluster::MemberIndex;

std::uint64_t Seconds(Duration d) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(d).count()));
}

const cluster::MemberView* ViewOf(const StatusInputs& inputs, const NodeId& id) {
  auto it = inputs.members->find(id);
  return it == inputs.members->end() ? nullptr : &it->second;
}

v1::MemberState StateOf(const StatusInputs& inputs, const NodeId& id, MemberIndex index, bool stores) {
  const cluster::MemberView* view = ViewOf(inputs, id);
  // Nobody needs it any more, so it is no loss when it is off.
  if (index != cluster::kNoMember && inputs.layout->members[index].draining && cluster::IsDrained(*inputs.layout, index)) {
    return v1::MEMBER_STATE_DRAINED;
  }
  if (!view || view->state == Liveness::kDead || view->state == Liveness::kLeft) return v1::MEMBER_STATE_DOWN;
  if (view->state == Liveness::kSuspect) return v1::MEMBER_STATE_SUSPECT;
  if (index == cluster::kNoMember) return stores ? v1::MEMBER_STATE_JOINING : v1::MEMBER_STATE_UP;
  return inputs.layout->members[index].draining ? v1::MEMBER_STATE_DRAINING : v1::MEMBER_STATE_UP;
}

void CountPlaces(const cluster::Layout& layout, MemberIndex index, v1::MemberStatus* status) {
  std::uint32_t primaries = 0, replicas = 0, learners = 0;
  for (const cluster::Group& group : layout.partitions) {
    if (group.primary == index) {
      ++primaries;
    } else if (group.InSync(index)) {
      ++replicas;
    } else if (group.InGoal(index)) {
      ++learners;
    }
  }
  status->set_primaries(primaries);
  status->set_replicas(replicas);
  status->set_learners(learners);
}

// What gossip tells of a member, below what it reports itself.
void FromGossip(const wire::MemberFacts& facts, std::uint64_t wall_ms, v1::MemberStatus* status) {
  status->set_name(facts.name());
  status->set_address(facts.address());
  status->set_role(static_cast<v1::MemberRole>(facts.role()));
  status->set_version(facts.version());
  status->set_epoch(facts.epoch());
  status->set_blocks(facts.blocks());
  status->set_data_bytes(facts.data_bytes());
  status->set_disk_used(facts.disk_used_permille() / 1000.0);
  status->set_read_only(facts.read_only());
  status->set_read_only_reason(facts.read_only_reason());
  status->set_disk_slow(facts.disk_pace() == wire::DISK_PACE_SLOW);
  status->set_failure_domain(facts.failure_domain());
  status->set_gets_per_second(facts.gets_per_second());
  status->set_puts_per_second(facts.puts_per_second());
  status->set_p99_seconds(static_cast<double>(facts.p99_us()) / 1e6);
  if (facts.started_ms() > 0 && facts.started_ms() < wall_ms) status->set_up_seconds((wall_ms - facts.started_ms()) / 1000);
}

v1::MemberStatus BuildMember(const StatusInputs& inputs, const NodeId& id) {
  v1::MemberStatus status;
  const cluster::MemberView* view = ViewOf(inputs, id);
  const wire::NodeReport* report = FreshReport(inputs, id);
  const MemberIndex index = inputs.layout->IndexOf(id);
  if (view) FromGossip(view->facts, inputs.wall_ms, &status);
  const bool up = IsUp(inputs, id);
  if (report && up) status.MergeFrom(report->self());
  status.set_id(id.str());
  if (view) {
    status.set_role(static_cast<v1::MemberRole>(view->facts.role()));
    status.set_state_seconds(Seconds(inputs.now - view->since));
    // Of two sightings the later one is the higher: an epoch never falls.
    status.set_epoch(std::max<std::uint64_t>(view->facts.epoch(), report ? report->epoch() : 0));
  }
  if (index != cluster::kNoMember) {
    const cluster::Member& member = inputs.layout->members[index];
    status.set_name(member.name);
    if (status.address().empty()) status.set_address(member.address);
    status.set_role(member.witness ? v1::MEMBER_ROLE_WITNESS : v1::MEMBER_ROLE_STORAGE);
    status.set_weight(member.weight);
    status.set_failure_domain(member.failure_domain);
    CountPlaces(*inputs.layout, index, &status);
  }
  status.set_state(StateOf(inputs, id, index, status.role() != v1::MEMBER_ROLE_ROUTER));
  return status;
}

bool Shown(const StatusInputs& inputs, const cluster::MemberView& view) {
  if (view.state == Liveness::kAlive || view.state == Liveness::kSuspect) return true;
  if (view.facts.role() != v1::MEMBER_ROLE_ROUTER || view.state == Liveness::kLeft) return false;
  return inputs.now - view.since < kDeadRouterShown;
}

void AddMembers(const StatusInputs& inputs, v1::Status* status) {
  std::set<NodeId> ids;
  for (const cluster::Member& member : inputs.layout->members) ids.insert(member.id);
  for (const auto& [id, view] : *inputs.members) {
    if (Shown(inputs, view)) ids.insert(id);
  }
  std::vector<v1::MemberStatus> lines;
  for (const NodeId& id : ids) lines.push_back(BuildMember(inputs, id));
  std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.role(), a.name(), a.id()) < std::tuple(b.role(), b.name(), b.id());
  });
  for (auto& line : lines) *status->add_members() = std::move(line);
}

std::size_t LivingVoters(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  return static_cast<std::size_t>(std::count_if(layout.voters.begin(), layout.voters.end(), [&](MemberIndex v) {
    return IsUp(inputs, layout.members[v].id);
  }));
}

void AddInvariant(v1::Status* status, bool holds, std::string sentence) {
  auto* invariant = status->add_invariants();
  invariant->set_holds(holds);
  invariant->set_sentence(std::move(sentence));
}

void AddInvariants(const StatusInputs& inputs, const std::vector<PartitionState>& states, v1::Status* status) {
  const std::string all = std::to_string(status->partitions());
  const auto without = static_cast<std::uint64_t>(
      std::count_if(states.begin(), states.end(), [](const auto& s) { return !s.primary_alive; }));
  AddInvariant(status, without == 0,
               without == 0 ? "all " + all + " partitions have a primary"
                            : Grouped(without) + " of " + all + " partitions have no primary that answers");

  std::vector<std::string> behind;
  for (const auto& member : status->members()) {
    const bool answers = member.state() != v1::MEMBER_STATE_DOWN && member.state() != v1::MEMBER_STATE_SUSPECT;
    if (answers && member.epoch() < status->epoch()) behind.push_back(member.name());
  }
  const std::string epoch = std::to_string(status->epoch());
  AddInvariant(status, behind.empty(),
               behind.empty() ? "all members on epoch " + epoch : Listed(behind) + " not yet on epoch " + epoch);

  AddInvariant(status, status->copies().none() == 0, Grouped(status->copies().none()) + " blocks below 1 copy");

  const std::size_t alive = LivingVoters(inputs);
  const std::size_t voters = inputs.layout->voters.size();
  AddInvariant(status, alive >= inputs.layout->Quorum(),
               std::to_string(alive) + " of " + std::to_string(voters) + " voters answer, " +
                   std::to_string(inputs.layout->Quorum()) + " are needed to change the layout");

  AddInvariant(status, status->partitions_writable() == status->partitions(),
               status->partitions_writable() == status->partitions()
                   ? "all " + all + " partitions accept writes"
                   : Grouped(status->partitions() - status->partitions_writable()) + " of " + all +
                         " partitions do not accept writes");
}

// Blocks that no copy has sound are on no copy.
void CountLost(v1::Status* status) {
  v1::CopyCounts& copies = *status->mutable_copies();
  for (const auto& member : status->members()) {
    const std::uint64_t lost = std::min<std::uint64_t>(member.lost_blocks(), copies.two_or_more() + copies.one());
    const std::uint64_t of_two = std::min<std::uint64_t>(lost, copies.two_or_more());
    copies.set_two_or_more(copies.two_or_more() - of_two);
    copies.set_one(copies.one() - (lost - of_two));
    copies.set_none(copies.none() + lost);
  }
}

}  // namespace

bool IsUp(const StatusInputs& inputs, const NodeId& id) {
  const cluster::MemberView* view = ViewOf(inputs, id);
  return view && view->state == Liveness::kAlive;
}

bool HasSlowDisk(const StatusInputs& inputs, const NodeId& id) {
  const cluster::MemberView* view = ViewOf(inputs, id);
  return view && view->facts.disk_pace() == wire::DISK_PACE_SLOW;
}

const wire::NodeReport* FreshReport(const StatusInputs& inputs, const NodeId& id) {
  auto it = inputs.reports.find(id);
  if (it == inputs.reports.end() || inputs.now - it->second.at > kReportMaxAge) return nullptr;
  return &it->second.report;
}

std::vector<PartitionState> PartitionStates(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  std::vector<PartitionState> states(layout.partition_count());
  std::vector<bool> up(layout.members.size()), refuses(layout.members.size());
  for (std::size_t m = 0; m < up.size(); ++m) up[m] = IsUp(inputs, layout.members[m].id);
  // A write needs every member of in_sync: one that is full, or whose disk failed, keeps it from all; one that is off, too, where
  // nobody can decide its removal.
  const bool decides = LivingVoters(inputs) >= layout.Quorum();
  for (std::size_t m = 0; m < up.size(); ++m) {
    const cluster::MemberView* view = up[m] ? ViewOf(inputs, layout.members[m].id) : nullptr;
    const wire::NodeReport* report = up[m] ? FreshReport(inputs, layout.members[m].id) : nullptr;
    refuses[m] = (!up[m] && !decides) || (report ? report->self().read_only() : view && view->facts.read_only());
  }
  for (PartitionId p = 0; p < states.size(); ++p) {
    const cluster::Group& group = layout.group(p);
    states[p].copies = static_cast<int>(std::count_if(group.in_sync.begin(), group.in_sync.end(), [&](auto m) { return up[m]; }));
    states[p].primary_alive = up[group.primary];
    if (!group.survivors.empty()) states[p] = {};  // nobody vouches for what is there before they are merged
  }
  for (std::size_t m = 0; m < up.size(); ++m) {
    const wire::NodeReport* report = up[m] ? FreshReport(inputs, layout.members[m].id) : nullptr;
    if (!report) continue;
    std::vector<bool> named(states.size());
    for (const auto& partition : report->primaries()) {
      if (partition.partition() < states.size()) named[partition.partition()] = true;
    }
    for (PartitionId p = 0; p < states.size(); ++p) {
      if (layout.group(p).primary != m) continue;
      // It spoke before it held the office, or after it had given it away: that says nothing about the partition.
      const bool of_another_time = report->epoch() < layout.group(p).term.value ||
                                   (!named[p] && Epoch(report->epoch()) > layout.epoch);
      const auto since = p < inputs.partitions.size() ? inputs.partitions[p].refusing_since : std::nullopt;
      states[p].writable = of_another_time || (named[p] && !(since && inputs.now - *since >= kTakeOver));
      const auto& in_sync = layout.group(p).in_sync;
      if (std::any_of(in_sync.begin(), in_sync.end(), [&](auto i) { return refuses[i]; })) states[p].writable = false;
    }
  }
  return states;
}

std::vector<std::string> MayStopNow(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  std::vector<bool> may(layout.members.size());
  std::size_t living_storage = 0;
  for (std::size_t m = 0; m < may.size(); ++m) {
    may[m] = !layout.members[m].witness && IsUp(inputs, layout.members[m].id);
    if (may[m] && layout.members[m].TakesData()) ++living_storage;
  }
  const std::size_t voters = LivingVoters(inputs);
  for (std::size_t m = 0; m < may.size(); ++m) {
    if (!may[m]) continue;
    const bool votes = layout.IsVoter(layout.members[m].id);
    if (voters - (votes ? 1 : 0) < layout.Quorum()) may[m] = false;
    if (layout.members[m].TakesData() && living_storage - 1 < layout.settings.min_copies) may[m] = false;
  }
  cluster::MemberList living;
  for (const cluster::Group& group : layout.partitions) {
    living.clear();
    for (const MemberIndex m : group.in_sync) {
      if (IsUp(inputs, layout.members[m].id)) living.push_back(m);
    }
    for (const MemberIndex m : group.survivors) may[m] = false;
    if (living.empty()) return {};
    if (living.size() == 1) may[living[0]] = false;
  }
  std::vector<std::string> names;
  for (std::size_t m = 0; m < may.size(); ++m) {
    if (may[m]) names.push_back(layout.members[m].name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

v1::Status BuildStatus(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  v1::Status status;
  status.set_cluster_name(layout.cluster_name);
  status.set_cluster_id(layout.cluster.str());
  status.set_epoch(layout.epoch.value);
  status.set_time_ms(inputs.wall_ms);
  status.set_partitions(layout.partition_count());
  status.set_min_copies(layout.settings.min_copies);
  status.set_chunk_limit_bytes(layout.settings.chunk_limit_bytes);
  status.set_resync_paused(layout.settings.resync_paused);
  status.set_resync_limit_bytes_per_second(layout.settings.resync_limit_bytes_per_second);
  for (const MemberIndex voter : layout.voters) status.add_voters(layout.members[voter].name);
  AddMembers(inputs, &status);

  const std::vector<PartitionState> states = PartitionStates(inputs);
  std::uint32_t readable = 0, writable = 0;
  for (PartitionId p = 0; p < states.size(); ++p) {
    const std::uint64_t blocks = p < inputs.partitions.size() ? inputs.partitions[p].blocks : 0;
    v1::CopyCounts& copies = *status.mutable_copies();
    if (states[p].copies >= 2) copies.set_two_or_more(copies.two_or_more() + blocks);
    if (states[p].copies == 1) copies.set_one(copies.one() + blocks);
    if (states[p].copies == 0) copies.set_none(copies.none() + blocks);
    readable += states[p].copies > 0;
    writable += states[p].writable;
  }
  CountLost(&status);
  status.set_partitions_readable(readable);
  status.set_partitions_writable(writable);
  for (auto& name : MayStopNow(inputs)) status.add_may_stop_now(std::move(name));
  if (auto resync = BuildResync(inputs)) *status.mutable_resync() = std::move(*resync);
  if (auto force = BuildForce(inputs)) *status.mutable_force() = std::move(*force);
  AddInvariants(inputs, states, &status);
  Judge(inputs, &status);
  return status;
}

}  // namespace coffer::router
