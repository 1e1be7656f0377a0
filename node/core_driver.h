// Runs a NodeCore: one thread feeds it, everything it says is carried out here. No decision is made in this file.
//
// Threads: the driver's own polls the links and feeds the core, so that a message costs no change of threads; the store's writer
// reports batches; one thread writes the agreement file; a small pool reads what the driver's own thread can't without waiting
// for the disk. All of these only post to the driver's queue.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "node/core/node_core.h"
#include "node/store.h"
#include "proto/mutex.h"

namespace coffer::node {

// Where the driver's outputs go. Called on the driver's thread unless said otherwise; must not block for long.
class DriverSinks {
 public:
  virtual ~DriverSinks() = default;
  // False: not linked, or the queue is full; the message is dropped, which every protocol here survives.
  virtual bool Send(const NodeId& to, PeerMessage message) = 0;
  // What was sent since the last call leaves now, at the latest: one frame per peer for all that one round of inputs led to.
  virtual void FlushSends() = 0;
  // Runs what has happened on the links, which may Post; waits at most until `until` for the first of it, or for Wake.
  virtual void Poll(Instant until) = 0;
  // Any thread: ends a Poll that waits, or the next one.
  virtual void Wake() = 0;
  virtual void Dial(const std::string& address) = 0;
  virtual void DropLink(const NodeId& peer) = 0;
  virtual void Log(const NodeEvent& event) = 0;
  virtual void Quarantine(const std::vector<QuarantinedWrite>& writes) = 0;
  // Makes the node's own state durable; blocks; on a thread of its own. False ends the process's acknowledging.
  virtual bool SaveDurable(const NodeDurable& durable) = 0;
  // After every step in which the layout changed.
  virtual void OnLayout(const std::shared_ptr<const cluster::Layout>& layout) = 0;
  virtual void OnJoinTokenAnswer(const JoinTokenAnswer& answer) = 0;
  // Fail-stop: nothing may be acknowledged after this.
  virtual void OnStop(const std::string& message) = 0;
  // As OnStop, and this identity must never act again.
  virtual void OnRetire(const std::string& message) = 0;
};

class CoreDriver {
 public:
  // Both must outlive the driver.
  CoreDriver(std::unique_ptr<NodeCore> core, Store& store, DriverSinks& sinks, int read_threads);
  ~CoreDriver();
  void Start();
  // Ends the threads; what is queued is dropped. Idempotent.
  void Stop();

  // Runs `input` on the driver's thread and carries its output out. Thread-safe.
  using Input = std::function<NodeCore::Output(NodeCore&, Instant)>;
  void Post(Input input);
  // Runs `question` on the driver's thread and waits for it; false when the driver has stopped.
  bool Ask(std::function<void(const NodeCore&, Instant)> question);

  // The present moment as the core is told it.
  static Instant Now();

 private:
  void Run();
  // Whether the driver must be woken for what was just posted.
  bool MustWake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Carries out what a round of inputs led to.
  void Carry(NodeCore::Output output);
  void Persist(NodeCore::Output::Persist persist);
  void Save();
  // Those that need not wait at once, the others by the reading threads.
  void ReadAll(std::vector<ReadTask> reads);
  // Carries out those of the reads that need not wait for the disk, and what they lead to; the others stay.
  void ReadPromptly(std::vector<ReadTask>* reads);
  void ReadLoop();
  void PostResults(std::vector<ReadResult> results);
  void Done(std::uint64_t ticket, bool ok);
  // On the driver's thread: tells the core of all persists that have ended, in their order.
  NodeCore::Output ReportDone(NodeCore& core, Instant now);

  std::unique_ptr<NodeCore> core_;
  Store& store_;
  DriverSinks& sinks_;
  const int read_threads_;

  Mutex mutex_;
  std::deque<Input> inputs_ ABSL_GUARDED_BY(mutex_);
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;  // the driver waits in Poll, and has not been woken
  std::atomic<bool> stopping_{false};             // changed under all the locks of this class but done_mutex_
  std::atomic<std::thread::id> driver_{};

  // Persists end in any order, the core is told in theirs.
  Mutex done_mutex_;
  std::map<std::uint64_t, bool> done_ ABSL_GUARDED_BY(done_mutex_);
  std::uint64_t next_done_ ABSL_GUARDED_BY(done_mutex_) = 1;
  bool done_posted_ ABSL_GUARDED_BY(done_mutex_) = false;  // a ReportDone waits in inputs_

  Mutex save_mutex_;
  Condition save_wake_;
  std::optional<NodeDurable> to_save_ ABSL_GUARDED_BY(save_mutex_);
  std::vector<std::uint64_t> save_tickets_ ABSL_GUARDED_BY(save_mutex_);

  Mutex read_mutex_;
  Condition read_wake_;
  std::deque<ReadTask> to_read_ ABSL_GUARDED_BY(read_mutex_);

  std::shared_ptr<const cluster::Layout> layout_;  // driver's thread only
  std::vector<std::thread> threads_;
};

}  // namespace coffer::node
