// A storage node's whole decision-making, as one machine that is fed: membership, agreement, planning, replication of every
// partition, resync, repair. It routes between them; each is a machine of its own with its own tests.
//
// It has no I/O but look-ups on a StoreReader, no clock, no thread and no hidden randomness. The shell (node/) and the
// simulator (tests/sim) drive the same code.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster/agreement.h"
#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/lineage.h"
#include "cluster/membership.h"
#include "cluster/message.h"
#include "cluster/planner.h"
#include "cluster/queue_fill.h"
#include "google/rpc/status.pb.h"
#include "node/agreement_slot.h"
#include "node/core/read_task.h"
#include "node/store.h"

namespace coffer::node {

struct NodeCoreConfig {
  wire::MemberFacts self;  // id, name, address, role, weight, failure domain, certificate name, version, boot
  Boot boot;
  cluster::MembershipConfig membership;
  cluster::PlannerConfig planner;
  Duration planning_interval = std::chrono::milliseconds(50);
  // Changes of the layout that can wait are decided together once no further one has been asked for in this time, at the
  // latest after five times as long. Longer: fewer layouts, each with more in it; second copies count a moment later.
  Duration layout_gather = std::chrono::milliseconds(200);
  // How long something may wait for a member that does not answer us, though others reach it, before we ask for its removal from the
  // groups that we lead. Shorter: writes wait less where two members do not see each other; a hiccup costs a resync sooner.
  Duration cut_off_after = std::chrono::seconds(3);
  // How long it must answer again before it is given copies; up to four times as long if that happens again and again.
  Duration cut_off_hold = std::chrono::seconds(5);
  std::uint64_t resync_bytes_per_second = 256u << 20;  // receiving rate cap of this node; the layout's setting lowers it
  int resync_partitions_at_once = 64;
  std::size_t max_waiting_per_partition = 4096;        // requests; beyond: RESOURCE_EXHAUSTED with retry info
  std::uint64_t max_waiting_bytes = 256u << 20;        // bodies held for unfinished requests
  bool default_zone = false;                           // make the zone "default" once the registry can be written
  std::uint64_t chain_tail_bytes = 4u << 20;           // ends of chains kept in memory for those who read them again
  std::uint64_t log_keep = 64;                         // committed writes kept in a partition's log
};

// A write that was cut off; goes to the quarantine file.
struct QuarantinedWrite {
  PartitionId partition = 0;
  wire::Write write;
  std::vector<Payload> bodies;
};

// A line for the log, with the words an operator knows.
struct NodeEvent {
  enum class Level { kDebug, kInfo, kWarning, kError };
  Level level = Level::kInfo;
  std::string text;
};

// What became of a change of the join tokens that the shell asked for.
struct JoinTokenAnswer {
  std::uint64_t ask = 0;
  google::rpc::Status status;  // code 0: decided
};

class NodeCore {
 public:
  // `store` must outlive the core; it is only read, on the caller's thread.
  NodeCore(NodeCoreConfig config, NodeDurable recovered, std::vector<wire::MemberFacts> remembered, const StoreReader& store,
           std::uint64_t seed, Instant now);
  ~NodeCore();

  // What the shell must do, in this order: `persist` in order (each answered by Persisted, in order), the rest at once.
  struct Output {
    struct Persist {
      std::uint64_t ticket = 0;                     // rises by one with every persist
      std::variant<StoreBatch, NodeDurable> what;
    };
    std::vector<Persist> persist;
    std::vector<Outgoing> send;
    std::vector<std::string> dial;                  // addresses to which a link should be tried
    std::vector<ReadTask> reads;                    // run on any thread with RunRead, hand the result to ReadDone
    std::vector<QuarantinedWrite> quarantine;
    std::vector<NodeEvent> events;
    std::vector<JoinTokenAnswer> token_answers;
    std::vector<NodeId> drop_links;                 // peers whose links are to be ended (duplicate or retired ids)
    std::optional<std::string> stop;                // fail-stop: stop the process with this message
    std::optional<std::string> retire;              // as stop, and this identity must never act again (rule R8)
    void Append(Output&& other);
  };

  // Everything due by `now`.
  Output Tick(Instant now);
  // Any message from a linked peer: a member or a router.
  Output Receive(Instant now, const NodeId& from, PeerMessage message);
  // Those that came together: reads among them are confirmed together.
  Output Receive(Instant now, const NodeId& from, std::vector<PeerMessage> messages);
  // `has_folder`: false for a router, which has no data folder and introduces itself to nobody.
  Output LinkUp(Instant now, const NodeId& peer, bool has_folder = true);
  Output LinkDown(Instant now, const NodeId& peer, bool refused);
  // Another process wants to link under the id of a linked peer: a peer that lives will be heard soon after this.
  Output AskPeer(Instant now, const NodeId& peer);
  // Dialling an address ended without a link; refused: nothing listens there.
  Output DialFailed(Instant now, const std::string& address, bool refused);
  // A persist is done. Call in ticket order.
  Output Persisted(Instant now, std::uint64_t ticket);
  // Those reported durable together, in their order: what they lead to leaves together.
  Output Persisted(Instant now, const std::vector<std::uint64_t>& tickets);
  Output ReadDone(Instant now, ReadResult result);
  // The disk's state; call about once a second and at changes.
  Output SetHealth(Instant now, const StoreHealth& health);
  // Scrub, which the shell carries out: a record did not verify; a partition was read to its end, so its copies are compared; how
  // it stands, for reports.
  Output Mend(Instant now, PartitionId partition, const RecordKey& key);
  Output Scrubbed(Instant now, PartitionId partition);
  Output NoteScrub(Instant now, const coffer::v1::ScrubStatus& status);
  // Forms a new cluster with this node as its only member. Only without a layout.
  Output Form(Instant now, const ClusterId& cluster, const std::string& cluster_name, const cluster::Settings& settings);
  // Has the join tokens changed by agreement, through whichever voter answers. Exactly one answer with this number, chosen by the
  // shell, comes in a later output, at the latest after TokenDesk::kPatience.
  Output ChangeJoinTokens(Instant now, std::uint64_t ask, const wire::JoinTokenChange& change);
  // Leaves gracefully: hands primaries over if it can, tells the others. `Drained` says when nothing is left to do.
  Output Leave(Instant now);
  bool Left() const;

  Instant NextDeadline() const;

  // Null before the first layout is effective.
  std::shared_ptr<const cluster::Layout> layout() const;
  std::shared_ptr<const cluster::Membership::View> members() const;
  // Counters for metrics and the node's own report.
  wire::NodeReport Report(Instant now) const;
  // Every queue and buffer, and its bound (I18).
  void VisitQueues(const QueueVisitor& visit) const;
  // Whether the others know our data folder, or did not answer in time: before, no layout takes effect (R8).
  bool Cleared() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::node
