#include "node/core/merge_rule.h"

#include <algorithm>
#include <tuple>

namespace coffer::node {
namespace {

// The last write that changed the record.
Stamp ChangedBy(const RecordHeader& header) {
  return header.deleted ? std::max(header.stamp, header.deleted_by) : header.stamp;
}

}  // namespace

MergeVerdict MergeRecords(const RecordKey& key, const RecordHeader& mine, const RecordHeader& theirs) {
  if (key.kind == RecordKind::kZoneDrop || key.kind == RecordKind::kChainDelete) return {};
  if (mine.hash == theirs.hash) {
    const bool deleted_there = theirs.deleted && !mine.deleted;
    return {deleted_there ? MergedRecord::kDelete : MergedRecord::kMine, false};
  }
  const bool later = std::tuple(ChangedBy(mine), mine.hash) < std::tuple(ChangedBy(theirs), theirs.hash);
  return {later ? MergedRecord::kTheirs : MergedRecord::kMine, true};
}

ReadOutcome ReadForMerge(const StoreReader& store, PartitionId partition, const RecordKey& key, RecordHeader* header, Payload* value) {
  const auto outcome = store.Read(partition, key, header, value);
  if (outcome != ReadOutcome::kDamaged || store.Lookup(partition, key, header) != ReadOutcome::kFound || !header->deleted) return outcome;
  header->value_gone = true;
  value->reset();
  return ReadOutcome::kFound;
}

CopyExtent ExtentOf(const PartitionMeta& meta) {
  if (meta.lacks_to == Seq{}) return {meta.last, meta.committed, Seq{}};
  return {meta.last, meta.lacks_after, meta.lacks_to};
}

cluster::Loss LossOf(const std::vector<CopyExtent>& copies, Seq latest) {
  cluster::Loss loss;
  Seq prefix;  // everything up to here is held by one or the other
  for (const CopyExtent& copy : copies) {
    prefix = std::max(prefix, copy.complete_to);
    loss.last = std::max(loss.last, copy.last.seq);
  }
  loss.last = std::max(loss.last, latest);
  // The furthest copy may be that of a learner which got nothing yet, while an earlier primary's has writes that were never committed.
  loss.nothing = loss.last == Seq{};
  if (loss.nothing) return loss;
  const auto furthest =
      std::max_element(copies.begin(), copies.end(), [](const CopyExtent& a, const CopyExtent& b) { return a.last < b.last; });
  // Of writes behind the furthest copy's end it is not known which were made again in its term.
  const Seq held_to = std::max(furthest->last.seq, prefix);
  if (prefix < furthest->resumed_at) {
    loss.from = prefix.Next();
    loss.to = furthest->resumed_at;
  }
  if (held_to < loss.last) {
    if (loss.from == Seq{}) loss.from = held_to.Next();
    loss.to = loss.last;
  }
  return loss;
}

}  // namespace coffer::node
