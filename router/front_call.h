// Unary and server-streaming calls: bytes in, bytes out.
#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/mutex.h"
#include "router/front_state.h"

namespace coffer::router {

// Both return what the generated handler must return; they own themselves. `state` must outlive the call.
grpc::ServerUnaryReactor* StartUnary(FrontState* state, Method method, grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* response);
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartServerStreaming(FrontState* state, Method method,
                                                                 grpc::CallbackServerContext* context,
                                                                 const grpc::ByteBuffer* request);

// Admission, then Api::Invoke for the calls that arrive one by one; ends `sink` by itself when the call may not enter.
// The permit must live as long as the work. Returns null when the call ended here.
std::shared_ptr<CallHandle> EnterAndInvoke(FrontState* state, Method method, const grpc::CallbackServerContext& context,
                                           const grpc::ByteBuffer& request, Admission::Permit* permit,
                                           const std::shared_ptr<ResponseSink>& sink);

// The handle of a call that may be cancelled before Invoke has returned it. Thread-safe.
class Canceller {
 public:
  void Set(std::shared_ptr<CallHandle> handle);
  void Cancel();
  // The call has ended: the handle is let go, now and later.
  void Ended();

 private:
  Mutex mutex_;
  std::shared_ptr<CallHandle> handle_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace coffer::router
