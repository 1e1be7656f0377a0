// What deletes take away besides the record they mark: the bytes of a chunk, the entries of a chain, all blocks of a zone (R10.2).
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "node/core/replica.h"

namespace coffer::node {

StoreBatch::EraseRange EntriesOf(PartitionId partition, const ZoneId& zone, const BlockId& chain);
// All but the mark of the drop.
StoreBatch::EraseRange BlocksOf(PartitionId partition, const ZoneId& zone);

// What a learner still has of what was deleted before its log began, or where that begins by now: no commit takes it. Its primary may have it,
// too, while the delete is not committed there, so that comparing the two does not tell.
class LeftOver {
 public:
  explicit LeftOver(const PartitionReplica& replica) : replica_(replica) {}

  // Every record of the partition, in the order of the keys.
  void See(const RecordKey& key, const RecordHeader& header, const Covered& covered);
  void TakeAway(PartitionReplica* replica, StoreBatch* batch) const;

 private:
  bool WillFinish(const Stamp& by);

  const PartitionReplica& replica_;
  std::optional<Stamp> asked_;  // one mark may cover many records: what was last asked, and
  bool will_finish_ = false;    // the answer
  std::vector<std::pair<RecordKey, RecordHeader>> chunks_;
  std::set<std::pair<ZoneId, BlockId>> chains_;  // of those deleted, which have entries
  std::set<ZoneId> zones_;                       // of those dropped, which have blocks
};

}  // namespace coffer::node
