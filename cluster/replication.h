// A primary's view of one partition in one (term, boot): who must hold a write, who does, and what follows from it.
//
// Rules R2, R3, R4, R6 and R7 of docs/protocol.md. Positions only; the writes themselves are the owner's.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "cluster/ids.h"

namespace coffer::cluster {

// A single-threaded value; it lives as long as the term and the process.
class PrimaryProgress {
 public:
  // `in_sync` includes ourselves. `tail` is our last write at the moment of adoption: everything up to it must be on every
  // member before we serve.
  PrimaryProgress(NodeId self, std::vector<NodeId> in_sync, std::optional<NodeId> proposed, std::uint32_t min_copies,
                  Seq tail);

  // Everybody a write is sent to, in the order of their ids: members, the proposed and the streaming learner; without ourselves. Each write
  // asks several times, so it is kept: no learner may be taken or withdrawn while it is gone through.
  const std::vector<NodeId>& Receivers() const { return receivers_; }
  // Everybody whose durable copy commits: in_sync and the proposed learner, with ourselves.
  const std::vector<NodeId>& ackset() const { return ackset_; }
  bool InAckset(const NodeId& id) const;

  // First contact is made: from now on the peer extends what it holds. Until then its acknowledgements count for nothing.
  void Contacted(const NodeId& peer);
  // The peer's link broke or it lost its place: contact has to be made anew.
  void LoseContact(const NodeId& peer);
  bool HasContact(const NodeId& peer) const;
  // The peer holds, durably and since contact, exactly everything up to `seq` (a learner: from its base on).
  void Acked(const NodeId& peer, Seq seq);
  Seq AckedBy(const NodeId& peer) const;
  void LocalDurable(Seq seq);

  // R7: a volatile learner, nobody of the ackset, gets live writes after `base`.
  void StartLearner(const NodeId& learner, Seq base);
  void WithdrawLearner();
  const std::optional<NodeId>& learner() const { return learner_; }
  Seq learner_base() const { return learner_base_; }
  // The learner said its history is complete; `last`: the last write ordered by now. What a write covered before (a delete of a chunk
  // that had not come yet) was not fetched: until that write is committed, it may be undone where nothing is left under it.
  void LearnerComplete(Seq last) {
    if (!learner_complete_) learner_complete_at_ = last;
    learner_complete_ = true;
  }
  bool learner_complete() const { return learner_complete_; }
  // R7: active, and the learner holds everything committed. Marking it is the owner's durable step.
  bool MayPropose() const;
  // From now on the learner counts for acknowledgements, activation and confirmations, until the term ends.
  void MarkProposed();
  const std::optional<NodeId>& proposed() const { return proposed_; }

  // R4: every member of the ackset holds the whole tail. Once true, true for the term.
  bool active() const { return active_; }
  // Highest write that is durable on the whole ackset. Meaningful once active.
  Seq committed() const { return committed_; }
  // Highest write that may be acknowledged: committed and on at least min_copies members.
  Seq acknowledged() const { return acknowledged_; }
  // A decided layout changed the number of copies. More of them: what was acknowledged with fewer is not acknowledged again before it
  // has them.
  void SetMinCopies(std::uint32_t min_copies);
  // R2: whether a new write could ever be acknowledged as things are: enough members and learners to reach min_copies.
  bool MayWrite() const;
  // Whether a write up to the tail, ordered before this term, has min_copies copies without being ordered again (R6).
  bool OldWritesHaveCopies() const { return ackset_.size() >= min_copies_; }

 private:
  void KeepReceivers();
  struct Peer {
    bool contacted = false;
    Seq durable;
  };
  void Update();

  const NodeId self_;
  std::vector<NodeId> ackset_;
  std::uint32_t min_copies_;
  const Seq tail_;
  std::map<NodeId, Peer> peers_;
  std::vector<NodeId> receivers_;  // the keys of peers_
  Seq local_durable_;
  std::optional<NodeId> proposed_;
  std::optional<NodeId> learner_;
  Seq learner_base_;
  bool learner_complete_ = false;
  Seq learner_complete_at_;
  bool active_ = false;
  Seq committed_;
  Seq acknowledged_;
};

}  // namespace coffer::cluster
