// The primary's side of every partition this node leads: first contact, activation, ordering of writes, acknowledgements,
// learners (rules R2, R4, R6, R7, R12).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "cluster/replication.h"
#include "node/core/context.h"
#include "node/core/partition_map.h"
#include "node/core/requests.h"

namespace coffer::node {

class Primaries {
 public:
  // What the owner wants to know.
  struct Hooks {
    // Hands a change of the partition to the usual proposer; repeated by the owner until the term is over.
    std::function<void(const wire::ChangeRequest&)> request_change;
    // Writes up to `committed` are committed (watchers, zone deletion).
    std::function<void(PartitionId, Seq committed)> committed;
    // A write of ours is durable, and we don't lead the partition any more.
    std::function<void(PartitionId)> written;
    // Authority over the partition is gone: answer what waits.
    std::function<void(PartitionId)> ended;
    // A record of the log's range does not verify.
    std::function<void(PartitionId, const RecordKey&)> repair;
  };
  Primaries(Context& context, Hooks hooks) : ctx_(context), hooks_(std::move(hooks)) {}

  // A new term in which we are primary, or our restart in it; and its end.
  void StartTerm(PartitionId partition);
  void EndTerm(PartitionId partition, bool still_primary);
  // Learners may have to change: goals, membership or settings did.
  void Review(PartitionId partition);

  void OnContactAnswer(const NodeId& from, const wire::ContactAnswer& answer);
  void OnAck(const NodeId& from, const wire::ReplicateAck& ack);
  void OnMarksAck(const NodeId& from, const wire::CommitMarksAck& ack);
  void OnHistoryDone(const NodeId& from, const wire::HistoryDone& done);
  void OnDiscardRequest(const NodeId& from, const wire::DiscardRequest& request);
  // Writes we copied as a follower became durable after we were promoted: activation waits for them.
  void OnLocalDurable(PartitionId partition);
  void OnLinkUp(const NodeId& peer);
  void OnLinkDown(const NodeId& peer);
  // Re-sends contacts and requests that got no answer, drops expired waiters.
  void Tick();
  Instant NextDeadline() const;

  // Null unless we are primary in the partition's current term.
  const cluster::PrimaryProgress* Progress(PartitionId partition) const;
  bool Active(PartitionId partition) const;
  // Whether writes go on: active, or taking over and about to be (less than half a second since the term began).
  bool Writable(PartitionId partition) const;
  // Where each partition we lead stands with its learner, for the report.
  std::optional<NodeId> LearnerOf(PartitionId partition) const;

  // Orders a write: stamps it, applies it, sends it on. `done` runs when it may be acknowledged, once; it never runs
  // when authority ends first (the asker asks again and finds out).
  // Refuses (returns a status) when the partition can't take writes now.
  using Done = std::function<void()>;
  std::optional<google::rpc::Status> Order(PartitionId partition, wire::Write write, std::vector<Payload> bodies,
                                           const Waiter& waiter, Done done);
  // A write that came while the partition is about to be served: `again` runs once it is, `refused` if that takes too long; neither
  // when authority ends first, which the asker is told. False: there is nothing to wait for, or too much waits.
  bool WhenActive(PartitionId partition, const Waiter& waiter, Done again, Done refused);
  // Runs `done` once everything up to `seq`, which is ordered already, may be acknowledged (R6).
  void WhenAcknowledged(PartitionId partition, Seq seq, const Waiter& waiter, Done done);
  // Runs `done` once everything up to `seq` is committed.
  void WhenCommitted(PartitionId partition, Seq seq, const Waiter& waiter, Done done);
  // R6: whether the write with this position has its copies; if not yet known it may have to be ordered again.
  enum class Standing { kAcknowledged, kWillBe, kOrderAgain };
  Standing StandingOf(PartitionId partition, Seq seq) const;
  // Requests that wait for the partition here.
  std::size_t CountWaiting(PartitionId partition) const;
  void VisitQueues(const QueueVisitor& visit) const;
  // Why the partition takes no writes that add data now.
  std::optional<google::rpc::Status> WhyNoWrites(PartitionId partition, bool adds_data) const;

 private:
  struct Waiting {
    Seq seq;
    bool committed_is_enough;
    Waiter waiter;
    Done done;
  };
  // Not ordered yet, because the partition is not served yet.
  struct Early {
    Waiter waiter;
    Instant until;
    Done again, refused;
  };
  struct Lead {
    cluster::PrimaryProgress progress;
    Term term;
    Instant since{};                  // when this term began here
    std::vector<Waiting> waiting;     // roughly by seq; no deque: thousands of leads at rest have none
    std::vector<Early> early;         // in the order in which they came
    std::map<NodeId, Instant> contact_sent;
    struct Silence {
      Seq acked;
      Instant since{};
    };
    std::map<NodeId, Silence> silent;  // receivers that lack something: what they acknowledged last, and since when
    bool learner_history = false;
    bool overdue = false;  // its learner was filled and lacked the last write when it was to be proposed: at once when it has it
    bool learner_answered = false;  // since it was chosen
    std::uint64_t choice = 0;       // of the learner, also once it is proposed; an answer to an earlier one is void
    Seq choice_base;                // where its log begins
    std::optional<NodeId> chosen;   // until contact is made with it as a member
    Instant review_at{};
    Seq told_committed;               // to whoever has contact, at that time
    Instant told_at{};
    std::map<NodeId, Seq> knows_committed;  // as receivers said since contact
    // The last sweep found nothing that time alone could make due but the review; whatever touches the lead clears it.
    bool settled = false;
  };

  std::vector<NodeId> InSyncOf(PartitionId partition) const;
  void SendContact(PartitionId partition, Lead& lead, const NodeId& peer);
  // False: the log can't be read from there on, and nothing is known to have arrived.
  bool SendFrom(PartitionId partition, Lead& lead, const NodeId& peer, Seq after, const Digest& hash, bool replace,
                bool learner_start);
  void Advance(PartitionId partition, Lead& lead);
  void RetrySilent(PartitionId partition, Lead& lead);
  void NoteWaiting(PartitionId partition, const Lead& lead);
  void NoteReach();
  void AskToRemoveSilent(PartitionId partition, const Lead& lead);
  void TellCommitted(PartitionId partition, Lead& lead);
  void SendMarks();
  void Sweep(PartitionId partition, Lead& lead);
  bool IsSettled(PartitionId partition, const Lead& lead) const;
  // The lead of a partition, which the caller may change; null: none.
  Lead* Touch(PartitionId partition);
  void Resolve(PartitionId partition, Lead& lead);
  void RefuseLate(Lead& lead);
  // Whether the partition's learner holds all it has to hold.
  static bool MayPropose(const Lead& lead);
  void TryPropose(PartitionId partition, Lead& lead);
  // Counts the learner from now on.
  void Propose(PartitionId partition, Lead& lead);
  // `filling`: how many learners are still being filled from here.
  void ProposeReady(std::size_t filling);
  void FlushProposals();
  std::optional<NodeId> WantedLearner(PartitionId partition, const Lead& lead, bool* history) const;
  void StartLearner(PartitionId partition, Lead& lead, const NodeId& learner, bool history);
  void AskAgain(Lead& lead, Seq up_to);
  void WithdrawLearner(PartitionId partition, Lead& lead);
  // Whether what `from` says was said since it was chosen last. It may have been said in the same term, and before.
  static bool OfThisChoice(const Lead& lead, const NodeId& from, std::uint64_t choice) {
    return lead.chosen != from || lead.choice == choice;
  }
  void SendRole(PartitionId partition, const Lead& lead, const NodeId& learner, bool chosen, bool history);

  Context& ctx_;
  const Hooks hooks_;
  PartitionMap<std::unique_ptr<Lead>> leads_;
  std::map<PartitionId, std::vector<Waiting>> carried_;  // waiters kept over a term change while we stay primary
  std::set<PartitionId> ready_;                          // whose learners hold everything: proposed together
  Instant ready_since_{};                                // meaningless when there are none
  std::vector<cluster::ProposedAdd> proposals_waiting_;  // marked in memory, not yet durable
  bool proposals_in_flight_ = false;
  std::uint64_t last_choice_ = 0;
  std::uint64_t reach_seen_ = 0;          // Reach::changes() when the leads were last told
  std::set<NodeId> cut_off_;               // as the log was last told
  Instant next_sweep_{};
  std::map<NodeId, wire::CommitMarks> marks_;  // by receiver, of the sweep under way
};

}  // namespace coffer::node
