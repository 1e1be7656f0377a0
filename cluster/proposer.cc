#include "cluster/proposer.h"

#include <algorithm>
#include <utility>

#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

// base * 2^step, at most `most`.
Duration Doubled(Duration base, int step, Duration most) {
  Duration d = base;
  for (int i = 0; i < step && d < most; ++i) d *= 2;
  return std::min(d, most);
}

}  // namespace

Proposer::Proposer(std::uint64_t seed) : random_(seed) {}

Proposer::Step Proposer::Start(Instant now, std::shared_ptr<const Layout> current, std::string own) {
  own_ = std::move(own);
  if (active()) {
    RULE("A14 replaced");
    return {};
  }
  current_ = std::move(current);
  attempts_ = 0;
  highest_seen_ = 0;
  Enter(now, Phase::kWaiting);
  deadline_ = now;
  return Tick(now);
}

void Proposer::Stop() {
  phase_ = Phase::kIdle;
  ballot_ = {};
  own_.clear();
  value_.clear();
  best_layout_.clear();
}

// Starts a phase with nobody having answered, and time for the answers.
void Proposer::Enter(Instant now, Phase phase) {
  phase_ = phase;
  granted_.clear();
  refused_.clear();
  illegal_.clear();
  outvoted_ = false;
  const Duration wait = Doubled(kAnswerWait, attempts_ - 1, kAnswerWaitMax);
  deadline_ = now + wait + Duration(random_.Below(wait.count() / 4));
}

void Proposer::Began(Instant now, const Ballot& ballot) {
  ++attempts_;
  ballot_ = ballot;
  best_ = {};
  best_layout_.clear();
  value_.clear();
  Enter(now, Phase::kPreparing);
}

Proposer::Step Proposer::OnPromise(Instant now, const NodeId& from, const Promise& answer, bool* counts) {
  *counts = phase_ == Phase::kPreparing && current_->IsVoter(from) && !granted_.contains(from);
  if (!*counts) return {};
  if (!answer.granted) return OnRefusal(now, from, answer.promised, {});
  granted_.insert(from);
  refused_.erase(from);
  if (answer.accepted_ballot > best_) {
    best_ = answer.accepted_ballot;
    best_layout_ = answer.accepted_layout;
  }
  if (granted_.size() < Quorum()) return {};
  // A value that may have been decided already must be the one: only it can be asked for.
  if (best_.counter != 0 && best_layout_ != own_) RULE("A11");
  value_ = best_.counter != 0 ? best_layout_ : own_;
  Enter(now, Phase::kAccepting);
  return {.kind = Step::Kind::kAccept};
}

Proposer::Step Proposer::OnAccepted(Instant now, const NodeId& from, const Accepted& answer, bool* counts) {
  *counts = phase_ == Phase::kAccepting && current_->IsVoter(from) && !granted_.contains(from);
  if (!*counts) return {};
  if (!answer.granted) return OnRefusal(now, from, answer.promised, answer.refusal);
  granted_.insert(from);
  refused_.erase(from);
  if (granted_.size() < Quorum()) return {};
  return {.kind = Step::Kind::kDecided};
}

// The attempt goes on as long as the other voters can still make a quorum.
Proposer::Step Proposer::OnRefusal(Instant now, const NodeId& from, const Ballot& promised, std::string_view illegal) {
  if (!illegal.empty()) {
    illegal_ = illegal;
  } else if (promised > ballot_) {
    RULE("A8");
    outvoted_ = true;
    highest_seen_ = std::max(highest_seen_, promised.counter);
  } else {
    return {};  // a repeated Prepare met our own promise
  }
  refused_.insert(from);
  if (current_->voters.size() - refused_.size() >= Quorum()) return {};
  if (!illegal_.empty() && !outvoted_) return {.kind = Step::Kind::kEnded, .why = "refused by the voters: " + illegal_};
  return Retry(now);
}

Proposer::Step Proposer::Tick(Instant now) {
  if (!active() || now < deadline_) return {};
  if (Planted(Bug::kMajorityOfLiving) && granted_.size() > refused_.size()) {
    if (phase_ == Phase::kAccepting) return {.kind = Step::Kind::kDecided};
    if (phase_ == Phase::kPreparing) {
      value_ = best_.counter != 0 ? best_layout_ : own_;
      Enter(now, Phase::kAccepting);
      return {.kind = Step::Kind::kAccept};
    }
  }
  if (phase_ == Phase::kWaiting) return {.kind = Step::Kind::kAttempt};
  if (granted_.size() > refused_.size()) RULE("A2");  // a majority of those who answered is no quorum
  return Retry(now);
}

Proposer::Step Proposer::Retry(Instant now) {
  if (attempts_ >= kMaxAttempts) {
    RULE("A14 given up");
    return {.kind = Step::Kind::kEnded, .why = WhyNot()};
  }
  RULE("A14 again");
  phase_ = Phase::kWaiting;
  ballot_ = {};
  deadline_ = now + Duration(random_.Below(Doubled(kBackOff, attempts_ - 1, kBackOffMax).count()));
  return {};
}

std::string Proposer::WhyNot() const {
  if (outvoted_) return "other members kept proposing at the same time";
  std::string silent;
  for (const MemberIndex v : current_->voters) {
    const Member& voter = current_->members[v];
    if (granted_.contains(voter.id) || refused_.contains(voter.id)) continue;
    silent += (silent.empty() ? "" : ", ") + voter.name;
  }
  return "no majority of the " + std::to_string(current_->voters.size()) + " voters answers; silent: " + silent;
}

}  // namespace coffer::cluster
