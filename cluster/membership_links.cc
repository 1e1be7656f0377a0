// Links: whole tables when one comes up, and trying again where there is none.
#include <algorithm>
#include <utility>

#include "cluster/membership_state.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {

// --- Tables -----------------------------------------------------------------------------------------------------------

void Membership::State::SendTable(Instant now, const NodeId& to, bool answer) {
  if (facts_changed && answering) RaiseIncarnation();
  wire::Peer message;
  wire::PushPull& table = *message.mutable_push_pull();
  table.set_answer(answer);
  for (const auto& [id, member] : members) *table.add_updates() = UpdateOf(id);
  paths[to].table_sent = now;
  Send(to, std::move(message));
}

void Membership::State::OnPushPull(Instant now, const NodeId& from, const wire::PushPull& m) {
  // Whoever knew nobody is the last to learn of the members of a large cluster: passing all of them on would keep it busy for minutes.
  quiet = order.size() == 0 && static_cast<std::size_t>(m.updates_size()) > kLarge;
  for (const wire::MemberUpdate& update : m.updates()) Merge(now, from, update, true);
  quiet = false;
  if (m.answer()) return;
  if (!answering) {
    ++counts.unanswered;
    return;
  }
  // When a link comes up both ends send their table: that is the answer already.
  const auto path = paths.find(from);
  const bool just_sent = path != paths.end() && path->second.table_sent != kNotSent && now - path->second.table_sent < config.probe_interval;
  if (just_sent) return;
  RULE("M8 both ways");
  SendTable(now, from, true);
}

void Membership::State::TickPushPull(Instant now) {
  if (now < next_push_pull) return;
  next_push_pull = now + config.push_pull_interval;
  if (leaving) return;
  for (const NodeId& partner : PickLinked(1, self, false)) SendTable(now, partner, false);
}

// --- Trying again -----------------------------------------------------------------------------------------------------

void Membership::State::TickRetries(Instant now) {
  for (const NodeId& peer : retries.TakeDue(now)) Retry(now, peer);
  if (next_seed_dial <= now) DialSeeds(now);
}

void Membership::State::Retry(Instant now, const NodeId& peer) {
  const MemberRecord* member = Find(peer);
  if (IsLinked(peer)) {
    // Linked, and yet not alive: one of us has missed something. A large table, sent by everybody to one who only stands still, would
    // be the most that is ever sent; the accusation is enough for it to refute.
    if (!IsMemberAlive(peer) && (Size() <= kLarge || member == nullptr)) SendTable(now, peer, false);
    else if (!IsMemberAlive(peer)) SendPing(peer, ++last_sequence);
  } else if (member != nullptr && !IsReachedElsewhere(peer, member->facts->address())) {
    RULE("M9");
    Dial(member->facts->address());
  }
  ScheduleRetry(now, peer, false);
}

void Membership::State::ScheduleRetry(Instant now, const NodeId& peer, bool at_once) {
  const MemberRecord* member = Find(peer);
  const bool linked = IsLinked(peer);
  retries.Drop(peer);
  if (leaving || (linked && IsMemberAlive(peer))) return;
  if (member == nullptr && !linked) return;
  if (at_once && !linked) {
    Dial(member->facts->address());
  }
  Duration wait = config.dead_retry_interval;
  if (member != nullptr) {
    const bool counts = Counts(member->state);
    if (counts && !linked) wait /= 4;
    if (member->state == Liveness::kLeft || (!counts && now - member->since > kLongDead)) wait = config.dead_retry_long;
  }
  // Up to a quarter more or less, so that two members do not dial each other at the same moment for ever.
  const auto half = static_cast<std::uint64_t>(wait.count() / 2);
  retries.Set(peer, now + wait * 3 / 4 + Duration(static_cast<Duration::rep>(random.Below(half + 1))));
}

// The process at this address is another member that we talk to: the peer's successor with a new id.
bool Membership::State::IsReachedElsewhere(const NodeId& id, const std::string& address) const {
  return std::any_of(members.begin(), members.end(), [&](const auto& m) {
    const auto& [other, member] = m;
    return member.facts->address() == address && other != id && member.state == Liveness::kAlive && IsLinked(other);
  });
}

// Addresses without an id. Once anybody is alive they matter little, but may still lead to the other half of a cluster.
void Membership::State::DialSeeds(Instant now) {
  next_seed_dial = kNever;
  if (seeds.empty() || leaving) return;
  for (const std::string& address : seeds) {
    if (!IsReachedElsewhere(self, address)) Dial(address);
  }
  next_seed_dial = now + (order.size() > 0 ? config.dead_retry_long : config.dead_retry_interval);
}

}  // namespace coffer::cluster
