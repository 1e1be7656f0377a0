// Data requests that change something: what is already there decides whether a write is ordered, repeated or refused.
#pragma once

#include <functional>

#include "node/core/context.h"
#include "node/core/primary.h"
#include "node/core/reads.h"
#include "node/core/requests.h"

namespace coffer::node {

class Writes {
 public:
  struct Hooks {
    // A record did not verify: fetch it from the other copy.
    std::function<void(PartitionId, const RecordKey&)> repair;
    // Whether it is damaged on every copy that answers, as far as is known; and that it is not any more.
    std::function<bool(PartitionId, const RecordKey&)> lost;
    std::function<void(PartitionId, const RecordKey&)> restored;
    // A zone was marked as being deleted; not committed yet.
    std::function<void()> zone_marked;
    // A zone's deletion is acknowledged: have every partition drop it, then answer the waiter.
    std::function<void(const wire::ZoneRecord&, const Waiter&)> zone_deleted;
  };
  Writes(Context& context, Primaries& primaries, Reads& reads, Hooks hooks)
      : ctx_(context), primaries_(primaries), reads_(reads), hooks_(std::move(hooks)) {}

  // True when the request is of this kind.
  static bool Takes(const wire::DataRequest& request);
  void Handle(const NodeId& from, wire::DataRequest request, std::vector<Payload> bodies);
  // Orders the removal of a deleted zone's name; `done` when acknowledged.
  void PurgeZone(const wire::ZoneRecord& zone, const Waiter& waiter, Primaries::Done done);

 private:
  struct Request {
    PartitionId partition;
    ZoneId zone;
    Waiter waiter;
    wire::DataRequest wire;
    std::vector<Payload> bodies;
    bool confirmed = false;  // by a round begun after it came
  };
  void Decide(Request r);
  // Refuses the request, unless it waits for its partition to be served.
  void RefuseOrAwait(Request r, const google::rpc::Status& refusal);
  void PutChunk(Request r);
  void DeleteChunk(Request r);
  void Append(Request r);
  void DeleteChain(Request r);
  void CreateZone(Request r);
  void DeleteZone(Request r);
  void DropZone(Request r);

  // Orders the write; `done` runs once it may be acknowledged.
  void Order(Request& r, wire::Write write, std::vector<Payload> bodies, Primaries::Done done);
  // The same entry stands there since `seq`: `done` runs once that is acknowledged; it is ordered again if it lacks a copy (R6).
  void Repeat(Request& r, Seq seq, wire::Write write, std::vector<Payload> bodies, Primaries::Done done);
  // The same bytes came for a chunk that is damaged on every copy (R6.5).
  void Restore(Request& r, const RecordKey& key, wire::Write write, wire::DataResponse response);
  // Answers once everything up to `seq` is committed: a refusal must not rest on what may still be cut off.
  void AnswerCommitted(Request& r, Seq seq, wire::DataResponse response);
  // What is answered from what is there already, "exists" or a conflict, is a read: a later primary may have deleted or added since.
  // True: a confirming round begins, after which the request is decided anew (R6.4).
  bool Unconfirmed(Request& r);
  // Answers NOT_FOUND once authority is confirmed.
  void AnswerAbsent(Request& r, google::rpc::Status status);
  // Answers and returns true when the look-up ended badly.
  bool Troubled(Request& r, ReadOutcome outcome, const RecordKey& key);
  // True when a scan did not see all there is; the request is refused then: what is missing must not pass for nothing.
  bool Unreadable(Request& r, ReadOutcome scan);
  // Whether the zone was deleted and its blocks are dropped. False: the look-up ended badly, and that is answered.
  bool ZoneGone(Request& r, const ZoneId& zone, bool* gone);
  void Conflict(Request& r, const ChainEnd& end);
  wire::DataResponse Response(const Request& r) const { return AnswerTo(ctx_, r.waiter); }
  Primaries::Done Answering(const Request& r, wire::DataResponse response);

  Context& ctx_;
  Primaries& primaries_;
  Reads& reads_;
  const Hooks hooks_;
};

}  // namespace coffer::node
