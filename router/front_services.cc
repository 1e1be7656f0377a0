#include "router/front_services.h"

#include "coffer/v1/chains.grpc.pb.h"
#include "coffer/v1/chunks.grpc.pb.h"
#include "coffer/v1/cluster.grpc.pb.h"
#include "coffer/v1/stream.grpc.pb.h"
#include "coffer/v1/zones.grpc.pb.h"
#include "router/front_call.h"
#include "router/front_stream.h"

namespace coffer::router {
namespace {

using grpc::ByteBuffer;
using Context = grpc::CallbackServerContext;
using UnaryReactor = grpc::ServerUnaryReactor;
using WriteReactor = grpc::ServerWriteReactor<ByteBuffer>;

// A raw handler of each kind. The generated code makes a class template per method; these fill in its one function.
#define COFFER_UNARY(name, method)                                                                  \
  UnaryReactor* name(Context* context, const ByteBuffer* request, ByteBuffer* response) override {  \
    return StartUnary(state_, method, context, request, response);                                  \
  }
#define COFFER_STREAMING(name, method)                                             \
  WriteReactor* name(Context* context, const ByteBuffer* request) override {       \
    return StartServerStreaming(state_, method, context, request);                 \
  }

using RawChunks = v1::Chunks::WithRawCallbackMethod_Put<
    v1::Chunks::WithRawCallbackMethod_PutMany<v1::Chunks::WithRawCallbackMethod_Get<
        v1::Chunks::WithRawCallbackMethod_GetMany<v1::Chunks::WithRawCallbackMethod_Has<
            v1::Chunks::WithRawCallbackMethod_Delete<v1::Chunks::Service>>>>>>;

class ChunksService final : public RawChunks {
 public:
  explicit ChunksService(FrontState* state) : state_(state) {}
  COFFER_UNARY(Put, Method::kChunksPut)
  COFFER_UNARY(PutMany, Method::kChunksPutMany)
  COFFER_UNARY(Get, Method::kChunksGet)
  COFFER_STREAMING(GetMany, Method::kChunksGetMany)
  COFFER_UNARY(Has, Method::kChunksHas)
  COFFER_UNARY(Delete, Method::kChunksDelete)

 private:
  FrontState* const state_;
};

using RawChains = v1::Chains::WithRawCallbackMethod_Append<v1::Chains::WithRawCallbackMethod_Read<
    v1::Chains::WithRawCallbackMethod_Head<v1::Chains::WithRawCallbackMethod_Watch<
        v1::Chains::WithRawCallbackMethod_Delete<v1::Chains::Service>>>>>;

class ChainsService final : public RawChains {
 public:
  explicit ChainsService(FrontState* state) : state_(state) {}
  COFFER_UNARY(Append, Method::kChainsAppend)
  COFFER_STREAMING(Read, Method::kChainsRead)
  COFFER_UNARY(Head, Method::kChainsHead)
  COFFER_STREAMING(Watch, Method::kChainsWatch)
  COFFER_UNARY(Delete, Method::kChainsDelete)

 private:
  FrontState* const state_;
};

using RawZones = v1::Zones::WithRawCallbackMethod_Create<
    v1::Zones::WithRawCallbackMethod_List<v1::Zones::WithRawCallbackMethod_Delete<v1::Zones::Service>>>;

class ZonesService final : public RawZones {
 public:
  explicit ZonesService(FrontState* state) : state_(state) {}
  COFFER_UNARY(Create, Method::kZonesCreate)
  COFFER_UNARY(List, Method::kZonesList)
  COFFER_UNARY(Delete, Method::kZonesDelete)

 private:
  FrontState* const state_;
};

using RawCluster = v1::Cluster::WithRawCallbackMethod_GetStatus<
    v1::Cluster::WithRawCallbackMethod_WatchStatus<v1::Cluster::WithRawCallbackMethod_Where<
        v1::Cluster::WithRawCallbackMethod_Plan<v1::Cluster::WithRawCallbackMethod_Apply<
            v1::Cluster::WithRawCallbackMethod_ControlResync<
                v1::Cluster::WithRawCallbackMethod_ControlCache<v1::Cluster::Service>>>>>>>;

class ClusterService final : public RawCluster {
 public:
  explicit ClusterService(FrontState* state) : state_(state) {}
  COFFER_UNARY(GetStatus, Method::kClusterGetStatus)
  COFFER_STREAMING(WatchStatus, Method::kClusterWatchStatus)
  COFFER_UNARY(Where, Method::kClusterWhere)
  COFFER_UNARY(Plan, Method::kClusterPlan)
  COFFER_UNARY(Apply, Method::kClusterApply)
  COFFER_UNARY(ControlResync, Method::kClusterControlResync)
  COFFER_UNARY(ControlCache, Method::kClusterControlCache)

 private:
  FrontState* const state_;
};

#undef COFFER_UNARY
#undef COFFER_STREAMING

class StreamService final : public v1::Stream::WithRawCallbackMethod_Open<v1::Stream::Service> {
 public:
  explicit StreamService(FrontState* state) : state_(state) {}
  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* Open(Context* context) override {
    return StreamSession::Start(state_, context);
  }

 private:
  FrontState* const state_;
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> MakeServices(FrontState* state) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(std::make_unique<ChunksService>(state));
  services.push_back(std::make_unique<ChainsService>(state));
  services.push_back(std::make_unique<ZonesService>(state));
  services.push_back(std::make_unique<ClusterService>(state));
  services.push_back(std::make_unique<StreamService>(state));
  return services;
}

std::vector<std::string> ServiceNames() {
  return {v1::Chunks::service_full_name(), v1::Chains::service_full_name(), v1::Zones::service_full_name(),
          v1::Cluster::service_full_name(), v1::Stream::service_full_name()};
}

}  // namespace coffer::router
