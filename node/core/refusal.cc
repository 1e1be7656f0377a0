#include "node/core/refusal.h"

#include "google/rpc/error_details.pb.h"

namespace coffer::node {

google::rpc::Status Refuse(Code code, std::string_view reason, std::string message, std::optional<Duration> retry_after) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(code));
  status.set_message(std::move(message));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("coffer");
  status.add_details()->PackFrom(info);
  if (retry_after) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_after->count() / 1'000'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int>(retry_after->count() % 1'000'000'000));
    status.add_details()->PackFrom(retry);
  }
  return status;
}

google::rpc::Status RefuseUnreadable(PartitionId partition) {
  return Refuse(Code::kUnavailable, "DISK_READ_FAILED",
                "a part of partition " + std::to_string(partition) + " can't be read on this node's disk; nothing was done. Its other "
                "copy is safe. Look at this disk, or stop the node: another one takes over.",
                std::chrono::milliseconds(500));
}

}  // namespace coffer::node
