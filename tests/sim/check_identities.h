// Checks who acts under which id: its boot counter and its incarnation never fall, over restarts too (I2, I19); it has one process, and
// none any more once its disk is lost or it retired (I13).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "cluster/ids.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

class IdentityChecker {
 public:
  using Complaint = std::optional<std::string>;
  // A disk says that this is the start of the id that runs, or ran last.
  Complaint Boot(const NodeId& id, const std::string& name, std::uint64_t boot);
  // A process of this machine runs under the id.
  Complaint Runs(const NodeId& id, const std::string& name);
  // The process ended, for whatever reason.
  void Ends(const NodeId& id, const std::string& name);
  // Nobody may act under the id from now on.
  void Over(const NodeId& id) { over_.insert(id); }
  // `by`, a process, holds the member to be of this incarnation.
  Complaint Believes(const NodeId& by, std::uint64_t life, const NodeId& member, const std::string& name, Incarnation incarnation);

  // All of that for a node as it is now: its disk, its process, and whom this holds to be what.
  Complaint Look(const SimCluster& cluster, std::size_t node);

 private:
  std::map<NodeId, std::uint64_t> boots_;
  std::map<NodeId, std::string> running_;  // the name of the machine
  std::set<NodeId> over_;
  // By the member and who believes it; the life is that of who believes. A member's own word outlives its process.
  std::map<std::pair<NodeId, NodeId>, std::pair<std::uint64_t, Incarnation>> believed_;
};

}  // namespace coffer::sim
