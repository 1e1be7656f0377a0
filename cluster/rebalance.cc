// Rebalance: the fewest moves that give every member its share. Copies first, because they cost bytes; then roles,
// which do not.
#include "cluster/goal_table.h"
#include "cluster/placement.h"
#include "cluster/shares.h"

namespace coffer::cluster {

std::vector<Goal> Rebalance(const std::vector<Goal>& goals, const std::vector<Member>& members) {
  const Takers takers = TakersOf(members);
  if (takers.size() == 0) return goals;  // nowhere to go: what is there stays where it is
  if (takers.size() == 1) return std::vector<Goal>(goals.size(), Goal{takers.members.front()});
  GoalTable table(goals, members, takers);
  BalanceCopies(&table, CopyQuotas(takers, table.partitions(), table.held()));
  BalanceRoles(&table, PrimaryShares(takers, table.partitions()));
  return table.Goals();
}

}  // namespace coffer::cluster
