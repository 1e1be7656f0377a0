// Every error a router makes, in one place: code, reason, what happened, what is safe, what to do.
//
// All are google.rpc.Status with an ErrorInfo detail (domain "coffer"). Reasons are listed, with what to do about each, in
// docs/codes.md; `kReasons` in codes.h is the same table for programs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/ids.h"
#include "google/rpc/status.pb.h"

namespace coffer::router {

using Status = google::rpc::Status;

// gRPC's codes, by number, without gRPC's headers.
enum class Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// One field that breaks a rule: which, and which rule with the limit in it.
struct Violation {
  std::string field;
  std::string rule;
};

// Success.
Status Ok();
// A status with an ErrorInfo; `retry_after` adds a RetryInfo.
Status MakeError(Code code, std::string_view reason, std::string message, std::optional<Duration> retry_after = {});

// INVALID_ARGUMENT with a BadRequest; the message is the first violation.
Status InvalidRequest(const std::vector<Violation>& violations);
// INVALID_ARGUMENT: bytes that are no such message.
Status Unparsable(std::string_view method);
// UNIMPLEMENTED.
Status UnknownMethod(std::string_view method);
// NOT_FOUND, ZONE_UNKNOWN.
Status ZoneUnknown(std::string_view zone);
// NOT_FOUND, ZONE_DELETED: the zone that a request named by its id is no more; another has its name.
Status ZoneReplaced(std::string_view zone);
// NOT_FOUND, ZONE_DELETED: between two answers of a read the zone was deleted; another has its name.
Status ZoneReplacedWhileRead(std::string_view zone);
// DEADLINE_EXCEEDED, OUTCOME_UNKNOWN: a write was sent and no answer settled it. `last` is what was heard last, may be empty.
Status OutcomeUnknown(std::string_view last);
// UNAVAILABLE, NOT_SENT: the deadline passed before the request could be sent to anybody; definite. `why` says what was missing.
Status NotSent(std::string_view why);
// DEADLINE_EXCEEDED, DEADLINE: a read was sent and not answered in time. `last` may be empty.
Status ReadTimedOut(std::string_view last);
// INVALID_ARGUMENT, DEADLINE_REQUIRED.
Status DeadlineRequired();
// CANCELLED.
Status Cancelled();
// RESOURCE_EXHAUSTED, TOO_MANY_CALLS, with RetryInfo.
Status TooManyCalls(std::uint64_t limit);
// RESOURCE_EXHAUSTED, TOO_MANY_BYTES, with RetryInfo.
Status TooManyBytes(std::uint64_t limit);
// UNAVAILABLE, STOPPING.
Status Stopping();
// UNAVAILABLE, NO_LAYOUT: this router has not heard of a cluster yet.
Status NoLayout();
// ABORTED, LAYOUT_CHANGED: a plan was made for another epoch.
Status LayoutChanged(Epoch planned, Epoch current);
// FAILED_PRECONDITION, CHANGE_REFUSED.
Status ChangeRefused(std::string_view why);
// NOT_FOUND, CHAIN_DELETED.
Status ChainDeleted(const BlockId& chain);
// DATA_LOSS, CHAIN_REWRITTEN: what follows does not continue what was delivered.
Status ChainRewritten(const BlockId& chain, std::uint64_t position);
// UNAVAILABLE, CHAIN_ENDS_EARLY: entries that were there when a read began are not there.
Status ChainEndsEarly(const BlockId& chain);
// INTERNAL, BAD_ANSWER: a node answered with something that can't be an answer.
Status BadAnswer(std::string_view what);

bool IsOk(const Status& status);
Code CodeOf(const Status& status);
// The ErrorInfo's reason; empty if there is none.
std::string ReasonOf(const Status& status);
// The RetryInfo's delay, if there is one.
std::optional<Duration> RetryAfter(const Status& status);

}  // namespace coffer::router
