// A MemberView as a table keeps it, which may hold thousands: compact, and cheap to copy.
#pragma once

#include <compare>
#include <optional>

#include "cluster/facts.h"
#include "cluster/ids.h"
#include "cluster/member_view.h"

namespace coffer::cluster {

// Field by field a MemberView.
struct MemberRecord {
  Facts facts;
  Incarnation incarnation;
  Liveness state = Liveness::kAlive;
  Instant since{};

  Boot boot() const { return Boot(facts->boot()); }
  MemberView View() const { return {*facts, incarnation, state, since}; }
};

// An update that passed every check.
struct MemberNews {
  NodeId id;
  MemberRecord record;  // without `since`
  NodeId accuser;       // of a suspicion; zeros otherwise
};

// These do what their namesakes of member_view.h say.
std::strong_ordering Compare(const MemberRecord& a, const MemberRecord& b);
// Facts are taken from the pool if there is one.
std::optional<MemberNews> ReadNews(const wire::MemberUpdate& wire, FactsPool* pool);
wire::MemberUpdate WriteUpdate(const MemberRecord& record, const NodeId& accuser);

}  // namespace coffer::cluster
