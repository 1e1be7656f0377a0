// The retry and hedge decisions in virtual time.
#include "client/retry.h"
#include "tests/test_support.h"

namespace coffer::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{std::chrono::hours(1)};
constexpr Instant kDeadline = kStart + seconds(10);

AttemptFailure Passing(Certainty c = Certainty::kMayHaveHappened) {
  return {true, c, {}};
}
AttemptFailure Final(Certainty c = Certainty::kNothingHappened) {
  return {false, c, {}};
}

// Lets time pass until the machine launches or finishes; returns the output and moves `now`.
RetryOutput RunOn(RetryMachine& m, Instant& now) {
  for (int i = 0; i < 1000; ++i) {
    if (m.NextDeadline() == kNever) return {};
    now = std::max(now, m.NextDeadline());
    const RetryOutput out = m.OnTick(now);
    if (out.launch != 0 || out.finished) return out;
  }
  FAIL("the machine asks for ticks without end");
  return {};
}

TEST_CASE("success ends an operation at once") {
  RetryMachine m({}, Effect::kRepeatSafe, kDeadline, 1, nullptr);
  REQUIRE(m.Start(kStart).launch == 1);
  m.OnSent(kStart, 1);
  const RetryOutput out = m.OnSuccess(kStart + milliseconds(3), 1);
  CHECK(out.finished);
  CHECK(out.answer == 1);
  CHECK(out.retry_class == RetryClass::kOk);
  CHECK(m.NextDeadline() == kNever);
  CHECK_FALSE(m.OnTick(kDeadline).finished);
}

TEST_CASE("a deadline in the past sends nothing") {
  RetryMachine m({}, Effect::kRepeatSafe, kStart, 1, nullptr);
  const RetryOutput out = m.Start(kStart);
  CHECK(out.launch == 0);
  CHECK(out.finished);
  CHECK(out.retry_class == RetryClass::kRetryLater);
}

TEST_CASE("pauses grow, are jittered, and stay within their bounds") {
  RetryPolicy policy;
  bool differ = false;
  Duration first_of_seed_1{};
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    RetryMachine m(policy, Effect::kRead, kStart + std::chrono::hours(1), seed, nullptr);
    Instant now = kStart;
    Attempt attempt = m.Start(now).launch;
    Duration bound = policy.first_backoff;
    for (int i = 0; i < 12; ++i) {
      const Instant failed = now;
      REQUIRE_FALSE(m.OnFailure(now, attempt, Passing()).finished);
      attempt = RunOn(m, now).launch;
      REQUIRE(attempt != 0);
      const Duration pause = now - failed;
      CHECK(pause >= bound / 2);
      CHECK(pause <= bound);
      if (i == 5 && seed == 1) first_of_seed_1 = pause;
      if (i == 5 && seed > 1 && pause != first_of_seed_1) differ = true;
      bound = std::min<Duration>(bound * 2, policy.max_backoff);
    }
  }
  CHECK(differ);
}

TEST_CASE("the server's wish is a lower bound of the pause") {
  RetryMachine m({}, Effect::kRead, kDeadline, 7, nullptr);
  Instant now = kStart;
  m.Start(now);
  m.OnFailure(now, 1, {true, Certainty::kNothingHappened, seconds(2)});
  REQUIRE(RunOn(m, now).launch == 2);
  CHECK(now >= kStart + seconds(2));
  CHECK(now <= kStart + seconds(2) + milliseconds(20));
}

TEST_CASE("a read is hedged after a while, elsewhere, if the budget allows") {
  HedgeBudget budget;
  RetryPolicy policy;
  SECTION("allowed") {
    RetryMachine m(policy, Effect::kRead, kDeadline, 1, &budget);
    Instant now = kStart;
    m.Start(now);
    const RetryOutput out = RunOn(m, now);
    CHECK(out.launch == 2);
    CHECK(out.elsewhere);
    CHECK(now == kStart + policy.hedge_after);
    // The slower attempt may still win.
    CHECK(m.OnSuccess(now, 1).answer == 1);
  }
  SECTION("without tokens it waits") {
    while (budget.Take()) {
    }
    RetryMachine m(policy, Effect::kRead, kDeadline, 1, &budget);
    Instant now = kStart;
    m.Start(now);
    const RetryOutput out = RunOn(m, now);
    CHECK(out.launch == 0);
    CHECK(out.finished);
    CHECK(now == kDeadline);
  }
}

TEST_CASE("the budget holds hedges to a tenth of the calls") {
  HedgeBudget budget;
  int hedges = 0;
  for (int i = 0; i < 1000; ++i) {
    RetryMachine m({}, Effect::kRead, kDeadline, 1, &budget);
    Instant now = kStart;
    m.Start(now);
    if (RunOn(m, now).launch == 2) ++hedges;
    m.OnSuccess(now, 1);
  }
  CHECK(hedges >= 100);
  CHECK(hedges <= 111);
}

TEST_CASE("a write is repeated beside an attempt that nobody answers, within the bound") {
  RetryPolicy policy;
  RetryMachine m(policy, Effect::kRepeatSafe, kDeadline, 1, nullptr);
  Instant now = kStart;
  m.Start(now);
  CHECK(RunOn(m, now).launch == 2);
  CHECK(now == kStart + policy.patience);
  CHECK(RunOn(m, now).launch == 3);
  // max_parallel attempts are open: no fourth before the deadline.
  CHECK(RunOn(m, now).finished);
  CHECK(now == kDeadline);
}

TEST_CASE("what a write's deadline means depends on what was sent") {
  Instant now = kStart;
  RetryMachine m({}, Effect::kRepeatSafe, kDeadline, 1, nullptr);
  m.Start(now);
  SECTION("never sent: later") {
    CHECK(m.OnTick(kDeadline).retry_class == RetryClass::kRetryLater);
  }
  SECTION("sent and not answered: unknown") {
    m.OnSent(now, 1);
    CHECK(m.OnTick(kDeadline).retry_class == RetryClass::kOutcomeUnknown);
  }
  SECTION("sent, then the connection broke, then refused cleanly: still unknown") {
    m.OnSent(now, 1);
    m.OnFailure(now, 1, Passing());
    REQUIRE(RunOn(m, now).launch == 2);
    m.OnSent(now, 2);
    m.OnFailure(now, 2, Passing(Certainty::kNothingHappened));
    CHECK(m.OnTick(kDeadline).retry_class == RetryClass::kOutcomeUnknown);
  }
  SECTION("refused cleanly every time: later") {
    m.OnSent(now, 1);
    m.OnFailure(now, 1, Passing(Certainty::kNothingHappened));
    CHECK(m.OnTick(kDeadline).retry_class == RetryClass::kRetryLater);
  }
}

TEST_CASE("a final refusal is definite only if no other attempt is in doubt") {
  Instant now = kStart;
  RetryMachine m({}, Effect::kRepeatSafe, kDeadline, 1, nullptr);
  m.Start(now);
  m.OnSent(now, 1);
  SECTION("alone") {
    const RetryOutput out = m.OnFailure(now, 1, Final());
    CHECK(out.retry_class == RetryClass::kFailed);
    CHECK(out.answer == 1);
  }
  SECTION("after a lost attempt") {
    m.OnFailure(now, 1, Passing());
    REQUIRE(RunOn(m, now).launch == 2);
    CHECK(m.OnFailure(now, 2, Final()).retry_class == RetryClass::kOutcomeUnknown);
  }
  SECTION("beside an open attempt") {
    REQUIRE(RunOn(m, now).launch == 2);
    CHECK(m.OnFailure(now, 2, Final()).retry_class == RetryClass::kOutcomeUnknown);
  }
  SECTION("unless it settles the matter") {
    REQUIRE(RunOn(m, now).launch == 2);
    CHECK(m.OnFailure(now, 2, Final(Certainty::kSettled)).retry_class == RetryClass::kFailed);
  }
}

TEST_CASE("a write that may act twice is never repeated once it may have arrived") {
  Instant now = kStart;
  RetryMachine m({}, Effect::kOnce, kDeadline, 1, nullptr);
  m.Start(now);
  SECTION("no hedge, no patience") {
    m.OnSent(now, 1);
    const RetryOutput out = RunOn(m, now);
    CHECK(out.finished);
    CHECK(now == kDeadline);
    CHECK(out.retry_class == RetryClass::kOutcomeUnknown);
  }
  SECTION("lost on the way") {
    m.OnSent(now, 1);
    const RetryOutput out = m.OnFailure(now, 1, Passing());
    CHECK(out.finished);
    CHECK(out.retry_class == RetryClass::kOutcomeUnknown);
  }
  SECTION("refused cleanly: repeated") {
    CHECK_FALSE(m.OnFailure(now, 1, Passing(Certainty::kNothingHappened)).finished);
    CHECK(RunOn(m, now).launch == 2);
  }
}

TEST_CASE("cancelling tells the truth") {
  Instant now = kStart;
  SECTION("a read") {
    RetryMachine m({}, Effect::kRead, kDeadline, 1, nullptr);
    m.Start(now);
    m.OnSent(now, 1);
    CHECK(m.OnCancel(now).retry_class == RetryClass::kFailed);
  }
  SECTION("a write that is out") {
    RetryMachine m({}, Effect::kRepeatSafe, kDeadline, 1, nullptr);
    m.Start(now);
    m.OnSent(now, 1);
    CHECK(m.OnCancel(now).retry_class == RetryClass::kOutcomeUnknown);
    CHECK_FALSE(m.OnSuccess(now, 1).finished);
  }
  SECTION("a write that is not") {
    RetryMachine m({}, Effect::kRepeatSafe, kDeadline, 1, nullptr);
    m.Start(now);
    CHECK(m.OnCancel(now).retry_class == RetryClass::kFailed);
  }
}

TEST_CASE("answers of attempts that are over are ignored") {
  Instant now = kStart;
  RetryMachine m({}, Effect::kRead, kDeadline, 1, nullptr);
  m.Start(now);
  m.OnFailure(now, 1, Passing());
  CHECK_FALSE(m.OnSuccess(now, 1).finished);
  CHECK_FALSE(m.OnFailure(now, 1, Final()).finished);
  CHECK(RunOn(m, now).launch == 2);
}

TEST_CASE("what a reply's code means") {
  const auto judge = [](Effect e, Code c, bool refused = false, std::optional<Duration> after = {},
                        bool settles = false) {
    return Judge(e, ReplyFacts{c, after, refused, settles});
  };
  // Passing troubles of a write leave it in doubt unless the server says otherwise.
  for (Code c : {Code::kUnavailable, Code::kDeadlineExceeded, Code::kCancelled, Code::kUnknown}) {
    CHECK(judge(Effect::kRepeatSafe, c).retryable);
    CHECK(judge(Effect::kRepeatSafe, c).certainty == Certainty::kMayHaveHappened);
    CHECK(judge(Effect::kRead, c).certainty == Certainty::kNothingHappened);
  }
  CHECK(judge(Effect::kRepeatSafe, Code::kUnavailable, true).certainty == Certainty::kNothingHappened);
  // A limit is worth another try only when the server says when.
  CHECK_FALSE(judge(Effect::kRepeatSafe, Code::kResourceExhausted).retryable);
  CHECK(judge(Effect::kRepeatSafe, Code::kResourceExhausted, false, milliseconds(5)).retryable);
  CHECK(judge(Effect::kRepeatSafe, Code::kResourceExhausted).certainty == Certainty::kNothingHappened);
  // Final ones.
  for (Code c :
       {Code::kNotFound, Code::kInvalidArgument, Code::kAlreadyExists, Code::kFailedPrecondition,
        Code::kPermissionDenied, Code::kUnauthenticated, Code::kOutOfRange, Code::kUnimplemented, Code::kAborted}) {
    CHECK_FALSE(judge(Effect::kRepeatSafe, c).retryable);
    CHECK(judge(Effect::kRepeatSafe, c).certainty == Certainty::kNothingHappened);
  }
  CHECK_FALSE(judge(Effect::kRepeatSafe, Code::kInternal).retryable);
  CHECK(judge(Effect::kRepeatSafe, Code::kInternal).certainty == Certainty::kMayHaveHappened);
  CHECK(judge(Effect::kRepeatSafe, Code::kAlreadyExists, false, {}, true).certainty == Certainty::kSettled);
}

// Many random histories: the end always comes by the deadline, comes once, and never claims more than is known.
TEST_CASE("random histories keep the promises") {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    const Effect effect = static_cast<Effect>(random.Below(3));
    HedgeBudget budget;
    RetryMachine m({}, effect, kDeadline, seed, &budget);
    Instant now = kStart;
    std::vector<Attempt> open;
    std::vector<Attempt> sent;
    bool doubt = false;
    bool finished = false;
    const auto obey = [&](const RetryOutput& out) {
      if (out.launch != 0) {
        REQUIRE_FALSE(finished);
        open.push_back(out.launch);
        REQUIRE(open.size() <= 3);
        if (effect == Effect::kOnce) REQUIRE_FALSE(doubt);
      }
      if (!out.finished) return;
      REQUIRE_FALSE(finished);
      finished = true;
      REQUIRE(now <= kDeadline);
      bool in_flight = false;
      for (Attempt a : open) in_flight |= std::find(sent.begin(), sent.end(), a) != sent.end();
      if (out.retry_class == RetryClass::kOk) return;
      INFO("seed " << seed);
      const bool unknown = effect != Effect::kRead && (doubt || in_flight);
      REQUIRE((out.retry_class == RetryClass::kOutcomeUnknown) == unknown);
    };
    obey(m.Start(now));
    for (int step = 0; step < 500 && !finished; ++step) {
      const std::uint64_t what = random.Below(10);
      if (what < 4 || open.empty()) {
        now = std::min(std::max(now, m.NextDeadline()), kDeadline);
        obey(m.OnTick(now));
      } else if (what < 6) {
        const Attempt a = open[random.Below(open.size())];
        m.OnSent(now, a);
        sent.push_back(a);
      } else {
        const std::size_t i = random.Below(open.size());
        const Attempt a = open[i];
        if (what == 9 && random.Chance(1, 4)) {
          const RetryOutput out = m.OnSuccess(now, a);
          REQUIRE(out.finished);
          finished = true;
          break;
        }
        const bool was_sent = std::find(sent.begin(), sent.end(), a) != sent.end();
        const Certainty c = was_sent && random.Chance(1, 2) ? Certainty::kMayHaveHappened : Certainty::kNothingHappened;
        if (c == Certainty::kMayHaveHappened && effect != Effect::kRead) doubt = true;
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
        obey(m.OnFailure(now, a, {!random.Chance(1, 5), c, {}}));
      }
    }
    if (!finished) {
      now = kDeadline;
      obey(m.OnTick(now));
    }
    REQUIRE(finished);
  }
}

}  // namespace
}  // namespace coffer::client
