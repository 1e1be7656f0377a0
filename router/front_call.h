// Unary and server-streaming calls: bytes in, bytes out.
#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/mutex.h"
#include "router/front_state.h"

namespace coffer::router {

// One call that has arrived; it ends by itself. `state` must outlive it.
void StartUnary(FrontState* state, Method method, std::unique_ptr<link::IncomingCall> call);
void StartServerStreaming(FrontState* state, Method method, std::unique_ptr<link::IncomingCall> call);

// A call that is answered with nothing but this.
void Refuse(std::unique_ptr<link::IncomingCall> call, const Status& status);

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
