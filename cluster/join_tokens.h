// Tokens that let one node join: how the layout has them, and what may become of them. Pure functions of a layout and of the clock
// of the member that asks.
//
// A token is used by the layout that says so. Layouts are agreed one after the other, so of two nodes that show one token at
// once, exactly one finds its own attempt in the layout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/layout.h"

namespace coffer::cluster {

inline constexpr std::size_t kMaxJoinTokens = 64;
inline constexpr std::size_t kJoinTokenHashBytes = 32;
inline constexpr std::size_t kJoinAttemptBytes = 16;
// The first bytes of the hash that name a token: on the wire, and to people.
inline constexpr std::size_t kJoinTokenIdBytes = 16;
inline constexpr std::size_t kShortJoinTokenIdBytes = 8;
inline constexpr std::uint64_t kMostJoinTokenLifetimeMs = 3'600'000;
// How far two members' clocks may be apart. A token that seems to live longer than this beyond the longest lifetime is not taken: the
// clock was turned back.
inline constexpr std::uint64_t kJoinTokenClockSkewMs = 300'000;

// One change, as it is asked for. Creating or using a token once more in the same words succeeds.
struct JoinTokenChange {
  enum class Kind { kCreate, kRedeem, kRevoke };
  Kind kind = Kind::kCreate;
  JoinToken token;           // create: hash and expiry; redeem: hash, attempt and name of the joiner; revoke: the hash's beginning
  std::uint64_t now_ms = 0;  // since 1970 UTC, by the clock of the member that asks
  bool operator==(const JoinTokenChange&) const = default;
};

// Why a change can't be made. `reason` is stable: JOIN_TOKEN_UNKNOWN, JOIN_TOKEN_USED, JOIN_TOKEN_EXPIRED, JOIN_TOKEN_LIMIT,
// BAD_REQUEST.
struct JoinTokenRefusal {
  std::string reason;
  std::string message;  // for people: what happened, what to do
};
std::optional<JoinTokenRefusal> WhyRefused(const Layout& layout, const JoinTokenChange& change);

// Makes the change, unless WhyRefused, and drops what has expired.
void Apply(const JoinTokenChange& change, Layout* next);

// As people see a token: the first 16 hexadecimal digits of its hash.
std::string ShortId(const JoinToken& token);

// Why the tokens of a layout are malformed; nothing if they are well formed.
std::optional<std::string> WhyTokensMalformed(const std::vector<JoinToken>& tokens);

}  // namespace coffer::cluster
