// A ballot in a message.
#pragma once

#include <cstdint>
#include <optional>

#include "cluster/acceptor.h"
#include "cluster/message.h"

namespace coffer::cluster {

// Beyond this a counter was never counted up to: a damaged message must not use the counters up.
inline constexpr std::uint64_t kMaxCounter = std::uint64_t{1} << 62;

// Nothing unless it is a ballot that some member may have drawn.
inline std::optional<Ballot> ReadBallot(const wire::Ballot& wire) {
  const auto node = NodeId::From(wire.node());
  if (!node || wire.counter() == 0 || wire.counter() > kMaxCounter) return std::nullopt;
  return Ballot{wire.counter(), *node};
}

// As ReadBallot, for a field that may be absent.
inline std::optional<Ballot> ReadOptionalBallot(bool present, const wire::Ballot& wire) {
  return present ? ReadBallot(wire) : Ballot{};
}

inline void WriteBallot(const Ballot& ballot, wire::Ballot* wire) {
  wire->set_counter(ballot.counter);
  wire->set_node(ballot.node.str());
}

}  // namespace coffer::cluster
