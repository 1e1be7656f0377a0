#include "node/core/node_state.h"

#include <algorithm>

#include "cluster/layout_changes.h"
#include "cluster/placement.h"
#include "node/core/refusal.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

using cluster::Group;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFactsInterval = milliseconds(500);
constexpr Duration kDiscardInterval = seconds(10);
// How long everything must have been at rest before a node asks to discard what it no longer needs: its old data is worth
// most to a member that comes back.
constexpr Duration kSettled = seconds(30);
// R9: a node whose disk has not answered for this long does not answer probes.
constexpr Duration kDiskSilence = seconds(10);
constexpr std::size_t kPartitionsPerDiscard = 512;

// What only who was asked by us sends: both ways between us are open.
bool IsAnswer(wire::Peer::KindCase kind) {
  using K = wire::Peer::KindCase;
  return kind == K::kPingAck || kind == K::kContactAnswer || kind == K::kReplicateAck || kind == K::kCommitMarksAck ||
         kind == K::kConfirmAnswer;
}

// Before the disk was first asked: not as one whose version does not know of slow disks (L11.5).
wire::MemberFacts FirstFacts(wire::MemberFacts self) {
  self.set_disk_pace(wire::DISK_PACE_USUAL);
  return self;
}

Incarnation FirstIncarnation(Boot boot) { return Incarnation(boot.value << 20); }

}  // namespace

NodeCore::State::State(NodeCoreConfig config, NodeDurable recovered, std::vector<wire::MemberFacts> remembered,
                       const StoreReader& store, std::uint64_t seed, Instant now)
    : ctx(std::move(config), store, seed),
      membership(ctx.config.membership, FirstFacts(ctx.config.self), FirstIncarnation(ctx.config.boot), seed ^ 1, now),
      agreement(ctx.self, ctx.config.boot, recovered.agreement, seed ^ 2),
      introductions(ctx, {.cleared = [this] { if (auto layout = agreement.layout()) MakeEffective(layout); },
                          .established = [this](const NodeId& peer) { LinkUp(peer); },
                          .name_of = [this](const NodeId& id) { return NameOf(id); }}),
      planning(ctx, agreement, [this](cluster::Agreement::Output o) { Execute(std::move(o)); }),
      tokens(ctx, planning),
      primaries(ctx, {.request_change = [this](const wire::ChangeRequest& r) { planning.Request(r); },
                      .committed = [this](PartitionId p, Seq committed) { reads.OnCommitted(p, committed); },
                      .written = [this](PartitionId p) { followers.OnWritten(p); },
                      .ended = [this](PartitionId p) { reads.OnEnded(p); },
                      .repair = [this](PartitionId p, const RecordKey& key) { repairs.Start(p, key); }}),
      followers(ctx, {.newer_layout = [this](const NodeId& peer, Epoch e) { Execute(agreement.PeerEpoch(ctx.now, peer, e)); },
                      .learner_role = [this](const NodeId& p, const wire::LearnerRole& r) { learner.OnRole(p, r); },
                      .durable = [this](PartitionId p) { primaries.OnLocalDurable(p); },
                      .advanced = [this](PartitionId p) { learner.OnAdvanced(p); }}),
      learner(ctx, [this](PartitionId p, std::uint64_t choice) { return followers.LearnsFor(p, choice); }),
      merges(ctx, [this](const wire::ChangeRequest& r) { planning.Request(r); },
             [this](PartitionId p) { primaries.OnLocalDurable(p); followers.OnWritten(p); }),
      source(ctx, primaries, [this](PartitionId p, const RecordKey& key) { repairs.Start(p, key); }),
      reads(ctx, primaries, [this](PartitionId p) { return followers.LastHeard(p); }),
      writes(ctx, primaries, reads,
             {.repair = [this](PartitionId p, const RecordKey& key) { repairs.Start(p, key); },
              .lost = [this](PartitionId p, const RecordKey& key) { return repairs.Lost(p, key); },
              .restored = [this](PartitionId p, const RecordKey& key) { repairs.Restored(p, key); },
              .zone_marked = [this] { zones.OnMarkOrdered(); },
              .zone_deleted = [this](const wire::ZoneRecord& zone, const Waiter& waiter) { zones.Begin(zone, waiter); }}),
      zones(ctx, [this](wire::DataRequest request) { ReceiveData(ctx.self, std::move(request), {}); },
            [this](const wire::ZoneRecord& zone, Waiter waiter, std::function<void()> done) {
              writes.PurgeZone(zone, waiter, std::move(done));
            },
            [this](PartitionId p, const RecordKey& key) { repairs.Start(p, key); }),
      default_zone(ctx, [this](wire::DataRequest request) { ReceiveData(ctx.self, std::move(request), {}); }),
      repairs(ctx, [this](ReadTask task) { reads.Emit(std::move(task)); }, [this](PartitionId p) { reads.GaveUp(p); }),
      copies(ctx, [this](ReadTask task) { reads.Emit(std::move(task)); }),
      started(now),
      load(now) {
  ctx.started = ctx.now = now;
  ctx.membership = &membership;
  ctx.durable = std::move(recovered);
  if (Planted(Bug::kAddForgottenAtRestart)) ctx.durable.adds.clear();
  RecoverReplicas();
  if (!remembered.empty()) Execute(membership.Remember(now, remembered));
  // A shell without a data folder (a test's) brings no lineage.
  if (ctx.durable.lineage.empty()) ctx.durable.lineage.push_back({ctx.config.boot, {}, 0});
  std::set<NodeId> judges;
  if (auto layout = agreement.layout()) {
    for (const auto& member : layout->members) judges.insert(member.id);
  }
  judges.erase(ctx.self);
  introductions.Start(std::move(judges));
}

void NodeCore::State::RecoverReplicas() {
  auto note = [this](ReadOutcome outcome, const std::string& what) {
    if (outcome == ReadOutcome::kFound) return;
    if (outcome == ReadOutcome::kFailed) {
      return ctx.FailStop("the disk answered with an error while " + what + " was read; stopping. Nothing was changed. Look at the "
                          "kernel's log and at the disk, then start again.");
    }
    ctx.Retire(what + " does not verify: what this copy promised is not known any more. The other copies are safe; the node starts under "
               "a new id and fills itself from them.");
  };
  note(ctx.store.ReadMetas([&](PartitionId p, const PartitionMeta& meta) {
    auto& replica = ctx.replicas[p] = std::make_unique<PartitionReplica>(p, ctx.store, meta, ctx.config.log_keep);
    note(replica->tail(), "the end of the log of partition " + std::to_string(p));
  }), "the list of partitions");
}

std::string NodeCore::State::NameOf(const NodeId& id) const {
  const auto layout = agreement.layout();
  const auto index = layout ? layout->IndexOf(id) : cluster::kNoMember;
  return index == cluster::kNoMember ? Short(id) : layout->members[index].name;
}

NodeCore::Output NodeCore::State::Step(Instant now, const std::function<void()>& input) {
  ctx.now = now;
  input();
  reads.Flush();
  // Messages to ourselves (a zone deletion's own requests) never leave.
  std::vector<Outgoing> own;
  std::erase_if(ctx.out.send, [&](Outgoing& o) {
    if (o.to != ctx.self) return false;
    own.push_back(std::move(o));
    return true;
  });
  for (Outgoing& o : own) {
    if (o.message.header.has_data_response()) zones.OnResponse(o.message.header.data_response());
    if (o.message.header.has_layout_change_response()) tokens.OnAnswer(ctx.self, o.message.header.layout_change_response());
  }
  return std::exchange(ctx.out, {});
}

void NodeCore::State::Execute(cluster::Membership::Output output) {
  for (Outgoing& o : output.send) ctx.out.send.push_back(std::move(o));
  for (std::string& address : output.dial) ctx.out.dial.push_back(std::move(address));
  for (const auto& d : output.duplicates) {
    ctx.Event(NodeEvent::Level::kError, "two processes run with the id " + Short(d.id) + ": a data folder was copied or restored. "
                                        "Start the copy with an empty folder.");
  }
  bool changed = false;
  for (const auto& change : output.changes) {
    if (!change.state_changed && !change.restarted) continue;
    changed = true;
    const bool gone = change.state == cluster::Liveness::kDead || change.state == cluster::Liveness::kLeft;
    if (gone) ctx.reach.Forget(change.id);
    const auto view = membership.view();
    const auto it = view->find(change.id);
    const std::string name = it == view->end() ? Short(change.id) : it->second.facts.name();
    switch (change.state) {
      case cluster::Liveness::kAlive: ctx.Info(name + " is up"); break;
      case cluster::Liveness::kSuspect: ctx.Warn(name + " does not answer"); break;
      case cluster::Liveness::kDead: ctx.Warn(name + " is down"); break;
      case cluster::Liveness::kLeft: ctx.Info(name + " left"); break;
    }
  }
  if (!changed) return;
  planning.OnMembershipChange();
  if (!ctx.layout) return;
  for (PartitionId p = 0; p < ctx.layout->partition_count(); ++p) {
    if (ctx.IsPrimary(p)) primaries.Review(p);
  }
}

void NodeCore::State::Execute(cluster::Agreement::Output output) {
  for (Outgoing& o : output.now) ctx.out.send.push_back(std::move(o));
  if (output.persist) {
    if (Planted(Bug::kAdoptionNotDurable) && output.adopted && !ctx.durable.agreement.layout.empty()) {
      const std::string kept = ctx.durable.agreement.layout;
      ctx.durable.agreement = agreement.state();
      ctx.durable.agreement.layout = kept;
    } else {
      ctx.durable.agreement = agreement.state();
    }
    ctx.PersistDurable([this, after = std::move(output.after_persist), adopted = output.adopted]() mutable {
      for (Outgoing& o : after) ctx.out.send.push_back(std::move(o));
      if (adopted) MakeEffective(adopted);
      Execute(agreement.Persisted(ctx.now));
    });
  } else if (output.adopted) {
    MakeEffective(output.adopted);
  }
  if (Planted(Bug::kRemovalBeforeDecided) && output.persist && ctx.layout) {
    for (PartitionId p = 0; p < ctx.layout->partition_count(); ++p) {
      if (!ctx.IsPrimary(p)) continue;
      primaries.EndTerm(p, true);
      primaries.StartTerm(p);
    }
  }
  if (output.proposal_ended) planning.OnProposalEnded(*output.proposal_ended, output.why);
}

void NodeCore::State::MakeEffective(std::shared_ptr<const cluster::Layout> layout) {
  if (ctx.layout && layout->epoch <= ctx.layout->epoch) return;
  const auto before = std::exchange(ctx.layout, std::move(layout));
  ctx.self_index = ctx.layout->IndexOf(ctx.self);
  std::erase_if(ctx.durable.adds, [&](const cluster::ProposedAdd& add) {
    return add.partition >= ctx.layout->partition_count() || ctx.group(add.partition).term != add.term || Planted(Bug::kAddClearedByOtherEpoch);
  });
  if (!ctx.durable.adds.empty()) RULE("R1.3 add kept");
  if (const auto forced = ctx.layout->RetiredAt(ctx.self)) ctx.Retire(cluster::WhyRetired(*forced));
  introductions.OnLayout();
  ctx.reach.Keep([this](const NodeId& id) { return ctx.layout->IndexOf(id) != cluster::kNoMember; });
  if (ctx.layout->plan) learner.tally().OnPlan(ctx.layout->plan->id);
  const bool settings = !before || before->settings != ctx.layout->settings;
  for (PartitionId p = 0; p < ctx.layout->partition_count(); ++p) {
    const Group& after = ctx.group(p);
    if (!before || before->group(p).term != after.term) {
      RULE("R1.3 state cleared");
      ChangeTerm(p, before ? &before->group(p) : nullptr, after);
    } else if (Planted(Bug::kAddClearedByOtherEpoch) && ctx.IsPrimary(p)) {
      primaries.EndTerm(p, true);
      primaries.StartTerm(p);
    } else if (after.primary == ctx.self_index && ctx.self_index != cluster::kNoMember && (settings || before->group(p).goal != after.goal)) {
      primaries.Review(p);
    }
  }
  followers.OnLayout();
  registry_active = false;
  planning.OnLayout();
  RefreshFacts(/*urgent=*/true);
  settled_since = kNever;
  ctx.Info("layout epoch " + std::to_string(ctx.layout->epoch.value) + ": " +
           (before ? cluster::WhatChanged(*before, *ctx.layout) : "the first one here"));
}

void NodeCore::State::ChangeTerm(PartitionId partition, const Group*, const Group& after) {
  const bool own = ctx.self_index != cluster::kNoMember && after.primary == ctx.self_index;
  const bool lead = own && after.survivors.empty();
  ctx.tails.Drop(partition);
  primaries.EndTerm(partition, lead);
  followers.EndTerm(partition);
  learner.EndTerm(partition);
  merges.EndTerm(partition);
  if (lead) primaries.StartTerm(partition);
  if (!own || lead) return;
  RULE("L10.1 not served");
  merges.StartTerm(partition);
}

void NodeCore::State::Receive(const NodeId& from, PeerMessage message) {
  using K = wire::Peer::KindCase;
  wire::Peer& m = message.header;
  if (!introductions.Admits(from, m.kind_case())) {
    RULE("R8.2");
    ++ctx.counters.dropped;
    return;
  }
  if (IsAnswer(m.kind_case())) ctx.reach.Answered(ctx.now, from);
  switch (m.kind_case()) {
    case K::kPing: case K::kPingAck: case K::kPingRequest: case K::kPingNack: case K::kPushPull:
      return Execute(membership.Receive(ctx.now, from, m));
    case K::kIntroduction: return introductions.OnIntroduction(from, m.introduction());
    case K::kIntroductionAnswer: return introductions.OnAnswer(from, m.introduction_answer());
    case K::kPrepare: case K::kPromise: case K::kAccept: case K::kAccepted: case K::kLayoutPush: case K::kLayoutPull:
      return Execute(agreement.Receive(ctx.now, from, m));
    case K::kChangeRequests: return planning.OnChangeRequests(from, m.change_requests());
    case K::kContact: return followers.OnContact(from, m.contact());
    case K::kContactAnswer: return primaries.OnContactAnswer(from, m.contact_answer());
    case K::kReplicate: return followers.OnReplicate(from, std::move(*m.mutable_replicate()), std::move(message.bodies));
    case K::kReplicateAck: return primaries.OnAck(from, m.replicate_ack());
    case K::kCommitMarks: return followers.OnCommitMarks(from, m.commit_marks());
    case K::kCommitMarksAck: return primaries.OnMarksAck(from, m.commit_marks_ack());
    case K::kFenced: return Execute(agreement.PeerEpoch(ctx.now, from, Epoch(m.fenced().epoch())));
    case K::kConfirm: return followers.OnConfirm(from, m.confirm());
    case K::kConfirmAnswer: return reads.OnConfirmAnswer(from, m.confirm_answer());
    case K::kLearnerRole: return followers.OnLearnerRole(from, m.learner_role());
    case K::kHistoryDone: return primaries.OnHistoryDone(from, m.history_done());
    case K::kDiscard: return followers.OnDiscard(from, m.discard());
    case K::kDiscardRequest: return primaries.OnDiscardRequest(from, m.discard_request());
    case K::kRangesRequest: return source.OnRangesRequest(from, m.ranges_request());
    case K::kRanges: return learner.OnRanges(from, std::move(*m.mutable_ranges()));
    case K::kListRequest: return source.OnListRequest(from, m.list_request());
    case K::kListing:
      if (merges.Merges(m.listing().partition())) return merges.OnListing(from, m.listing());
      return learner.OnListing(from, std::move(*m.mutable_listing()));
    case K::kFetchRequest: return source.OnFetchRequest(from, std::move(*m.mutable_fetch_request()));
    case K::kFetched: return ReceiveFetched(from, m.fetched(), message.bodies);
    case K::kCopyDigestRequest: return copies.OnRequest(from, m.copy_digest_request());
    case K::kCopyDigest: return copies.OnDigest(from, m.copy_digest());
    case K::kDataRequest: return ReceiveData(from, std::move(*m.mutable_data_request()), std::move(message.bodies));
    case K::kDataResponse: return zones.OnResponse(m.data_response());
    case K::kLayoutChangeRequest: return planning.OnLayoutChange(from, m.layout_change_request());
    case K::kLayoutChangeResponse: return tokens.OnAnswer(from, m.layout_change_response());
    case K::kNodeReportRequest: {
      wire::Peer answer;
      *answer.mutable_node_report() = Report(ctx.now);
      answer.mutable_node_report()->set_call(m.node_report_request().call());
      return ctx.Send(from, std::move(answer));
    }
    case K::kNodeReport: case K::kForget: case K::KIND_NOT_SET:
      ++ctx.counters.dropped;
      return;
  }
  ++ctx.counters.dropped;
}

void NodeCore::State::ReceiveFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies) {
  if (repairs.Owns(fetched)) return repairs.OnFetched(from, fetched, bodies);
  if (merges.Merges(fetched.partition())) return merges.OnFetched(from, fetched, bodies);
  learner.OnFetched(from, fetched, bodies);
}

void NodeCore::State::ReceiveData(const NodeId& from, wire::DataRequest request, std::vector<Payload> bodies) {
  const Waiter waiter{from, request.call(), ctx.now + milliseconds(request.deadline_ms())};
  if (!ctx.layout) {
    return AnswerRefusal(ctx, waiter, Refuse(Code::kUnavailable, "NO_LAYOUT", "this node belongs to no cluster yet", milliseconds(200)));
  }
  if (request.partition() >= ctx.layout->partition_count() || request.zone().size() != ZoneId::kSize) {
    ++ctx.counters.dropped;
    return AnswerRefusal(ctx, waiter, Refuse(Code::kInvalidArgument, "BAD_REQUEST", "no such partition, or a zone id that is not 16 bytes long"));
  }
  if (auto refusal = WhyNoRoom(request, bodies)) return AnswerRefusal(ctx, waiter, std::move(*refusal));
  if (Writes::Takes(request)) return writes.Handle(from, std::move(request), std::move(bodies));
  reads.Handle(from, std::move(request));
}

void NodeCore::State::LinkUp(const NodeId& peer) {
  ctx.linked.insert(peer);
  ctx.reach.LinkUp(ctx.now, peer);
  Execute(membership.LinkUp(ctx.now, peer));
  primaries.OnLinkUp(peer);
  planning.OnMembershipChange();
}

void NodeCore::State::DialFailed(const std::string& address, bool refused) {
  Execute(membership.DialFailed(ctx.now, address, refused));
}

void NodeCore::State::LinkDown(const NodeId& peer, bool refused) {
  introductions.OnLinkDown(peer);
  ctx.linked.erase(peer);
  primaries.OnLinkDown(peer);
  learner.OnLinkDown(peer);
  tokens.OnLinkDown(peer);
  Execute(membership.LinkDown(ctx.now, peer, refused));
}

void NodeCore::State::Persisted(std::uint64_t ticket) {
  if (ticket != ctx.next_done || ctx.continuations.empty()) return ctx.FailStop("persists were reported out of order; this is a defect, please report it");
  ++ctx.next_done;
  auto then = std::move(ctx.continuations.front());
  ctx.continuations.pop_front();
  then();
}

void NodeCore::State::ReadDone(ReadResult result) {
  if (result.task.request.has_copy_digest_request()) return copies.OnReadDone(std::move(result));
  load.Answered(ctx.now, ctx.now - result.task.asked);
  if (reads.ReadAnew(result)) return;
  if (!result.damaged.empty()) return repairs.OnDamagedRead(std::move(result));
  if (result.answer.header.has_fetched()) source.OnFetchDone(&result);
  reads.OnReadDone(std::move(result));
}

void NodeCore::State::SetHealth(const StoreHealth& health) {
  const bool changed = health.full != ctx.health.full || health.failed != ctx.health.failed;
  const bool pace_changed = health.slow != ctx.health.slow;
  ctx.health = health;
  membership.SetAnswering(!health.failed && health.since_last_sync < kDiskSilence);
  if (health.failed) ctx.FailStop(health.failure);
  if (pace_changed && health.slow) {
    RULE("L11.1");
    ctx.Warn("the disk takes long to sync: other members that are up to date are to lead this node's partitions");
  } else if (pace_changed) {
    ctx.Info("the disk syncs as it should again: this node is to lead its partitions again");
  }
  if (changed) {
    if (health.full) ctx.Warn("the disk is full up to its reserve: writes are refused, reads and deletes go on");
    else if (!health.failed) ctx.Info("there is room on the disk again: writes are taken");
  }
  if (changed || pace_changed) RefreshFacts(/*urgent=*/true);
}

// What scrub found may be deleted by now, and what this node no longer owes anybody is not worth fetching.
void NodeCore::State::Mend(PartitionId partition, const RecordKey& key) {
  if (!ctx.layout || partition >= ctx.layout->partition_count() || !ctx.group(partition).InSync(ctx.self_index)) return;
  RecordHeader header;
  if (ctx.Replica(partition).Find(key, &header) != ReadOutcome::kAbsent) repairs.Start(partition, key);
}

void NodeCore::State::Form(const ClusterId& cluster, const std::string& cluster_name, const cluster::Settings& settings) {
  if (ctx.layout || agreement.layout()) return;
  cluster::PlannerMember self = planning.Members()[ctx.self];
  const auto first = cluster::FirstLayout(cluster, cluster_name, self, settings);
  Execute(agreement.Adopt(ctx.now, cluster::Encode(first)));
}

void NodeCore::State::Leave() {
  if (leaving) return;
  leaving = true;
  Execute(membership.Leave(ctx.now));
}

bool NodeCore::State::Left() const {
  if (!ctx.layout || ctx.self_index == cluster::kNoMember) return true;
  // Whoever leaves too, or is gone, takes nothing over.
  std::vector<bool> stays;
  for (const auto& member : ctx.layout->members) stays.push_back(ctx.linked.contains(member.id) && membership.IsAlive(member.id));
  return std::none_of(ctx.layout->partitions.begin(), ctx.layout->partitions.end(), [&](const Group& g) {
    return g.primary == ctx.self_index && std::any_of(g.in_sync.begin(), g.in_sync.end(), [&](auto m) { return stays[m]; });
  });
}

void NodeCore::State::Tick() {
  introductions.Tick();
  Execute(membership.Tick(ctx.now));
  Execute(agreement.Tick(ctx.now));
  if (ctx.now >= next_facts) {
    RefreshFacts(/*urgent=*/false);
    SightEpochs();
    load.Sample(ctx.now, ctx.counters.reads, ctx.counters.writes);
    next_facts = ctx.now + kFactsInterval;
  }
  tokens.Tick();
  if (!ctx.layout) return;
  primaries.Tick();
  followers.Tick();
  reads.Tick();
  learner.Tick();
  merges.Tick();
  repairs.Tick();
  copies.Tick();
  const PartitionId registry = cluster::RegistryPartition(ctx.layout->partition_count());
  if (!registry_active && primaries.Active(registry)) {
    registry_active = true;
    zones.OnRegistryActive();
    default_zone.OnRegistryActive();
  } else if (!ctx.IsPrimary(registry)) {
    zones.OnRegistryEnded();
    default_zone.OnRegistryEnded();
  }
  zones.Tick();
  default_zone.Tick();
  if (!leaving) planning.Tick();
  if (ctx.now >= next_discard) {
    next_discard = ctx.now + kDiscardInterval;
    AskToDiscard();
  }
}

Instant NodeCore::State::NextDeadline() const {
  return std::min({introductions.NextDeadline(), membership.NextDeadline(), agreement.NextDeadline(), next_facts, primaries.NextDeadline(), followers.NextDeadline(), reads.NextDeadline(),
                   learner.NextDeadline(), merges.NextDeadline(), repairs.NextDeadline(), copies.NextDeadline(), zones.NextDeadline(),
                   default_zone.NextDeadline(), planning.NextDeadline(), tokens.NextDeadline()});
}

void NodeCore::State::SightEpochs() {
  const auto view = membership.view();
  for (const auto& [id, member] : *view) {
    if (id == ctx.self || member.state != cluster::Liveness::kAlive || !ctx.linked.contains(id)) continue;
    Execute(agreement.PeerEpoch(ctx.now, id, Epoch(member.facts.epoch())));
  }
}

void NodeCore::State::AskToDiscard() {
  if (ctx.self_index == cluster::kNoMember) return;
  const auto& layout = *ctx.layout;
  const bool at_rest = std::all_of(layout.partitions.begin(), layout.partitions.end(), [](const Group& g) { return g.HoldsGoal(); }) &&
                       std::all_of(layout.members.begin(), layout.members.end(), [&](const cluster::Member& m) { return ctx.Alive(m.id); });
  if (Planted(Bug::kDiscardUnasked)) {
    for (const auto& [partition, replica] : ctx.replicas) {
      const Group& group = ctx.group(partition);
      if (group.InSync(ctx.self_index) || group.InGoal(ctx.self_index) || followers.Learning(partition)) continue;
      StoreBatch batch;
      batch.changes.push_back(StoreBatch::ErasePartition{partition});
      ctx.Persist(std::move(batch), [] {});
    }
  }
  if (!at_rest) {
    settled_since = kNever;
    return;
  }
  if (settled_since == kNever) settled_since = ctx.now;
  if (ctx.now - settled_since < kSettled) return;
  std::map<NodeId, wire::DiscardRequest> asks;
  std::size_t count = 0;
  for (const auto& [partition, replica] : ctx.replicas) {
    const Group& group = ctx.group(partition);
    if (group.InSync(ctx.self_index) || group.InGoal(ctx.self_index)) continue;
    auto* asked = asks[ctx.IdOf(group.primary)].add_partitions();
    asked->set_partition(partition);
    asked->set_term(group.term.value);
    if (++count == kPartitionsPerDiscard) break;
  }
  for (auto& [primary, ask] : asks) {
    wire::Peer message;
    *message.mutable_discard_request() = std::move(ask);
    ctx.Send(primary, std::move(message));
  }
}

}  // namespace coffer::node
