// A node core that is a cluster of its own over a store in memory, whose reads can be made to fail: for tests of what a node
// decides by itself. Everything it asks for is done at once, in order.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/placement.h"
#include "node/core/node_core.h"
#include "node/memory_store.h"
#include "test_support.h"

namespace coffer::node {

// The reads of a MemoryStore; scans of headers, or of the log, end early where a test says so, as on a part of a disk that
// can't be read.
class FailingReads final : public StoreReader {
 public:
  explicit FailingReads(const MemoryStore& store) : store_(store) {}
  ReadOutcome scan = ReadOutcome::kFound;  // how every scan ends, after the first half of its records unless it is kFound
  ReadOutcome log = ReadOutcome::kFound;   // how every reading of the log ends

  ReadOutcome Lookup(PartitionId p, const RecordKey& key, RecordHeader* header) const override { return store_.Lookup(p, key, header); }
  ReadOutcome Read(PartitionId p, const RecordKey& key, RecordHeader* header, Payload* value) const override {
    return store_.Read(p, key, header, value);
  }
  ReadOutcome Scan(PartitionId p, std::string_view after, std::string_view last,
                   const std::function<bool(const ScannedRecord&)>& visit) const override {
    if (scan == ReadOutcome::kFound) return store_.Scan(p, after, last, visit);
    std::vector<ScannedRecord> all;
    store_.Scan(p, after, last, [&](const ScannedRecord& record) { return all.push_back(record), true; });
    for (std::size_t i = 0; i < all.size() / 2; ++i) {
      if (!visit(all[i])) return ReadOutcome::kFound;
    }
    return scan;
  }
  ReadOutcome LastEntry(PartitionId p, const ZoneId& zone, const BlockId& chain, RecordKey* key, RecordHeader* header) const override {
    return store_.LastEntry(p, zone, chain, key, header);
  }
  ReadOutcome ReadEntries(PartitionId p, const ZoneId& zone, const BlockId& chain, std::uint64_t from, std::uint64_t to, bool backwards,
                          const EntryVisitor& visit) const override {
    return store_.ReadEntries(p, zone, chain, from, to, backwards, visit);
  }
  ReadOutcome ReadLog(PartitionId p, Seq from, Seq to, std::vector<LogRecord>* records) const override {
    return log == ReadOutcome::kFound ? store_.ReadLog(p, from, to, records) : log;
  }
  ReadOutcome ReadMetas(const std::function<void(PartitionId, const PartitionMeta&)>& visit) const override {
    return store_.ReadMetas(visit);
  }

 private:
  const MemoryStore& store_;
};

class SoloNode {
 public:
  static constexpr std::uint32_t kPartitions = 8;
  static inline const NodeId kRouter = NodeId::Must("a-router-16bytes");  // who asks

  explicit SoloNode(bool default_zone = false) : default_zone_(default_zone) { Start(); }

  // The process ends and starts again with what is durable.
  void Restart() {
    store.Crash();
    ++boot_;
    Start();
  }

  // Time passes in steps of 50 ms.
  void Run(Duration span) {
    for (const Instant end = now + span; now < end;) {
      now += std::chrono::milliseconds(50);
      Carry(core->Tick(now));
    }
  }

  // Sends the node a request, as a router would.
  void Tell(wire::DataRequest request, std::vector<Payload> bodies = {}) {
    request.set_call(++call_);
    request.set_term(core->layout()->group(request.partition()).term.value);
    request.set_deadline_ms(5000);
    PeerMessage message;
    *message.header.mutable_data_request() = std::move(request);
    message.bodies = std::move(bodies);
    Carry(core->Receive(now, kRouter, std::move(message)));
  }
  // And returns its answer.
  wire::DataResponse Ask(wire::DataRequest request, std::vector<Payload> bodies = {}) {
    Tell(std::move(request), std::move(bodies));
    for (int i = 0; i < 100 && !answers_.contains(call_); ++i) Run(std::chrono::milliseconds(50));
    REQUIRE(answers_.contains(call_));
    return answers_.at(call_);
  }

  void Mend(PartitionId partition, const RecordKey& key) { Carry(core->Mend(now, partition, key)); }
  void ChangeJoinTokens(std::uint64_t ask, const wire::JoinTokenChange& change) { Carry(core->ChangeJoinTokens(now, ask, change)); }

  wire::DataResponse Put(const ZoneId& zone, const BlockId& id, std::string bytes) {
    wire::DataRequest request = For(zone, id);
    request.mutable_put_chunk()->set_id(id.str());
    return Ask(std::move(request), {std::make_shared<const std::string>(std::move(bytes))});
  }
  wire::DataRequest For(const ZoneId& zone, const BlockId& id) const {
    wire::DataRequest request;
    request.set_zone(zone.str());
    request.set_partition(cluster::PartitionOf(zone, id, kPartitions));
    return request;
  }
  static wire::DataRequest ForRegistry() {
    wire::DataRequest request;
    request.set_zone(ZoneId().str());
    request.set_partition(cluster::RegistryPartition(kPartitions));
    return request;
  }

  MemoryStore store;
  FailingReads reads{store};
  std::unique_ptr<NodeCore> core;
  Instant now{std::chrono::seconds(1)};
  std::optional<std::string> stopped, retired;
  std::vector<std::string> errors;      // told to the log
  std::vector<wire::Forget> forgotten;  // what the router was told
  std::vector<JoinTokenAnswer> token_answers;

 private:
  static inline const NodeId kSelf = NodeId::Must("node-one-16bytes");

  void Start() {
    NodeCoreConfig config;
    config.boot = Boot(boot_);
    config.self.set_id(kSelf.str());
    config.self.set_name("node-1");
    config.self.set_address("node-1:7701");
    config.self.set_role(coffer::v1::MEMBER_ROLE_STORAGE);
    config.self.set_boot(boot_);
    config.self.set_weight(100);
    config.default_zone = default_zone_;
    stopped.reset();
    retired.reset();
    next_ticket_ = 1;
    core = std::make_unique<NodeCore>(config, durable_, std::vector<wire::MemberFacts>{}, reads, 1, now);
    Carry(core->Tick(now));
    if (!core->layout()) {
      cluster::Settings settings;
      settings.partitions = kPartitions;
      ClusterId cluster;
      cluster.bytes.fill(7);
      Carry(core->Form(now, cluster, "solo", settings));
    }
    Carry(core->LinkUp(now, kRouter, /*has_folder=*/false));
    PeerMessage news;  // who the router is
    auto* router = news.header.mutable_push_pull()->add_updates();
    router->mutable_facts()->set_id(kRouter.str());
    router->mutable_facts()->set_name("router-1");
    router->mutable_facts()->set_address("router-1:7701");
    router->mutable_facts()->set_role(coffer::v1::MEMBER_ROLE_ROUTER);
    router->set_incarnation(1);
    router->set_state(1);
    Carry(core->Receive(now, kRouter, std::move(news)));
    Run(std::chrono::seconds(1));
  }

  void Carry(NodeCore::Output output) {
    for (auto& persist : output.persist) {
      if (auto* batch = std::get_if<StoreBatch>(&persist.what)) {
        store.Write(std::move(*batch), nullptr);
        store.CompleteWrites();
      } else {
        durable_ = std::move(std::get<NodeDurable>(persist.what));
      }
    }
    for (const Outgoing& o : output.send) {
      if (o.to == kRouter && o.message.header.has_forget()) forgotten.push_back(o.message.header.forget());
      if (o.message.header.has_data_response()) answers_[o.message.header.data_response().call()] = o.message.header.data_response();
    }
    for (const NodeEvent& event : output.events) {
      if (event.level == NodeEvent::Level::kError) errors.push_back(event.text);
    }
    for (JoinTokenAnswer& answer : output.token_answers) token_answers.push_back(std::move(answer));
    if (output.stop) stopped = output.stop;
    if (output.retire) retired = output.retire;
    for (std::size_t i = 0; i < output.persist.size(); ++i) Carry(core->Persisted(now, next_ticket_++));
    for (ReadTask& task : output.reads) Carry(core->ReadDone(now, RunRead(reads, std::move(task))));
  }

  const bool default_zone_;
  NodeDurable durable_;
  std::uint64_t boot_ = 1;
  std::uint64_t next_ticket_ = 1;
  std::uint64_t call_ = 0;
  std::map<std::uint64_t, wire::DataResponse> answers_;
};

}  // namespace coffer::node
