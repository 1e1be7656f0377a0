#include "cluster/layout_spread.h"

#include <algorithm>

#include "cluster/rule_mark.h"

namespace coffer::cluster {

LayoutSpread::LayoutSpread(std::uint64_t seed, Epoch ours) : random_(seed), ours_(ours) {}

LayoutSpread::Peer& LayoutSpread::Line(const NodeId& peer) {
  if (peers_.size() >= kMaxPeers && !peers_.contains(peer)) peers_.clear();
  return peers_[peer];
}

void LayoutSpread::Adopted(Epoch ours) {
  ours_ = ours;
  for (auto& [id, peer] : peers_) {
    peer.next_push = kNever;
    peer.pushes = 0;
  }
}

void LayoutSpread::Tell(Instant now, const std::vector<NodeId>& peers) {
  for (const NodeId& id : peers) {
    Peer& peer = Line(id);
    if (peer.seen < ours_) peer.next_push = now;
  }
}

void LayoutSpread::Seen(Instant now, const NodeId& id, Epoch theirs) {
  Peer& peer = Line(id);
  peer.seen = std::max(peer.seen, theirs);
  if (peer.seen > ours_) peer.pulls = 0;
  if (peer.seen >= ours_) {
    peer.next_push = kNever;
    return;
  }
  if (peer.next_push != kNever) return;
  const bool silent_so_far = peer.pushes >= kMaxPushes;
  const Duration wait = silent_so_far ? kPushRetryMax : kOthersFirst;
  RULE("A18 told later");
  peer.next_push = now + wait + Duration(random_.Below(kOthersSpread.count()));
}

void LayoutSpread::Pushed(Instant now, const NodeId& id) {
  Peer& peer = Line(id);
  ++peer.pushes;
  Duration wait = kPushRetry;
  for (int i = 1; i < peer.pushes && wait < kPushRetryMax; ++i) wait *= 2;
  peer.next_push = peer.pushes < kMaxPushes ? now + std::min(wait, kPushRetryMax) : kNever;
}

LayoutSpread::Due LayoutSpread::Take(Instant now) {
  Due due;
  std::vector<NodeId> ahead;
  for (auto& [id, peer] : peers_) {
    if (peer.next_push <= now) {
      if (peer.pushes > 0) RULE("A15");
      due.push.push_back(id);
    }
    if (Ahead(peer)) ahead.push_back(id);
  }
  for (const NodeId& id : due.push) Pushed(now, id);
  if (!ahead.empty() && next_pull_ <= now) {
    RULE("A18 pulled");
    due.pull = ahead[random_.Below(ahead.size())];
    ++peers_[*due.pull].pulls;
    next_pull_ = now + kPullRetry;
  }
  return due;
}

Instant LayoutSpread::NextDeadline() const {
  Instant next = kNever;
  for (const auto& [id, peer] : peers_) {
    next = std::min(next, peer.next_push);
    if (Ahead(peer)) next = std::min(next, next_pull_);
  }
  return next;
}

}  // namespace coffer::cluster
