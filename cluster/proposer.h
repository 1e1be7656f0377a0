// The proposer of one member: attempts, one ballot each, until a value is decided for the instance.
//
// Sentences A9 to A14 of docs/protocol.md. A pure machine: it is told the answers of the voters and says what to do next.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "cluster/acceptor.h"
#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/random.h"

namespace coffer::cluster {

// Drives one proposal. Single-threaded; owned by Agreement.
class Proposer {
 public:
  // Bounds of one proposal's patience.
  static constexpr Duration kAnswerWait = std::chrono::milliseconds(500);  // of the first attempt; doubles with each ...
  static constexpr Duration kAnswerWaitMax = std::chrono::seconds(4);      // ... up to this
  static constexpr Duration kBackOff = std::chrono::milliseconds(30);      // random below this after the first; doubles ...
  static constexpr Duration kBackOffMax = std::chrono::seconds(2);         // ... up to this
  static constexpr int kMaxAttempts = 12;

  // `seed` spreads the back-off of members that propose at once.
  explicit Proposer(std::uint64_t seed);

  // What the owner does next.
  struct Step {
    enum class Kind {
      kNothing,
      kAttempt,  // draw a ballot above highest_seen(), call Began, ask every voter to promise it
      kAccept,   // ask every voter to accept value() under ballot()
      kDecided,  // value() is decided
      kEnded,    // the proposal is given up, because of `why`
    };
    Kind kind = Kind::kNothing;
    std::string why;
  };

  // A voter's answer to Prepare.
  struct Promise {
    bool granted = false;
    Ballot promised;                // refused: the higher ballot
    Ballot accepted_ballot;         // counter 0: nothing accepted
    std::string_view accepted_layout;
  };
  // A voter's answer to Accept.
  struct Accepted {
    bool granted = false;
    Ballot promised;
    std::string_view refusal;       // the voter holds the value to be illegal
  };

  // Proposes `own` as the successor of `current`. While a proposal is under way its wish is replaced: an attempt that
  // already asks for acceptance finishes with the value it has.
  Step Start(Instant now, std::shared_ptr<const Layout> current, std::string own);
  // The attempt the owner was told to begin runs under this ballot.
  void Began(Instant now, const Ballot& ballot);
  // An answer to the present ballot. False in `counts`: it is of no use (not our phase, not a voter, repeated).
  Step OnPromise(Instant now, const NodeId& from, const Promise& answer, bool* counts);
  Step OnAccepted(Instant now, const NodeId& from, const Accepted& answer, bool* counts);
  // Time-outs and the end of a back-off.
  Step Tick(Instant now);
  // Forgets the proposal: its instance is decided, or it was given up.
  void Stop();

  bool active() const { return phase_ != Phase::kIdle; }
  // Whether voters are being asked to accept value(): another wish comes too late for the present attempt.
  bool accepting() const { return phase_ == Phase::kAccepting; }
  Instant deadline() const { return active() ? deadline_ : kNever; }
  // The ballot of the present attempt; counter 0 between attempts.
  const Ballot& ballot() const { return ballot_; }
  // What the present attempt asks to accept: the wish, or what another's attempt left behind.
  const std::string& value() const { return value_; }
  // What we wish for.
  const std::string& own() const { return own_; }
  // The highest counter a refusal named.
  std::uint64_t highest_seen() const { return highest_seen_; }

 private:
  enum class Phase { kIdle, kWaiting, kPreparing, kAccepting };

  void Enter(Instant now, Phase phase);
  Step Retry(Instant now);
  Step OnRefusal(Instant now, const NodeId& from, const Ballot& promised, std::string_view illegal);
  std::size_t Quorum() const { return current_->Quorum(); }
  std::string WhyNot() const;

  Random random_;
  Phase phase_ = Phase::kIdle;
  std::shared_ptr<const Layout> current_;  // names the voters
  std::string own_;
  std::string value_;
  Ballot ballot_;
  Ballot best_;                 // of the accepted values promised so far: the highest ballot ...
  std::string best_layout_;     // ... and its value
  std::set<NodeId> granted_;    // voters, in this phase
  std::set<NodeId> refused_;    // voters, in this phase; apart from granted_
  std::string illegal_;         // what a voter held against the value
  bool outvoted_ = false;       // a voter had promised a higher ballot
  std::uint64_t highest_seen_ = 0;
  int attempts_ = 0;
  Instant deadline_ = kNever;
};

}  // namespace coffer::cluster
