// All suspicions that are under way, and which of them is over next.
#pragma once

#include <vector>

#include "cluster/due_times.h"
#include "cluster/id_map.h"
#include "cluster/suspicion.h"

namespace coffer::cluster {

// At most one suspicion of each member. Single-threaded.
class SuspicionSet {
 public:
  // In the place of an earlier one of the same member.
  void Start(const NodeId& id, Suspicion suspicion);
  void End(const NodeId& id);
  void Clear();
  // Nothing if there is none.
  const Suspicion* Find(const NodeId& id) const;

  // As the methods of Suspicion; false or no effect if there is none.
  bool Accuse(const NodeId& id, const NodeId& accuser);
  void Hasten(const NodeId& id);
  void Calm(const NodeId& id);
  void PostponeAll(Duration by);

  // When the first is over; kNever if there is none.
  Instant NextDeadline() const { return due_.Next(); }
  // Those that are over, by id; each is told once, and stays until it is ended.
  std::vector<NodeId> TakeOver(Instant now);

 private:
  template <class F>
  bool Change(const NodeId& id, F change);

  IdMap<Suspicion> suspicions_;
  DueTimes due_;  // their deadlines
};

}  // namespace coffer::cluster
