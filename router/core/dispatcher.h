// Brings one operation to the node that may carry it out, and keeps at it until there is an answer or the deadline:
// routing by the layout, fences, retries, hedges, and what may be said about a write whose answer never came.
//
// The rule all of it serves: an unknown outcome is never turned into a success or into a clean failure. All operations are
// repeat-safe, so an unknown one is sent again; when time is up, "unknown" is what is said.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/message.h"
#include "cluster/queue_fill.h"
#include "cluster/random.h"
#include "router/core/errors.h"
#include "router/core/latency.h"

namespace coffer::router {

using OpId = std::uint64_t;

struct DispatcherConfig {
  Duration backoff_first = std::chrono::milliseconds(5);   // before the first retry; doubles, with jitter of half of it
  Duration backoff_most = std::chrono::milliseconds(250);
  Duration layout_wait = std::chrono::milliseconds(100);   // after a fence: how long a newer layout is waited for
  Duration patience = std::chrono::seconds(5);             // without any answer on a link that is up: sent again
  Duration hedge_initial = std::chrono::milliseconds(20);
  Duration hedge_least = std::chrono::milliseconds(5);
  Duration hedge_most = std::chrono::milliseconds(500);
  double hedge_share = 0.1;                                // hedges for slowness per chunk read, in the long run
};

// Who may carry an operation out.
enum class Target : std::uint8_t {
  kPrimary,          // only the primary, in the partition's term
  kPrimaryOrHolder,  // chunk reads: the primary; another holder may say "found"
  kAnyCopy,          // local reads: any up-to-date copy
};

struct OpSpec {
  PartitionId partition = 0;
  wire::DataRequest request;  // zone and op; the rest is filled in
  std::vector<Payload> bodies;
  Target target = Target::kPrimary;
  bool write = false;
  Instant deadline{};
  Duration wait{};            // how long the node may rightly keep silent (a long poll)
};

// How an operation ended.
struct OpResult {
  OpId op = 0;
  Status status;                // as the caller is to see it
  wire::DataResponse response;  // the node's answer, if one ended the operation
  std::vector<Payload> bodies;
  Instant asked{};              // when the operation began
  ZoneId zone;                  // as asked
};

struct DispatcherCounters {
  std::uint64_t operations = 0;       // begun
  std::uint64_t attempts = 0;         // sent to nodes
  std::uint64_t retries = 0;          // attempts after the first
  std::uint64_t fences = 0;           // attempts refused for their term
  std::uint64_t hedges = 0;           // attempts at another holder
  std::uint64_t hedges_won = 0;       // ... whose answer was used
  std::uint64_t outcomes_unknown = 0; // writes that ended so
  std::uint64_t late_answers = 0;     // answers to nothing that waits; dropped
};

// Single-threaded; owned by RouterCore. Nothing ends inside Start: results come from TakeDone.
class Dispatcher {
 public:
  Dispatcher(DispatcherConfig config, std::uint64_t seed);

  void SetLayout(Instant now, std::shared_ptr<const cluster::Layout> layout);
  // Members that do not answer their probes.
  void SetSuspects(Instant now, std::set<NodeId> suspects);
  void LinkUp(Instant now, const NodeId& peer);
  void LinkDown(Instant now, const NodeId& peer);

  // Begins an operation; the layout must be set.
  OpId Start(Instant now, OpSpec spec);
  // Gives an operation up; its answers are dropped.
  void Cancel(OpId op);
  void Receive(Instant now, const NodeId& from, wire::DataResponse response, std::vector<Payload> bodies);
  // The shell could not queue this attempt (DataRequest.call): it certainly had no effect.
  void NotSent(Instant now, std::uint64_t call);
  void Tick(Instant now);
  Instant NextDeadline() const;

  // What has come together since the last call of each.
  std::vector<Outgoing> TakeSends() { return std::exchange(sends_, {}); }
  std::vector<OpResult> TakeDone() { return std::exchange(done_, {}); }
  std::set<NodeId> TakeWantedLinks() { return std::exchange(wanted_, {}); }

  std::size_t under_way() const { return ops_.size(); }
  void VisitQueues(const QueueVisitor& visit) const;
  bool Linked(const NodeId& peer) const { return links_.count(peer) > 0; }
  const DispatcherCounters& counters() const { return counters_; }
  Duration hedge_delay() const { return chunk_reads_.p95(); }

 private:
  struct Attempt {
    std::uint64_t call = 0;
    NodeId to;
    Instant sent{};
    Term term;
    bool holder = false;  // asked as any holder
    bool stale = false;   // the layout has moved on; a success still counts
  };
  struct Op {
    OpId id = 0;
    OpSpec spec;
    Instant began{};
    Instant retry_at{};          // no attempt at the target before this
    Instant due = kNever;        // key in timers_
    int tries = 0;
    int sent = 0;                // attempts that left this process, as far as is known
    int unsettled = 0;           // those of them that may have had an effect: all but the definitely refused
    int unheard = 0;             // those of them that were not answered, whatever became of them
    Status refusal;              // the last definite refusal; it is the answer when nothing is unsettled at the end
    Term seen;                   // the partition's term when last looked at
    std::vector<Attempt> attempts;
    std::vector<NodeId> refused; // holders that said no since the last attempt at the primary
    std::string last;            // what was heard last, for the error
  };

  void Advance(Instant now, Op& op);
  void AskTarget(Instant now, Op& op);
  void AskHolder(Instant now, Op& op, const NodeId& holder);
  const NodeId* HolderToAsk(const Op& op) const;
  bool WantsHolder(Instant now, const Op& op) const;
  void Send(Instant now, Op& op, const NodeId& to, Term term, bool holder);
  NodeId TargetOf(const Op& op) const;
  const Attempt* LiveAttempt(const Op& op, bool holder) const;
  void Schedule(Instant now, Op& op);
  void Retry(Instant now, Op& op, std::string last, Duration least);
  Duration Backoff(int tries);
  // Answers of the target, and of a holder.
  void TargetAnswered(Instant now, Op& op, const Attempt& attempt, wire::DataResponse response, std::vector<Payload> bodies);
  void HolderAnswered(Instant now, Op& op, const Attempt& attempt, wire::DataResponse response, std::vector<Payload> bodies);
  void TimeIsUp(Op& op);
  void Finish(Op& op, Status status, wire::DataResponse response = {}, std::vector<Payload> bodies = {});
  std::string NameOf(const NodeId& id) const;

  const DispatcherConfig config_;
  Random random_;
  std::shared_ptr<const cluster::Layout> layout_;
  std::set<NodeId> suspects_;
  std::set<NodeId> links_;
  std::map<OpId, Op> ops_;
  std::set<std::pair<Instant, OpId>> timers_;             // one per op
  std::unordered_map<std::uint64_t, OpId> calls_;         // attempts under way
  OpId next_op_ = 1;
  std::uint64_t next_call_;
  LatencyEstimate chunk_reads_;
  double hedge_tokens_ = 10;
  std::vector<Outgoing> sends_;
  std::vector<OpResult> done_;
  std::set<NodeId> wanted_;
  DispatcherCounters counters_;
};

}  // namespace coffer::router
