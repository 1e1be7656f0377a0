// The receiving side of every partition this node does not lead: the fence, first contact, live writes, confirmations
// (rules R1, R2, R4, R5).
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "node/core/context.h"
#include "node/core/partition_map.h"

namespace coffer::node {

class Followers {
 public:
  struct Hooks {
    // The sender knows a newer layout than ours.
    std::function<void(const NodeId& peer, Epoch at_least)> newer_layout;
    // The primary chose us as its learner (history: it may be asked for now), or withdrew us.
    std::function<void(const NodeId& primary, const wire::LearnerRole&)> learner_role;
    // What we copied became durable; we may lead the partition by now.
    std::function<void(PartitionId)> durable;
    // Live writes up to here are durable on us as a learner.
    std::function<void(PartitionId)> advanced;
  };
  Followers(Context& context, Hooks hooks) : ctx_(context), hooks_(std::move(hooks)) {}

  // The partition's term is over: volatile state goes.
  void EndTerm(PartitionId partition) { follows_.erase(partition); }
  // A new layout is effective, its terms have begun: what came too early for them is received now.
  void OnLayout();
  // Something this node wrote or copied, in this term or an earlier one, is durable: what waited for that goes on.
  void OnWritten(PartitionId partition);

  void OnContact(const NodeId& from, const wire::Contact& contact);
  void OnReplicate(const NodeId& from, wire::Replicate replicate, std::vector<Payload> bodies);
  void OnCommitMarks(const NodeId& from, const wire::CommitMarks& marks);
  void OnConfirm(const NodeId& from, const wire::Confirm& confirm);
  void OnLearnerRole(const NodeId& from, const wire::LearnerRole& role);
  void OnDiscard(const NodeId& from, const wire::Discard& discard);
  // Makes the commit marks durable that no write has taken along (R4.6).
  void Tick();
  Instant NextDeadline() const { return keep_marks_at_; }

  // When the primary was last heard about the partition; for local reads.
  std::optional<Instant> LastHeard(PartitionId partition) const;
  // Whether the partition's log here was begun for this choice of us as its learner.
  bool LearnsFor(PartitionId partition, std::uint64_t choice) const;
  void VisitQueues(const QueueVisitor& visit) const;
  // True while the partition is fed as learner by the primary's present boot.
  bool Learning(PartitionId partition) const;

 private:
  struct Follow {
    Term term;
    Boot boot;
    bool boot_durable = false;  // what says that a contact of this boot was answered is on the disk
    Seq primary_last;        // as its contact said
    bool contacted = false;  // first contact of (term, boot) is made: writes only extend
    bool learner = false;
    std::uint64_t choice = 0;  // of the last learner_start in (term, boot)
    bool received = false;   // data came in this term: not to be discarded (R12)
    Instant heard{};
    std::optional<wire::Contact> deferred_contact;  // answered when what is under way is durable
    std::optional<std::pair<wire::Replicate, std::vector<Payload>>> deferred_replace;
  };
  // The fence: nothing unless the message is of the partition's present term and from its primary.
  Follow* Fence(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot);
  // Whether a message that the fence refused is kept, its bytes counted: it is of a term that has not begun here, and there is room.
  bool MayKeepEarly(PartitionId partition, std::uint64_t term, std::size_t bytes);
  bool Cut(PartitionReplica& replica, const Follow& follow, const wire::Replicate& replicate, StoreBatch* batch);
  void Ack(PartitionId partition, const NodeId& to, const Follow& follow, bool mismatch);
  // Extends the log by what follows on it, which leaves the message; what stands before something that does not is taken all the same.
  enum class Taken { kAll, kMismatch, kMalformed, kUnreadable };
  Taken TakeWrites(PartitionReplica& replica, wire::Replicate* replicate, const std::vector<Payload>& bodies, StoreBatch* batch);
  // Makes what was applied durable, then says so.
  void PersistAndAck(PartitionId partition, const NodeId& primary, const Follow& follow, StoreBatch batch);
  void Durable(PartitionId partition, const NodeId& primary, Term term, Boot boot, const Applied& applied);
  void AnswerContact(const NodeId& from, const wire::Contact& contact, const Follow& follow);
  void NoteMark(PartitionId partition);

  Context& ctx_;
  const Hooks hooks_;
  PartitionMap<Follow> follows_;
  std::set<PartitionId> marks_;  // whose mark moved without a write
  Instant keep_marks_at_ = kNever;  // kNever: there are none
  std::vector<std::function<void()>> early_;
  std::size_t early_bytes_ = 0;
};

}  // namespace coffer::node
