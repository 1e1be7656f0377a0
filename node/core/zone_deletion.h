// Finishes the deletion of zones: the registry's primary has every partition drop the zone, then frees its name. Each step is
// an ordinary replicated write; after a crash or a change of primary it starts over, which does no harm.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "node/core/context.h"
#include "node/core/requests.h"
#include "node/core/writes.h"

namespace coffer::node {

class ZoneDeletion {
 public:
  // `to_self` handles a DataRequest addressed to this node.
  // `repair` mends a record that does not verify.
  ZoneDeletion(Context& context, std::function<void(wire::DataRequest)> to_self,
               std::function<void(const wire::ZoneRecord&, Waiter, std::function<void()>)> purge,
               std::function<void(PartitionId, const RecordKey&)> repair)
      : ctx_(context), to_self_(std::move(to_self)), purge_(std::move(purge)), repair_(std::move(repair)), next_call_(context.config.boot.value << 32 | 1) {}

  // The zone is marked as being deleted; `waiter` is answered once no partition serves it any more.
  void Begin(const wire::ZoneRecord& zone, const Waiter& waiter);
  // A mark was ordered. Whoever asked for it may be gone when it is committed: then the registry tells.
  void OnMarkOrdered();
  // The registry became ours: deletions begun by an earlier primary go on.
  void OnRegistryActive();
  void OnRegistryEnded() {
    jobs_.clear();
    calls_.clear();
    look_at_ = kNever;
  }
  void OnResponse(const wire::DataResponse& response);
  void Tick();
  void VisitQueues(const QueueVisitor& visit) const;
  Instant NextDeadline() const { return jobs_.empty() ? look_at_ : ctx_.now + std::chrono::milliseconds(20); }

 private:
  struct Job {
    wire::ZoneRecord zone;
    std::vector<Waiter> waiters;
    std::set<PartitionId> left;
    struct Asked {
      Instant at{};
      std::uint64_t call = 0;  // the same when it is asked again
    };
    std::map<PartitionId, Asked> asked;  // of `left`
    Instant purge_at{};  // when the purge is ordered (again)
  };
  void Ask(Job& job);
  // What partitions said before a forced layout may be among what that lost: they are asked once more.
  void FollowForce();
  std::set<PartitionId> AllPartitions() const;

  Context& ctx_;
  const std::function<void(wire::DataRequest)> to_self_;
  const std::function<void(const wire::ZoneRecord&, Waiter, std::function<void()>)> purge_;
  const std::function<void(PartitionId, const RecordKey&)> repair_;
  std::map<ZoneId, Job> jobs_;
  Epoch forced_;              // the layout's, when that was looked at last
  Instant look_at_ = kNever;  // when the registry is looked through again
  std::map<std::uint64_t, std::pair<ZoneId, PartitionId>> calls_;
  std::uint64_t next_call_;  // no other process of ours has used it: its answers may still come
};

}  // namespace coffer::node
