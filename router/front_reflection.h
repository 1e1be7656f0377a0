// What the server serves, for people with grpcurl (grpc.reflection.v1alpha.ServerReflection). gRPC's own has threads of
// its own in every server of the process, which take turns with the others at waiting for the network.
#pragma once

#include <memory>

namespace coffer::link {
struct IncomingCall;
}

namespace coffer::router {

struct FrontState;

// ServerReflection/ServerReflectionInfo: answers question after question. `state` must outlive it.
void StartReflectionCall(FrontState* state, std::unique_ptr<link::IncomingCall> call);

}  // namespace coffer::router
