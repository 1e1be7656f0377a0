// What the handlers of one front server share.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>

#include "proto/link/poller.h"
#include "proto/mutex.h"
#include "router/front_health.h"
#include "router/front_server.h"

namespace coffer::router {

// What must hear that the server is draining: streams, and calls that would go on for ever.
class Drainable {
 public:
  virtual ~Drainable() = default;
  virtual void Drain() = 0;
};

// Thread-safe.
class DrainList {
 public:
  // Dead ones need not be taken out, but should be.
  void Add(const std::shared_ptr<Drainable>& one);
  void Remove(const Drainable* one);
  void DrainAll();

 private:
  Mutex mutex_;
  std::map<const Drainable*, std::weak_ptr<Drainable>> all_ ABSL_GUARDED_BY(mutex_);
};

// How many calls gRPC has not let go of. Thread-safe.
class Presence {
 public:
  // One of them, until it is destroyed.
  std::shared_ptr<void> Enter() {
    MutexLock lock(mutex_);
    ++count_;
    return std::shared_ptr<void>(this, [](void* presence) { static_cast<Presence*>(presence)->Leave(); });
  }
  void AwaitNone() {
    MutexLock lock(mutex_);
    while (count_ != 0) none_.Wait(mutex_);
  }

 private:
  void Leave() {
    MutexLock lock(mutex_);
    if (--count_ == 0) none_.NotifyAll();
  }
  Mutex mutex_;
  Condition none_;
  std::size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

struct FrontState {
  FrontState(FrontOptions o, Api* a) : options(std::move(o)), api(*a), admission(options.admission) {}

  const FrontOptions options;
  Api& api;
  Admission admission;
  std::atomic<bool> draining{false};

  Health health;
  std::atomic<std::uint64_t> streams{0};  // coalescing streams that have not ended
  DrainList to_drain;
  Presence calls;
};

// Notes when a call began and tells the observer how it ended.
class CallRecord {
 public:
  CallRecord(const FrontState& state, Method method)
      : observer_(state.options.observer), method_(method), began_(std::chrono::steady_clock::now()) {}
  void End(Code code) const {
    if (observer_) observer_->OnCallEnd(method_, code, std::chrono::steady_clock::now() - began_);
  }
  Method method() const { return method_; }

 private:
  FrontObserver* observer_;
  Method method_;
  std::chrono::steady_clock::time_point began_;
};

// Whether the method answers with many messages.
bool IsStreaming(Method method);
// Whether the method may go on without a deadline.
bool MayLast(Method method);
// Whether the method changes nothing, so that its answer may be dropped and asked for again.
bool IsReading(Method method);

// The moment by which the Api must have answered: the caller's, less a margin for the way back.
std::chrono::steady_clock::time_point LessMargin(std::chrono::steady_clock::duration left);
// Of a unary or server-streaming call; DEADLINE_REQUIRED when there is none and the method may not
// last, or when it has passed already.
Status DeadlineOf(const grpc::ServerContextBase& context, Method method,
                  std::chrono::steady_clock::time_point* deadline);

Caller CallerOf(const grpc::ServerContextBase& context);
// "ipv4:10.0.0.7:4711" gives "10.0.0.7"; of an IPv6 address the first 64 bits, which one customer has to himself.
std::string HostOf(const std::string& grpc_peer);

// With the details for grpc-status-details-bin, cut to what the metadata of a client takes.
grpc::Status ToGrpc(const Status& status);
// Copies.
std::string BytesOf(const grpc::ByteBuffer& buffer);
// Large parts are not copied.
grpc::ByteBuffer BufferOf(Response response);

}  // namespace coffer::router
