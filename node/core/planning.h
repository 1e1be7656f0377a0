// Drives the layout: decides when to propose a successor and hands changes of one partition to whoever proposes.
//
// The lowest living voter proposes first, the others after a back-off that grows with their rank, so that usually one speaks.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "cluster/agreement.h"
#include "cluster/planner.h"
#include "node/core/context.h"
#include "node/core/requests.h"

namespace coffer::node {

class Planning {
 public:
  using Execute = std::function<void(cluster::Agreement::Output)>;
  Planning(Context& context, cluster::Agreement& agreement, Execute execute)
      : ctx_(context), agreement_(agreement), execute_(std::move(execute)) {}

  // A change of a partition we lead; repeated to the usual proposer until the partition's term is over.
  void Request(const wire::ChangeRequest& request);
  // Requests handed in by other primaries.
  void OnChangeRequests(const NodeId& from, const wire::ChangeRequests& requests);
  // An operator's change.
  void OnLayoutChange(const NodeId& from, const wire::LayoutChangeRequest& request);
  void OnProposalEnded(bool decided, const std::string& why);
  // A new layout is effective: requests of past terms are done.
  void OnLayout();
  // Membership changed: look again at once.
  void OnMembershipChange() { look_at_ = ctx_.now; }
  void Tick();
  Instant NextDeadline() const { return ctx_.layout ? ctx_.now + ctx_.config.planning_interval : kNever; }

  void VisitQueues(const QueueVisitor& visit) const;

  // Members as planning sees them.
  std::map<NodeId, cluster::PlannerMember> Members() const;

 private:
  struct Operation {
    NodeId from;
    wire::LayoutChangeRequest request;
    Instant deadline;
    bool proposed = false;
    Epoch epoch;
  };
  std::optional<std::size_t> Rank() const;
  std::optional<NodeId> UsualProposer() const;
  void SendRequests();
  bool ForceIsWanted() const;
  bool QuorumAnswers() const;
  // Whether a change is a force that no majority of voters could agree on.
  bool PastVoters(const std::optional<cluster::OperatorChange>& change) const;
  NodeId Forcer() const;
  std::optional<std::string> KnowsNewer() const;
  bool TakeOperation();
  void RenewProposal();
  cluster::PlannerRequests Requests() const;
  void WithoutVote();
  void Force(const cluster::Layout& next);
  void AnswerOperation(const Operation& op, google::rpc::Status status, Epoch epoch);
  void Hand(const wire::ChangeRequest& request);
  void HandRemoval(const wire::ChangeRequest& request);
  void RefreshRemovals();
  Instant Gathered() const;
  void Prune(std::map<PartitionId, wire::ChangeRequest>* requests) const;

  Context& ctx_;
  cluster::Agreement& agreement_;
  const Execute execute_;
  std::map<PartitionId, wire::ChangeRequest> mine_;     // we lead these partitions
  std::map<PartitionId, wire::ChangeRequest> handed_;   // handed in, ours among them
  // Removals count while they are repeated, which ends when the member answers its primary (L5.2).
  struct Removal {
    wire::ChangeRequest request;
    Instant heard{};
  };
  std::map<PartitionId, wire::ChangeRequest> my_removals_;
  std::map<PartitionId, Removal> removals_;             // handed in, ours among them
  std::deque<Operation> operations_;
  Instant look_at_{};
  Instant send_at_{};
  Instant newest_request_{};        // when a request was last handed in that was not known
  Instant wanting_since_ = kNever;  // since when a successor is due but not ours to propose
};

// The operator's change as the planner knows it; nothing when the request is malformed.
std::optional<cluster::OperatorChange> ChangeOf(const wire::LayoutChangeRequest& request);

}  // namespace coffer::node
