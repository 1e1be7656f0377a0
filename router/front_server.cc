#include "router/front_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <stdexcept>
#include <thread>
#include <vector>

#include "proto/link/credentials.h"
#include "proto/link/endpoint.h"
#include "proto/mutex.h"
#include "router/front_probe.h"
#include "router/front_queue.h"
#include "router/front_services.h"
#include "router/front_state.h"

namespace coffer::router {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What gRPC itself must insist on. It is weak against strangers even so: this port is for a private network, or mutual TLS.
void Configure(const FrontOptions& options, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(options.max_message_bytes);
  builder->SetMaxSendMessageSize(-1);
  builder->AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a port in use is an error, not a partner
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 4'000);
}

link::CallerCertificate CallerCertificateOf(const FrontOptions& options) {
  if (options.require_certificate) return link::CallerCertificate::kRequired;
  return options.tls.ca.empty() ? link::CallerCertificate::kNone : link::CallerCertificate::kOptional;
}

class Server final : public FrontServer {
 public:
  Server(FrontOptions options, Api* api) : state_(std::move(options), api) {
    state_.health.Set(api->Serving());
    const FrontOptions& o = state_.options;
    Listen();
    taker_ = std::make_unique<link::CallTaker>(
        poller_, [this](link::IncomingCall* call, link::CallTaker* taker) { Request(call, taker); },
        [this](std::unique_ptr<link::IncomingCall> call) { OnCall(std::move(call)); });
    if (own_poller_) polling_ = std::thread([this] { PollToTheEnd(); });
    taker_->Ask();
    health_ = std::thread([this] { FollowHealth(); });
    if (o.on_dead && o.probe_interval.count() > 0) {
      ListenerProbe::Options probe;
      probe.host = link::SplitHostPort(o.listen).host;
      probe.port = port_;
      probe.interval = o.probe_interval;
      probe.on_dead = o.on_dead;
      probe_ = std::make_unique<ListenerProbe>(std::move(probe));
    }
  }

  ~Server() override { Stop(milliseconds(0)); }

  int port() const override { return port_; }

  void Drain() override {
    state_.draining = true;
    {
      MutexLock lock(mutex_);  // not between FollowHealth's question and what it makes of the answer
      state_.health.Set(false);
    }
    state_.to_drain.DrainAll();
  }

  void Stop(milliseconds patience) override {
    {
      MutexLock lock(mutex_);
      if (stopped_) return;
      stopped_ = true;
    }
    wake_.NotifyAll();
    Drain();
    probe_.reset();
    health_.join();
    server_->Shutdown(std::chrono::system_clock::now() + patience);
    state_.calls.AwaitNone();
    server_.reset();
    CloseQueues();
  }

  Load load() const override {
    const Admission::Use use = state_.admission.InUse();
    return {use.calls, use.bytes, state_.streams};
  }

 private:
  // Throws; nothing is polled yet.
  void Listen() {
    const FrontOptions& o = state_.options;
    grpc::ServerBuilder builder;
    Configure(o, &builder);
    builder.AddListeningPort(o.listen, link::ServerCredentialsFor(o.tls, CallerCertificateOf(o)), &port_);
    builder.RegisterAsyncGenericService(&service_);
    auto queue = builder.AddCompletionQueue();
    if (o.poller) {
      builder.AddListeningPort("", std::make_shared<SharedQueue>(o.poller));
      poller_ = o.poller;
      unused_queue_ = std::move(queue);  // a builder insists on one of its own; nothing is ever asked of it
    } else {
      own_poller_ = std::make_unique<link::Poller>(std::move(queue));
      poller_ = own_poller_.get();
    }
    server_ = builder.BuildAndStart();
    if (server_ && port_ != 0) return;
    server_.reset();
    if (own_poller_) polling_ = std::thread([this] { PollToTheEnd(); });
    CloseQueues();
    throw std::runtime_error(link::WhyNotListening(o.listen));
  }

  void PollToTheEnd() {
    while (own_poller_->Poll(steady_clock::time_point::max())) {
    }
  }

  void CloseQueues() {
    if (own_poller_) own_poller_->Shutdown();
    if (polling_.joinable()) polling_.join();
    if (!unused_queue_) return;
    unused_queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (unused_queue_->Next(&tag, &ok)) {
    }
  }

  void Request(link::IncomingCall* call, link::CallTaker* taker) {
    call->owner = state_.calls.Enter();
    link::Poller::Begin(taker, [&](void* tag) {
      service_.RequestCall(&call->context, &call->stream, poller_->queue(), poller_->queue(), tag);
    });
  }

  void OnCall(std::unique_ptr<link::IncomingCall> call) {
    taker_->Ask();
    Serve(&state_, std::move(call));
  }

  void FollowHealth() {
    MutexLock lock(mutex_);
    const auto stopped = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; };
    while (!wake_.WaitFor(mutex_, state_.options.health_interval, stopped)) {
      state_.health.Set(state_.api.Serving() && !state_.draining);
    }
  }

  FrontState state_;
  int port_ = 0;
  link::Poller* poller_ = nullptr;
  std::unique_ptr<link::Poller> own_poller_;  // none with FrontOptions::poller
  std::unique_ptr<grpc::ServerCompletionQueue> unused_queue_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<link::CallTaker> taker_;
  std::unique_ptr<grpc::Server> server_;
  std::thread polling_;  // of own_poller_
  Mutex mutex_;
  Condition wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread health_;
  std::unique_ptr<ListenerProbe> probe_;
};

}  // namespace

std::unique_ptr<FrontServer> FrontServer::Start(FrontOptions options, Api* api) {
  return std::make_unique<Server>(std::move(options), api);
}

}  // namespace coffer::router
