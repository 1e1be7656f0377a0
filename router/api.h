// The one door behind every front: unary gRPC, the coalescing stream, and later HTTP call the same handlers.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "google/rpc/status.pb.h"
#include "router/request_bytes.h"
#include "router/response.h"

namespace coffer::router {

enum class Method : std::uint8_t;  // router/core/methods.h

// Where the answers of one call go. Called on any thread, one call at a time; never again after OnEnd.
class ResponseSink {
 public:
  virtual ~ResponseSink() = default;
  // A serialised response message. Unary methods send exactly one on success.
  virtual void OnResponse(Response message) = 0;
  // The end, exactly once. Code 0 is success; failures carry google.rpc details (ErrorInfo with domain "coffer", RetryInfo...).
  virtual void OnEnd(google::rpc::Status status) = 0;
  // Whether the front can take more answers now; a streaming handler pauses while false.
  virtual bool Writable() const { return true; }
};

// While one lives on a thread, a front that gathers answers may hold back what is answered on that thread; all of it leaves when
// the batch ends: one frame for all the answers of one round instead of one for the first and one for the rest. Within another one it does
// nothing: the outer one sends.
class AnswerBatch {
 public:
  AnswerBatch();
  ~AnswerBatch();
  AnswerBatch(const AnswerBatch&) = delete;
  AnswerBatch& operator=(const AnswerBatch&) = delete;

  // For fronts. Calls `Send` at the end of this thread's batch, once however often it is held, or false: there is none.
  class Held {
   public:
    virtual ~Held() = default;
    virtual void Send() = 0;
  };
  static bool Hold(std::shared_ptr<Held> held);

 private:
  bool outer_;
  std::vector<std::shared_ptr<Held>> held_;
};

// One call under way. Dropping it does not cancel.
class CallHandle {
 public:
  virtual ~CallHandle() = default;
  // The caller lost interest: work stops as soon as it safely can; OnEnd still follows (CANCELLED), exactly once.
  virtual void Cancel() = 0;
};

// Who calls, as the front knows it.
struct Caller {
  std::string peer;              // address of the real peer, for limits and logs
  std::string certificate_name;  // empty without mTLS
};

// All public methods. Thread-safe.
class Api {
 public:
  virtual ~Api() = default;
  // `deadline` is required and already less a margin. Bytes that do not parse end INVALID_ARGUMENT.
  virtual std::shared_ptr<CallHandle> Invoke(Method method, RequestBytes request, std::chrono::steady_clock::time_point deadline,
                                             const Caller& caller, std::shared_ptr<ResponseSink> sink) = 0;
  // The response to a Chunks/Get that can be answered without waiting for anything, which is its end too; nothing: Invoke it.
  // Spares a front all that a call under way needs.
  virtual std::optional<Response> AnswerGetNow(std::string_view /*request*/, std::chrono::steady_clock::time_point /*deadline*/) {
    return std::nullopt;
  }
  // False while draining or before a layout is known: health says NOT_SERVING.
  virtual bool Serving() const = 0;
};

}  // namespace coffer::router
