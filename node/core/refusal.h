// The answers of a node that are no success: code, reason, and what happened in words. The reasons are listed in docs/codes.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cluster/ids.h"
#include "google/rpc/status.pb.h"

namespace coffer::node {

// gRPC's codes as a node uses them.
enum class Code : int {
  kInvalidArgument = 3,
  kNotFound = 5,
  kAlreadyExists = 6,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
};

// A status with an ErrorInfo (domain "coffer"); `retry_after` adds a RetryInfo.
google::rpc::Status Refuse(Code code, std::string_view reason, std::string message, std::optional<Duration> retry_after = {});

// A part of the index of `partition` can't be read on this node's disk; nothing was done.
google::rpc::Status RefuseUnreadable(PartitionId partition);

}  // namespace coffer::node
