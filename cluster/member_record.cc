#include "cluster/member_record.h"

#include <string>

namespace coffer::cluster {

std::strong_ordering Compare(const MemberRecord& a, const MemberRecord& b) {
  if (const auto c = a.boot() <=> b.boot(); c != 0) return c;
  if (const auto c = a.incarnation <=> b.incarnation; c != 0) return c;
  if (const auto c = a.state <=> b.state; c != 0) return c;
  if (a.facts.SharedWith(b.facts)) return std::strong_ordering::equal;
  return a.facts->SerializeAsString() <=> b.facts->SerializeAsString();
}

std::optional<MemberNews> ReadNews(const wire::MemberUpdate& wire, FactsPool* pool) {
  const wire::MemberFacts& facts = wire.facts();
  const auto id = NodeId::From(facts.id());
  if (!id || id->IsZero()) return std::nullopt;
  if (wire.state() < 1 || wire.state() > 4) return std::nullopt;
  if (wire.incarnation() >= kMaxIncarnation || facts.boot() >= kMaxIncarnation) return std::nullopt;
  const std::size_t text = facts.name().size() + facts.address().size() + facts.failure_domain().size() +
                           facts.certificate_name().size() + facts.version().size() + facts.public_address().size();
  if (text > kMaxFactBytes) return std::nullopt;
  MemberNews news;
  news.id = *id;
  news.record.incarnation = Incarnation(wire.incarnation());
  news.record.state = static_cast<Liveness>(wire.state());
  if (news.record.state == Liveness::kSuspect) {
    const auto accuser = NodeId::From(wire.accuser());
    if (!accuser || accuser->IsZero()) return std::nullopt;
    news.accuser = *accuser;
  }
  news.record.facts = pool != nullptr ? pool->Keep(facts) : Facts(facts);
  return news;
}

wire::MemberUpdate WriteUpdate(const MemberRecord& record, const NodeId& accuser) {
  wire::MemberUpdate wire;
  *wire.mutable_facts() = *record.facts;
  wire.set_incarnation(record.incarnation.value);
  wire.set_state(static_cast<std::uint32_t>(record.state));
  if (record.state == Liveness::kSuspect) wire.set_accuser(accuser.str());
  return wire;
}

}  // namespace coffer::cluster
