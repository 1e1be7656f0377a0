// Changes of the join tokens that the shell asks for: handed to a voter, which has them agreed on; its answer goes back to the shell.
//
// A voter that does not answer, or can't, is replaced by the next one: the same change asked for twice is made once, because a token
// that is used names the attempt that used it.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "node/core/context.h"
#include "node/core/planning.h"

namespace coffer::node {

class TokenDesk {
 public:
  // After this the shell is told that nothing is known. Below the time a handshake may take.
  static constexpr Duration kPatience = std::chrono::seconds(7);

  // At once; more are refused.
  static constexpr std::size_t kMostAsks = 256;

  TokenDesk(Context& context, Planning& planning) : ctx_(context), planning_(planning) {}

  void Ask(std::uint64_t ask, const wire::JoinTokenChange& change);
  void OnAnswer(const NodeId& from, const wire::LayoutChangeResponse& response);
  void OnLinkDown(const NodeId& peer);
  void VisitQueues(const QueueVisitor& visit) const { visit({"changes of join tokens", asks_.size(), kMostAsks}); }
  void Tick();
  Instant NextDeadline() const { return asks_.empty() ? kNever : ctx_.now + std::chrono::milliseconds(50); }

 private:
  struct Asked {
    wire::JoinTokenChange change;
    Instant deadline;
    std::optional<NodeId> voter;  // has it, and has not answered yet
    std::set<NodeId> tried;       // in this round
    Instant again_at{};
  };
  std::optional<NodeId> NextVoter(const Asked& asked) const;
  void Hand(std::uint64_t ask, Asked& asked);

  Context& ctx_;
  Planning& planning_;
  std::map<std::uint64_t, Asked> asks_;
};

}  // namespace coffer::node
