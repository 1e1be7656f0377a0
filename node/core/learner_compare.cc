// What a learner makes of what its primary says it has: which records differ, and which of its own are newer than the primary's look (S5, S6).
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"
#include "node/core/learner.h"
#include "node/core/record_check.h"
#include "node/core/resync_source.h"
#include "node/core/write_keys.h"

namespace coffer::node {
namespace {

// A value is not hashed here, as none is that arrives live: its source's store has verified that it is the one of this key and this hash, and
// the checksum that came along says that key, header and value are what that store gave. A build before this sends none.
bool FetchedVerifies(PartitionId partition, const wire::FetchedRecord& record, const RecordKey& key, const RecordHeader& header, std::string_view value) {
  if (!record.has_checksum()) return RecordVerifies(key, header, value);
  if (value.size() != (KeepsValue(key, header) ? header.size : 0)) return false;
  return record.checksum() == FetchedChecksum(partition, record.key(), record.header(), value);
}

}  // namespace

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
// what a scan shows older than it. Nothing: a later listing must tell, since the disk gave up, or the record does not verify, and of what
// changed it the log may say that it came since.
std::optional<bool> LearnerResync::ChangedLive(PartitionId partition, const Job& job, const RecordKey& key) const {
  const PartitionReplica& replica = ctx_.Replica(partition);
  RecordHeader header;
  switch (replica.Find(key, &header)) {
    case ReadOutcome::kFound:
      if (!Live(job, header)) return false;
      RULE("S5");
      return true;
    case ReadOutcome::kAbsent: return false;
    case ReadOutcome::kDamaged:
      if (replica.MayHaveChanged(key, Seq(job.as_of))) return std::nullopt;
      return false;
    case ReadOutcome::kFailed: return std::nullopt;
  }
  return std::nullopt;
}

// Whether a fetched copy of the record comes too late: it changed live since, or what it belongs to is gone. Nothing: the disk gave up. What
// does not verify here was not written live since it was compared: it would verify.
std::optional<bool> LearnerResync::Superseded(PartitionId partition, const Job& job, const RecordKey& key) const {
  const PartitionReplica& replica = ctx_.Replica(partition);
  RecordHeader header;
  const auto own = replica.Find(key, &header);
  auto zone_drop = ReadOutcome::kAbsent;
  auto chain_delete = ReadOutcome::kAbsent;
  bool dropped = false;
  RecordHeader mark;
  if (key.kind != RecordKind::kZoneDrop && !key.zone.IsZero()) zone_drop = replica.ZoneDropped(key.zone, &dropped);
  if (key.kind == RecordKind::kEntry) chain_delete = replica.Find(ChainDeleteKey(key.zone, key.id), &mark);
  for (const auto outcome : {own, zone_drop, chain_delete}) {
    if (outcome == ReadOutcome::kFailed) return std::nullopt;
  }
  return (own == ReadOutcome::kFound && Live(job, header)) || dropped || chain_delete == ReadOutcome::kFound;
}

// What is here can't be told: compared once more in a while, and it is said why it takes so long.
void LearnerResync::CompareAnew(PartitionId partition, Job& job) {
  tally_.SetError("partition " + std::to_string(partition) + " can't be read on this node's disk");
  job.todo.clear();
  job.fetch.clear();
  job.after.clear();
  job.complete = false;
  job.started = true;
  job.asked = ctx_.now;
}

// A registration that is purged leaves nothing behind that would say so: only the log tells that it went live since it was listed, and where
// much is written the log is soon pruned beyond that. Such a one is taken all the same: who left it out would ask for it again and again.
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
  bool told = true;
  const auto scan = ctx_.store.Scan(partition, listing.after(), listing.last_key(), [&](const ScannedRecord& own) {
    const std::string key = EncodeKey(own.key);
    take_missing(key);
    const bool listed = next < listing.records_size() && listing.records(next).key() == key;
    const bool equal = listed && !own.damaged && ListedHash(own).view() == listing.records(next).hash() && !OfLostLog(job, own, listing.as_of());
    const auto stays = equal ? true : ChangedLive(partition, job, own.key);
    if (!stays) {
      told = false;
      return false;
    }
    if (listed) {
      const auto& theirs = listing.records(next++);
      if (*stays) tally_.Count(1, theirs.size(), job.primary, /*travelled=*/false);
      else job.fetch.push_back(theirs);
    } else if (!*stays && !Planted(Bug::kMergedBack)) {
      RULE("R10.4");
      RULE("S6");
      ctx_.Replica(partition).NoteRecord(own.key, std::nullopt);
      batch.changes.push_back(StoreBatch::EraseRecord{partition, own.key});
    }
    return true;
  });
  if (!batch.empty()) Persist(partition, std::move(batch), job.primary);
  // What is fetched for a mark that stays here by mistake would not be taken.
  if (scan != ReadOutcome::kFound || !told) return CompareAnew(partition, job);
  take_missing("");
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
  const std::string of = " of partition " + std::to_string(partition);
  if (!key || !header || !value || !FetchedVerifies(partition, record, *key, *header, *value)) {
    tally_.SetError("a record" + of + " from " + ctx_.NameOf(job.primary) + " does not verify");
    return false;
  }
  const auto superseded = Superseded(partition, job, *key);
  if (!superseded) {
    tally_.SetError("records" + of + " can't be read on this node's disk");
    return false;
  }
  if (*superseded) return true;
  if (MayBePurged(partition, job, *key)) job.doubted = ctx_.Replica(partition).last().value;
  ctx_.Replica(partition).NoteRecord(*key, *header);
  batch->changes.push_back(StoreBatch::PutRecord{partition, *key, *header, KeepsValue(*key, *header) ? value : nullptr});
  return true;
}

}  // namespace coffer::node
