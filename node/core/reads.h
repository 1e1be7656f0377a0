// Reading under the rules: confirmation rounds (R5), the committed prefix, any holder's "found" (R13), and waiting for entries.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "node/core/context.h"
#include "node/core/partition_map.h"
#include "node/core/primary.h"
#include "node/core/requests.h"

namespace coffer::node {

class Reads {
 public:
  Reads(Context& context, Primaries& primaries, std::function<std::optional<Instant>(PartitionId)> last_heard)
      : ctx_(context), primaries_(primaries), last_heard_(std::move(last_heard)) {}

  // A DataRequest that reads; its partition exists.
  void Handle(const NodeId& from, wire::DataRequest request);
  // Runs `then(true)` once the primary's authority is confirmed by a round begun after this call, `then(false)` when it
  // ended. Only while we are primary.
  using Then = std::function<void(bool confirmed)>;
  void Confirm(PartitionId partition, Instant deadline, Then then);

  void OnConfirmAnswer(const NodeId& from, const wire::ConfirmAnswer& answer);
  // A read that was carried out: answers, or confirms and reads again. Damage is the owner's.
  void OnReadDone(ReadResult result);
  // Writes up to `committed` are committed: entries may have arrived for those who wait.
  void OnCommitted(PartitionId partition, Seq committed);
  void OnEnded(PartitionId partition);
  // Starts the rounds that gathered; call at the end of every step.
  void Flush();
  void Tick();
  Instant NextDeadline() const;
  // A delete of the chain that was read has been committed since, and erases its entries one after the other: it is read anew, as it is
  // now. False: it may be answered.
  bool ReadAnew(ReadResult& result);
  // Hands a task out again, after repair. What was known when it was handed out first may be so no more.
  void Emit(ReadTask task) {
    task.zone_live = false;
    ctx_.out.reads.push_back(std::move(task));
  }
  // A read that was handed out is answered: what it met can't be repaired.
  void GaveUp(PartitionId partition) { --out_[partition]; }
  // Requests that read the partition and are not answered.
  std::size_t CountWaiting(PartitionId partition) const;
  // Who waits until a chain grows.
  std::size_t CountWatching(PartitionId partition) const;

 private:
  struct Waiting {
    Instant deadline;
    Then then;
  };
  struct Round {
    std::uint64_t number = 0;           // 0: none under way
    Instant sent{};
    std::set<NodeId> missing;
    std::vector<Waiting> now;           // answered when the round completes
    std::vector<Waiting> next;          // gathered for the next one
  };
  struct Watcher {
    wire::DataRequest request;
    NodeId from;
    std::uint64_t position;
    Instant until;
  };

  void Dispatch(const NodeId& from, wire::DataRequest request, bool confirmed, Seq limit);
  // Answers from memory, if the end of the chain that is asked for is kept there.
  bool FromTail(const NodeId& from, const wire::DataRequest& request, Seq limit);
  void Keep(ReadResult& result);
  void ReadChain(const NodeId& from, wire::DataRequest request);
  void Complete(PartitionId partition, Round& round, bool confirmed);

  Context& ctx_;
  Primaries& primaries_;
  const std::function<std::optional<Instant>(PartitionId)> last_heard_;
  std::map<PartitionId, Round> rounds_;
  std::set<PartitionId> gathering_;
  std::uint64_t next_round_ = 1;
  std::map<PartitionId, std::vector<Watcher>> watchers_;
  PartitionMap<std::size_t> out_;  // tasks handed out for requests, until they come back
};

}  // namespace coffer::node
