// How full each queue of a router is.
#include "router/core/router_state.h"

namespace coffer::router {

void RouterCore::State::VisitQueues(const QueueVisitor& visit) const {
  visit({"calls under way", calls_.size(), config_.max_calls});
  visit({"bytes of requests under way", counters_.queued_bytes, config_.max_queued_bytes});
  visit({"zones that are looked up", zones_.looking_up(), config_.max_calls});
  visit({"zones that are remembered", zones_.remembered(), config_.zones.max_entries});
  // Each of these belongs to a call, or to a look-up.
  std::uint64_t asked = zones_.looking_up();
  for (const auto& [id, call] : calls_) {
    asked += call.ops.size();
    visit({"operations of one call", call.ops.size(), kMostOpsOfCall});
  }
  visit({"operations", owners_.size(), asked});
  visit({"operations at nodes", dispatcher_.under_way(), asked});
  visit({"deadlines of calls", deadlines_.size(), calls_.size()});
  visit({"calls to be woken", wakes_.size(), calls_.size()});
  visit({"calls about the cluster", world_watchers_.size(), calls_.size()});
  visit({"reads of the disk", disk_readers_.size(), config_.max_calls * kMostOpsOfCall});
  dispatcher_.VisitQueues(visit);
  const ChainEndCounters ends = chain_ends_.Counters();
  visit({"bytes of ends of chains", ends.bytes, chain_ends_.bound()});
  membership_.VisitQueues(visit);
  agreement_.VisitQueues(visit);
}

}  // namespace coffer::router
