#include "router/core/reports.h"

#include <algorithm>
#include <utility>

namespace coffer::router {

bool Reports::Wants(Instant now) const {
  return now < until_ && (asked_ == Instant::min() || now - asked_ >= (layout_changed_ ? kAfterChange : kEvery));
}

std::vector<Outgoing> Reports::Ask(Instant now, const std::set<NodeId>& storage) {
  if (storage.empty()) return {};
  asked_ = now;
  layout_changed_ = false;
  std::vector<Outgoing> out;
  for (const NodeId& id : storage) {
    Outgoing ask;
    ask.to = id;
    ask.message.header.mutable_node_report_request()->set_call(next_call_++);
    out.push_back(std::move(ask));
  }
  std::erase_if(seen_, [now](const auto& entry) { return now - entry.second.at > kKept; });
  return out;
}

void Reports::Receive(Instant now, const NodeId& from, wire::NodeReport report, const cluster::Layout* layout) {
  if (layout) {
    partitions_.resize(layout->partition_count());
    for (const auto& partition : report.primaries()) {
      const PartitionId p = partition.partition();
      if (p >= partitions_.size() || layout->members[layout->group(p).primary].id != from) continue;
      partitions_[p].blocks = partition.blocks();
      partitions_[p].bytes = partition.bytes();
      if (partition.writable()) partitions_[p].refusing_since.reset();
      if (!partition.writable() && !partitions_[p].refusing_since) partitions_[p].refusing_since = now;
    }
  }
  seen_[from] = {std::move(report), now};
}

bool Reports::Since(Instant since, const std::set<NodeId>& storage) const {
  return std::all_of(storage.begin(), storage.end(), [&](const NodeId& id) {
    auto it = seen_.find(id);
    return it != seen_.end() && it->second.at >= since;
  });
}

}  // namespace coffer::router
