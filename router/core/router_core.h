// A router's whole decision-making, as one machine that is fed: membership, the layout as it is learned, routing of every
// operation, the calls of all public methods, status. It routes between them; each is a machine of its own.
//
// No I/O, clock, thread or hidden randomness. The shell (router_process.h) and the simulator drive the same code.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/membership.h"
#include "cluster/queue_fill.h"
#include "cluster/message.h"
#include "router/core/call.h"
#include "router/core/chain_ends.h"
#include "router/core/chunk_cache.h"
#include "router/core/disk_index.h"
#include "router/core/dispatcher.h"
#include "router/core/methods.h"
#include "router/core/zone_directory.h"
#include "router/response.h"

namespace coffer::router {

struct RouterCoreConfig {
  wire::MemberFacts self;           // id (random, new at every start), name, address, version, public_address; role is set here
  std::vector<std::string> seeds;   // host:port of members to begin with
  cluster::MembershipConfig membership;
  DispatcherConfig dispatcher;
  ChunkCacheConfig cache;           // its overflow is the disk
  DiskIndexConfig disk;
  ZoneDirectoryConfig zones;
  std::size_t max_calls = 16384;              // under way; beyond: RESOURCE_EXHAUSTED
  std::uint64_t max_queued_bytes = 256u << 20;  // request bytes of calls under way; beyond: RESOURCE_EXHAUSTED
  Duration layout_patience = std::chrono::seconds(3);  // how long a call waits for the first layout, at most its deadline
  Duration report_interest = std::chrono::seconds(5);  // nodes are asked for reports this long after a status was
  // Whether the front of a call takes more answers now. A look-up: called on the driver's thread, must not block.
  std::function<bool(CallId)> writable = [](CallId) { return true; };
};

// Upper bounds of the latency buckets, seconds.
inline constexpr std::array<double, 14> kLatencyBuckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                           0.1,    0.25,  0.5,    1,     2.5,  5,     10};

struct MethodCounters {
  std::uint64_t calls = 0;                               // ended
  std::uint64_t under_way = 0;
  std::array<std::uint64_t, 17> ended_by_code{};         // by gRPC code
  std::array<std::uint64_t, 15> ended_by_latency{};      // by kLatencyBuckets, the last: above all
  double seconds = 0;                                    // sum
};

// What the cache did for the zone of this name; empty: for those without one.
struct NamedZoneHits {
  std::string name;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t disk_hits = 0;
  std::uint64_t disk_misses = 0;
};

struct RouterCounters {
  std::array<MethodCounters, kMethodNames.size()> methods{};
  std::uint64_t calls_under_way = 0;
  std::uint64_t queued_bytes = 0;
  std::uint64_t shed_calls = 0;         // refused for a bound
  std::uint64_t zone_lookups = 0;
  std::uint64_t ignored_messages = 0;   // kinds that are not for a router
  DispatcherCounters dispatcher;
  ChunkCacheCounters cache;
  std::optional<DiskCounters> disk;     // nothing: there is none
  std::vector<NamedZoneHits> cache_zones;
  ChainEndCounters chain_ends;
};

// Single-threaded; owned by one driver, which calls Tick no later than NextDeadline().
class RouterCore {
 public:
  RouterCore(RouterCoreConfig config, std::uint64_t seed, Instant now);
  ~RouterCore();

  // An answer of a call, or its end.
  struct Reply {
    CallId call = 0;
    Response response;            // serialised; when `end` is absent
    std::optional<Status> end;
  };
  struct Output {
    std::vector<Outgoing> send;
    std::vector<std::string> dial;      // addresses to which a link should be tried
    std::vector<Reply> replies;         // in order
    std::vector<DiskWrite> disk_writes; // in order
    std::vector<DiskRead> disk_reads;
    std::optional<ClusterId> joined;    // the first layout told us our cluster
    std::shared_ptr<const cluster::Layout> adopted;
    void Append(Output&& other);
  };

  // A public call; `bytes` is the size of its request, for the bounds. Ids are chosen by the owner, never reused.
  Output Invoke(Instant now, CallId call, Request request, std::uint64_t bytes, Instant deadline);
  // The response to a get of a whole chunk that the cache holds: the call is over with it, and counted. Nothing: Invoke it.
  std::optional<Response> GetCached(Instant now, const v1::GetRequest& request, Instant deadline);
  // The caller lost interest; the end (CANCELLED) is in the output unless the call has ended already.
  Output Cancel(Instant now, CallId call);
  // Any message from a linked peer.
  Output Receive(Instant now, const NodeId& from, PeerMessage message);
  Output LinkUp(Instant now, const NodeId& peer);
  Output LinkDown(Instant now, const NodeId& peer);
  // Dialling an address ended without a link; `refused`: nobody listens there.
  Output DialFailed(Instant now, const std::string& address, bool refused);
  // A message of an earlier output was dropped before it left (its queue is full, or the link is gone).
  Output NotSent(Instant now, const NodeId& to, const wire::Peer& header);
  // How an order to the cache's disk ended. `chunk`: null unless kFound.
  Output DiskReadEnded(Instant now, DiskReadId id, DiskReadEnd end, Payload chunk);
  Output DiskWritesEnded(Instant now, const std::vector<DiskWritten>& writes);
  // The disk can't be used any more; what was ordered need not end.
  Output DiskFailed(Instant now, std::string why);
  Output Tick(Instant now);
  // Says to all that we leave; calls that come later end with STOPPING.
  Output Leave(Instant now);
  // What the wall clock says at `now`; for display only.
  void SetWallClock(Instant now, std::uint64_t ms_since_1970);

  Instant NextDeadline() const;
  // Null before the first layout.
  std::shared_ptr<const cluster::Layout> layout() const;
  std::shared_ptr<const cluster::Membership::View> members() const;
  std::size_t calls_under_way() const;
  RouterCounters Counters() const;
  // Every queue and buffer, and its bound (I18).
  void VisitQueues(const QueueVisitor& visit) const;
  // The status as known now, without asking anybody. Null before the first layout.
  std::optional<v1::Status> LastStatus(Instant now) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::router
