#include "node/core/node_core.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "cluster/placement.h"
#include "node/core/context.h"
#include "node/core/follower.h"
#include "node/core/learner.h"
#include "node/core/node_state.h"
#include "node/core/refusal.h"

namespace coffer::node {

void NodeCore::Output::Append(Output&& other) {
  auto move_into = [](auto& to, auto& from) {
    if (to.empty()) return to.swap(from);
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  move_into(persist, other.persist);
  move_into(send, other.send);
  move_into(dial, other.dial);
  move_into(reads, other.reads);
  move_into(quarantine, other.quarantine);
  move_into(events, other.events);
  move_into(token_answers, other.token_answers);
  move_into(drop_links, other.drop_links);
  if (!stop) stop = std::move(other.stop);
  if (!retire) retire = std::move(other.retire);
}

NodeCore::NodeCore(NodeCoreConfig config, NodeDurable recovered, std::vector<wire::MemberFacts> remembered,
                   const StoreReader& store, std::uint64_t seed, Instant now)
    : state_(std::make_unique<State>(std::move(config), std::move(recovered), std::move(remembered), store, seed, now)) {}
NodeCore::~NodeCore() = default;

NodeCore::Output NodeCore::Tick(Instant now) {
  return state_->Step(now, [this] { state_->Tick(); });
}

NodeCore::Output NodeCore::Receive(Instant now, const NodeId& from, PeerMessage message) {
  return state_->Step(now, [&] { state_->Receive(from, std::move(message)); });
}

NodeCore::Output NodeCore::Receive(Instant now, const NodeId& from, std::vector<PeerMessage> messages) {
  return state_->Step(now, [&] {
    for (PeerMessage& message : messages) state_->Receive(from, std::move(message));
  });
}

NodeCore::Output NodeCore::LinkUp(Instant now, const NodeId& peer, bool has_folder) {
  return state_->Step(now, [&] { state_->introductions.OnLinkUp(peer, has_folder); });
}

NodeCore::Output NodeCore::LinkDown(Instant now, const NodeId& peer, bool refused) {
  return state_->Step(now, [&] { state_->LinkDown(peer, refused); });
}

NodeCore::Output NodeCore::AskPeer(Instant now, const NodeId& peer) {
  return state_->Step(now, [&] { state_->introductions.Ask(peer); });
}

NodeCore::Output NodeCore::DialFailed(Instant now, const std::string& address, bool refused) {
  return state_->Step(now, [&] { state_->DialFailed(address, refused); });
}

NodeCore::Output NodeCore::Persisted(Instant now, std::uint64_t ticket) {
  return state_->Step(now, [&] { state_->Persisted(ticket); });
}

NodeCore::Output NodeCore::Persisted(Instant now, const std::vector<std::uint64_t>& tickets) {
  return state_->Step(now, [&] {
    for (const std::uint64_t ticket : tickets) state_->Persisted(ticket);
  });
}

NodeCore::Output NodeCore::ReadDone(Instant now, ReadResult result) {
  return state_->Step(now, [&] { state_->ReadDone(std::move(result)); });
}

NodeCore::Output NodeCore::SetHealth(Instant now, const StoreHealth& health) {
  return state_->Step(now, [&] { state_->SetHealth(health); });
}

NodeCore::Output NodeCore::Mend(Instant now, PartitionId partition, const RecordKey& key) {
  return state_->Step(now, [&] { state_->Mend(partition, key); });
}

NodeCore::Output NodeCore::Scrubbed(Instant now, PartitionId partition) {
  return state_->Step(now, [&] { state_->copies.Begin(partition); });
}

NodeCore::Output NodeCore::NoteScrub(Instant now, const coffer::v1::ScrubStatus& status) {
  return state_->Step(now, [&] { state_->scrub = status; });
}

NodeCore::Output NodeCore::Form(Instant now, const ClusterId& cluster, const std::string& cluster_name,
                                const cluster::Settings& settings) {
  return state_->Step(now, [&] { state_->Form(cluster, cluster_name, settings); });
}

NodeCore::Output NodeCore::ChangeJoinTokens(Instant now, std::uint64_t ask, const wire::JoinTokenChange& change) {
  return state_->Step(now, [&] { state_->tokens.Ask(ask, change); });
}

NodeCore::Output NodeCore::Leave(Instant now) {
  return state_->Step(now, [&] { state_->Leave(); });
}

bool NodeCore::Left() const { return state_->Left(); }
Instant NodeCore::NextDeadline() const { return state_->NextDeadline(); }
std::shared_ptr<const cluster::Layout> NodeCore::layout() const { return state_->ctx.layout; }
std::shared_ptr<const cluster::Membership::View> NodeCore::members() const { return state_->membership.view(); }
wire::NodeReport NodeCore::Report(Instant now) const { return state_->Report(now); }

void NodeCore::VisitQueues(const QueueVisitor& visit) const { state_->VisitQueues(visit); }
bool NodeCore::Cleared() const { return state_->introductions.cleared(); }

}  // namespace coffer::node
