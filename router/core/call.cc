#include "router/core/call.h"

#include "cluster/placement.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::router {

bool ZoneIsGone(const Status& status) {
  if (IsOk(status)) return false;
  const std::string reason = ReasonOf(status);
  return reason == "ZONE_DELETED" || reason == "ZONE_UNKNOWN";
}

ZonedCall::ZonedCall(CallId id, Instant deadline, CallHost& host, std::string zone, const std::string& meant)
    : Call(id, deadline, host),
      name_(std::move(zone)),
      meant_(meant.empty() || Planted(Bug::kZoneIdIgnored) ? ZoneId() : ZoneId::Must(meant)) {}

void ZonedCall::Start() {
  const ZoneId* known = host().CachedZone(name_);
  if (known && Means(*known)) return Enter(*known);
  host().ResolveZone(id(), name_);
}

void ZonedCall::Enter(const ZoneId& zone) {
  zone_ = zone;
  running_ = true;
  Run();
}

void ZonedCall::FirstResolved(const Status& status, const ZoneId& id, bool old) {
  const Code code = CodeOf(status);
  if (code == Code::kDeadlineExceeded || code == Code::kUnavailable) {  // nothing of the call itself was sent
    if (host().now() < deadline()) return host().ResolveZone(this->id(), name_);
    return End(NotSent("zone \"" + name_ + "\" could not be looked up: " + status.message()));
  }
  if (!IsOk(status)) return End(status);
  if (Means(id)) return Enter(id);
  if (old) return End(NotSent("which zone is named \"" + name_ + "\" now can't be looked up"));
  // The look-up may have begun before this call came: only one that began after it says that the zone is gone.
  if (looked_again_) {
    RULE("R6.6");
    return End(ZoneReplaced(name_));
  }
  looked_again_ = true;
  host().ResolveZone(this->id(), name_);
}

void ZonedCall::ZoneResolved(const Status& status, const ZoneId& id, bool old) {
  if (!running_) return FirstResolved(status, id, old);
  looking_again_ = false;
  const bool another = IsOk(status) && id != zone_;
  if (another) zone_ = id;
  for (auto& [slot, result] : std::exchange(parked_, {})) {
    if (another) {
      Reissue(slot);
      continue;
    }
    if (CodeOf(status) == Code::kNotFound) result.status = status;
    Answered(slot, std::move(result));
  }
}

void ZonedCall::OpDone(Slot slot, OpResult result) {
  if (!ZoneIsGone(result.status)) return Answered(slot, std::move(result));
  host().ForgetZoneId(result.zone);
  if (!meant_.IsZero()) return End(std::move(result.status));
  if (result.zone != zone_) return Reissue(slot);  // asked before the second look
  if (looked_again_ && !looking_again_) return Answered(slot, std::move(result));
  parked_.emplace_back(slot, std::move(result));
  if (looking_again_) return;
  looked_again_ = looking_again_ = true;
  host().ResolveZone(id(), name_);
}

OpSpec ZonedCall::SpecFor(const BlockId& block, Target target, bool write) {
  OpSpec spec;
  spec.partition = cluster::PartitionOf(zone_, block, host().layout()->partition_count());
  spec.request.set_zone(zone_.str());
  spec.target = target;
  spec.write = write;
  return spec;
}

std::unique_ptr<Call> MakeCall(CallId id, Instant deadline, CallHost& host, Request request) {
  const Method method = MethodOf(request);
  if (method <= Method::kChunksDelete) return MakeChunksCall(id, deadline, host, std::move(request));
  if (method <= Method::kChainsDelete) return MakeChainsCall(id, deadline, host, std::move(request));
  if (method <= Method::kZonesDelete) return MakeZonesCall(id, deadline, host, std::move(request));
  return MakeClusterCall(id, deadline, host, std::move(request));
}

}  // namespace coffer::router
