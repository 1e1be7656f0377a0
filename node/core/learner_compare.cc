// What a learner makes of what its primary says it has: which records differ, and which of its own are newer than the primary's look (S5, S6).
#include <string_view>
#include <utility>

#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"
#include "node/core/learner.h"
#include "node/core/record_check.h"
#include "node/core/resync_source.h"

namespace coffer::node {

// What is here of a log that was given up, from beyond where the primary's was when it looked. Its like there bears the stamp of another write:
// with ours, readers would not be shown it until our log had come so far (R5.3).
bool LearnerResync::OfLostLog(const Job& job, const ScannedRecord& own, std::uint64_t as_of) {
  const auto lost = [&](const Stamp& s) { return (s.term != job.term || s.boot != job.boot) && s.seq.value > as_of; };
  return lost(own.header.stamp) || (own.header.deleted && lost(own.header.deleted_by));
}

void LearnerResync::Compare(PartitionId partition, Job& job) {
  const wire::Ranges ranges = *std::exchange(job.ranges, std::nullopt);
  job.started = false;
  for (int i = 0; i < ranges.ranges_size(); ++i) {
    const auto& theirs = ranges.ranges(i);
    const bool open = ranges.complete() && i + 1 == ranges.ranges_size();
    const Range range{job.after, open ? "" : theirs.last_key(), theirs.records(), theirs.bytes()};
    RunDigest digest;
    std::uint64_t records = 0;
    bool lost = false;
    const auto scan = ctx_.store.Scan(partition, range.after, range.last_key, [&](const ScannedRecord& own) {
      digest.Add(EncodeKey(own.key), ListedHash(own));
      lost = lost || OfLostLog(job, own, ranges.as_of());
      return ++records <= theirs.records() && !lost;
    });
    if (scan == ReadOutcome::kFound && !lost && records == theirs.records() && digest.Finish().view() == theirs.digest()) {
      tally_.Count(range.records, range.bytes, job.primary, /*travelled=*/false);
    } else {
      job.todo.push_back(range);
    }
    job.after = theirs.last_key();
  }
  job.complete = ranges.complete();
  Continue(partition, job);
}

bool LearnerResync::Live(const Job& job, const RecordHeader& header) const {
  auto live = [&](const Stamp& s) { return s.term == job.term && s.boot == job.boot && s.seq.value > job.as_of; };
  return live(header.stamp) || (header.deleted && live(header.deleted_by));
}

// Whether a live write that the listing does not know of changed the record here. That write may be on its way to the disk still, and
// what a scan shows older than it. Of a record that does not verify the log must tell.
bool LearnerResync::ChangedLive(PartitionId partition, const Job& job, const RecordKey& key) const {
  const PartitionReplica& replica = ctx_.Replica(partition);
  RecordHeader header;
  switch (replica.Find(key, &header)) {
    case ReadOutcome::kFound:
      if (!Live(job, header)) return false;
      RULE("S5");
      return true;
    case ReadOutcome::kAbsent: return false;
    case ReadOutcome::kDamaged: return replica.MayHaveChanged(key, Seq(job.as_of));
    case ReadOutcome::kFailed: return true;
  }
  return true;
}

// Whether a fetched copy of the record comes too late: it changed live since, or what it belongs to is gone.
bool LearnerResync::Superseded(PartitionId partition, const Job& job, const RecordKey& key) const {
  const PartitionReplica& replica = ctx_.Replica(partition);
  RecordHeader header;
  if (replica.Find(key, &header) == ReadOutcome::kFound && Live(job, header)) return true;
  if (key.kind != RecordKind::kZoneDrop && !key.zone.IsZero()) {
    bool dropped = false;
    replica.ZoneDropped(key.zone, &dropped);
    if (dropped) return true;
  }
  RecordHeader mark;
  return key.kind == RecordKind::kEntry &&
         replica.Find({key.zone, RecordKind::kChainDelete, key.id, 0}, &mark) == ReadOutcome::kFound;
}

// A registration that is purged leaves nothing behind that would say so: only the log tells that it went live since it was listed.
bool LearnerResync::MayBePurged(PartitionId partition, const Job& job, const RecordKey& key) const {
  const PartitionReplica& replica = ctx_.Replica(partition);
  RecordHeader header;
  return key.kind == RecordKind::kZone && replica.Find(key, &header) == ReadOutcome::kAbsent && replica.MayHaveChanged(key, Seq(job.as_of));
}

void LearnerResync::Merge(PartitionId partition, Job& job) {
  const wire::Listing listing = *std::exchange(job.listing, std::nullopt);
  job.started = false;
  job.as_of = listing.as_of();
  Range& range = job.todo.front();
  StoreBatch batch;
  int next = 0;
  auto take_missing = [&](std::string_view below) {
    while (next < listing.records_size() && (below.empty() || listing.records(next).key() < below)) {
      job.fetch.push_back(listing.records(next++));
    }
  };
  ctx_.store.Scan(partition, listing.after(), listing.last_key(), [&](const ScannedRecord& own) {
    const std::string key = EncodeKey(own.key);
    take_missing(key);
    const bool same_key = next < listing.records_size() && listing.records(next).key() == key;
    if (!same_key) {
      if (Planted(Bug::kMergedBack) || ChangedLive(partition, job, own.key)) return true;
      RULE("R10.4");
      RULE("S6");
      ctx_.Replica(partition).NoteRecord(own.key, std::nullopt);
      batch.changes.push_back(StoreBatch::EraseRecord{partition, own.key});
      return true;
    }
    const auto& theirs = listing.records(next++);
    const bool equal = !own.damaged && ListedHash(own).view() == theirs.hash() && !OfLostLog(job, own, listing.as_of());
    if (equal || ChangedLive(partition, job, own.key)) {
      tally_.Count(1, theirs.size(), job.primary, /*travelled=*/false);
    } else {
      job.fetch.push_back(theirs);
    }
    return true;
  });
  take_missing("");
  if (!batch.empty()) Persist(partition, std::move(batch), job.primary);
  if (listing.last_key() == range.last_key) {
    job.todo.pop_front();
  } else {
    range.after = listing.last_key();
  }
  Continue(partition, job);
}

bool LearnerResync::Accept(PartitionId partition, Job& job, const wire::FetchedRecord& record, const Payload& value,
                           StoreBatch* batch) {
  const auto key = DecodeKey(record.key());
  auto header = DecodeHeader(record.header());
  if (!key || !header || !RecordVerifies(*key, *header, *value)) return false;
  if (Superseded(partition, job, *key)) return true;
  if (MayBePurged(partition, job, *key)) {
    // Compared once more: the log may also have been pruned beyond that, and then it is unknown.
    job.after.clear();
    job.complete = false;
    return true;
  }
  const bool mark = header->value_gone || key->kind == RecordKind::kZoneDrop || key->kind == RecordKind::kChainDelete;
  ctx_.Replica(partition).NoteRecord(*key, *header);
  batch->changes.push_back(StoreBatch::PutRecord{partition, *key, *header, mark ? nullptr : value});
  return true;
}

}  // namespace coffer::node
