// The primary's choice of a learner: whom it wants, what it tells it, and when the add is proposed (rule R7).
#include <algorithm>

#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"
#include "node/core/primary.h"

namespace coffer::node {

using std::chrono::milliseconds;

namespace {

// So many of one primary's partitions change in one layout, if there are as many: more, and each would be without service for longer.
constexpr std::size_t kProposedTogether = 256;
constexpr Duration kReadyWaits = std::chrono::seconds(2);

}  // namespace

void Primaries::OnHistoryDone(const NodeId& from, const wire::HistoryDone& done) {
  Lead* const found = Touch(done.partition());
  if (!found || found->term != Term(done.term()) || done.boot() != ctx_.config.boot.value) return;
  if (found->progress.learner() != from || !OfThisChoice(*found, from, done.choice())) return;
  RULE("S7");
  found->progress.LearnerComplete(ctx_.Replica(done.partition()).last());
  TryPropose(done.partition(), *found);
}

bool Primaries::MayPropose(const Lead& lead) {
  // Until it has answered it may not even have begun its log where this choice says.
  return lead.progress.MayPropose() && lead.learner_history && lead.learner_answered;
}

void Primaries::TryPropose(PartitionId partition, Lead& lead) {
  if (!MayPropose(lead)) return;
  if (lead.overdue) return Propose(partition, lead);
  if (ready_.empty()) ready_since_ = ctx_.now;
  ready_.insert(partition);
}

// Every layout costs an agreement, a look at all partitions by every member and, in those it changes, a moment without service: learners
// that are filled one after the other are proposed together, once there is none left to wait for, or enough, or some have waited.
void Primaries::ProposeReady(std::size_t filling) {
  const bool due = filling == 0 || ready_.size() >= kProposedTogether || ctx_.now - ready_since_ >= kReadyWaits;
  if (due) {
    for (const PartitionId partition : std::exchange(ready_, {})) {
      Lead* const lead = Touch(partition);
      if (!lead) continue;
      // Of a busy partition it lacks the last write, now as at most times.
      if (MayPropose(*lead)) Propose(partition, *lead);
      else lead->overdue = lead->progress.learner() && lead->progress.learner_complete();
    }
  }
  FlushProposals();
}

void Primaries::Propose(PartitionId partition, Lead& lead) {
  lead.overdue = false;
  ctx_.durable.adds.push_back({partition, lead.term, *lead.progress.learner()});
  lead.progress.MarkProposed();
  proposals_waiting_.push_back(ctx_.durable.adds.back());
}

// One durable step for all learners that completed meanwhile: each is counted already, its request leaves after the step.
void Primaries::FlushProposals() {
  if (proposals_in_flight_ || proposals_waiting_.empty()) return;
  proposals_in_flight_ = true;
  ctx_.PersistDurable([this, adds = std::exchange(proposals_waiting_, {})] {
    proposals_in_flight_ = false;
    for (const auto& add : adds) {
      wire::ChangeRequest request;
      request.set_partition(add.partition);
      request.set_term(add.term.value);
      request.set_add(add.learner.str());
      hooks_.request_change(request);
    }
    FlushProposals();
  });
}

std::optional<NodeId> Primaries::WantedLearner(PartitionId partition, const Lead& lead, bool* history) const {
  const auto& group = ctx_.group(partition);
  const auto& layout = *ctx_.layout;
  auto usable = [&](cluster::MemberIndex m) {
    const NodeId& id = layout.members[m].id;
    if (group.InSync(m) || layout.members[m].witness || !ctx_.linked.contains(id) || !ctx_.Alive(id)) return false;
    if (ctx_.reach.Avoided(ctx_.now, id)) {
      RULE("L5.4");
      return false;
    }
    const auto view = ctx_.membership->view();
    const auto member = view->find(id);
    return member != view->end() && !member->second.facts.read_only();
  };
  *history = !layout.settings.resync_paused;
  if (!*history) RULE("S10 paused");
  for (const auto m : group.goal) {
    if (usable(m)) return layout.members[m].id;
  }
  if (group.in_sync.size() >= layout.settings.min_copies) return std::nullopt;
  // A substitute: new writes have two copies at once, history waits (a restart is not a loss). Whoever is cut off from us as long as
  // the dead keep their place is as good as lost to this group (L5.5).
  const bool lost = std::any_of(group.goal.begin(), group.goal.end(), [&](cluster::MemberIndex m) {
    return !group.InSync(m) && ctx_.reach.AvoidedFor(ctx_.now, layout.members[m].id, ctx_.config.planner.resync_delay);
  });
  if (lost) RULE("L5.5");
  *history = lost && !layout.settings.resync_paused;
  std::vector<NodeId> candidates;
  for (cluster::MemberIndex m = 0; m < layout.members.size(); ++m) {
    if (layout.members[m].TakesData() && usable(m)) candidates.push_back(layout.members[m].id);
  }
  if (candidates.empty()) return std::nullopt;
  // L11.4: its second copy would wait for that disk with every write.
  const auto slow = [&](const NodeId& id) { return ctx_.membership->view()->find(id)->second.facts.disk_pace() == wire::DISK_PACE_SLOW; };
  if (!std::all_of(candidates.begin(), candidates.end(), slow) && std::erase_if(candidates, slow) > 0) RULE("L11.4");
  // Who is at it goes on: another one's disk is no reason to begin anew.
  const auto present = std::find(candidates.begin(), candidates.end(), lead.progress.learner());
  if (present != candidates.end()) return *present;
  return candidates[(partition / layout.members.size()) % candidates.size()];
}

void Primaries::Review(PartitionId partition) {
  Lead* const found = Touch(partition);
  if (!found) return;
  Lead& lead = *found;
  lead.review_at = ctx_.now + milliseconds(1000);
  lead.progress.SetMinCopies(ctx_.layout->settings.min_copies);
  // Who repeated a write when one copy was enough may wait for one that is older than the learner's log (R2.5).
  if (lead.progress.learner() && !lead.progress.OldWritesHaveCopies()) AskAgain(lead, lead.progress.learner_base());
  Resolve(partition, lead);
  AskToRemoveSilent(partition, lead);
  if (lead.progress.proposed()) {
    // R7(e): an add whose learner died, or is cut off from us, is cancelled by renewing the term.
    const auto view = ctx_.membership->view();
    const auto member = view->find(*lead.progress.proposed());
    if (member == view->end() || member->second.state == cluster::Liveness::kDead ||
        member->second.state == cluster::Liveness::kLeft || ctx_.reach.Silent(*lead.progress.proposed())) {
      wire::ChangeRequest request;
      request.set_partition(partition);
      request.set_term(lead.term.value);
      request.set_renew(true);
      RULE("R7.5");
      hooks_.request_change(request);
    }
    if (Planted(Bug::kAddWithdrawn) && member != view->end() && member->second.state != cluster::Liveness::kAlive) {
      std::erase_if(ctx_.durable.adds, [&](const cluster::ProposedAdd& add) { return add.partition == partition; });
      // Not at once: our caller goes on with this lead.
      ctx_.Persist({}, [this, partition, term = lead.term] {
        Lead* const marked = Touch(partition);
        if (!marked || marked->term != term) return;
        carried_[partition] = std::move(marked->waiting);
        StartTerm(partition);
      });
    }
    return;
  }
  if (!lead.progress.active()) return;
  bool history = false;
  const auto wanted = WantedLearner(partition, lead, &history);
  if (wanted == lead.progress.learner()) {
    if (!wanted) return;
    // Said again now and then: the first time may have been lost.
    lead.learner_history = history;
    if (!lead.progress.learner_complete()) SendRole(partition, lead, *wanted, true, history);
    TryPropose(partition, lead);
    return;
  }
  WithdrawLearner(partition, lead);
  if (wanted) StartLearner(partition, lead, *wanted, history);
}

// L5.1: one at a time, for that ends the term.
void Primaries::AskToRemoveSilent(PartitionId partition, const Lead& lead) {
  for (const NodeId& member : InSyncOf(partition)) {
    if (!ctx_.reach.Silent(member)) continue;
    RULE("L5.1");
    wire::ChangeRequest request;
    request.set_partition(partition);
    request.set_term(lead.term.value);
    request.set_remove(member.str());
    return hooks_.request_change(request);
  }
}

void Primaries::StartLearner(PartitionId partition, Lead& lead, const NodeId& learner, bool history) {
  const PartitionReplica& replica = ctx_.Replica(partition);
  // The learner vouches for what it gets, from the first write on that waits for a second copy, if the log reaches back to it.
  AskAgain(lead, replica.meta().log_start);
  Seq base = replica.last();
  for (const Waiting& w : lead.waiting) {
    if (!w.committed_is_enough && w.seq <= base) base = Seq(w.seq.value - 1);
  }
  const auto hash = replica.HashAt(base);
  if (!hash) return;
  lead.progress.StartLearner(learner, base);
  lead.learner_history = history;
  lead.learner_answered = lead.overdue = false;
  lead.chosen = learner;
  lead.choice = ++last_choice_;
  lead.choice_base = base;
  if (!SendFrom(partition, lead, learner, base, *hash, /*replace=*/false, /*learner_start=*/true)) {
    // It was not told where its log begins, so it would wait for that for ever. The next review chooses anew.
    lead.progress.WithdrawLearner();
    return;
  }
  SendRole(partition, lead, learner, true, history);
}

// A learner never gets the writes up to here: whoever waits for a second copy of one has to ask again, and it is ordered again (R6.1, R7.4).
void Primaries::AskAgain(Lead& lead, Seq up_to) {
  std::erase_if(lead.waiting, [&](const Waiting& w) {
    if (w.committed_is_enough || w.seq > up_to) return false;
    RULE("R7.4 asked again");
    AnswerFenced(ctx_, w.waiter);
    return true;
  });
}

void Primaries::WithdrawLearner(PartitionId partition, Lead& lead) {
  if (!lead.progress.learner()) return;
  const NodeId learner = *lead.progress.learner();
  RULE("R7.1");
  lead.progress.WithdrawLearner();
  if (ctx_.linked.contains(learner)) SendRole(partition, lead, learner, false, false);
}

void Primaries::SendRole(PartitionId partition, const Lead& lead, const NodeId& learner, bool chosen, bool history) {
  wire::Peer message;
  auto* role = message.mutable_learner_role();
  role->set_partition(partition);
  role->set_term(lead.term.value);
  role->set_boot(ctx_.config.boot.value);
  role->set_chosen(chosen);
  role->set_history(history);
  role->set_choice(lead.choice);
  role->set_base(lead.choice_base.value);
  ctx_.Send(learner, std::move(message));
}

}  // namespace coffer::node
