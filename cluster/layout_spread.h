// How a decided layout reaches everybody: whom to push ours to, and whom to pull a newer one from.
//
// Sentences A15 to A18 of docs/protocol.md. A pure machine of times and epochs; its owner makes the messages.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "cluster/ids.h"
#include "cluster/queue_fill.h"
#include "cluster/random.h"

namespace coffer::cluster {

// What each peer is known to have. Single-threaded; owned by Agreement.
class LayoutSpread {
 public:
  static constexpr Duration kPushRetry = std::chrono::milliseconds(300);  // after the first push; doubles with each ...
  static constexpr Duration kPushRetryMax = std::chrono::seconds(5);      // ... up to this
  static constexpr int kMaxPushes = 6;  // without a sign of life; a later sighting starts again, at the longest interval
  static constexpr Duration kOthersFirst = std::chrono::milliseconds(200);  // wait before telling a peer seen behind, ...
  static constexpr Duration kOthersSpread = std::chrono::milliseconds(800); // ... and a random time up to this on top
  static constexpr Duration kPullRetry = std::chrono::milliseconds(250);
  static constexpr int kMaxPulls = 8;          // from one peer since it was last seen
  static constexpr std::size_t kMaxPeers = 1024;

  LayoutSpread(std::uint64_t seed, Epoch ours);

  // We have this epoch now: what was to be told or asked for before is settled.
  void Adopted(Epoch ours);
  // Everyone here must be told, at once and until seen to have it.
  void Tell(Instant now, const std::vector<NodeId>& peers);
  // A peer has at least this epoch (epochs never fall, so older news of it is ignored).
  void Seen(Instant now, const NodeId& peer, Epoch theirs);
  // Ours is on its way to the peer.
  void Pushed(Instant now, const NodeId& peer);

  struct Due {
    std::vector<NodeId> push;
    std::optional<NodeId> pull;
  };
  // Whatever is due by `now`; counts as sent.
  Due Take(Instant now);
  Instant NextDeadline() const;

  void VisitQueues(const QueueVisitor& visit) const { visit({"members whose epoch is remembered", peers_.size(), kMaxPeers}); }

 private:
  struct Peer {
    Epoch seen;
    Instant next_push = kNever;
    int pushes = 0;  // of the present epoch
    int pulls = 0;   // since it was last seen ahead
  };
  // The peer's line; when there are too many, all are forgotten, which costs a few repeated pushes.
  Peer& Line(const NodeId& peer);
  bool Ahead(const Peer& peer) const { return peer.seen > ours_ && peer.pulls < kMaxPulls; }

  Random random_;
  Epoch ours_;
  std::map<NodeId, Peer> peers_;
  Instant next_pull_{};
};

}  // namespace coffer::cluster
