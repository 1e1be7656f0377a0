// How much of the placement each member should hold: exact integer shares by weight and failure domain.
#pragma once

#include <cstdint>
#include <vector>

#include "cluster/layout.h"

namespace coffer::cluster {

// Who takes data, and which of them may not hold both copies of one partition.
struct Takers {
  std::vector<MemberIndex> members;    // ascending
  std::vector<std::uint32_t> weights;  // of each
  std::vector<std::uint32_t> domains;  // of each: number of its failure domain, dense from 0
  std::uint32_t domain_count = 0;
  std::size_t size() const { return members.size(); }
  // Copies a partition has with these members: one with a single member, else two.
  std::uint32_t copies() const { return size() < 2 ? static_cast<std::uint32_t>(size()) : 2; }
};

// A member without a named domain is a domain of its own. Where all share one domain, each is its own: there are no two
// to tell apart.
Takers TakersOf(const std::vector<Member>& members);

// The number of copies each taker should hold: its share by weight, rounded down or up, no domain beyond one copy of
// every partition. Who is rounded up is chosen so that the most of `held` may stay. Sums to copies() * partitions.
std::vector<std::uint32_t> CopyQuotas(const Takers& takers, std::uint32_t partitions,
                                      const std::vector<std::uint32_t>& held);

// Bounds of the number of primaries of each taker: its share by weight rounded down and up.
struct PrimaryBounds {
  std::vector<std::uint32_t> least;
  std::vector<std::uint32_t> most;
};
PrimaryBounds PrimaryShares(const Takers& takers, std::uint32_t partitions);

}  // namespace coffer::cluster
