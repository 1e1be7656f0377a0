// The inside of RouterCore: its machines, the calls under way, and the loop that moves results between them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/agreement.h"
#include "cluster/load_meter.h"
#include "router/core/disk_index.h"
#include "router/core/link_keeper.h"
#include "router/core/reports.h"
#include "router/core/router_core.h"
#include "router/core/zone_directory.h"

namespace coffer::router {

struct RouterCore::State final : CallHost {
  State(RouterCoreConfig config, std::uint64_t seed, Instant now);

  // ---- CallHost
  Instant now() const override { return now_; }
  std::uint64_t wall_ms() const override;
  std::shared_ptr<const cluster::Layout> layout() const override { return layout_; }
  ChunkCache& cache() override { return cache_; }
  ChainEnds& chain_ends() override { return chain_ends_; }
  std::string RouterName() const override { return self_.name(); }
  std::string ZoneName(const ZoneId& id) const override { return zones_.NameOf(id); }
  Random& random() override { return random_; }
  void StartOp(CallId call, Slot slot, OpSpec spec) override;
  const ZoneId* CachedZone(const std::string& name) override { return zones_.Find(now_, name); }
  void ResolveZone(CallId call, const std::string& name) override;
  void RememberZone(const std::string& name, const ZoneId& id) override { zones_.Remember(now_, name, id); }
  void ForgetZone(const std::string& name) override { zones_.Forget(name); }
  void ForgetZoneId(const ZoneId& id) override {
    zones_.ForgetId(id);
    cache_.RemoveZone(id);
    disk_.RemoveZone(id);
    chain_ends_.RemoveZone(id);
  }
  bool FindOnDisk(CallId call, Slot slot, const ZoneId& zone, const BlockId& id) override;
  void ForgetChunk(const ZoneId& zone, const BlockId& id) override {
    cache_.Remove(now_, zone, id);
    disk_.Remove({zone, id});
  }
  void ClearCache() override {
    cache_.Clear();
    disk_.Clear();
    chain_ends_.Clear();
  }
  std::optional<DiskCounters> Disk() const override;
  void Respond(CallId call, Response response) override;
  void End(CallId call, Status status) override;
  bool Writable(CallId call) override { return config_.writable(call); }
  void WakeAt(CallId call, Instant at) override;
  StatusInputs StatusNow() override;
  bool ReportsSince(Instant since) override { return reports_.Since(since, LinkedStorage()); }
  bool SendChange(CallId call, const NodeId& to, wire::LayoutChangeRequest request) override;
  std::vector<NodeId> Proposers() override;

  // ---- calls
  void Invoke(CallId id, Request request, std::uint64_t bytes, Instant deadline);
  void Begin(CallId id, Request request);
  void BeginWaiting(CallId id);
  std::optional<Response> GetCached(const v1::GetRequest& request, Instant deadline);
  // For the figures and the status.
  void Count(Method method, Instant began, Code code);
  template <class F>
  void With(CallId id, F handle);
  void Remove(CallId id);
  void TellWatchersOfTheWorld();

  // ---- messages and machines
  void Receive(const NodeId& from, PeerMessage message);
  void Apply(cluster::Membership::Output output);
  void Apply(cluster::Agreement::Output output);
  void Adopt();
  void CompareEpochs();
  void SendPull(const NodeId& to);
  void LoseChanges(const NodeId& to);
  void LookUp(const std::string& name, Instant deadline);
  void OpEnded(OpResult result);
  void LookupEnded(const std::string& name, OpResult result);
  void DiskReadEnded(DiskReadId id, DiskReadEnd end, Payload chunk);
  void DiskFailed(std::string why);
  std::set<NodeId> LinkedStorage() const;
  StatusInputs Inputs() const;

  void VisitQueues(const QueueVisitor& visit) const;

  // ---- the loop
  // Runs at the end of every input: moves results until nothing moves, then hands the output over.
  RouterCore::Output Pump();
  bool MoveResults();
  bool Wakes();
  void Deadlines();
  void Maintain();
  void TellLoad();
  void PullLayout();

  struct Active {  // a call under way
    std::unique_ptr<Call> call;       // null until the layout is known
    std::optional<Request> waiting;   // the request, until then
    Method method = Method::kChunksPut;
    Instant began{};
    Instant deadline{};               // of the call; while waiting for a layout, of the wait
    Instant call_deadline{};
    Instant wake = kNever;
    std::uint64_t bytes = 0;
    std::set<OpId> ops;
    bool ended = false;
  };
  struct Owner {                      // of an operation
    CallId call = 0;
    Slot slot = 0;
    std::string lookup;               // not empty: a look-up of this zone
  };
  struct DiskReader {                 // of a chunk
    CallId call = 0;
    Slot slot = 0;
  };
  struct Change {
    CallId call = 0;
    NodeId to;
  };

  const RouterCoreConfig config_;
  Instant now_;
  Random random_;
  cluster::Membership membership_;
  cluster::Agreement agreement_;
  Dispatcher dispatcher_;
  ZoneDirectory zones_;
  DiskIndex disk_;
  ChunkCache cache_;                         // hands over to disk_
  ChainEnds chain_ends_;
  LinkKeeper links_;
  Reports reports_;
  ResyncProgress resync_;
  wire::MemberFacts self_;
  std::shared_ptr<const cluster::Layout> layout_;
  Instant layout_since_{};
  std::shared_ptr<const cluster::Membership::View> compared_view_;  // whose epochs were looked at last
  std::map<CallId, Active> calls_;
  std::set<std::pair<Instant, CallId>> wakes_;
  std::set<std::pair<Instant, CallId>> deadlines_;
  std::set<CallId> world_watchers_;          // calls of Cluster
  bool world_changed_ = false;
  std::map<OpId, Owner> owners_;
  std::map<std::uint64_t, Change> changes_;  // layout changes sent, by their call
  std::uint64_t next_change_ = 1;
  std::map<DiskReadId, DiskReader> disk_readers_;
  std::vector<ZoneDirectory::Answer> zone_answers_;
  std::set<NodeId> wanted_;                  // links operations wait for
  Instant maintain_at_{};
  Instant pull_at_{};
  NodeId pulled_;                            // who was asked for the layout last
  Instant wall_at_{};
  std::uint64_t wall_ms_ = 0;
  bool leaving_ = false;
  RouterCounters counters_;
  cluster::LoadMeter load_;
  std::uint64_t gets_ = 0, puts_ = 0;        // calls for blocks that ended
  Instant load_at_{};                        // when others are told of them next
  RouterCore::Output out_;
};

// Runs a handler; a call that ended in it is gone afterwards.
template <class F>
void RouterCore::State::With(CallId id, F handle) {
  auto it = calls_.find(id);
  if (it == calls_.end()) return;
  if (!it->second.ended && it->second.call) handle(*it->second.call);
  if (it->second.ended) Remove(id);
}

}  // namespace coffer::router
