// Drives operations: one RetryMachine each, attempts spread over the routers of a Transport, one driver thread for
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "client/responses.h"
#include "client/retry.h"
#include "client/router_choice.h"
#include "client/status.h"
#include "client/transport.h"
#include "client/zone_ids.h"
#include "cluster/message.h"
#include "proto/mutex.h"

namespace coffer::client {

// What is asked of the engine: one operation.
struct Job {
  std::string_view method;  // "coffer.v1.Chunks/Put"; lent until on_end has returned
  std::string request;  // serialised
  Payload value;        // what a Chunks/Put puts, which `request` then lacks; null: `request` is all
  Effect effect = Effect::kRead;
  Duration timeout{};
  bool bulk = false;  // over the second stream
  // Of a write: the name of its zone, whose id the engine finds out and puts into the request, which should have kZoneIdRoom for it.
  // Empty: the request stays as it is.
  std::string zone;
  // Whether a failure proves that no attempt at this write counts; null: never.
  std::function<bool(const Status&)> settles;
  // With `on_message` every response is handed over as it comes and is not kept; only for jobs that send once (kOnce).
  // The engine's threads; one call at a time.
  std::function<void(std::string)> on_message;
  // The end, exactly once, after the last on_message. Responses of the attempt that succeeded, in order.
  std::function<void(Status, Responses)> on_end;
};

struct EngineOptions {
  TransportOptions transport;
  RetryPolicy retry;
  std::uint64_t max_in_flight_bytes = 64u << 20;
  // Give up when no router could be connected for so long; zero: only at the deadline.
  Duration connect_patience{};
  std::uint64_t seed = 0;
};

// Thread-safe. Callbacks run on its threads without its lock; they may start and cancel jobs, and must not block.
class Engine : private TransportEvents {
 public:
  using JobId = std::uint64_t;

  explicit Engine(EngineOptions options);
  ~Engine() override;

  // Ends every job (CANCELLED, or outcome unknown), waits for its callback and joins the threads. Not from a callback.
  // Later jobs end at once. (Apart from the destructor, which a callback that still holds the engine may run.)
  void Close();

  // Starts a job. May call on_end before it returns (no room in flight).
  JobId Start(Job job);
  // Ends a job early: CANCELLED, or outcome unknown if a write was sent. Nothing happens if it has ended.
  void Cancel(JobId job);
  // What was learned of a zone by other ways; an empty id: it is not known any more.
  void TellZone(const std::string& name, const std::string& id);
  // Calls `what` once after `delay`; not after Close.
  void After(Duration delay, std::function<void()> what);
  // Bytes of requests under way.
  std::uint64_t in_flight_bytes() const;

 private:
  struct Running;
  struct Sent {
    JobId job;
    Attempt attempt;
    std::size_t router;
    Instant since;
  };
  using Deferred = std::function<void()>;

  void OnSent(std::uint64_t call) override;
  void OnHeard(std::size_t router) override;
  void OnReply(std::size_t router, v1::Reply&& reply) override;
  void OnLost(std::size_t router, const std::vector<LostCall>& calls, const std::string& why) override;
  void Flush() override;

  // The next stage of a job, the first one too.
  void Begin(JobId id, Running& job, Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // Nobody waits for the open attempts any more, but for what `answer` was answered.
  Responses CloseTries(Running& job, Attempt answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Status Explain(const Running& job, const RetryOutput& output) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Obey(JobId id, Running& job, const RetryOutput& output, Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Launch(JobId id, Running& job, const RetryOutput& output, Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void End(JobId id, Running& job, const RetryOutput& output, Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Fail(std::uint64_t call, const Status& why, const AttemptFailure& failure) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Schedule(JobId id, Running& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void StopTimer(JobId id, Running& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Tick(Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  std::vector<OpenTry> OpenTries(const Running& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool GivenUpConnecting(Instant now, const Running& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  std::size_t Choose(Instant now, const Running& job, bool elsewhere) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  std::string Unreachable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // Whether something else answers at every address, as far as is known.
  bool NamesNoRouter() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Drive();

  const EngineOptions options_;
  mutable Mutex lock_;
  absl::flat_hash_map<JobId, std::unique_ptr<Running>> jobs_ ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<std::uint64_t, Sent> calls_ ABSL_GUARDED_BY(lock_);
  absl::btree_set<std::pair<Instant, JobId>> timers_ ABSL_GUARDED_BY(lock_);
  std::multimap<Instant, std::function<void()>> later_ ABSL_GUARDED_BY(lock_);
  std::vector<Deferred> deferred_ ABSL_GUARDED_BY(lock_);  // callbacks to run without the lock
  RouterChoice choice_ ABSL_GUARDED_BY(lock_);
  std::vector<RouterState> states_ ABSL_GUARDED_BY(lock_);  // as last asked of the transport; kept for its room
  std::uint64_t next_id_ ABSL_GUARDED_BY(lock_) = 1;
  std::uint64_t bytes_ ABSL_GUARDED_BY(lock_) = 0;
  HedgeBudget budget_ ABSL_GUARDED_BY(lock_);
  ZoneIds zones_ ABSL_GUARDED_BY(lock_);
  Random seeds_ ABSL_GUARDED_BY(lock_);
  Instant sleeping_until_ ABSL_GUARDED_BY(lock_) = kNever;
  bool flushing_ ABSL_GUARDED_BY(lock_) = false;  // one thread at a time runs callbacks, so that they keep their order
  Condition flushed_;
  bool stopping_ ABSL_GUARDED_BY(lock_) = false;

  std::unique_ptr<Transport> transport_;
  std::thread driver_;
};

}  // namespace coffer::client
