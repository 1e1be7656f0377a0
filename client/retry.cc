#include "client/retry.h"

#include <algorithm>
#include <cmath>

#include "cluster/planted_bug.h"

namespace coffer::client {

AttemptFailure Judge(Effect effect, const ReplyFacts& facts) {
  AttemptFailure out;
  out.retry_after = facts.retry_after;
  switch (facts.code) {
    case Code::kUnavailable:
      out.retryable = true;
      out.certainty = facts.refused || Planted(Bug::kClientForgetsDoubt) ? Certainty::kNothingHappened : Certainty::kMayHaveHappened;
      break;
    case Code::kDeadlineExceeded:
    case Code::kCancelled:
    case Code::kUnknown:
      out.retryable = true;
      out.certainty = Certainty::kMayHaveHappened;
      break;
    case Code::kResourceExhausted:
      // Without a time to come back at, the limit (a quota, a full disk) stays until somebody acts.
      out.retryable = facts.retry_after.has_value();
      out.certainty = Certainty::kNothingHappened;
      break;
    case Code::kInternal:
    case Code::kDataLoss:
      out.certainty = facts.refused ? Certainty::kNothingHappened : Certainty::kMayHaveHappened;
      break;
    default:
      out.certainty = Certainty::kNothingHappened;
      break;
  }
  if (facts.settles) {
    out.retryable = false;
    out.certainty = Certainty::kSettled;
  }
  if (effect == Effect::kRead) out.certainty = Certainty::kNothingHappened;
  return out;
}

RetryMachine::RetryMachine(const RetryPolicy& policy, Effect effect, Instant deadline, std::uint64_t seed,
                           HedgeBudget* budget)
    : policy_(policy), effect_(effect), deadline_(deadline), random_(seed), budget_(budget) {}

Duration RetryMachine::NextBackoff(std::optional<Duration> retry_after) {
  const double grown = static_cast<double>(policy_.first_backoff.count()) * std::pow(policy_.growth, failures_ - 1);
  const double capped = std::min(grown, static_cast<double>(policy_.max_backoff.count()));
  const auto whole = static_cast<std::uint64_t>(capped);
  const Duration drawn(static_cast<std::int64_t>(whole - random_.Below(whole / 2 + 1)));
  // Jitter goes on top of the server's wish: many clients were told the same number.
  return retry_after ? *retry_after + drawn : drawn;
}

bool RetryMachine::Unsettled() const {
  if (effect_ == Effect::kRead) return false;
  if (may_have_happened_) return true;
  return std::any_of(open_.begin(), open_.end(), [](const Open& o) { return o.sent; });
}

RetryOutput RetryMachine::Launch(Instant now, bool elsewhere) {
  RetryOutput out;
  out.launch = ++launched_;
  out.elsewhere = elsewhere;
  open_.push_back({launched_, false});
  retry_at_ = kNever;
  const bool first_hedge = effect_ == Effect::kRead && launched_ == 1;
  hedge_at_ = effect_ == Effect::kOnce ? kNever : now + (first_hedge ? policy_.hedge_after : policy_.patience);
  return out;
}

RetryOutput RetryMachine::Finish(RetryClass retry_class, Attempt answer, bool timed_out) {
  finished_ = true;
  open_.clear();
  retry_at_ = hedge_at_ = kNever;
  if (budget_ != nullptr) budget_->OnCall();
  RetryOutput out;
  out.finished = true;
  out.answer = answer;
  out.retry_class = retry_class;
  out.timed_out = timed_out;
  return out;
}

RetryOutput RetryMachine::GiveUp(bool timed_out) {
  if (Unsettled()) return Finish(RetryClass::kOutcomeUnknown, last_failed_, timed_out);
  return Finish(timed_out ? RetryClass::kRetryLater : RetryClass::kFailed, last_failed_, timed_out);
}

RetryOutput RetryMachine::Start(Instant now) {
  if (now >= deadline_) return GiveUp(true);
  return Launch(now, false);
}

void RetryMachine::OnSent(Instant, Attempt attempt) {
  for (Open& o : open_) {
    if (o.id == attempt) o.sent = true;
  }
}

RetryOutput RetryMachine::OnSuccess(Instant, Attempt attempt) {
  const bool known = std::any_of(open_.begin(), open_.end(), [&](const Open& o) { return o.id == attempt; });
  if (finished_ || !known) return {};
  return Finish(RetryClass::kOk, attempt);
}

RetryOutput RetryMachine::OnFailure(Instant now, Attempt attempt, const AttemptFailure& failure) {
  const auto it = std::find_if(open_.begin(), open_.end(), [&](const Open& o) { return o.id == attempt; });
  if (finished_ || it == open_.end()) return {};
  open_.erase(it);
  last_failed_ = attempt;
  ++failures_;
  if (effect_ != Effect::kRead && failure.certainty == Certainty::kMayHaveHappened) may_have_happened_ = true;
  if (failure.certainty == Certainty::kSettled) return Finish(RetryClass::kFailed, attempt);
  const bool may_repeat = effect_ != Effect::kOnce || failure.certainty == Certainty::kNothingHappened;
  if (!failure.retryable || !may_repeat) {
    return Finish(Unsettled() ? RetryClass::kOutcomeUnknown : RetryClass::kFailed, attempt);
  }
  const Instant at = now + NextBackoff(failure.retry_after);
  // With another attempt still open the retry waits for its turn all the same; the open one may answer first.
  retry_at_ = std::min(retry_at_, at);
  return {};
}

RetryOutput RetryMachine::OnCancel(Instant) {
  if (finished_) return {};
  return GiveUp(false);
}

RetryOutput RetryMachine::OnTick(Instant now) {
  if (finished_) return {};
  if (now >= deadline_) return GiveUp(true);
  if (now >= retry_at_) return Launch(now, true);
  if (now >= hedge_at_) {
    const bool room = static_cast<int>(open_.size()) < policy_.max_parallel;
    const bool waiting = !open_.empty();
    // Repeating what nobody answered costs a token for reads; a write's patience is its own bound.
    const bool allowed = effect_ != Effect::kRead || (budget_ != nullptr && budget_->Take());
    if (room && waiting && allowed) return Launch(now, true);
    hedge_at_ = now + policy_.patience;
  }
  return {};
}

Instant RetryMachine::NextDeadline() const {
  if (finished_) return kNever;
  return std::min({deadline_, retry_at_, hedge_at_});
}

}  // namespace coffer::client
