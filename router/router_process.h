// A running router: one driver thread that feeds a RouterCore from links, clock and callers, and carries out what it says.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/layout.h"
#include "cluster/membership.h"
#include "proto/link/link.h"
#include "router/api.h"
#include "router/core/router_core.h"

namespace coffer::router {

struct RouterOptions {
  std::string name;                       // unique among the members
  std::string listen;                     // host:port of the peer port; empty: members can't dial this router, it dials them
  std::string advertised_address;         // host:port under which members reach the peer port
  std::string public_address;             // host:port of the gRPC front, told in gossip; may be empty
  link::Keyring keyring;                    // the cluster's secrets
  link::TlsFiles tls;
  std::vector<std::string> seeds;         // host:port of the peer ports of members to begin with
  std::string version;                    // of the program, for the status
  std::function<void(const std::string&)> warn = [](const std::string&) {};  // of links that fail, once in a while; any thread
  std::uint64_t cache_bytes = 64u << 20;  // memory for chunks; 0: none
  EvictionKind cache_policy = EvictionKind::kAdaptive;
  std::chrono::milliseconds cache_age{60'000};  // how long a delete that this router was not told of may stay unseen
  std::string cache_disk_path;            // folder for chunks that had to leave memory; empty: none. It is emptied at the start
  std::uint64_t cache_disk_bytes = 1u << 30;    // at least kLeastDiskBytes
  // The cache's disk can't be used any more; a sentence for the operator. Called on a thread of the router, must not block.
  std::function<void(const std::string&)> on_disk_off = [](const std::string&) {};
  std::size_t max_calls = 16384;                // under way; beyond: RESOURCE_EXHAUSTED
  std::uint64_t max_queued_bytes = 256u << 20;  // request bytes of calls under way; beyond: RESOURCE_EXHAUSTED
};

// A snapshot for metrics, at most a quarter of a second old.
struct RouterMetrics {
  RouterCounters core;
  link::HubStats links;
  std::uint64_t epoch = 0;              // 0: no layout yet
  std::uint64_t members_alive = 0;      // with this router
  std::uint64_t members_not_alive = 0;  // suspect or dead
  std::uint64_t shed_before_core = 0;   // calls refused because the driver's inbox was at its bound
  std::uint64_t inbox_most = 0;         // longest inbox seen
};

// Thread-safe. Sinks are called on the driver's thread, or inside Invoke when a call is refused at once; they must not block.
class RouterProcess : public Api {
 public:
  // Starts links and driver. Throws std::runtime_error with a message for the operator (port in use, bad certificate, ...).
  static std::unique_ptr<RouterProcess> Start(RouterOptions options);
  ~RouterProcess() override = default;  // as Stop()

  virtual RouterMetrics Metrics() const = 0;
  // Null before the first layout.
  virtual std::shared_ptr<const cluster::Layout> layout() const = 0;
  // The port members dial; 0 when it does not listen.
  virtual int peer_port() const = 0;
  virtual NodeId id() const = 0;
  // The driver's, until Stop: a front whose calls come over it pays no change of threads for them.
  virtual link::Poller* poller() = 0;
  // The cluster's secrets changed: links are made by the new ones from now on.
  virtual void SetSecrets(link::Keyring keyring) = 0;
  // From now on Serving() is false; calls go on. The first step of a shutdown: load balancers look elsewhere.
  virtual void Drain() = 0;
  // Calls under way, for a shutdown that waits for them.
  virtual std::size_t calls_under_way() const = 0;
  // Says goodbye to the members, ends every call (UNAVAILABLE, STOPPING), joins all threads. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace coffer::router
