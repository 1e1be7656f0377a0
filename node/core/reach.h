// Whether the members that this node waits for answer it, whatever others say of them (rules L5.1 to L5.5).
//
// Gossip keeps a member alive that somebody reaches. Two members that do not reach each other would wait for each other as long as
// that lasts; this tells the one that leads a partition when it has waited long enough.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "cluster/ids.h"

namespace coffer::node {

// A single-threaded value. Holds one entry per member that something waits for or that was cut off; see Keep.
class Reach {
 public:
  // `patience`: without any answer for so long, though something waits for it, a member is cut off from us. `hold`: how long it must
  // answer again before it is trusted with a copy; doubles, up to four times as long, when it is cut off again soon.
  Reach(Duration patience, Duration hold) : patience_(patience), hold_(hold) {}

  // Something of ours can't go on before this member answers. Said again at least every second, as long as it is so. Time in which
  // gossip does not hold it to be alive counts for nothing: then its removal is everybody's matter.
  void Waits(Instant now, const NodeId& peer, bool alive);
  // It answered something that we sent: both ways are open.
  void Answered(Instant now, const NodeId& peer);
  // A link to it is made, which takes an answer. It has to hold: the time of proof begins anew.
  void LinkUp(Instant now, const NodeId& peer);
  // It is gone for everybody.
  void Forget(const NodeId& peer);
  void Keep(const std::function<bool(const NodeId&)>& wanted);

  // It was cut off and has not answered since.
  bool Silent(const NodeId& peer) const;
  // It was cut off, and has not answered for `hold` since.
  bool Avoided(Instant now, const NodeId& peer) const;
  // As Avoided, for at least this long.
  bool AvoidedFor(Instant now, const NodeId& peer, Duration at_least) const;
  // Rises whenever a member is cut off or answers again.
  std::uint64_t changes() const { return changes_; }

 private:
  struct Peer {
    Instant waits_since = kNever;  // without an answer; kNever: nothing waits
    Instant said{};                // when that was last said
    Instant cut_since = kNever;    // kNever: it is not cut off
    Instant back_since = kNever;   // since when it answers again
    int cuts = 0;                  // in a row, each soon after the one before
  };
  Duration HoldOf(const Peer& peer) const;
  const Peer* Find(const NodeId& peer) const;

  const Duration patience_;
  const Duration hold_;
  std::map<NodeId, Peer> peers_;
  std::uint64_t changes_ = 0;
};

}  // namespace coffer::node
