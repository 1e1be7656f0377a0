// What becomes of two copies of a partition of which neither was in_sync (rule L10): record by record, and in numbers.
//
// Functions of their arguments alone.
#pragma once

#include <cstdint>
#include <vector>

#include "cluster/layout.h"
#include "node/store.h"

namespace coffer::node {

// What stands under a key after the merge of `mine`, which is here, and `theirs`.
enum class MergedRecord : std::uint8_t {
  kMine,    // `mine` as it is
  kTheirs,  // `theirs` takes its place
  kDelete,  // `mine`, deleted as `theirs` says
};
struct MergeVerdict {
  MergedRecord stands = MergedRecord::kMine;
  bool conflict = false;  // they are different values: the one that does not stand is set aside
};
// Different values under one key: the later write wins, by (term, boot, sequence), then by hash. Whatever was acknowledged is the
// later one, because everybody who acknowledged in a term had adopted it. A deleted chunk stays deleted: its delete may have been
// acknowledged, and nobody puts it again.
MergeVerdict MergeRecords(const RecordKey& key, const RecordHeader& mine, const RecordHeader& theirs);

// A record of a survivor and its value, for a merge: a delete counts whatever became of the bytes, which are then said to be gone (L10.2).
ReadOutcome ReadForMerge(const StoreReader& store, PartitionId partition, const RecordKey& key, RecordHeader* header, Payload* value);

// A copy as its holder describes it: all writes up to `complete_to`, and those after `resumed_at` up to `last`.
struct CopyExtent {
  Stamp last;  // zero: it never held the partition
  Seq complete_to;
  Seq resumed_at;
};
CopyExtent ExtentOf(const PartitionMeta& meta);
// What is known to be on none of them, of all that was written up to the furthest end of a log and up to `latest`: the last write that is
// known by a record only, because a learner got that with the history and never came so far with its log. The tail of a copy counts only
// if it is the furthest: another's may have been replaced.
cluster::Loss LossOf(const std::vector<CopyExtent>& copies, Seq latest);

}  // namespace coffer::node
