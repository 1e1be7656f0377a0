#include "router/front_health.h"

#include <algorithm>
#include <vector>

#include "grpc/health/v1/health.pb.h"
#include "router/front_services.h"
#include "router/front_state.h"

namespace coffer::router {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthCall final : public link::PolledServerStream,
                         public Health::Watcher,
                         public Drainable,
                         public std::enable_shared_from_this<HealthCall> {
 public:
  HealthCall(FrontState* state, bool watch, std::unique_ptr<link::IncomingCall> call)
      : link::PolledServerStream(std::move(call)), state_(*state), watch_(watch) {}

  void Begin() {
    self_ = shared_from_this();
    const Status status = state_.admission.Enter(CallerOf(context()).peer, 0, &permit_);
    if (!IsOk(status)) return End(ToGrpc(status));
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    HealthCheckRequest request;
    if (!ok || !request.ParseFromString(BytesOf(request_))) {
      return End({grpc::StatusCode::INVALID_ARGUMENT, "the request is no grpc.health.v1.HealthCheckRequest"});
    }
    service_ = request.service();
    if (watch_) return Watch();
    const auto serving = state_.health.Of(service_);
    if (!serving) return End({grpc::StatusCode::NOT_FOUND, "this server has no service of that name"});
    MutexLock lock(mutex_);
    if (std::exchange(finished_, true)) return;
    const grpc::ByteBuffer answer = Answer(serving);
    lock.Unlock();
    StartWriteAndFinish(&answer, grpc::Status::OK);
  }

  void HealthChanged() override { Tell(); }
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (!ok && !end_) end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone");
    }
    Tell();
  }
  void Drain() override { End(ToGrpc(Stopping())); }
  void OnCancel() override { End({grpc::StatusCode::CANCELLED, "the caller cancelled the call"}); }
  void OnDone() override {
    state_.health.Remove(this);
    state_.to_drain.Remove(this);
    ReleaseCall();
    self_.reset();
  }

 private:
  void Watch() {
    state_.to_drain.Add(self_);
    state_.health.Add(self_);
    if (state_.draining) return Drain();
    Tell();
  }

  // Says what has not been said yet, or the end; once a write is over, what came up meanwhile.
  void Tell() {
    MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    if (end_) {
      finished_ = true;
      return Finish(*end_);
    }
    const auto now = state_.health.Of(service_);
    if (told_ && *told_ == now) return;
    told_ = now;
    writing_ = true;
    const grpc::ByteBuffer answer = Answer(now);
    StartWrite(&answer);  // under the lock: nothing is started after Finish
  }

  void End(const grpc::Status& status) {
    {
      MutexLock lock(mutex_);
      if (!end_) end_ = status;
    }
    Tell();
  }

  static grpc::ByteBuffer Answer(std::optional<bool> serving) {
    HealthCheckResponse response;
    response.set_status(!serving   ? HealthCheckResponse::SERVICE_UNKNOWN
                        : *serving ? HealthCheckResponse::SERVING
                                   : HealthCheckResponse::NOT_SERVING);
    return BufferOf(response.SerializeAsString());
  }

  FrontState& state_;
  const bool watch_;
  Admission::Permit permit_;
  std::shared_ptr<HealthCall> self_;  // until OnDone
  grpc::ByteBuffer request_;
  std::string service_;  // once it is read
  Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::optional<bool>> told_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

void Health::Set(bool serving) {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    MutexLock lock(mutex_);
    if (std::exchange(serving_, serving) == serving) return;
    for (const auto& [key, watcher] : watchers_) {
      if (auto alive = watcher.lock()) watchers.push_back(std::move(alive));
    }
  }
  for (const auto& watcher : watchers) watcher->HealthChanged();
}

std::optional<bool> Health::Of(const std::string& service) const {
  static const std::vector<std::string> names = ServiceNames();
  if (!service.empty() && std::find(names.begin(), names.end(), service) == names.end()) return std::nullopt;
  MutexLock lock(mutex_);
  return serving_;
}

void Health::Add(const std::shared_ptr<Watcher>& watcher) {
  MutexLock lock(mutex_);
  watchers_[watcher.get()] = watcher;
}

void Health::Remove(const Watcher* watcher) {
  MutexLock lock(mutex_);
  watchers_.erase(watcher);
}

void StartHealthCall(FrontState* state, bool watch, std::unique_ptr<link::IncomingCall> call) {
  std::make_shared<HealthCall>(state, watch, std::move(call))->Begin();
}

}  // namespace coffer::router
