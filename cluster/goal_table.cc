#include "cluster/goal_table.h"

#include <algorithm>
#include <utility>

namespace coffer::cluster {

GoalTable::GoalTable(const std::vector<Goal>& goals, const std::vector<Member>& members, const Takers& takers)
    : members_(members),
      takers_(takers),
      seats_(goals.size(), {kVacant, kVacant}),
      first_primary_(goals.size(), kVacant),
      held_(takers.size(), 0),
      primaries_(takers.size(), 0),
      pairs_(takers.size() * takers.size(), 0) {
  std::vector<TakerIndex> taker_of(members.size(), kVacant);
  for (TakerIndex t = 0; t < takers.size(); ++t) taker_of[takers.members[t]] = t;
  for (PartitionId p = 0; p < goals.size(); ++p) {
    std::uint32_t seat = 0;
    for (std::size_t k = 0; k < goals[p].size() && seat < 2; ++k) {
      const TakerIndex t = goals[p][k] < members.size() ? taker_of[goals[p][k]] : kVacant;
      if (t == kVacant || t == seats_[p][0]) continue;
      if (k == 0) first_primary_[p] = t;
      seats_[p][seat++] = t;
    }
    Count(p, 1);
  }
  had_ = seats_;
}

void GoalTable::Count(PartitionId p, std::uint32_t by) {
  const auto [primary, replica] = seats_[p];
  if (primary != kVacant) held_[primary] += by;
  if (primary != kVacant) primaries_[primary] += by;
  if (replica != kVacant) held_[replica] += by;
  if (primary == kVacant || replica == kVacant) return;
  pairs_[primary * takers_.size() + replica] += by;
  pairs_[replica * takers_.size() + primary] += by;
}

bool GoalTable::MayTake(Seat s, TakerIndex t) const {
  const TakerIndex partner = Partner(s);
  return At(s) != t && partner != t && (partner == kVacant || !SameDomain(partner, t));
}

bool GoalTable::Had(PartitionId p, TakerIndex t) const {
  return had_[p][0] == t || had_[p][1] == t;
}

void GoalTable::Put(Seat s, TakerIndex t) {
  Count(s.partition, static_cast<std::uint32_t>(-1));  // unsigned wrap-around subtracts
  seats_[s.partition][s.number] = t;
  Count(s.partition, 1);
}

void GoalTable::SwapRoles(PartitionId p) {
  Count(p, static_cast<std::uint32_t>(-1));
  std::swap(seats_[p][0], seats_[p][1]);
  Count(p, 1);
}

std::vector<Goal> GoalTable::Goals() const {
  std::vector<Goal> goals;
  goals.reserve(seats_.size());
  for (const auto& [primary, replica] : seats_) goals.push_back({takers_.members[primary], takers_.members[replica]});
  return goals;
}

}  // namespace coffer::cluster
