// coffer.v1.Cluster: each method as a Call.
#include <algorithm>
#include <set>

#include "router/core/call.h"
#include "router/core/plan.h"

namespace coffer::router {
namespace {

constexpr Duration kReportWait = std::chrono::milliseconds(400);   // how long nodes may take to report before the status goes without
constexpr Duration kReportAge = std::chrono::seconds(1);           // a report as old as this is good enough
constexpr Duration kStatusEvery = std::chrono::seconds(1);
constexpr Duration kStatusPause = std::chrono::milliseconds(100);  // between two statuses of a stream, at least
constexpr Duration kProposerPause = std::chrono::milliseconds(100);
constexpr Duration kProposerPatience = std::chrono::seconds(3);

// One status, once every node within reach has reported since the call began.
class GetStatusCall final : public Call {
 public:
  using Call::Call;
  void Start() override {
    began_ = host().now();
    (void)host().StatusNow();  // asks for reports
    host().WakeAt(id(), began_ + kReportWait);
    Try();
  }
  void WorldChanged() override { Try(); }
  void Wake() override { Try(); }

 private:
  void Try() {
    if (!host().ReportsSince(began_ - kReportAge) && host().now() < began_ + kReportWait) return;
    v1::GetStatusResponse response;
    *response.mutable_status() = BuildStatus(host().StatusNow());
    Succeed(response);
  }
  Instant began_{};
};

// A status at once, at every change, and at least once a second. A front that takes no more misses some, never the newest.
class WatchStatusCall final : public Call {
 public:
  using Call::Call;
  void Start() override {
    began_ = host().now();
    (void)host().StatusNow();
    host().WakeAt(id(), began_ + kReportWait);
    Wake();
  }
  void WorldChanged() override {
    if (!sent_) return Wake();
    host().WakeAt(id(), std::max(host().now(), last_ + kStatusPause));
  }
  void Wake() override {
    if (!sent_ && !host().ReportsSince(began_ - kReportAge) && host().now() < began_ + kReportWait) return;
    if (sent_ && host().now() < last_ + kStatusPause) return host().WakeAt(id(), last_ + kStatusPause);
    if (host().Writable(id())) {
      v1::WatchStatusResponse response;
      *response.mutable_status() = BuildStatus(host().StatusNow());
      Respond(response);
      last_ = host().now();
      sent_ = true;
    }
    host().WakeAt(id(), host().now() + (last_ == host().now() ? kStatusEvery : kStatusPause));
  }
  void Expire() override { End(ReadTimedOut("the stream's deadline passed")); }

 private:
  Instant began_{};
  Instant last_{};
  bool sent_ = false;
};

class WhereCall final : public ZonedCall {
 public:
  WhereCall(CallId id, Instant deadline, CallHost& host, const v1::WhereRequest& request)
      : ZonedCall(id, deadline, host, request.zone()), block_(BlockId::Must(request.id())) {}

  void Run() override { Succeed(BuildWhere(*host().layout(), zone(), block_)); }
  void Answered(Slot, OpResult) override {}
  void Reissue(Slot) override {}

 private:
  const BlockId block_;
};

v1::CachePolicy ToPolicy(EvictionKind kind) {
  switch (kind) {
    case EvictionKind::kS3Fifo: return v1::CACHE_POLICY_S3_FIFO;
    case EvictionKind::kLru: return v1::CACHE_POLICY_LRU;
    case EvictionKind::kWTinyLfu: return v1::CACHE_POLICY_W_TINYLFU;
    case EvictionKind::kAdaptive: break;
  }
  return v1::CACHE_POLICY_ADAPTIVE;
}

std::optional<EvictionKind> ToKind(v1::CachePolicy policy) {
  switch (policy) {
    case v1::CACHE_POLICY_ADAPTIVE: return EvictionKind::kAdaptive;
    case v1::CACHE_POLICY_S3_FIFO: return EvictionKind::kS3Fifo;
    case v1::CACHE_POLICY_LRU: return EvictionKind::kLru;
    case v1::CACHE_POLICY_W_TINYLFU: return EvictionKind::kWTinyLfu;
    default: return std::nullopt;
  }
}

// This router's own cache; nobody else is asked.
class ControlCacheCall final : public Call {
 public:
  ControlCacheCall(CallId id, Instant deadline, CallHost& host, const v1::ControlCacheRequest& request)
      : Call(id, deadline, host), policy_(ToKind(request.policy())), clear_(request.clear()) {}

  void Start() override {
    ChunkCache& cache = host().cache();
    if (policy_) cache.SetPolicy(*policy_);
    if (clear_) host().ClearCache();
    const ChunkCacheCounters counters = cache.Counters();
    v1::ControlCacheResponse response;
    response.set_router(host().RouterName());
    response.set_policy(ToPolicy(counters.policy));
    response.set_deciding(ToPolicy(EvictionKindOf(counters.deciding).value_or(counters.policy)));
    response.set_bytes(counters.bytes);
    response.set_bound_bytes(counters.bound_bytes);
    response.set_chunks(counters.entries);
    response.set_hits(counters.hits);
    response.set_misses(counters.misses);
    response.set_evictions(counters.evictions);
    for (const ZoneHits& hits : cache.CountersByZone()) {
      v1::CacheZone* zone = response.add_zones();
      zone->set_name(host().ZoneName(hits.zone));
      zone->set_hits(hits.hits);
      zone->set_misses(hits.misses);
      zone->set_disk_hits(hits.disk_hits);
      zone->set_disk_misses(hits.disk_misses);
    }
    if (const auto disk = host().Disk()) Fill(*disk, response.mutable_disk());
    Succeed(response);
  }

 private:
  static void Fill(const DiskCounters& counters, v1::DiskCache* disk) {
    disk->set_path(counters.path);
    disk->set_off_because(counters.off_because);
    disk->set_bytes(counters.bytes);
    disk->set_bound_bytes(counters.bound_bytes);
    disk->set_chunks(counters.chunks);
    disk->set_index_bytes(counters.index_bytes);
    disk->set_hits(counters.hits);
    disk->set_misses(counters.misses);
    disk->set_writes(counters.writes);
    disk->set_moves(counters.moves);
    disk->set_evictions(counters.evictions);
    disk->set_bad_records(counters.bad_records);
    disk->set_skipped(counters.skipped);
  }

  const std::optional<EvictionKind> policy_;
  const bool clear_;
};

// Waits for reports like GetStatus, so that the bytes it names are those of now.
class PlanCall final : public Call {
 public:
  PlanCall(CallId id, Instant deadline, CallHost& host, v1::PlanRequest request)
      : Call(id, deadline, host), change_(std::move(*request.mutable_change())) {}
  void Start() override {
    began_ = host().now();
    (void)host().StatusNow();
    host().WakeAt(id(), began_ + kReportWait);
    Wake();
  }
  void WorldChanged() override { Wake(); }
  void Wake() override {
    if (!host().ReportsSince(began_ - kReportAge) && host().now() < began_ + kReportWait) return;
    Succeed(BuildPlan(host().StatusNow(), change_));
  }

 private:
  const v1::LayoutChange change_;
  Instant began_{};
};

// A change of the layout, brought to the member that proposes and looked for in the layout afterwards: an answer that is
// lost, or a refusal after one that may have succeeded, is settled by what was decided.
template <class Response>
class ChangeCall final : public Call {
 public:
  ChangeCall(CallId id, Instant deadline, CallHost& host, wire::LayoutChangeRequest request, cluster::OperatorChange change)
      : Call(id, deadline, host), request_(std::move(request)), change_(std::move(change)) {}

  void Start() override {
    before_ = host().layout();
    const Epoch planned(request_.epoch());
    if (planned != Epoch() && planned < before_->epoch) return End(LayoutChanged(planned, before_->epoch));
    held_before_ = Holds(*before_, *before_, change_);
    Try();
  }
  void WorldChanged() override {
    if (decided_ && host().layout()->epoch >= *decided_) return Done(*decided_);
    if (SettledByLayout()) return Done(host().layout()->epoch);
  }
  void Wake() override {
    if (decided_) return;
    if (asked_ && host().now() < asked_at_ + kProposerPatience) return host().WakeAt(id(), asked_at_ + kProposerPatience);
    if (asked_) tried_.insert(*asked_);
    asked_.reset();
    Try();
  }
  void ChangeAnswered(const NodeId& from, const wire::LayoutChangeResponse& answer) override {
    const bool awaited = asked_ && from == *asked_;
    if (awaited) asked_.reset();
    if (IsOk(answer.status())) {  // whoever says so, however late
      decided_ = Epoch(answer.epoch());
      if (host().layout()->epoch >= *decided_) Done(*decided_);
      return;  // the layout is on its way
    }
    if (!awaited) return;
    if (SettledByLayout()) return Done(host().layout()->epoch);
    last_ = answer.status().message();
    const Code code = CodeOf(answer.status());
    if (code == Code::kUnavailable || code == Code::kDeadlineExceeded || code == Code::kResourceExhausted) {
      return Next(from);
    }
    // "Planned for another epoch" may be the work of an earlier attempt of ours, whose layout is not here yet.
    if (attempts_ > 1 && code == Code::kAborted && host().layout()->epoch <= Epoch(request_.epoch())) return Next(from);
    End(answer.status());
  }
  void ChangeLost(const NodeId& to) override {
    if (!asked_ || to != *asked_) return;
    asked_.reset();
    last_ = "the connection to a voter broke";
    Next(to);
  }
  void Expire() override {
    if (decided_) return Done(*decided_);
    End(attempts_ == 0 ? NotSent(last_) : OutcomeUnknown(last_));
  }

 private:
  void Try() {
    const std::vector<NodeId> proposers = host().Proposers();
    for (const NodeId& to : proposers) {
      if (tried_.count(to)) continue;
      request_.set_call(0);  // filled in by the router
      if (!host().SendChange(id(), to, request_)) continue;
      ++attempts_;
      asked_ = to;
      asked_at_ = host().now();
      return host().WakeAt(id(), asked_at_ + kProposerPatience);
    }
    tried_.clear();  // once around
    host().WakeAt(id(), host().now() + kProposerPause);
  }
  void Next(const NodeId& failed) {
    tried_.insert(failed);
    host().WakeAt(id(), host().now() + kProposerPause);
  }
  // Whether the layout shows that it happened: it was sent, did not hold before, and holds now.
  bool SettledByLayout() { return attempts_ > 0 && !held_before_ && Holds(*before_, *host().layout(), change_); }
  void Done(Epoch epoch) {
    Response response;
    response.set_epoch(epoch.value);
    Succeed(response);
  }

  wire::LayoutChangeRequest request_;
  const cluster::OperatorChange change_;
  std::shared_ptr<const cluster::Layout> before_;
  bool held_before_ = false;
  std::optional<NodeId> asked_;   // whose answer is awaited
  Instant asked_at_{};
  std::set<NodeId> tried_;        // in this round
  int attempts_ = 0;
  std::optional<Epoch> decided_;  // a proposer said so
  std::string last_ = "no voter is connected";
};

}  // namespace

std::unique_ptr<Call> MakeClusterCall(CallId id, Instant deadline, CallHost& host, Request request) {
  switch (MethodOf(request)) {
    case Method::kClusterGetStatus: return std::make_unique<GetStatusCall>(id, deadline, host);
    case Method::kClusterWatchStatus: return std::make_unique<WatchStatusCall>(id, deadline, host);
    case Method::kClusterWhere: return std::make_unique<WhereCall>(id, deadline, host, std::get<v1::WhereRequest>(request));
    case Method::kClusterPlan:
      return std::make_unique<PlanCall>(id, deadline, host, std::get<v1::PlanRequest>(std::move(request)));
    case Method::kClusterApply: {
      const auto& apply = std::get<v1::ApplyRequest>(request);
      wire::LayoutChangeRequest change;
      change.set_epoch(apply.epoch());
      *change.mutable_change() = apply.change();
      return std::make_unique<ChangeCall<v1::ApplyResponse>>(id, deadline, host, change, ToOperatorChange(apply.change()));
    }
    case Method::kClusterControlCache:
      return std::make_unique<ControlCacheCall>(id, deadline, host, std::get<v1::ControlCacheRequest>(request));
    default: {
      const auto& control = std::get<v1::ControlResyncRequest>(request);
      wire::LayoutChangeRequest change;
      *change.mutable_resync() = control;
      return std::make_unique<ChangeCall<v1::ControlResyncResponse>>(id, deadline, host, change, ToOperatorChange(control));
    }
  }
}

}  // namespace coffer::router
