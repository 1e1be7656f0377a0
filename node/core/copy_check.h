// Compares the copies of a partition by digest while it is at rest: what scrub does beyond reading each copy for itself. Two
// copies that verify and differ are a broken promise, not a bad disk: it is counted and said, and nothing is changed.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "node/core/context.h"

namespace coffer::node {

class CopyCheck {
 public:
  static constexpr std::size_t kAtOnce = 64;  // partitions; another one is compared another time

  // `emit` has a digest computed apart from the core (ReadTask with a CopyDigestRequest).
  CopyCheck(Context& context, std::function<void(ReadTask)> emit) : ctx_(context), emit_(std::move(emit)) {}

  // Compares the partition's copies, if we are its primary and it is at rest; otherwise another time.
  void Begin(PartitionId partition);
  void OnRequest(const NodeId& from, const wire::CopyDigestRequest& request);
  void OnDigest(const NodeId& from, const wire::CopyDigest& answer);
  void OnReadDone(ReadResult result);
  void Tick();
  Instant NextDeadline() const { return checks_.empty() ? kNever : ctx_.now + std::chrono::milliseconds(500); }

  void VisitQueues(const QueueVisitor& visit) const { visit({"comparisons of copies", checks_.size(), kAtOnce}); }
  std::uint64_t compared() const { return compared_; }
  std::uint64_t differing() const { return differing_; }

 private:
  struct Check {
    wire::CopyDigestRequest request;
    Instant again{};                           // when it is begun anew, or given up
    int differed = 0;                          // times in a row
    std::optional<wire::CopyDigest> own;
    std::map<NodeId, wire::CopyDigest> theirs;
    std::set<NodeId> open;                     // asked, and not compared yet
  };
  bool AtRest(const wire::CopyDigestRequest& request) const;
  void Ask(PartitionId partition, Check& check);
  void Compare(PartitionId partition);

  Context& ctx_;
  const std::function<void(ReadTask)> emit_;
  std::map<PartitionId, Check> checks_;
  std::uint64_t compared_ = 0, differing_ = 0;
};

}  // namespace coffer::node
