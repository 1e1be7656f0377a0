#include "cluster/placement.h"

#include <algorithm>
#include <numeric>

#include "cluster/sha256.h"
#include "cluster/shares.h"

namespace coffer::cluster {
namespace {

// The plain rule of the design, over `n` nodes in order.
Goal PlainGoal(const std::vector<MemberIndex>& nodes, PartitionId p) {
  const auto n = static_cast<std::uint32_t>(nodes.size());
  if (n == 0) return {};
  const std::uint32_t first = p % n;
  if (n == 1) return {nodes[first]};
  return {nodes[first], nodes[(first + 1 + (p / n) % (n - 1)) % n]};
}

// How many copies each taker holds in `goals`.
std::vector<std::uint32_t> CountHeld(const std::vector<Goal>& goals, const Takers& takers, std::size_t members) {
  std::vector<std::uint32_t> by_member(members, 0);
  for (const Goal& goal : goals) {
    for (MemberIndex m : goal) {
      if (m < members) ++by_member[m];
    }
  }
  std::vector<std::uint32_t> held;
  for (MemberIndex m : takers.members) held.push_back(by_member[m]);
  return held;
}

// Copies that must be made because the partition has too few that may stay.
std::uint32_t MissingCopies(const Goal& goal, const Takers& takers) {
  std::vector<std::uint32_t> domains;
  for (std::size_t t = 0; t < takers.size(); ++t) {
    if (std::find(goal.begin(), goal.end(), takers.members[t]) == goal.end()) continue;
    if (std::find(domains.begin(), domains.end(), takers.domains[t]) == domains.end())
      domains.push_back(takers.domains[t]);
  }
  const auto stay = std::min<std::size_t>(domains.size(), takers.copies());
  return takers.copies() - static_cast<std::uint32_t>(stay);
}

}  // namespace

std::uint64_t BlockHash(const ZoneId& zone, const BlockId& block) {
  const Digest digest = Sha256({zone.view(), block.view()});
  std::uint64_t hash = 0;
  for (int i = 0; i < 8; ++i) hash = hash << 8 | digest.bytes[i];
  return hash;
}

PartitionId PartitionOf(const ZoneId& zone, const BlockId& block, std::uint32_t partitions) {
  return static_cast<PartitionId>(BlockHash(zone, block) % partitions);
}

PartitionId RegistryPartition(std::uint32_t partitions) {
  return PartitionOf(ZoneId{}, BlockId{}, partitions);
}

std::vector<Goal> FreshGoals(const std::vector<Member>& members, std::uint32_t partitions) {
  const Takers takers = TakersOf(members);
  std::vector<Goal> goals;
  goals.reserve(partitions);
  for (PartitionId p = 0; p < partitions; ++p) goals.push_back(PlainGoal(takers.members, p));
  // Changes nothing where the plain rule is balanced: equal weights, no domains, and at most 10 nodes, for one.
  return Rebalance(goals, members);
}

Movement CountMovement(const std::vector<Goal>& from, const std::vector<Goal>& to) {
  Movement movement;
  for (std::size_t p = 0; p < to.size(); ++p) {
    static const Goal kNone;
    const Goal& before = p < from.size() ? from[p] : kNone;
    for (MemberIndex m : to[p]) movement.copies += std::find(before.begin(), before.end(), m) == before.end();
    movement.primaries += !to[p].empty() && (before.empty() || before.front() != to[p].front());
  }
  return movement;
}

std::uint32_t LeastCopies(const std::vector<Goal>& from, const std::vector<Member>& members) {
  const Takers takers = TakersOf(members);
  const std::vector<std::uint32_t> held = CountHeld(from, takers, members.size());
  const auto quotas = CopyQuotas(takers, static_cast<std::uint32_t>(from.size()), held);
  std::uint32_t wanting = 0;
  for (std::size_t t = 0; t < takers.size(); ++t) wanting += quotas[t] - std::min(quotas[t], held[t]);
  std::uint32_t missing = 0;
  for (const Goal& goal : from) missing += MissingCopies(goal, takers);
  return std::max(wanting, missing);
}

}  // namespace coffer::cluster
