// Looks at the disks: what was acknowledged or read by a confirmed read is durable on every in_sync member of the newest layout, now
// (I4); it has min_copies copies while no disk was lost (I5); committed prefixes are prefixes of each other (I6); at rest all copies
// hold the same, whole, and are counted right (I15, I20).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "sim/check_chains.h"
#include "sim/check_chunks.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

class CopyChecker {
 public:
  using Complaint = std::optional<std::string>;
  CopyChecker(const SimCluster& cluster, ZoneId zone, const ChunkChecker& chunks, const ChainChecker& chains)
      : cluster_(cluster), zone_(zone), chunks_(chunks), chains_(chains) {}

  // One id that was just acknowledged, read or deleted; `copies`: how many it must have besides (0: not known).
  Complaint Chunk(const cluster::Layout& newest, const std::string& id, std::uint32_t copies) const;
  Complaint Chain(const cluster::Layout& newest, const std::string& chain) const;
  // Everything in these partitions; in all of them if `partitions` is null.
  Complaint All(const cluster::Layout& newest, const std::set<PartitionId>* partitions) const;
  // I6 over the logs of in_sync members.
  Complaint Prefixes(const cluster::Layout& newest) const;
  // When nobody writes and everybody is there. `skip`: partitions in which records were damaged on purpose.
  Complaint AtRest(const cluster::Layout& newest, const std::set<PartitionId>& damaged) const;

 private:
  // The disk of a member; null when it is lost.
  const SimNode* DiskOf(const cluster::Layout& layout, cluster::MemberIndex member) const;
  Complaint ChunkOn(const SimNode& n, PartitionId p, const std::string& id, const ChunkChecker::Known& known) const;
  Complaint ChainOn(const SimNode& n, PartitionId p, const std::string& chain, const ChainChecker::Known& known) const;

  const SimCluster& cluster_;
  const ZoneId zone_;
  const ChunkChecker& chunks_;
  const ChainChecker& chains_;
};

}  // namespace coffer::sim
