// The working table of Rebalance: who holds which copy of each partition while copies are moved and roles are swapped.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "cluster/placement.h"
#include "cluster/shares.h"

namespace coffer::cluster {

// Number of a taker: index into Takers::members.
using TakerIndex = std::uint32_t;
inline constexpr TakerIndex kVacant = 0xffffffff;

// One copy of a partition. Seat 0 is the primary's, seat 1 the replica's.
struct Seat {
  PartitionId partition = 0;
  std::uint32_t number = 0;
};

// Two seats per partition, and counts that follow every change. Needs at least two takers. A value; single-threaded.
class GoalTable {
 public:
  // Starts from `goals`: members that no longer take data leave their seats, a replica whose primary left moves up.
  // References must outlive the table.
  GoalTable(const std::vector<Goal>& goals, const std::vector<Member>& members, const Takers& takers);

  std::uint32_t partitions() const { return static_cast<std::uint32_t>(seats_.size()); }
  std::uint32_t taker_count() const { return static_cast<std::uint32_t>(takers_.size()); }
  TakerIndex At(Seat s) const { return seats_[s.partition][s.number]; }
  TakerIndex Partner(Seat s) const { return seats_[s.partition][1 - s.number]; }
  std::uint32_t held(TakerIndex t) const { return held_[t]; }
  const std::vector<std::uint32_t>& held() const { return held_; }
  std::uint32_t primaries(TakerIndex t) const { return primaries_[t]; }
  // Partitions that the two hold together.
  std::uint32_t pairs(TakerIndex a, TakerIndex b) const { return pairs_[a * takers_.size() + b]; }

  bool SameDomain(TakerIndex a, TakerIndex b) const { return takers_.domains[a] == takers_.domains[b]; }
  // Whether `t` may take the seat: it has neither of the two, and shares no domain with the other one's holder.
  bool MayTake(Seat s, TakerIndex t) const;
  // Whether `t` had a copy of the partition in the goals the table started from.
  bool Had(PartitionId p, TakerIndex t) const;
  // Whether `t` had one when it was last given up (Member::former).
  bool Former(PartitionId p, TakerIndex t) const { return members_[takers_.members[t]].Held(p); }
  // The primary the table started from; kVacant if it takes no data any more.
  TakerIndex FirstPrimary(PartitionId p) const { return first_primary_[p]; }
  // Whether the replica moved up because the primary left: the promotion that moves nothing.
  bool Promoted(PartitionId p) const { return first_primary_[p] == kVacant && had_[p][0] != kVacant; }

  // Gives the seat to `t` (or to nobody), whoever had it.
  void Put(Seat s, TakerIndex t);
  // Exchanges primary and replica.
  void SwapRoles(PartitionId p);

  std::vector<Goal> Goals() const;

 private:
  void Count(PartitionId p, std::uint32_t by);

  const std::vector<Member>& members_;
  const Takers& takers_;
  std::vector<std::array<TakerIndex, 2>> seats_;
  std::vector<std::array<TakerIndex, 2>> had_;
  std::vector<TakerIndex> first_primary_;
  std::vector<std::uint32_t> held_;
  std::vector<std::uint32_t> primaries_;
  std::vector<std::uint32_t> pairs_;
};

// Moves the fewest copies after which every taker holds its quota, two copies never share a domain, and partners are
// spread. Seats that nobody holds are filled. (rebalance_copies.cc)
void BalanceCopies(GoalTable* table, const std::vector<std::uint32_t>& quotas);

// Swaps roles until every taker's primaries are within `bounds`; a promoted replica keeps its role if that can be done.
// (rebalance_roles.cc)
void BalanceRoles(GoalTable* table, const PrimaryBounds& bounds);

}  // namespace coffer::cluster
