// When to try again, when to ask a second router, and what may be said at the end: pure decisions, fed with events and
// times. No clock, no thread, no I/O; the engine (engine.h) does what they say, the tests run them in virtual time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "client/status.h"
#include "cluster/ids.h"
#include "cluster/random.h"

namespace coffer::client {

// What sending an operation twice would do.
enum class Effect {
  // Nothing is changed: may be sent as often as one likes.
  kRead,
  // A write whose repetition is harmless (Put, Append, Delete): is sent again until it is answered.
  kRepeatSafe,
  // A write that must not be sent again once it may have arrived (applying a plan).
  kOnce,
};

// What an answer says about the write it belongs to and about earlier attempts at the same write.
enum class Certainty {
  // This attempt changed nothing and will change nothing: it was never sent, or refused before anything was written.
  kNothingHappened,
  // This attempt may have taken effect, or may do so yet.
  kMayHaveHappened,
  // No attempt took effect or can do so any more (another value stands under the id).
  kSettled,
};

// A failed attempt as the machine sees it.
struct AttemptFailure {
  bool retryable = false;
  Certainty certainty = Certainty::kMayHaveHappened;
  std::optional<Duration> retry_after;
};

// The facts of a failure reply from which its meaning follows.
struct ReplyFacts {
  Code code = Code::kUnknown;
  std::optional<Duration> retry_after;
  // It was never sent, or the server's reason says that it was refused before anything was written (docs/codes.md).
  bool refused = false;
  // The operation's own knowledge: this code proves that no attempt at the write counts (ALREADY_EXISTS of a put,
  // ABORTED of an append whose place is taken).
  bool settles = false;
};

// What a reply's failure means.
AttemptFailure Judge(Effect effect, const ReplyFacts& facts);

// Pace of retries and hedges. Larger values: fewer messages, slower recovery.
struct RetryPolicy {
  // Pause before the first retry; each further one grows by `growth` up to `max_backoff`; the actual pause is drawn
  // between half and all of it, so that many clients do not return at once. A server's RetryInfo is a lower bound.
  Duration first_backoff = std::chrono::milliseconds(20);
  Duration max_backoff = std::chrono::seconds(1);
  double growth = 2.0;
  // A read that is unanswered for so long is asked a second time, elsewhere if possible (if the budget allows).
  Duration hedge_after = std::chrono::milliseconds(150);
  // Any operation unanswered for so long is sent again, elsewhere if possible; the first attempt stays valid.
  Duration patience = std::chrono::seconds(2);
  // Attempts under way at once.
  int max_parallel = 3;
};

// Bounds hedging to a share of the calls, so that slow servers are not slowed further. Owned by the engine, one per
// client.
class HedgeBudget {
 public:
  // Each finished call adds `per_call` tokens up to `most`; a hedge costs one.
  explicit HedgeBudget(double per_call = 0.1, double most = 10) : per_call_(per_call), most_(most), tokens_(most) {}
  void OnCall() { tokens_ = tokens_ + per_call_ > most_ ? most_ : tokens_ + per_call_; }
  bool Take() {
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  double tokens() const { return tokens_; }

 private:
  double per_call_;
  double most_;
  double tokens_;
};

// Number of an attempt of one operation, from 1.
using Attempt = std::uint32_t;

// What to do, in this order: drop, launch, finish.
struct RetryOutput {
  // Send this attempt now; 0: none. `elsewhere`: prefer a router that has no open attempt of this operation.
  Attempt launch = 0;
  bool elsewhere = false;
  // The operation is over. Open attempts are to be cancelled.
  bool finished = false;
  // With finished: the attempt whose answer is the result (kOk), or whose error explains it; 0: none answered.
  Attempt answer = 0;
  RetryClass retry_class = RetryClass::kOk;
  // With finished: the deadline passed (the code is DEADLINE_EXCEEDED unless an attempt's error explains more).
  bool timed_out = false;
};

// Decides over one operation. Single-threaded. Events of attempts it no longer knows are ignored.
class RetryMachine {
 public:
  // `seed` makes the jitter; `budget` may be null (no hedges) and must outlive the machine.
  RetryMachine(const RetryPolicy& policy, Effect effect, Instant deadline, std::uint64_t seed, HedgeBudget* budget);

  // Begins. Always launches attempt 1 unless the deadline has passed.
  RetryOutput Start(Instant now);
  // The attempt left this process: from now on it may take effect.
  void OnSent(Instant now, Attempt attempt);
  // The attempt was answered with success.
  RetryOutput OnSuccess(Instant now, Attempt attempt);
  // The attempt was answered with a failure, or its connection broke.
  RetryOutput OnFailure(Instant now, Attempt attempt, const AttemptFailure& failure);
  // The caller lost interest.
  RetryOutput OnCancel(Instant now);
  // To be called at NextDeadline or later.
  RetryOutput OnTick(Instant now);
  // When OnTick is wanted; kNever after the end.
  Instant NextDeadline() const;

 private:
  struct Open {
    Attempt id;
    bool sent;
  };

  RetryOutput Launch(Instant now, bool elsewhere);
  RetryOutput Finish(RetryClass retry_class, Attempt answer, bool timed_out = false);
  RetryOutput GiveUp(bool timed_out);
  Duration NextBackoff(std::optional<Duration> retry_after);
  // Whether some attempt that is not settled may have changed something.
  bool Unsettled() const;

  const RetryPolicy policy_;
  const Effect effect_;
  const Instant deadline_;
  Random random_;
  HedgeBudget* const budget_;
  std::vector<Open> open_;  // at most policy_.max_parallel
  Attempt launched_ = 0;
  Attempt last_failed_ = 0;         // explains a timeout better than "no answer"
  bool may_have_happened_ = false;  // some closed attempt of a write is in doubt
  int failures_ = 0;
  Instant retry_at_ = kNever;  // next retry after a failure
  Instant hedge_at_ = kNever;  // next attempt beside the open ones
  bool finished_ = false;
};

}  // namespace coffer::client
