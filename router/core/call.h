// One public call under way, and what its handler may ask of the router.
//
// Handlers decode, ask, and encode; they never block and never see a node. Each method has a class of its own in
// calls_chunks.cc, calls_chains.cc, calls_zones.cc and calls_cluster.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/message.h"
#include "router/core/chain_ends.h"
#include "router/core/chunk_cache.h"
#include "router/core/disk_index.h"
#include "router/core/dispatcher.h"
#include "router/core/errors.h"
#include "router/core/methods.h"
#include "router/core/status.h"
#include "router/response.h"

namespace coffer::router {

using CallId = std::uint64_t;
// A part of a call: which chunk, chain or query an operation belongs to.
using Slot = std::uint32_t;
// Operations that one call has under way, at most.
inline constexpr std::size_t kMostOpsOfCall = 128;

// What a call may ask for. Implemented by RouterCore.
class CallHost {
 public:
  virtual ~CallHost() = default;
  virtual Instant now() const = 0;
  // Milliseconds since 1970 UTC; for display.
  virtual std::uint64_t wall_ms() const = 0;
  // Never null while a call runs.
  virtual std::shared_ptr<const cluster::Layout> layout() const = 0;
  virtual ChunkCache& cache() = 0;
  // Begins to read a chunk that cache() lacks from the cache's disk; Call::DiskAnswered follows, never inside this call. False: it is
  // not there.
  virtual bool FindOnDisk(CallId call, Slot slot, const ZoneId& zone, const BlockId& id) = 0;
  // A chunk is being deleted: it leaves the cache, in memory and on disk.
  virtual void ForgetChunk(const ZoneId& zone, const BlockId& id) = 0;
  // Forgets every chunk, in memory and on disk.
  virtual void ClearCache() = 0;
  virtual ChainEnds& chain_ends() = 0;
  // What is on disk; nothing: the cache has no disk.
  virtual std::optional<DiskCounters> Disk() const = 0;
  // This router, for people.
  virtual std::string RouterName() const = 0;
  // The name under which a zone was found, empty when it is not remembered.
  virtual std::string ZoneName(const ZoneId& id) const = 0;
  virtual Random& random() = 0;
  // Begins an operation; Call::OpDone follows, never inside this call.
  virtual void StartOp(CallId call, Slot slot, OpSpec spec) = 0;
  // The zone's id if it is known well enough.
  virtual const ZoneId* CachedZone(const std::string& name) = 0;
  // Looks the zone up; Call::ZoneResolved follows, never inside this call.
  virtual void ResolveZone(CallId call, const std::string& name) = 0;
  // What was learned by other ways: a zone was created; the cached id turned out to be no more.
  virtual void RememberZone(const std::string& name, const ZoneId& id) = 0;
  virtual void ForgetZone(const std::string& name) = 0;
  // The zone is deleted: its name and its cached chunks are forgotten.
  virtual void ForgetZoneId(const ZoneId& id) = 0;
  // A serialised response; the end. After End the call is destroyed as soon as its handler returns.
  virtual void Respond(CallId call, Response response) = 0;
  virtual void End(CallId call, Status status) = 0;
  // Whether the front takes more answers now.
  virtual bool Writable(CallId call) = 0;
  // Call::Wake at that time; one wake per call, the earlier wins.
  virtual void WakeAt(CallId call, Instant at) = 0;
  // Everything the status is made of, as of now; asks the nodes for fresh reports.
  virtual StatusInputs StatusNow() = 0;
  // Whether every linked storage member has reported since `since`.
  virtual bool ReportsSince(Instant since) = 0;
  // Sends a layout change to a member; Call::ChangeAnswered or ChangeLost follows. False: no link.
  virtual bool SendChange(CallId call, const NodeId& to, wire::LayoutChangeRequest request) = 0;
  // Members by whom a change of the layout should be tried, best first: linked voters, the lowest living id first.
  virtual std::vector<NodeId> Proposers() = 0;
};

class Call {
 public:
  Call(CallId id, Instant deadline, CallHost& host) : id_(id), deadline_(deadline), host_(host) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // The layout is known and the request valid.
  virtual void Start() = 0;
  virtual void OpDone(Slot, OpResult) {}
  // `old`: nobody could be asked, it is what was known before.
  virtual void ZoneResolved(const Status&, const ZoneId&, bool /*old*/) {}
  // Null: it was not there after all.
  virtual void DiskAnswered(Slot, const ChunkKey&, const Payload&) {}
  virtual void Wake() {}
  // Layout, membership or a report changed.
  virtual void WorldChanged() {}
  virtual void ChangeAnswered(const NodeId&, const wire::LayoutChangeResponse&) {}
  virtual void ChangeLost(const NodeId&) {}
  // The deadline passed although no operation did (they end first).
  virtual void Expire() { End(NotSent("the deadline passed while the router looked for where to send it")); }

  CallId id() const { return id_; }
  Instant deadline() const { return deadline_; }

 protected:
  void Ask(Slot slot, OpSpec spec) {
    spec.deadline = deadline_;
    host_.StartOp(id_, slot, std::move(spec));
  }
  template <class Message>
  void Respond(const Message& message) {
    host_.Respond(id_, message.SerializeAsString());
  }
  void RespondBytes(Response response) { host_.Respond(id_, std::move(response)); }
  void End(Status status) { host_.End(id_, std::move(status)); }
  template <class Message>
  void Succeed(const Message& message) {
    Respond(message);
    End(Ok());
  }
  CallHost& host() { return host_; }

 private:
  const CallId id_;
  const Instant deadline_;
  CallHost& host_;
};

// Whether a node says that the zone is no more.
bool ZoneIsGone(const Status& status);

// A call in a zone: finds the zone's id first, and looks once more when a node says that zone is gone (a zone of the same
// name may have been made since). A call that says which zone it means is refused instead once another has the name.
class ZonedCall : public Call {
 public:
  // `meant`: the id of the zone that is meant; empty: whichever has the name.
  ZonedCall(CallId id, Instant deadline, CallHost& host, std::string zone, const std::string& meant = {});

  void Start() final;
  void OpDone(Slot slot, OpResult result) final;
  void ZoneResolved(const Status& status, const ZoneId& id, bool old) final;

 protected:
  // The zone is known: begin.
  virtual void Run() = 0;
  // The end of an operation.
  virtual void Answered(Slot slot, OpResult result) = 0;
  // Ask the slot's operation again, in the zone as it is known now.
  virtual void Reissue(Slot slot) = 0;

  const ZoneId& zone() const { return zone_; }
  const std::string& zone_name() const { return name_; }
  // An operation on a block of the zone.
  OpSpec SpecFor(const BlockId& block, Target target, bool write);

 private:
  void Enter(const ZoneId& zone);
  bool Means(const ZoneId& zone) const { return meant_.IsZero() || meant_ == zone; }
  // The name was looked up for the first time, or had to be looked up again before anything was begun.
  void FirstResolved(const Status& status, const ZoneId& id, bool old);

  const std::string name_;
  const ZoneId meant_;  // zero: whichever has the name
  ZoneId zone_;
  bool running_ = false;
  bool looking_again_ = false;
  bool looked_again_ = false;
  std::vector<std::pair<Slot, OpResult>> parked_;  // ended because the zone is gone; wait for the second look
};

// The handler of a request. The request has been validated.
std::unique_ptr<Call> MakeCall(CallId id, Instant deadline, CallHost& host, Request request);

// One per service, used by MakeCall.
std::unique_ptr<Call> MakeChunksCall(CallId id, Instant deadline, CallHost& host, Request request);
std::unique_ptr<Call> MakeChainsCall(CallId id, Instant deadline, CallHost& host, Request request);
std::unique_ptr<Call> MakeZonesCall(CallId id, Instant deadline, CallHost& host, Request request);
std::unique_ptr<Call> MakeClusterCall(CallId id, Instant deadline, CallHost& host, Request request);

}  // namespace coffer::router
