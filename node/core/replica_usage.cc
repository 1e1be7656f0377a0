// What a partition's live blocks amount to, counted anew through the writes that are still under way.
#include <map>
#include <optional>
#include <utility>

#include "node/core/replica.h"

namespace coffer::node {

ReadOutcome PartitionReplica::Scan(std::string_view after, std::string_view last,
                                   const std::function<void(const RecordKey&, const RecordHeader&)>& visit) const {
  auto pending = records_.upper_bound(std::string(after));
  auto show_pending_below = [&](std::string_view key) {
    for (; pending != records_.end() && (key.empty() || pending->first < key) && (last.empty() || pending->first <= last); ++pending) {
      if (pending->second.header) visit(*DecodeKey(pending->first), *pending->second.header);
    }
  };
  const ReadOutcome outcome = store_.Scan(id_, after, last, [&](const ScannedRecord& record) {
    const std::string key = EncodeKey(record.key);
    show_pending_below(key);
    if (pending != records_.end() && pending->first == key) return true;  // shown with the next, as it will be
    visit(record.key, record.header);
    return true;
  });
  show_pending_below("");
  return outcome;
}

ReadOutcome PartitionReplica::CountLive(std::string_view after, std::string_view last, std::uint64_t* blocks, std::uint64_t* bytes,
                                        const std::function<void(const RecordKey&, const RecordHeader&, const Covered&)>& each) const {
  *blocks = *bytes = 0;
  // Entries of a deleted chain, and all of a zone that was dropped, stay until the delete is committed; the mark comes before them.
  std::map<std::pair<ZoneId, BlockId>, Stamp> deleted;
  std::optional<std::pair<ZoneId, Stamp>> dropped;
  return Scan(after, last, [&](const RecordKey& key, const RecordHeader& header) {
    Covered covered;
    if (dropped && dropped->first == key.zone) covered.by_zone = dropped->second;
    if (key.kind == RecordKind::kZoneDrop) dropped = {key.zone, header.stamp};
    if (key.kind == RecordKind::kChainDelete) deleted[{key.zone, key.id}] = header.stamp;
    if (key.kind == RecordKind::kEntry) {
      if (const auto mark = deleted.find({key.zone, key.id}); mark != deleted.end()) covered.by_chain = mark->second;
    }
    const bool live = !covered.by_zone && !covered.by_chain;
    const bool chunk = live && key.kind == RecordKind::kChunk && !header.deleted;
    const bool entry = live && key.kind == RecordKind::kEntry;
    *blocks += chunk || (entry && key.position == 0) ? 1 : 0;
    *bytes += chunk || entry ? header.size : 0;
    if (each) each(key, header, covered);
  });
}

}  // namespace coffer::node
