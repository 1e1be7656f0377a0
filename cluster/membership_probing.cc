// Probes: ours, and those we make for others.
#include <algorithm>

#include "cluster/membership_state.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {

// --- Ours -------------------------------------------------------------------------------------------------------------

void Membership::State::TickProbes(Instant now) {
  std::vector<std::uint64_t> failed;
  for (auto& [sequence, probe] : probes) {
    if (probe.deadline <= now) failed.push_back(sequence);
    else if (probe.ask_others <= now) AskOthers(now, sequence, &probe);
  }
  for (const std::uint64_t sequence : failed) FailProbe(now, sequence);
  for (auto it = relays.begin(); it != relays.end();) {
    if (it->second.nack <= now) Nack(&it->second);
    it = it->second.deadline <= now ? relays.erase(it) : std::next(it);
  }
  if (leaving || order.size() == 0) {
    next_probe = std::max(next_probe, now);
  } else if (next_probe <= now) {
    next_probe = now + config.probe_interval * (awareness + 1);
    const std::size_t count = std::min(order.size(), static_cast<std::size_t>(config.probes_per_interval));
    for (std::size_t i = 0; i < count; ++i) StartProbe(now, order.Next());
  }
}

// Lifeguard: whoever is slow himself waits longer before he blames others.
void Membership::State::StartProbe(Instant now, const NodeId& target) {
  if (leaving || FindProbe(target, nullptr) != nullptr) return;
  ++counts.probes;
  const std::uint64_t sequence = ++last_sequence;
  const Duration timeout = config.probe_timeout * (awareness + 1);
  Probe& probe = probes[sequence];
  probe.target = target;
  probe.ask_others = now + timeout;
  probe.deadline = now + 2 * timeout;
  if (IsLinked(target)) {
    SendPing(target, sequence);
  } else {
    probe.deadline = now + timeout;
    AskOthers(now, sequence, &probe);
    ConcludeIfHopeless(now, target);
  }
}

Membership::State::Probe* Membership::State::FindProbe(const NodeId& target, std::uint64_t* sequence) {
  for (auto& [number, probe] : probes) {
    if (probe.target != target) continue;
    if (sequence != nullptr) *sequence = number;
    return &probe;
  }
  return nullptr;
}

// Whom we take for anything but alive hears it from us first (Lifeguard's buddy system), and can refute in the answer.
void Membership::State::SendPing(const NodeId& target, std::uint64_t sequence) {
  wire::Peer message;
  wire::Ping& ping = *message.mutable_ping();
  ping.set_sequence(sequence);
  ping.set_target(target.str());
  if (Find(target) != nullptr && !IsMemberAlive(target)) *ping.add_updates() = UpdateOf(target);
  Piggyback(&ping);
  Send(target, std::move(message));
}

void Membership::State::AskOthers(Instant now, std::uint64_t sequence, Probe* probe) {
  probe->ask_others = kNever;
  const MemberRecord* target = Find(probe->target);
  if (target == nullptr) return;
  // Asked late because of a broken link, they still have the time it takes.
  probe->deadline = std::max(probe->deadline, now + config.probe_timeout * (awareness + 1));
  const auto helpers = PickLinked(static_cast<std::size_t>(config.indirect_probes), probe->target, false);
  if (!helpers.empty()) {
    RULE("M3 others are asked");
    ++counts.probes_indirect;
  }
  for (const NodeId& helper : helpers) {
    wire::Peer message;
    wire::PingRequest& request = *message.mutable_ping_request();
    request.set_sequence(sequence);
    request.set_target(probe->target.str());
    request.set_target_address(target->facts->address());
    if (target->state != Liveness::kAlive) *request.add_updates() = UpdateOf(probe->target);
    Piggyback(&request);
    Send(helper, std::move(message));
    probe->helpers.insert(helper);
  }
}

// No need to wait for the deadline when nothing listens at the target's address and none of those we asked can reach it.
void Membership::State::ConcludeIfHopeless(Instant now, const NodeId& target) {
  std::uint64_t sequence = 0;
  const Probe* probe = FindProbe(target, &sequence);
  if (probe == nullptr || probe->ask_others != kNever || probe->nacked.size() < probe->helpers.size()) return;
  const auto path = paths.find(target);
  if (path != paths.end() && path->second.refused && !path->second.linked) FailProbe(now, sequence);
}

void Membership::State::FailProbe(Instant now, std::uint64_t sequence) {
  const auto it = probes.find(sequence);
  if (it == probes.end()) return;
  const Probe probe = std::move(it->second);
  probes.erase(it);
  ++counts.probes_failed;
  const auto path = paths.find(probe.target);
  const bool refused = path != paths.end() && path->second.refused && !path->second.linked;
  // Helpers that did not even say no: perhaps it is us who hear nothing. Without helpers only a refusal speaks for us.
  const int silent = static_cast<int>(probe.helpers.size() - probe.nacked.size());
  const int blame = probe.helpers.empty() ? (refused ? 0 : 1) : silent;
  if (blame > 0) RULE("M6");
  awareness = std::min(awareness + blame, config.awareness_max);
  if (Find(probe.target) == nullptr) return;
  Suspect(now, probe.target, self);
  const bool confirmed = probe.helpers.empty() || !probe.nacked.empty();
  if (refused && confirmed) {
    RULE("M7");
    suspicions.Hasten(probe.target);
  }
}

void Membership::State::OnPingAck(Instant now, const NodeId& from, const wire::PingAck& m) {
  for (const wire::MemberUpdate& update : m.updates()) Merge(now, from, update, false);
  if (m.sequence() == 0) return;  // news only
  if (const auto relay = relays.find(m.sequence()); relay != relays.end() && relay->second.target == from) {
    wire::Peer answer;
    answer.mutable_ping_ack()->set_sequence(relay->second.requester_sequence);
    // What we hold of the target now may be what clears it in the eyes of who asked.
    if (Find(from) != nullptr) *answer.mutable_ping_ack()->add_updates() = UpdateOf(from);
    Send(relay->second.requester, std::move(answer));
    relays.erase(relay);
    return;
  }
  const auto it = probes.find(m.sequence());
  if (it == probes.end() || (it->second.target != from && it->second.helpers.count(from) == 0)) {
    ++counts.stale;
    return;
  }
  suspicions.Calm(it->second.target);
  awareness = std::max(awareness - 1, 0);
  probes.erase(it);
}

void Membership::State::OnPingNack(Instant now, const NodeId& from, const wire::PingNack& m) {
  const auto it = probes.find(m.sequence());
  if (it == probes.end() || it->second.helpers.count(from) == 0) {
    ++counts.stale;
    return;
  }
  it->second.nacked.insert(from);
  ConcludeIfHopeless(now, it->second.target);
}

// --- For others -------------------------------------------------------------------------------------------------------

void Membership::State::OnPing(Instant now, const NodeId& from, const wire::Ping& m) {
  if (!NodeId::From(m.target()) || m.sequence() == 0) {
    ++counts.malformed;
    return;
  }
  for (const wire::MemberUpdate& update : m.updates()) Merge(now, from, update, false);
  if (m.target() != self.view()) {
    ++counts.misdirected;
    return;
  }
  if (!answering) {
    RULE("M10");
    ++counts.unanswered;
    return;
  }
  wire::Peer answer;
  answer.mutable_ping_ack()->set_sequence(m.sequence());
  Piggyback(answer.mutable_ping_ack());
  Send(from, std::move(answer));
}

void Membership::State::OnPingRequest(Instant now, const NodeId& from, const wire::PingRequest& m) {
  const auto target = NodeId::From(m.target());
  if (!target || target->IsZero() || m.sequence() == 0 || m.target_address().size() > kMaxFactBytes) {
    ++counts.malformed;
    return;
  }
  for (const wire::MemberUpdate& update : m.updates()) Merge(now, from, update, false);
  if (!answering || *target == self || leaving) {
    ++(answering ? counts.misdirected : counts.unanswered);
    return;
  }
  if (relays.size() >= kMaxRelays) {
    ++counts.overflow;
    return;
  }
  const std::uint64_t sequence = ++last_sequence;
  Relay& relay = relays[sequence];
  relay = {from, m.sequence(), *target, now + config.probe_timeout * 4 / 5, now + 2 * config.probe_timeout};
  if (IsLinked(*target)) return SendPing(*target, sequence);
  const auto path = paths.find(*target);
  if (path != paths.end() && path->second.refused) Nack(&relay);
  else if (Find(*target) == nullptr) Dial(m.target_address());
}

void Membership::State::Nack(Relay* relay) {
  RULE("M3 no answer");
  wire::Peer message;
  message.mutable_ping_nack()->set_sequence(relay->requester_sequence);
  Send(relay->requester, std::move(message));
  relay->nack = kNever;
}

// --- When the way to a peer changes -----------------------------------------------------------------------------------

// Pings that could not be sent, or were lost with the old link, are sent again.
void Membership::State::PathOpened(const NodeId& peer) {
  for (auto& [sequence, probe] : probes) {
    if (probe.target == peer) SendPing(peer, sequence);
  }
  for (auto& [sequence, relay] : relays) {
    if (relay.target == peer) SendPing(peer, sequence);
  }
}

// A broken link proves nothing but is reason to look at once, through others, for whom the link may stand.
void Membership::State::PathClosed(Instant now, const NodeId& peer) {
  const bool refused = paths.at(peer).refused;
  for (auto& [sequence, relay] : relays) {
    if (refused && relay.target == peer && relay.nack != kNever) Nack(&relay);
  }
  const MemberRecord* member = Find(peer);
  if (member->state != Liveness::kAlive && member->state != Liveness::kSuspect) return;
  std::uint64_t sequence = 0;
  Probe* probe = FindProbe(peer, &sequence);
  if (probe == nullptr) return StartProbe(now, peer);
  if (probe->ask_others != kNever) AskOthers(now, sequence, probe);
  ConcludeIfHopeless(now, peer);
}

}  // namespace coffer::cluster
