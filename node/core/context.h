// What the machines inside a node core share: the present moment, the effective layout, the replicas, and the output.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/layout.h"
#include "cluster/membership.h"
#include "node/core/chain_tails.h"
#include "node/core/node_core.h"
#include "node/core/partition_map.h"
#include "node/core/reach.h"
#include "node/core/replica.h"

namespace coffer::node {

struct Context {
  Context(NodeCoreConfig c, const StoreReader& s, std::uint64_t seed)
      : config(std::move(c)), store(s), self(NodeId::Must(config.self.id())), random(seed),
        reach(config.cut_off_after, config.cut_off_hold), tails(config.chain_tail_bytes) {}

  const NodeCoreConfig config;
  const StoreReader& store;
  const NodeId self;
  Random random;
  Instant started{};
  Instant now{};
  NodeCore::Output out;                              // of the step under way
  std::shared_ptr<const cluster::Layout> layout;     // effective: adopted and durable; null before the first
  cluster::MemberIndex self_index = cluster::kNoMember;
  cluster::Membership* membership = nullptr;
  std::set<NodeId> linked;
  Reach reach;                                       // which of them answer us
  ChainTails tails;                                  // sees every batch that is persisted
  StoreHealth health;
  NodeDurable durable;                               // what was last handed to a persist
  PartitionMap<std::unique_ptr<PartitionReplica>> replicas;
  std::uint64_t bytes_held = 0;                      // see Hold
  std::uint64_t replicas_made = 0;                   // since those that were recovered

  // The replica of a partition, made empty if this node never held it.
  PartitionReplica& Replica(PartitionId p) {
    auto& slot = replicas[p];
    if (!slot) slot = std::make_unique<PartitionReplica>(p, store, PartitionMeta{}, config.log_keep, ++replicas_made);
    return *slot;
  }

  // Values of a request are held, until the last copy of what is returned is gone.
  std::shared_ptr<const void> Hold(const std::vector<Payload>& bodies) {
    std::uint64_t bytes = 0;
    for (const Payload& body : bodies) bytes += body ? body->size() : 0;
    if (bytes == 0) return nullptr;
    bytes_held += bytes;
    return {this, [bytes](Context* context) { context->bytes_held -= bytes; }};
  }

  const cluster::Group& group(PartitionId p) const { return layout->group(p); }
  const NodeId& IdOf(cluster::MemberIndex m) const { return layout->members[m].id; }
  // Of a partition whose survivors are still to be merged there is none yet.
  bool IsPrimary(PartitionId p) const { return layout && group(p).primary == self_index && group(p).survivors.empty(); }
  // Whether this node is its primary in that term: what was asked of another is answered as fenced.
  bool LeadsIn(Term term, PartitionId p) const { return IsPrimary(p) && group(p).term == term; }
  bool Alive(const NodeId& id) const { return id == self || membership->IsAlive(id); }
  // Something of ours waits for an answer of this member.
  void WaitsFor(const NodeId& id) { reach.Waits(now, id, Alive(id)); }
  std::string NameOf(const NodeId& id) const {
    const auto index = layout ? layout->IndexOf(id) : cluster::kNoMember;
    return index == cluster::kNoMember ? Short(id) : layout->members[index].name;
  }

  void Send(const NodeId& to, wire::Peer header, std::vector<Payload> bodies = {}) {
    out.send.push_back({to, {std::move(header), std::move(bodies)}});
  }
  // Makes a batch or the node's own state durable; `then` runs, in order, in the step that reports it done.
  void Persist(std::variant<StoreBatch, NodeDurable> what, std::function<void()> then) {
    ++promises;
    Enqueue(std::move(what), std::move(then));
  }
  void PersistDurable(std::function<void()> then) { Persist(durable, std::move(then)); }
  // As PersistDurable, for what only notes what others said: no promise that a copy of the data folder could lack.
  void PersistQuietly(std::function<void()> then) { Enqueue(durable, std::move(then)); }
  void Event(NodeEvent::Level level, std::string text) { out.events.push_back({level, std::move(text)}); }
  void Info(std::string text) { Event(NodeEvent::Level::kInfo, std::move(text)); }
  void Warn(std::string text) { Event(NodeEvent::Level::kWarning, std::move(text)); }
  void FailStop(std::string message) {
    if (!out.stop) out.stop = std::move(message);
  }
  // R11. The next start looks at that end again.
  void FailStopAtTail(PartitionId partition) {
    FailStop("the end of the log of partition " + std::to_string(partition) + " can't be read, or does not verify; stopping. Nothing was "
             "changed. Look at the disk, then start again: if that end does not verify, the node goes on under a new id and fills "
             "itself from the other copies.");
  }
  void Retire(std::string message) {
    if (!out.retire) out.retire = std::move(message);
  }

  void Enqueue(std::variant<StoreBatch, NodeDurable> what, std::function<void()> then) {
    if (const auto* batch = std::get_if<StoreBatch>(&what)) tails.Note(*batch);
    auto& persist = out.persist.emplace_back();  // in two steps: gcc 12 takes the moved variant for uninitialised otherwise
    persist.ticket = next_ticket++;
    persist.what = std::move(what);
    continuations.push_back(std::move(then));
  }
  std::uint64_t promises = 0;  // persists that somebody may rely on
  std::uint64_t next_ticket = 1;
  std::uint64_t next_done = 1;
  std::deque<std::function<void()>> continuations;

  // Counters for the report and the metrics.
  struct Counters {
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
    std::uint64_t fenced = 0;
    std::uint64_t dropped = 0;          // malformed or out-of-place messages
    std::uint64_t bad_blocks = 0;
    std::uint64_t repaired_blocks = 0;
    std::uint64_t quarantined = 0;
  } counters;
};

}  // namespace coffer::node
