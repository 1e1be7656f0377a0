#include "node/core_driver.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace coffer::node {
namespace {

constexpr Duration kHealthInterval = std::chrono::milliseconds(500);
// Reads a thread carries out before it hands over what it read: each hand-over may cost a change of threads and a frame.
constexpr std::size_t kReadsAtOnce = 8;
constexpr std::uint64_t kReadBytesAtOnce = 256 << 10;  // or once it has read as much
// What the driver's own thread reads from files at once at most, so that it is back at the links soon.
constexpr std::uint64_t kPromptBytes = 1 << 20;

}  // namespace

CoreDriver::CoreDriver(std::unique_ptr<NodeCore> core, Store& store, DriverSinks& sinks, int read_threads)
    : core_(std::move(core)), store_(store), sinks_(sinks), read_threads_(read_threads) {}

CoreDriver::~CoreDriver() { Stop(); }

Instant CoreDriver::Now() { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }

void CoreDriver::Start() {
  threads_.emplace_back([this] { Run(); });
  threads_.emplace_back([this] { Save(); });
  for (int i = 0; i < read_threads_; ++i) threads_.emplace_back([this] { ReadLoop(); });
}

void CoreDriver::Stop() {
  {
    // All of them: a waiter that has just looked at `stopping_` must be asleep before it is woken.
    MutexLock lock(mutex_);
    MutexLock save_lock(save_mutex_);
    MutexLock read_lock(read_mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  sinks_.Wake();
  save_wake_.NotifyAll();
  read_wake_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void CoreDriver::Post(Input input) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    inputs_.push_back(std::move(input));
    wake = MustWake();
  }
  if (wake) sinks_.Wake();
}

bool CoreDriver::MustWake() { return driver_ != std::this_thread::get_id() && std::exchange(waiting_, false); }

bool CoreDriver::Ask(std::function<void(const NodeCore&, Instant)> question) {
  struct Answer {
    Mutex mutex;
    Condition ready;
    bool done ABSL_GUARDED_BY(mutex) = false;
  };
  auto answer = std::make_shared<Answer>();
  bool wake = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    inputs_.push_back([answer, question = std::move(question)](NodeCore& core, Instant now) {
      MutexLock answer_lock(answer->mutex);
      if (!answer->done) question(core, now);
      answer->done = true;
      answer->ready.NotifyAll();
      return NodeCore::Output{};
    });
    wake = MustWake();
  }
  if (wake) sinks_.Wake();
  MutexLock lock(answer->mutex);
  const bool answered =
      answer->ready.WaitFor(answer->mutex, std::chrono::seconds(10),
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(answer->mutex) { return answer->done; });
  answer->done = true;  // a late driver must not touch what the caller gave up
  return answered;
}

void CoreDriver::Run() {
  driver_ = std::this_thread::get_id();
  Instant next_health{};
  while (true) {
    const Instant deadline = std::min(core_->NextDeadline(), next_health);
    bool idle = false;
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      idle = waiting_ = inputs_.empty();
    }
    sinks_.Poll(idle ? deadline : Instant{});
    std::deque<Input> batch;
    {
      MutexLock lock(mutex_);
      waiting_ = false;
      if (stopping_) return;
      batch.swap(inputs_);
    }
    NodeCore::Output output;
    for (Input& input : batch) output.Append(input(*core_, Now()));
    const Instant now = Now();
    if (now >= next_health) {
      next_health = now + kHealthInterval;
      output.Append(core_->SetHealth(now, store_.Health()));
    }
    if (core_->NextDeadline() <= now) output.Append(core_->Tick(now));
    Carry(std::move(output));
  }
}

void CoreDriver::Carry(NodeCore::Output output) {
  // Before the batch that cuts them off can become durable.
  if (!output.quarantine.empty()) sinks_.Quarantine(output.quarantine);
  // No message here waits for a persist of the same step, so the copies are on their way before the disk is busy.
  for (Outgoing& o : output.send) sinks_.Send(o.to, std::move(o.message));
  sinks_.FlushSends();
  for (auto& persist : output.persist) Persist(std::move(persist));
  for (const std::string& address : output.dial) sinks_.Dial(address);
  for (const NodeId& peer : output.drop_links) sinks_.DropLink(peer);
  for (const NodeEvent& event : output.events) sinks_.Log(event);
  if (core_->layout() != layout_) {
    layout_ = core_->layout();
    sinks_.OnLayout(layout_);
  }
  for (const JoinTokenAnswer& answer : output.token_answers) sinks_.OnJoinTokenAnswer(answer);
  if (output.retire) sinks_.OnRetire(*output.retire);
  if (output.stop) sinks_.OnStop(*output.stop);
  if (!output.retire && !output.stop) ReadAll(std::move(output.reads));
}

void CoreDriver::ReadAll(std::vector<ReadTask> reads) {
  if (!reads.empty()) ReadPromptly(&reads);
  if (reads.empty()) return;
  {
    MutexLock lock(read_mutex_);
    for (ReadTask& task : reads) to_read_.push_back(std::move(task));
  }
  reads.size() == 1 ? read_wake_.NotifyOne() : read_wake_.NotifyAll();
}

void CoreDriver::Persist(NodeCore::Output::Persist persist) {
  const std::uint64_t ticket = persist.ticket;
  if (auto* batch = std::get_if<StoreBatch>(&persist.what)) {
    return store_.Write(std::move(*batch), [this, ticket](bool ok) { Done(ticket, ok); });
  }
  {
    // Only the newest state matters: whoever waits for an older one is served by it too.
    MutexLock lock(save_mutex_);
    to_save_ = std::move(std::get<NodeDurable>(persist.what));
    save_tickets_.push_back(ticket);
  }
  save_wake_.NotifyOne();
}

// The batches of one group commit end together: one input for all of them.
void CoreDriver::Done(std::uint64_t ticket, bool ok) {
  {
    MutexLock lock(done_mutex_);
    done_[ticket] = ok;
    if (done_posted_ || ticket != next_done_) return;
    done_posted_ = true;
  }
  Post([this](NodeCore& core, Instant now) { return ReportDone(core, now); });
}

NodeCore::Output CoreDriver::ReportDone(NodeCore& core, Instant now) {
  std::vector<std::uint64_t> durable;
  bool failed = false;
  {
    MutexLock lock(done_mutex_);
    done_posted_ = false;
    for (; !failed && !done_.empty() && done_.begin()->first == next_done_; ++next_done_) {
      failed = !done_.begin()->second;
      if (!failed) durable.push_back(next_done_);
      done_.erase(done_.begin());
    }
  }
  NodeCore::Output output = core.Persisted(now, durable);
  if (failed) {
    output.stop = "a write to the disk failed: nothing is acknowledged any more. What was acknowledged is safe on the other "
                  "copies. Check the disk, then start again: the node comes back under a new id and is filled from them.";
  }
  return output;
}

void CoreDriver::Save() {
  while (true) {
    NodeDurable durable;
    std::vector<std::uint64_t> tickets;
    {
      MutexLock lock(save_mutex_);
      while (!to_save_ && !stopping_) save_wake_.Wait(save_mutex_);
      if (stopping_) return;
      durable = *std::exchange(to_save_, std::nullopt);
      tickets.swap(save_tickets_);
    }
    const bool ok = sinks_.SaveDurable(durable);
    for (const std::uint64_t ticket : tickets) Done(ticket, ok);
  }
}

void CoreDriver::ReadPromptly(std::vector<ReadTask>* reads) {
  NodeCore::Output output;
  std::uint64_t bytes = kPromptBytes;
  std::vector<ReadTask> others;
  for (ReadTask& task : *reads) {
    if (!IsBrief(task)) {
      others.push_back(std::move(task));
      continue;
    }
    ReadResult result;
    if (store_.ReadPromptly([&] { result = RunRead(store_, std::move(task)); }, &bytes)) {
      output.Append(core_->ReadDone(Now(), std::move(result)));
    } else {
      others.push_back(std::move(result.task));
    }
  }
  const bool any = others.size() < reads->size();
  *reads = std::move(others);
  if (any) Carry(std::move(output));
}

void CoreDriver::ReadLoop() {
  std::vector<ReadTask> tasks;
  while (true) {
    {
      MutexLock lock(read_mutex_);
      while (to_read_.empty() && !stopping_) read_wake_.Wait(read_mutex_);
      if (stopping_) return;
      // A share, so that the other threads have theirs.
      const std::size_t threads = static_cast<std::size_t>(read_threads_);
      const std::size_t share = std::min(kReadsAtOnce, (to_read_.size() + threads - 1) / threads);
      for (std::size_t i = 0; i < share; ++i) {
        tasks.push_back(std::move(to_read_.front()));
        to_read_.pop_front();
      }
    }
    std::vector<ReadResult> results;
    std::uint64_t bytes = 0;
    for (ReadTask& task : tasks) {
      results.push_back(RunRead(store_, std::move(task)));
      bytes += results.back().bytes_read;
      if (bytes < kReadBytesAtOnce) continue;
      PostResults(std::exchange(results, {}));
      bytes = 0;
    }
    tasks.clear();
    if (!results.empty()) PostResults(std::move(results));
  }
}

void CoreDriver::PostResults(std::vector<ReadResult> results) {
  auto shared = std::make_shared<std::vector<ReadResult>>(std::move(results));
  Post([shared](NodeCore& core, Instant now) {
    NodeCore::Output output;
    for (ReadResult& result : *shared) output.Append(core.ReadDone(now, std::move(result)));
    return output;
  });
}

}  // namespace coffer::node
