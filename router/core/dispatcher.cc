#include "router/core/dispatcher.h"

#include <algorithm>

#include "cluster/planted_bug.h"

namespace coffer::router {
namespace {

constexpr double kMaxHedgeTokens = 100;
constexpr std::size_t kMostAttempts = 32;  // of one operation, that are still listened to
constexpr Duration kWireGrace = std::chrono::seconds(5);

// Codes after which the same operation may succeed elsewhere or later. The outcome of a write is unknown.
bool MayTryAgain(Code code) {
  return code == Code::kUnavailable || code == Code::kDeadlineExceeded || code == Code::kCancelled;
}

// Codes that say nothing about whether a write happened.
bool SaysNothing(Code code) { return code == Code::kInternal || code == Code::kUnknown; }

// Whether this refusal of a write could be the consequence of an earlier attempt of the same write that did happen:
// stored, then deleted by somebody, now refused. (Another zone under the name is no such consequence: of a zone that was made and
// deleted the primary says so. But an attempt that nobody answered may yet make ours when that one is gone.)
bool MayFollowOwnSuccess(Code code, const wire::DataRequest& request, bool unheard) {
  return code == Code::kFailedPrecondition || code == Code::kNotFound ||
         (code == Code::kAlreadyExists && request.has_create_zone() && unheard);
}

// Reasons by which a primary refuses a write before it orders it: this attempt certainly had no effect.
bool RefusedBeforeOrdering(const Status& status) {
  const std::string reason = ReasonOf(status);
  return reason == "TOO_FEW_COPIES" || reason == "PARTITION_ACTIVATING" || reason == "DISK_FULL" ||
         reason == "QUEUE_FULL" || reason == "REPAIRING" || reason == "DISK_READ_FAILED";
}

std::uint32_t Milliseconds(Duration d) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ms, 1, 0xffffffff));
}

}  // namespace

Dispatcher::Dispatcher(DispatcherConfig config, std::uint64_t seed)
    : config_(config),
      random_(seed),
      next_call_(random_.Next() >> 1),  // answers to an earlier life of this process find nothing
      chunk_reads_(config.hedge_initial, config.hedge_least, config.hedge_most) {}

// ---- What the dispatcher is told -------------------------------------------------------------------------------------

void Dispatcher::SetLayout(Instant now, std::shared_ptr<const cluster::Layout> layout) {
  layout_ = std::move(layout);
  for (auto& [id, op] : ops_) {
    const cluster::Group& group = layout_->group(op.spec.partition);
    if (group.term == op.seen) continue;
    op.seen = group.term;
    op.retry_at = now;
    op.refused.clear();
    for (Attempt& attempt : op.attempts) attempt.stale = true;
    Schedule(now, op);
  }
}

void Dispatcher::SetSuspects(Instant now, std::set<NodeId> suspects) {
  suspects_ = std::move(suspects);
  for (auto& [id, op] : ops_) {
    if (op.spec.target == Target::kPrimaryOrHolder) Schedule(now, op);
  }
}

void Dispatcher::LinkUp(Instant now, const NodeId& peer) {
  links_.insert(peer);
  for (auto& [id, op] : ops_) {
    if (!LiveAttempt(op, false) && TargetOf(op) == peer) op.retry_at = std::min(op.retry_at, now);
    Schedule(now, op);
  }
}

void Dispatcher::LinkDown(Instant now, const NodeId& peer) {
  links_.erase(peer);
  for (auto& [id, op] : ops_) {
    bool lost_target = false;
    bool lost_any = false;
    std::erase_if(op.attempts, [&](const Attempt& attempt) {
      if (attempt.to != peer) return false;
      calls_.erase(attempt.call);
      lost_any = true;
      lost_target |= !attempt.holder && !attempt.stale;
      return true;
    });
    if (lost_target) Retry(now, op, "the connection to " + NameOf(peer) + " broke", {});
    if (lost_any) Schedule(now, op);
  }
}

OpId Dispatcher::Start(Instant now, OpSpec spec) {
  const OpId id = next_op_++;
  Op& op = ops_[id];
  op.id = id;
  op.spec = std::move(spec);
  op.began = now;
  op.retry_at = now;
  op.seen = layout_->group(op.spec.partition).term;
  ++counters_.operations;
  if (op.spec.target == Target::kPrimaryOrHolder) {
    hedge_tokens_ = std::min(hedge_tokens_ + config_.hedge_share, kMaxHedgeTokens);
  }
  op.due = now;
  timers_.insert({now, id});
  return id;
}

void Dispatcher::VisitQueues(const QueueVisitor& visit) const {
  std::uint64_t attempts = 0;
  for (const auto& [id, op] : ops_) {
    attempts += op.attempts.size();
    visit({"attempts of one operation", op.attempts.size(), kMostAttempts});
    visit({"holders that refused one", op.refused.size(), layout_->members.size()});
  }
  visit({"attempts", calls_.size(), attempts});
  visit({"timers of operations", timers_.size(), ops_.size()});
}

void Dispatcher::Cancel(OpId id) {
  auto it = ops_.find(id);
  if (it == ops_.end()) return;
  for (const Attempt& attempt : it->second.attempts) calls_.erase(attempt.call);
  timers_.erase({it->second.due, id});
  ops_.erase(it);
}

void Dispatcher::Receive(Instant now, const NodeId& from, wire::DataResponse response, std::vector<Payload> bodies) {
  auto call = calls_.find(response.call());
  auto found = call == calls_.end() ? ops_.end() : ops_.find(call->second);
  if (found == ops_.end()) {
    ++counters_.late_answers;
    return;
  }
  Op& op = found->second;
  auto it = std::find_if(op.attempts.begin(), op.attempts.end(),
                         [&](const Attempt& a) { return a.call == response.call() && a.to == from; });
  if (it == op.attempts.end()) {  // somebody else's call id: no answer of whom we asked
    ++counters_.late_answers;
    return;
  }
  const Attempt attempt = *it;
  op.attempts.erase(it);
  calls_.erase(call);
  --op.unheard;
  if (attempt.holder) {
    HolderAnswered(now, op, attempt, std::move(response), std::move(bodies));
  } else {
    TargetAnswered(now, op, attempt, std::move(response), std::move(bodies));
  }
}

void Dispatcher::NotSent(Instant now, std::uint64_t call) {
  auto it = calls_.find(call);
  auto found = it == calls_.end() ? ops_.end() : ops_.find(it->second);
  if (found == ops_.end()) return;
  Op& op = found->second;
  auto attempt = std::find_if(op.attempts.begin(), op.attempts.end(), [&](const Attempt& a) { return a.call == call; });
  const bool holder = attempt->holder;
  const bool stale = attempt->stale;
  if (holder) op.refused.push_back(attempt->to);
  const std::string to = NameOf(attempt->to);
  op.attempts.erase(attempt);
  calls_.erase(it);
  --op.sent;
  --op.unsettled;
  --op.unheard;
  if (!holder && !stale) Retry(now, op, "the queue to " + to + " is full or its link is gone", {});
  Schedule(now, op);
}

void Dispatcher::Tick(Instant now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Op& op = ops_.at(timers_.begin()->second);
    Advance(now, op);
  }
}

Instant Dispatcher::NextDeadline() const { return timers_.empty() ? kNever : timers_.begin()->first; }

// ---- Answers ---------------------------------------------------------------------------------------------------------

void Dispatcher::TargetAnswered(Instant now, Op& op, const Attempt& attempt, wire::DataResponse response,
                                std::vector<Payload> bodies) {
  const Code code = CodeOf(response.status());
  if (!response.fenced() && code == Code::kOk) {  // an acknowledgement counts whatever the layout says by now
    if (op.spec.target == Target::kPrimaryOrHolder) chunk_reads_.Add(now - attempt.sent);
    Finish(op, Ok(), std::move(response), std::move(bodies));
    return;
  }
  if (response.fenced()) ++counters_.fences;
  const bool no_effect = RefusedBeforeOrdering(response.status());
  if (no_effect) --op.unsettled;
  if (attempt.stale) return Schedule(now, op);  // the current attempt decides
  if (response.fenced()) {
    const bool newer = Epoch(response.epoch()) > layout_->epoch;
    Retry(now, op, NameOf(attempt.to) + " is not the primary in this term", newer ? config_.layout_wait : Duration{});
    return Schedule(now, op);
  }
  const std::string heard = NameOf(attempt.to) + " answered: " + response.status().message();
  const bool doubt = op.unsettled > (no_effect ? 0 : 1);  // an earlier attempt may have happened
  const bool ambiguous = op.spec.write && doubt && !Planted(Bug::kRouterForgetsDoubt);
  if (MayTryAgain(code) || (code == Code::kResourceExhausted && ambiguous)) {
    if (no_effect) op.refusal = response.status();
    const Duration asked_for = std::min<Duration>(RetryAfter(response.status()).value_or(Duration{}), config_.backoff_most);
    Retry(now, op, heard, asked_for);
    return Schedule(now, op);
  }
  Status status = response.status();
  if (op.spec.write && (SaysNothing(code) || (ambiguous && MayFollowOwnSuccess(code, op.spec.request, op.unheard > 0)))) {
    status = OutcomeUnknown(heard);
  }
  Finish(op, std::move(status), std::move(response), std::move(bodies));
}

void Dispatcher::HolderAnswered(Instant now, Op& op, const Attempt& attempt, wire::DataResponse response,
                                std::vector<Payload> bodies) {
  const Code code = CodeOf(response.status());
  // Found is found, whoever holds it; that the range lies outside is said only by one who holds it.
  if (!response.fenced() && (code == Code::kOk || code == Code::kOutOfRange)) {
    ++counters_.hedges_won;
    Status status = response.status();
    Finish(op, std::move(status), std::move(response), std::move(bodies));
    return;
  }
  op.refused.push_back(attempt.to);
  Schedule(now, op);
}

void Dispatcher::Retry(Instant now, Op& op, std::string last, Duration least) {
  op.last = std::move(last);
  op.refused.clear();
  op.retry_at = now + std::max(least, Backoff(op.tries++));
}

Duration Dispatcher::Backoff(int tries) {
  const Duration full = std::min(config_.backoff_most, config_.backoff_first * (1 << std::min(tries, 10)));
  return full / 2 + Duration(static_cast<std::int64_t>(random_.Below(static_cast<std::uint64_t>(full.count() / 2 + 1))));
}

// ---- Attempts --------------------------------------------------------------------------------------------------------

void Dispatcher::Advance(Instant now, Op& op) {
  if (now >= op.spec.deadline) return TimeIsUp(op);
  for (Attempt& attempt : op.attempts) {  // silence on a link that is up: ask again, still listening to the first
    if (!attempt.stale && now - attempt.sent >= config_.patience + op.spec.wait) {
      attempt.stale = true;
      if (!attempt.holder) Retry(now, op, NameOf(attempt.to) + " kept silent", {});
    }
  }
  if (!LiveAttempt(op, false) && now >= op.retry_at && now < op.spec.deadline) AskTarget(now, op);
  if (WantsHolder(now, op)) {
    if (const NodeId* holder = HolderToAsk(op)) AskHolder(now, op, *holder);
  }
  Schedule(now, op);
}

void Dispatcher::AskTarget(Instant now, Op& op) {
  const NodeId to = TargetOf(op);
  if (!Linked(to)) {
    wanted_.insert(to);
    const bool spare_tries = op.sent == 0;  // nothing was sent: look again soon, LinkUp is faster anyway
    Retry(now, op, "no connection to " + NameOf(to), spare_tries ? config_.backoff_first * 4 : Duration{});
    return;
  }
  Send(now, op, to, op.spec.target == Target::kAnyCopy ? Term() : layout_->group(op.spec.partition).term, false);
}

bool Dispatcher::WantsHolder(Instant now, const Op& op) const {
  if (op.spec.target != Target::kPrimaryOrHolder || LiveAttempt(op, true)) return false;
  const NodeId primary = TargetOf(op);
  if (!Linked(primary) || suspects_.count(primary)) return true;
  const Attempt* asked = LiveAttempt(op, false);
  if (!asked) return op.tries > 0;  // the primary can't answer now
  return now - asked->sent >= hedge_delay() && hedge_tokens_ >= 1;
}

const NodeId* Dispatcher::HolderToAsk(const Op& op) const {
  const cluster::Group& group = layout_->group(op.spec.partition);
  for (const cluster::MemberIndex member : group.in_sync) {
    const NodeId& id = layout_->members[member].id;
    const bool refused = std::find(op.refused.begin(), op.refused.end(), id) != op.refused.end();
    if (member != group.primary && !refused && Linked(id) && !suspects_.count(id)) return &id;
  }
  return nullptr;
}

void Dispatcher::AskHolder(Instant now, Op& op, const NodeId& holder) {
  hedge_tokens_ = std::max(0.0, hedge_tokens_ - 1);
  ++counters_.hedges;
  Send(now, op, holder, Term(), true);
}

void Dispatcher::Send(Instant now, Op& op, const NodeId& to, Term term, bool holder) {
  // The oldest is not listened to any more; it goes on counting as one that may have had an effect.
  if (op.attempts.size() >= kMostAttempts) {
    calls_.erase(op.attempts.front().call);
    op.attempts.erase(op.attempts.begin());
  }
  Outgoing out;
  out.to = to;
  wire::DataRequest& request = *out.message.header.mutable_data_request();
  request = op.spec.request;
  request.set_call(next_call_++);
  request.set_partition(op.spec.partition);
  request.set_term(term.value);
  Duration remaining = op.spec.deadline - now;
  if (op.spec.wait > Duration{}) remaining = std::min(remaining, op.spec.wait + kWireGrace);
  request.set_deadline_ms(Milliseconds(remaining));
  if (holder) request.mutable_get_chunk()->set_any_holder(true);
  out.message.bodies = op.spec.bodies;
  ++counters_.attempts;
  if (op.sent > 0 && !holder) ++counters_.retries;
  ++op.sent;
  ++op.unsettled;
  ++op.unheard;
  op.attempts.push_back({request.call(), to, now, term, holder, false});
  calls_[request.call()] = op.id;
  sends_.push_back(std::move(out));
}

NodeId Dispatcher::TargetOf(const Op& op) const {
  const cluster::Group& group = layout_->group(op.spec.partition);
  const NodeId& primary = layout_->members[group.primary].id;
  if (op.spec.target != Target::kAnyCopy) return primary;
  // Local reads: the primary's copy is the freshest; others when it is out of reach, another one at every retry.
  std::vector<NodeId> copies;
  if (Linked(primary) && !suspects_.count(primary)) copies.push_back(primary);
  for (const cluster::MemberIndex member : group.in_sync) {
    const NodeId& id = layout_->members[member].id;
    if (id != primary && Linked(id) && !suspects_.count(id)) copies.push_back(id);
  }
  return copies.empty() ? primary : copies[static_cast<std::size_t>(op.tries) % copies.size()];
}

const Dispatcher::Attempt* Dispatcher::LiveAttempt(const Op& op, bool holder) const {
  for (const Attempt& attempt : op.attempts) {
    if (attempt.holder == holder && !attempt.stale) return &attempt;
  }
  return nullptr;
}

// The next moment at which something can change by time alone.
void Dispatcher::Schedule(Instant now, Op& op) {
  Instant due = op.spec.deadline;
  const Attempt* asked = LiveAttempt(op, false);
  for (const Attempt& attempt : op.attempts) {
    if (!attempt.stale) due = std::min(due, attempt.sent + config_.patience + op.spec.wait);
  }
  if (!asked) due = std::min(due, op.retry_at);
  if (op.spec.target == Target::kPrimaryOrHolder && !LiveAttempt(op, true) && HolderToAsk(op)) {
    if (asked && asked->sent + hedge_delay() > now) due = std::min(due, asked->sent + hedge_delay());
    if (WantsHolder(now, op)) due = std::min(due, now);
  }
  if (due == op.due) return;
  timers_.erase({op.due, op.id});
  op.due = due;
  timers_.insert({due, op.id});
}

// ---- Ends ------------------------------------------------------------------------------------------------------------

void Dispatcher::TimeIsUp(Op& op) {
  if (op.sent == 0) {
    return Finish(op, router::NotSent(op.last.empty() ? "the deadline passed at once" : op.last));
  }
  if (!op.spec.write) return Finish(op, ReadTimedOut(op.last));
  const bool refused = (op.unsettled == 0 || Planted(Bug::kRouterForgetsDoubt)) && !IsOk(op.refusal);
  Finish(op, refused ? op.refusal : OutcomeUnknown(op.last));
}

void Dispatcher::Finish(Op& op, Status status, wire::DataResponse response, std::vector<Payload> bodies) {
  if (ReasonOf(status) == "OUTCOME_UNKNOWN") ++counters_.outcomes_unknown;
  done_.push_back({op.id, std::move(status), std::move(response), std::move(bodies), op.began,
                   ZoneId::Must(op.spec.request.zone())});
  Cancel(op.id);
}

std::string Dispatcher::NameOf(const NodeId& id) const {
  const cluster::MemberIndex index = layout_ ? layout_->IndexOf(id) : cluster::kNoMember;
  return index == cluster::kNoMember ? "node " + Short(id) : layout_->members[index].name;
}

}  // namespace coffer::router
