// Everything `cofferd` can be told, as one validated struct. A flag is stronger than the environment, that than the file, that
// than the default. Secrets come by file only, so that none stands in a process list or an environment.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proto/link/link.h"
#include "router/core/eviction.h"

namespace coffer::server {

enum class LogFormat { kLogfmt, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct Config {
  // Who this process is.
  std::string name;                      // unique in the cluster; default: the host's name
  std::string data = "coffer-data";      // the node's data folder
  bool node = true;                      // stores blocks
  bool witness = false;                  // votes and stores nothing
  bool router = true;                    // serves the public API
  std::uint32_t weight = 100;            // share of the placement, 1 to 1 000
  std::string failure_domain;            // copies go to different ones where there are two; may be empty

  // Where it is reached.
  std::string listen;                    // peer port; empty: none (routers only)
  std::string advertise;                 // host:port told to the others
  std::string public_listen = "127.0.0.1:7700";  // gRPC API; empty: none
  std::string public_advertise;          // host:port told to clients through the others; may be empty
  std::string metrics_listen = "127.0.0.1:7702"; // /metrics, /livez, /readyz; empty: none

  // The cluster.
  std::vector<std::string> join;         // peer ports of members
  bool form = true;                      // may form a cluster; default: only without `join`
  std::chrono::milliseconds form_timeout{30'000};
  std::string cluster_name = "coffer";
  std::string secret_file;               // empty: DATA/secret
  std::string join_token_file;           // used once, for the secret; empty: none
  std::uint32_t min_copies = 0;          // 0: 1 with one storage node, 2 from the second on
  std::uint64_t chunk_limit = 4u << 20;  // bytes; only when forming
  std::uint32_t partitions = 5040;       // only when forming

  // TLS; empty: cleartext.
  link::TlsFiles tls;                    // peer port, both ways
  link::TlsFiles public_tls;             // public port
  bool public_tls_required = false;      // callers must show a certificate

  // Resources.
  std::chrono::milliseconds resync_delay{10'000};
  std::chrono::milliseconds layout_gather{200};
  std::chrono::milliseconds cut_off_after{3'000};
  std::uint64_t resync_limit = 256u << 20;    // bytes per second this node receives
  std::uint64_t scrub_rate = 8u << 20;        // bytes per second this node reads while scrubbing; 0: no bound
  std::chrono::milliseconds scrub_interval{14 * 86'400'000};  // between passes; 0: only when asked for
  std::chrono::milliseconds slow_disk{100};   // a sync that takes longer is slow; 0: none is
  std::optional<std::uint64_t> disk_reserve;  // bytes; nothing: max(5 %, 1 GiB, what the store needs)
  std::uint64_t value_log_threshold = 4u << 10;  // bytes of a value
  std::uint64_t store_buffer = 8u << 20;      // of the node
  std::uint64_t store_cache = 8u << 20;       // of the node
  std::uint32_t read_threads = 0;             // 0: a quarter of the processors, 2 to 16
  std::uint64_t cache_bytes = 64u << 20;      // of the router
  router::EvictionKind cache_policy = router::EvictionKind::kAdaptive;
  std::chrono::milliseconds cache_age{60'000};  // of the router
  std::string cache_disk_path;                // of the router; empty: none
  std::uint64_t cache_disk_bytes = 1u << 30;  // of the router

  // Failure detection.
  std::chrono::milliseconds probe_interval{200};
  std::chrono::milliseconds probe_timeout{150};
  std::chrono::milliseconds suspicion_min{1'000};
  std::chrono::milliseconds suspicion_max{4'000};

  // Logs and stopping.
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kLogfmt;
  std::chrono::milliseconds drain_timeout{20'000};  // how long calls under way may take after SIGTERM

  bool StoresOrVotes() const { return node || witness; }
  std::string SecretPath() const { return secret_file.empty() ? data + "/secret" : secret_file; }
};

// What the process was started for.
enum class Action { kRun, kHelp, kVersion, kPrintConfig };

struct LoadedConfig {
  Action action = Action::kRun;
  Config config;
  std::map<std::string, std::string> origins;  // by key: "--data", "COFFER_DATA", "/etc/cofferd.toml:3"; absent: default
  std::vector<std::string> errors;             // sentences for the operator; empty: `config` is valid
  std::vector<std::string> notices;            // what was ignored
  bool ok() const { return errors.empty(); }
};

// `arguments` are without the program's name. `environment` has all variables, of which those with COFFER_ are looked at.
// Reads the file named by --config or COFFER_CONFIG, and no other.
LoadedConfig LoadConfig(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment,
                        const std::string& host_name);

// The variables of this process.
std::map<std::string, std::string> ProcessEnvironment();

// As a TOML file that says where each value came from.
std::string PrintConfig(const LoadedConfig& loaded);
// --help: examples first.
std::string HelpText();

}  // namespace coffer::server
