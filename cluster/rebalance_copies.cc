// Which copies move. Bulk by direct, greedy moves that spread partners; what greed leaves over by shortest paths of
// moves.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "cluster/goal_table.h"

namespace coffer::cluster {
namespace {

class CopyBalancer {
 public:
  CopyBalancer(GoalTable* table, const std::vector<std::uint32_t>& quotas)
      : table_(*table), quotas_(quotas), n_(table->taker_count()) {}

  void Run() {
    SeparateDomains();
    FillVacantSeats();
    for (TakerIndex t : NeediestFirst()) TakeBackFormer(t);
    for (TakerIndex t : NeediestFirst()) TakeFromOthers(t, &CopyBalancer::IsNew);
    for (TakerIndex t : NeediestFirst()) TakeFromOthers(t, &CopyBalancer::IsAny);
    // Each path settles one surplus; the bound is only for safety.
    for (std::uint32_t i = 0; i < 2 * table_.partitions() && MoveAlongPath(); ++i) {
    }
  }

 private:
  std::int64_t Surplus(TakerIndex t) const { return std::int64_t{table_.held(t)} - quotas_[t]; }
  bool IsNew(Seat s) const { return !table_.Had(s.partition, table_.At(s)); }
  bool IsAny(Seat) const { return true; }

  // How many partitions `b` shares with `a`, relative to what it should hold: partners are spread by weight.
  std::int64_t Closeness(TakerIndex a, TakerIndex b) const {
    return (std::int64_t{table_.pairs(a, b)} << 20) / std::max<std::uint32_t>(quotas_[b], 1);
  }
  std::int64_t PrimaryExcess(TakerIndex t) const { return 2 * std::int64_t{table_.primaries(t)} - table_.held(t); }

  // Whoever wants most has least choice among partitions it is not in yet.
  std::vector<TakerIndex> NeediestFirst() const {
    std::vector<TakerIndex> order(n_);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [this](TakerIndex a, TakerIndex b) { return Surplus(a) < Surplus(b); });
    return order;
  }

  // Where both copies are in one domain and need not be, one leaves: the replica, unless only the primary holds too
  // much.
  void SeparateDomains() {
    for (PartitionId p = 0; p < table_.partitions(); ++p) {
      const TakerIndex primary = table_.At({p, 0});
      const TakerIndex replica = table_.At({p, 1});
      if (replica == kVacant || !table_.SameDomain(primary, replica)) continue;
      if (Surplus(primary) > 0 && Surplus(replica) <= 0) table_.SwapRoles(p);
      table_.Put({p, 1}, kVacant);
    }
  }

  void FillVacantSeats() {
    for (PartitionId p = 0; p < table_.partitions(); ++p) {
      for (std::uint32_t seat : {0u, 1u}) {
        if (table_.At({p, seat}) == kVacant) table_.Put({p, seat}, BestFor({p, seat}));
      }
    }
  }

  // The taker for a vacant seat: one that still wants copies, that held this one, that shares little with the partner.
  TakerIndex BestFor(Seat s) const {
    const TakerIndex partner = table_.Partner(s);
    TakerIndex best = kVacant;
    std::tuple<bool, bool, std::int64_t, std::int64_t> best_key;
    for (TakerIndex t = 0; t < n_; ++t) {
      if (!table_.MayTake(s, t)) continue;
      const std::tuple key(Surplus(t) >= 0, !table_.Former(s.partition, t),
                           partner == kVacant ? std::int64_t{0} : Closeness(partner, t), Surplus(t));
      if (best != kVacant && best_key <= key) continue;
      best = t;
      best_key = key;
    }
    return best;
  }

  void TakeBackFormer(TakerIndex t);
  void TakeFromOthers(TakerIndex t, bool (CopyBalancer::*eligible)(Seat) const);
  bool MoveAlongPath();

  GoalTable& table_;
  const std::vector<std::uint32_t>& quotas_;
  const TakerIndex n_;

  friend class FormerMatching;
  friend class MovePath;
};

// Whom a returning member relieves of the partitions it used to hold: each partition has at most two who could give,
// each of them may give no more than its surplus. A matching, grown greedily and then along alternating paths. Pairs
// that share most give first, so that partners stay spread.
class FormerMatching {
 public:
  FormerMatching(const CopyBalancer& balancer, TakerIndex taker)
      : b_(balancer),
        table_(balancer.table_),
        taker_(taker),
        spare_(balancer.n_, 0),
        given_(balancer.n_),
        partner_(balancer.n_, 0),
        shared_(std::size_t{balancer.n_} * balancer.n_, 0),
        left_(shared_.size()) {
    for (TakerIndex t = 0; t < b_.n_; ++t) spare_[t] = std::max<std::int64_t>(b_.Surplus(t), 0);
    for (TakerIndex x = 0; x < b_.n_; ++x) {
      for (TakerIndex y = x + 1; y < b_.n_; ++y) shared_[Pair(x, y)] = table_.pairs(x, y);
    }
    for (PartitionId p = table_.partitions(); p-- > 0;) {
      if (table_.Former(p, taker_) && table_.At({p, 0}) != taker_ && table_.At({p, 1}) != taker_)
        left_[PairOf(p)].push_back(p);
    }
  }

  // Has somebody give one more partition; false when nobody can.
  bool MatchOne() {
    for (std::size_t pair = ClosestPair(); pair < left_.size(); pair = ClosestPair()) {
      const PartitionId p = left_[pair].back();
      left_[pair].pop_back();  // never looked at again: what can't be matched now can't be matched later
      if (Match(p)) return true;
    }
    return false;
  }

  std::vector<Seat> Result() const {
    std::vector<Seat> all;
    for (const auto& seats : given_) all.insert(all.end(), seats.begin(), seats.end());
    return all;
  }

 private:
  std::size_t Pair(TakerIndex x, TakerIndex y) const { return std::size_t{std::min(x, y)} * b_.n_ + std::max(x, y); }
  std::size_t PairOf(PartitionId p) const { return Pair(table_.At({p, 0}), table_.At({p, 1})); }

  // Of those with partitions left, the two that share most relative to what they should hold; left_.size() if there are
  // none.
  std::size_t ClosestPair() const {
    std::size_t best = left_.size();
    double best_key = 0;
    for (TakerIndex x = 0; x < b_.n_; ++x) {
      for (TakerIndex y = x + 1; y < b_.n_; ++y) {
        if (left_[Pair(x, y)].empty()) continue;
        const double key = shared_[Pair(x, y)] / std::max(double(b_.quotas_[x]) * b_.quotas_[y], 1.0);
        if (best == left_.size() || key > best_key) best = Pair(x, y), best_key = key;
      }
    }
    return best;
  }

  bool Match(PartitionId p) {
    const std::optional<std::uint32_t> seat = BestSeat(p);
    if (!seat) return false;
    const TakerIndex giver = table_.At({p, *seat});
    if (spare_[giver] == 0 && !FreeSpare(giver)) return false;
    --spare_[giver];
    --shared_[PairOf(p)];
    ++partner_[table_.Partner({p, *seat})];
    given_[giver].push_back({p, *seat});
    return true;
  }

  // The seat that can be given so that the member gets a partner it has little of; one whose holder has something to
  // spare, if there is one.
  std::optional<std::uint32_t> BestSeat(PartitionId p) const {
    std::optional<std::uint32_t> best;
    for (std::uint32_t seat : {1u, 0u}) {
      if (!table_.MayTake({p, seat}, taker_)) continue;
      if (!best || Key({p, seat}) < Key({p, *best})) best = seat;
    }
    return best;
  }

  std::pair<bool, double> Key(Seat s) const {
    const TakerIndex partner = table_.Partner(s);
    return {spare_[table_.At(s)] == 0, partner_[partner] / std::max(double(b_.quotas_[partner]), 1.0)};
  }

  // Lets somebody else give one of the partitions that `giver` gives, so that it can give another.
  bool FreeSpare(TakerIndex giver) {
    struct Step {
      TakerIndex from;
      std::size_t position;  // in given_[from]
    };
    std::vector<std::optional<Step>> reached(spare_.size());
    std::deque<TakerIndex> queue{giver};
    while (!queue.empty()) {
      const TakerIndex from = queue.front();
      queue.pop_front();
      for (std::size_t i = 0; i < given_[from].size(); ++i) {
        const Seat other = Other(given_[from][i]);
        const TakerIndex to = table_.At(other);
        if (to == giver || reached[to] || !table_.MayTake(other, taker_)) continue;
        reached[to] = Step{from, i};
        if (spare_[to] == 0) {
          queue.push_back(to);
          continue;
        }
        --spare_[to];
        for (TakerIndex t = to; t != giver; t = reached[t]->from) HandOver(reached[t]->from, reached[t]->position, t);
        ++spare_[giver];
        return true;
      }
    }
    return false;
  }

  static Seat Other(Seat s) { return {s.partition, 1 - s.number}; }

  void HandOver(TakerIndex from, std::size_t position, TakerIndex to) {
    --partner_[to];
    ++partner_[from];
    given_[to].push_back(Other(given_[from][position]));
    given_[from][position] = given_[from].back();
    given_[from].pop_back();
  }

  const CopyBalancer& b_;
  const GoalTable& table_;
  const TakerIndex taker_;
  std::vector<std::int64_t> spare_;             // what each may still give
  std::vector<std::vector<Seat>> given_;        // what each gives
  std::vector<std::uint32_t> partner_;          // how much of what is given is shared with each
  std::vector<std::uint32_t> shared_;           // by pair: partitions the two would still share
  std::vector<std::vector<PartitionId>> left_;  // by pair: former partitions not yet looked at
};

void CopyBalancer::TakeBackFormer(TakerIndex t) {
  std::int64_t wanted = -Surplus(t);
  if (wanted <= 0) return;
  FormerMatching matching(*this, t);
  while (wanted > 0 && matching.MatchOne()) --wanted;
  for (Seat s : matching.Result()) table_.Put(s, t);
}

// Takes seats from those with a surplus, the largest first; of these one whose partner the giver shares much with and
// the taker little, so that partners stay spread.
void CopyBalancer::TakeFromOthers(TakerIndex t, bool (CopyBalancer::*eligible)(Seat) const) {
  if (Surplus(t) >= 0) return;
  std::vector<std::vector<PartitionId>> seats(std::size_t{2} * n_ * n_);  // by giver, seat, partner
  const auto seats_of = [&](TakerIndex giver, std::uint32_t number, TakerIndex partner) -> std::vector<PartitionId>& {
    return seats[(std::size_t{giver} * 2 + number) * n_ + partner];
  };
  for (PartitionId p = table_.partitions(); p-- > 0;) {
    for (std::uint32_t number : {0u, 1u}) {
      const Seat s{p, number};
      if (Surplus(table_.At(s)) <= 0 || !table_.MayTake(s, t) || !(this->*eligible)(s)) continue;
      seats_of(table_.At(s), number, table_.Partner(s)).push_back(p);
    }
  }
  // Pops the best seat of this giver; a seat may have gone stale because its partition gave its other seat.
  const auto take_one = [&](TakerIndex giver, std::uint32_t number) {
    while (true) {
      TakerIndex best = kVacant;
      std::int64_t best_key = 0;
      for (TakerIndex y = 0; y < n_; ++y) {
        if (seats_of(giver, number, y).empty()) continue;
        const std::int64_t key = Closeness(y, t) - Closeness(y, giver);
        if (best == kVacant || key < best_key) best = y, best_key = key;
      }
      if (best == kVacant) return false;
      std::vector<PartitionId>& candidates = seats_of(giver, number, best);
      const Seat s{candidates.back(), number};
      candidates.pop_back();
      if (table_.At(s) != giver || !table_.MayTake(s, t)) continue;
      table_.Put(s, t);
      return true;
    }
  };
  std::vector<bool> exhausted(n_, false);
  while (Surplus(t) < 0) {
    TakerIndex giver = kVacant;
    for (TakerIndex i = 0; i < n_; ++i) {
      if (exhausted[i] || Surplus(i) <= 0) continue;
      if (giver == kVacant || Surplus(i) > Surplus(giver)) giver = i;
    }
    if (giver == kVacant) return;
    // About half of what a member holds are primaries: who has more gives one, who has less gets one.
    const std::uint32_t first = PrimaryExcess(giver) > PrimaryExcess(t) ? 0 : 1;
    if (!take_one(giver, first) && !take_one(giver, 1 - first)) exhausted[giver] = true;
  }
}

// The cheapest chain of moves that takes a copy from somebody with a surplus and ends at somebody who wants one: each
// member between gives a copy and gets one. First only with copies that are new anyway (free), then with any.
class MovePath {
 public:
  MovePath(CopyBalancer* balancer, bool only_new)
      : b_(*balancer), table_(balancer->table_), only_new_(only_new), reached_(balancer->n_), seats_(balancer->n_) {
    for (PartitionId p = 0; p < table_.partitions(); ++p) {
      for (std::uint32_t number : {0u, 1u}) {
        const Seat s{p, number};
        if (!only_new_ || b_.IsNew(s)) seats_[table_.At(s)].push_back(s);
      }
    }
  }

  // Finds and applies; false if there is none.
  bool Apply() {
    std::deque<TakerIndex> queue;
    for (TakerIndex t = 0; t < b_.n_; ++t) {
      if (b_.Surplus(t) <= 0) continue;
      reached_[t] = Step{kVacant, {}};
      queue.push_back(t);
    }
    while (!queue.empty()) {
      const TakerIndex from = queue.front();
      queue.pop_front();
      for (TakerIndex to = 0; to < b_.n_; ++to) {
        if (reached_[to]) continue;
        const std::optional<Seat> seat = SeatFor(from, to);
        if (!seat) continue;
        reached_[to] = Step{from, *seat};
        if (b_.Surplus(to) < 0) return MoveAll(to);
        queue.push_back(to);
      }
    }
    return false;
  }

 private:
  struct Step {
    TakerIndex from;
    Seat seat;  // what `from` gives
  };

  // A seat of `from` that `to` may take: one it had before, else one that is new, else any.
  std::optional<Seat> SeatFor(TakerIndex from, TakerIndex to) const {
    std::optional<Seat> best;
    int best_cost = 0;
    for (Seat s : seats_[from]) {
      if (!table_.MayTake(s, to)) continue;
      const int cost = table_.Had(s.partition, to) ? 0 : b_.IsNew(s) ? 1 : 2;
      if (!best || cost < best_cost) best = s, best_cost = cost;
      if (best_cost == 0) break;
    }
    return best;
  }

  // From the wanting end backwards. Two moves of one chain can touch one partition and end in one domain: then the rest
  // of the chain is dropped, and the next search starts from there.
  bool MoveAll(TakerIndex end) {
    bool moved = false;
    for (TakerIndex t = end; reached_[t]->from != kVacant; t = reached_[t]->from) {
      const Step& step = *reached_[t];
      if (table_.At(step.seat) != step.from || !table_.MayTake(step.seat, t)) return moved;
      table_.Put(step.seat, t);
      moved = true;
    }
    return moved;
  }

  CopyBalancer& b_;
  GoalTable& table_;
  const bool only_new_;
  std::vector<std::optional<Step>> reached_;
  std::vector<std::vector<Seat>> seats_;  // by holder
};

bool CopyBalancer::MoveAlongPath() {
  bool wanting = false;
  bool surplus = false;
  for (TakerIndex t = 0; t < n_; ++t) {
    wanting |= Surplus(t) < 0;
    surplus |= Surplus(t) > 0;
  }
  if (!wanting || !surplus) return false;
  return MovePath(this, true).Apply() || MovePath(this, false).Apply();
}

}  // namespace

void BalanceCopies(GoalTable* table, const std::vector<std::uint32_t>& quotas) {
  CopyBalancer(table, quotas).Run();
}

}  // namespace coffer::cluster
