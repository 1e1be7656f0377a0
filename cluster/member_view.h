// What is believed of a member, and which of two beliefs wins: the whole of gossip's convergence in one total order.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "cluster/ids.h"
#include "cluster/message.h"

namespace coffer::cluster {

enum class Liveness : std::uint8_t { kAlive = 1, kSuspect = 2, kDead = 3, kLeft = 4 };

// What is believed of a member.
struct MemberView {
  wire::MemberFacts facts;
  Incarnation incarnation;
  Liveness state = Liveness::kAlive;
  Instant since{};  // local time of the last change of state

  Boot boot() const { return Boot(facts.boot()); }
};

// The order of beliefs about one member; the greater wins, whatever the order of arrival. By boot (a later start of the
// process knows better), then incarnation (the member's own later word), then state (of one incarnation worse news wins: only
// the member itself can take it back, by a higher incarnation), then the bytes of the facts (differ only when two processes
// share an id). `since` plays no part.
std::strong_ordering Compare(const MemberView& a, const MemberView& b);

// Bounds of what is accepted from the wire: no honest counter gets there, and a damaged one must not use the range up.
inline constexpr std::uint64_t kMaxIncarnation = std::uint64_t{1} << 62;
inline constexpr std::size_t kMaxFactBytes = 1024;  // of all strings of MemberFacts together

// An update that passed every check.
struct Update {
  NodeId id;
  MemberView view;  // without `since`
  NodeId accuser;   // of a suspicion; zeros otherwise
};

// Nothing if the update is malformed: ids of a wrong size or zero, unknown state, absurd numbers or lengths.
std::optional<Update> ReadUpdate(const wire::MemberUpdate& wire);
// `accuser` matters for a suspicion only.
wire::MemberUpdate WriteUpdate(const MemberView& view, const NodeId& accuser);

}  // namespace coffer::cluster
