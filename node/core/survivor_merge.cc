#include "node/core/survivor_merge.h"

#include <algorithm>
#include <set>
#include <utility>

#include "cluster/rule_mark.h"
#include "cluster/sha256.h"
#include "node/core/record_check.h"
#include "node/core/replica.h"
#include "node/core/write_keys.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;

constexpr Duration kAskAgain = milliseconds(500);
constexpr int kKeysPerFetch = 64;
constexpr int kPartitionsAtOnce = 64;

bool HasValue(const RecordHeader& header, const RecordKey& key) {
  return !header.deleted && key.kind != RecordKind::kZoneDrop && key.kind != RecordKind::kChainDelete;
}

}  // namespace

void SurvivorMerge::StartTerm(PartitionId partition) {
  const auto& group = ctx_.group(partition);
  Job job{.term = group.term};
  for (const auto m : group.survivors) {
    if (m != ctx_.self_index) job.left.push_back(ctx_.IdOf(m));
  }
  jobs_[partition] = std::move(job);
}

SurvivorMerge::Job* SurvivorMerge::JobOf(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot) {
  const auto it = jobs_.find(partition);
  if (it == jobs_.end()) return nullptr;
  Job& job = it->second;
  const bool awaited = job.step == Step::kAsking && !job.left.empty() && job.left.front() == from;
  return awaited && job.term == Term(term) && boot == ctx_.config.boot.value ? &job : nullptr;
}

void SurvivorMerge::Tick() {
  int running = 0;
  for (auto& [partition, job] : jobs_) {
    if (job.step == Step::kDone) continue;
    if (++running > kPartitionsAtOnce) break;
    if (job.step == Step::kWriting || !ctx_.Replica(partition).Settled()) continue;
    // Whoever does not answer may not know the layout yet, or be off: then only an operator can say that it is gone.
    if (job.step == Step::kAsking && ctx_.now - job.asked >= kAskAgain) {
      job.step = Step::kWaiting;
      job.fetch.clear();
    }
    if (job.step == Step::kWaiting && (ctx_.now - job.asked >= kAskAgain || job.asked == Instant{})) Continue(partition, job);
  }
}

void SurvivorMerge::Continue(PartitionId partition, Job& job) {
  if (job.copies.empty()) job.copies.push_back(ExtentOf(ctx_.Replica(partition).meta()));
  if (job.left.empty()) return MakeWhole(partition, job);
  if (!job.fetch.empty()) return AskFetch(partition, job);
  AskListing(partition, job);
}

void SurvivorMerge::StopUnreadable(const std::string& meanwhile) {
  ctx_.FailStop("the store can't be read while " + meanwhile + "; stopping. Nothing was lost by it. Check the disk, then start again.");
}

void SurvivorMerge::AskListing(PartitionId partition, Job& job) {
  job.step = Step::kAsking;
  job.asked = ctx_.now;
  job.call = 0;
  if (!ctx_.linked.contains(job.left.front())) return;
  wire::Peer message;
  auto* ask = message.mutable_list_request();
  ask->set_partition(partition);
  ask->set_term(job.term.value);
  ask->set_boot(ctx_.config.boot.value);
  ask->set_after(job.after);
  ctx_.Send(job.left.front(), std::move(message));
}

void SurvivorMerge::AskFetch(PartitionId partition, Job& job) {
  job.step = Step::kAsking;
  job.asked = ctx_.now;
  job.call = next_call_++;
  wire::Peer message;
  auto* ask = message.mutable_fetch_request();
  ask->set_partition(partition);
  ask->set_term(job.term.value);
  ask->set_boot(ctx_.config.boot.value);
  ask->set_call(job.call);
  for (const std::string& key : job.fetch) {
    if (ask->keys_size() == kKeysPerFetch) break;
    ask->add_keys(key);
  }
  ctx_.Send(job.left.front(), std::move(message));
}

void SurvivorMerge::OnListing(const NodeId& from, const wire::Listing& listing) {
  const PartitionId partition = listing.partition();
  Job* const job = JobOf(from, partition, listing.term(), listing.boot());
  if (!job || job->call != 0 || !job->fetch.empty() || listing.after() != job->after || !listing.has_copy()) return;
  std::map<std::string, Digest> own;
  const auto outcome = ctx_.store.Scan(partition, listing.after(), listing.last_key(), [&](const ScannedRecord& record) {
    own[EncodeKey(record.key)] = record.damaged ? Digest{} : RecordHash(record.header);
    return true;
  });
  if (outcome == ReadOutcome::kFailed) {
    return StopUnreadable("the survivors of partition " + std::to_string(partition) + " are merged");
  }
  for (const auto& record : listing.records()) {
    const auto mine = own.find(record.key());
    if (mine == own.end() || mine->second.view() != record.hash()) job->fetch.push_back(record.key());
  }
  job->listed_to = listing.last_key();
  if (job->listed_to.empty()) {
    const auto& copy = listing.copy();
    job->copies.push_back({StampOf(copy.last()), Seq(copy.complete_to()), Seq(copy.resumed_at())});
  }
  if (!job->fetch.empty()) return AskFetch(partition, *job);
  Write(partition, *job, {}, &SurvivorMerge::Continue);
}

void SurvivorMerge::OnFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies) {
  const PartitionId partition = fetched.partition();
  Job* const job = JobOf(from, partition, fetched.term(), fetched.boot());
  if (!job || job->call == 0 || fetched.call() != job->call) return;
  StoreBatch batch;
  std::size_t body = 0;
  for (const auto& record : fetched.records()) {
    if (job->fetch.empty() || job->fetch.front() != record.key()) break;
    job->fetch.pop_front();
    if (!record.found()) continue;  // gone, or damaged there: no loss to what is here
    if (body >= bodies.size()) break;
    const Payload& value = bodies[body++];
    const auto key = DecodeKey(record.key());
    const auto header = DecodeHeader(record.header());
    if (key && header && value && RecordVerifies(*key, *header, *value)) Take(partition, *job, *key, *header, value, &batch);
  }
  job->call = 0;
  Write(partition, *job, std::move(batch), &SurvivorMerge::Continue);
}

void SurvivorMerge::Take(PartitionId partition, Job& job, const RecordKey& key, RecordHeader theirs, const Payload& value,
                         StoreBatch* batch) {
  if (theirs.deleted) theirs.value_gone = true;
  const Payload stored = HasValue(theirs, key) ? value : nullptr;
  RecordHeader mine;
  Payload own;
  PartitionReplica& replica = ctx_.Replica(partition);
  const auto outcome = ReadForMerge(ctx_.store, partition, key, &mine, &own);
  // What is put is shown at once: a repair that is under way must not bring back what it finds here, and another merge waits for it.
  if (outcome != ReadOutcome::kFound) {
    RULE("L10.1 taken in");
    replica.NoteRecord(key, theirs);
    batch->changes.push_back(StoreBatch::PutRecord{partition, key, std::move(theirs), stored});
    return;
  }
  const MergeVerdict verdict = MergeRecords(key, mine, theirs);
  if (verdict.conflict) RULE("L10.2 the later stands");
  switch (verdict.stands) {
    case MergedRecord::kMine:
      if (verdict.conflict) SetAside(partition, job, key, theirs, value);
      return;
    case MergedRecord::kTheirs:
      if (verdict.conflict) SetAside(partition, job, key, mine, own);
      replica.NoteRecord(key, theirs);
      batch->changes.push_back(StoreBatch::PutRecord{partition, key, std::move(theirs), stored});
      return;
    case MergedRecord::kDelete:
      RULE("L10.2 deleted");
      mine.deleted = mine.value_gone = true;
      mine.deleted_by = theirs.deleted_by;
      replica.NoteRecord(key, mine);
      batch->changes.push_back(StoreBatch::DropValue{partition, key, std::move(mine)});
      return;
  }
}

void SurvivorMerge::SetAside(PartitionId partition, Job& job, const RecordKey& key, const RecordHeader& header, const Payload& value) {
  if (!HasValue(header, key)) return;
  RULE("L10.4");
  ++job.set_aside;
  ++ctx_.counters.quarantined;
  QuarantinedWrite aside{.partition = partition};
  SetStamp(header.stamp, aside.write.mutable_stamp());
  aside.write.set_zone(key.zone.str());
  aside.write.set_id(key.id.str());
  aside.write.set_position(key.position);
  aside.write.set_kind(key.kind == RecordKind::kEntry  ? wire::WRITE_KIND_APPEND
                       : key.kind == RecordKind::kZone ? wire::WRITE_KIND_CREATE_ZONE
                                                       : wire::WRITE_KIND_PUT_CHUNK);
  auto* item = aside.write.add_items();
  item->set_hash(header.hash.str());
  item->set_size(header.size);
  item->set_predecessor(header.predecessor.str());
  item->set_signature(header.signature);
  aside.bodies.push_back(value);
  ctx_.out.quarantine.push_back(std::move(aside));
}

// The next step follows once the batch is durable, and visible to it.
void SurvivorMerge::Write(PartitionId partition, Job& job, StoreBatch batch, void (SurvivorMerge::*then)(PartitionId, Job&)) {
  if (job.fetch.empty() && !job.left.empty() && then == &SurvivorMerge::Continue) {
    job.after = job.listed_to;
    if (job.after.empty()) job.left.pop_front();
  }
  if (batch.empty()) return (this->*then)(partition, job);
  job.step = Step::kWriting;
  ctx_.Persist(std::move(batch), [this, partition, term = job.term, then, applied = ctx_.Replica(partition).applied()] {
    ctx_.Replica(partition).DurableUpTo(applied);
    durable_(partition);
    const auto it = jobs_.find(partition);
    if (it == jobs_.end() || it->second.term != term || it->second.step != Step::kWriting) return;
    (this->*then)(partition, it->second);
  });
}

// ---- What is here now, made whole

void SurvivorMerge::MakeWhole(PartitionId partition, Job& job) {
  StoreBatch batch;
  ZoneId dropped;
  bool any_dropped = false;
  bool readable = true;
  std::set<std::pair<ZoneId, BlockId>> deleted;
  // Entries come newest first. A chain stands from its beginning to the first place where an entry does not follow the one before.
  std::optional<ScannedRecord> above;
  std::optional<std::pair<RecordKey, std::uint64_t>> cut;  // from this entry up to this position
  std::uint64_t end = 0;
  const auto close = [&] {
    if (above && above->key.position > 0) cut = {above->key, end};
    if (cut) CutChain(partition, job, cut->first, cut->second, &batch);
    above.reset();
    cut.reset();
  };
  const auto entry = [&](const ScannedRecord& record) {
    const bool same_chain = above && above->key.zone == record.key.zone && above->key.id == record.key.id;
    if (!same_chain) {
      close();
      end = record.key.position + 1;
    } else {
      const bool next = above->key.position == record.key.position + 1;
      const bool follows = above->damaged || record.damaged || above->header.predecessor == record.header.hash;
      if (!next || !follows) cut = {above->key, end};
    }
    above = record;
  };
  const auto outcome = ctx_.store.Scan(partition, "", "", [&](const ScannedRecord& record) {
    const RecordKey& key = record.key;
    if (key.kind == RecordKind::kZoneDrop) {
      dropped = key.zone;
      any_dropped = true;
      return true;
    }
    if (key.kind == RecordKind::kChainDelete) deleted.emplace(key.zone, key.id);
    const bool covered = (any_dropped && key.zone == dropped) ||
                         (key.kind == RecordKind::kEntry && deleted.contains({key.zone, key.id}));
    if (covered) {
      RULE("L10.3 covered");
      batch.changes.push_back(StoreBatch::EraseRecord{partition, key});
    } else if (key.kind == RecordKind::kEntry) {
      entry(record);
    } else if (key.kind == RecordKind::kZone) {
      readable = MarkDropped(partition, key, &batch);
    } else if (record.header.deleted && !record.header.value_gone) {
      RecordHeader header = record.header;
      header.value_gone = true;
      ctx_.Replica(partition).NoteRecord(key, header);
      batch.changes.push_back(StoreBatch::DropValue{partition, key, std::move(header)});
    }
    return readable;
  });
  close();
  if (outcome == ReadOutcome::kFailed || !readable) {
    return StopUnreadable("the survivors of partition " + std::to_string(partition) + " are merged");
  }
  Write(partition, job, std::move(batch), &SurvivorMerge::Begin);
}

// Zones are dropped for a committed deletion only, the registry's own blocks among them, and before the registration is purged. A survivor
// that was removed before may bring it back; it is not erased here, because other partitions may have blocks of the zone still: their drop
// is asked for again, and then it is purged.
bool SurvivorMerge::MarkDropped(PartitionId partition, const RecordKey& key, StoreBatch* batch) {
  RecordHeader header, drop;
  Payload value;
  wire::ZoneRecord zone;
  const auto read = ctx_.store.Read(partition, key, &header, &value);
  if (read != ReadOutcome::kFound) return read != ReadOutcome::kFailed;
  if (!value || !zone.ParseFromString(*value) || zone.deleting()) return true;
  const auto id = ZoneId::From(zone.id());
  if (!id) return true;
  const auto dropped = ctx_.store.Lookup(partition, DropKey(*id), &drop);  // a damaged mark is one
  if (dropped == ReadOutcome::kFailed || dropped == ReadOutcome::kAbsent) return dropped == ReadOutcome::kAbsent;
  RULE("L10.3 zone");
  zone.set_deleting(true);
  const auto going = std::make_shared<const std::string>(zone.SerializeAsString());
  const RecordHeader marked{.stamp = std::max(header.stamp, drop.stamp), .hash = Sha256({*going}), .size = going->size()};
  ctx_.Replica(partition).NoteRecord(key, marked);
  batch->changes.push_back(StoreBatch::PutRecord{partition, key, marked, going});
  return true;
}

void SurvivorMerge::CutChain(PartitionId partition, Job& job, const RecordKey& first, std::uint64_t end, StoreBatch* batch) {
  RULE("L10.3 chain cut");
  RecordKey key = first;
  for (; key.position < end; ++key.position) {
    RecordHeader header;
    Payload value;
    const auto outcome = ctx_.store.Read(partition, key, &header, &value);
    if (outcome == ReadOutcome::kAbsent) continue;
    if (outcome == ReadOutcome::kFound) SetAside(partition, job, key, header, value);
    batch->changes.push_back(StoreBatch::EraseRecord{partition, key});
  }
}

void SurvivorMerge::Begin(PartitionId partition, Job& job) {
  PartitionReplica& replica = ctx_.Replica(partition);
  replica.ForgetEnd();
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  // A learner got records with the history that its log never came to: from a log that began before them, readers would not be shown them.
  Seq latest;
  const auto counted = replica.CountLive("", "", &blocks, &bytes, [&](const RecordKey&, const RecordHeader& header, const Covered&) {
    latest = std::max({latest, header.stamp.seq, header.deleted_by.seq});
  });
  if (counted == ReadOutcome::kFailed) return StopUnreadable("partition " + std::to_string(partition) + " is counted");
  const cluster::Loss loss = job.loss = LossOf(job.copies, latest);
  StoreBatch batch;
  const Stamp stamp{job.term, ctx_.config.boot, loss.last};
  const Digest hash = Sha256({"coffer.merge.v1", ctx_.self.view(), std::to_string(job.term.value), replica.meta().last_hash.view()});
  replica.StartAt(loss.last, hash, stamp, &batch);
  if (loss.from == Seq{}) {
    replica.SetLacking(Seq{}, Seq{});
  } else {
    RULE("L10.6 missing");
    replica.SetLacking(Seq(loss.from.value - 1), loss.to);
  }
  replica.SetCounts(blocks, bytes, &batch);
  RULE("L10.5");
  ctx_.Warn("partition " + std::to_string(partition) + ": " + std::to_string(job.copies.size()) + " survivors are merged: " +
            std::to_string(blocks) + " blocks, the last write is " + std::to_string(loss.last.value) +
            (loss.from == Seq{} ? "" : ", writes " + std::to_string(loss.from.value) + " to " + std::to_string(loss.to.value) + " may be missing") +
            (job.set_aside == 0 ? "" : ", " + std::to_string(job.set_aside) + " records were set aside in the quarantine file"));
  Write(partition, job, std::move(batch), &SurvivorMerge::SayMerged);
}

void SurvivorMerge::SayMerged(PartitionId partition, Job& job) {
  job.step = Step::kDone;
  const cluster::Loss& loss = job.loss;
  wire::ChangeRequest request;
  request.set_partition(partition);
  request.set_term(job.term.value);
  auto* merged = request.mutable_merged();
  merged->set_nothing(loss.nothing);
  merged->set_from(loss.from.value);
  merged->set_to(loss.to.value);
  merged->set_last(loss.last.value);
  merged->set_set_aside(job.set_aside);
  request_change_(request);
}

}  // namespace coffer::node
