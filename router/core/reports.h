// What the nodes report of themselves: asked for only while somebody looks, and remembered where it must outlive its source.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/message.h"
#include "router/core/status.h"

namespace coffer::router {

// Single-threaded; owned by RouterCore.
class Reports {
 public:
  explicit Reports(Duration interest) : interest_(interest) {}

  // Somebody looks: nodes are asked once a second for a while.
  void Look(Instant now) { until_ = now + interest_; }
  // What was reported under the layout before says little about now: nodes are asked again soon.
  void LayoutChanged() { layout_changed_ = true; }
  // Whether nodes should be asked now, and the questions to these members.
  bool Wants(Instant now) const;
  std::vector<Outgoing> Ask(Instant now, const std::set<NodeId>& storage);
  void Receive(Instant now, const NodeId& from, wire::NodeReport report, const cluster::Layout* layout);
  // Whether each of these has reported since then.
  bool Since(Instant since, const std::set<NodeId>& storage) const;

  const std::map<NodeId, ReportSeen>& seen() const { return seen_; }
  const std::vector<PartitionSeen>& partitions() const { return partitions_; }

 private:
  static constexpr Duration kEvery = std::chrono::seconds(1);
  static constexpr Duration kAfterChange = std::chrono::milliseconds(200);
  static constexpr Duration kKept = std::chrono::minutes(10);

  const Duration interest_;
  Instant until_{};
  Instant asked_ = Instant::min();
  bool layout_changed_ = false;
  std::uint64_t next_call_ = 1;
  std::map<NodeId, ReportSeen> seen_;
  std::vector<PartitionSeen> partitions_;  // by partition, as its primary said last
};

}  // namespace coffer::router
