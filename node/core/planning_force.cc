// Forcing a layout (L9): when it needs no majority, who does it, and what it must follow.
#include <algorithm>

#include "cluster/rule_mark.h"
#include "node/core/planning.h"

namespace coffer::node {
namespace {

using cluster::Liveness;
using cluster::OperatorChange;

}  // namespace

// A forced layout without a majority that could agree: the operator's typed statement stands in for it.
void Planning::Force(const cluster::Layout& next) {
  RULE("L9 past the voters");
  ctx_.Warn("an operator forces layout epoch " + std::to_string(next.epoch.value) + " without a majority of voters");
  const std::string bytes = cluster::Encode(next);
  execute_(agreement_.Adopt(ctx_.now, bytes));
  for (const auto& member : next.members) {
    if (member.id == ctx_.self || !ctx_.linked.contains(member.id)) continue;
    wire::Peer message;
    message.mutable_layout_push()->set_layout(bytes);
    ctx_.Send(member.id, std::move(message));
  }
}

// The one change that needs no majority does not wait for a proposal that may never find one.
bool Planning::ForceIsWanted() const {
  if (operations_.empty() || operations_.front().proposed) return false;
  return PastVoters(ChangeOf(operations_.front().request));
}

bool Planning::PastVoters(const std::optional<OperatorChange>& change) const {
  return change && change->kind == OperatorChange::Kind::kForce && !QuorumAnswers();
}

// Then a forced layout is decided like any other: nobody else decides another one for its epoch.
bool Planning::QuorumAnswers() const {
  const auto& voters = ctx_.layout->voters;
  const auto alive = std::count_if(voters.begin(), voters.end(), [this](auto v) { return ctx_.Alive(ctx_.IdOf(v)); });
  return static_cast<std::size_t>(alive) >= ctx_.layout->Quorum();
}

// A member that answers and has seen a later decision than we: what is forced must follow that one.
std::optional<std::string> Planning::KnowsNewer() const {
  for (const auto& [id, view] : *ctx_.membership->view()) {
    if (view.state == Liveness::kAlive && view.facts.epoch() > ctx_.layout->epoch.value && !ctx_.layout->RetiredAt(id)) {
      return view.facts.name();
    }
  }
  return std::nullopt;
}

// Who forces a layout past the voters: the first living voter, else the first living storage node. The statement names everybody who
// does not answer, so all whom it satisfies know the same one.
NodeId Planning::Forcer() const {
  NodeId first = ctx_.self;
  bool found = false;
  const auto consider = [&](const NodeId& id) {
    if (ctx_.Alive(id) && (!found || id < first)) first = id, found = true;
  };
  for (const auto v : ctx_.layout->voters) consider(ctx_.IdOf(v));
  if (found) return first;
  for (const auto& member : ctx_.layout->members) {
    if (!member.witness) consider(member.id);
  }
  return first;
}

}  // namespace coffer::node
