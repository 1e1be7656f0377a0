// Who makes no progress: contact is made anew with whoever is silent, and it is noted whom a partition waits for (L5.1).
#include "node/core/primary.h"

namespace coffer::node {
namespace {

constexpr Duration kSilence = std::chrono::milliseconds(1000);

}  // namespace

// A message to a receiver may have been lost, or come before it knew the layout: begin anew with whoever makes no progress.
void Primaries::RetrySilent(PartitionId partition, Lead& lead) {
  const PartitionReplica& replica = ctx_.Replica(partition);
  std::vector<NodeId> overdue;
  for (const NodeId& peer : lead.progress.Receivers()) {
    const bool learner = lead.progress.learner() == peer;
    // An empty partition has nothing to acknowledge but the contact itself, and waits for that all the same.
    const bool unheard = !lead.progress.active() && lead.progress.AckedBy(peer) == Seq{};
    const bool lacks = lead.progress.HasContact(peer) &&
                       (lead.progress.AckedBy(peer) < replica.last() || unheard || (learner && !lead.learner_answered));
    if (!lacks) {
      lead.silent.erase(peer);
      continue;
    }
    auto [it, fresh] = lead.silent.try_emplace(peer, Lead::Silence{lead.progress.AckedBy(peer), ctx_.now});
    if (!fresh && it->second.acked != lead.progress.AckedBy(peer)) it->second = {lead.progress.AckedBy(peer), ctx_.now};
    if (ctx_.now - it->second.since < kSilence) continue;
    lead.silent.erase(it);
    overdue.push_back(peer);
  }
  for (const NodeId& peer : overdue) {
    if (lead.progress.learner() == peer) {
      WithdrawLearner(partition, lead);
      lead.review_at = ctx_.now;
    } else {
      lead.progress.LoseContact(peer);
      SendContact(partition, lead, peer);
    }
  }
}

// Who holds this partition up (L5.1).
void Primaries::NoteWaiting(PartitionId partition, const Lead& lead) {
  const auto& progress = lead.progress;
  const Seq last = ctx_.Replica(partition).last();
  const bool idle = progress.active() && progress.committed() == last && lead.waiting.empty();
  for (const NodeId& peer : progress.Receivers()) {
    const bool learner = progress.learner() == peer;
    if (idle && !learner) continue;
    const bool unheard = (!progress.active() && progress.AckedBy(peer) == Seq{}) || (learner && !lead.learner_answered);
    if (!progress.HasContact(peer) || progress.AckedBy(peer) < last || unheard) ctx_.WaitsFor(peer);
  }
}

// Somebody is cut off, or answers again: every group with it is looked at, so that one layout takes it out of all of them.
void Primaries::NoteReach() {
  reach_seen_ = ctx_.reach.changes();
  for (auto& [partition, lead] : leads_) {
    lead->review_at = ctx_.now;
    lead->settled = false;
  }
  for (const auto& member : ctx_.layout->members) {
    const bool silent = ctx_.reach.Silent(member.id);
    if (silent == cut_off_.contains(member.id)) continue;
    if (silent) {
      cut_off_.insert(member.id);
      ctx_.Warn(member.name + " does not answer this node, though others reach it: it is to leave the groups led from here, where other "
                              "copies take its place. Look at the network between the two.");
    } else {
      cut_off_.erase(member.id);
      ctx_.Info(member.name + " answers this node again, or is gone for all");
    }
  }
}

}  // namespace coffer::node
