// Has a server of gRPC report its calls to a queue that another has made.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "proto/link/poller.h"

namespace coffer::router {

// To be given to ServerBuilder::AddListeningPort as the credentials of one more port, with any address: no port is opened.
// gRPC's C++ builder registers only the queues it has made itself, though its core takes any before the start; adding a
// port is the one step between the two at which a builder calls out.
class SharedQueue final : public grpc::ServerCredentials {
 public:
  // The poller must outlive the server.
  explicit SharedQueue(link::Poller* poller) : poller_(poller) {}
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override;

  link::Poller* const poller_;
};

}  // namespace coffer::router
