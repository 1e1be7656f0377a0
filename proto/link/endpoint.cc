#include "proto/link/endpoint.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace coffer::link {
namespace {

constexpr int kMaxStreamsPerConnection = 4;  // a peer opens one
constexpr int kIdleConnectionMs = 30000;     // a connection without a stream is nobody's

int Ms(std::chrono::milliseconds t) {
  return static_cast<int>(t.count());
}

// Twice the largest message: a peer that is configured for more is told so by us rather than cut off by gRPC.
int FrameLimit(const HubOptions& options) {
  const std::uint64_t limit = 2 * std::max(options.message_bytes, options.frame_bytes) + (64u << 10);
  return static_cast<int>(std::min<std::uint64_t>(limit, INT32_MAX));
}

}  // namespace

HostPort SplitHostPort(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return {address, ""};
  HostPort split{address.substr(0, colon), address.substr(colon + 1)};
  if (split.host.size() >= 2 && split.host.front() == '[' && split.host.back() == ']') {
    split.host = split.host.substr(1, split.host.size() - 2);
  }
  return split;
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address, const HubOptions& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // The first of these is also what gRPC allows one attempt to connect; the session gives up earlier and says so
  // better.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2 * Ms(options.dial_timeout));
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2 * Ms(options.dial_timeout));
  args.SetInt(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, Ms(options.dial_timeout));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Ms(options.keepalive));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Ms(options.keepalive));
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
  args.SetMaxReceiveMessageSize(FrameLimit(options));
  args.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(address, credentials, args);
}

void ConfigureServer(const HubOptions& options, grpc::ServerBuilder* builder) {
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Ms(options.keepalive));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Ms(options.keepalive));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Peers ping as often as we do; counting that against them would break good links.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, Ms(options.keepalive) / 2);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleConnectionMs);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Ms(options.handshake_timeout));
  builder->AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
  builder->SetMaxReceiveMessageSize(FrameLimit(options));
  builder->SetMaxSendMessageSize(-1);
}

std::string ListenTrouble(const std::string& listen) {
  const HostPort at = SplitHostPort(listen);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(at.host.empty() ? nullptr : at.host.c_str(), at.port.c_str(), &hints, &found);
  if (failed != 0) return "can't listen on " + listen + ": " + gai_strerror(failed);
  int error = 0;
  for (const addrinfo* a = found; a != nullptr && error == 0; a = a->ai_next) {
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) continue;
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || ::listen(fd, 1) != 0) error = errno;
    close(fd);
  }
  freeaddrinfo(found);
  if (error == EADDRINUSE) {
    return "can't listen on " + listen + ": the port is in use by another process; stop it or choose another port";
  }
  return error == 0 ? std::string() : "can't listen on " + listen + ": " + std::strerror(error);
}

std::string WhyNotListening(const std::string& listen) {
  const std::string trouble = ListenTrouble(listen);
  return trouble.empty() ? "can't listen on " + listen : trouble;
}

}  // namespace coffer::link
