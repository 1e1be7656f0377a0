#include "router/core/router_core.h"

#include <algorithm>
#include <iterator>

#include "router/core/router_state.h"

namespace coffer::router {
namespace {

// Links, epochs and reports are looked after this often.
constexpr Duration kMaintain = std::chrono::milliseconds(100);
// With a layout, one member after the other is asked for a newer one this often, in case gossip and answers are silent.
constexpr Duration kPullEvery = std::chrono::milliseconds(500);
// Its load is measured, and becomes news for the next table of gossip, this often.
constexpr Duration kLoadEvery = std::chrono::seconds(1);

template <class T>
void MoveTo(std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

wire::MemberFacts AsRouter(wire::MemberFacts facts) {
  facts.set_role(v1::MEMBER_ROLE_ROUTER);
  return facts;
}

ChunkCacheConfig WithOverflow(ChunkCacheConfig config, DiskIndex* disk, const Instant* now) {
  if (!disk->on()) return config;
  config.overflow = [disk, now](const ChunkKey& key, Instant read_at, Payload chunk) {
    disk->Offer(*now, read_at, key, std::move(chunk));
  };
  return config;
}

// A router is new at every start, id and all, so its incarnations have nothing to exceed.
constexpr Incarnation kFirstIncarnation(1);
constexpr std::uint64_t kChainEndsShare = 8;  // beside the cache of chunks, one in so many of its bytes

}  // namespace

void RouterCore::Output::Append(Output&& other) {
  MoveTo(other.send, &send);
  MoveTo(other.dial, &dial);
  MoveTo(other.replies, &replies);
  MoveTo(other.disk_writes, &disk_writes);
  MoveTo(other.disk_reads, &disk_reads);
  if (other.joined) joined = other.joined;
  if (other.adopted) adopted = std::move(other.adopted);
}

RouterCore::State::State(RouterCoreConfig config, std::uint64_t seed, Instant now)
    : config_(std::move(config)),
      now_(now),
      random_(seed),
      membership_(config_.membership, AsRouter(config_.self), kFirstIncarnation, random_.Next(), now),
      agreement_(NodeId::Must(config_.self.id()), Boot(1), {}, random_.Next()),
      dispatcher_(config_.dispatcher, random_.Next()),
      zones_(config_.zones),
      disk_(config_.disk, seed, now),
      cache_(WithOverflow(config_.cache, &disk_, &now_), random_.Next()),
      chain_ends_(config_.cache.bytes / kChainEndsShare),
      links_(config_.seeds, config_.self.address()),
      reports_(config_.report_interest),
      self_(AsRouter(config_.self)),
      maintain_at_(now),
      wall_at_(now),
      load_(now),
      load_at_(now + kLoadEvery) {}

// ---- Machines ---------------------------------------------------------------------------------------------------------

void RouterCore::State::Apply(cluster::Membership::Output output) {
  MoveTo(output.send, &out_.send);
  MoveTo(output.dial, &out_.dial);
  if (!output.changes.empty()) {
    std::set<NodeId> suspects;
    for (const auto& [id, member] : *membership_.view()) {
      if (member.state != cluster::Liveness::kAlive) suspects.insert(id);
    }
    dispatcher_.SetSuspects(now_, std::move(suspects));
    world_changed_ = true;
  }
  CompareEpochs();
}

// A router keeps nothing, so whatever agreement wants to be durable is so at once.
void RouterCore::State::Apply(cluster::Agreement::Output output) {
  MoveTo(output.now, &out_.send);
  if (output.persist) {
    MoveTo(output.after_persist, &out_.send);
    Apply(agreement_.Persisted(now_));
  }
  Adopt();
}

void RouterCore::State::Adopt() {
  auto layout = agreement_.layout();
  if (!layout || (layout_ && layout->epoch <= layout_->epoch)) return;
  if (!layout_) out_.joined = layout->cluster;
  layout_ = std::move(layout);
  layout_since_ = now_;
  out_.adopted = layout_;
  reports_.LayoutChanged();
  dispatcher_.SetLayout(now_, layout_);
  self_.set_epoch(layout_->epoch.value);
  Apply(membership_.UpdateSelf(now_, self_, /*urgent=*/true));
  world_changed_ = true;
  std::vector<CallId> waiting;
  for (const auto& [id, active] : calls_) {
    if (active.waiting) waiting.push_back(id);
  }
  for (const CallId id : waiting) BeginWaiting(id);
}

// Whoever says in gossip that it knows a newer layout is asked for it.
void RouterCore::State::CompareEpochs() {
  const auto view = membership_.view();
  if (view == compared_view_) return;
  compared_view_ = view;
  for (const auto& [id, member] : *view) {
    const Epoch theirs(member.facts.epoch());
    if (id == NodeId::Must(self_.id()) || theirs == Epoch() || theirs == agreement_.epoch()) continue;
    if (links_.Linked(id)) Apply(agreement_.PeerEpoch(now_, id, theirs));
  }
}

void RouterCore::State::SendPull(const NodeId& to) {
  Outgoing pull;
  pull.to = to;
  pull.message.header.mutable_layout_pull()->set_have_epoch(agreement_.epoch().value);
  out_.send.push_back(std::move(pull));
}

void RouterCore::State::Receive(const NodeId& from, PeerMessage message) {
  wire::Peer& header = message.header;
  switch (header.kind_case()) {
    case wire::Peer::kPing:
    case wire::Peer::kPingAck:
    case wire::Peer::kPingRequest:
    case wire::Peer::kPingNack:
    case wire::Peer::kPushPull: return Apply(membership_.Receive(now_, from, header));
    case wire::Peer::kLayoutPush:
    case wire::Peer::kLayoutPull: return Apply(agreement_.Receive(now_, from, header));
    case wire::Peer::kDataResponse: {
      const Epoch theirs(header.data_response().epoch());
      if (theirs > agreement_.epoch()) Apply(agreement_.PeerEpoch(now_, from, theirs));
      return dispatcher_.Receive(now_, from, std::move(*header.mutable_data_response()), std::move(message.bodies));
    }
    case wire::Peer::kNodeReport:
      reports_.Receive(now_, from, std::move(*header.mutable_node_report()), layout_.get());
      world_changed_ = true;
      return;
    case wire::Peer::kLayoutChangeResponse: {
      auto it = changes_.find(header.layout_change_response().call());
      if (it == changes_.end() || it->second.to != from) return;
      const CallId call = it->second.call;
      changes_.erase(it);
      const auto& answer = header.layout_change_response();
      if (Epoch(answer.epoch()) > agreement_.epoch()) Apply(agreement_.PeerEpoch(now_, from, Epoch(answer.epoch())));
      return With(call, [&](Call& c) { c.ChangeAnswered(from, answer); });
    }
    case wire::Peer::kForget: {
      const auto& forget = header.forget();
      const auto zone = ZoneId::From(forget.zone());
      if (!zone) break;
      for (const auto& bytes : forget.ids()) {
        if (const auto id = BlockId::From(bytes)) ForgetChunk(*zone, *id);
      }
      if (forget.ids().empty()) ForgetZoneId(*zone);
      return;
    }
    default: break;
  }
  ++counters_.ignored_messages;
}

void RouterCore::State::LoseChanges(const NodeId& to) {
  std::vector<CallId> lost;
  std::erase_if(changes_, [&](const auto& entry) {
    if (entry.second.to == to) lost.push_back(entry.second.call);
    return entry.second.to == to;
  });
  for (const CallId call : lost) With(call, [&](Call& c) { c.ChangeLost(to); });
}

std::set<NodeId> RouterCore::State::LinkedStorage() const {
  std::set<NodeId> storage;
  for (const auto& [id, member] : *membership_.view()) {
    if (member.facts.role() != v1::MEMBER_ROLE_ROUTER && links_.Linked(id)) storage.insert(id);
  }
  return storage;
}

// ---- The loop ---------------------------------------------------------------------------------------------------------

void RouterCore::State::OpEnded(OpResult result) {
  auto it = owners_.find(result.op);
  if (it == owners_.end()) return;
  const Owner owner = std::move(it->second);
  owners_.erase(it);
  if (!owner.lookup.empty()) return LookupEnded(owner.lookup, std::move(result));
  if (auto call = calls_.find(owner.call); call != calls_.end()) call->second.ops.erase(result.op);
  With(owner.call, [&](Call& call) { call.OpDone(owner.slot, std::move(result)); });
}

bool RouterCore::State::MoveResults() {
  dispatcher_.Tick(now_);
  auto done = dispatcher_.TakeDone();
  zones_.Overdue(now_, &zone_answers_);
  auto answers = std::exchange(zone_answers_, {});
  for (OpResult& result : done) OpEnded(std::move(result));
  for (const auto& answer : answers) {
    With(answer.waiter, [&](Call& call) { call.ZoneResolved(answer.status, answer.id, answer.old); });
  }
  return !done.empty() || !answers.empty();
}

bool RouterCore::State::Wakes() {
  if (wakes_.empty() || wakes_.begin()->first > now_) return false;
  const CallId id = wakes_.begin()->second;
  wakes_.erase(wakes_.begin());
  calls_.at(id).wake = kNever;
  With(id, [](Call& call) { call.Wake(); });
  return true;
}

void RouterCore::State::Deadlines() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    const CallId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (calls_.at(id).waiting) {
      End(id, NoLayout());
    } else {
      With(id, [](Call& call) { call.Expire(); });
    }
    Remove(id);
  }
}

void RouterCore::State::PullLayout() {
  if (!layout_) {
    for (const NodeId& peer : links_.links()) SendPull(peer);
    return;
  }
  const std::set<NodeId> storage = LinkedStorage();
  if (now_ < pull_at_ || storage.empty()) return;
  pull_at_ = now_ + kPullEvery;
  auto next = storage.upper_bound(pulled_);
  pulled_ = next == storage.end() ? *storage.begin() : *next;
  SendPull(pulled_);
}

void RouterCore::State::TellLoad() {
  if (now_ < load_at_) return;
  load_at_ = now_ + kLoadEvery;
  load_.Sample(now_, gets_, puts_);
  self_.set_gets_per_second(static_cast<std::uint32_t>(load_.gets_per_second() + 0.5));
  self_.set_puts_per_second(static_cast<std::uint32_t>(load_.puts_per_second() + 0.5));
  self_.set_p99_us(static_cast<std::uint64_t>(load_.p99_seconds() * 1e6));
  Apply(membership_.UpdateSelf(now_, self_, /*urgent=*/false));
}

void RouterCore::State::Maintain() {
  wanted_.merge(dispatcher_.TakeWantedLinks());
  if (now_ < maintain_at_) return;
  maintain_at_ = now_ + kMaintain;
  PullLayout();
  TellLoad();
  compared_view_.reset();  // once more: a pull may have been lost
  CompareEpochs();
  auto dials = links_.Due(now_, layout_.get(), *membership_.view(), std::exchange(wanted_, {}));
  if (!leaving_) MoveTo(dials, &out_.dial);
}

RouterCore::Output RouterCore::State::Pump() {
  if (membership_.NextDeadline() <= now_) Apply(membership_.Tick(now_));
  if (agreement_.NextDeadline() <= now_) Apply(agreement_.Tick(now_));
  TellWatchersOfTheWorld();
  while (MoveResults() || Wakes()) {
  }
  Deadlines();
  Maintain();
  if (reports_.Wants(now_)) {
    auto asks = reports_.Ask(now_, LinkedStorage());
    MoveTo(asks, &out_.send);
  }
  auto sends = dispatcher_.TakeSends();
  MoveTo(sends, &out_.send);
  if (disk_.on()) {
    out_.disk_writes = disk_.TakeWrites();
    out_.disk_reads = disk_.TakeReads();
  }
  return std::exchange(out_, {});
}

// ---- The face ---------------------------------------------------------------------------------------------------------

RouterCore::RouterCore(RouterCoreConfig config, std::uint64_t seed, Instant now)
    : state_(std::make_unique<State>(std::move(config), seed, now)) {}
RouterCore::~RouterCore() = default;

RouterCore::Output RouterCore::Invoke(Instant now, CallId call, Request request, std::uint64_t bytes, Instant deadline) {
  state_->now_ = now;
  state_->Invoke(call, std::move(request), bytes, deadline);
  return state_->Pump();
}

RouterCore::Output RouterCore::Cancel(Instant now, CallId call) {
  state_->now_ = now;
  state_->End(call, Cancelled());
  state_->Remove(call);
  return state_->Pump();
}

RouterCore::Output RouterCore::Receive(Instant now, const NodeId& from, PeerMessage message) {
  state_->now_ = now;
  state_->Receive(from, std::move(message));
  return state_->Pump();
}

RouterCore::Output RouterCore::LinkUp(Instant now, const NodeId& peer) {
  state_->now_ = now;
  state_->links_.LinkUp(peer);
  state_->dispatcher_.LinkUp(now, peer);
  if (!state_->layout_) state_->SendPull(peer);
  state_->Apply(state_->membership_.LinkUp(now, peer));
  return state_->Pump();
}

RouterCore::Output RouterCore::LinkDown(Instant now, const NodeId& peer) {
  state_->now_ = now;
  state_->links_.LinkDown(peer);
  state_->dispatcher_.LinkDown(now, peer);
  state_->LoseChanges(peer);
  state_->Apply(state_->membership_.LinkDown(now, peer, /*refused=*/false));
  return state_->Pump();
}

RouterCore::Output RouterCore::DialFailed(Instant now, const std::string& address, bool refused) {
  state_->now_ = now;
  for (const auto& [id, member] : *state_->membership_.view()) {
    if (member.facts.address() != address || state_->links_.Linked(id)) continue;
    state_->Apply(state_->membership_.LinkDown(now, id, refused));
    break;
  }
  return state_->Pump();
}

RouterCore::Output RouterCore::NotSent(Instant now, const NodeId& to, const wire::Peer& header) {
  state_->now_ = now;
  if (header.has_data_request()) state_->dispatcher_.NotSent(now, header.data_request().call());
  if (header.has_layout_change_request()) state_->LoseChanges(to);
  return state_->Pump();
}

RouterCore::Output RouterCore::DiskReadEnded(Instant now, DiskReadId id, DiskReadEnd end, Payload chunk) {
  state_->now_ = now;
  state_->DiskReadEnded(id, end, std::move(chunk));
  return state_->Pump();
}

RouterCore::Output RouterCore::DiskWritesEnded(Instant now, const std::vector<DiskWritten>& writes) {
  state_->now_ = now;
  state_->disk_.Written(writes);
  return state_->Pump();
}

RouterCore::Output RouterCore::DiskFailed(Instant now, std::string why) {
  state_->now_ = now;
  state_->DiskFailed(std::move(why));
  return state_->Pump();
}

std::optional<Response> RouterCore::GetCached(Instant now, const v1::GetRequest& request, Instant deadline) {
  state_->now_ = now;
  return state_->GetCached(request, deadline);
}

RouterCore::Output RouterCore::Tick(Instant now) {
  state_->now_ = now;
  return state_->Pump();
}

RouterCore::Output RouterCore::Leave(Instant now) {
  state_->now_ = now;
  state_->leaving_ = true;
  state_->Apply(state_->membership_.Leave(now));
  return state_->Pump();
}

void RouterCore::SetWallClock(Instant now, std::uint64_t ms_since_1970) {
  state_->wall_at_ = now;
  state_->wall_ms_ = ms_since_1970;
  if (state_->self_.started_ms() == 0) state_->self_.set_started_ms(ms_since_1970);
}

Instant RouterCore::NextDeadline() const {
  const State& s = *state_;
  Instant next = std::min({s.membership_.NextDeadline(), s.agreement_.NextDeadline(), s.dispatcher_.NextDeadline(),
                           s.maintain_at_, s.zones_.NextOverdue()});
  if (!s.wakes_.empty()) next = std::min(next, s.wakes_.begin()->first);
  if (!s.deadlines_.empty()) next = std::min(next, s.deadlines_.begin()->first);
  return next;
}

std::shared_ptr<const cluster::Layout> RouterCore::layout() const { return state_->layout_; }
std::shared_ptr<const cluster::Membership::View> RouterCore::members() const { return state_->membership_.view(); }
std::size_t RouterCore::calls_under_way() const { return state_->calls_.size(); }

void RouterCore::VisitQueues(const QueueVisitor& visit) const { state_->VisitQueues(visit); }

RouterCounters RouterCore::Counters() const {
  RouterCounters counters = state_->counters_;
  counters.calls_under_way = state_->calls_.size();
  counters.dispatcher = state_->dispatcher_.counters();
  counters.cache = state_->cache_.Counters();
  counters.disk = state_->Disk();
  counters.chain_ends = state_->chain_ends_.Counters();
  for (const ZoneHits& zone : state_->cache_.CountersByZone()) {
    counters.cache_zones.push_back({state_->zones_.NameOf(zone.zone), zone.hits, zone.misses, zone.disk_hits, zone.disk_misses});
  }
  return counters;
}

std::optional<v1::Status> RouterCore::LastStatus(Instant now) const {
  if (!state_->layout_) return std::nullopt;
  StatusInputs inputs = state_->Inputs();
  inputs.now = now;
  return BuildStatus(inputs);
}

}  // namespace coffer::router
