// The health of the server by gRPC's standard service (grpc.health.v1.Health), which load balancers ask.
//
// gRPC's own serves it by the callback API, whose threads take turns at waiting for the network with the one that runs
// the core: two changes of threads for every event of the process.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "proto/mutex.h"

namespace coffer::link {
struct IncomingCall;
}

namespace coffer::router {

struct FrontState;

// What is told, and who wants to hear of it. Thread-safe.
class Health {
 public:
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void HealthChanged() = 0;
  };

  // Watchers are told if it is another than before.
  void Set(bool serving);
  // Of a service of ServiceNames() or the whole (""); nothing: there is no such service.
  std::optional<bool> Of(const std::string& service) const;
  void Add(const std::shared_ptr<Watcher>& watcher);
  void Remove(const Watcher* watcher);

 private:
  mutable Mutex mutex_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<const Watcher*, std::weak_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
};

// Health/Check, or Health/Watch, which goes on until the caller goes or the server drains.
void StartHealthCall(FrontState* state, bool watch, std::unique_ptr<link::IncomingCall> call);

}  // namespace coffer::router
