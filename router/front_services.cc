#include "router/front_services.h"

#include <utility>

#include "coffer/v1/chains.grpc.pb.h"
#include "coffer/v1/chunks.grpc.pb.h"
#include "coffer/v1/cluster.grpc.pb.h"
#include "coffer/v1/stream.grpc.pb.h"
#include "coffer/v1/zones.grpc.pb.h"
#include "router/front_call.h"
#include "router/front_reflection.h"
#include "router/front_stream.h"

namespace coffer::router {
namespace {

constexpr char kHealth[] = "grpc.health.v1.Health";
constexpr char kReflection[] = "grpc.reflection.v1alpha.ServerReflection";

}  // namespace

void Serve(FrontState* state, std::unique_ptr<link::IncomingCall> call) {
  const std::string path = call->context.method();
  if (const auto method = FindMethod(path)) {
    const auto start = IsStreaming(*method) ? StartServerStreaming : StartUnary;
    return start(state, *method, std::move(call));
  }
  if (path == "/coffer.v1.Stream/Open") return StreamSession::Start(state, std::move(call));
  if (path == std::string("/") + kHealth + "/Check") return StartHealthCall(state, false, std::move(call));
  if (path == std::string("/") + kHealth + "/Watch") return StartHealthCall(state, true, std::move(call));
  if (path == std::string("/") + kReflection + "/ServerReflectionInfo") return StartReflectionCall(state, std::move(call));
  Refuse(std::move(call), UnknownMethod(path));
}

std::vector<std::string> ServiceNames() {
  return {v1::Chunks::service_full_name(), v1::Chains::service_full_name(), v1::Zones::service_full_name(),
          v1::Cluster::service_full_name(), v1::Stream::service_full_name()};
}

std::vector<std::string> ReflectedServices() {
  auto names = ServiceNames();
  names.insert(names.end(), {kHealth, kReflection});
  return names;
}

}  // namespace coffer::router
