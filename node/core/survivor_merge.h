// The primary's side of `layout force`: takes in what every survivor of a partition holds, before anybody is served (rule L10).
//
// It reads one survivor after the other, page by page in key order, and decides each record by MergeRecords. Then it makes what is
// there whole: a chain ends at its first gap, what a delete covers goes, the counters are those of a recount. Its log begins anew
// behind the last write anybody held. Done twice it comes to the same, so a restart begins again. What lost, and what has no place,
// goes to the quarantine file.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "node/core/context.h"
#include "node/core/merge_rule.h"

namespace coffer::node {

class SurvivorMerge {
 public:
  // `request_change` hands the end of a merge to the usual proposer; it is repeated by the owner until the term is over. `durable`:
  // something that was written here is; the partition may be in a later term by then.
  SurvivorMerge(Context& context, std::function<void(const wire::ChangeRequest&)> request_change, std::function<void(PartitionId)> durable)
      : ctx_(context), request_change_(std::move(request_change)), durable_(std::move(durable)) {}

  // A term in which we are to merge the partition's survivors, or our restart in it; and its end.
  void StartTerm(PartitionId partition);
  void EndTerm(PartitionId partition) { jobs_.erase(partition); }
  bool Merges(PartitionId partition) const { return jobs_.contains(partition); }
  void OnListing(const NodeId& from, const wire::Listing& listing);
  void OnFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies);
  // Asks again whom it waits for.
  void Tick();
  Instant NextDeadline() const { return jobs_.empty() ? kNever : ctx_.now + std::chrono::milliseconds(20); }

 private:
  enum class Step { kWaiting, kAsking, kWriting, kDone };
  struct Job {
    Term term;
    std::deque<NodeId> left;             // survivors that are not taken in yet; the first is being asked
    std::vector<CopyExtent> copies;      // of those that are, ours first
    std::string after;                   // the first one's records are taken in up to this key
    std::string listed_to;               // the page under way ends here; empty: it is the last one
    std::deque<std::string> fetch;       // keys of the page that are still to be fetched
    Step step = Step::kWaiting;
    std::uint64_t call = 0;              // of the fetch under way
    Instant asked{};
    std::uint64_t set_aside = 0;
    cluster::Loss loss;                  // known once all are taken in
  };

  Job* JobOf(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot);
  void Continue(PartitionId partition, Job& job);
  void StopUnreadable(const std::string& meanwhile);
  void AskListing(PartitionId partition, Job& job);
  void AskFetch(PartitionId partition, Job& job);
  void Take(PartitionId partition, Job& job, const RecordKey& key, RecordHeader theirs, const Payload& value, StoreBatch* batch);
  void SetAside(PartitionId partition, Job& job, const RecordKey& key, const RecordHeader& header, const Payload& value);
  // What is here is made whole, counted, and made the beginning of a log.
  void MakeWhole(PartitionId partition, Job& job);
  // A registration of a zone that was dropped here is going. False: the disk gave up.
  bool MarkDropped(PartitionId partition, const RecordKey& key, StoreBatch* batch);
  void CutChain(PartitionId partition, Job& job, const RecordKey& first, std::uint64_t end, StoreBatch* batch);
  void Begin(PartitionId partition, Job& job);
  void Write(PartitionId partition, Job& job, StoreBatch batch, void (SurvivorMerge::*then)(PartitionId, Job&));
  void SayMerged(PartitionId partition, Job& job);

  Context& ctx_;
  const std::function<void(const wire::ChangeRequest&)> request_change_;
  const std::function<void(PartitionId)> durable_;
  std::map<PartitionId, Job> jobs_;
  std::uint64_t next_call_ = 1;
};

}  // namespace coffer::node
