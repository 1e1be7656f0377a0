#include "cluster/membership.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cluster/membership_state.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {

MembershipConfig MembershipConfig::Scaled(std::size_t members) const {
  MembershipConfig config = *this;
  constexpr double kDefaultSize = 32;
  const double ratio = std::max(1.0, static_cast<double>(members) / kDefaultSize);
  const double longer = 1 + std::log10(ratio);
  const auto scale = [](Duration d, double by) { return Duration(static_cast<Duration::rep>(static_cast<double>(d.count()) * by)); };
  if (!suspicion_max_chosen) config.suspicion_max = scale(suspicion_max, longer);
  if (!suspicion_min_chosen) config.suspicion_min = std::min(scale(suspicion_min, longer), config.suspicion_max);
  config.suspicion_refused = scale(config.suspicion_refused, longer);
  config.push_pull_interval = scale(config.push_pull_interval, ratio);
  return config;
}

// --- The state, in general --------------------------------------------------------------------------------------------

Membership::State::State(MembershipConfig c, wire::MemberFacts facts, Incarnation incarnation, std::uint64_t seed, Instant now)
    : chosen(c), config(c.Scaled(1)), self(NodeId::Must(facts.id())), random(seed), order(random.Next()), called(now), last_gossip(now) {
  members[self] = MemberRecord{.facts = std::move(facts), .incarnation = incarnation, .state = Liveness::kAlive, .since = now};
  // Members started by the same hand must not probe in step.
  const auto part = [&](Duration d) { return Duration(static_cast<Duration::rep>(random.Below(static_cast<std::uint64_t>(d.count()) + 1))); };
  next_probe = now + part(config.probe_interval);
  next_push_pull = now + part(config.push_pull_interval);
  drawn_for = config.push_pull_interval;
  next_reaping = now + config.router_memory;
}

// Notices when we were not called in time: then it was us who paused, and nobody may be accused of it.
void Membership::State::Enter(Instant now) {
  // Calls that follow before the next Tick find the same timers due; the pause is counted once.
  const Instant due = std::max(NextTimer(), called);
  if (due != kNever && now - due > config.probe_timeout) {
    ++counts.stalls;
    awareness = std::min(awareness + 1, config.awareness_max);
    probes.clear();
    relays.clear();
    suspicions.PostponeAll(now - due);
    next_probe = now + config.probe_interval;
  }
  called = std::max(called, now);
}

// The size is that of now: members have come or gone since.
void Membership::State::Rescale(Instant now) {
  scaled_for = Size();
  config = chosen.Scaled(scaled_for);
  if (config.push_pull_interval >= 2 * drawn_for) {  // a table has just come, and all who met it would send theirs within the short time
    drawn_for = config.push_pull_interval;
    next_push_pull = now + Duration(static_cast<Duration::rep>(random.Below(static_cast<std::uint64_t>(drawn_for.count()))));
  }
  next_push_pull = std::min(next_push_pull, now + config.push_pull_interval);
}

Membership::Output Membership::State::Exit(Instant now) {
  if (scaled_for != Size()) Rescale(now);
  TickGossip(now);
  return std::exchange(out, {});
}

Instant Membership::State::NextTimer() const {
  Instant next = std::min({next_gossip, next_seed_dial, retries.NextDue(), next_reaping, suspicions.NextDeadline()});
  if (order.size() > 0 && !leaving) next = std::min({next, next_probe, next_push_pull});
  for (const auto& [sequence, probe] : probes) next = std::min({next, probe.ask_others, probe.deadline});
  for (const auto& [sequence, relay] : relays) next = std::min({next, relay.nack, relay.deadline});
  return next;
}

Instant Membership::State::NextDeadline() const { return answering && accused_at ? called : NextTimer(); }

const MemberRecord* Membership::State::Find(const NodeId& id) const {
  const auto it = members.find(id);
  return it == members.end() ? nullptr : &it->second;
}

bool Membership::State::IsMemberAlive(const NodeId& id) const {
  const MemberRecord* member = Find(id);
  return member != nullptr && member->state == Liveness::kAlive;
}

bool Membership::State::IsLinked(const NodeId& id) const {
  const auto it = paths.find(id);
  return it != paths.end() && it->second.linked;
}

void Membership::State::Send(const NodeId& to, wire::Peer message) {
  if (to != self) out.send.push_back({to, PeerMessage{.header = std::move(message)}});
}

void Membership::State::Dial(const std::string& address) {
  if (address.empty() || address == Own().facts->address()) return;
  if (std::find(out.dial.begin(), out.dial.end(), address) == out.dial.end()) out.dial.push_back(address);
}

// A random choice among those we have a link to.
std::vector<NodeId> Membership::State::PickLinked(std::size_t count, const NodeId& except, bool also_suspects) {
  std::vector<NodeId> candidates;
  if (Size() > kLarge) candidates = DrawLinked(count, except, also_suspects);
  if (candidates.size() == count && count > 0) return candidates;
  candidates.clear();
  for (const auto& [id, path] : paths) {
    const MemberRecord* member = path.linked && id != except && id != self ? Find(id) : nullptr;
    if (member == nullptr) continue;
    if (member->state == Liveness::kAlive || (also_suspects && member->state == Liveness::kSuspect)) candidates.push_back(id);
  }
  count = std::min(count, candidates.size());
  for (std::size_t i = 0; i < count; ++i) std::swap(candidates[i], candidates[i + random.Below(candidates.size() - i)]);
  candidates.resize(count);
  return candidates;
}

// The same by drawing until enough are found: a look at thousands for every message would cost more than all else. Fewer than
// `count` when most members are not linked.
std::vector<NodeId> Membership::State::DrawLinked(std::size_t count, const NodeId& except, bool also_suspects) {
  std::vector<NodeId> chosen;
  for (std::size_t tries = 8 * (count + 1); tries > 0 && chosen.size() < count; --tries) {
    const NodeId& id = order.At(random.Below(order.size()));
    if (id == except || !IsLinked(id) || std::find(chosen.begin(), chosen.end(), id) != chosen.end()) continue;
    if (also_suspects || IsMemberAlive(id)) chosen.push_back(id);
  }
  return chosen;
}

// --- The public calls -------------------------------------------------------------------------------------------------

Membership::Membership(MembershipConfig config, wire::MemberFacts self, Incarnation incarnation, std::uint64_t seed, Instant now)
    : state_(std::make_unique<State>(config, std::move(self), incarnation, seed, now)) {}
Membership::Membership(Membership&&) noexcept = default;
Membership& Membership::operator=(Membership&&) noexcept = default;
Membership::~Membership() = default;

Membership::Output Membership::Tick(Instant now) {
  State& s = *state_;
  s.Enter(now);
  if (s.answering && s.accused_at) s.Refute(now, *s.accused_at);
  s.TickProbes(now);
  s.TickSuspicions(now);
  s.TickRetries(now);
  s.TickPushPull(now);
  s.Reap(now);
  return s.Exit(now);
}

Membership::Output Membership::Receive(Instant now, const NodeId& from, const wire::Peer& message) {
  State& s = *state_;
  s.Enter(now);
  if (from == s.self || from.IsZero()) {
    ++s.counts.malformed;
    return s.Exit(now);
  }
  switch (message.kind_case()) {
    case wire::Peer::kPing: s.OnPing(now, from, message.ping()); break;
    case wire::Peer::kPingAck: s.OnPingAck(now, from, message.ping_ack()); break;
    case wire::Peer::kPingRequest: s.OnPingRequest(now, from, message.ping_request()); break;
    case wire::Peer::kPingNack: s.OnPingNack(now, from, message.ping_nack()); break;
    case wire::Peer::kPushPull: s.OnPushPull(now, from, message.push_pull()); break;
    default: ++s.counts.malformed;
  }
  return s.Exit(now);
}

Membership::Output Membership::LinkUp(Instant now, const NodeId& peer) {
  State& s = *state_;
  s.Enter(now);
  if (peer == s.self || peer.IsZero()) return s.Exit(now);
  State::Path& path = s.paths[peer];
  path.linked = true;
  path.refused = false;
  s.SendTable(now, peer, false);
  s.PathOpened(peer);
  s.ScheduleRetry(now, peer, false);
  if (!s.queue.empty()) s.next_gossip = std::min(s.next_gossip, now + s.config.gossip_interval);
  return s.Exit(now);
}

Membership::Output Membership::LinkDown(Instant now, const NodeId& peer, bool refused) {
  State& s = *state_;
  s.Enter(now);
  if (peer != s.self && !peer.IsZero()) {
    if (s.Find(peer) == nullptr) {
      s.paths.erase(peer);
      s.retries.Drop(peer);
    } else {
      State::Path& path = s.paths[peer];
      const bool broke = std::exchange(path.linked, false);
      path.refused = path.refused || refused;
      path.table_sent = State::kNotSent;
      // At once after a break only: a dial that failed is repeated in its time, or it would be for ever.
      s.ScheduleRetry(now, peer, broke && !refused);
      s.PathClosed(now, peer);
    }
  }
  return s.Exit(now);
}

Membership::Output Membership::DialFailed(Instant now, const std::string& address, bool refused) {
  Output all;
  std::vector<NodeId> there;
  for (const auto& [id, member] : state_->members) {
    if (id != state_->self && member.facts->address() == address && !state_->IsLinked(id)) there.push_back(id);
  }
  if (!refused) there.clear();  // a dial that timed out says nothing that the missing link did not
  for (const NodeId& id : there) {
    Output one = LinkDown(now, id, true);
    for (auto& x : one.send) all.send.push_back(std::move(x));
    for (auto& x : one.dial) all.dial.push_back(std::move(x));
    for (auto& x : one.changes) all.changes.push_back(x);
    for (auto& x : one.duplicates) all.duplicates.push_back(std::move(x));
  }
  return all;
}

Membership::Output Membership::UpdateSelf(Instant now, const wire::MemberFacts& facts, bool urgent) {
  State& s = *state_;
  s.Enter(now);
  Facts& own = s.Own().facts;
  wire::MemberFacts next = facts;
  next.set_id(s.self.str());
  next.set_boot(own->boot());  // the boot counter is fixed for the life of the process
  if (s.leaving) next.set_leaving(true);
  if (next.SerializeAsString() == own->SerializeAsString()) return s.Exit(now);
  urgent = urgent || next.epoch() != own->epoch() || next.address() != own->address() || next.read_only() != own->read_only();
  own = std::move(next);
  s.dirty = true;
  s.facts_changed = true;
  if (urgent && s.answering) {
    s.RaiseIncarnation();
    s.News(now, s.self);
  }
  return s.Exit(now);
}

void Membership::SetAnswering(bool answering) { state_->answering = answering; }

Membership::Output Membership::Leave(Instant now) {
  State& s = *state_;
  s.Enter(now);
  if (s.leaving) return s.Exit(now);
  RULE("M11");
  s.leaving = true;
  s.Own().facts.Edit().set_leaving(true);
  s.Own().state = Liveness::kLeft;
  s.Own().since = now;
  s.RaiseIncarnation();
  s.probes.clear();
  s.suspicions.Clear();
  s.seeds.clear();
  s.next_seed_dial = kNever;
  s.News(now, s.self);
  wire::Peer farewell;
  *farewell.mutable_ping_ack()->add_updates() = s.UpdateOf(s.self);
  // Those who leave at the same time, too: they wait for us otherwise.
  for (const auto& [peer, path] : s.paths) {
    if (path.linked) s.Send(peer, farewell);
  }
  return s.Exit(now);
}

Membership::Output Membership::Remember(Instant now, const std::vector<wire::MemberFacts>& peers) {
  State& s = *state_;
  s.Enter(now);
  for (const wire::MemberFacts& facts : peers) {
    if (facts.id().empty()) {
      if (s.seeds.size() < State::kMaxSeeds && !facts.address().empty()) s.seeds.insert(facts.address());
      else ++s.counts.overflow;
      continue;
    }
    MemberRecord past{.facts = facts, .incarnation = Incarnation(0), .state = Liveness::kDead};
    const auto update = ReadNews(WriteUpdate(past, NodeId{}), s.pool.get());
    if (!update) {
      ++s.counts.malformed;
    } else if (update->id != s.self && s.Find(update->id) == nullptr) {
      s.Introduce(now, *update);
      // Nothing happened, so nobody needs to hear of it; but the addresses are tried now.
      s.out.changes.clear();
      s.queue.Remove(update->id);
      if (s.retries.Contains(update->id)) s.retries.Set(update->id, now);
    }
  }
  s.DialSeeds(now);
  s.TickRetries(now);
  return s.Exit(now);
}

void Membership::Forget(const NodeId& id) {
  State& s = *state_;
  const MemberRecord* member = s.Find(id);
  if (id == s.self || member == nullptr) return;
  if (s.forgotten.size() >= State::kMaxForgotten) s.forgotten.erase(s.forgotten.begin());
  s.forgotten[id] = *member;
  s.members.erase(id);
  s.suspicions.End(id);
  s.order.Remove(id);
  s.queue.Remove(id);
  s.retries.Drop(id);
  if (!s.IsLinked(id)) s.paths.erase(id);
  std::erase_if(s.probes, [&](const auto& p) { return p.second.target == id; });
  s.dirty = true;
}

Instant Membership::NextDeadline() const { return state_->NextDeadline(); }
std::shared_ptr<const Membership::View> Membership::view() const {
  if (std::exchange(state_->dirty, false)) {
    View view;
    for (const auto& [id, record] : state_->members) view.emplace_hint(view.end(), id, record.View());
    state_->view = std::make_shared<const View>(std::move(view));
  }
  return state_->view;
}
bool Membership::IsAlive(const NodeId& id) const { return id == state_->self || state_->IsMemberAlive(id); }
bool Membership::IsSuspected(const NodeId& id) const { return !IsAlive(id); }
int Membership::awareness() const { return state_->awareness; }

MembershipCounters Membership::counters() const {
  MembershipCounters counts = state_->counts;
  counts.news_dropped = state_->queue.dropped();
  return counts;
}

void Membership::VisitQueues(const QueueVisitor& visit) const {
  const State& s = *state_;
  visit({"members", s.members.size(), s.chosen.max_members});
  visit({"probes", s.probes.size(), s.members.size()});
  visit({"probes for others", s.relays.size(), State::kMaxRelays});
  visit({"news", s.queue.size(), State::kMaxQueued});
  visit({"members that were forgotten", s.forgotten.size(), State::kMaxForgotten});
  visit({"addresses to begin with", s.seeds.size(), State::kMaxSeeds});
  visit({"duplicates that were reported", s.reported.size(), State::kMaxReported});
}

}  // namespace coffer::cluster
