// What the cluster is like, from what the router has heard: a pure function. Every figure on every screen comes from here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/membership.h"
#include "cluster/message.h"
#include "coffer/v1/cluster.pb.h"

namespace coffer::router {

// A node's last report and when it came.
struct ReportSeen {
  wire::NodeReport report;
  Instant at{};
};

// What the primary of a partition said last; contents are kept when it is gone.
struct PartitionSeen {
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  std::optional<Instant> refusing_since;  // it has said since then, in each report, that it takes no writes
};

// How far the moves are: totals frozen per plan, done never falls. Advanced by AdvanceResync at every look.
struct ResyncProgress {
  Epoch plan;  // LayoutPlan.id; 0 while partitions move without one
  Instant since{};  // when this was looked at first, with so much done already:
  std::uint64_t bytes_done_then = 0;
  bool active = false;
  std::string cause;
  std::uint64_t partitions_total = 0, partitions_done = 0;
  std::uint64_t blocks_total = 0, blocks_done = 0, blocks_sent = 0;
  std::uint64_t bytes_total = 0, bytes_done = 0, bytes_sent = 0;
  bool operator==(const ResyncProgress&) const = default;
};

struct StatusInputs {
  Instant now{};
  std::uint64_t wall_ms = 0;  // milliseconds since 1970 UTC
  std::shared_ptr<const cluster::Layout> layout;
  Instant layout_since{};     // when this router adopted it
  std::shared_ptr<const cluster::Membership::View> members;
  std::map<NodeId, ReportSeen> reports;
  std::vector<PartitionSeen> partitions;  // by number; may be shorter than the layout's
  ResyncProgress resync;
};

// A report older than this says nothing about now.
inline constexpr Duration kReportMaxAge = std::chrono::seconds(4);
// Taking a partition over is a matter of moments, in which writes wait: only who refuses them for longer does not take writes.
inline constexpr Duration kTakeOver = std::chrono::milliseconds(1500);
// A new layout takes a moment to reach everybody: only who is behind for longer lags.
inline constexpr Duration kLayoutSpreads = std::chrono::seconds(2);
// A dead router is shown this long; others take its place.
inline constexpr Duration kDeadRouterShown = std::chrono::seconds(60);

// The status. `inputs.layout` and `inputs.members` must be set.
v1::Status BuildStatus(const StatusInputs& inputs);

// The progress after what is known now; `inputs.resync` is the one before.
ResyncProgress AdvanceResync(const StatusInputs& inputs);

// Per partition: living up-to-date copies, whether its primary answers and takes writes.
struct PartitionState {
  int copies = 0;
  bool primary_alive = false;
  bool writable = false;
};
std::vector<PartitionState> PartitionStates(const StatusInputs& inputs);

// Whether the member answers its probes, for the status.
bool IsUp(const StatusInputs& inputs, const NodeId& id);
bool HasSlowDisk(const StatusInputs& inputs, const NodeId& id);
// Names of the storage members any one of which may stop now.
std::vector<std::string> MayStopNow(const StatusInputs& inputs);

}  // namespace coffer::router
