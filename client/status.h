// The outcome of an operation, as a value: what happened, in gRPC's codes, and what the caller may do about it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace coffer::client {

// The codes of gRPC, by number.
enum class Code {
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

// The code's usual name, such as "NOT_FOUND".
const char* CodeName(Code code);

// What is known about the operation's effect, and so what to do next.
enum class RetryClass {
  // Done.
  kOk,
  // Definitely not done, and the same call would fail again: change something first.
  kFailed,
  // Definitely not done; the same call may succeed later. (A read that ran out of time is here too.)
  kRetryLater,
  // A write may or may not have happened: it was sent, and no answer settles it. Sending the same write again is safe
  // in
  // Coffer and settles the question.
  kOutcomeUnknown,
};

// A success or an error. Copyable, immutable in spirit.
struct [[nodiscard]] Status {
  Code code = Code::kOk;
  RetryClass retry_class = RetryClass::kOk;
  // For people; may name ids and limits.
  std::string message;
  // For programs and `coffer explain`: UPPER_SNAKE_CASE, such as CHUNK_DELETED; may be empty.
  std::string reason;
  // How long the server asks to wait before the next try.
  std::optional<std::chrono::milliseconds> retry_after;
  // Of an ABORTED append: the chain as it is, so that the writer can place its entry anew. The hash has 32 bytes.
  struct Head {
    std::uint64_t length = 0;
    std::string hash;
  };
  std::optional<Head> conflict;

  bool ok() const { return code == Code::kOk; }
  // An error that is certain.
  static Status Failed(Code code, std::string message, std::string reason = "") {
    return Status{code, RetryClass::kFailed, std::move(message), std::move(reason), {}, {}};
  }
};

// A value, or why there is none. `value` is meaningful only when ok().
template <class T>
struct [[nodiscard]] Result {
  Status status;
  T value{};

  Result() = default;
  Result(T v) : value(std::move(v)) {}        // NOLINT: a value is a result
  Result(Status s) : status(std::move(s)) {}  // NOLINT: so is an error
  bool ok() const { return status.ok(); }
  const T* operator->() const { return &value; }
  const T& operator*() const { return value; }
};

// Nothing but success.
struct Done {};

}  // namespace coffer::client
