// The primary's answers to a learner that compares: digests of key ranges, and listings of the ranges that differ.
#pragma once

#include <functional>

#include "node/core/context.h"
#include "node/core/primary.h"

namespace coffer::node {

// Of one answer, at most.
inline constexpr int kRangesPerAnswer = 8;
inline constexpr int kRecordsPerListing = 1024;

class ResyncSource {
 public:
  ResyncSource(Context& context, Primaries& primaries, std::function<void(PartitionId, const RecordKey&)> repair)
      : ctx_(context), primaries_(primaries), repair_(std::move(repair)) {}

  void OnRangesRequest(const NodeId& from, const wire::RangesRequest& request);
  void OnListRequest(const NodeId& from, const wire::ListRequest& request);
  // A learner's fetch, or a repair's (term 0), which any holder may answer.
  void OnFetchRequest(const NodeId& from, wire::FetchRequest request);
  // The records were read: what is said about them must hold still.
  void OnFetchDone(ReadResult* result) const;

 private:
  bool Serves(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot) const;
  bool Survives(const NodeId& from, PartitionId partition, std::uint64_t term) const;

  Context& ctx_;
  Primaries& primaries_;
  const std::function<void(PartitionId, const RecordKey&)> repair_;
};

// Digest of a run of records, fed in key order; both sides use it.
class RunDigest {
 public:
  void Add(std::string_view key, const Digest& record_hash);
  Digest Finish();

 private:
  std::string bytes_;
};

// The hash a scanned record stands for; zeros when it is damaged, so that it never compares equal.
Digest ListedHash(const ScannedRecord& record);

}  // namespace coffer::node
