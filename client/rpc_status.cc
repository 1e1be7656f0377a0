// Reads google.rpc.Status and its details.
#include "client/rpc_status.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "coffer/v1/chains.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace coffer::client {

const char* CodeName(Code code) {
  static constexpr const char* kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto number = static_cast<std::size_t>(code);
  return number < std::size(kNames) ? kNames[number] : "UNKNOWN";
}

Status FromRpc(const google::rpc::Status& rpc) {
  const bool known = rpc.code() >= 0 && rpc.code() <= 16;
  Status out = Status::Failed(known ? static_cast<Code>(rpc.code()) : Code::kUnknown, rpc.message());
  if (rpc.code() == 0) out.retry_class = RetryClass::kOk;
  for (const google::protobuf::Any& any : rpc.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    v1::AppendConflict conflict;
    if (any.Is<google::rpc::ErrorInfo>() && any.UnpackTo(&info)) {
      out.reason = info.reason();
    } else if (any.Is<google::rpc::RetryInfo>() && any.UnpackTo(&retry)) {
      const auto& d = retry.retry_delay();
      const std::int64_t ms = d.seconds() * 1000 + d.nanos() / 1000000;
      out.retry_after = std::chrono::milliseconds(ms < 0 ? 0 : ms);
    } else if (any.Is<v1::AppendConflict>() && any.UnpackTo(&conflict)) {
      out.conflict = Status::Head{conflict.head().length(), conflict.head().hash()};
    }
  }
  return out;
}

bool RefusedBeforeWriting(const google::rpc::Status& rpc) {
  // The reasons of docs/codes.md that say "nothing was written" or "nothing was done". STOPPING and NO_QUORUM are not
  // among them: a call under way may end with those.
  static constexpr std::string_view kRefusals[] = {
      "NOT_SENT",    "TOO_FEW_COPIES", "PARTITION_ACTIVATING", "REPAIRING",      "REPAIR_WAITS",  "NO_LAYOUT",
      "NOT_A_VOTER", "DISK_FULL",      "QUEUE_FULL",           "TOO_MANY_BYTES", "TOO_MANY_CALLS", "DISK_READ_FAILED"};
  for (const google::protobuf::Any& any : rpc.details()) {
    google::rpc::ErrorInfo info;
    if (!any.Is<google::rpc::ErrorInfo>() || !any.UnpackTo(&info) || info.domain() != "coffer") continue;
    if (std::find(std::begin(kRefusals), std::end(kRefusals), info.reason()) != std::end(kRefusals)) return true;
  }
  return false;
}

}  // namespace coffer::client
