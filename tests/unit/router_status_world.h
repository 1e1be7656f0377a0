// What a router has heard of a cluster, for tests of the status and of plans.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "router/core/status.h"

namespace coffer::router {

using cluster::Liveness;
using cluster::MemberIndex;

inline constexpr Instant kNow{std::chrono::hours(10)};

inline NodeId NodeIdOf(int i) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(i + 1);
  return id;
}

// A cluster whose every node is up and reports; tests change one thing and look.
struct Cluster {
  explicit Cluster(int nodes, std::uint32_t partitions = 60) {
    layout.cluster_name = "demo";
    layout.epoch = Epoch(17);
    layout.settings.partitions = partitions;
    layout.settings.min_copies = nodes > 1 ? 2 : 1;
    for (int i = 0; i < nodes; ++i) {
      cluster::Member member;
      member.id = NodeIdOf(i);
      member.name = "node-" + std::to_string(i + 1);
      layout.members.push_back(member);
      if (i < 5) layout.voters.push_back(static_cast<MemberIndex>(i));
      cluster::MemberView view;
      view.facts.set_id(member.id.str());
      view.facts.set_name(member.name);
      view.facts.set_role(v1::MEMBER_ROLE_STORAGE);
      view.facts.set_epoch(17);
      view.since = kNow - std::chrono::hours(1);
      members[member.id] = view;
    }
    for (const auto& goal : cluster::FreshGoals(layout.members, partitions)) {
      cluster::Group group;
      group.primary = goal[0];
      group.goal = group.in_sync = goal;
      std::sort(group.in_sync.begin(), group.in_sync.end());
      group.term = Term(3);
      layout.partitions.push_back(group);
    }
    seen.assign(partitions, {10, 1000, std::nullopt});
  }

  void Set(int i, Liveness state, Duration since = std::chrono::seconds(12)) {
    members[NodeIdOf(i)].state = state;
    members[NodeIdOf(i)].since = kNow - since;
  }
  // What a decided layout does after a death: it leaves in_sync, a living one is primary.
  void FailOver(int i) {
    const auto gone = static_cast<MemberIndex>(i);
    for (auto& group : layout.partitions) {
      if (!group.InSync(gone)) continue;
      cluster::Remove(&group.in_sync, gone);
      group.primary = group.in_sync.at(0);
    }
  }
  StatusInputs Inputs() const {
    StatusInputs inputs;
    inputs.now = kNow;
    inputs.wall_ms = 1234;
    inputs.layout = std::make_shared<cluster::Layout>(layout);
    inputs.layout_since = layout_since;
    inputs.members = std::make_shared<cluster::Membership::View>(members);
    inputs.partitions = seen;
    for (auto& partition : inputs.partitions) {
      if (!writable) partition.refusing_since = kNow - refusing_for;
    }
    inputs.resync = progress;
    for (std::size_t m = 0; m < layout.members.size(); ++m) {
      if (layout.members[m].witness || silent.count(static_cast<int>(m))) continue;
      wire::NodeReport report;
      auto extra = reports.find(static_cast<int>(m));
      if (extra != reports.end()) report = extra->second;
      report.set_epoch(17);
      for (PartitionId p = 0; p < layout.partition_count(); ++p) {
        if (layout.group(p).primary != m) continue;
        auto* partition = report.add_primaries();
        partition->set_partition(p);
        partition->set_writable(writable);
      }
      inputs.reports[layout.members[m].id] = {report, kNow - std::chrono::seconds(1)};
    }
    return inputs;
  }
  v1::Status Build() const { return BuildStatus(Inputs()); }

  cluster::Layout layout;
  Instant layout_since = kNow - std::chrono::hours(1);
  cluster::Membership::View members;
  std::vector<PartitionSeen> seen;
  std::map<int, wire::NodeReport> reports;  // beyond the partitions
  std::set<int> silent;
  bool writable = true;
  Duration refusing_for = std::chrono::seconds(5);
  ResyncProgress progress;
};

}  // namespace coffer::router
