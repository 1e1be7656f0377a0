#include "cluster/member_view.h"

#include <string>

namespace coffer::cluster {

std::string_view Name(Liveness state) {
  switch (state) {
    case Liveness::kAlive: return "alive";
    case Liveness::kSuspect: return "suspect";
    case Liveness::kDead: return "dead";
    case Liveness::kLeft: return "left";
  }
  return "unknown";
}

std::strong_ordering Compare(const MemberView& a, const MemberView& b) {
  if (const auto c = a.boot() <=> b.boot(); c != 0) return c;
  if (const auto c = a.incarnation <=> b.incarnation; c != 0) return c;
  if (const auto c = a.state <=> b.state; c != 0) return c;
  return a.facts.SerializeAsString() <=> b.facts.SerializeAsString();
}

std::optional<Update> ReadUpdate(const wire::MemberUpdate& wire) {
  const wire::MemberFacts& facts = wire.facts();
  const auto id = NodeId::From(facts.id());
  if (!id || id->IsZero()) return std::nullopt;
  if (wire.state() < 1 || wire.state() > 4) return std::nullopt;
  if (wire.incarnation() >= kMaxIncarnation || facts.boot() >= kMaxIncarnation) return std::nullopt;
  const std::size_t text = facts.name().size() + facts.address().size() + facts.failure_domain().size() +
                           facts.certificate_name().size() + facts.version().size() + facts.public_address().size();
  if (text > kMaxFactBytes) return std::nullopt;
  Update update;
  update.id = *id;
  update.view.facts = facts;
  update.view.incarnation = Incarnation(wire.incarnation());
  update.view.state = static_cast<Liveness>(wire.state());
  if (update.view.state == Liveness::kSuspect) {
    const auto accuser = NodeId::From(wire.accuser());
    if (!accuser || accuser->IsZero()) return std::nullopt;
    update.accuser = *accuser;
  }
  return update;
}

wire::MemberUpdate WriteUpdate(const MemberView& view, const NodeId& accuser) {
  wire::MemberUpdate wire;
  *wire.mutable_facts() = view.facts;
  wire.set_incarnation(view.incarnation.value);
  wire.set_state(static_cast<std::uint32_t>(view.state));
  if (view.state == Liveness::kSuspect) wire.set_accuser(accuser.str());
  return wire;
}

}  // namespace coffer::cluster
