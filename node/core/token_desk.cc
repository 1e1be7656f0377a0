#include "node/core/token_desk.h"

#include <utility>
#include <vector>

#include "node/core/refusal.h"

namespace coffer::node {
namespace {

// A voter that has the change and says nothing: the next one is asked.
constexpr Duration kVoterSilence = std::chrono::seconds(3);
constexpr Duration kNextRound = std::chrono::milliseconds(300);

// Another voter may know better, or have room.
bool IsPassing(const google::rpc::Status& status) {
  return status.code() == static_cast<int>(Code::kUnavailable) || status.code() == static_cast<int>(Code::kResourceExhausted);
}

}  // namespace

void TokenDesk::Ask(std::uint64_t ask, const wire::JoinTokenChange& change) {
  if (asks_.size() >= kMostAsks) {
    ctx_.out.token_answers.push_back({ask, Refuse(Code::kResourceExhausted, "QUEUE_FULL",
                                                  std::to_string(kMostAsks) + " changes of join tokens wait at this node, its limit; nothing was "
                                                  "changed. Try again.", std::chrono::milliseconds(500))});
    return;
  }
  Asked& asked = asks_[ask];
  asked.change = change;
  asked.deadline = ctx_.now + kPatience;
  Hand(ask, asked);
}

// This node itself if it has a vote: its answer takes no message.
std::optional<NodeId> TokenDesk::NextVoter(const Asked& asked) const {
  if (!ctx_.layout) return std::nullopt;
  std::optional<NodeId> next;
  for (const auto v : ctx_.layout->voters) {
    const NodeId& id = ctx_.IdOf(v);
    if (asked.tried.contains(id) || (id != ctx_.self && !ctx_.linked.contains(id))) continue;
    if (!next || id == ctx_.self) next = id;
  }
  return next;
}

void TokenDesk::Hand(std::uint64_t ask, Asked& asked) {
  asked.voter = NextVoter(asked);
  if (!asked.voter) {
    asked.tried.clear();
    asked.again_at = ctx_.now + kNextRound;
    return;
  }
  asked.tried.insert(*asked.voter);
  asked.again_at = ctx_.now + kVoterSilence;
  wire::LayoutChangeRequest request;
  request.set_call(ask);
  *request.mutable_join_token() = asked.change;
  if (*asked.voter == ctx_.self) return planning_.OnLayoutChange(ctx_.self, request);
  wire::Peer message;
  *message.mutable_layout_change_request() = std::move(request);
  ctx_.Send(*asked.voter, std::move(message));
}

void TokenDesk::OnAnswer(const NodeId& from, const wire::LayoutChangeResponse& response) {
  const auto found = asks_.find(response.call());
  if (found == asks_.end() || !found->second.tried.contains(from)) return;
  if (IsPassing(response.status())) {
    if (found->second.voter == from) Hand(found->first, found->second);
    return;
  }
  ctx_.out.token_answers.push_back({found->first, response.status()});
  asks_.erase(found);
}

void TokenDesk::OnLinkDown(const NodeId& peer) {
  for (auto& [ask, asked] : asks_) {
    if (asked.voter == peer) asked.again_at = ctx_.now;
  }
}

void TokenDesk::Tick() {
  for (auto it = asks_.begin(); it != asks_.end();) {
    if (it->second.deadline <= ctx_.now) {
      ctx_.out.token_answers.push_back(
          {it->first, Refuse(Code::kUnavailable, "NO_QUORUM",
                             "no majority of voters agreed in time; whether the join token was made or used is not known. Look at the "
                             "cluster's status, then make a new token.")});
      it = asks_.erase(it);
      continue;
    }
    if (it->second.again_at <= ctx_.now) Hand(it->first, it->second);
    ++it;
  }
}

}  // namespace coffer::node
