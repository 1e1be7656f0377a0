// Who of the two is primary. A partition is an edge from its primary to its replica; swapping the roles along a path of
// edges gives one primary less to the path's start and one more to its end, and moves no byte. Copies are already
// balanced by the same weights, so swaps suffice: any connected part of the graph has as many edges as its members
// should have primaries.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "cluster/goal_table.h"

namespace coffer::cluster {
namespace {

class RoleBalancer {
 public:
  RoleBalancer(GoalTable* table, const PrimaryBounds& bounds, bool keep_promotions)
      : table_(*table), bounds_(bounds), n_(table->taker_count()), edges_(std::size_t{n_} * n_) {
    // Taken from the back: an edge whose swap gives a partition the primary it had comes first.
    for (bool restores : {false, true}) {
      for (PartitionId p = 0; p < table_.partitions(); ++p) {
        if (keep_promotions && table_.Promoted(p)) continue;
        const TakerIndex replica = table_.At({p, 1});
        if ((table_.FirstPrimary(p) == replica) == restores) Edges(table_.At({p, 0}), replica).push_back(p);
      }
    }
  }

  void Run() {
    const auto more_than_most = [this](TakerIndex t) { return table_.primaries(t) - std::int64_t{bounds_.most[t]}; };
    const auto more_than_least = [this](TakerIndex t) { return table_.primaries(t) - std::int64_t{bounds_.least[t]}; };
    const auto less_than_least = [&](TakerIndex t) { return -more_than_least(t); };
    const auto less_than_most = [&](TakerIndex t) { return -more_than_most(t); };
    while (SwapAlongPath(more_than_most, less_than_least)) {
    }
    while (SwapAlongPath(more_than_most, less_than_most)) {
    }
    while (SwapAlongPath(more_than_least, less_than_least)) {
    }
  }

 private:
  using Amount = std::function<std::int64_t(TakerIndex)>;

  std::vector<PartitionId>& Edges(TakerIndex primary, TakerIndex replica) {
    return edges_[std::size_t{primary} * n_ + replica];
  }

  // Along a shortest path from anybody with a surplus to anybody with a need, as much as it bears.
  bool SwapAlongPath(const Amount& surplus, const Amount& need) {
    std::vector<TakerIndex> from(n_, kVacant);
    std::deque<TakerIndex> queue;
    for (TakerIndex t = 0; t < n_; ++t) {
      if (surplus(t) <= 0) continue;
      from[t] = t;
      queue.push_back(t);
    }
    while (!queue.empty()) {
      const TakerIndex at = queue.front();
      queue.pop_front();
      for (TakerIndex next = 0; next < n_; ++next) {
        if (from[next] != kVacant || Edges(at, next).empty()) continue;
        from[next] = at;
        if (need(next) > 0) {
          Swap(from, next, surplus, need);
          return true;
        }
        queue.push_back(next);
      }
    }
    return false;
  }

  void Swap(const std::vector<TakerIndex>& from, TakerIndex end, const Amount& surplus, const Amount& need) {
    std::int64_t amount = need(end);
    TakerIndex start = end;
    for (; from[start] != start; start = from[start]) {
      amount = std::min<std::int64_t>(amount, Edges(from[start], start).size());
    }
    amount = std::min(amount, surplus(start));
    for (TakerIndex t = end; t != start; t = from[t]) {
      for (std::int64_t i = 0; i < amount; ++i) SwapOne(from[t], t);
    }
  }

  void SwapOne(TakerIndex primary, TakerIndex replica) {
    const PartitionId p = Edges(primary, replica).back();
    Edges(primary, replica).pop_back();
    table_.SwapRoles(p);
    Edges(replica, primary).push_back(p);
  }

  GoalTable& table_;
  const PrimaryBounds& bounds_;
  const TakerIndex n_;
  std::vector<std::vector<PartitionId>> edges_;  // partitions by primary and replica
};

}  // namespace

void BalanceRoles(GoalTable* table, const PrimaryBounds& bounds) {
  RoleBalancer(table, bounds, true).Run();
  RoleBalancer(table, bounds, false).Run();
}

}  // namespace coffer::cluster
