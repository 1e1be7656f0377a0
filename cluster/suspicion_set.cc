#include "cluster/suspicion_set.h"

#include <algorithm>
#include <utility>

namespace coffer::cluster {

void SuspicionSet::Start(const NodeId& id, Suspicion suspicion) {
  due_.Set(id, suspicion.Deadline());
  suspicions_[id] = std::move(suspicion);
}

void SuspicionSet::End(const NodeId& id) {
  if (suspicions_.erase(id) != 0) due_.Drop(id);
}

void SuspicionSet::Clear() {
  suspicions_.clear();
  due_.Clear();
}

const Suspicion* SuspicionSet::Find(const NodeId& id) const {
  const auto it = suspicions_.find(id);
  return it == suspicions_.end() ? nullptr : &it->second;
}

template <class F>
bool SuspicionSet::Change(const NodeId& id, F change) {
  const auto it = suspicions_.find(id);
  if (it == suspicions_.end() || !change(it->second)) return false;
  due_.Set(id, it->second.Deadline());
  return true;
}

bool SuspicionSet::Accuse(const NodeId& id, const NodeId& accuser) {
  return Change(id, [&](Suspicion& s) { return s.Accuse(accuser); });
}

void SuspicionSet::Hasten(const NodeId& id) {
  Change(id, [](Suspicion& s) {
    if (s.hastened()) return false;
    s.Hasten();
    return true;
  });
}

void SuspicionSet::Calm(const NodeId& id) {
  Change(id, [](Suspicion& s) { 
    if (!s.hastened()) return false;
    s.Calm();
    return true;
  });
}

void SuspicionSet::PostponeAll(Duration by) {
  due_.Clear();
  for (auto& [id, suspicion] : suspicions_) {
    suspicion.Postpone(by);
    due_.Set(id, suspicion.Deadline());
  }
}

std::vector<NodeId> SuspicionSet::TakeOver(Instant now) {
  std::vector<NodeId> over;
  while (const auto id = due_.TakeDue(now)) over.push_back(*id);
  std::sort(over.begin(), over.end());
  return over;
}

}  // namespace coffer::cluster
