#include "cluster/replication.h"

#include <algorithm>

#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {

PrimaryProgress::PrimaryProgress(NodeId self, std::vector<NodeId> in_sync, std::optional<NodeId> proposed,
                                 std::uint32_t min_copies, Seq tail)
    : self_(self), ackset_(std::move(in_sync)), min_copies_(min_copies), tail_(tail), proposed_(proposed) {
  if (proposed_ && !InAckset(*proposed_)) ackset_.push_back(*proposed_);
  for (const NodeId& id : ackset_) {
    if (id != self_) peers_[id];
  }
  KeepReceivers();
}

void PrimaryProgress::KeepReceivers() {
  receivers_.clear();
  for (const auto& [id, peer] : peers_) receivers_.push_back(id);
}

bool PrimaryProgress::InAckset(const NodeId& id) const {
  return std::find(ackset_.begin(), ackset_.end(), id) != ackset_.end();
}

void PrimaryProgress::Contacted(const NodeId& peer) {
  auto it = peers_.find(peer);
  if (it == peers_.end()) return;
  it->second = {true, Seq{}};
}

void PrimaryProgress::LoseContact(const NodeId& peer) {
  auto it = peers_.find(peer);
  if (it != peers_.end()) it->second.contacted = false;
}

bool PrimaryProgress::HasContact(const NodeId& peer) const {
  auto it = peers_.find(peer);
  return it != peers_.end() && it->second.contacted;
}

void PrimaryProgress::Acked(const NodeId& peer, Seq seq) {
  auto it = peers_.find(peer);
  if (it == peers_.end() || !it->second.contacted) return;
  it->second.durable = std::max(it->second.durable, seq);
  Update();
}

Seq PrimaryProgress::AckedBy(const NodeId& peer) const {
  auto it = peers_.find(peer);
  return it == peers_.end() ? Seq{} : it->second.durable;
}

void PrimaryProgress::LocalDurable(Seq seq) {
  local_durable_ = std::max(local_durable_, seq);
  Update();
}

void PrimaryProgress::StartLearner(const NodeId& learner, Seq base) {
  WithdrawLearner();
  learner_ = learner;
  learner_base_ = base;
  peers_[learner] = {true, base};
  KeepReceivers();
  Update();
}

void PrimaryProgress::WithdrawLearner() {
  if (!learner_) return;
  peers_.erase(*learner_);
  KeepReceivers();
  learner_.reset();
  learner_complete_ = false;
  learner_complete_at_ = {};
}

bool PrimaryProgress::MayPropose() const {
  // Its log starts at the base: only once the base is committed does every later primary share a point with it.
  if (learner_complete_ && committed_ < learner_complete_at_) RULE("R7.2 not committed yet");
  return active_ && !proposed_ && learner_ && (learner_complete_ || Planted(Bug::kAddBeforeHistory)) && HasContact(*learner_) &&
         committed_ >= learner_base_ && committed_ >= learner_complete_at_ && AckedBy(*learner_) >= committed_;
}

void PrimaryProgress::MarkProposed() {
  RULE("R7.2 proposed");
  proposed_ = learner_;
  ackset_.push_back(*learner_);
  learner_.reset();
  learner_complete_ = false;
  learner_complete_at_ = {};
  Update();
}

void PrimaryProgress::SetMinCopies(std::uint32_t min_copies) {
  if (min_copies == min_copies_) return;
  RULE("R2.5");
  min_copies_ = min_copies;
  acknowledged_ = Seq{};
  Update();
}

bool PrimaryProgress::MayWrite() const {
  return active_ && (ackset_.size() + (learner_ ? 1 : 0) >= min_copies_ || Planted(Bug::kMinCopiesIgnored));
}

void PrimaryProgress::Update() {
  Seq common = local_durable_;
  for (const NodeId& id : ackset_) {
    if (id == self_ || (active_ && Planted(Bug::kPrimaryAcksAlone) && !peers_.at(id).contacted)) continue;
    if (id == proposed_ && (active_ ? Planted(Bug::kAddNotInAcks) : Planted(Bug::kAddNotInActivation))) continue;
    if (id == proposed_ && peers_.at(id).durable < common) RULE("R3");
    common = std::min(common, peers_.at(id).durable);
  }
  if (!active_) {
    const bool contacted = std::all_of(ackset_.begin(), ackset_.end(), [&](const NodeId& id) {
      return id == self_ || peers_.at(id).contacted || (id == proposed_ && Planted(Bug::kAddNotInActivation));
    });
    if (!contacted || common < tail_) {
      RULE("R4.1");
      return;
    }
    active_ = true;
  }
  committed_ = std::max(committed_, common);
  Seq may = committed_;
  if (ackset_.size() < min_copies_ && !Planted(Bug::kMinCopiesIgnored)) {
    // A streaming learner is the copy that is missing; it vouches only for what it got live.
    const Seq by_learner = learner_ && AckedBy(*learner_) > learner_base_ ? AckedBy(*learner_) : Seq{};
    if (by_learner > Seq{}) RULE("R7.4 by the learner");
    may = std::min(may, by_learner);
  }
  acknowledged_ = std::max(acknowledged_, may);
}

}  // namespace coffer::cluster
