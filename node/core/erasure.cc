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

void LeftOver::See(const RecordKey& key, const RecordHeader& header, const Covered& covered) {
  // By a mark that does not verify nothing goes.
  const auto left = [this](const std::optional<Stamp>& by) { return by && *by != Stamp{} && !WillFinish(*by); };
  if (left(covered.by_zone)) {
    zones_.insert(key.zone);
  } else if (left(covered.by_chain)) {
    chains_.emplace(key.zone, key.id);
  } else if (header.deleted && !header.value_gone && !WillFinish(header.deleted_by)) {
    chunks_.emplace_back(key, header);
  }
}

bool LeftOver::WillFinish(const Stamp& by) {
  if (asked_ != by) {
    asked_ = by;
    will_finish_ = replica_.WillFinish(by);
  }
  return will_finish_;
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
