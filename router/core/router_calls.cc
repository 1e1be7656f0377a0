// The calls under way: their beginning, their end, and what they may ask for.
#include <algorithm>
#include <limits>

#include "cluster/placement.h"
#include "router/core/get_response.h"
#include "router/core/router_state.h"
#include "router/core/validate.h"

namespace coffer::router {
namespace {

// A look-up of a zone ends after this at the latest; whoever still has time begins another.
constexpr Duration kLookupMost = std::chrono::seconds(10);

// What a call counts as in the status. Calls that last as long as somebody listens, and those about the cluster, are no load.
enum class Load { kNone, kGet, kPut };

Load LoadOf(Method method) {
  switch (method) {
    case Method::kChunksGet:
    case Method::kChunksGetMany:
    case Method::kChunksHas:
    case Method::kChainsRead:
    case Method::kChainsHead:
      return Load::kGet;
    case Method::kChunksPut:
    case Method::kChunksPutMany:
    case Method::kChunksDelete:
    case Method::kChainsAppend:
    case Method::kChainsDelete:
      return Load::kPut;
    default:
      return Load::kNone;
  }
}

}  // namespace

// ---- What calls may ask for -------------------------------------------------------------------------------------------

std::uint64_t RouterCore::State::wall_ms() const {
  return wall_ms_ + static_cast<std::uint64_t>(std::max<std::int64_t>(0, (now_ - wall_at_) / std::chrono::milliseconds(1)));
}

void RouterCore::State::StartOp(CallId call, Slot slot, OpSpec spec) {
  auto it = calls_.find(call);
  if (it == calls_.end() || it->second.ended) return;
  const OpId op = dispatcher_.Start(now_, std::move(spec));
  owners_[op] = {call, slot, {}};
  it->second.ops.insert(op);
}

bool RouterCore::State::FindOnDisk(CallId call, Slot slot, const ZoneId& zone, const BlockId& id) {
  if (!disk_.on()) return false;
  const DiskReadId read = disk_.Find(now_, {zone, id});
  if (read == 0) {
    cache_.CountDisk({zone, id}, false);
    return false;
  }
  disk_readers_[read] = {call, slot};
  return true;
}

void RouterCore::State::DiskReadEnded(DiskReadId id, DiskReadEnd end, Payload chunk) {
  const auto reader = disk_readers_.find(id);
  if (reader == disk_readers_.end()) return;
  const DiskReader waiting = reader->second;
  disk_readers_.erase(reader);
  const DiskIndex::Found found = disk_.Read(id, end, std::move(chunk));
  cache_.CountDisk(found.key, found.chunk != nullptr);
  if (found.chunk) cache_.TakeBack(found.read_at, found.key.zone, found.key.block, found.chunk);
  With(waiting.call, [&](Call& call) { call.DiskAnswered(waiting.slot, found.key, found.chunk); });
}

void RouterCore::State::DiskFailed(std::string why) {
  disk_.SwitchOff(std::move(why));
  while (!disk_readers_.empty()) DiskReadEnded(disk_readers_.begin()->first, DiskReadEnd::kBadRecord, nullptr);
}

std::optional<DiskCounters> RouterCore::State::Disk() const {
  if (config_.disk.path.empty()) return std::nullopt;
  return disk_.Counters();
}

void RouterCore::State::ResolveZone(CallId call, const std::string& name) {
  // Calls may end long before the look-ups that they began.
  if (zones_.looking_up() >= config_.max_calls && !zones_.LooksUp(name)) {
    ++counters_.shed_calls;
    zone_answers_.push_back({call, TooManyCalls(config_.max_calls), {}, false});
    return;
  }
  if (!zones_.Wait(now_, name, call)) return;
  // While an older answer serves, nobody waits for this one: it has its time.
  LookUp(name, zones_.Remembers(name) ? kNever : calls_.at(call).call_deadline);
}

void RouterCore::State::Respond(CallId call, Response response) {
  auto it = calls_.find(call);
  if (it == calls_.end() || it->second.ended) return;
  out_.replies.push_back({call, std::move(response), std::nullopt});
}

void RouterCore::State::End(CallId call, Status status) {
  auto it = calls_.find(call);
  if (it == calls_.end() || it->second.ended) return;
  Active& active = it->second;
  active.ended = true;
  --counters_.methods[static_cast<std::size_t>(active.method)].under_way;
  Count(active.method, active.began, CodeOf(status));
  out_.replies.push_back({call, {}, std::move(status)});
}

void RouterCore::State::Count(Method method, Instant began, Code code) {
  MethodCounters& counters = counters_.methods[static_cast<std::size_t>(method)];
  const double seconds = std::chrono::duration<double>(now_ - began).count();
  const auto bucket = std::lower_bound(kLatencyBuckets.begin(), kLatencyBuckets.end(), seconds) - kLatencyBuckets.begin();
  ++counters.calls;
  ++counters.ended_by_latency[static_cast<std::size_t>(bucket)];
  ++counters.ended_by_code[static_cast<std::size_t>(std::clamp(static_cast<int>(code), 0, 16))];
  counters.seconds += seconds;
  if (const Load load = LoadOf(method); load != Load::kNone) {
    ++(load == Load::kGet ? gets_ : puts_);
    load_.Answered(now_, now_ - began);
  }
}

void RouterCore::State::WakeAt(CallId call, Instant at) {
  auto it = calls_.find(call);
  if (it == calls_.end() || it->second.ended || it->second.wake <= at) return;
  if (it->second.wake != kNever) wakes_.erase({it->second.wake, call});
  it->second.wake = at;
  wakes_.insert({at, call});
}

StatusInputs RouterCore::State::Inputs() const {
  return {now_, wall_ms(), layout_, layout_since_, membership_.view(), reports_.seen(), reports_.partitions(), resync_};
}

StatusInputs RouterCore::State::StatusNow() {
  reports_.Look(now_);
  resync_ = AdvanceResync(Inputs());
  return Inputs();
}

bool RouterCore::State::SendChange(CallId call, const NodeId& to, wire::LayoutChangeRequest request) {
  if (!links_.Linked(to)) return false;
  request.set_call(next_change_++);
  changes_[request.call()] = {call, to};
  Outgoing out;
  out.to = to;
  *out.message.header.mutable_layout_change_request() = std::move(request);
  out_.send.push_back(std::move(out));
  return true;
}

std::vector<NodeId> RouterCore::State::Proposers() {
  std::vector<NodeId> living, others;
  for (const cluster::MemberIndex voter : layout_->voters) {
    const NodeId& id = layout_->members[voter].id;
    if (links_.Linked(id)) (membership_.IsAlive(id) ? living : others).push_back(id);
  }
  std::sort(living.begin(), living.end());
  std::sort(others.begin(), others.end());
  // Without a vote a member may still carry out `force`, when every voter is gone.
  for (const NodeId& id : LinkedStorage()) {
    if (!layout_->IsVoter(id)) others.push_back(id);
  }
  living.insert(living.end(), others.begin(), others.end());
  return living;
}

// ---- Calls ------------------------------------------------------------------------------------------------------------

void RouterCore::State::Invoke(CallId id, Request request, std::uint64_t bytes, Instant deadline) {
  Active& active = calls_[id];
  active.method = MethodOf(request);
  active.began = now_;
  active.deadline = active.call_deadline = deadline;
  ++counters_.methods[static_cast<std::size_t>(active.method)].under_way;
  auto refuse = [&](Status status) {
    End(id, std::move(status));
    Remove(id);
  };
  if (leaving_) return refuse(Stopping());
  if (calls_.size() > config_.max_calls) {
    ++counters_.shed_calls;
    return refuse(TooManyCalls(config_.max_calls));
  }
  if (counters_.queued_bytes + bytes > config_.max_queued_bytes) {
    ++counters_.shed_calls;
    return refuse(TooManyBytes(config_.max_queued_bytes));
  }
  if (deadline <= now_) return refuse(router::NotSent("the deadline had passed when the call arrived"));
  const std::uint64_t limit = layout_ ? layout_->settings.chunk_limit_bytes : std::numeric_limits<std::uint64_t>::max();
  if (const auto violations = Validate(request, limit); !violations.empty()) return refuse(InvalidRequest(violations));
  active.bytes = bytes;
  counters_.queued_bytes += bytes;
  if (!layout_) active.deadline = std::min(deadline, now_ + config_.layout_patience);
  deadlines_.insert({active.deadline, id});
  if (layout_) return Begin(id, std::move(request));
  active.waiting = std::move(request);
}

std::optional<Response> RouterCore::State::GetCached(const v1::GetRequest& request, Instant deadline) {
  if (!layout_ || leaving_ || deadline <= now_ || request.id().size() != BlockId::kSize) return std::nullopt;
  if (request.offset() != 0 || request.length() != 0) return std::nullopt;
  const ZoneId* const zone = CachedZone(request.zone());
  if (!zone) return std::nullopt;
  Payload chunk = cache_.FindHit(now_, *zone, BlockId::Must(request.id()));
  if (!chunk) return std::nullopt;
  Count(Method::kChunksGet, now_, Code::kOk);
  const std::uint64_t size = chunk->size();
  return EncodeGetResponse(std::move(chunk), size);
}

// The layout has come: what waited for it is held against its limit, and has all of its time again.
void RouterCore::State::BeginWaiting(CallId id) {
  Active& active = calls_.at(id);
  Request request = *std::exchange(active.waiting, std::nullopt);
  deadlines_.erase({active.deadline, id});
  active.deadline = active.call_deadline;
  deadlines_.insert({active.deadline, id});
  if (const auto violations = Validate(request, layout_->settings.chunk_limit_bytes); !violations.empty()) {
    End(id, InvalidRequest(violations));
    return Remove(id);
  }
  Begin(id, std::move(request));
}

// The layout is known and the request valid: make the handler and start it.
void RouterCore::State::Begin(CallId id, Request request) {
  Active& active = calls_.at(id);
  if (active.method >= Method::kClusterGetStatus) world_watchers_.insert(id);
  active.call = MakeCall(id, active.call_deadline, *this, std::move(request));
  With(id, [](Call& call) { call.Start(); });
}

void RouterCore::State::Remove(CallId id) {
  auto it = calls_.find(id);
  if (it == calls_.end()) return;
  Active& active = it->second;
  for (const OpId op : active.ops) {
    dispatcher_.Cancel(op);
    owners_.erase(op);
  }
  counters_.queued_bytes -= active.bytes;
  deadlines_.erase({active.deadline, id});
  if (active.wake != kNever) wakes_.erase({active.wake, id});
  world_watchers_.erase(id);
  zones_.Abandon(id);
  std::erase_if(changes_, [id](const auto& entry) { return entry.second.call == id; });
  calls_.erase(it);
}

void RouterCore::State::TellWatchersOfTheWorld() {
  if (!std::exchange(world_changed_, false) || !layout_) return;
  for (const CallId id : std::set<CallId>(world_watchers_)) With(id, [](Call& call) { call.WorldChanged(); });
}

// ---- Zones ------------------------------------------------------------------------------------------------------------

void RouterCore::State::LookUp(const std::string& name, Instant deadline) {
  ++counters_.zone_lookups;
  OpSpec spec;
  spec.partition = cluster::RegistryPartition(layout_->partition_count());
  spec.request.set_zone(ZoneId().str());
  spec.request.mutable_get_zone()->set_name(name);
  spec.deadline = std::min(deadline, now_ + kLookupMost);
  owners_[dispatcher_.Start(now_, std::move(spec))] = {0, 0, name};
}

void RouterCore::State::LookupEnded(const std::string& name, OpResult result) {
  Status status = std::move(result.status);
  ZoneId id;
  if (IsOk(status)) {
    const auto& zones = result.response.zones().zones();
    const bool usable = zones.size() == 1 && !zones[0].deleting();
    if (usable) id = ZoneId::Must(zones[0].id());
    if (id.IsZero()) status = ZoneUnknown(name);
  } else if (CodeOf(status) == Code::kNotFound) {
    status = ZoneUnknown(name);
  }
  if (!zones_.Done(now_, name, status, id, &zone_answers_)) return;
  LookUp(name, kNever);  // whoever has less time is ended by its own deadline
}

}  // namespace coffer::router
