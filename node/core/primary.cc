#include "node/core/primary.h"

#include <algorithm>
#include <utility>

#include "node/core/refusal.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

using cluster::PrimaryProgress;
using std::chrono::milliseconds;

constexpr Duration kContactRetry = milliseconds(300);
constexpr Duration kSweep = milliseconds(100);
// How long after the beginning of a term writes are held rather than refused: usually it is served after a few messages.
constexpr Duration kActivates = milliseconds(300);
constexpr std::uint64_t kResendBytes = 1u << 20;

std::vector<NodeId> Ids(const Context& ctx, const cluster::MemberList& members) {
  std::vector<NodeId> ids;
  for (const auto m : members) ids.push_back(ctx.IdOf(m));
  return ids;
}

}  // namespace

// Everybody who has to hold the partition's writes: a removal counts once it is decided (R3).
std::vector<NodeId> Primaries::InSyncOf(PartitionId partition) const {
  if (Planted(Bug::kRemovalBeforeDecided)) {
    std::string error;
    const auto accepted = cluster::DecodeLayout(ctx_.durable.agreement.accepted_layout, &error);
    std::vector<NodeId> ids = Ids(ctx_, ctx_.group(partition).in_sync);
    if (accepted) {
      std::erase_if(ids, [&](const NodeId& id) { return !accepted->group(partition).InSync(accepted->IndexOf(id)); });
    }
    if (std::find(ids.begin(), ids.end(), ctx_.self) != ids.end()) return ids;
  }
  return Ids(ctx_, ctx_.group(partition).in_sync);
}

void Primaries::StartTerm(PartitionId partition) {
  const auto& group = ctx_.group(partition);
  PartitionReplica& replica = ctx_.Replica(partition);
  std::optional<NodeId> proposed;
  for (const auto& add : ctx_.durable.adds) {
    if (add.partition == partition && add.term == group.term) proposed = add.learner;
  }
  auto lead = std::make_unique<Lead>(Lead{
      PrimaryProgress(ctx_.self, InSyncOf(partition), proposed, ctx_.layout->settings.min_copies, replica.last()),
      group.term, ctx_.now});
  if (auto kept = carried_.find(partition); kept != carried_.end()) {
    lead->waiting = std::move(kept->second);
    carried_.erase(kept);
  }
  lead->progress.LocalDurable(replica.durable());
  Lead& l = *lead;
  leads_[partition] = std::move(lead);
  if (proposed) {
    RULE("R7.3");
    wire::ChangeRequest request;
    request.set_partition(partition);
    request.set_term(group.term.value);
    request.set_add(proposed->str());
    hooks_.request_change(request);
  }
  for (const NodeId& peer : l.progress.Receivers()) {
    if (ctx_.linked.contains(peer)) SendContact(partition, l, peer);
  }
  Advance(partition, l);
}

void Primaries::EndTerm(PartitionId partition, bool still_primary) {
  auto it = leads_.find(partition);
  if (it == leads_.end()) return;
  RULE("R1.2");
  if (still_primary) {
    carried_[partition] = std::move(it->second->waiting);
  } else {
    for (const Waiting& w : it->second->waiting) AnswerFenced(ctx_, w.waiter);
  }
  // Nothing of these is ordered, and they name the old term.
  for (const Early& early : it->second->early) AnswerFenced(ctx_, early.waiter);
  leads_.erase(it);
  hooks_.ended(partition);
}

const PrimaryProgress* Primaries::Progress(PartitionId partition) const {
  auto it = leads_.find(partition);
  return it == leads_.end() ? nullptr : &it->second->progress;
}

bool Primaries::Active(PartitionId partition) const {
  const auto* progress = Progress(partition);
  return progress && progress->active();
}

bool Primaries::Writable(PartitionId partition) const {
  const auto it = leads_.find(partition);
  if (it == leads_.end() || ctx_.health.failed) return false;
  const auto& progress = it->second->progress;
  if (progress.active()) return progress.MayWrite();
  return ctx_.now - it->second->since < milliseconds(500);
}

std::size_t Primaries::CountWaiting(PartitionId partition) const {
  const auto carried = carried_.find(partition);
  const std::size_t kept = carried == carried_.end() ? 0 : carried->second.size();
  const auto it = leads_.find(partition);
  return it == leads_.end() ? kept : kept + it->second->waiting.size() + it->second->early.size();
}

void Primaries::VisitQueues(const QueueVisitor& visit) const {
  for (const auto& [partition, lead] : leads_) {
    if (!lead->progress.active()) continue;
    const Seq last = ctx_.Replica(partition).last();
    const std::uint64_t uncommitted = last.value - std::min(last, lead->progress.committed()).value;
    visit({"writes that are not committed", uncommitted, ctx_.config.max_waiting_per_partition});
  }
  visit({"adds that are to become durable", proposals_waiting_.size(), ctx_.layout ? ctx_.layout->partition_count() : 0u});
}

std::optional<NodeId> Primaries::LearnerOf(PartitionId partition) const {
  const auto* progress = Progress(partition);
  if (!progress) return std::nullopt;
  return progress->learner() ? progress->learner() : progress->proposed();
}

void Primaries::SendContact(PartitionId partition, Lead& lead, const NodeId& peer) {
  const PartitionReplica& replica = ctx_.Replica(partition);
  wire::Peer message;
  auto* contact = message.mutable_contact();
  contact->set_partition(partition);
  contact->set_term(lead.term.value);
  contact->set_boot(ctx_.config.boot.value);
  SetStamp(replica.meta().last, contact->mutable_last());
  contact->set_last_hash(replica.meta().last_hash.str());
  lead.contact_sent[peer] = ctx_.now;
  ctx_.Send(peer, std::move(message));
}

void Primaries::OnContactAnswer(const NodeId& from, const wire::ContactAnswer& answer) {
  Lead* const found = Touch(answer.partition());
  if (!found || found->term != Term(answer.term()) || answer.boot() != ctx_.config.boot.value) return;
  Lead& lead = *found;
  if (!lead.progress.InAckset(from) || lead.progress.HasContact(from)) return;
  PartitionReplica& replica = ctx_.Replica(answer.partition());
  for (auto mark = answer.log().rbegin(); mark != answer.log().rend(); ++mark) {
    if (!replica.Holds(Seq(mark->seq()), mark->hash())) continue;
    if (mark != answer.log().rbegin()) RULE("R4.5");
    lead.progress.Contacted(from);
    lead.knows_committed.erase(from);
    if (lead.chosen == from) lead.chosen.reset();
    SendFrom(answer.partition(), lead, from, Seq(mark->seq()), Digest::Must(mark->hash()), /*replace=*/true, /*learner_start=*/false);
    return;
  }
  // By I4 every in_sync member shares our log at least at the commit point, so this is damage, not protocol.
  ctx_.Event(NodeEvent::Level::kError, "partition " + std::to_string(answer.partition()) + ": the log of " + ctx_.NameOf(from) +
                                           " shares nothing with ours; remove that node with `coffer drain` and let it rejoin");
}

bool Primaries::SendFrom(PartitionId partition, Lead& lead, const NodeId& peer, Seq after, const Digest& hash, bool replace,
                         bool learner_start) {
  const PartitionReplica& replica = ctx_.Replica(partition);
  Digest previous = hash;
  bool first = true;
  while (first || after < replica.last()) {
    std::optional<RecordKey> damaged;
    const auto writes = replica.WritesAfter(after, kResendBytes, &damaged);
    if (!writes) {
      if (damaged) RULE("S8 write kept back");
      std::vector<LogRecord> tail;
      const bool has_all = ctx_.group(partition).InSync(ctx_.layout->IndexOf(peer));  // the receiver, of what was acknowledged
      if (damaged) hooks_.repair(partition, *damaged);  // contact is made anew until it is mended
      else if (has_all && replica.ReadTail(&tail) == ReadOutcome::kDamaged) ctx_.FailStopAtTail(partition);
      else ctx_.Warn("partition " + std::to_string(partition) + ": what follows write " + std::to_string(after.value) + " can't be read in the log");
      lead.progress.LoseContact(peer);
      return false;
    }
    wire::Peer message;
    auto* r = message.mutable_replicate();
    r->set_partition(partition);
    r->set_term(lead.term.value);
    r->set_boot(ctx_.config.boot.value);
    r->mutable_previous()->set_seq(after.value);
    r->mutable_previous()->set_hash(previous.str());
    r->set_replace(first && replace);
    r->set_learner_start(first && learner_start);
    if (learner_start) r->set_choice(lead.choice);
    r->set_committed(lead.progress.committed().value);
    std::vector<Payload> bodies;
    for (const auto& w : *writes) {
      *r->add_writes() = *w.write;
      bodies.insert(bodies.end(), w.bodies.begin(), w.bodies.end());
      after = Seq(w.write->stamp().seq());
      previous = Digest::Must(w.write->hash());
    }
    ctx_.Send(peer, std::move(message), std::move(bodies));
    if (writes->empty()) break;
    first = false;
  }
  return true;
}

void Primaries::OnAck(const NodeId& from, const wire::ReplicateAck& ack) {
  Lead* const found = Touch(ack.partition());
  if (!found || found->term != Term(ack.term())) return;
  if (ack.boot() != ctx_.config.boot.value) {
    RULE("R2.2 other boot");
    if (!Planted(Bug::kOtherBootCounted)) return;
  }
  Lead& lead = *found;
  if (!OfThisChoice(lead, from, ack.choice())) {
    RULE("S2a earlier answer");
    return;
  }
  if (ack.mismatch()) {
    if (lead.progress.learner() == from) {
      WithdrawLearner(ack.partition(), lead);
      Review(ack.partition());
    } else if (lead.progress.HasContact(from)) {
      lead.progress.LoseContact(from);
      if (ctx_.now - lead.contact_sent[from] >= kContactRetry) SendContact(ack.partition(), lead, from);  // else by the sweep
    }
    return;
  }
  if (lead.progress.learner() == from) lead.learner_answered = true;
  Seq& knows = lead.knows_committed[from];
  knows = std::max(knows, Seq(ack.committed()));
  lead.progress.Acked(from, Seq(ack.durable().seq()));
  Advance(ack.partition(), lead);
}

void Primaries::OnDiscardRequest(const NodeId& from, const wire::DiscardRequest& request) {
  for (const auto& asked : request.partitions()) {
    auto it = leads_.find(asked.partition());
    if (it == leads_.end() || it->second->term != Term(asked.term())) continue;
    const auto& progress = it->second->progress;
    const auto& group = ctx_.group(asked.partition());
    const auto index = ctx_.layout->IndexOf(from);
    const bool involved = progress.InAckset(from) || progress.learner() == from ||
                          (index != cluster::kNoMember && group.InGoal(index));
    if (!progress.active() || involved || group.in_sync.size() < ctx_.layout->settings.min_copies) continue;
    wire::Peer message;
    message.mutable_discard()->set_partition(asked.partition());
    message.mutable_discard()->set_term(asked.term());
    ctx_.Send(from, std::move(message));
  }
}

void Primaries::OnLocalDurable(PartitionId partition) {
  Lead* const lead = Touch(partition);
  if (!lead) return;
  lead->progress.LocalDurable(ctx_.Replica(partition).durable());
  Advance(partition, *lead);
}

void Primaries::OnLinkUp(const NodeId& peer) {
  for (auto& [partition, lead] : leads_) {
    if (lead->progress.InAckset(peer) && !lead->progress.HasContact(peer)) SendContact(partition, *lead, peer);
    lead->review_at = ctx_.now;
    lead->settled = false;
  }
}

void Primaries::OnLinkDown(const NodeId& peer) {
  for (auto& [partition, lead] : leads_) {
    lead->progress.LoseContact(peer);
    if (lead->progress.learner() == peer) WithdrawLearner(partition, *lead);
    lead->review_at = ctx_.now;
    lead->settled = false;
  }
}

void Primaries::Tick() {
  if (ctx_.now < next_sweep_) return;
  next_sweep_ = ctx_.now + kSweep;
  if (reach_seen_ != ctx_.reach.changes()) NoteReach();
  // Thousands of partitions, of which few have anything under way: at rest this loop is all a node does.
  std::size_t filling = 0;
  for (auto& [partition, lead] : leads_) {
    if (!lead->settled || lead->review_at <= ctx_.now) Sweep(partition, *lead);
    if (lead->learner_history && lead->progress.learner() && !lead->progress.learner_complete()) ++filling;
  }
  SendMarks();
  ProposeReady(filling);
}

void Primaries::Sweep(PartitionId partition, Lead& lead) {
  for (const NodeId& id : lead.progress.ackset()) {
    if (id == ctx_.self || lead.progress.HasContact(id) || !ctx_.linked.contains(id)) continue;
    if (ctx_.now - lead.contact_sent[id] >= kContactRetry) SendContact(partition, lead, id);
  }
  std::erase_if(lead.waiting, [&](const Waiting& w) {
    if (w.waiter.deadline > ctx_.now) return false;
    RULE("R2.3");  // whoever waited hears nothing
    return true;
  });
  RefuseLate(lead);
  NoteWaiting(partition, lead);
  RetrySilent(partition, lead);
  if (lead.review_at <= ctx_.now) Review(partition);
  TellCommitted(partition, lead);
  lead.settled = IsSettled(partition, lead);
}

bool Primaries::IsSettled(PartitionId partition, const Lead& lead) const {
  const auto& progress = lead.progress;
  if (!progress.active() || !lead.waiting.empty() || !lead.early.empty() || !lead.silent.empty() || progress.learner() || progress.proposed()) return false;
  const Seq last = ctx_.Replica(partition).last();
  if (progress.committed() < last) return false;
  for (const NodeId& peer : progress.ackset()) {
    if (peer == ctx_.self) continue;
    const auto knows = lead.knows_committed.find(peer);
    const bool told = knows != lead.knows_committed.end() && knows->second >= last;
    if (!told || !progress.HasContact(peer) || progress.AckedBy(peer) < last) return false;
  }
  return true;
}

Primaries::Lead* Primaries::Touch(PartitionId partition) {
  const auto it = leads_.find(partition);
  if (it == leads_.end()) return nullptr;
  it->second->settled = false;
  return it->second.get();
}

Instant Primaries::NextDeadline() const { return leads_.empty() ? kNever : next_sweep_; }

void Primaries::Advance(PartitionId partition, Lead& lead) {
  if (lead.progress.active()) {
    PartitionReplica& replica = ctx_.Replica(partition);
    if (replica.committed() < lead.progress.committed()) {
      StoreBatch batch;
      replica.Commit(lead.progress.committed(), &batch);
      if (!batch.empty()) {
        ctx_.Persist(std::move(batch), [this, partition, applied = replica.applied()] { ctx_.Replica(partition).DurableUpTo(applied); });
      }
      hooks_.committed(partition, lead.progress.committed());
    }
  }
  Resolve(partition, lead);
  TryPropose(partition, lead);
  if (!lead.progress.active() || lead.early.empty()) return;
  for (Early& early : std::exchange(lead.early, {})) ctx_.now < early.until ? early.again() : early.refused();
}

void Primaries::Resolve(PartitionId, Lead& lead) {
  std::vector<Done> ready;
  std::erase_if(lead.waiting, [&](Waiting& w) {
    if (!lead.progress.active()) return false;
    const Seq reached = w.committed_is_enough ? lead.progress.committed() : lead.progress.acknowledged();
    if (reached < w.seq) {
      RULE("R2.1");
      return false;
    }
    ready.push_back(std::move(w.done));
    return true;
  });
  for (Done& done : ready) done();
}

bool Primaries::WhenActive(PartitionId partition, const Waiter& waiter, Done again, Done refused) {
  const auto it = leads_.find(partition);
  if (it == leads_.end() || it->second->progress.active() || ctx_.health.failed) return false;
  Lead& lead = *it->second;
  const Instant until = std::min(waiter.deadline, lead.since + kActivates);
  if (until <= ctx_.now || lead.early.size() >= ctx_.config.max_waiting_per_partition) return false;
  Touch(partition);
  lead.early.push_back({waiter, until, std::move(again), std::move(refused)});
  return true;
}

void Primaries::RefuseLate(Lead& lead) {
  std::vector<Done> late;
  std::erase_if(lead.early, [&](Early& early) {
    if (ctx_.now < early.until) return false;
    late.push_back(std::move(early.refused));
    return true;
  });
  for (Done& refused : late) refused();
}

std::optional<google::rpc::Status> Primaries::WhyNoWrites(PartitionId partition, bool adds_data) const {
  const auto* progress = Progress(partition);
  if (ctx_.health.failed) {
    return Refuse(Code::kUnavailable, "DISK_FAILED", "this node's disk failed; nothing was written. Another node takes over.",
                  milliseconds(200));
  }
  if (!progress || !progress->active()) {
    return Refuse(Code::kUnavailable, "PARTITION_ACTIVATING",
                  "partition " + std::to_string(partition) + " is taking over; nothing was written. Try again.", milliseconds(20));
  }
  if (!progress->MayWrite()) {
    RULE("R2.4 too few copies");
    return Refuse(Code::kUnavailable, "TOO_FEW_COPIES",
                  "partition " + std::to_string(partition) + " can make only 1 of the " +
                      std::to_string(ctx_.layout->settings.min_copies) +
                      " copies the cluster promises; nothing was written. Writes go on when a second storage node answers.",
                  milliseconds(200));
  }
  if (!adds_data) return std::nullopt;
  std::optional<std::string> full;
  if (ctx_.health.full) full = ctx_.config.self.name();
  const auto view = ctx_.membership->view();
  for (const NodeId& id : progress->Receivers()) {
    const auto member = view->find(id);
    if (member != view->end() && member->second.facts.read_only()) full = member->second.facts.name();
  }
  if (!full) return std::nullopt;
  return Refuse(Code::kResourceExhausted, "DISK_FULL",
                "the disk of " + *full + " is full up to its reserve; nothing was written. Reads and deletes go on. "
                "Free space there, or add a node.",
                std::chrono::seconds(5));
}

std::optional<google::rpc::Status> Primaries::Order(PartitionId partition, wire::Write write, std::vector<Payload> bodies,
                                                    const Waiter& waiter, Done done) {
  Lead* const found = Touch(partition);
  if (!found) return Refuse(Code::kUnavailable, "PARTITION_ACTIVATING", "not the primary any more", milliseconds(20));
  Lead& lead = *found;
  PartitionReplica& replica = ctx_.Replica(partition);
  // Those who gave up waiting have left their writes behind.
  const std::uint64_t uncommitted = replica.last().value - std::min(replica.last(), lead.progress.committed()).value;
  if (uncommitted >= ctx_.config.max_waiting_per_partition) {
    return Refuse(Code::kResourceExhausted, "QUEUE_FULL",
                  "partition " + std::to_string(partition) + " has " + std::to_string(uncommitted) +
                      " writes waiting for their copies, its limit; nothing was written. Slow down and try again.",
                  milliseconds(100));
  }
  const Seq previous = replica.last();
  const Digest previous_hash = replica.meta().last_hash;
  SetStamp({lead.term, ctx_.config.boot, previous.Next()}, write.mutable_stamp());
  write.set_hash(HashWrite(previous_hash, write).str());
  const auto ordered = std::make_shared<const wire::Write>(std::move(write));
  StoreBatch batch;
  if (!replica.Apply(ordered, bodies, &batch)) {
    ctx_.FailStop("the store can't be read while writing to partition " + std::to_string(partition) +
                  "; stopping so that nothing wrong is acknowledged. Check the disk, then start again.");
    return Refuse(Code::kUnavailable, "DISK_FAILED", "this node's disk failed", milliseconds(200));
  }
  ctx_.Persist(std::move(batch), [this, partition, room = waiter.room, applied = replica.applied()] {
    PartitionReplica& written = ctx_.Replica(partition);
    written.DurableUpTo(applied);
    Lead* const lead = Touch(partition);
    if (!lead) return hooks_.written(partition);
    lead->progress.LocalDurable(written.durable());
    Advance(partition, *lead);
  });
  for (const NodeId& peer : lead.progress.Receivers()) {
    if (!lead.progress.HasContact(peer)) continue;
    wire::Peer message;
    auto* r = message.mutable_replicate();
    r->set_partition(partition);
    r->set_term(lead.term.value);
    r->set_boot(ctx_.config.boot.value);
    r->mutable_previous()->set_seq(previous.value);
    r->mutable_previous()->set_hash(previous_hash.str());
    r->set_committed(lead.progress.committed().value);
    *r->add_writes() = *ordered;
    ctx_.Send(peer, std::move(message), bodies);
  }
  lead.told_committed = lead.progress.committed();
  lead.told_at = ctx_.now;
  lead.waiting.push_back({previous.Next(), false, waiter, std::move(done)});
  ++ctx_.counters.writes;
  return std::nullopt;
}

void Primaries::WhenAcknowledged(PartitionId partition, Seq seq, const Waiter& waiter, Done done) {
  Lead* const lead = Touch(partition);
  if (!lead) return;
  lead->waiting.push_back({seq, false, waiter, std::move(done)});
  Resolve(partition, *lead);
}

void Primaries::WhenCommitted(PartitionId partition, Seq seq, const Waiter& waiter, Done done) {
  Lead* const lead = Touch(partition);
  if (!lead) return;
  lead->waiting.push_back({seq, true, waiter, std::move(done)});
  Resolve(partition, *lead);
}

Primaries::Standing Primaries::StandingOf(PartitionId partition, Seq seq) const {
  const auto* progress = Progress(partition);
  if (!progress) return Standing::kOrderAgain;
  if (progress->OldWritesHaveCopies()) {
    return seq <= progress->committed() ? Standing::kAcknowledged : Standing::kWillBe;
  }
  if (!progress->learner() || seq <= progress->learner_base()) {
    RULE("R6.1 ordered again");
    return Standing::kOrderAgain;
  }
  return seq <= progress->acknowledged() ? Standing::kAcknowledged : Standing::kWillBe;
}

}  // namespace coffer::node
