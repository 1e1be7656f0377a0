// One cofferd: node, router, front and metrics, started in order and stopped in reverse.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "node/cofferd/config.h"
#include "node/cofferd/http_listener.h"
#include "node/cofferd/log.h"
#include "node/cofferd/metrics_calls.h"
#include "node/cofferd/metrics_cluster.h"
#include "node/node_process.h"
#include "proto/mutex.h"
#include "router/front_probe.h"
#include "router/front_server.h"
#include "router/router_process.h"

namespace coffer::server {

// Start and Stop are for one thread; the rest is thread-safe.
class Server {
 public:
  // Called once, on any thread, when the process must end: a message for the operator. Nothing may be acknowledged after it.
  using OnFailure = std::function<void(const std::string& message)>;

  // `log` must outlive the server.
  Server(Config config, Log* log, OnFailure on_failure);
  ~Server();  // as Stop

  // Throws std::runtime_error with a message for the operator: what happened, what is safe, what to do.
  void Start();
  // Refuses new calls, finishes those under way, leaves the membership, stops everything. Idempotent.
  void Stop();
  // Why this process can't serve now; empty when it can.
  std::string NotReady() const;
  // Returns only if the node's driver answers; for the watchdog.
  void CheckAlive() const;
  // Reads again what may change without a restart: the secrets. What can't be read is said and changes nothing.
  void Reload();

 private:
  // The cluster's secrets; a new one, kept nowhere yet, when this node may form a cluster and has none.
  link::Keyring LoadSecrets();
  // By the join token, into the secret's file.
  link::Keyring FetchSecrets();
  void KeepSecrets(const link::Keyring& keyring);
  void StartNode();
  void StartRouter();
  void StartFront();
  void StartMetrics();
  // On a thread of its own until the node belongs to a cluster.
  void FindCluster();
  link::Keyring Secrets() const;
  bool Form();
  std::string ScrapeMetrics();
  void Fail(const std::string& message);
  bool SleepFor(std::chrono::milliseconds time);

  const Config config_;
  Log& log_;
  const OnFailure on_failure_;
  CallMetrics call_metrics_;
  ClusterMetrics cluster_metrics_;  // of the metrics listener's thread
  std::unique_ptr<node::NodeProcess> node_;
  std::unique_ptr<router::ListenerProbe> peer_probe_;  // of the node's listener; the front has one of its own
  std::unique_ptr<router::RouterProcess> router_;
  std::unique_ptr<router::FrontServer> front_;
  std::unique_ptr<HttpListener> metrics_;
  std::thread find_cluster_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> draining_{false};
  mutable Mutex mutex_;
  Condition wake_;
  link::Keyring keyring_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

// The program's version.
const char* Version();

}  // namespace coffer::server
