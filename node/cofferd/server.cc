#include "node/cofferd/server.h"

#include <algorithm>
#include <stdexcept>

#include "node/cofferd/formation.h"
#include "node/cofferd/join_by_token.h"
#include "node/cofferd/metrics_node.h"
#include "node/cofferd/metrics_process.h"
#include "node/cofferd/secret.h"
#include "node/data_folder.h"
#include "proto/link/certificates.h"
#include "proto/link/endpoint.h"
#include "proto/link/join_attempt.h"

namespace coffer::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAskEvery{500};
constexpr milliseconds kAskPatience{2'000};
constexpr milliseconds kRemindEvery{30'000};
// Handing primaries over is quick, and worth it even when the calls took all the time there was.
constexpr milliseconds kLeastLeaving{3'000};
constexpr milliseconds kStatusPatience{1'000};

bool IsWildcard(const std::string& host) { return host.empty() || host == "0.0.0.0" || host == "::" || host == "*"; }
bool IsLoopback(const std::string& host) { return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0; }

std::string Joined(const std::string& host, const std::string& port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

// How this very process reaches its peer port. With TLS the name in the certificate must be dialled.
std::string OwnPeerAddress(const Config& config, int port) {
  if (config.tls.enabled()) return config.advertise;
  const std::string host = link::SplitHostPort(config.listen).host;
  return Joined(IsWildcard(host) ? "127.0.0.1" : host, std::to_string(port));
}

// Where clients reach the API, as far as that can be known.
std::string PublicAddress(const Config& config) {
  if (!config.public_advertise.empty()) return config.public_advertise;
  const auto at = link::SplitHostPort(config.public_listen);
  if (at.port == "0") return "";
  if (!IsWildcard(at.host)) return config.public_listen;
  return config.advertise.empty() ? "" : Joined(link::SplitHostPort(config.advertise).host, at.port);
}

std::string CertificateName(const link::TlsFiles& tls) {
  if (!tls.enabled()) return "";
  const auto names = link::ReadCertificateFile(tls.certificate);
  return names ? names->First() : "";
}

cluster::Settings SettingsOf(const Config& config) {
  cluster::Settings settings;
  settings.partitions = config.partitions;
  settings.chunk_limit_bytes = config.chunk_limit;
  settings.min_copies_chosen = config.min_copies != 0;
  if (settings.min_copies_chosen) settings.min_copies = config.min_copies;
  return settings;
}

// They wait for the disk, which serves the more at once the larger the machine is.
int ReadThreads(const Config& config) {
  return static_cast<int>(config.read_threads != 0 ? config.read_threads : std::clamp(std::thread::hardware_concurrency() / 4, 2u, 16u));
}

LogLevel LevelOf(node::NodeEvent::Level level) {
  if (level == node::NodeEvent::Level::kError) return LogLevel::kError;
  if (level == node::NodeEvent::Level::kDebug) return LogLevel::kDebug;
  return level == node::NodeEvent::Level::kWarning ? LogLevel::kWarning : LogLevel::kInfo;
}

}  // namespace

const char* Version() { return COFFER_VERSION; }

Server::Server(Config config, Log* log, OnFailure on_failure)
    : config_(std::move(config)), log_(*log), on_failure_(std::move(on_failure)) {}

Server::~Server() { Stop(); }

void Server::Start() {
  {
    link::Keyring keyring = LoadSecrets();
    MutexLock lock(mutex_);
    keyring_ = std::move(keyring);
  }
  // Before anything is written: a cluster may be formed on the way.
  for (const std::string& listen : {config_.router ? config_.public_listen : std::string(), config_.metrics_listen}) {
    const std::string trouble = listen.empty() ? std::string() : link::ListenTrouble(listen);
    if (!trouble.empty()) throw std::runtime_error(trouble);
  }
  if (config_.StoresOrVotes()) StartNode();
  if (config_.router) StartRouter();
  if (config_.router) StartFront();
  if (!config_.metrics_listen.empty()) StartMetrics();
}

link::Keyring Server::Secrets() const {
  MutexLock lock(mutex_);
  return keyring_;
}

link::Keyring Server::LoadSecrets() {
  const std::string path = config_.SecretPath();
  const bool by_token = !config_.join_token_file.empty();
  if (SecretIsThere(path)) {
    if (IsExposed(path)) {
      log_.Warning("others than its owner may read the cluster's secret; chmod 600 it", {{"file", path}});
    }
    if (by_token) log_.Info("the secret is here already: the join token is not needed", {{"file", path}});
    return ReadSecrets(path);
  }
  if (by_token) return FetchSecrets();
  if (!config_.secret_file.empty()) return ReadSecrets(path);  // says what is wrong
  if (!config_.join.empty()) {
    throw std::runtime_error("this process joins a cluster and needs its secret: copy the file DATA/secret of the node that formed "
                             "it, and name the copy with --secret-file (all members use the same one); or give it a join token with "
                             "--join-token-file");
  }
  return NewSecret();
}

// What would stop the node afterwards is looked at first: a token that was shown is gone for all but this folder.
link::Keyring Server::FetchSecrets() {
  link::JoinToken token = link::ReadJoinToken(config_.join_token_file);
  if (IsExposed(config_.join_token_file)) {
    log_.Warning("others than its owner may read the join token; chmod 600 it", {{"file", config_.join_token_file}});
  }
  if (const std::string why = link::WhyOtherAuthority(token, config_.tls.ca); !why.empty()) throw std::runtime_error(why);
  if (config_.StoresOrVotes()) {
    if (const std::string why = node::DataFolder::WhyNotOurs(config_.data); !why.empty()) throw std::runtime_error(why);
  }
  NewSecretFile file(config_.SecretPath());
  const std::string attempt_path = config_.SecretPath() + ".join";
  token.attempt = link::JoinAttempt(attempt_path);
  JoinByToken how;
  how.addresses = config_.join;
  how.self.name = config_.name;
  how.self.address = config_.advertise;
  how.tls = config_.tls;
  how.waits = [this](const std::string& why) { log_.Info("no member has taken the join token yet", {{"last", why}}); };
  const link::GrantResult grant = UseJoinToken(token, how);
  file.Keep(grant.granted);
  link::ForgetJoinAttempt(attempt_path);
  log_.Info("the join token was used: the cluster's secret is here; the token's file may be deleted",
            {{"file", config_.SecretPath()}, {"from", grant.peer->name}});
  return grant.granted;
}

// Only once the data folder is known to be ours, and before anything is formed that could not be joined without it.
void Server::KeepSecrets(const link::Keyring& keyring) {
  const std::string path = config_.SecretPath();
  if (SecretIsThere(path)) return;
  NewSecretFile(path).Keep(keyring);
  log_.Info("made the cluster's secret; members that join later need a copy of this file, or a join token", {{"file", path}});
}

void Server::Reload() {
  try {
    link::Keyring keyring = ReadSecrets(config_.SecretPath());
    {
      MutexLock lock(mutex_);
      if (keyring_ == keyring) {
        log_.Info("read again: the secrets are the same");
        return;
      }
      keyring_ = keyring;
    }
    if (node_) node_->SetSecrets(keyring);
    if (router_) router_->SetSecrets(keyring);
    log_.Info("read again: the secrets have changed; the first is used, all are accepted", {{"secrets", std::to_string(keyring.all().size())}});
  } catch (const std::exception& error) {
    log_.Error(std::string("nothing was changed: ") + error.what());
  }
}

void Server::StartNode() {
  const link::Keyring keyring = Secrets();
  node::NodeProcessOptions o;
  o.data = config_.data;
  o.name = config_.name;
  o.witness = config_.witness;
  o.listen = config_.listen;
  o.advertise = config_.advertise;
  o.keyring = keyring;
  o.tls = config_.tls;
  o.certificate_name = CertificateName(config_.tls);
  o.seeds = config_.join;
  o.weight = config_.weight;
  o.failure_domain = config_.failure_domain;
  o.may_form = config_.form;
  o.version = Version();
  o.membership.probe_interval = config_.probe_interval;
  o.membership.probe_timeout = config_.probe_timeout;
  o.membership.suspicion_min = config_.suspicion_min;
  o.membership.suspicion_max = config_.suspicion_max;
  o.membership.suspicion_min_chosen = config_.suspicion_min != Config{}.suspicion_min;
  o.membership.suspicion_max_chosen = config_.suspicion_max != Config{}.suspicion_max;
  o.resync_delay = config_.resync_delay;
  o.layout_gather = config_.layout_gather;
  o.cut_off_after = config_.cut_off_after;
  o.resync_bytes_per_second = config_.resync_limit;
  o.disk_reserve_bytes = config_.disk_reserve;
  o.slow_disk = config_.slow_disk;
  o.scrub_bytes_per_second = config_.scrub_rate;
  o.scrub_interval = config_.scrub_interval;
  o.inline_value_bytes = config_.value_log_threshold;
  o.write_buffer_bytes = config_.store_buffer;
  o.block_cache_bytes = config_.store_cache;
  o.read_threads = ReadThreads(config_);
  o.log = [this](const node::NodeEvent& event) { log_.Write(LevelOf(event.level), event.text, {{"part", "node"}}); };
  o.on_failure = [this](const std::string& message, bool new_identity) {
    Fail(message + (new_identity ? " Start it again: it comes back under a new id and is filled from the other copies." : ""));
  };
  node_ = node::NodeProcess::Start(std::move(o));
  log_.Info("the node is up", {{"id", Short(node_->id())}, {"peer_port", std::to_string(node_->peer_port())},
                               {"data", config_.data}, {"tls", config_.tls.enabled() ? "on" : "off"}});
  KeepSecrets(keyring);
  router::ListenerProbe::Options probe;
  probe.host = link::SplitHostPort(config_.listen).host;
  probe.port = node_->peer_port();
  probe.on_dead = [this](const std::string& message) { Fail(message); };
  peer_probe_ = std::make_unique<router::ListenerProbe>(std::move(probe));
  if (node_->HasCluster()) return;
  if (config_.form && config_.join.empty()) {
    if (!Form()) throw std::runtime_error("could not form a cluster; the lines above say why");
  } else {
    find_cluster_ = std::thread([this] { FindCluster(); });
  }
}

bool Server::Form() {
  const bool formed = node_->Form(config_.cluster_name, SettingsOf(config_));
  if (formed) log_.Info("formed a new cluster", {{"cluster", config_.cluster_name}});
  return formed || node_->HasCluster();
}

void Server::FindCluster() try {
  const auto began = steady_clock::now();
  auto reminded = began - kRemindEvery;
  std::string last;
  do {
    if (node_->HasCluster()) return;
    FormationVerdict verdict{FormationStep::kWait, "waiting to be taken into a cluster; this node forms none by itself"};
    if (config_.form) {
      std::vector<Sighting> sightings;
      for (const std::string& address : config_.join) {
        sightings.push_back({address, link::Probe(address, Secrets(), config_.tls, kAskPatience)});
      }
      verdict = JudgeFormation(node_->id(), sightings, steady_clock::now() - began >= config_.form_timeout);
    }
    if (verdict.why != last || steady_clock::now() - reminded >= kRemindEvery) {
      log_.Info(verdict.why);
      last = verdict.why;
      reminded = steady_clock::now();
    }
    if (verdict.step == FormationStep::kForm && Form()) return;
  } while (SleepFor(kAskEvery));
} catch (const std::exception& error) {
  Fail(error.what());
}

void Server::StartRouter() {
  router::RouterOptions o;
  // In one process with a node it has a name of its own, and dials the node over loopback like any other member.
  o.name = node_ ? config_.name + link::kRouterWithin : config_.name;
  if (!node_) o.listen = config_.listen;
  if (!node_) o.advertised_address = config_.advertise;
  o.public_address = PublicAddress(config_);
  o.keyring = Secrets();
  o.tls = config_.tls;
  if (node_) o.seeds.push_back(OwnPeerAddress(config_, node_->peer_port()));
  o.seeds.insert(o.seeds.end(), config_.join.begin(), config_.join.end());
  o.version = Version();
  o.warn = [this](const std::string& text) { log_.Warning(text, {{"part", "router"}}); };
  o.cache_bytes = config_.cache_bytes;
  o.cache_policy = config_.cache_policy;
  o.cache_age = config_.cache_age;
  o.cache_disk_path = config_.cache_disk_path;
  o.cache_disk_bytes = config_.cache_disk_bytes;
  o.on_disk_off = [this](const std::string& why) {
    log_.Warning("the cache's disk is off until the next start: " + why + "; what it held is read from the nodes",
                 {{"folder", config_.cache_disk_path}});
  };
  router_ = router::RouterProcess::Start(std::move(o));
}

void Server::StartFront() {
  router::FrontOptions o;
  o.listen = config_.public_listen;
  o.tls = config_.public_tls;
  o.require_certificate = config_.public_tls_required;
  o.observer = &call_metrics_;
  o.poller = router_->poller();
  o.on_dead = [this](const std::string& message) { Fail(message); };
  front_ = router::FrontServer::Start(std::move(o), router_.get());
  log_.Info("the API is up", {{"listen", config_.public_listen}, {"port", std::to_string(front_->port())},
                              {"tls", config_.public_tls.enabled() ? "on" : "off"}});
  if (!config_.public_tls_required && !IsLoopback(link::SplitHostPort(config_.public_listen).host)) {
    log_.Warning("whoever reaches the API's port may read, write and delete: keep it in a private network, or set public_tls_required",
                 {{"listen", config_.public_listen}});
  }
}

void Server::StartMetrics() {
  const auto ready = [this] {
    const std::string why = NotReady();
    return HttpResponse{why.empty() ? 200 : 503, "text/plain; charset=utf-8", (why.empty() ? "ready" : why) + "\n"};
  };
  const auto alive = [] { return HttpResponse{200, "text/plain; charset=utf-8", "alive\n"}; };
  const auto metrics = [this] { return HttpResponse{200, "text/plain; version=0.0.4; charset=utf-8", ScrapeMetrics()}; };
  metrics_ = HttpListener::Start(config_.metrics_listen, {{"/livez", alive}, {"/readyz", ready}, {"/metrics", metrics}});
  log_.Info("metrics are up", {{"listen", config_.metrics_listen}, {"port", std::to_string(metrics_->port())}});
}

std::string Server::ScrapeMetrics() {
  std::vector<MetricsSource> sources = {[](MetricsWriter* writer) { WriteProcessMetrics(Version(), writer); }};
  if (node_) sources.push_back([this](MetricsWriter* writer) { WriteNodeMetrics(node_->Metrics(), writer); });
  if (const auto layout = node_ ? node_->layout() : nullptr) {
    sources.push_back([this, layout](MetricsWriter* writer) { WriteNodePartitions(*layout, node_->id(), writer); });
  }
  if (router_) {
    sources.push_back([this](MetricsWriter* writer) { WriteRouterMetrics(router_->Metrics(), writer); });
    sources.push_back([this](MetricsWriter* writer) { call_metrics_.Write(writer); });
    sources.push_back([this](MetricsWriter* writer) { WriteFrontLoad(front_->load(), writer); });
    sources.push_back([this](MetricsWriter* writer) {
      const auto status = AskStatus(router_.get(), kStatusPatience);
      cluster_metrics_.Write(status ? &*status : nullptr, steady_clock::now(), writer);
    });
  }
  return MetricsText(sources);
}

std::string Server::NotReady() const {
  if (failed_) return "failed";
  if (draining_) return "stopping";
  if (node_ && !node_->layout()) return "the node belongs to no cluster yet";
  if (router_ && !router_->Serving()) return "the router knows no layout yet";
  return "";
}

void Server::CheckAlive() const {
  if (node_) node_->Metrics();
}

void Server::Stop() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.NotifyAll();
  draining_ = true;
  const auto end = steady_clock::now() + config_.drain_timeout;
  const auto left = [end] {
    return std::max(std::chrono::duration_cast<milliseconds>(end - steady_clock::now()), milliseconds(0));
  };
  peer_probe_.reset();
  if (router_) router_->Drain();
  if (front_) front_->Stop(left());
  if (find_cluster_.joinable()) find_cluster_.join();
  metrics_.reset();
  if (router_) router_->Stop();
  if (node_ && node_->layout() && !node_->Drain(std::max(left(), kLeastLeaving))) {
    log_.Warning("stopped before all partitions were handed over; the other copies take over by themselves");
  }
  if (node_) node_->Stop();
  front_.reset();
  router_.reset();
  node_.reset();
}

void Server::Fail(const std::string& message) {
  if (!failed_.exchange(true)) on_failure_(message);
}

bool Server::SleepFor(milliseconds time) {
  MutexLock lock(mutex_);
  return !wake_.WaitFor(mutex_, time, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
}

}  // namespace coffer::server
