#include "node/core/planning.h"

#include <algorithm>

#include "node/core/refusal.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

using cluster::Liveness;
using cluster::OperatorChange;
using std::chrono::milliseconds;

constexpr Duration kSendRequests = milliseconds(300);
constexpr Duration kRemovalLasts = milliseconds(1500);
constexpr Duration kLookAgain = milliseconds(500);
// A primary's adds gather this long before they are handed over, those of several primaries for layout_gather.
constexpr Duration kGatherOwn = milliseconds(50);
constexpr int kGatherAtMost = 5;  // times layout_gather: adds that trickle in can't put a layout off for longer
// So long primaries stay where they are for the sake of copies that are still to come, with which they move.
constexpr Duration kHandOverWaits = std::chrono::seconds(2);
constexpr Duration kNeverHeard = std::chrono::seconds(10);
constexpr Duration kRankDelay = milliseconds(1500);
constexpr Duration kOperationDeadline = std::chrono::seconds(8);
constexpr std::size_t kMostOperations = 64;  // at once; more are refused

cluster::JoinToken TokenOf(const wire::LayoutJoinToken& from) {
  return {from.hash(), from.expires_ms(), from.used(), from.used_by()};
}

std::optional<OperatorChange> TokenChangeOf(const wire::JoinTokenChange& from) {
  using Kind = cluster::JoinTokenChange::Kind;
  OperatorChange change{OperatorChange::Kind::kJoinToken};
  change.token.now_ms = from.now_ms();
  switch (from.kind_case()) {
    case wire::JoinTokenChange::kCreate:
      change.token.kind = Kind::kCreate;
      change.token.token = TokenOf(from.create());
      return change;
    case wire::JoinTokenChange::kRedeem:
      change.token.kind = Kind::kRedeem;
      change.token.token = TokenOf(from.redeem());
      return change;
    case wire::JoinTokenChange::kRevoke:
      change.token.kind = Kind::kRevoke;
      change.token.token.hash = from.revoke();
      return change;
    case wire::JoinTokenChange::KIND_NOT_SET: break;
  }
  return std::nullopt;
}

cluster::DiskPace PaceOf(wire::DiskPace pace) {
  switch (pace) {
    case wire::DISK_PACE_USUAL: return cluster::DiskPace::kUsual;
    case wire::DISK_PACE_SLOW: return cluster::DiskPace::kSlow;
    default: return cluster::DiskPace::kUnknown;
  }
}

// Why the change can't be made, as an answer; nothing if it can.
std::optional<google::rpc::Status> WhyNot(const cluster::Layout& layout, const std::map<NodeId, cluster::PlannerMember>& members,
                                          const OperatorChange& change) {
  if (change.kind == OperatorChange::Kind::kJoinToken) {
    const auto refusal = cluster::WhyRefused(layout, change.token);
    if (!refusal) return std::nullopt;
    return Refuse(Code::kFailedPrecondition, refusal->reason, refusal->message);
  }
  const auto why = cluster::WhyRefused(layout, members, change);
  if (!why) return std::nullopt;
  return Refuse(Code::kFailedPrecondition, "CHANGE_REFUSED", *why);
}

// Whether `next` moves primaries and does nothing else, while groups lack copies that their goals name.
bool MovesPrimariesAheadOfCopies(const cluster::Layout& current, const cluster::Layout& next) {
  if (next.members != current.members || next.voters != current.voters || next.settings != current.settings ||
      next.join_tokens != current.join_tokens) {
    return false;
  }
  bool lacking = false;
  for (PartitionId p = 0; p < current.partition_count(); ++p) {
    const cluster::Group& group = next.group(p);
    if (group.in_sync != current.group(p).in_sync || group.goal != current.group(p).goal) return false;
    lacking = lacking || std::any_of(group.goal.begin(), group.goal.end(), [&](auto m) { return !group.InSync(m); });
  }
  return lacking;
}

}  // namespace

std::optional<OperatorChange> ChangeOf(const wire::LayoutChangeRequest& request) {
  using Kind = OperatorChange::Kind;
  if (request.has_resync()) {
    const auto& r = request.resync();
    if (r.has_pause()) return OperatorChange{Kind::kPauseResync};
    if (r.has_resume()) return OperatorChange{Kind::kResumeResync};
    if (r.has_limit_bytes_per_second()) return OperatorChange{Kind::kLimitResync, "", r.limit_bytes_per_second()};
    return std::nullopt;
  }
  if (request.has_join_token()) return TokenChangeOf(request.join_token());
  const auto& c = request.change();
  switch (c.kind_case()) {
    case coffer::v1::LayoutChange::kDrain: return OperatorChange{Kind::kDrain, c.drain()};
    case coffer::v1::LayoutChange::kUndrain: return OperatorChange{Kind::kUndrain, c.undrain()};
    case coffer::v1::LayoutChange::kForget: return OperatorChange{Kind::kForget, c.forget()};
    case coffer::v1::LayoutChange::kReweight: return OperatorChange{Kind::kReweight, c.reweight().node(), c.reweight().weight()};
    case coffer::v1::LayoutChange::kFresh: return OperatorChange{Kind::kFresh};
    case coffer::v1::LayoutChange::kMinCopies: return OperatorChange{Kind::kMinCopies, "", c.min_copies()};
    case coffer::v1::LayoutChange::kScrub:
      if (c.scrub() == coffer::v1::SCRUB_CONTROL_START) return OperatorChange{Kind::kStartScrub};
      return OperatorChange{c.scrub() == coffer::v1::SCRUB_CONTROL_PAUSE ? Kind::kPauseScrub : Kind::kResumeScrub};
    case coffer::v1::LayoutChange::kForce: return OperatorChange{Kind::kForce, c.force()};
    default: return std::nullopt;
  }
}

std::map<NodeId, cluster::PlannerMember> Planning::Members() const {
  std::map<NodeId, cluster::PlannerMember> members;
  for (const auto& [id, view] : *ctx_.membership->view()) {
    if (view.facts.role() != coffer::v1::MEMBER_ROLE_STORAGE && view.facts.role() != coffer::v1::MEMBER_ROLE_WITNESS) continue;
    cluster::PlannerMember m;
    m.id = id;
    m.name = view.facts.name();
    m.address = view.facts.address();
    m.weight = view.facts.weight() == 0 ? 100 : view.facts.weight();
    m.failure_domain = view.facts.failure_domain();
    m.certificate_name = view.facts.certificate_name();
    m.witness = view.facts.role() == coffer::v1::MEMBER_ROLE_WITNESS;
    m.alive = id == ctx_.self || view.state == Liveness::kAlive;
    m.suspect = id != ctx_.self && view.state == Liveness::kSuspect;
    // Remembered from before our start and not heard of since: it may be starting too, so it is not taken for dead at once.
    const bool unheard = !m.alive && view.incarnation.value == 0;
    if (unheard && ctx_.now - ctx_.started < kNeverHeard) m.suspect = true;
    if (!m.alive && !m.suspect) m.dead_for = ctx_.now - view.since;
    m.blocks = view.facts.blocks();
    m.disk = PaceOf(view.facts.disk_pace());
    members[id] = std::move(m);
  }
  if (!ctx_.layout) return members;
  // A member nobody has heard of since our start is suspect for a while (it may be starting too), then as dead as any other.
  for (const auto& member : ctx_.layout->members) {
    if (members.contains(member.id)) continue;
    cluster::PlannerMember m;
    m.id = member.id;
    m.name = member.name;
    m.address = member.address;
    m.weight = member.weight;
    m.failure_domain = member.failure_domain;
    m.certificate_name = member.certificate_name;
    m.witness = member.witness;
    m.suspect = ctx_.now - ctx_.started < kNeverHeard;
    if (!m.suspect) m.dead_for = ctx_.now - ctx_.started;
    members[member.id] = std::move(m);
  }
  return members;
}

std::optional<std::size_t> Planning::Rank() const {
  if (!ctx_.layout || !ctx_.layout->IsVoter(ctx_.self)) return std::nullopt;
  std::size_t rank = 0;
  for (const auto v : ctx_.layout->voters) {
    const NodeId& id = ctx_.IdOf(v);
    if (id < ctx_.self && ctx_.membership->IsAlive(id)) ++rank;
  }
  return rank;
}

std::optional<NodeId> Planning::UsualProposer() const {
  std::optional<NodeId> lowest;
  for (const auto v : ctx_.layout->voters) {
    const NodeId& id = ctx_.IdOf(v);
    if (ctx_.Alive(id) && !ctx_.reach.Silent(id) && (!lowest || id < *lowest)) lowest = id;
  }
  return lowest;
}

void Planning::Prune(std::map<PartitionId, wire::ChangeRequest>* requests) const {
  std::erase_if(*requests, [&](const auto& e) {
    if (e.first >= ctx_.layout->partition_count()) return true;
    return ctx_.group(e.first).term != Term(e.second.term()) && !Planted(Bug::kOldTermAddAccepted) && !Planted(Bug::kAddNamesPrimary);
  });
}

void Planning::Request(const wire::ChangeRequest& request) {
  if (request.has_remove()) {
    my_removals_[request.partition()] = request;
    HandRemoval(request);
  } else {
    mine_[request.partition()] = request;
    Hand(request);
  }
  send_at_ = std::min(send_at_, ctx_.now + kGatherOwn);
}

void Planning::Hand(const wire::ChangeRequest& request) {
  wire::ChangeRequest& known = handed_[request.partition()];
  if (known.term() == request.term() && known.kind_case() == request.kind_case() && known.add() == request.add()) return;
  known = request;
  newest_request_ = ctx_.now;
  // A renewal or a merge is looked at now, because writes wait for it; an add once its fellows are there.
  look_at_ = std::min(look_at_, request.has_add() ? ctx_.now + ctx_.config.layout_gather : ctx_.now);
}

// Writes and reads wait for it, so it is looked at now.
void Planning::HandRemoval(const wire::ChangeRequest& request) {
  Removal& known = removals_[request.partition()];
  const bool same = known.request.term() == request.term() && known.request.remove() == request.remove();
  known = {request, ctx_.now};
  if (!same) look_at_ = ctx_.now;
}

// L5.2: whoever answers its primary again stays.
void Planning::RefreshRemovals() {
  std::erase_if(my_removals_, [this](const auto& e) { return !ctx_.reach.Silent(NodeId::Must(e.second.remove())); });
  for (const auto& [partition, request] : my_removals_) removals_[partition].heard = ctx_.now;
  std::erase_if(removals_, [this](const auto& e) {
    const bool stands = ctx_.IsPrimary(e.first) ? my_removals_.contains(e.first) : ctx_.now - e.second.heard <= kRemovalLasts;
    if (!stands) RULE("L5.2");
    return !stands;
  });
}

// L4: only the partition's primary asks, and only for its own term.
void Planning::OnChangeRequests(const NodeId& from, const wire::ChangeRequests& requests) {
  if (!ctx_.layout) return;
  for (const auto& r : requests.changes()) {
    if (r.partition() >= ctx_.layout->partition_count()) continue;
    const bool by_primary = ctx_.IdOf(ctx_.group(r.partition()).primary) == from || Planted(Bug::kOldTermAddAccepted);
    const bool in_term = ctx_.group(r.partition()).term == Term(r.term()) || Planted(Bug::kOldTermAddAccepted) ||
                         Planted(Bug::kAddNamesPrimary);
    if (!by_primary || !in_term) {
      RULE("L4 refused");
      continue;
    }
    if (!r.has_remove()) {
      Hand(r);
    } else if (r.remove().size() == NodeId::kSize) {
      HandRemoval(r);
    } else {
      ++ctx_.counters.dropped;
    }
  }
}

// Removals go to every voter that answers: where members do not see each other, the usual proposer may not be able to decide.
void Planning::SendRequests() {
  if (ctx_.now < send_at_ || (mine_.empty() && my_removals_.empty())) return;
  send_at_ = ctx_.now + kSendRequests;
  const auto proposer = UsualProposer();
  for (const auto v : ctx_.layout->voters) {
    const NodeId& id = ctx_.IdOf(v);
    const bool usual = proposer == id && !mine_.empty();
    if (id == ctx_.self || (!usual && (my_removals_.empty() || !ctx_.Alive(id) || ctx_.reach.Silent(id)))) continue;
    wire::Peer message;
    auto* requests = message.mutable_change_requests();
    if (usual) {
      for (const auto& [partition, request] : mine_) *requests->add_changes() = request;
    }
    for (const auto& [partition, request] : my_removals_) *requests->add_changes() = request;
    ctx_.Send(id, std::move(message));
  }
}

void Planning::OnLayout() {
  Prune(&mine_);
  Prune(&handed_);
  Prune(&my_removals_);
  std::erase_if(removals_, [this](const auto& e) {
    return e.first >= ctx_.layout->partition_count() || ctx_.group(e.first).term != Term(e.second.request.term());
  });
  look_at_ = ctx_.now;
  wanting_since_ = kNever;
}

void Planning::OnLayoutChange(const NodeId& from, const wire::LayoutChangeRequest& request) {
  if (operations_.size() >= kMostOperations) {
    return AnswerOperation({from, request, {}}, Refuse(Code::kResourceExhausted, "QUEUE_FULL",
                                                       std::to_string(kMostOperations) + " changes of the layout wait at this node, its limit; "
                                                       "nothing was changed. Try again.", milliseconds(500)), Epoch{});
  }
  operations_.push_back({from, request, ctx_.now + kOperationDeadline});
  look_at_ = ctx_.now;
}

void Planning::VisitQueues(const QueueVisitor& visit) const {
  const std::uint64_t partitions = ctx_.layout ? ctx_.layout->partition_count() : 0;
  for (const std::size_t size : {mine_.size(), handed_.size(), my_removals_.size(), removals_.size()}) {
    visit({"changes asked for by primaries", size, partitions});
  }
  visit({"changes asked for by operators", operations_.size(), kMostOperations});
}

void Planning::AnswerOperation(const Operation& op, google::rpc::Status status, Epoch epoch) {
  wire::Peer message;
  auto* response = message.mutable_layout_change_response();
  response->set_call(op.request.call());
  *response->mutable_status() = std::move(status);
  response->set_epoch(epoch.value);
  ctx_.Send(op.from, std::move(message));
}

void Planning::OnProposalEnded(bool decided, const std::string& why) {
  look_at_ = ctx_.now;
  if (operations_.empty() || !operations_.front().proposed) {
    if (!decided && !why.empty()) ctx_.Event(NodeEvent::Level::kDebug, "a layout proposal did not succeed and is made anew: " + why);
    return;
  }
  Operation& op = operations_.front();
  op.proposed = false;
  if (!decided) return;  // tried again until its deadline
  AnswerOperation(op, {}, op.epoch);
  operations_.pop_front();
}

// Deals with the operator's request in front; true when a proposal for it is under way.
bool Planning::TakeOperation() {
  while (!operations_.empty()) {
    Operation& op = operations_.front();
    if (op.proposed) return true;
    auto change = ChangeOf(op.request);
    const bool past_voters = PastVoters(change);
    if (past_voters) change->number = cluster::kForcedEpochs;
    google::rpc::Status status;
    if (!change) {
      status = Refuse(Code::kInvalidArgument, "BAD_REQUEST", "no change was named; nothing was changed");
    } else if (op.request.epoch() != 0 && Epoch(op.request.epoch()) != ctx_.layout->epoch) {
      status = Refuse(Code::kAborted, "PLAN_STALE", "the layout is at epoch " + std::to_string(ctx_.layout->epoch.value) +
                                                        " now; nothing was changed. Plan again.");
    } else if (const auto newer = change->kind == OperatorChange::Kind::kForce ? KnowsNewer() : std::nullopt) {
      RULE("L9 newer is known");
      status = Refuse(Code::kAborted, "PLAN_STALE", *newer + " knows a newer layout, which is on its way here; nothing was changed. Plan again.");
    } else if (auto why = WhyNot(*ctx_.layout, Members(), *change)) {
      status = std::move(*why);
    } else if (past_voters && Forcer() != ctx_.self) {
      status = Refuse(Code::kUnavailable, "NOT_A_VOTER", ctx_.NameOf(Forcer()) + " carries this out; ask it");
    } else if (op.deadline <= ctx_.now) {
      status = Refuse(Code::kUnavailable, "NO_QUORUM",
                      "no majority of voters agreed in time; the change may still be decided. Look at the status, then ask again.");
    } else {
      cluster::PlannerRequests requests;
      const auto next = cluster::PlanNext(*ctx_.layout, Members(), requests, *change, ctx_.config.planner);
      if (next && !past_voters) {
        if (change->kind == OperatorChange::Kind::kForce) RULE("L9 by a majority");
        op.proposed = true;
        op.epoch = next->epoch;
        execute_(agreement_.Propose(ctx_.now, *next));
        return true;
      }
      if (next) Force(*next);
      AnswerOperation(op, {}, next ? next->epoch : ctx_.layout->epoch);
      operations_.pop_front();
      if (next) return true;  // what comes next is planned from that layout, once it is durable
      continue;
    }
    AnswerOperation(op, std::move(status), ctx_.layout->epoch);
    operations_.pop_front();
  }
  return false;
}

// Whoever has no vote proposes nothing (A1). What an operator forces past the voters needs none.
void Planning::WithoutVote() {
  std::deque<Operation> forces;
  for (Operation& op : std::exchange(operations_, {})) {
    if (PastVoters(ChangeOf(op.request))) {
      forces.push_back(std::move(op));
    } else {
      RULE("A1");
      AnswerOperation(op, Refuse(Code::kUnavailable, "NOT_A_VOTER", "this node has no vote; ask another"), ctx_.layout->epoch);
    }
  }
  operations_ = std::move(forces);
  TakeOperation();
}

void Planning::Tick() {
  if (!ctx_.layout) return;
  RefreshRemovals();
  SendRequests();
  // A layout that is adopted but not yet durable is about to replace ours: planning from the old one would be in vain.
  if (agreement_.epoch() != ctx_.layout->epoch || ctx_.now < look_at_) return;
  const bool renew = agreement_.proposing() && !ForceIsWanted();
  if (renew && agreement_.accepting()) return;
  const auto rank = Rank();
  if (!rank) return WithoutVote();
  look_at_ = ctx_.now + kLookAgain;
  if (renew) return RenewProposal();
  if (TakeOperation() || agreement_.proposing() || agreement_.epoch() != ctx_.layout->epoch) return;
  const auto members = Members();
  const auto requests = Requests();
  const auto next = cluster::PlanNext(*ctx_.layout, members, requests, {}, ctx_.config.planner);
  if (!next) {
    wanting_since_ = kNever;
    return;
  }
  if (wanting_since_ == kNever) wanting_since_ = ctx_.now;
  if (ctx_.now - wanting_since_ < static_cast<int>(*rank) * kRankDelay) return;
  if (!cluster::CannotWait(*ctx_.layout, *next, members, requests)) {
    Instant gathered = Gathered();
    if (MovesPrimariesAheadOfCopies(*ctx_.layout, *next)) gathered = wanting_since_ + std::max(kHandOverWaits, ctx_.config.layout_gather);
    if (ctx_.now < gathered) {
      look_at_ = std::min(look_at_, gathered);
      return;
    }
  }
  if (Planted(Bug::kGossipDecides)) return execute_(agreement_.Adopt(ctx_.now, cluster::Encode(*next)));
  execute_(agreement_.Propose(ctx_.now, *next));
}

// A proposal was right when it was planned, and may find no quorum for minutes: until somebody is asked to accept it, it follows what
// becomes of the members (L5). One that was made when one node was away would else remove that node when another is. An operator's stays as it
// is: he is told whether this very layout was decided, and a new plan may leave his change out.
void Planning::RenewProposal() {
  if (!operations_.empty() && operations_.front().proposed) return;
  const auto next = cluster::PlanNext(*ctx_.layout, Members(), Requests(), {}, ctx_.config.planner);
  execute_(next ? agreement_.Propose(ctx_.now, *next) : agreement_.Withdraw(ctx_.now));
}

// What primaries ask for, as the planner takes it.
cluster::PlannerRequests Planning::Requests() const {
  cluster::PlannerRequests requests;
  for (const auto& [partition, request] : handed_) {
    if (request.has_add()) {
      const bool any_term = Planted(Bug::kOldTermAddAccepted) || Planted(Bug::kAddNamesPrimary);
      const Term term = any_term ? ctx_.group(partition).term : Term(request.term());
      requests.adds[partition] = {partition, term, NodeId::Must(request.add())};
    } else if (request.has_renew()) {
      requests.renewals[partition] = Term(request.term());
    } else if (request.has_merged()) {
      const auto& merged = request.merged();
      requests.merged[partition] = {Term(request.term()),
                                    {Epoch{}, merged.nothing(), Seq(merged.from()), Seq(merged.to()), Seq(merged.last()), merged.set_aside()}};
    }
  }
  for (const auto& [partition, removal] : removals_) {
    requests.removals[partition] = {Term(removal.request.term()), NodeId::Must(removal.request.remove())};
  }
  return requests;
}

// Every layout costs an agreement and, in the partitions it touches, a fresh contact: changes that can wait are decided
// together once nothing has been handed in for a while.
Instant Planning::Gathered() const {
  const Duration gather = ctx_.config.layout_gather;
  return std::min(std::max(wanting_since_, newest_request_) + gather, wanting_since_ + kGatherAtMost * gather);
}

}  // namespace coffer::node
