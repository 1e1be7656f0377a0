#include "node/core/zone_deletion.h"

#include "cluster/placement.h"
#include "cluster/planted_bug.h"
#include "node/core/forget.h"

namespace coffer::node {
namespace {

constexpr std::size_t kAtOnce = 256;
constexpr Duration kAskAgain = std::chrono::milliseconds(1000);

}  // namespace

void ZoneDeletion::Begin(const wire::ZoneRecord& zone, const Waiter& waiter) {
  Job& job = jobs_[ZoneId::Must(zone.id())];
  if (job.left.empty() && job.purge_at == Instant{}) {
    job.zone = zone;
    for (PartitionId p = 0; p < ctx_.layout->partition_count(); ++p) job.left.insert(p);
  }
  if (waiter.call != 0) job.waiters.push_back(waiter);
  Ask(job);
}

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
    auto asked = job.asked.find(p);
    if (asked != job.asked.end() && ctx_.now - asked->second < kAskAgain) continue;
    job.asked[p] = ctx_.now;
    wire::DataRequest request;
    request.set_call(next_call_++);
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
  auto call = calls_.find(response.call());
  if (call == calls_.end()) return;
  const auto [zone, partition] = call->second;
  calls_.erase(call);
  auto it = jobs_.find(zone);
  if (it == jobs_.end()) return;
  Job& job = it->second;
  if (response.fenced() || response.status().code() != 0) {
    job.asked[partition] = ctx_.now - kAskAgain + std::chrono::milliseconds(50);
    return;
  }
  job.left.erase(partition);
  job.asked.erase(partition);
  if (!job.left.empty() && !Planted(Bug::kZoneGoneEarly)) return;
  TellRouters(ctx_, zone, std::nullopt);
  for (const Waiter& waiter : job.waiters) Answer(ctx_, waiter, AnswerTo(ctx_, waiter));
  job.waiters.clear();
}

void ZoneDeletion::Tick() {
  if (ctx_.now >= look_at_) OnRegistryActive();
  for (auto next = jobs_.begin(); next != jobs_.end();) {
    const ZoneId zone = next->first;
    Job& job = next->second;
    ++next;  // a purge may end the job at once
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

}  // namespace coffer::node
