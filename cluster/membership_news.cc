// News of members: what is believed, who is told, and what we say of ourselves.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "cluster/membership_state.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {

// --- Others -----------------------------------------------------------------------------------------------------------

void Membership::State::Merge(Instant now, const NodeId& from, const wire::MemberUpdate& wire, bool whole_table) {
  const auto update = ReadNews(wire, pool.get());
  if (!update) {
    ++counts.malformed;
    return;
  }
  if (update->id == self) return MergeOwn(now, from, *update);
  const MemberRecord* known = Find(update->id);
  if (known == nullptr) return Introduce(now, *update);
  const auto order_of = Compare(update->record, *known);
  if (order_of > 0) return Adopt(now, *update, whole_table);
  const bool first_hand = update->id == from && update->record.state == Liveness::kAlive;
  if (order_of < 0 && first_hand && update->record.boot() <= known->boot() &&
      update->record.facts->address() != known->facts->address()) {
    ReportDuplicate(update->id, update->record, *known);
  }
  if (order_of == 0 && known->state == Liveness::kSuspect) return Confirm(now, update->id, update->accuser);
  // Somebody accuses an incarnation that has spoken since: he must hear it, though the accused may never.
  const bool accuses = update->record.state == Liveness::kSuspect || update->record.state == Liveness::kDead;
  if (order_of < 0 && accuses && known->state == Liveness::kAlive && !whole_table) Correct(from, update->id);
}

// A member we did not know.
void Membership::State::Introduce(Instant now, const MemberNews& update) {
  if (const auto past = forgotten.find(update.id); past != forgotten.end()) {
    if (update.record.state != Liveness::kAlive || Compare(update.record, past->second) <= 0) return;
    forgotten.erase(past);
  }
  // The death of a router nobody told us of is no news; that of a storage node is an address to try.
  const bool gone = update.record.state == Liveness::kDead || update.record.state == Liveness::kLeft;
  if (gone && update.record.facts->role() == 3) return;
  if (members.size() >= config.max_members) {
    ++counts.overflow;
    return;
  }
  MemberRecord& member = members[update.id] = update.record;
  member.since = now;
  StateChanged(now, update.id, update.accuser, false);
  out.changes.push_back({update.id, member.state, true, false});
  News(now, update.id);
}

// A newer word on a member we know.
void Membership::State::Adopt(Instant now, const MemberNews& update, bool whole_table) {
  MemberRecord& member = members.at(update.id);
  const MemberRecord before = std::exchange(member, update.record);
  const bool changed = before.state != member.state;
  const bool restarted = before.boot() != member.boot();
  if (restarted) RULE("M13");
  const bool moved = before.facts->address() != member.facts->address();
  member.since = changed || restarted ? now : before.since;
  out.changes.push_back({update.id, member.state, changed, restarted});
  if (restarted || moved) paths[update.id].refused = false;
  // A refutation ends a suspicion, an accusation of a later incarnation starts another.
  if (changed || member.state == Liveness::kSuspect) StateChanged(now, update.id, update.accuser, Counts(before.state));
  else if (restarted || moved) ScheduleRetry(now, update.id, true);
  dirty = true;
  // Load figures that came with a table travel on with tables: passing them on would cost as much as all else together.
  const bool figures = whole_table && !changed && !restarted && !moved && before.facts->epoch() == member.facts->epoch();
  if (!figures || queue.Contains(update.id)) News(now, update.id);
}

// Everything that hangs on the state of a member follows. `counted`: it was alive or suspect before.
void Membership::State::StateChanged(Instant now, const NodeId& id, const NodeId& accuser, bool counted) {
  const Liveness state = members.at(id).state;
  dirty = true;
  suspicions.End(id);
  if (Counts(state)) {
    if (order.size() == 0) {  // alone until now, nothing was due
      next_probe = std::max(next_probe, now);
      next_push_pull = std::max(next_push_pull, now);
    }
    if (!counted) order.Add(id);
  } else {
    if (counted) order.Remove(id);
    std::erase_if(probes, [&](const auto& p) { return p.second.target == id; });
  }
  if (state == Liveness::kSuspect && !leaving) {
    const int others = static_cast<int>(Size()) - 2;  // who could confirm, besides the accuser
    const SuspicionTimes times{config.suspicion_min, config.suspicion_max, config.suspicion_refused};
    suspicions.Start(id, Suspicion(now, times, std::min(config.indirect_probes, others), accuser));
    // Look for ourselves, some of us: whoever reaches the suspect lets it refute.
    if (accuser != self && random.Below(Size()) < static_cast<std::uint64_t>(config.probes_per_interval)) StartProbe(now, id);
  }
  ScheduleRetry(now, id, state == Liveness::kAlive);
}

void Membership::State::Suspect(Instant now, const NodeId& id, const NodeId& accuser) {
  MemberRecord& member = members.at(id);
  if (member.state == Liveness::kSuspect) return Confirm(now, id, accuser);
  if (member.state != Liveness::kAlive) return;
  RULE("M4 suspected");
  ++counts.suspicions;
  member.state = Liveness::kSuspect;
  member.since = now;
  StateChanged(now, id, accuser, true);
  out.changes.push_back({id, Liveness::kSuspect, true, false});
  News(now, id);
}

// Accusations of different members add up, and each is passed on while they are few.
void Membership::State::Confirm(Instant now, const NodeId& id, const NodeId& accuser) {
  if (!suspicions.Accuse(id, accuser)) return;
  RULE("M4 another accuser");
  queue.Put(id, members.at(id), accuser);
  next_gossip = std::min(next_gossip, std::max(now, last_gossip + config.gossip_interval));
}

void Membership::State::TickSuspicions(Instant now) {
  for (const NodeId& id : suspicions.TakeOver(now)) DeclareDead(now, id);
}

void Membership::State::DeclareDead(Instant now, const NodeId& id) {
  MemberRecord& member = members.at(id);
  RULE("M4 dead");
  ++counts.deaths;
  member.state = Liveness::kDead;
  member.since = now;
  StateChanged(now, id, self, true);
  out.changes.push_back({id, Liveness::kDead, true, false});
  News(now, id);
}

void Membership::State::Reap(Instant now) {
  if (now < next_reaping) return;
  next_reaping = now + config.router_memory / 4;
  for (auto it = members.begin(); it != members.end();) {
    const auto& [id, member] = *it;
    const bool gone = member.state == Liveness::kDead || member.state == Liveness::kLeft;
    if (id == self || !gone || member.facts->role() != 3 || now - member.since < config.router_memory) {
      ++it;
      continue;
    }
    queue.Remove(id);
    retries.Drop(id);
    if (!IsLinked(id)) paths.erase(id);
    it = members.erase(it);
    dirty = true;
  }
}

// --- Ourselves --------------------------------------------------------------------------------------------------------

void Membership::State::MergeOwn(Instant now, const NodeId& from, const MemberNews& update) {
  const MemberRecord& own = Own();
  const MemberRecord& said = update.record;
  // A later start of our own process: it is not this one, so it is another that runs with our id, or we run on an old copy of
  // the data folder. It is believed; we do not shout against it.
  if (said.boot() > own.boot()) return ReportDuplicate(self, said, own);
  if (said.boot() < own.boot() || said.incarnation < own.incarnation) return Correct(from, self);
  const bool other_address = said.facts->address() != own.facts->address();
  if (other_address) ReportDuplicate(self, said, own);
  if (said.state == Liveness::kAlive) {
    // Words of ours that we do not remember: speak above them. Those of another process with our boot counter are left to stand.
    if (said.incarnation > own.incarnation && !other_address) Refute(now, said.incarnation);
  } else if (!leaving) {
    Refute(now, said.incarnation);
  }
}

// Says that we live, above the incarnation that was accused. Being accused at all is a sign that we are slow (Lifeguard).
void Membership::State::Refute(Instant now, Incarnation accused) {
  if (!answering) {
    accused_at = std::max(accused_at.value_or(accused), accused);
    return;
  }
  accused_at.reset();
  if (leaving) return;
  RULE("M5");
  ++counts.refutations;
  awareness = std::min(awareness + 1, config.awareness_max);
  Own().incarnation = std::max(Own().incarnation, accused);
  RaiseIncarnation();
  News(now, self);
}

void Membership::State::RaiseIncarnation() {
  Own().incarnation = Own().incarnation.Next();
  facts_changed = false;
  dirty = true;
}

// --- Telling others ---------------------------------------------------------------------------------------------------

NodeId Membership::State::AccuserOf(const NodeId& id) const {
  const Suspicion* suspicion = suspicions.Find(id);
  return suspicion == nullptr ? self : suspicion->accusers().front();
}

wire::MemberUpdate Membership::State::UpdateOf(const NodeId& id) const { return WriteUpdate(members.at(id), AccuserOf(id)); }

void Membership::State::News(Instant now, const NodeId& id) {
  if (quiet && id != self) return;
  queue.Put(id, members.at(id), AccuserOf(id));
  next_gossip = std::min(next_gossip, std::max(now, last_gossip + config.gossip_interval));
}

// Tells one member what it has missed.
void Membership::State::Correct(const NodeId& to, const NodeId& id) {
  if (!answering && id == self) return;
  wire::Peer message;
  *message.mutable_ping_ack()->add_updates() = UpdateOf(id);
  Send(to, std::move(message));
}

int Membership::State::TransmitLimit() const {
  const double digits = std::ceil(std::log10(static_cast<double>(Size()) + 1));
  return std::max(1, config.retransmit_multiplier * static_cast<int>(digits));
}

void Membership::State::TickGossip(Instant now) {
  if (next_gossip > now) return;
  next_gossip = kNever;
  const auto listeners = PickLinked(static_cast<std::size_t>(config.gossip_fanout), self, true);
  if (listeners.empty()) return;  // the next link brings the whole table
  last_gossip = now;
  for (const NodeId& listener : listeners) {
    if (queue.empty()) break;
    wire::Peer message;
    Piggyback(message.mutable_ping_ack());
    Send(listener, std::move(message));
  }
  if (!queue.empty()) next_gossip = now + config.gossip_interval;
}

void Membership::State::ReportDuplicate(const NodeId& id, const MemberRecord& other, const MemberRecord& known) {
  ++counts.duplicates;
  const std::string key = id.str() + std::to_string(other.boot().value) + '/' + other.facts->address();
  if (reported.size() >= kMaxReported || !reported.insert(key).second) return;
  out.duplicates.push_back({id, other.facts->address(), other.boot(), known.facts->address(), known.boot()});
}

}  // namespace coffer::cluster
