#include "proto/link/peers.h"

#include <algorithm>

namespace coffer::link {

bool Peer::HeardSince(std::chrono::steady_clock::time_point moment) const {
  for (const auto& lane : lanes) {
    if (std::any_of(lane.begin(), lane.end(), [&](const auto& session) { return session->heard() > moment; })) return true;
  }
  return false;
}

Peer* Peers::Find(const NodeId& id) {
  auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : &found->second;
}

const Peer* Peers::Find(const NodeId& id) const {
  return const_cast<Peers*>(this)->Find(id);
}

Peer* Peers::Add(const Identity& identity, std::shared_ptr<Outbox> outbox) {
  Peer& peer = peers_[identity.id];
  peer.identity = identity;
  peer.outbox = std::move(outbox);
  peer.contested = {};
  return &peer;
}

std::vector<SessionPtr> Peers::Remove(const NodeId& id) {
  std::vector<SessionPtr> sessions;
  auto found = peers_.find(id);
  if (found == peers_.end()) return sessions;
  for (auto& lane : found->second.lanes) sessions.insert(sessions.end(), lane.begin(), lane.end());
  peers_.erase(found);
  return sessions;
}

Peers::Detached Peers::Detach(const SessionPtr& session) {
  Detached result;
  Peer* peer = Find(session->peer().id);
  if (peer == nullptr) return result;
  auto& lane = peer->lanes[session->aim().lane];
  const auto at = std::find(lane.begin(), lane.end(), session);
  if (at == lane.end()) return result;
  const bool was_first = at == lane.begin();
  lane.erase(at);
  result.was_attached = true;
  result.outbox = peer->outbox;
  result.last = peer->lanes[kMainLane].empty();
  if (was_first && !lane.empty()) result.active.push_back(lane.front());
  if (peer->lanes[kBulkLane].empty() && session->aim().lane == kBulkLane) {
    peer->outbox->SetBulkOpen(false);
    if (!result.last) result.active.push_back(peer->lanes[kMainLane].front());
  }
  return result;
}

bool Peers::Reaches(const std::string& address) const {
  for (const auto& [id, peer] : peers_) {
    if (peer.identity.address == address) return true;
    for (const auto& session : peer.lanes[kMainLane]) {
      if (session->dialled() && session->aim().address == address) return true;
    }
  }
  return false;
}

bool Peers::Dialled(const NodeId& id, std::uint32_t lane) const {
  const Peer* peer = Find(id);
  if (peer == nullptr) return false;
  const auto& sessions = peer->lanes[lane];
  return std::any_of(sessions.begin(), sessions.end(), [](const auto& session) { return session->dialled(); });
}

}  // namespace coffer::link
