// Which sessions make a link to which peer. Bookkeeping only: no callbacks, no I/O.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "proto/link/session.h"

namespace coffer::link {

inline bool SameProcess(const Identity& a, const Identity& b) {
  return a.boot == b.boot && a.boot_nonce == b.boot_nonce;
}

using SessionPtr = std::shared_ptr<Session>;

// One peer that is up. Of the sessions of a lane the oldest is the one that sends; all of them receive.
struct Peer {
  Identity identity;
  std::shared_ptr<Outbox> outbox;
  std::vector<SessionPtr> lanes[kLanes];
  // Since when another process asks for a link under this id; the epoch: nobody does.
  std::chrono::steady_clock::time_point contested;

  // Whether a frame came after this moment.
  bool HeardSince(std::chrono::steady_clock::time_point moment) const;
};

// Not thread-safe: guarded by the hub's lock.
class Peers {
 public:
  Peer* Find(const NodeId& id);
  const Peer* Find(const NodeId& id) const;
  Peer* Add(const Identity& identity, std::shared_ptr<Outbox> outbox);
  // Takes a peer down; its sessions, to be ended.
  std::vector<SessionPtr> Remove(const NodeId& id);

  // What Detach found.
  struct Detached {
    bool was_attached = false;
    bool last = false;               // no first lane is left
    std::vector<SessionPtr> active;  // these send from now on
    std::shared_ptr<Outbox> outbox;
  };
  // Takes a session out of its peer; the peer stays, even without a lane.
  Detached Detach(const SessionPtr& session);

  // Whether an address, as dialled or advertised, leads to a peer that is up.
  bool Reaches(const std::string& address) const;
  // Whether we dialled a session of this lane to the peer.
  bool Dialled(const NodeId& id, std::uint32_t lane) const;

  const std::unordered_map<NodeId, Peer, BytesHash>& all() const { return peers_; }

 private:
  std::unordered_map<NodeId, Peer, BytesHash> peers_;
};

}  // namespace coffer::link
