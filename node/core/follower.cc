#include "node/core/follower.h"

#include <algorithm>
#include <utility>

#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

// How long commit marks that no write takes to the disk are gathered. One alone would cost a batch and its share of a sync, as much as
// the write it is about; of writes spread over thousands of partitions each leads to one.
constexpr Duration kKeepMarks = std::chrono::seconds(1);
// Of messages that came before their layout: each is said again if it is dropped, but only after a while.
constexpr std::size_t kEarlyBytes = 4u << 20;
// Beside what it carries, of a message and of each write in it: the parts it was taken into, their strings and the closure about them. A
// contact measured 230 bytes, a message with one write 800.
constexpr std::size_t kEarlyOwnBytes = 512;

std::size_t BytesOf(const wire::Replicate& replicate, const std::vector<Payload>& bodies) {
  std::size_t bytes = replicate.ByteSizeLong() + static_cast<std::size_t>(replicate.writes_size()) * kEarlyOwnBytes;
  for (const Payload& body : bodies) bytes += body ? body->size() : 0;
  return bytes;
}

}  // namespace

void Followers::VisitQueues(const QueueVisitor& visit) const {
  visit({"bytes of messages that came before their layout", early_bytes_, kEarlyBytes});
  visit({"partitions whose commit mark is to be kept", marks_.size(), ctx_.layout ? ctx_.layout->partition_count() : 0u});
}

Followers::Follow* Followers::Fence(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot) {
  if (!ctx_.layout || partition >= ctx_.layout->partition_count()) {
    ++ctx_.counters.dropped;
    if (!ctx_.layout) hooks_.newer_layout(from, Epoch(term));
    return nullptr;
  }
  const auto& group = ctx_.group(partition);
  if (Term(term) > group.term) {
    RULE("R1.1 newer");
    hooks_.newer_layout(from, Epoch(term));
    return nullptr;
  }
  if (Planted(Bug::kReplicaIgnoresTerm) && Term(term) < group.term) {
    Follow& follow = follows_[partition];
    if (follow.term != Term(term)) follow = Follow{.term = Term(term), .boot = Boot(boot), .contacted = true};
    return &follow;
  }
  if (Term(term) < group.term || ctx_.IdOf(group.primary) != from) {
    RULE("R1.1 older");
    ++ctx_.counters.fenced;
    wire::Peer message;
    message.mutable_fenced()->set_partition(partition);
    message.mutable_fenced()->set_term(group.term.value);
    message.mutable_fenced()->set_epoch(ctx_.layout->epoch.value);
    ctx_.Send(from, std::move(message));
    return nullptr;
  }
  Follow& follow = follows_[partition];
  if (follow.term != group.term) {
    follow = Follow{.term = group.term, .contacted = follow.contacted && Planted(Bug::kProgressKept)};
    const auto& meta = ctx_.Replica(partition).meta();
    // This process has heard nothing of the term before: what the meta says of it came from the disk.
    follow.boot_durable = meta.contact_term == group.term;
    if (follow.boot_durable) follow.boot = meta.contact_boot;
    // Whoever holds a write of this (term, boot) last holds the primary's log. To replace its tail once more, as a message that outlived
    // our process may ask, would take back what was reported as held.
    follow.contacted = meta.last.term == group.term && meta.last.boot == follow.boot && !Planted(Bug::kContactOnlyExtends);
    if (follow.contacted) RULE("R4.2 known");
  }
  if (Boot(boot) < follow.boot) {
    RULE("R2.2 lower boot");
    ++ctx_.counters.fenced;
    return nullptr;
  }
  if (Boot(boot) > follow.boot) {
    follow = Follow{.term = group.term, .boot = Boot(boot), .contacted = follow.contacted && Planted(Bug::kProgressKept), .received = follow.received};
  }
  follow.heard = ctx_.now;
  return &follow;
}

// A primary that was faster than we to adopt a layout speaks to us at once. Whoever drops what it says leaves the partition without
// service until it says it again.
bool Followers::MayKeepEarly(PartitionId partition, std::uint64_t term, std::size_t bytes) {
  if (!ctx_.layout || partition >= ctx_.layout->partition_count() || Term(term) <= ctx_.group(partition).term) return false;
  bytes += kEarlyOwnBytes;
  if (early_bytes_ + bytes > kEarlyBytes) return false;
  RULE("R1.1 kept");
  early_bytes_ += bytes;
  return true;
}

// In the order in which they came; what is early still is kept again.
void Followers::OnLayout() {
  early_bytes_ = 0;
  for (auto& receive : std::exchange(early_, {})) receive();
}

void Followers::OnContact(const NodeId& from, const wire::Contact& contact) {
  Follow* follow = Fence(from, contact.partition(), contact.term(), contact.boot());
  if (!follow) {
    if (MayKeepEarly(contact.partition(), contact.term(), contact.ByteSizeLong())) early_.push_back([this, from, contact] { OnContact(from, contact); });
    return;
  }
  follow->primary_last = Seq(contact.last().seq());
  PartitionReplica& replica = ctx_.Replica(contact.partition());
  if (!replica.AllDurable()) {
    RULE("R4.3 not durable yet");
    follow->deferred_contact = contact;
    return;
  }
  AnswerContact(from, contact, *follow);
}

void Followers::AnswerContact(const NodeId& from, const wire::Contact& contact, const Follow& follow) {
  PartitionReplica& replica = ctx_.Replica(contact.partition());
  wire::Peer message;
  auto* answer = message.mutable_contact_answer();
  answer->set_partition(contact.partition());
  answer->set_term(contact.term());
  answer->set_boot(contact.boot());
  if (replica.Holds(Seq(contact.last().seq()), contact.last_hash())) {
    if (replica.last() > Seq(contact.last().seq())) RULE("R4.5");
    auto* mark = answer->add_log();
    mark->set_seq(contact.last().seq());
    mark->set_hash(contact.last_hash());
  } else {
    for (auto& mark : replica.Marks()) *answer->add_log() = std::move(mark);
  }
  if (follow.boot_durable) return ctx_.Send(from, std::move(message));
  // The boot we answer to is durable first: a late message of an earlier one must find us closed even after a restart. A contact that is
  // repeated meanwhile is answered behind that, too.
  StoreBatch batch;
  replica.NoteContact(follow.term, follow.boot, &batch);
  ctx_.Persist(std::move(batch), [this, from, p = contact.partition(), term = follow.term, boot = follow.boot, message = std::move(message)]() mutable {
    const auto it = follows_.find(p);
    if (it != follows_.end() && it->second.term == term && it->second.boot == boot) it->second.boot_durable = true;
    ctx_.Send(from, std::move(message));
  });
}

bool Followers::Cut(PartitionReplica& replica, const Follow& follow, const wire::Replicate& r, StoreBatch* batch) {
  const Seq fork(r.previous().seq());
  if (!replica.Holds(fork, r.previous().hash())) return false;
  std::vector<QuarantinedWrite> cut;
  const Seq last = replica.last();
  if (fork < replica.committed()) {
    // The logs may well meet later, in a line that can't be read here.
    for (Seq seq = fork.Next(); seq <= std::min(replica.committed(), follow.primary_last); seq = seq.Next()) {
      if (replica.HashAt(seq)) continue;
      ctx_.Event(NodeEvent::Level::kError, "partition " + std::to_string(replica.id()) + ": line " + std::to_string(seq.value) +
                                               " of its log does not verify here, so that it can't be told what the primary lacks. Stop this "
                                               "node and start it with an empty folder: it fills itself from the other copies.");
      return false;
    }
    // A primary that lacks what is committed here has forgotten it: its data folder was restored from a copy. Better no
    // service of this partition than its word (R4, R11).
    ctx_.Event(NodeEvent::Level::kError, "partition " + std::to_string(replica.id()) + ": its primary " +
                                             ctx_.NameOf(ctx_.IdOf(ctx_.group(replica.id()).primary)) + " lacks committed writes and is refused; its "
                                             "data folder is older than its promises. Stop that node and start it with an empty folder.");
    return false;
  }
  if (!replica.CutTo(fork, Digest::Must(r.previous().hash()), batch, &cut)) {
    ctx_.FailStopAtTail(replica.id());
    return false;
  }
  if (!cut.empty()) {
    RULE("R4.2 cut");
    ctx_.counters.quarantined += cut.size();
    ctx_.Warn("partition " + std::to_string(replica.id()) + ": " + std::to_string(last.value - fork.value) +
              " writes that were never acknowledged gave way to the primary's and were set aside in the quarantine file");
    std::move(cut.begin(), cut.end(), std::back_inserter(ctx_.out.quarantine));
  }
  return true;
}

void Followers::OnReplicate(const NodeId& from, wire::Replicate r, std::vector<Payload> bodies) {
  Follow* follow = Fence(from, r.partition(), r.term(), r.boot());
  if (!follow) {
    if (MayKeepEarly(r.partition(), r.term(), BytesOf(r, bodies))) {
      early_.push_back([this, from, r = std::move(r), bodies = std::move(bodies)]() mutable { OnReplicate(from, std::move(r), std::move(bodies)); });
    }
    return;
  }
  PartitionReplica& replica = ctx_.Replica(r.partition());
  if ((r.replace() || r.learner_start()) && !replica.AllDurable()) {
    follow->deferred_replace = std::pair(std::move(r), std::move(bodies));
    return;
  }
  bool chosen_anew = false;
  if (r.learner_start()) {
    if (r.choice() < follow->choice) {  // chosen anew since
      RULE("S2a earlier start");
      return;
    }
    chosen_anew = r.choice() > follow->choice;
    follow->choice = r.choice();
  }
  StoreBatch batch;
  // A start that comes late, or twice, must not take back what was reported as held since (R4.3): a log that already goes
  // through its base goes on from there, and one that begins after it has been started anew meanwhile. Of a later choice the log has to
  // begin where that says: who waits for a write before our log's begin would take our word for it (R7.4).
  const Seq base(r.previous().seq());
  const bool started = r.learner_start() && follow->learner && follow->contacted;
  if (started && !chosen_anew && base < replica.meta().log_start) return Ack(r.partition(), from, *follow, /*mismatch=*/false);
  const bool held = started && replica.Holds(base, r.previous().hash());
  if (r.learner_start() && !held) {
    const Stamp stamp{follow->term, follow->boot, Seq(r.previous().seq())};
    RULE("S3");
    replica.NoteContact(follow->term, follow->boot, nullptr);
    replica.StartAt(stamp.seq, Digest::Must(r.previous().hash()), stamp, &batch);
    follow->learner = follow->contacted = true;
  } else if (r.replace() && !follow->contacted) {
    if (!Planted(Bug::kContactOnlyExtends) && !Cut(replica, *follow, r, &batch)) return Ack(r.partition(), from, *follow, /*mismatch=*/true);
    follow->contacted = true;
  } else if (!follow->contacted) {
    return Ack(r.partition(), from, *follow, /*mismatch=*/true);
  }
  follow->received = true;
  const Taken taken = TakeWrites(replica, &r, bodies, &batch);
  if (taken == Taken::kUnreadable) {
    return ctx_.FailStop("the store can't be read while copying partition " + std::to_string(r.partition()) +
                         "; stopping. Check the disk, then start again.");
  }
  if (taken == Taken::kAll) {
    const Seq committed = replica.committed();
    replica.Commit(std::min(Seq(r.committed()), replica.last()), &batch);
    // The next write takes the mark to the disk. When the primary has none, it says so by this message without writes.
    if (batch.empty() && r.writes().empty() && committed < replica.committed()) NoteMark(r.partition());
  }
  // What was taken before something that does not follow is part of the log, as is the log's beginning.
  const bool writes = !batch.empty();
  if (writes) {
    PersistAndAck(r.partition(), from, *follow, std::move(batch));
  }
  if (taken == Taken::kMismatch) return Ack(r.partition(), from, *follow, /*mismatch=*/true);
  if (taken == Taken::kMalformed) ++ctx_.counters.dropped;
  else if (writes ? Planted(Bug::kAckBeforeSync) : replica.AllDurable()) Ack(r.partition(), from, *follow, /*mismatch=*/false);
}

Followers::Taken Followers::TakeWrites(PartitionReplica& replica, wire::Replicate* r, const std::vector<Payload>& bodies, StoreBatch* batch) {
  if (Seq(r->previous().seq()) > replica.last() && !Planted(Bug::kHighestOverGap)) {
    RULE("R4.3 gap");
    return Taken::kMismatch;
  }
  auto body = bodies.begin();
  for (wire::Write& write : *r->mutable_writes()) {
    const bool with_bodies = write.kind() == wire::WRITE_KIND_PUT_CHUNK || write.kind() == wire::WRITE_KIND_APPEND;
    const std::ptrdiff_t count = with_bodies ? write.items_size() : 0;
    if (bodies.end() - body < count) return Taken::kMalformed;
    std::vector<Payload> own(body, body + count);
    body += count;
    const Seq seq(write.stamp().seq());
    if (seq <= replica.last()) {
      if (replica.Holds(seq, write.hash()) || Planted(Bug::kContactOnlyExtends)) continue;  // a repeat
      return Taken::kMismatch;
    }
    const bool follows = seq == replica.last().Next() && HashWrite(replica.meta().last_hash, write).view() == write.hash();
    if (!follows && !Planted(Bug::kHighestOverGap) && !Planted(Bug::kContactOnlyExtends)) return Taken::kMismatch;
    if (!replica.Apply(std::make_shared<const wire::Write>(std::move(write)), std::move(own), batch)) return Taken::kUnreadable;
  }
  return Taken::kAll;
}

// Since contact our log is the beginning of the primary's (R4.3): what we hold of it up to a mark is committed.
void Followers::OnCommitMarks(const NodeId& from, const wire::CommitMarks& marks) {
  wire::Peer message;
  auto* ack = message.mutable_commit_marks_ack();
  ack->set_boot(marks.boot());
  for (const auto& mark : marks.marks()) {
    Follow* follow = Fence(from, mark.partition(), mark.term(), marks.boot());
    if (!follow || !follow->contacted) continue;
    follow->received = true;
    PartitionReplica& replica = ctx_.Replica(mark.partition());
    const Seq before = replica.committed();
    StoreBatch batch;
    replica.Commit(Seq(mark.committed()), &batch);
    if (!batch.empty()) {
      // Bytes of deletes go: this is said once it is durable.
      PersistAndAck(mark.partition(), from, *follow, std::move(batch));
      continue;
    }
    if (before < replica.committed()) NoteMark(mark.partition());
    auto* known = ack->add_marks();
    *known = mark;
    known->set_committed(replica.committed().value);
  }
  if (!ack->marks().empty()) ctx_.Send(from, std::move(message));
}

void Followers::NoteMark(PartitionId partition) {
  if (marks_.empty()) keep_marks_at_ = ctx_.now + kKeepMarks;
  marks_.insert(partition);
}

void Followers::Tick() {
  if (ctx_.now < keep_marks_at_) return;
  keep_marks_at_ = kNever;
  StoreBatch batch;
  for (const PartitionId partition : std::exchange(marks_, {})) {
    const auto replica = ctx_.replicas.find(partition);
    if (replica != ctx_.replicas.end()) replica->second->KeepCommitted(&batch);
  }
  if (batch.empty()) return;
  RULE("R4.6 known end kept");
  ctx_.Persist(std::move(batch), [] {});
}

void Followers::PersistAndAck(PartitionId partition, const NodeId& primary, const Follow& follow, StoreBatch batch) {
  ctx_.Persist(std::move(batch), [this, partition, primary, term = follow.term, boot = follow.boot, applied = ctx_.Replica(partition).applied()] {
    Durable(partition, primary, term, boot, applied);
  });
}

void Followers::Durable(PartitionId partition, const NodeId& primary, Term term, Boot boot, const Applied& applied) {
  ctx_.Replica(partition).DurableUpTo(applied);
  hooks_.durable(partition);
  const auto it = follows_.find(partition);
  if (it != follows_.end() && it->second.term == term && it->second.boot == boot) {
    Ack(partition, primary, it->second, /*mismatch=*/false);
    if (it->second.learner) hooks_.advanced(partition);
  }
  OnWritten(partition);
}

void Followers::OnWritten(PartitionId partition) {
  const auto it = follows_.find(partition);
  if (it == follows_.end() || !ctx_.Replica(partition).AllDurable()) return;
  Follow& follow = it->second;
  const NodeId& primary = ctx_.IdOf(ctx_.group(partition).primary);  // the fence lets nobody else through
  if (follow.deferred_replace) {
    auto [replicate, bodies] = *std::exchange(follow.deferred_replace, std::nullopt);
    OnReplicate(primary, std::move(replicate), std::move(bodies));
    return OnWritten(partition);  // if nothing was written, the contact need not wait either
  }
  if (follow.deferred_contact) {
    const wire::Contact contact = *std::exchange(follow.deferred_contact, std::nullopt);
    AnswerContact(primary, contact, follow);
  }
}

void Followers::Ack(PartitionId partition, const NodeId& to, const Follow& follow, bool mismatch) {
  const PartitionReplica& replica = ctx_.Replica(partition);
  wire::Peer message;
  auto* ack = message.mutable_replicate_ack();
  ack->set_partition(partition);
  ack->set_term(follow.term.value);
  ack->set_boot(follow.boot.value);
  ack->set_mismatch(mismatch);
  ack->set_choice(follow.choice);
  ack->set_committed(replica.committed().value);
  const Seq held = Planted(Bug::kAckBeforeSync) ? replica.last() : replica.durable();
  ack->mutable_durable()->set_seq(held.value);
  if (const auto hash = replica.HashAt(held)) ack->mutable_durable()->set_hash(hash->str());
  ctx_.Send(to, std::move(message));
}

void Followers::OnConfirm(const NodeId& from, const wire::Confirm& confirm) {
  wire::Peer message;
  auto* answer = message.mutable_confirm_answer();
  answer->set_round(confirm.round());
  answer->set_boot(confirm.boot());
  for (const auto& asked : confirm.partitions()) {
    if (Fence(from, asked.partition(), asked.term(), confirm.boot())) {
      *answer->add_partitions() = asked;
    } else {
      RULE("R5.2");
    }
  }
  ctx_.Send(from, std::move(message));
}

void Followers::OnLearnerRole(const NodeId& from, const wire::LearnerRole& role) {
  Follow* follow = Fence(from, role.partition(), role.term(), role.boot());
  if (!follow) {
    if (MayKeepEarly(role.partition(), role.term(), role.ByteSizeLong())) early_.push_back([this, from, role] { OnLearnerRole(from, role); });
    return;
  }
  if (role.choice() < follow->choice) {  // its withdrawal was overtaken by the start of a later choice
    RULE("S2a earlier role");
    return;
  }
  if (!role.chosen()) follow->learner = false;
  hooks_.learner_role(from, role);
}

void Followers::OnDiscard(const NodeId& from, const wire::Discard& discard) {
  if (!ctx_.layout || discard.partition() >= ctx_.layout->partition_count()) return;
  const auto& group = ctx_.group(discard.partition());
  if (group.term != Term(discard.term()) || ctx_.IdOf(group.primary) != from) return;
  auto it = follows_.find(discard.partition());
  const bool received = it != follows_.end() && it->second.term == group.term && it->second.received;
  if (received || group.InSync(ctx_.self_index) || group.InGoal(ctx_.self_index)) return;
  RULE("R12");
  StoreBatch batch;
  batch.changes.push_back(StoreBatch::ErasePartition{discard.partition()});
  ctx_.replicas.erase(discard.partition());
  ctx_.Persist(std::move(batch), [] {});
}

std::optional<Instant> Followers::LastHeard(PartitionId partition) const {
  auto it = follows_.find(partition);
  if (it == follows_.end()) return std::nullopt;
  return it->second.heard;
}

bool Followers::LearnsFor(PartitionId partition, std::uint64_t choice) const {
  auto it = follows_.find(partition);
  return it != follows_.end() && it->second.learner && it->second.choice == choice;
}

bool Followers::Learning(PartitionId partition) const {
  auto it = follows_.find(partition);
  return it != follows_.end() && it->second.learner;
}

}  // namespace coffer::node
