// Checks each acknowledgement of a write to a chunk or a chain at the moment in which a node gives it: it was decided who has to hold the
// write, and it is durable on min_copies disks; on one alone only where a decided layout names one member and min_copies is 1 (I12, R2.4).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "sim/check_layouts.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

class AckChecker {
 public:
  using Complaint = std::optional<std::string>;
  AckChecker(const SimCluster& cluster, const LayoutChecker& layouts) : cluster_(cluster), layouts_(layouts) {}

  // A message is sent: a request is noted, an answer judged.
  Complaint Sent(const NodeId& from, const NodeId& to, const PeerMessage& message);
  // A disk is gone, or was given up. What rests on what it held may still be acknowledged, until it is missed.
  void DiskLost() { lost_at_ = cluster_.now(); }

  struct Acknowledgement {
    std::string what, by;
    bool decided = false;       // the layout that its giver goes by
    std::size_t in_sync = 0;    // members, by that layout
    std::uint32_t min_copies = 0;
    std::uint32_t copies = 0;   // on disks
  };
  static Complaint Judge(const Acknowledgement& a);

 private:
  struct Write {
    PartitionId partition = 0;
    node::RecordKey key;
    bool deletes = false;
    Instant sent{};
  };
  // Nothing: it is no such write.
  static std::optional<Write> WriteOf(const PeerMessage& message);
  // `hash`: of its bytes, if the primary has them.
  bool Holds(const SimNode& n, const Write& write, const std::optional<Digest>& hash) const;
  // How many disks hold it, up to `enough`.
  std::uint32_t Copies(const cluster::Layout& layout, const SimNode& primary, const Write& write, std::uint32_t enough) const;

  const SimCluster& cluster_;
  const LayoutChecker& layouts_;
  std::map<std::tuple<NodeId, NodeId, std::uint64_t>, Write> asked_;  // by who was asked, by whom, and the call
  std::optional<Instant> lost_at_;                                    // a disk, last
};

}  // namespace coffer::sim
