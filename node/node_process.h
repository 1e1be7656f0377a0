// A running storage node (or witness): data folder, store, links and the driver that feeds the node core.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "node/core_driver.h"
#include "node/data_folder.h"
#include "node/leveldb_store.h"
#include "node/quarantine.h"
#include "node/scrubber.h"
#include "proto/link/link.h"
#include "proto/link/refusal_notices.h"
#include "proto/mutex.h"

namespace coffer::node {

struct NodeProcessOptions {
  std::string data;                        // folder; made if absent
  std::string name;                        // unique among the members
  bool witness = false;                    // votes, stores nothing
  std::string listen;                      // host:port of the peer port
  std::string advertise;                   // host:port under which members reach it; a name is resolved at every connect
  link::Keyring keyring;                    // the cluster's secrets
  link::TlsFiles tls;
  std::string certificate_name;            // first DNS name of our certificate; empty without TLS
  std::vector<std::string> seeds;          // host:port of members to begin with
  std::uint32_t weight = 100;
  std::string failure_domain;
  bool may_form = false;                   // whether it may form a cluster by itself; said to those who ask
  std::string version;                     // of the program
  cluster::MembershipConfig membership;
  std::chrono::milliseconds resync_delay{10'000};
  std::chrono::milliseconds layout_gather{200};
  std::chrono::milliseconds cut_off_after{3'000};
  std::uint64_t resync_bytes_per_second = 256u << 20;  // receiving rate cap; 0: none
  std::optional<std::uint64_t> disk_reserve_bytes;
  std::chrono::milliseconds slow_disk{100};  // a sync that takes longer is slow; 0: none is
  std::size_t inline_value_bytes = 4 << 10;  // larger values go to the log of values
  std::size_t write_buffer_bytes = 8 << 20;
  std::size_t block_cache_bytes = 8 << 20;
  int read_threads = 2;
  std::uint64_t scrub_bytes_per_second = 8u << 20;           // read at most while scrubbing; 0: no bound
  std::chrono::milliseconds scrub_interval{14 * 86'400'000};  // between passes, a fifth more or less; 0: only when asked for
  std::function<void(const NodeEvent&)> log;           // any thread
  // Fail-stop: the process must end. `new_identity`: started again it comes back under a new id, by itself. Any thread, once.
  std::function<void(const std::string& message, bool new_identity)> on_failure;
};

// A snapshot for metrics.
struct NodeMetrics {
  wire::NodeReport report;
  StoreHealth health;
  LevelDbStore::Counters store;
  link::HubStats links;
  std::uint64_t epoch = 0;
};

// Thread-safe.
class NodeProcess final : private DriverSinks, private ScrubSinks, private link::Handler {
 public:
  // Throws std::runtime_error with a message for the operator: what happened, what is safe, what to do.
  static std::unique_ptr<NodeProcess> Start(NodeProcessOptions options);
  ~NodeProcess() override;

  NodeId id() const { return folder_->id(); }
  // Port actually bound.
  int peer_port() const { return hub_->port(); }
  // Whether the node belongs to a cluster: it has a layout, or had one before.
  bool HasCluster() const;
  // Null before the first layout.
  std::shared_ptr<const cluster::Layout> layout() const;
  // Forms a new cluster with this node as its only member; waits until it is durable. False if it belongs to one already.
  bool Form(const std::string& cluster_name, const cluster::Settings& settings);
  NodeMetrics Metrics() const;
  // The cluster's secrets changed: links are made by the new ones from now on.
  void SetSecrets(link::Keyring keyring) { hub_->SetSecrets(std::move(keyring)); }
  // Leaves: tells the others, waits until its primaries are handed over or the time is up. True: nothing is left to do.
  bool Drain(std::chrono::milliseconds at_most);
  // Ends all threads. Idempotent.
  void Stop();

 private:
  explicit NodeProcess(NodeProcessOptions options) : options_(std::move(options)) {}
  void OpenStore();
  void StartCore();
  void StartHub();
  void StartScrubber();
  void Keep();  // dials seeds, remembers members
  void Fail(const std::string& message, bool new_identity);
  static std::uint64_t UnixMilliseconds();
  void Say(NodeEvent::Level level, const std::string& text);
  link::Identity SelfIdentity() const;

  // DriverSinks
  bool Send(const NodeId& to, PeerMessage message) override { return hub_->Queue(to, std::move(message)); }
  void FlushSends() override { hub_->Flush(); }
  void Poll(Instant until) override {
    hub_->Poll(std::chrono::steady_clock::time_point(std::chrono::duration_cast<std::chrono::steady_clock::duration>(until.time_since_epoch())));
  }
  // Without a hub the start did not succeed, and nobody sleeps in it.
  void Wake() override {
    if (hub_) hub_->Wake();
  }
  void Dial(const std::string& address) override { hub_->Dial(address); }
  void DropLink(const NodeId& peer) override { hub_->Drop(peer, "another process has this id"); }
  void Log(const NodeEvent& event) override;
  void Quarantine(const std::vector<QuarantinedWrite>& writes) override;
  bool SaveDurable(const NodeDurable& durable) override;
  void OnLayout(const std::shared_ptr<const cluster::Layout>& layout) override;
  void OnJoinTokenAnswer(const JoinTokenAnswer& answer) override;
  void OnStop(const std::string& message) override;
  void OnRetire(const std::string& message) override;

  // ScrubSinks
  void OnBadRecord(PartitionId partition, const RecordKey& key) override;
  void OnPartitionRead(PartitionId partition, bool unreadable) override;
  void OnScrubStatus(const coffer::v1::ScrubStatus& status) override;

  // link::Handler
  link::RefusalInfo Admit(const link::Identity& peer, const std::string& certificate_name) override;
  void OnContested(const NodeId& peer) override;
  void OnUp(const link::Identity& peer) override;
  void OnDown(const NodeId& peer, const std::string& why) override;
  void OnDialFailed(const std::string& address, const link::RefusalInfo& why) override;
  void OnRefused(const std::string& from, const std::string& name, const link::RefusalInfo& why) override;
  void OnMessages(const NodeId& from, std::vector<PeerMessage> messages) override;
  void OnJoinToken(const link::Identity& joiner, const std::string& from, const link::ShownToken& token,
                   std::function<void(const link::RefusalInfo&)> answer) override;
  void OnErrand(const std::string& from, const wire::Errand& errand, std::function<void(const wire::ErrandAnswer&)> answer) override;
  void OnWrongToken(const std::string& from) override;

  // What waits for an agreement on the join tokens. With the answer, on the driver's thread.
  using TokenDone = std::function<void(const google::rpc::Status&)>;
  void ChangeJoinTokens(wire::JoinTokenChange change, TokenDone done);

  const NodeProcessOptions options_;
  std::unique_ptr<DataFolder> folder_;
  std::unique_ptr<CoreDriver> driver_;
  std::unique_ptr<LevelDbStore> store_;  // destroyed before the driver, which its callbacks reach
  std::unique_ptr<QuarantineFile> quarantine_;
  std::unique_ptr<link::Hub> hub_;
  std::unique_ptr<Scrubber> scrubber_;
  std::thread keeper_;

  mutable Mutex mutex_;
  Condition changed_;
  std::shared_ptr<const cluster::Layout> layout_ ABSL_GUARDED_BY(mutex_);
  std::map<NodeId, link::Identity> peers_ ABSL_GUARDED_BY(mutex_);            // linked
  std::map<std::string, std::string> dial_failures_ ABSL_GUARDED_BY(mutex_);  // last reason told, by address
  link::RefusalNotices refusal_notices_ ABSL_GUARDED_BY(mutex_);
  std::map<std::uint64_t, TokenDone> token_asks_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t next_token_ask_ ABSL_GUARDED_BY(mutex_) = 1;
  std::uint64_t wrong_tokens_ ABSL_GUARDED_BY(mutex_) = 0;        // since the last that was told of
  std::chrono::steady_clock::time_point wrong_token_told_ ABSL_GUARDED_BY(mutex_);
  bool had_cluster_ = false;                                                  // before this start
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace coffer::node
