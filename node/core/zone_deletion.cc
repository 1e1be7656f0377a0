#include "node/core/zone_deletion.h"

#include <algorithm>

#include "cluster/placement.h"
#include "cluster/planted_bug.h"
#include "node/core/forget.h"

namespace coffer::node {
namespace {

constexpr std::size_t kAtOnce = 256;      // partitions of one zone
constexpr std::size_t kZonesAtOnce = 64;  // each takes room for every partition
constexpr Duration kAskAgain = std::chrono::milliseconds(1000);
constexpr Duration kMarkIsCommitted = std::chrono::milliseconds(2000);  // nearly always; else it is looked at again

}  // namespace

std::set<PartitionId> ZoneDeletion::AllPartitions() const {
  std::set<PartitionId> all;
  for (PartitionId p = 0; p < ctx_.layout->partition_count(); ++p) all.insert(all.end(), p);
  return all;
}

void ZoneDeletion::FollowForce() {
  if (!ctx_.layout || ctx_.layout->forced_epoch == forced_) return;
  forced_ = ctx_.layout->forced_epoch;
  calls_.clear();
  for (auto& [zone, job] : jobs_) {
    job.left = AllPartitions();
    job.asked.clear();
    job.purge_at = {};
  }
}

void ZoneDeletion::Begin(const wire::ZoneRecord& zone, const Waiter& waiter) {
  FollowForce();
  if (jobs_.size() >= kZonesAtOnce && !jobs_.contains(ZoneId::Must(zone.id()))) {
    // It is marked in the registry, where it is found again; its asker hears nothing now, for it will happen.
    ++ctx_.counters.dropped;
    look_at_ = std::min(look_at_, ctx_.now + kAskAgain);
    return;
  }
  Job& job = jobs_[ZoneId::Must(zone.id())];
  if (job.left.empty() && job.purge_at == Instant{}) {
    job.zone = zone;
    job.left = AllPartitions();
  }
  if (waiter.call != 0 && job.waiters.size() < ctx_.config.max_waiting_per_partition) job.waiters.push_back(waiter);
  Ask(job);
}

void ZoneDeletion::OnMarkOrdered() { look_at_ = std::min(look_at_, ctx_.now + kMarkIsCommitted); }

void ZoneDeletion::OnRegistryActive() {
  look_at_ = kNever;
  const PartitionId registry = cluster::RegistryPartition(ctx_.layout->partition_count());
  std::vector<wire::ZoneRecord> deleting;
  bool all = true;
  const auto scan = ctx_.store.Scan(registry, "", std::string(16, '\0') + std::string(64, '\xff'), [&](const ScannedRecord& record) {
    if (record.key.kind != RecordKind::kZone) return true;
    RecordHeader header;
    Payload value;
    wire::ZoneRecord zone;
    const auto read = ctx_.store.Read(registry, record.key, &header, &value);
    if (read == ReadOutcome::kAbsent) return true;
    if (read != ReadOutcome::kFound || !value || !zone.ParseFromString(*value)) {
      all = false;
      repair_(registry, record.key);
    } else if (header.stamp.seq > ctx_.Replica(registry).committed()) {
      all = false;  // it may be cut off still
    } else if (zone.deleting()) {
      deleting.push_back(std::move(zone));
    }
    return true;
  });
  // A deletion that was not seen would never end: what could not be read is looked at again.
  if (!all || scan != ReadOutcome::kFound) look_at_ = ctx_.now + kAskAgain;
  for (const auto& zone : deleting) Begin(zone, Waiter{});
}

void ZoneDeletion::Ask(Job& job) {
  std::size_t open = 0;
  const ZoneId zone = ZoneId::Must(job.zone.id());
  std::vector<wire::DataRequest> own;
  for (const PartitionId p : job.left) {
    if (open++ >= kAtOnce) break;
    auto [asked, first] = job.asked.try_emplace(p);
    if (!first && ctx_.now - asked->second.at < kAskAgain) continue;
    if (first) asked->second.call = next_call_++;
    asked->second.at = ctx_.now;
    wire::DataRequest request;
    request.set_call(asked->second.call);
    request.set_partition(p);
    request.set_term(ctx_.group(p).term.value);
    request.set_zone(zone.str());
    request.set_deadline_ms(5000);
    request.mutable_drop_zone();
    calls_[request.call()] = {zone, p};
    if (ctx_.IsPrimary(p)) {
      own.push_back(std::move(request));
    } else {
      wire::Peer message;
      *message.mutable_data_request() = std::move(request);
      ctx_.Send(ctx_.IdOf(ctx_.group(p).primary), std::move(message));
    }
  }
  for (auto& request : own) to_self_(std::move(request));
}

void ZoneDeletion::OnResponse(const wire::DataResponse& response) {
  FollowForce();
  auto call = calls_.find(response.call());
  if (call == calls_.end()) return;
  const auto [zone, partition] = call->second;
  auto it = jobs_.find(zone);
  if (it == jobs_.end()) return;
  Job& job = it->second;
  if (response.fenced() || response.status().code() != 0) {
    job.asked[partition].at = ctx_.now - kAskAgain + std::chrono::milliseconds(50);
    return;
  }
  calls_.erase(call);
  job.left.erase(partition);
  job.asked.erase(partition);
  if (!job.left.empty() && !Planted(Bug::kZoneGoneEarly)) return;
  TellRouters(ctx_, zone, std::nullopt);
  for (const Waiter& waiter : job.waiters) Answer(ctx_, waiter, AnswerTo(ctx_, waiter));
  job.waiters.clear();
}

void ZoneDeletion::Tick() {
  FollowForce();
  if (ctx_.now >= look_at_) OnRegistryActive();
  for (auto next = jobs_.begin(); next != jobs_.end();) {
    const ZoneId zone = next->first;
    Job& job = next->second;
    ++next;  // a purge may end the job at once
    std::erase_if(job.waiters, [this](const Waiter& waiter) { return waiter.deadline <= ctx_.now; });
    if (!job.left.empty()) {
      Ask(job);
    } else if (ctx_.now >= job.purge_at) {
      job.purge_at = ctx_.now + std::chrono::seconds(5);
      Waiter nobody;
      nobody.deadline = job.purge_at;
      purge_(job.zone, nobody, [this, zone] { jobs_.erase(zone); });
    }
  }
  if (jobs_.empty()) calls_.clear();
}

void ZoneDeletion::VisitQueues(const QueueVisitor& visit) const {
  visit({"zones that are being deleted", jobs_.size(), kZonesAtOnce});
  std::uint64_t asked = 0;
  for (const auto& [zone, job] : jobs_) {
    asked += job.asked.size();
    visit({"who waits for the end of a zone", job.waiters.size(), ctx_.config.max_waiting_per_partition});
  }
  visit({"partitions that are to drop a zone", calls_.size(), asked});
}

}  // namespace coffer::node
