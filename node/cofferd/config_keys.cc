#include "node/cofferd/config_keys.h"

#include <algorithm>
#include <set>

#include "node/cofferd/config_values.h"

namespace coffer::server {
namespace {

using std::chrono::milliseconds;

// Setters and getters by type of the member. Limits are template arguments, so that each key is one line in the table.
template <std::string Config::*member>
bool SetText(const std::string& value, Config* config) {
  config->*member = value;
  return true;
}
template <std::string Config::*member>
std::string GetText(const Config& config) {
  return config.*member;
}

template <std::string Config::*member>
bool SetName(const std::string& value, Config* config) {
  return IsName(value) && SetText<member>(value, config);
}
template <std::string Config::*member>
bool SetOptionalName(const std::string& value, Config* config) {
  return (value.empty() || IsName(value)) && SetText<member>(value, config);
}
template <std::string Config::*member>
bool SetPath(const std::string& value, Config* config) {
  return !value.empty() && SetText<member>(value, config);
}
template <std::string Config::*member>
bool SetAddress(const std::string& value, Config* config) {
  return IsHostPort(value) && SetText<member>(value, config);
}
template <std::string Config::*member>
bool SetOptionalAddress(const std::string& value, Config* config) {
  if (value != "none") return SetAddress<member>(value, config);
  (config->*member).clear();
  return true;
}
template <std::string Config::*member>
std::string GetOptionalAddress(const Config& config) {
  return (config.*member).empty() ? "none" : config.*member;
}

template <auto member, std::uint64_t least, std::uint64_t most>
bool SetInteger(const std::string& value, Config* config) {
  const auto number = ParseInteger(value);
  if (!number || *number < least || *number > most) return false;
  config->*member = static_cast<std::uint32_t>(*number);
  return true;
}
template <auto member>
std::string GetInteger(const Config& config) {
  return std::to_string(config.*member);
}

template <std::uint64_t Config::*member, std::uint64_t least, std::uint64_t most>
bool SetSize(const std::string& value, Config* config) {
  const auto size = ParseSize(value);
  if (!size || *size < least || *size > most) return false;
  config->*member = *size;
  return true;
}
template <std::uint64_t Config::*member>
std::string GetSize(const Config& config) {
  return FormatSize(config.*member);
}

template <milliseconds Config::*member, std::int64_t least_ms, std::int64_t most_ms>
bool SetDuration(const std::string& value, Config* config) {
  const auto duration = ParseDuration(value);
  if (!duration || *duration < milliseconds(least_ms) || *duration > milliseconds(most_ms)) return false;
  config->*member = *duration;
  return true;
}
template <milliseconds Config::*member>
std::string GetDuration(const Config& config) {
  return FormatDuration(config.*member);
}

template <bool Config::*member>
bool SetBool(const std::string& value, Config* config) {
  const auto flag = ParseBool(value);
  if (flag) config->*member = *flag;
  return flag.has_value();
}
template <bool Config::*member>
std::string GetBool(const Config& config) {
  return config.*member ? "true" : "false";
}

template <link::TlsFiles Config::*group, std::string link::TlsFiles::*file>
bool SetTls(const std::string& value, Config* config) {
  (config->*group).*file = value;
  return !value.empty();
}
template <link::TlsFiles Config::*group, std::string link::TlsFiles::*file>
std::string GetTls(const Config& config) {
  return (config.*group).*file;
}

bool SetRole(const std::string& value, Config* config) {
  const auto items = ParseList(value);
  const std::set<std::string> roles(items.begin(), items.end());
  const std::set<std::string> known = {"node", "router", "witness"};
  if (roles.empty() || !std::includes(known.begin(), known.end(), roles.begin(), roles.end())) return false;
  if (roles.count("witness") && roles.size() > 1) return false;
  config->node = roles.count("node") > 0;
  config->router = roles.count("router") > 0;
  config->witness = roles.count("witness") > 0;
  return true;
}
std::string GetRole(const Config& config) {
  if (config.witness) return "witness";
  return config.node && config.router ? "node,router" : config.node ? "node" : "router";
}

bool SetJoin(const std::string& value, Config* config) {
  const auto addresses = ParseList(value);
  if (!std::all_of(addresses.begin(), addresses.end(), [](const std::string& a) { return IsHostPort(a); })) return false;
  config->join = addresses;
  return true;
}
std::string GetJoin(const Config& config) {
  std::string joined;
  for (const std::string& address : config.join) joined += (joined.empty() ? "" : ",") + address;
  return joined;
}

bool SetMinCopies(const std::string& value, Config* config) {
  if (value == "auto") config->min_copies = 0;
  return value == "auto" || SetInteger<&Config::min_copies, 1, 2>(value, config);
}
std::string GetMinCopies(const Config& config) {
  return config.min_copies == 0 ? "auto" : std::to_string(config.min_copies);
}

bool SetReadThreads(const std::string& value, Config* config) {
  if (value == "auto") config->read_threads = 0;
  return value == "auto" || SetInteger<&Config::read_threads, 1, 256>(value, config);
}
std::string GetReadThreads(const Config& config) {
  return config.read_threads == 0 ? "auto" : std::to_string(config.read_threads);
}

bool SetReserve(const std::string& value, Config* config) {
  const auto size = ParseSize(value);
  if (value == "auto") config->disk_reserve.reset();
  if (value != "auto" && size) config->disk_reserve = *size;
  return value == "auto" || size;
}
std::string GetReserve(const Config& config) { return config.disk_reserve ? FormatSize(*config.disk_reserve) : "auto"; }

bool SetCachePolicy(const std::string& value, Config* config) {
  const auto kind = router::EvictionKindOf(value);
  if (kind) config->cache_policy = *kind;
  return kind.has_value();
}
std::string GetCachePolicy(const Config& config) { return std::string(router::Name(config.cache_policy)); }

bool SetLogLevel(const std::string& value, Config* config) {
  if (value == "debug") config->log_level = LogLevel::kDebug;
  else if (value == "info") config->log_level = LogLevel::kInfo;
  else if (value == "warning") config->log_level = LogLevel::kWarning;
  else if (value == "error") config->log_level = LogLevel::kError;
  else return false;
  return true;
}
std::string GetLogLevel(const Config& config) {
  switch (config.log_level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "info";
}

bool SetLogFormat(const std::string& value, Config* config) {
  if (value != "logfmt" && value != "json") return false;
  config->log_format = value == "json" ? LogFormat::kJson : LogFormat::kLogfmt;
  return true;
}
std::string GetLogFormat(const Config& config) { return config.log_format == LogFormat::kJson ? "json" : "logfmt"; }

constexpr char kAnAddress[] = "host:port, such as 10.0.0.7:7701 or [::1]:7701";
constexpr char kAnOptionalAddress[] = "host:port, such as 0.0.0.0:7700, or none";
constexpr char kAPath[] = "the path of a file";
constexpr char kAName[] = "1 to 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit";
constexpr std::int64_t kDay = 24 * 3600 * 1000;

constexpr char kSelf[] = "this process";
constexpr char kPlace[] = "addresses";
constexpr char kCluster[] = "the cluster";
constexpr char kTls[] = "TLS";
constexpr char kRoom[] = "resources";
constexpr char kDetection[] = "failure detection";
constexpr char kOutput[] = "logs and stopping";

// clang-format off
const std::vector<ConfigKey> kKeys = {
  {"name", kSelf, kAName,
   "unique in the cluster (default: the host's name)",
   SetName<&Config::name>, GetText<&Config::name>},
  {"data", kSelf, "the path of a folder",
   "the node's data folder; made if absent",
   SetPath<&Config::data>, GetText<&Config::data>},
  {"role", kSelf, "one of: node,router; node; router; witness",
   "node stores, router serves clients, witness only votes (for two nodes)",
   SetRole, GetRole},
  {"weight", kSelf, "1 to 1000",
   "share of the data; 200 takes twice as much as 100",
   SetInteger<&Config::weight, 1, 1000>, GetInteger<&Config::weight>},
  {"failure_domain", kSelf, kAName,
   "rack, room or host: the copies of a block go to different ones",
   SetOptionalName<&Config::failure_domain>, GetText<&Config::failure_domain>},

  {"listen", kPlace, kAnAddress,
   "peer port (default: 0.0.0.0:7701 with join, secret_file or advertise, else 127.0.0.1:7701; a mere router has none)",
   SetAddress<&Config::listen>, GetText<&Config::listen>},
  {"advertise", kPlace, kAnAddress,
   "where the others reach the peer port; a name is looked up anew at every connect (default: from listen and name)",
   SetAddress<&Config::advertise>, GetText<&Config::advertise>},
  {"public_listen", kPlace, kAnOptionalAddress,
   "gRPC API for clients; it asks for no password: private network, or TLS with client certificates",
   SetOptionalAddress<&Config::public_listen>, GetOptionalAddress<&Config::public_listen>},
  {"public_advertise", kPlace, kAnAddress,
   "where clients reach the API, told through the cluster",
   SetAddress<&Config::public_advertise>, GetText<&Config::public_advertise>},
  {"metrics_listen", kPlace, kAnOptionalAddress,
   "/metrics, /livez and /readyz over HTTP",
   SetOptionalAddress<&Config::metrics_listen>, GetOptionalAddress<&Config::metrics_listen>},

  {"join", kCluster, "a list of host:port, such as node-1:7701,node-2:7701",
   "peer ports of members to begin with; may name this process too",
   SetJoin, GetJoin},
  {"form", kCluster, "true or false",
   "form a new cluster if no address of join belongs to one (default: true without join, else false)",
   SetBool<&Config::form>, GetBool<&Config::form>},
  {"form_timeout", kCluster, "0s to 1h, such as 30s",
   "with form and join: how long silent addresses are waited for before forming without them",
   SetDuration<&Config::form_timeout, 0, 3'600'000>, GetDuration<&Config::form_timeout>},
  {"cluster_name", kCluster, kAName,
   "name of a cluster formed here",
   SetName<&Config::cluster_name>, GetText<&Config::cluster_name>},
  {"secret_file", kCluster, kAPath,
   "the cluster's secret, the same on every member (default: DATA/secret, made by the node that forms)",
   SetPath<&Config::secret_file>, GetText<&Config::secret_file>},
  {"join_token_file", kCluster, kAPath,
   "a join token (coffer join-token create) instead of the secret: used once, with join, to fetch the secret into secret_file",
   SetPath<&Config::join_token_file>, GetText<&Config::join_token_file>},
  {"min_copies", kCluster, "1, 2 or auto",
   "copies every acknowledged write has, for a cluster formed here (auto: 2 from the second node on)",
   SetMinCopies, GetMinCopies},
  {"chunk_limit", kCluster, "1KiB to 8MiB",
   "largest chunk of a cluster formed here",
   SetSize<&Config::chunk_limit, 1u << 10, 8u << 20>, GetSize<&Config::chunk_limit>},
  {"partitions", kCluster, "1 to 65536",
   "of a cluster formed here; fixed for its life",
   SetInteger<&Config::partitions, 1, 65536>, GetInteger<&Config::partitions>},

  {"tls_cert", kTls, kAPath,
   "this process's certificate for the peer port (PEM), with its chain",
   SetTls<&Config::tls, &link::TlsFiles::certificate>, GetTls<&Config::tls, &link::TlsFiles::certificate>},
  {"tls_key", kTls, kAPath,
   "its key",
   SetTls<&Config::tls, &link::TlsFiles::key>, GetTls<&Config::tls, &link::TlsFiles::key>},
  {"tls_ca", kTls, kAPath,
   "the authority that signed the certificates of all members",
   SetTls<&Config::tls, &link::TlsFiles::ca>, GetTls<&Config::tls, &link::TlsFiles::ca>},
  {"public_tls_cert", kTls, kAPath,
   "certificate of the public port (PEM), with its chain",
   SetTls<&Config::public_tls, &link::TlsFiles::certificate>, GetTls<&Config::public_tls, &link::TlsFiles::certificate>},
  {"public_tls_key", kTls, kAPath,
   "its key",
   SetTls<&Config::public_tls, &link::TlsFiles::key>, GetTls<&Config::public_tls, &link::TlsFiles::key>},
  {"public_tls_ca", kTls, kAPath,
   "the authority of clients' certificates",
   SetTls<&Config::public_tls, &link::TlsFiles::ca>, GetTls<&Config::public_tls, &link::TlsFiles::ca>},
  {"public_tls_required", kTls, "true or false",
   "clients must show a certificate of public_tls_ca",
   SetBool<&Config::public_tls_required>, GetBool<&Config::public_tls_required>},

  {"resync_delay", kRoom, "0s to 24h, such as 10s",
   "how long a lost member keeps its place: a restart is not a loss; higher: less copying, longer with one copy",
   SetDuration<&Config::resync_delay, 0, kDay>, GetDuration<&Config::resync_delay>},
  {"layout_gather", kRoom, "0s to 10s",
   "changes of the layout that can wait are decided together after this quiet time; higher: fewer epochs, copies count later",
   SetDuration<&Config::layout_gather, 0, 10'000>, GetDuration<&Config::layout_gather>},
  {"cut_off_after", kRoom, "1s to 10m",
   "a member that answers nothing for so long, though others reach it, leaves the groups led from here; higher: writes wait longer",
   SetDuration<&Config::cut_off_after, 1'000, 600'000>, GetDuration<&Config::cut_off_after>},
  {"resync_limit", kRoom, "1MiB to 1TiB",
   "bytes per second this node receives while catching up; higher: sooner safe, slower meanwhile",
   SetSize<&Config::resync_limit, 1u << 20, 1ull << 40>, GetSize<&Config::resync_limit>},
  {"scrub_rate", kRoom, "0B to 1TiB; 0B is no bound",
   "bytes per second this node reads back to verify them; higher: damage is found sooner, a busy disk is slower meanwhile",
   SetSize<&Config::scrub_rate, 0, 1ull << 40>, GetSize<&Config::scrub_rate>},
  {"scrub_interval", kRoom, "0s to 8760h, such as 336h; 0s is never",
   "from the end of one pass over everything stored to the beginning of the next, by a fifth more or less",
   SetDuration<&Config::scrub_interval, 0, 365 * kDay>, GetDuration<&Config::scrub_interval>},
  {"disk_reserve", kRoom, "a size such as 2GiB, or auto",
   "writes are refused below this much free disk (auto: max(5 %, 1GiB, what the store needs))",
   SetReserve, GetReserve},
  {"slow_disk", kRoom, "0s to 10s; 0s is never",
   "a disk is slow if most syncs take longer (and as long again for each MiB); others then lead the node's partitions. Lower: sooner moved, and for less",
   SetDuration<&Config::slow_disk, 0, 10'000>, GetDuration<&Config::slow_disk>},
  {"value_log_threshold", kRoom, "1KiB to 1MiB",
   "larger values go to the log of values; lower: less is rewritten later, but a write of one value over 16 KiB waits for two syncs",
   SetSize<&Config::value_log_threshold, 1u << 10, 1u << 20>, GetSize<&Config::value_log_threshold>},
  {"store_buffer", kRoom, "1MiB to 1GiB",
   "memory for what was written last, twice while it is moved to tables; higher: fewer merges, longer start after a kill",
   SetSize<&Config::store_buffer, 1u << 20, 1u << 30>, GetSize<&Config::store_buffer>},
  {"store_cache", kRoom, "0B to 1TiB",
   "memory of a node for blocks of the index and small values that were read",
   SetSize<&Config::store_cache, 0, 1ull << 40>, GetSize<&Config::store_cache>},
  {"read_threads", kRoom, "1 to 256, or auto",
   "threads of a node for reads that wait for its disk (auto: a quarter of the processors, 2 to 16)",
   SetReadThreads, GetReadThreads},
  {"cache_bytes", kRoom, "0B to 1TiB",
   "memory for chunks in the router; beside it up to an eighth of it for the ends of chains",
   SetSize<&Config::cache_bytes, 0, 1ull << 40>, GetSize<&Config::cache_bytes>},
  {"cache_policy", kRoom, "adaptive, s3-fifo, lru or w-tinylfu",
   "which chunks a full cache gives up; adaptive: whatever does best on a sample of the present work",
   SetCachePolicy, GetCachePolicy},
  {"cache_age", kRoom, "1s to 8760h, such as 60s",
   "how long the router shows a chunk without asking a node, so how long a delete it was not told of may stay unseen",
   SetDuration<&Config::cache_age, 1'000, 365 * kDay>, GetDuration<&Config::cache_age>},
  {"cache_disk_path", kRoom, "the path of a folder",
   "where the router keeps chunks that were read twice and had to leave memory; made if absent, emptied at the start (default: nowhere)",
   SetPath<&Config::cache_disk_path>, GetText<&Config::cache_disk_path>},
  {"cache_disk_bytes", kRoom, "16MiB to 1TiB",
   "room for them; a quarter of cache_bytes of memory, beside it, says where they are",
   SetSize<&Config::cache_disk_bytes, 16u << 20, 1ull << 40>, GetSize<&Config::cache_disk_bytes>},

  {"probe_interval", kDetection, "10ms to 1m",
   "how often members probe each other",
   SetDuration<&Config::probe_interval, 10, 60'000>, GetDuration<&Config::probe_interval>},
  {"probe_timeout", kDetection, "5ms to 1m, at most probe_interval",
   "how long an answer may take before others are asked to probe",
   SetDuration<&Config::probe_timeout, 5, 60'000>, GetDuration<&Config::probe_timeout>},
  {"suspicion_min", kDetection, "50ms to 10m",
   "least time a silent member is suspected before it is given up; lower: faster failover, more false alarms. The default grows beyond 32 members",
   SetDuration<&Config::suspicion_min, 50, 600'000>, GetDuration<&Config::suspicion_min>},
  {"suspicion_max", kDetection, "50ms to 1h, at least suspicion_min",
   "the most; the default grows beyond 32 members",
   SetDuration<&Config::suspicion_max, 50, 3'600'000>, GetDuration<&Config::suspicion_max>},

  {"log_level", kOutput, "debug, info, warning or error",
   "the least that is logged, to stderr",
   SetLogLevel, GetLogLevel},
  {"log_format", kOutput, "logfmt or json",
   "one line per event either way",
   SetLogFormat, GetLogFormat},
  {"drain_timeout", kOutput, "0s to 1h, such as 20s",
   "how long calls under way may take after SIGTERM",
   SetDuration<&Config::drain_timeout, 0, 3'600'000>, GetDuration<&Config::drain_timeout>},
};
// clang-format on

}  // namespace

const std::vector<ConfigKey>& ConfigKeys() { return kKeys; }

const ConfigKey* FindConfigKey(std::string_view name) {
  const auto found = std::find_if(kKeys.begin(), kKeys.end(), [&](const ConfigKey& key) { return key.name == name; });
  return found == kKeys.end() ? nullptr : &*found;
}

std::string FlagOf(const ConfigKey& key) {
  std::string flag = std::string("--") + key.name;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string VariableOf(const ConfigKey& key) {
  std::string variable = std::string("COFFER_") + key.name;
  for (char& c : variable) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return variable;
}

const ConfigKey* NearestConfigKey(std::string_view name, std::size_t most_distance) {
  const ConfigKey* nearest = nullptr;
  // Short words are near to each other without having anything to do with each other: PORT and FORM.
  std::size_t least = std::clamp<std::size_t>(name.size() / 3, 1, most_distance) + 1;
  for (const ConfigKey& key : kKeys) {
    const std::size_t distance = EditDistance(name, key.name);
    if (distance >= least) continue;
    least = distance;
    nearest = &key;
  }
  return nearest;
}

}  // namespace coffer::server
