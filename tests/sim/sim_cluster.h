// A whole cluster in one thread: the shipping node cores over a simulated network, disk and clock, all from one seed.
//
// Every message goes through its real encoding. A killed node loses what was not synced, as when the power is lost: of the bytes of its
// batches and of the agreement file's slots any sectors may have reached the disk, in any order and torn (sim_crash.cc). So any prefix of the
// batches and any one of the newer states of the agreement file are found again, independently, as in node/core_driver.h.
// It restarts with a raised boot counter and the same id, unless its disk was lost: then with a new one (rule R8).
// Routers are processes like the nodes, linked to every one of them; they keep nothing, and every start is somebody new.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "cluster/random.h"
#include "coffer/v1/stream.pb.h"
#include "node/core/node_core.h"
#include "node/memory_store.h"
#include "node/sync_watch.h"
#include "router/core/router_core.h"

namespace coffer::sim {

// What the network does to messages between living, connected nodes, and to those of clients.
struct NetworkFaults {
  Duration min_delay = std::chrono::microseconds(100);
  Duration max_delay = std::chrono::microseconds(600);
  int lose_per_mille = 0;
  int repeat_per_mille = 0;
  int delay_long_per_mille = 0;  // up to `long_delay` instead: reorders
  Duration long_delay = std::chrono::milliseconds(200);
  int calls_late_per_mille = 0;  // of the calls to routers: they, and what follows on their connection, up to `long_delay` later
  // Of the replication's messages: they come once more, up to `long_delay` later, although their connection is over, even at the next
  // process of the receiver. No connection of ours does that; term and boot are to keep such messages out all the same (R2.2, A10).
  int outlive_per_mille = 0;
};

enum class Fullness {
  kRoom,
  kFull,   // to its reserve: whoever asks for room is refused
  kFloor,  // to the last byte: batches that bring values wait too, and those behind them
};

// What a node's disk does.
struct DiskFaults {
  int slower = 1;            // factor on every sync
  Instant hung_until{};      // no sync ends before
  Fullness full = Fullness::kRoom;  // see SetFull
  bool fail_next = false;    // the next sync fails, if `may_fail`: the process stops, its disk is lost (R8, R11)
};

// The data folder of a node, as a copy holds it.
struct SimFolder {
  NodeId id;
  node::MemoryStore store;
  node::NodeDurable durable;
};

// A disk a hundred times slower than it should be is slow here (L11.1), one ten times slower is not; well again sooner than in a real
// node, because runs are short.
inline node::SyncWatch NewSyncWatch() {
  return node::SyncWatch({.bound = std::chrono::milliseconds(25), .hold = std::chrono::seconds(10), .longest_hold = std::chrono::seconds(20)});
}

// What nodes and routers have in common.
struct SimProcess {
  NodeId id;
  std::string name;
  std::string address;
  std::uint64_t life = 0;                           // raised at every start and kill: events of an earlier life are void
  bool paused = false;
  std::vector<std::function<void()>> deferred;      // what happened to it while paused
  Duration clock_offset{};                          // its clock against the simulation's
  std::int64_t clock_drift_ppm = 0;
  Instant clock_anchor{};
};

struct SimNode : SimProcess {
  std::uint64_t boot = 0;
  std::uint32_t role = 1;
  node::MemoryStore store;
  node::NodeDurable durable;                        // on disk
  std::unique_ptr<node::NodeCore> core;             // null while down
  struct Batch {
    std::uint64_t ticket = 0;
    bool brings_values = false;
  };
  std::deque<Batch> batches;                        // the store's, not durable yet
  std::deque<std::pair<std::uint64_t, node::NodeDurable>> saves;  // newer states of the agreement file, likewise
  std::set<std::uint64_t> durable_tickets;          // durable, not yet reported in order
  std::uint64_t next_ticket = 1;
  bool batch_sync = false;                          // a sync of this stream is under way
  bool save_sync = false;
  DiskFaults disk;
  Instant last_sync{};
  node::SyncWatch syncs = NewSyncWatch();
  std::optional<std::string> stopped;               // fail-stop message
  std::optional<std::string> retired;               // its identity is over: the next start is under a new one, with an empty disk
  bool leaving = false;                             // its process ends in a while
  bool put_back = false;                            // it runs on an old copy of its folder, until somebody refuses it
  bool Lost() const { return retired || put_back; }  // what it held counts for nothing
};

struct SimRouter : SimProcess {
  struct Caller {
    NodeId client;
    std::uint64_t call = 0;  // as the client numbers it
  };
  std::unique_ptr<router::RouterCore> core;         // null while down
  std::map<router::CallId, Caller> callers;         // of the calls under way
  router::CallId next_call = 1;
};

// Processes from this number on are routers.
inline constexpr std::size_t kFirstRouter = 500;

// A client of routers. Its connections carry everything in order, and end with the router's process.
struct PublicClient {
  std::function<void(std::size_t router, v1::Reply reply)> on_reply;
  std::function<void(std::size_t router, std::uint64_t life)> on_lost;  // the connections to this life of the router
};

class SimCluster {
 public:
  SimCluster(std::uint64_t seed, std::uint32_t partitions);

  Instant now() const { return now_; }
  std::uint32_t partitions() const { return partitions_; }
  Random& random() { return random_; }
  NetworkFaults faults;
  std::uint32_t voters_wanted = 3;
  Duration resync_delay = std::chrono::seconds(3);
  std::uint64_t log_keep = 64;  // of every node started from now on
  std::size_t max_waiting = 4096;  // likewise

  // --- Processes -------------------------------------------------------------------------------------------------------

  // Adds a node that is down.
  std::size_t AddNode(std::uint32_t role = 1);
  void Start(std::size_t node);
  void Kill(std::size_t node);
  // Asked to stop, it hands over what it leads; then its process ends (M11).
  void Leave(std::size_t node);
  // What a copy of the data folder holds now: all that is durable. Of a living node, too.
  SimFolder CopyFolder(std::size_t node) const;
  // Replaces the folder of a node that is down.
  void PutFolder(std::size_t node, const SimFolder& folder);
  bool Up(std::size_t process) const { return IsRouter(process) ? router(process).core != nullptr : nodes_[process]->core != nullptr; }
  // Stops and continues a process; what arrives meanwhile waits, links break after some seconds.
  void Pause(std::size_t process);
  void Resume(std::size_t process);
  // Its clock goes on with this drift, `jump` later than it was.
  void SetClock(std::size_t process, Duration jump, std::int64_t drift_ppm);
  // A down node's data folder is empty: it comes back as somebody else (R8).
  void Wipe(std::size_t node);
  void SetFull(std::size_t node, Fullness full);
  // Whether a sync that is to fail may fail now, for its disk is lost then; asked at the end of each of the node's syncs.
  std::function<bool(std::size_t node)> may_fail = [](std::size_t) { return true; };
  std::size_t size() const { return nodes_.size(); }
  SimNode& node(std::size_t i) { return *nodes_[i]; }
  const SimNode& node(std::size_t i) const { return *nodes_[i]; }
  // Nothing for an id that is retired or unknown.
  std::optional<std::size_t> IndexOf(const NodeId& id) const;
  void Form(std::size_t node, std::uint32_t min_copies = 1);

  // --- Routers ---------------------------------------------------------------------------------------------------------

  static bool IsRouter(std::size_t process) { return process >= kFirstRouter; }
  // Adds a router that is down; its number as a process.
  std::size_t AddRouter();
  void StartRouter(std::size_t router);
  void KillRouter(std::size_t router);
  std::size_t routers() const { return routers_.size(); }
  SimRouter& router(std::size_t process) { return *routers_[process - kFirstRouter]; }
  const SimRouter& router(std::size_t process) const { return *routers_[process - kFirstRouter]; }
  SimProcess& process(std::size_t i) { return IsRouter(i) ? static_cast<SimProcess&>(router(i)) : *nodes_[i]; }
  const SimProcess& process(std::size_t i) const { return IsRouter(i) ? static_cast<const SimProcess&>(router(i)) : *nodes_[i]; }
  // Whom a process may be linked to: nodes to everybody, routers to nodes.
  std::vector<std::size_t> PeersOf(std::size_t process) const;
  // A call, or a cancel, from a client to a router, over the client's connection of this number: what is sent over one arrives in order.
  // False: nobody listens there.
  bool Call(const NodeId& client, std::uint64_t connection, std::size_t router, const v1::Call& call);
  std::map<NodeId, PublicClient> public_clients;
  Duration router_patience = std::chrono::seconds(5);  // of every router started from now on: with silence on a link that is up

  // --- Network ---------------------------------------------------------------------------------------------------------

  // Cuts or mends both directions between two nodes.
  void Cut(std::size_t a, std::size_t b, bool cut);
  // One direction: `from` is not heard by `to` any more.
  void CutOneWay(std::size_t from, std::size_t to, bool cut);
  // Extra delay of every message from one node to another.
  void SetDelay(std::size_t from, std::size_t to, Duration extra);
  // What is said of replication is under way until then, and arrives in its order whatever became of the connection and the process.
  void Stall(std::size_t from, std::size_t to, Instant until) { stalled_[{from, to}] = until; }
  // Messages of this kind between nodes are lost until then.
  void Mute(int kind, Instant until) { muted_[kind] = until; }
  // Messages of this kind between nodes arrive then, in their order, and what is sent after them arrives before.
  void Hold(int kind, Instant until) { held_[kind] = until; }
  void Unmute() { muted_.clear(), stalled_.clear(), held_.clear(); }
  // A node sends a message of this kind to a node, or to a client (then both ends are the sender).
  std::function<void(int kind, std::size_t from, std::size_t to)> on_send;
  // A message from a client (which is no member) to a node; answers go to its handler under `clients`.
  void SendAs(const NodeId& client, std::size_t node, PeerMessage message);
  std::map<NodeId, std::function<void(const NodeId& from, PeerMessage)>> clients;
  // A change of the join tokens that somebody asks a node for; `on_token` is told of the answers.
  void ChangeJoinTokens(std::size_t node, std::uint64_t ask, const wire::JoinTokenChange& change);
  std::function<void(std::uint64_t ask, const google::rpc::Status& status)> on_token;

  // --- Time ------------------------------------------------------------------------------------------------------------

  // Runs until `until` holds (looked at after every event) or the time is over; true if it held.
  bool RunUntil(const std::function<bool()>& until, Duration at_most);
  void RunFor(Duration time) {
    RunUntil([] { return false; }, time);
  }
  void At(Duration after, std::function<void()> event);

  // --- What is seen ----------------------------------------------------------------------------------------------------

  // The newest layout any living node has; null before the first.
  std::shared_ptr<const cluster::Layout> Newest() const;
  // Every living node has the newest layout, every group is at its goal.
  bool Settled() const;
  // Every partition is led by a living node that takes writes.
  bool AllWritable() const;
  // Every living node holds every other one to be alive.
  bool AllKnownAlive() const;
  std::string Describe() const;
  // Looked at after every step; the first text is kept and ends RunUntil.
  std::function<std::optional<std::string>()> check;
  // A node's agreement file changed on its disk: (node, before).
  std::function<void(std::size_t, const node::NodeDurable&)> on_durable;
  // What is on its disk may have changed otherwise: batches became durable, or it crashed.
  std::function<void(std::size_t)> on_batches;
  std::function<void(std::size_t)> on_start;
  // A message leaves, to a process or to a client; it may be lost.
  std::function<void(const NodeId& from, const NodeId& to, const PeerMessage&)> on_message;
  // Nobody may act under this id any more: its disk is lost, or it retired.
  std::function<void(const NodeId&)> on_id_over;
  // What was on a node's disk gave way to a copy of its folder.
  std::function<void()> on_folder_put;
  const std::optional<std::string>& violation() const { return violation_; }
  void Violate(std::string what) {
    if (!violation_) violation_ = std::move(what);
  }
  bool timeline = true;  // keep `log`
  bool messages = false; // with every message that arrives and is no gossip, fields of bytes by their first four
  std::vector<std::string> log;
  void Note(const std::string& text);
  std::uint64_t steps() const { return steps_; }
  // Over everything that happened, in order: the same for the same seed (I21).
  std::uint64_t hash() const { return hash_; }
  std::uint64_t lost() const { return lost_; }
  std::uint64_t repeated() const { return repeated_; }
  std::uint64_t delayed() const { return delayed_; }

 private:
  struct Event {
    Instant at;
    std::uint64_t order;
    std::function<void()> run;
  };
  // A connection: made anew after every break, seen up and down by each end in its own time.
  struct Connection {
    bool up = false;
    std::uint64_t generation = 0;
    std::uint64_t seen[2] = {0, 0};  // by the lower, by the higher end: the generation it holds to be up, or 0
    NodeId peer[2];                  // whom it then knows to be there
  };
  static bool Later(const Event& a, const Event& b) { return std::tie(a.at, a.order) > std::tie(b.at, b.order); }
  void Push(Instant at, std::function<void()> event);
  // Runs for the process unless it dies before; waits while it is paused.
  void AtNode(std::size_t process, Instant at, std::function<void()> event);
  Instant NodeNow(const SimProcess& n) const;
  void Mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3ull; }

  void NewIdentity(SimProcess& n);
  void AwaitLeft(std::size_t node, Instant until);
  void LoseUnsynced(std::size_t node);
  // The first `whole` batches reached the disk, the one behind them did not, or not all of it.
  void LoseBatches(std::size_t node, std::size_t whole, Random* disk);
  // The first `saved` states had their turn; the last of them reached the disk.
  void LoseSaves(std::size_t node, std::size_t saved, Random* disk);
  void Carry(std::size_t node, node::NodeCore::Output output);
  void SyncBatches(std::size_t node);
  // How many of the oldest batches the disk takes.
  std::size_t Fitting(const SimNode& n) const;
  bool Fails(std::size_t node) const { return nodes_[node]->disk.fail_next && may_fail(node); }
  void SyncSaves(std::size_t node);
  void Durable(std::size_t node);
  Duration SyncTime(const SimNode& n);
  void FailSync(std::size_t node);
  void TellHealth(std::size_t node);
  void ScheduleTick(std::size_t node);

  void CarryRouter(std::size_t router, router::RouterCore::Output output);
  void ScheduleRouterTick(std::size_t router);
  void Invoke(std::size_t router, const NodeId& client, const std::string& bytes);
  Instant InOrder(std::uint64_t way);
  void Reply(std::size_t router, router::RouterCore::Reply reply);

  bool Desired(std::size_t a, std::size_t b) const;
  Connection& Between(std::size_t a, std::size_t b);
  void Rewire(std::size_t a, std::size_t b);
  void Break(std::size_t a, std::size_t b);
  void BreakAll(std::size_t process);
  void See(std::size_t self, std::size_t peer, std::uint64_t generation, bool up, bool refused);
  void TellLink(std::size_t self, std::size_t peer, bool up, bool refused);
  void Deliver(const NodeId& from, const NodeId& to, PeerMessage message);
  void Arrive(std::size_t from, std::size_t to, std::uint64_t generation, PeerMessage message);
  void ArriveLate(std::size_t from, const NodeId& to, PeerMessage message);
  void Receive(std::size_t node, const NodeId& from, PeerMessage message);
  void NoteMessage(const NodeId& from, const NodeId& to, const PeerMessage& message);
  Instant ArrivalTime(std::uint64_t link, Duration extra);

  Random random_;
  const std::uint32_t partitions_;
  Instant now_{std::chrono::seconds(1)};
  std::uint64_t order_ = 0;
  std::vector<Event> events_;  // a heap
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::vector<std::unique_ptr<SimRouter>> routers_;
  std::unordered_map<NodeId, std::size_t, BytesHash> index_;
  std::map<std::pair<std::size_t, std::size_t>, Connection> connections_;
  std::set<std::pair<std::size_t, std::size_t>> blocked_;             // (from, to)
  std::map<std::pair<std::size_t, std::size_t>, Duration> extra_delay_;  // (from, to)
  std::map<int, Instant> muted_;
  std::map<int, Instant> held_;
  std::map<std::pair<std::size_t, std::size_t>, Instant> stalled_;
  std::unordered_map<std::uint64_t, Instant> last_arrival_;
  std::optional<std::string> violation_;
  std::uint64_t steps_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325ull;
  std::uint64_t lost_ = 0, repeated_ = 0, delayed_ = 0;
};

}  // namespace coffer::sim
