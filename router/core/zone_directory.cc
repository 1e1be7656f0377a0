#include "router/core/zone_directory.h"

#include <algorithm>
#include <utility>

namespace coffer::router {

const ZoneId* ZoneDirectory::Find(Instant now, const std::string& name) const {
  auto it = known_.find(name);
  if (it == known_.end()) return nullptr;
  if (now - it->second.at < config_.ttl) return &it->second.id;
  auto lookup = lookups_.find(name);
  return lookup != lookups_.end() && now - lookup->second.began >= config_.patience ? &it->second.id : nullptr;
}

void ZoneDirectory::Remember(Instant now, const std::string& name, const ZoneId& id) {
  if (known_.size() >= config_.max_entries && !known_.count(name)) {
    auto oldest = std::min_element(known_.begin(), known_.end(),
                                   [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
    known_.erase(oldest);
  }
  known_[name] = {id, now};
}

std::string ZoneDirectory::NameOf(const ZoneId& id) const {
  const auto known = std::find_if(known_.begin(), known_.end(), [&](const auto& entry) { return entry.second.id == id; });
  return known == known_.end() ? std::string() : known->first;
}

bool ZoneDirectory::Wait(Instant now, const std::string& name, Waiter waiter) {
  auto [it, fresh] = lookups_.try_emplace(name, Lookup{now, {}, {}});
  (fresh ? it->second.first : it->second.later).insert(waiter);
  return fresh;
}

void ZoneDirectory::Overdue(Instant now, std::vector<Answer>* answers) {
  for (auto& [name, lookup] : lookups_) {
    auto known = known_.find(name);
    if (known == known_.end() || now - lookup.began < config_.patience) continue;
    for (auto* waiters : {&lookup.first, &lookup.later}) {
      for (const Waiter waiter : std::exchange(*waiters, {})) answers->push_back({waiter, Ok(), known->second.id, /*old=*/true});
    }
  }
}

Instant ZoneDirectory::NextOverdue() const {
  Instant next = kNever;
  for (const auto& [name, lookup] : lookups_) {
    const bool waited_for = !lookup.first.empty() || !lookup.later.empty();
    if (waited_for && known_.contains(name)) next = std::min(next, lookup.began + config_.patience);
  }
  return next;
}

bool ZoneDirectory::Done(Instant now, const std::string& name, const Status& status, const ZoneId& id,
                         std::vector<Answer>* answers) {
  auto it = lookups_.find(name);
  if (it == lookups_.end()) return false;
  if (IsOk(status)) Remember(now, name, id);
  if (CodeOf(status) == Code::kNotFound) Forget(name);
  for (const Waiter waiter : it->second.first) answers->push_back({waiter, status, id});
  it->second.first = std::exchange(it->second.later, {});
  if (IsOk(status)) {  // "exists" holds for those who came later too
    for (const Waiter waiter : std::exchange(it->second.first, {})) answers->push_back({waiter, status, id});
  }
  it->second.began = now;
  if (!it->second.first.empty()) return true;
  lookups_.erase(it);
  return false;
}

void ZoneDirectory::Abandon(Waiter waiter) {
  for (auto& [name, lookup] : lookups_) {  // the look-up goes on; its answer is worth remembering
    lookup.first.erase(waiter);
    lookup.later.erase(waiter);
  }
}

}  // namespace coffer::router
