#include "router/router_process.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "proto/link/caller_text.h"
#include "proto/link/refusal_notices.h"
#include "proto/mutex.h"
#include "router/core/errors.h"
#include "router/core/methods.h"
#include "router/disk_files.h"
#include "router/send_receipt.h"

namespace coffer::router {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr Duration kPublishEvery = std::chrono::milliseconds(250);
constexpr Duration kLongestSleep = std::chrono::seconds(1);
constexpr std::uint64_t kIndexShare = 4;  // the index of the cache's disk, beside it: one part in so many of cache_bytes

Instant ToInstant(SteadyClock::time_point t) { return Instant(std::chrono::duration_cast<Duration>(t.time_since_epoch())); }
SteadyClock::time_point ToSteady(Instant t) {
  return SteadyClock::time_point(std::chrono::duration_cast<SteadyClock::duration>(t.time_since_epoch()));
}
Instant Now() { return ToInstant(SteadyClock::now()); }

std::uint64_t WallMilliseconds() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

std::uint64_t RandomWord() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

NodeId RandomId() {
  NodeId id;
  std::random_device device;
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(device());
  return id;
}

RouterCoreConfig CoreConfig(const RouterOptions& options, const NodeId& id) {
  RouterCoreConfig config;
  config.self.set_id(id.str());
  config.self.set_name(options.name);
  config.self.set_address(options.advertised_address);
  config.self.set_public_address(options.public_address);
  config.self.set_version(options.version);
  config.seeds = options.seeds;
  config.cache.bytes = options.cache_bytes;
  config.cache.policy = options.cache_policy;
  config.cache.max_age = config.disk.max_age = options.cache_age;
  config.disk.path = options.cache_disk_path;
  config.disk.bytes = std::max(options.cache_disk_bytes, kLeastDiskBytes);
  config.disk.index_bytes = options.cache_bytes / kIndexShare;
  config.max_calls = options.max_calls;
  config.max_queued_bytes = options.max_queued_bytes;
  return config;
}

class Process final : public RouterProcess, private link::Handler {
 public:
  explicit Process(RouterOptions options) : options_(std::move(options)), id_(RandomId()) {
    identity_.id = id_;
    identity_.name = options_.name;
    identity_.address = options_.advertised_address;
    identity_.role = v1::MEMBER_ROLE_ROUTER;
    identity_.boot = Boot(1);
    link::HubOptions hub;
    hub.listen = options_.listen;
    hub.keyring = options_.keyring;
    hub.tls = options_.tls;
    hub.owner_polls = true;  // the driver
    hub_ = link::Hub::Start(std::move(hub), identity_, this);
    disk_ = OpenDisk();
    driver_ = std::thread([this] { Drive(); });
  }
  ~Process() override { Stop(); }

  // ---- Api
  std::shared_ptr<CallHandle> Invoke(Method method, RequestBytes request, SteadyClock::time_point deadline, const Caller& caller,
                                     std::shared_ptr<ResponseSink> sink) override;
  std::optional<Response> AnswerGetNow(std::string_view request, SteadyClock::time_point deadline) override;
  bool Serving() const override { return has_layout_ && !draining_; }

  // ---- RouterProcess
  RouterMetrics Metrics() const override {
    RouterMetrics metrics;
    {
      MutexLock lock(published_mutex_);
      metrics = published_;
    }
    metrics.links = hub_->stats();
    metrics.shed_before_core = shed_;
    return metrics;
  }
  std::shared_ptr<const cluster::Layout> layout() const override {
    MutexLock lock(published_mutex_);
    return layout_;
  }
  int peer_port() const override { return options_.listen.empty() ? 0 : hub_->port(); }
  NodeId id() const override { return id_; }
  link::Poller* poller() override { return hub_->poller(); }
  void Drain() override { draining_ = true; }
  std::size_t calls_under_way() const override { return calls_; }
  void SetSecrets(link::Keyring keyring) override { hub_->SetSecrets(std::move(keyring)); }
  void Stop() override;

 private:
  using Input = std::function<RouterCore::Output(RouterCore&, Instant)>;

  // One call's way out. Cancel may come from any thread, at any time.
  class Handle final : public CallHandle {
   public:
    Handle(Process* process, CallId call) : process_(process), call_(call) {}
    void Cancel() override {
      MutexLock lock(mutex_);
      if (process_) process_->Post([call = call_](RouterCore& core, Instant now) { return core.Cancel(now, call); });
    }
    void Ended() {
      MutexLock lock(mutex_);
      process_ = nullptr;
    }

   private:
    Mutex mutex_;
    Process* process_ ABSL_GUARDED_BY(mutex_);  // null once the call has ended, which is before the process goes
    const CallId call_;
  };
  struct Client {
    std::shared_ptr<ResponseSink> sink;
    std::shared_ptr<Handle> handle;
    std::uint64_t bytes = 0;
  };

  // ---- link::Handler: the driver's thread, OnDialFailed also another
  link::RefusalInfo Admit(const link::Identity& peer, const std::string& certificate_name) override;
  void OnUp(const link::Identity& peer) override {
    Post([id = peer.id](RouterCore& core, Instant now) { return core.LinkUp(now, id); });
  }
  void OnDown(const NodeId& peer, const std::string&) override {
    Post([peer](RouterCore& core, Instant now) { return core.LinkDown(now, peer); });
  }
  void OnDialFailed(const std::string& address, const link::RefusalInfo& why) override {
    Warn(address, why.reason, link::NoLinkText(address, why.message));
    Post([address, refused = why.reason == "REFUSED"](RouterCore& core, Instant now) {
      return core.DialFailed(now, address, refused);
    });
  }
  void OnRefused(const std::string& from, const std::string& name, const link::RefusalInfo& why) override {
    Warn(link::CallerHost(from), why.reason, link::RefusedText(from, name, why.message));
  }
  void Warn(const std::string& other, const std::string& reason, const std::string& text) {
    {
      MutexLock lock(notices_mutex_);
      if (reason == "SELF" || !notices_.Tell(other, reason, std::chrono::steady_clock::now())) return;
    }
    options_.warn(text);
  }
  void OnMessages(const NodeId& from, std::vector<PeerMessage> messages) override {
    auto shared = std::make_shared<std::vector<PeerMessage>>(std::move(messages));
    Post([from, shared](RouterCore& core, Instant now) {
      RouterCore::Output output;
      for (PeerMessage& message : *shared) output.Append(core.Receive(now, from, std::move(message)));
      return output;
    });
  }

  // Any thread. False once the driver has stopped: the input is dropped.
  bool Post(Input input);
  // Whether one more call fits in; else why not.
  std::optional<Status> Reserve(std::uint64_t bytes);

  // Before the driver runs. Null when there is none, or it can't be used, which the driver is told.
  std::unique_ptr<DiskFiles> OpenDisk();
  void DiskIsOff(const std::string& why);

  // ---- the driver's thread
  void Drive();
  void Round(RouterCore& core, Instant now, std::deque<Input>& batch);
  void Execute(RouterCore& core, Instant now, RouterCore::Output output);
  void Deliver(RouterCore::Reply reply);
  void Publish(const RouterCore& core, Instant now);
  void EndAll();

  const RouterOptions options_;
  const NodeId id_;
  link::Identity identity_;  // the driver's after construction
  std::atomic<bool> draining_{false};
  std::atomic<bool> has_layout_{false};
  std::atomic<std::size_t> calls_{0};         // <= options_.max_calls
  std::atomic<std::uint64_t> call_bytes_{0};  // <= options_.max_queued_bytes
  std::atomic<std::uint64_t> shed_{0};
  std::atomic<CallId> next_call_{1};
  std::atomic<std::thread::id> driver_id_{};

  Mutex inbox_mutex_;
  std::deque<Input> inbox_ ABSL_GUARDED_BY(inbox_mutex_);  // calls in it are bounded by Reserve
  std::uint64_t inbox_most_ ABSL_GUARDED_BY(inbox_mutex_) = 0;
  bool waiting_ ABSL_GUARDED_BY(inbox_mutex_) = false;  // the driver waits in Poll, and has not been woken
  bool stopping_ ABSL_GUARDED_BY(inbox_mutex_) = false;

  RouterCore* core_ = nullptr;        // the driver's, while it runs
  v1::GetRequest get_;                // the driver's: its strings keep their room
  std::map<CallId, Client> clients_;  // the driver's, and after it Stop's

  Mutex notices_mutex_;
  link::RefusalNotices notices_ ABSL_GUARDED_BY(notices_mutex_);
  mutable Mutex published_mutex_;
  RouterMetrics published_ ABSL_GUARDED_BY(published_mutex_);
  std::shared_ptr<const cluster::Layout> layout_ ABSL_GUARDED_BY(published_mutex_);
  Instant published_at_{};  // the driver's

  Mutex stop_mutex_;
  bool stopped_ ABSL_GUARDED_BY(stop_mutex_) = false;
  std::unique_ptr<link::Hub> hub_;
  std::unique_ptr<DiskFiles> disk_;  // may be null
  std::thread driver_;
};

// ---- Callers ----------------------------------------------------------------------------------------------------------

std::optional<Status> Process::Reserve(std::uint64_t bytes) {
  if (calls_.fetch_add(1) >= options_.max_calls) {
    --calls_;
    ++shed_;
    return TooManyCalls(options_.max_calls);
  }
  if (call_bytes_.fetch_add(bytes) + bytes > options_.max_queued_bytes) {
    --calls_;
    call_bytes_ -= bytes;
    ++shed_;
    return TooManyBytes(options_.max_queued_bytes);
  }
  return std::nullopt;
}

std::shared_ptr<CallHandle> Process::Invoke(Method method, RequestBytes request, SteadyClock::time_point deadline, const Caller&,
                                            std::shared_ptr<ResponseSink> sink) {
  const CallId call = next_call_++;
  auto handle = std::make_shared<Handle>(this, call);
  auto refuse = [&](Status status) {
    handle->Ended();
    sink->OnEnd(std::move(status));
    return handle;
  };
  const std::uint64_t bytes = request.size();
  if (auto full = Reserve(bytes)) return refuse(std::move(*full));
  auto parsed = ParseRequest(method, std::move(request));
  auto release = [&] {
    --calls_;
    call_bytes_ -= bytes;
  };
  if (!parsed) {
    release();
    return refuse(Unparsable(NameOf(method)));
  }
  // The client is registered by the driver just before the core hears of the call, so no answer can precede it.
  auto shared = std::make_shared<Request>(std::move(*parsed));
  const bool posted = Post([this, call, shared, bytes, sink, handle, until = ToInstant(deadline)](RouterCore& core, Instant now) {
    clients_[call] = {sink, handle, bytes};
    return core.Invoke(now, call, std::move(*shared), bytes, until);
  });
  if (!posted) {
    release();
    return refuse(Stopping());
  }
  return handle;
}

// On the driver's thread the core may be asked directly: what comes over the front's connections is handled between two rounds.
std::optional<Response> Process::AnswerGetNow(std::string_view request, SteadyClock::time_point deadline) {
  if (driver_id_ != std::this_thread::get_id()) return std::nullopt;
  if (!get_.ParseFromArray(request.data(), static_cast<int>(request.size()))) return std::nullopt;
  return core_->GetCached(Now(), get_, ToInstant(deadline));
}

link::RefusalInfo Process::Admit(const link::Identity& peer, const std::string& certificate_name) {
  const auto known = layout();
  if (!known) return {};
  if (!peer.cluster.IsZero() && peer.cluster != known->cluster) {
    return {"FOREIGN_CLUSTER", peer.name + " belongs to another cluster than router " + options_.name};
  }
  const cluster::MemberIndex index = known->IndexOf(peer.id);
  if (index == cluster::kNoMember || known->members[index].certificate_name.empty()) return {};
  if (known->members[index].certificate_name == certificate_name) return {};
  return {"CERTIFICATE_MISMATCH", "the layout knows " + peer.name + " by the certificate name \"" +
                                      known->members[index].certificate_name + "\", it showed \"" + certificate_name + "\""};
}

// ---- The cache's disk -------------------------------------------------------------------------------------------------

std::unique_ptr<DiskFiles> Process::OpenDisk() {
  if (options_.cache_disk_path.empty()) return nullptr;
  DiskFiles::Options files;
  files.folder = options_.cache_disk_path;
  files.segment_bytes = DiskIndex::SegmentBytes(std::max(options_.cache_disk_bytes, kLeastDiskBytes));
  files.on_written = [this](std::vector<DiskWritten> writes) {
    Post([written = std::move(writes)](RouterCore& core, Instant now) { return core.DiskWritesEnded(now, written); });
  };
  files.on_read = [this](DiskReadId id, DiskReadEnd end, Payload chunk) {
    Post([id, end, read = std::move(chunk)](RouterCore& core, Instant now) { return core.DiskReadEnded(now, id, end, read); });
  };
  files.on_failure = [this](const std::string& why) { DiskIsOff(why); };
  try {
    return DiskFiles::Open(std::move(files));
  } catch (const std::runtime_error& error) {
    DiskIsOff(error.what());
    return nullptr;
  }
}

void Process::DiskIsOff(const std::string& why) {
  options_.on_disk_off(why);
  Post([why](RouterCore& core, Instant now) { return core.DiskFailed(now, why); });
}

// ---- The driver -------------------------------------------------------------------------------------------------------

bool Process::Post(Input input) {
  bool wake = false;
  {
    MutexLock lock(inbox_mutex_);
    if (stopping_) return false;
    inbox_.push_back(std::move(input));
    inbox_most_ = std::max<std::uint64_t>(inbox_most_, inbox_.size());
    wake = driver_id_ != std::this_thread::get_id() && std::exchange(waiting_, false);
  }
  if (wake) hub_->Wake();
  return true;
}

void Process::Drive() {
  RouterCoreConfig config = CoreConfig(options_, id_);
  config.writable = [this](CallId call) {
    auto it = clients_.find(call);
    return it == clients_.end() || it->second.sink->Writable();
  };
  RouterCore core(std::move(config), RandomWord(), Now());
  core_ = &core;
  driver_id_ = std::this_thread::get_id();
  std::deque<Input> batch;
  for (;;) {
    const Instant until = std::min(core.NextDeadline(), Now() + kLongestSleep);
    bool idle = false;
    {
      MutexLock lock(inbox_mutex_);
      idle = waiting_ = inbox_.empty() && !stopping_;
    }
    hub_->Poll(ToSteady(idle ? until : Instant{}));  // what comes over the links is posted by this thread
    {
      MutexLock lock(inbox_mutex_);
      waiting_ = false;
      batch.swap(inbox_);
      if (stopping_ && batch.empty()) return;
    }
    const Instant now = Now();
    core.SetWallClock(now, WallMilliseconds());
    Round(core, now, batch);
    batch.clear();
    if (now - published_at_ >= kPublishEvery) Publish(core, now);
  }
}

// All that waits, and then everything it led to at once: one frame per peer and per client's stream.
void Process::Round(RouterCore& core, Instant now, std::deque<Input>& batch) {
  const AnswerBatch answers;
  for (Input& input : batch) Execute(core, now, input(core, now));
  if (core.NextDeadline() <= now) Execute(core, now, core.Tick(now));
  hub_->Flush();
}

void Process::Execute(RouterCore& core, Instant now, RouterCore::Output output) {
  while (true) {
    if (output.adopted) {
      {
        MutexLock lock(published_mutex_);
        layout_ = output.adopted;
      }
      has_layout_ = true;
    }
    if (output.joined) {
      identity_.cluster = *output.joined;
      hub_->SetIdentity(identity_);
    }
    for (const std::string& address : output.dial) hub_->Dial(address);
    for (auto& reply : output.replies) Deliver(std::move(reply));
    if (disk_ && !output.disk_writes.empty()) disk_->Write(std::move(output.disk_writes));
    if (disk_ && !output.disk_reads.empty()) disk_->Read(std::move(output.disk_reads));
    RouterCore::Output next;
    for (Outgoing& out : output.send) {
      const SendReceipt receipt(out.message.header);
      if (hub_->Queue(out.to, std::move(out.message))) continue;
      if (const auto header = receipt.Header()) next.Append(core.NotSent(now, out.to, *header));
    }
    if (next.send.empty() && next.dial.empty() && next.replies.empty() && !next.adopted) return;
    output = std::move(next);
  }
}

void Process::Deliver(RouterCore::Reply reply) {
  auto it = clients_.find(reply.call);
  if (it == clients_.end()) return;
  if (!reply.end) return it->second.sink->OnResponse(std::move(reply.response));
  Client client = std::move(it->second);
  clients_.erase(it);
  client.handle->Ended();
  --calls_;
  call_bytes_ -= client.bytes;
  client.sink->OnEnd(std::move(*reply.end));
}

void Process::Publish(const RouterCore& core, Instant now) {
  published_at_ = now;
  RouterMetrics metrics;
  metrics.core = core.Counters();
  if (const auto layout = core.layout()) metrics.epoch = layout->epoch.value;
  for (const auto& [id, member] : *core.members()) {
    ++(member.state == cluster::Liveness::kAlive ? metrics.members_alive : metrics.members_not_alive);
  }
  {
    MutexLock lock(inbox_mutex_);
    metrics.inbox_most = inbox_most_;
  }
  MutexLock lock(published_mutex_);
  published_ = std::move(metrics);
}

// ---- The end ----------------------------------------------------------------------------------------------------------

void Process::EndAll() {
  for (auto& [call, client] : std::exchange(clients_, {})) {
    client.handle->Ended();
    --calls_;
    call_bytes_ -= client.bytes;
    client.sink->OnEnd(Stopping());
  }
}

void Process::Stop() {
  MutexLock lock(stop_mutex_);
  if (std::exchange(stopped_, true)) return;
  draining_ = true;
  auto left = std::make_shared<std::promise<void>>();
  Post([left](RouterCore& core, Instant now) {
    auto output = core.Leave(now);
    left->set_value();
    return output;
  });
  left->get_future().wait();
  {
    MutexLock inbox_lock(inbox_mutex_);
    stopping_ = true;
  }
  hub_->Wake();
  driver_.join();
  disk_.reset();
  EndAll();
  hub_->Stop();
}

}  // namespace

std::unique_ptr<RouterProcess> RouterProcess::Start(RouterOptions options) {
  return std::make_unique<Process>(std::move(options));
}

}  // namespace coffer::router
