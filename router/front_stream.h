// Stream.Open: many calls on one stream. Answers gather while a frame is being written and go out in the next one.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>

#include "proto/mutex.h"
#include "router/front_call.h"
#include "router/front_frame.h"
#include "router/front_state.h"

namespace coffer::router {

// One stream. Owns itself until gRPC is done with it and its calls have let go.
class StreamSession final : public link::PolledServerStream,
                            public Drainable,
                            public AnswerBatch::Held,
                            public std::enable_shared_from_this<StreamSession> {
 public:
  // `state` must outlive the stream and its calls.
  static void Start(FrontState* state, std::unique_ptr<link::IncomingCall> call);
  // Use Start.
  StreamSession(FrontState* state, std::unique_ptr<link::IncomingCall> call)
      : link::PolledServerStream(std::move(call)), state_(*state), caller_(CallerOf(context())) {}

  // The server is draining: new calls are refused, those that may last are ended, and the stream ends once nothing is under way.
  void Drain() override;
  // The answers of a batch are complete.
  void Send() override { Proceed(); }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  class Call;

  void Accept(StreamCall call);
  // Whether the call is over already: it could be answered without waiting for anything, and was.
  bool GetAnsweredNow(const StreamCall& call);
  // Whether the call may begin; opens it.
  Status Open(const StreamCall& call, const std::shared_ptr<Call>& sink, Admission::Permit* permit);
  void CancelCall(std::uint64_t id);
  // A reply of a call; the last one if it has a status. Dropped if the call has been cancelled.
  void Reply(Call* call, std::optional<Response> response, const Status* status);
  bool Writable() const;
  // Ends the stream because the caller broke its rules, or went away.
  void Break(grpc::Status why);
  // Writes, reads or finishes, whichever is due.
  void Proceed();
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return calls_.empty() && replies_.empty(); }
  void Enqueue(EncodedReply reply) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FrontState& state_;
  const Caller caller_;
  Admission::Permit permit_;
  std::shared_ptr<StreamSession> self_;  // until OnDone

  mutable Mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Call>> calls_ ABSL_GUARDED_BY(mutex_);  // open, not cancelled
  std::uint64_t open_ ABSL_GUARDED_BY(mutex_) = 0;           // under way, also those that were cancelled
  std::uint64_t request_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of those
  std::deque<EncodedReply> replies_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t reply_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // waiting and being written
  std::size_t writing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_closed_ ABSL_GUARDED_BY(mutex_) = false;  // the caller sends no more
  bool starting_ ABSL_GUARDED_BY(mutex_) = false;     // a thread is starting operations
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> broken_ ABSL_GUARDED_BY(mutex_);  // ends at once with this
  grpc::ByteBuffer read_buffer_;      // of the read in flight
  grpc::ByteBuffer write_buffer_;     // of the write in flight
};

}  // namespace coffer::router
