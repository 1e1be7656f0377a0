#include "node/node_process.h"

#include <openssl/rand.h>

#include <stdexcept>
#include <utility>

#include "proto/link/caller_text.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t RandomSeed() {
  std::uint64_t seed = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&seed), sizeof seed);
  return seed;
}

}  // namespace

std::uint64_t NodeProcess::UnixMilliseconds() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

std::unique_ptr<NodeProcess> NodeProcess::Start(NodeProcessOptions options) {
  std::unique_ptr<NodeProcess> node(new NodeProcess(std::move(options)));
  DataFolderOptions folder;
  folder.path = node->options_.data;
  folder.name = node->options_.name;
  auto opened = DataFolder::Open(std::move(folder));
  if (!opened.folder) throw std::runtime_error(opened.message);
  node->folder_ = std::move(opened.folder);
  node->OpenStore();
  for (const std::string& notice : node->folder_->notices()) node->Say(NodeEvent::Level::kWarning, notice);
  node->had_cluster_ = !node->folder_->identity().cluster.IsZero();
  node->quarantine_ = std::make_unique<QuarantineFile>(node->folder_->quarantine_path());
  node->StartCore();
  node->StartHub();
  node->StartScrubber();
  node->driver_->Start();
  if (node->scrubber_) node->scrubber_->Start();
  node->keeper_ = std::thread([raw = node.get()] { raw->Keep(); });
  return node;
}

NodeProcess::~NodeProcess() { Stop(); }

void NodeProcess::OpenStore() {
  for (int attempt = 0;; ++attempt) {
    LevelDbStoreOptions options;
    options.folder = folder_->store_path();
    options.owner = folder_->id();
    options.must_exist = folder_->identity().has_store;
    options.reserve_bytes = options_.disk_reserve_bytes;
    options.slow_disk = options_.slow_disk;
    options.inline_value_bytes = options_.inline_value_bytes;
    options.write_buffer_bytes = options_.write_buffer_bytes;
    options.block_cache_bytes = options_.block_cache_bytes;
    options.on_failure = [this](const std::string& what) { folder_->MarkFailed(what); };
    auto opened = LevelDbStore::Open(std::move(options));
    if (opened.store) {
      store_ = std::move(opened.store);
      break;
    }
    const bool retire = opened.error == StoreOpenError::kDamaged || opened.error == StoreOpenError::kForeign;
    if (!retire || attempt > 0) throw std::runtime_error(opened.message);
    // R8: what this store promised is not known any more. The node goes on under a new id and is filled from the others.
    Say(NodeEvent::Level::kError, opened.message);
    auto fresh = std::move(*folder_).Retire(opened.message);
    if (!fresh.folder) throw std::runtime_error(fresh.message);
    folder_ = std::move(fresh.folder);
  }
  std::string error;
  if (!folder_->NoteStore(&error)) throw std::runtime_error(error);
}

void NodeProcess::StartCore() {
  NodeCoreConfig config;
  config.boot = folder_->boot();
  config.membership = options_.membership;
  config.planner.resync_delay = options_.resync_delay;
  config.layout_gather = options_.layout_gather;
  config.cut_off_after = options_.cut_off_after;
  config.default_zone = true;
  config.resync_bytes_per_second = options_.resync_bytes_per_second;
  auto& self = config.self;
  self.set_id(folder_->id().str());
  self.set_name(options_.name);
  self.set_address(options_.advertise);
  self.set_role(options_.witness ? coffer::v1::MEMBER_ROLE_WITNESS : coffer::v1::MEMBER_ROLE_STORAGE);
  self.set_weight(options_.witness ? 0 : options_.weight);
  self.set_failure_domain(options_.failure_domain);
  self.set_certificate_name(options_.certificate_name);
  self.set_version(options_.version);
  self.set_boot(folder_->boot().value);
  auto core = std::make_unique<NodeCore>(std::move(config), folder_->recovered(), folder_->ReadPeers(), *store_, RandomSeed(),
                                         CoreDriver::Now());
  {
    MutexLock lock(mutex_);
    layout_ = core->layout();
  }
  driver_ = std::make_unique<CoreDriver>(std::move(core), *store_, static_cast<DriverSinks&>(*this), options_.read_threads);
}

link::Identity NodeProcess::SelfIdentity() const {
  link::Identity self;
  self.cluster = folder_->identity().cluster;
  self.id = folder_->id();
  self.name = options_.name;
  self.address = options_.advertise;
  self.role = options_.witness ? coffer::v1::MEMBER_ROLE_WITNESS : coffer::v1::MEMBER_ROLE_STORAGE;
  self.boot = folder_->boot();
  self.boot_nonce = folder_->recovered().lineage.back().nonce;
  self.may_form = options_.may_form;
  return self;
}

void NodeProcess::StartHub() {
  link::HubOptions hub;
  hub.listen = options_.listen;
  hub.keyring = options_.keyring;
  hub.tls = options_.tls;
  hub.owner_polls = true;  // the driver
  hub_ = link::Hub::Start(std::move(hub), SelfIdentity(), this);
}

void NodeProcess::StartScrubber() {
  if (options_.witness) return;
  ScrubberOptions options;
  options.progress_path = folder_->scrub_path();
  options.owner = folder_->id();
  options.bytes_per_second = options_.scrub_bytes_per_second;
  options.interval = options_.scrub_interval;
  options.seed = RandomSeed();
  options.wall_ms = UnixMilliseconds;
  scrubber_ = std::make_unique<Scrubber>(std::move(options), *store_, static_cast<ScrubSinks&>(*this));
  if (const auto known = layout()) scrubber_->Control(known->settings.scrub_paused, known->settings.scrub_asked);
}

void NodeProcess::OnBadRecord(PartitionId partition, const RecordKey& key) {
  driver_->Post([partition, key](NodeCore& core, Instant now) { return core.Mend(now, partition, key); });
}

void NodeProcess::OnPartitionRead(PartitionId partition, bool unreadable) {
  if (unreadable) {
    return Say(NodeEvent::Level::kError, "scrub: a part of partition " + std::to_string(partition) + " can't be read, and which records are in it "
               "is not known. Its other copy is safe. Look at this disk; replace the node if this comes again.");
  }
  driver_->Post([partition](NodeCore& core, Instant now) { return core.Scrubbed(now, partition); });
}

void NodeProcess::OnScrubStatus(const coffer::v1::ScrubStatus& status) {
  driver_->Post([status](NodeCore& core, Instant now) { return core.NoteScrub(now, status); });
}

void NodeProcess::Keep() {
  for (int round = 0;; ++round) {
    bool alone = false;
    {
      MutexLock lock(mutex_);
      changed_.WaitFor(mutex_, seconds(1), [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
      if (stopping_) return;
      alone = peers_.empty() || !layout_;
    }
    if (alone) {
      for (const std::string& seed : options_.seeds) hub_->Dial(seed);
    }
    if (round % 10 != 3) continue;
    std::shared_ptr<const cluster::Membership::View> view;
    if (!driver_->Ask([&](const NodeCore& core, Instant) { view = core.members(); })) continue;
    std::vector<wire::MemberFacts> peers;
    for (const auto& [id, member] : *view) {
      if (id != folder_->id()) peers.push_back(member.facts);
    }
    folder_->WritePeers(peers);
  }
}

bool NodeProcess::HasCluster() const {
  MutexLock lock(mutex_);
  return layout_ != nullptr || had_cluster_;
}

std::shared_ptr<const cluster::Layout> NodeProcess::layout() const {
  MutexLock lock(mutex_);
  return layout_;
}

bool NodeProcess::Form(const std::string& cluster_name, const cluster::Settings& settings) {
  if (HasCluster()) return false;
  ClusterId cluster;
  RAND_bytes(cluster.bytes.data(), static_cast<int>(cluster.bytes.size()));
  driver_->Post([=](NodeCore& core, Instant now) { return core.Form(now, cluster, cluster_name, settings); });
  MutexLock lock(mutex_);
  while (layout_ == nullptr && !stopping_ && !failed_) changed_.Wait(mutex_);
  return layout_ != nullptr && layout_->cluster == cluster;
}

NodeMetrics NodeProcess::Metrics() const {
  NodeMetrics metrics;
  driver_->Ask([&](const NodeCore& core, Instant now) { metrics.report = core.Report(now); });
  metrics.health = store_->Health();
  metrics.store = store_->counters();
  metrics.links = hub_->stats();
  metrics.epoch = metrics.report.epoch();
  return metrics;
}

bool NodeProcess::Drain(milliseconds at_most) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  driver_->Post([](NodeCore& core, Instant now) { return core.Leave(now); });
  while (true) {
    bool left = false;
    if (!driver_->Ask([&](const NodeCore& core, Instant) { left = core.Left(); }) || left) return left;
    MutexLock lock(mutex_);
    if (std::chrono::steady_clock::now() >= end || stopping_ || failed_) return false;
    changed_.WaitFor(mutex_, milliseconds(50));
  }
}

void NodeProcess::Stop() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (keeper_.joinable()) keeper_.join();
  if (scrubber_) scrubber_->Stop();
  if (driver_) driver_->Stop();
  if (hub_) hub_->Stop();
  store_.reset();
}

void NodeProcess::Fail(const std::string& message, bool new_identity) {
  {
    MutexLock lock(mutex_);
    if (failed_ || stopping_) return;
    failed_ = true;
  }
  changed_.NotifyAll();
  if (options_.on_failure) options_.on_failure(message, new_identity);
}

void NodeProcess::Say(NodeEvent::Level level, const std::string& text) {
  if (options_.log) options_.log({level, text});
}

void NodeProcess::Log(const NodeEvent& event) {
  if (options_.log) options_.log(event);
}

void NodeProcess::Quarantine(const std::vector<QuarantinedWrite>& writes) {
  std::vector<QuarantineRecord> records;
  for (const auto& w : writes) records.push_back({w.partition, UnixMilliseconds(), w.write, w.bodies});
  if (const std::string error = quarantine_->Append(records); !error.empty()) Say(NodeEvent::Level::kError, error);
}

bool NodeProcess::SaveDurable(const NodeDurable& durable) {
  const auto saved = folder_->agreement().Save(durable);
  if (saved.ok) return true;
  if (saved.trust_lost) folder_->MarkFailed(saved.message);
  Fail(saved.message, saved.trust_lost);
  return false;
}

void NodeProcess::OnLayout(const std::shared_ptr<const cluster::Layout>& layout) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    layout_ = layout;
    first = folder_->identity().cluster != layout->cluster;
  }
  if (scrubber_) scrubber_->Control(layout->settings.scrub_paused, layout->settings.scrub_asked);
  if (first) {
    std::string error;
    if (!folder_->SetCluster(layout->cluster, &error)) return Fail(error, false);
    hub_->SetIdentity(SelfIdentity());
    Say(NodeEvent::Level::kInfo, "this node belongs to cluster " + layout->cluster_name + " (" + Short(layout->cluster) + ")");
  }
  changed_.NotifyAll();
}

void NodeProcess::OnStop(const std::string& message) {
  const bool disk = store_->Health().failed;
  if (disk) folder_->MarkFailed(message);
  Fail(message, disk);
}

void NodeProcess::OnRetire(const std::string& message) {
  folder_->MarkFailed(message);
  Fail(message, true);
}

link::RefusalInfo NodeProcess::Admit(const link::Identity& peer, const std::string& certificate_name) {
  MutexLock lock(mutex_);
  if (layout_ && !certificate_name.empty()) {
    const auto index = layout_->IndexOf(peer.id);
    if (index != cluster::kNoMember && !layout_->members[index].certificate_name.empty() &&
        layout_->members[index].certificate_name != certificate_name) {
      return {"CERTIFICATE_MISMATCH", "the certificate is for " + certificate_name + ", but member " + peer.name + " joined with one for " +
                                          layout_->members[index].certificate_name + "."};
    }
  }
  return {};
}

void NodeProcess::OnContested(const NodeId& peer) {
  driver_->Post([peer](NodeCore& core, Instant now) { return core.AskPeer(now, peer); });
}

void NodeProcess::OnUp(const link::Identity& peer) {
  {
    MutexLock lock(mutex_);
    peers_[peer.id] = peer;
    dial_failures_.erase(peer.address);
  }
  const bool has_folder = peer.role != coffer::v1::MEMBER_ROLE_ROUTER;
  driver_->Post([id = peer.id, has_folder](NodeCore& core, Instant now) { return core.LinkUp(now, id, has_folder); });
}

void NodeProcess::OnDown(const NodeId& peer, const std::string&) {
  {
    MutexLock lock(mutex_);
    peers_.erase(peer);
  }
  driver_->Post([peer](NodeCore& core, Instant now) { return core.LinkDown(now, peer, false); });
}

void NodeProcess::OnDialFailed(const std::string& address, const link::RefusalInfo& why) {
  if (why.reason == "SELF") return;
  bool tell = false;
  {
    MutexLock lock(mutex_);
    std::string& last = dial_failures_[address];
    tell = std::exchange(last, why.reason) != why.reason;
  }
  // Once per address and reason: a peer that is down is dialled every second.
  if (tell) Say(NodeEvent::Level::kWarning, link::NoLinkText(address, why.message));
  // Somebody sees another process with our id alive: we came later, so we go.
  if (why.reason == "DUPLICATE_ID") return Fail(why.message, false);
  // The other process with our id answered itself. Whichever of the two works with the other members already goes on.
  if (why.reason == "OWN_ID") {
    driver_->Post([this, message = why.message](NodeCore& core, Instant) {
      if (!core.Cleared()) Fail(message, false);
      return NodeCore::Output{};
    });
    return;
  }
  driver_->Post([address, refused = why.reason == "REFUSED"](NodeCore& core, Instant now) {
    return core.DialFailed(now, address, refused);
  });
}

void NodeProcess::OnRefused(const std::string& from, const std::string& name, const link::RefusalInfo& why) {
  // Those about tokens are told of where they are judged; the others are no end.
  if (why.reason == "WRONG_TOKEN" || why.reason.starts_with("JOIN_TOKEN") || why.reason == "BUSY" || why.reason == "EARLIER_START") return;
  {
    MutexLock lock(mutex_);
    if (!refusal_notices_.Tell(link::CallerHost(from), why.reason, std::chrono::steady_clock::now())) return;
  }
  Say(NodeEvent::Level::kWarning, link::RefusedText(from, name, why.message));
}

void NodeProcess::OnMessages(const NodeId& from, std::vector<PeerMessage> messages) {
  auto shared = std::make_shared<std::vector<PeerMessage>>(std::move(messages));
  driver_->Post([from, shared](NodeCore& core, Instant now) { return core.Receive(now, from, std::move(*shared)); });
}

}  // namespace coffer::node
