// What waits in a node: how much of it is let in, and how full each queue is.
#include "cluster/planted_bug.h"
#include "node/core/node_state.h"
#include "node/core/refusal.h"

namespace coffer::node {

using std::chrono::milliseconds;

// What was let in is in one queue of its partition at a time, from which it leaves when it is answered or its asker's time is over.
// Who waits for news of a chain is counted apart: he waits for writes, and must not keep them out.
std::optional<google::rpc::Status> NodeCore::State::WhyNoRoom(const wire::DataRequest& request, const std::vector<Payload>& bodies) const {
  const PartitionId partition = request.partition();
  // Who asks for a write elsewhere, or in another term, is sent on at once.
  if (Writes::Takes(request) && !ctx.LeadsIn(Term(request.term()), partition)) return std::nullopt;
  const bool watches = request.has_read_chain() && request.read_chain().wait_ms() > 0;
  const std::size_t waiting = watches ? reads.CountWatching(partition) : primaries.CountWaiting(partition) + reads.CountWaiting(partition);
  if (Planted(Bug::kNothingIsShed)) return std::nullopt;
  if (waiting >= ctx.config.max_waiting_per_partition) {
    return Refuse(Code::kResourceExhausted, "QUEUE_FULL",
                  "partition " + std::to_string(partition) + " has " + std::to_string(waiting) +
                      " requests waiting, its limit; nothing was done. Slow down and try again.",
                  milliseconds(100));
  }
  std::uint64_t bytes = ctx.bytes_held;
  for (const Payload& body : bodies) bytes += body ? body->size() : 0;
  if (bodies.empty() || bytes <= ctx.config.max_waiting_bytes) return std::nullopt;
  return Refuse(Code::kResourceExhausted, "QUEUE_FULL",
                "this node holds " + std::to_string(ctx.bytes_held) + " bytes of writes that are under way, and its limit is " +
                    std::to_string(ctx.config.max_waiting_bytes) + "; nothing was written. Slow down and try again.",
                milliseconds(100));
}

void NodeCore::State::VisitQueues(const QueueVisitor& visit) const {
  const std::uint64_t most = ctx.config.max_waiting_per_partition;
  const PartitionId partitions = ctx.layout ? ctx.layout->partition_count() : 0;
  for (PartitionId p = 0; p < partitions; ++p) {
    // A reader who waits for the commit of what is there is in two queues.
    visit({"requests that wait for a partition", primaries.CountWaiting(p) + reads.CountWaiting(p) + reads.CountWatching(p), 3 * most});
  }
  visit({"bytes of writes that are under way", ctx.bytes_held, ctx.config.max_waiting_bytes});
  visit({"bytes of ends of chains", ctx.tails.bytes(), ctx.config.chain_tail_bytes});
  primaries.VisitQueues(visit);
  followers.VisitQueues(visit);
  learner.VisitQueues(visit);
  planning.VisitQueues(visit);
  tokens.VisitQueues(visit);
  zones.VisitQueues(visit);
  repairs.VisitQueues(visit);
  copies.VisitQueues(visit);
  introductions.VisitQueues(visit);
  agreement.VisitQueues(visit);
  membership.VisitQueues(visit);
}

}  // namespace coffer::node
