// The machines of a node core and the routing between them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cluster/agreement.h"
#include "cluster/membership.h"
#include "node/core/context.h"
#include "node/core/copy_check.h"
#include "node/core/default_zone.h"
#include "node/core/follower.h"
#include "node/core/introductions.h"
#include "cluster/load_meter.h"
#include "node/core/learner.h"
#include "node/core/planning.h"
#include "node/core/primary.h"
#include "node/core/reads.h"
#include "node/core/repair.h"
#include "node/core/resync_source.h"
#include "node/core/survivor_merge.h"
#include "node/core/token_desk.h"
#include "node/core/writes.h"
#include "node/core/zone_deletion.h"

namespace coffer::node {

struct NodeCore::State {
  State(NodeCoreConfig config, NodeDurable recovered, std::vector<wire::MemberFacts> remembered, const StoreReader& store,
        std::uint64_t seed, Instant now);

  // Runs one input, starts what gathered meanwhile, and returns the output.
  Output Step(Instant now, const std::function<void()>& input);

  void Tick();
  void Receive(const NodeId& from, PeerMessage message);
  // Both sides know each other's data folder: the link counts.
  void LinkUp(const NodeId& peer);
  void LinkDown(const NodeId& peer, bool refused);
  void DialFailed(const std::string& address, bool refused);
  void Persisted(std::uint64_t ticket);
  void ReadDone(ReadResult result);
  void SetHealth(const StoreHealth& health);
  void Mend(PartitionId partition, const RecordKey& key);
  void Form(const ClusterId& cluster, const std::string& cluster_name, const cluster::Settings& settings);
  void Leave();
  bool Left() const;
  Instant NextDeadline() const;
  wire::NodeReport Report(Instant now) const;
  std::string NameOf(const NodeId& id) const;

  // Why a request is not let in: too much waits. Nothing: there is room.
  std::optional<google::rpc::Status> WhyNoRoom(const wire::DataRequest& request, const std::vector<Payload>& bodies) const;
  void VisitQueues(const QueueVisitor& visit) const;

  // Routing of one kind of message each.
  void ReceiveData(const NodeId& from, wire::DataRequest request, std::vector<Payload> bodies);
  void ReceiveFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies);
  void Execute(cluster::Membership::Output output);
  void Execute(cluster::Agreement::Output output);
  // The layout is durable: authority under older terms ends, new terms begin.
  void MakeEffective(std::shared_ptr<const cluster::Layout> layout);
  void ChangeTerm(PartitionId partition, const cluster::Group* before, const cluster::Group& after);
  void RecoverReplicas();
  void RefreshFacts(bool urgent);
  void FillScrub(coffer::v1::MemberStatus* self) const;
  void SightEpochs();
  void AskToDiscard();

  Context ctx;
  cluster::Membership membership;
  cluster::Agreement agreement;
  Introductions introductions;
  Planning planning;
  TokenDesk tokens;
  Primaries primaries;
  Followers followers;
  LearnerResync learner;
  SurvivorMerge merges;
  ResyncSource source;
  Reads reads;
  Writes writes;
  ZoneDeletion zones;
  DefaultZone default_zone;
  Repairs repairs;
  CopyCheck copies;

  const Instant started;
  bool leaving = false;
  bool registry_active = false;
  Instant next_facts{};
  Instant next_discard{};
  Instant settled_since = kNever;  // all groups at their goal and everybody alive since then
  cluster::LoadMeter load;
  std::optional<coffer::v1::ScrubStatus> scrub;  // as last told by the shell
};

}  // namespace coffer::node
