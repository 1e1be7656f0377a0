#include "router/core/errors.h"

#include "google/rpc/error_details.pb.h"

namespace coffer::router {
namespace {

constexpr char kDomain[] = "coffer";
// Long enough for a queue to drain, short enough that nobody notices.
constexpr Duration kShedRetry = std::chrono::milliseconds(100);

std::string Heard(std::string_view last) {
  return last.empty() ? std::string() : " Last heard: " + std::string(last) + ".";
}

}  // namespace

Status Ok() { return Status(); }

Status MakeError(Code code, std::string_view reason, std::string message, std::optional<Duration> retry_after) {
  Status status;
  status.set_code(static_cast<int>(code));
  status.set_message(std::move(message));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(kDomain);
  status.add_details()->PackFrom(info);
  if (retry_after) {
    google::rpc::RetryInfo retry;
    const auto nanos = std::chrono::nanoseconds(*retry_after).count();
    retry.mutable_retry_delay()->set_seconds(nanos / 1'000'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int>(nanos % 1'000'000'000));
    status.add_details()->PackFrom(retry);
  }
  return status;
}

Status InvalidRequest(const std::vector<Violation>& violations) {
  std::string message = "the request breaks a rule";
  if (!violations.empty()) message = violations.front().field + ": " + violations.front().rule;
  if (violations.size() > 1) message += " (and " + std::to_string(violations.size() - 1) + " more)";
  Status status = MakeError(Code::kInvalidArgument, "BAD_REQUEST", message);
  google::rpc::BadRequest details;
  for (const Violation& violation : violations) {
    auto* field = details.add_field_violations();
    field->set_field(violation.field);
    field->set_description(violation.rule);
  }
  status.add_details()->PackFrom(details);
  return status;
}

Status Unparsable(std::string_view method) {
  return MakeError(Code::kInvalidArgument, "BAD_REQUEST",
                   "the bytes are no request of " + std::string(method) + ": check that the client's protos match");
}

Status UnknownMethod(std::string_view method) {
  return MakeError(Code::kUnimplemented, "UNKNOWN_METHOD",
                   "there is no method \"" + std::string(method.substr(0, 100)) +
                       "\"; methods are named like coffer.v1.Chunks/Put");
}

Status ZoneUnknown(std::string_view zone) {
  return MakeError(Code::kNotFound, "ZONE_UNKNOWN",
                   "there is no zone \"" + std::string(zone) + "\"; create it with `coffer zone create " +
                       std::string(zone) + "`");
}

Status ZoneReplaced(std::string_view zone) {
  return MakeError(Code::kNotFound, "ZONE_DELETED",
                   "the zone that was meant is no more, another has the name \"" + std::string(zone) +
                       "\" now; nothing was done: resolve the name again to use that one");
}

Status ZoneReplacedWhileRead(std::string_view zone) {
  return MakeError(Code::kNotFound, "ZONE_DELETED",
                   "the zone was deleted while chains of it were read, another has the name \"" + std::string(zone) +
                       "\" now; what came so far is of the deleted zone: read again to read the other one");
}

Status OutcomeUnknown(std::string_view last) {
  return MakeError(Code::kDeadlineExceeded, "OUTCOME_UNKNOWN",
                   "the write was sent, but no answer came in time: it may or may not have happened; sending the same "
                   "again is safe." + Heard(last));
}

Status NotSent(std::string_view why) {
  return MakeError(Code::kUnavailable, "NOT_SENT",
                   "nothing was sent and nothing has changed: " + std::string(why) + "; try again",
                   std::chrono::milliseconds(500));
}

Status ReadTimedOut(std::string_view last) {
  return MakeError(Code::kDeadlineExceeded, "DEADLINE",
                   "no answer came in time; reading again is safe." + Heard(last));
}

Status DeadlineRequired() {
  return MakeError(Code::kInvalidArgument, "DEADLINE_REQUIRED",
                   "the call has no deadline, or it has passed already: set one, 10 s for instance");
}

Status Cancelled() { return MakeError(Code::kCancelled, "CANCELLED", "the caller cancelled the call"); }

Status TooManyCalls(std::uint64_t limit) {
  return MakeError(Code::kResourceExhausted, "TOO_MANY_CALLS",
                   "this router has its limit of " + std::to_string(limit) +
                       " calls under way; nothing was done, try again a little later or ask another router",
                   kShedRetry);
}

Status TooManyBytes(std::uint64_t limit) {
  return MakeError(Code::kResourceExhausted, "TOO_MANY_BYTES",
                   "this router has its limit of " + std::to_string(limit) +
                       " bytes of requests queued; nothing was done, try again a little later or ask another router",
                   kShedRetry);
}

Status Stopping() {
  return MakeError(Code::kUnavailable, "STOPPING", "this router is stopping: ask another, or again in a moment",
                   std::chrono::seconds(1));
}

Status NoLayout() {
  return MakeError(Code::kUnavailable, "NO_LAYOUT",
                   "this router has not heard from a storage node yet, so it knows no cluster: check that its --join "
                   "addresses are right and a storage node is up",
                   std::chrono::seconds(1));
}

Status LayoutChanged(Epoch planned, Epoch current) {
  return MakeError(Code::kAborted, "LAYOUT_CHANGED",
                   "the plan was made for epoch " + std::to_string(planned.value) + ", the layout is now at epoch " +
                       std::to_string(current.value) + "; nothing was changed: plan again");
}

Status ChangeRefused(std::string_view why) {
  return MakeError(Code::kFailedPrecondition, "CHANGE_REFUSED", std::string(why));
}

Status ChainDeleted(const BlockId& chain) {
  return MakeError(Code::kNotFound, "CHAIN_DELETED", "chain " + Hex(chain.view()) + " was deleted");
}

Status ChainRewritten(const BlockId& chain, std::uint64_t position) {
  return MakeError(Code::kDataLoss, "CHAIN_REWRITTEN",
                   "the entry at position " + std::to_string(position) + " of chain " + Hex(chain.view()) +
                       " does not continue the entries delivered before; was `coffer layout force` used? Read the chain "
                       "from its start");
}

Status ChainEndsEarly(const BlockId& chain) {
  return MakeError(Code::kUnavailable, "CHAIN_ENDS_EARLY",
                   "chain " + Hex(chain.view()) +
                       " ended before entries that were there when the read began: a copy that is behind answered, or `coffer layout "
                       "force` gave them up; what came so far is right: read again");
}

Status BadAnswer(std::string_view what) {
  return MakeError(Code::kInternal, "BAD_ANSWER",
                   "a node gave an answer that can't be one (" + std::string(what) +
                       "): check that all members run the same version, and report it");
}

bool IsOk(const Status& status) { return status.code() == 0; }

Code CodeOf(const Status& status) { return static_cast<Code>(status.code()); }

std::string ReasonOf(const Status& status) {
  google::rpc::ErrorInfo info;
  for (const auto& detail : status.details()) {
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return {};
}

std::optional<Duration> RetryAfter(const Status& status) {
  google::rpc::RetryInfo info;
  for (const auto& detail : status.details()) {
    if (!detail.UnpackTo(&info)) continue;
    return std::chrono::seconds(info.retry_delay().seconds()) + std::chrono::nanoseconds(info.retry_delay().nanos());
  }
  return std::nullopt;
}

}  // namespace coffer::router
