// What a google.rpc.Status of a router means to the library.
#pragma once

#include "client/status.h"

namespace google::rpc {
class Status;
}

namespace coffer::client {

// The value form of a status that came over the wire, with its google.rpc details; retry_class is left to the engine.
Status FromRpc(const google::rpc::Status& rpc);
// Whether the reason says that the server refused before it wrote anything.
bool RefusedBeforeWriting(const google::rpc::Status& rpc);

}  // namespace coffer::client
