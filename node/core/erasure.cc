#include "node/core/erasure.h"

#include <string>

#include "cluster/rule_mark.h"
#include "node/core/write_keys.h"

namespace coffer::node {
namespace {

// One past the last key that begins with `prefix`.
std::string AfterPrefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

}  // namespace

StoreBatch::EraseRange EntriesOf(PartitionId partition, const ZoneId& zone, const BlockId& chain) {
  std::string prefix = EncodeKey(EntryKey(zone, chain, 0));
  prefix.resize(prefix.size() - 8);
  return {partition, prefix, AfterPrefix(prefix)};
}

StoreBatch::EraseRange BlocksOf(PartitionId partition, const ZoneId& zone) {
  return {partition, EncodeKey(DropKey(zone)) + '\0', AfterPrefix(zone.str())};
}

void LeftOver::See(const RecordKey& key, const RecordHeader& header) {
  if (header.stamp == Stamp{}) return;  // it does not verify: what it would take away stays
  if (key.kind == RecordKind::kZoneDrop) {
    if (!replica_.WillFinish(header.stamp)) dropped_ = key.zone;
  } else if (dropped_ == key.zone) {
    zones_.insert(key.zone);
  } else if (key.kind == RecordKind::kChainDelete) {
    if (!replica_.WillFinish(header.stamp)) deleted_.emplace(key.zone, key.id);
  } else if (key.kind == RecordKind::kEntry) {
    if (deleted_.contains({key.zone, key.id})) chains_.emplace(key.zone, key.id);
  } else if (header.deleted && !header.value_gone && !replica_.WillFinish(header.deleted_by)) {
    chunks_.emplace_back(key, header);
  }
}

void LeftOver::TakeAway(PartitionReplica* replica, StoreBatch* batch) const {
  if (zones_.empty() && chains_.empty() && chunks_.empty()) return;
  RULE("R10.2 left over");
  const PartitionId partition = replica->id();
  for (auto [key, header] : chunks_) {
    header.value_gone = true;
    replica->NoteRecord(key, header);
    batch->changes.push_back(StoreBatch::DropValue{partition, key, header});
  }
  // At last: a long range is erased bit by bit if nothing of the batch comes behind it.
  for (const ZoneId& zone : zones_) batch->changes.push_back(BlocksOf(partition, zone));
  for (const auto& [zone, chain] : chains_) batch->changes.push_back(EntriesOf(partition, zone, chain));
}

}  // namespace coffer::node
