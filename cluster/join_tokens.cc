#include "cluster/join_tokens.h"

#include <algorithm>
#include <string_view>

#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

using Kind = JoinTokenChange::Kind;
using Refusal = std::optional<JoinTokenRefusal>;

const std::string kMakeNew = "make a new one with: coffer join-token create";

bool Expired(const JoinToken& token, std::uint64_t now_ms) { return token.expires_ms <= now_ms; }

const JoinToken* Find(const Layout& layout, std::string_view hash_begin) {
  const auto& all = layout.join_tokens;
  const auto found = std::find_if(all.begin(), all.end(), [&](const JoinToken& t) { return t.hash.starts_with(hash_begin); });
  return found == all.end() ? nullptr : &*found;
}

JoinTokenRefusal Unknown() {
  return {"JOIN_TOKEN_UNKNOWN", "the cluster has no such join token: it was revoked or has expired; " + kMakeNew};
}

Refusal WhyNotCreated(const Layout& layout, const JoinTokenChange& change) {
  const JoinToken& token = change.token;
  if (token.hash.size() != kJoinTokenHashBytes || !token.used.empty() || !token.used_by.empty()) {
    return JoinTokenRefusal{"BAD_REQUEST", "a join token is named by a hash of 32 bytes, and is not used when it is made; nothing was changed"};
  }
  if (token.expires_ms <= change.now_ms || token.expires_ms - change.now_ms > kMostJoinTokenLifetimeMs) {
    RULE("J1");
    return JoinTokenRefusal{"BAD_REQUEST", "a join token lives for at most one hour; nothing was changed. Ask for 1s to 1h."};
  }
  if (const JoinToken* known = Find(layout, token.hash)) {
    if (*known == token) return std::nullopt;
    return JoinTokenRefusal{"BAD_REQUEST", "there is a join token of this hash already; nothing was changed"};
  }
  const auto alive = std::count_if(layout.join_tokens.begin(), layout.join_tokens.end(),
                                   [&](const JoinToken& t) { return !Expired(t, change.now_ms); });
  if (static_cast<std::size_t>(alive) < kMaxJoinTokens) return std::nullopt;
  return JoinTokenRefusal{"JOIN_TOKEN_LIMIT", "there are " + std::to_string(kMaxJoinTokens) +
                                                  " join tokens already; nothing was changed. Revoke some, or wait until they expire."};
}

Refusal WhyNotRedeemed(const Layout& layout, const JoinTokenChange& change) {
  const JoinToken& shown = change.token;
  if (shown.hash.size() != kJoinTokenHashBytes || shown.used.size() != kJoinAttemptBytes || shown.used_by.size() > kMaxTextBytes) {
    return JoinTokenRefusal{"BAD_REQUEST", "the join token was shown in a malformed way; nothing was changed"};
  }
  const JoinToken* known = Find(layout, shown.hash);
  if (!known) {
    RULE("J2 unknown");
    return Unknown();
  }
  if (known->used == shown.used) {
    RULE("J3");
    return std::nullopt;
  }
  if (!known->used.empty()) {
    RULE("J2 used");
    return JoinTokenRefusal{"JOIN_TOKEN_USED", "the join token was used already, by " + known->used_by +
                                                   ". If that was not you, somebody else has the cluster's secret now: change it. Else " + kMakeNew};
  }
  if (Expired(*known, change.now_ms)) {
    RULE("J2 expired");
    return JoinTokenRefusal{"JOIN_TOKEN_EXPIRED", "the join token has expired; " + kMakeNew};
  }
  if (known->expires_ms - change.now_ms > kMostJoinTokenLifetimeMs + kJoinTokenClockSkewMs) {
    return JoinTokenRefusal{"JOIN_TOKEN_EXPIRED", "by this member's clock the join token would live for longer than a token may: put the clocks "
                                                  "right, then " + kMakeNew};
  }
  return std::nullopt;
}

Refusal WhyNotRevoked(const Layout& layout, const JoinTokenChange& change) {
  const std::string& begin = change.token.hash;
  if (begin.size() < kShortJoinTokenIdBytes || begin.size() > kJoinTokenHashBytes) {
    return JoinTokenRefusal{"BAD_REQUEST", "a join token is named by the 16 hexadecimal digits that the list shows; nothing was changed"};
  }
  if (!Find(layout, begin)) return Unknown();
  return std::nullopt;
}

}  // namespace

Refusal WhyRefused(const Layout& layout, const JoinTokenChange& change) {
  switch (change.kind) {
    case Kind::kCreate: return WhyNotCreated(layout, change);
    case Kind::kRedeem: return WhyNotRedeemed(layout, change);
    case Kind::kRevoke: return WhyNotRevoked(layout, change);
  }
  return JoinTokenRefusal{"BAD_REQUEST", "this version does not know the change; nothing was changed"};
}

void Apply(const JoinTokenChange& change, Layout* next) {
  if (WhyRefused(*next, change)) return;
  auto& all = next->join_tokens;
  const auto at = [&] {
    return std::find_if(all.begin(), all.end(), [&](const JoinToken& t) { return t.hash.starts_with(change.token.hash); });
  };
  if (change.kind == Kind::kCreate && at() == all.end()) all.push_back(change.token);
  if (change.kind == Kind::kRedeem) {
    at()->used = change.token.used;
    at()->used_by = change.token.used_by;
  }
  if (change.kind == Kind::kRevoke) all.erase(at());
  std::erase_if(all, [&](const JoinToken& t) { return Expired(t, change.now_ms); });
  std::sort(all.begin(), all.end(), [](const JoinToken& a, const JoinToken& b) { return a.hash < b.hash; });
}

std::string ShortId(const JoinToken& token) { return Hex(std::string_view(token.hash).substr(0, kShortJoinTokenIdBytes)); }

std::optional<std::string> WhyTokensMalformed(const std::vector<JoinToken>& tokens) {
  if (tokens.size() > kMaxJoinTokens) return "the layout has more than " + std::to_string(kMaxJoinTokens) + " join tokens";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const JoinToken& t = tokens[i];
    if (t.hash.size() != kJoinTokenHashBytes) return "the hash of a join token has a wrong size";
    if (!t.used.empty() && t.used.size() != kJoinAttemptBytes) return "the attempt that used a join token has a wrong size";
    if (t.used_by.size() > kMaxTextBytes) return "the name of who used a join token is too long";
    if (i > 0 && tokens[i - 1].hash >= t.hash) return "the join tokens are not in ascending order";
  }
  return std::nullopt;
}

}  // namespace coffer::cluster
