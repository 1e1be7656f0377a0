// Where a block lives: pure functions from hashes and membership to groups.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"

namespace coffer::cluster {

// First 8 bytes, big-endian, of SHA-256(zone || block).
std::uint64_t BlockHash(const ZoneId& zone, const BlockId& block);

// BlockHash mod partitions.
PartitionId PartitionOf(const ZoneId& zone, const BlockId& block, std::uint32_t partitions);

// The one partition that holds the registry of zones.
PartitionId RegistryPartition(std::uint32_t partitions);

// A partition's goal: the members that should hold it, primary first. One member when only one takes data, else two.
using Goal = MemberList;

// Plain modulo over the members that take data, in the order of their index: primary = nodes[p mod N],
// replica = nodes[(p mod N + 1 + (p div N) mod (N-1)) mod N]. With unequal weights, or where two copies would share a
// failure domain although another exists, it is the starting point that Rebalance corrects.
std::vector<Goal> FreshGoals(const std::vector<Member>& members, std::uint32_t partitions);

// The fewest moves from `goals` that give every member that takes data its share of copies and of primaries by weight
// (+-1), put the two copies in different failure domains where there are two, and spread recovery over all survivors.
// A lost primary is replaced by its own replica; a returning member is given what it held before (Member::former) first.
// Deterministic; a fixed point: Rebalance(Rebalance(g)) == Rebalance(g).
std::vector<Goal> Rebalance(const std::vector<Goal>& goals, const std::vector<Member>& members);

// What going from one set of goals to another costs.
struct Movement {
  std::uint32_t copies = 0;     // copies that have to be made
  std::uint32_t primaries = 0;  // partitions whose primary changes
};
Movement CountMovement(const std::vector<Goal>& from, const std::vector<Goal>& to);

// The least number of copies any rebalancing could move for these members and this starting point.
std::uint32_t LeastCopies(const std::vector<Goal>& from, const std::vector<Member>& members);

}  // namespace coffer::cluster
