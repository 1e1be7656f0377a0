#include "router/core/link_keeper.h"

#include "coffer/v1/cluster.pb.h"

namespace coffer::router {

void LinkKeeper::Dial(Instant now, const std::string& address, Duration interval, std::vector<std::string>* due) {
  if (address.empty() || address == own_address_) return;
  auto [it, fresh] = dialled_.try_emplace(address, now);
  if (!fresh && now - it->second < interval) return;
  it->second = now;
  due->push_back(address);
}

std::vector<std::string> LinkKeeper::Due(Instant now, const cluster::Layout* layout,
                                         const cluster::Membership::View& view, const std::set<NodeId>& wanted) {
  std::vector<std::string> due;
  std::map<NodeId, std::string> missing;
  if (layout) {
    for (const cluster::Member& member : layout->members) missing[member.id] = member.address;
  }
  std::set<NodeId> given_up;
  bool storage_linked = false;
  for (const auto& [id, member] : view) {
    if (member.facts.role() == v1::MEMBER_ROLE_ROUTER) continue;
    missing[id] = member.facts.address();
    if (member.state == cluster::Liveness::kDead || member.state == cluster::Liveness::kLeft) given_up.insert(id);
    storage_linked |= Linked(id);
  }
  for (const auto& [id, address] : missing) {
    if (Linked(id)) continue;
    if (wanted.count(id)) {
      Dial(now, address, kWantedInterval, &due);
    } else if (!given_up.count(id)) {
      Dial(now, address, kMemberInterval, &due);
    }
  }
  if (!storage_linked) {
    for (const std::string& seed : seeds_) Dial(now, seed, kSeedInterval, &due);
  }
  std::erase_if(dialled_, [now](const auto& entry) { return now - entry.second > 10 * kSeedInterval; });
  return due;
}

}  // namespace coffer::router
