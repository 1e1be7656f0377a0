// How gRPC is set up for links: what both ends of a connection insist on.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "proto/link/link.h"

namespace coffer::link {

// A fresh connection of its own: the name is resolved anew and no earlier back-off delays it. Nothing is connected yet.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address, const HubOptions& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& credentials);

// Limits, keepalive and the refusal of compression.
void ConfigureServer(const HubOptions& options, grpc::ServerBuilder* builder);

// Why this address can't be listened on now; empty: it can. Binds it for a moment.
std::string ListenTrouble(const std::string& listen);

// Why an address can't be listened on, in words for the operator; called after gRPC said only that it failed.
std::string WhyNotListening(const std::string& listen);

// "host:port" taken apart; "[::1]:7701" gives "::1". An empty host is everything.
struct HostPort {
  std::string host;
  std::string port;
};
HostPort SplitHostPort(const std::string& address);

}  // namespace coffer::link
