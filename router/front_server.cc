#include "router/front_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <stdexcept>
#include <thread>
#include <vector>

#include "proto/link/credentials.h"
#include "proto/link/endpoint.h"
#include "proto/mutex.h"
#include "router/front_probe.h"
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

// Both are switches of the whole process, read when a server is built.
void EnableHealthAndReflection() {
  static const bool once = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)once;
}

link::CallerCertificate CallerCertificateOf(const FrontOptions& options) {
  if (options.require_certificate) return link::CallerCertificate::kRequired;
  return options.tls.ca.empty() ? link::CallerCertificate::kNone : link::CallerCertificate::kOptional;
}

class Server final : public FrontServer {
 public:
  Server(FrontOptions options, Api* api) : state_(std::move(options), api), services_(MakeServices(&state_)) {
    EnableHealthAndReflection();
    const FrontOptions& o = state_.options;
    grpc::ServerBuilder builder;
    Configure(o, &builder);
    builder.AddListeningPort(o.listen, link::ServerCredentialsFor(o.tls, CallerCertificateOf(o)), &port_);
    for (const auto& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
    if (!server_ || port_ == 0) throw std::runtime_error(link::WhyNotListening(o.listen));
    PublishHealth(api->Serving());
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
      MutexLock lock(mutex_);
      PublishHealth(false);
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
    server_->Wait();
  }

  Load load() const override {
    const Admission::Use use = state_.admission.InUse();
    return {use.calls, use.bytes, state_.streams};
  }

 private:
  // Only what has changed: watchers of health hear of every setting.
  void PublishHealth(bool serving) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (published_ == static_cast<int>(serving)) return;
    published_ = serving;
    auto* health = server_->GetHealthCheckService();
    health->SetServingStatus("", serving);
    for (const std::string& name : ServiceNames()) health->SetServingStatus(name, serving);
  }

  void FollowHealth() {
    MutexLock lock(mutex_);
    const auto stopped = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_; };
    while (!wake_.WaitFor(mutex_, state_.options.health_interval, stopped)) {
      PublishHealth(state_.api.Serving() && !state_.draining);
    }
  }

  FrontState state_;
  const std::vector<std::unique_ptr<grpc::Service>> services_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  Condition wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  int published_ ABSL_GUARDED_BY(mutex_) = -1;  // the health last told, -1 none
  std::thread health_;
  std::unique_ptr<ListenerProbe> probe_;
};

}  // namespace

std::unique_ptr<FrontServer> FrontServer::Start(FrontOptions options, Api* api) {
  return std::make_unique<Server>(std::move(options), api);
}

}  // namespace coffer::router
