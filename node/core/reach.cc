#include "node/core/reach.h"

#include <algorithm>

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

// What waited is over, or has become something else, when it was not said again for so long.
constexpr Duration kLapse = milliseconds(1000);
// A member that gossip has just seen come back has this long to answer us.
constexpr Duration kGrace = milliseconds(1000);
constexpr Duration kSoon = minutes(5);  // after it was well again
constexpr int kDoublings = 2;

}  // namespace

void Reach::Waits(Instant now, const NodeId& id, bool alive) {
  Peer& peer = peers_[id];
  if (peer.waits_since == kNever || now - peer.said > kLapse) peer.waits_since = now;
  peer.said = now;
  if (!alive) {
    peer.waits_since = std::max(peer.waits_since, now - std::max(patience_ - kGrace, Duration(0)));
    return;
  }
  if (now - peer.waits_since < patience_ || Silent(id)) return;
  const bool again = peer.back_since != kNever && now - peer.back_since < HoldOf(peer) + kSoon;
  peer.cuts = again ? std::min(peer.cuts + 1, kDoublings + 1) : 1;
  if (!Avoided(now, id)) peer.cut_since = now;
  peer.back_since = kNever;
  ++changes_;
}

void Reach::Answered(Instant now, const NodeId& id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  peer.waits_since = kNever;
  if (peer.cut_since == kNever) {
    peers_.erase(found);
  } else if (peer.back_since == kNever) {
    peer.back_since = now;
    ++changes_;
  } else if (now - peer.back_since >= HoldOf(peer) + kSoon) {
    peers_.erase(found);
  }
}

void Reach::LinkUp(Instant now, const NodeId& id) {
  Answered(now, id);
  const auto found = peers_.find(id);
  if (found != peers_.end()) found->second.back_since = now;
}

void Reach::Forget(const NodeId& id) {
  if (peers_.erase(id) > 0) ++changes_;
}

void Reach::Keep(const std::function<bool(const NodeId&)>& wanted) {
  std::erase_if(peers_, [&](const auto& entry) { return !wanted(entry.first); });
}

bool Reach::Silent(const NodeId& id) const {
  const Peer* peer = Find(id);
  return peer && peer->cut_since != kNever && peer->back_since == kNever;
}

bool Reach::Avoided(Instant now, const NodeId& id) const { return AvoidedFor(now, id, Duration(0)); }

bool Reach::AvoidedFor(Instant now, const NodeId& id, Duration at_least) const {
  const Peer* peer = Find(id);
  if (!peer || peer->cut_since == kNever || now - peer->cut_since < at_least) return false;
  return peer->back_since == kNever || now - peer->back_since < HoldOf(*peer);
}

Duration Reach::HoldOf(const Peer& peer) const { return hold_ * (1 << std::max(peer.cuts - 1, 0)); }

const Reach::Peer* Reach::Find(const NodeId& id) const {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : &found->second;
}

}  // namespace coffer::node
