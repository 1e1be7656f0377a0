// Join tokens: what the layout makes of them, and that of two attempts with one token exactly one wins.
#include "cluster/join_tokens.h"

#include "cluster/layout_changes.h"
#include "layout_fixtures.h"
#include "solo_node.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

using Catch::Matchers::Contains;
using Kind = JoinTokenChange::Kind;

constexpr std::uint64_t kNow = 1'700'000'000'000;

Layout Bare() { return TestLayout(2, {Group{0, {0, 1}, Term(1), {0, 1}}}); }

JoinTokenChange Create(char fill, std::uint64_t lifetime_ms = kMostJoinTokenLifetimeMs) {
  return {Kind::kCreate, {std::string(32, fill), kNow + lifetime_ms, "", ""}, kNow};
}

JoinTokenChange Redeem(char fill, char attempt, std::uint64_t now_ms = kNow) {
  return {Kind::kRedeem, {std::string(32, fill), 0, std::string(16, attempt), "node-9"}, now_ms};
}

std::string ReasonOf(const Layout& layout, const JoinTokenChange& change) {
  const auto refusal = WhyRefused(layout, change);
  return refusal ? refusal->reason : "";
}

TEST_CASE("a join token is used once (J3)") {
  Layout layout = Bare();
  CHECK(ReasonOf(layout, Redeem('a', '1')) == "JOIN_TOKEN_UNKNOWN");
  Apply(Create('a'), &layout);
  Apply(Redeem('a', '1'), &layout);
  REQUIRE(layout.join_tokens.size() == 1);
  CHECK(layout.join_tokens[0].used == std::string(16, '1'));
  CHECK(ReasonOf(layout, Redeem('a', '2')) == "JOIN_TOKEN_USED");
  CHECK_THAT(WhyRefused(layout, Redeem('a', '2'))->message, Contains("node-9"));
  // The same attempt, asked for again because its answer was lost.
  CHECK(ReasonOf(layout, Redeem('a', '1')).empty());
  const Layout before = layout;
  Apply(Redeem('a', '1'), &layout);
  CHECK(layout == before);
}

TEST_CASE("a join token ends with its time, and at most an hour after it was made (J1)") {
  Layout layout = Bare();
  CHECK(ReasonOf(layout, Create('a', kMostJoinTokenLifetimeMs + 1)) == "BAD_REQUEST");
  CHECK_THAT(WhyRefused(layout, Create('a', kMostJoinTokenLifetimeMs + 1))->message, Contains("one hour"));
  CHECK(ReasonOf(layout, Create('a', 0)) == "BAD_REQUEST");
  Apply(Create('a'), &layout);
  CHECK(ReasonOf(layout, Redeem('a', '1', kNow + kMostJoinTokenLifetimeMs - 1)).empty());
  CHECK(ReasonOf(layout, Redeem('a', '1', kNow + kMostJoinTokenLifetimeMs)) == "JOIN_TOKEN_EXPIRED");
  // A clock that was turned back does not make it live longer.
  CHECK(ReasonOf(layout, Redeem('a', '1', kNow - kJoinTokenClockSkewMs)).empty());
  CHECK(ReasonOf(layout, Redeem('a', '1', kNow - kJoinTokenClockSkewMs - 1)) == "JOIN_TOKEN_EXPIRED");
  // What has expired goes with the next change.
  JoinTokenChange later = Create('b');
  later.now_ms += kMostJoinTokenLifetimeMs;
  later.token.expires_ms += kMostJoinTokenLifetimeMs;
  Apply(later, &layout);
  REQUIRE(layout.join_tokens.size() == 1);
  CHECK(layout.join_tokens[0].hash[0] == 'b');
}

TEST_CASE("a join token can be revoked by what is shown of it (J2)") {
  Layout layout = Bare();
  Apply(Create('a'), &layout);
  const JoinTokenChange revoke{Kind::kRevoke, {*FromHex(ShortId(layout.join_tokens[0])), 0, "", ""}, kNow};
  CHECK(ReasonOf(layout, {Kind::kRevoke, {"a", 0, "", ""}, kNow}) == "BAD_REQUEST");
  Apply(revoke, &layout);
  CHECK(layout.join_tokens.empty());
  CHECK(ReasonOf(layout, revoke) == "JOIN_TOKEN_UNKNOWN");
  CHECK(ReasonOf(layout, Redeem('a', '1')) == "JOIN_TOKEN_UNKNOWN");
}

TEST_CASE("the number of join tokens is bounded") {
  Layout layout = Bare();
  for (std::size_t i = 0; i < kMaxJoinTokens; ++i) Apply(Create(static_cast<char>('!' + i)), &layout);
  CHECK(layout.join_tokens.size() == kMaxJoinTokens);
  CHECK_FALSE(WhyMalformed(layout));
  CHECK(ReasonOf(layout, Create('~' )) == "JOIN_TOKEN_LIMIT");
}

TEST_CASE("join tokens travel with the layout, which has them in one order only") {
  Layout layout = Bare();
  const Layout none = layout;
  Apply(Create('b'), &layout);
  Apply(Create('a'), &layout);
  Apply(Redeem('b', '1'), &layout);
  std::string error;
  const auto decoded = DecodeLayout(Encode(layout), &error);
  REQUIRE(decoded);
  CHECK(*decoded == layout);
  CHECK(layout.join_tokens[0].hash < layout.join_tokens[1].hash);
  CHECK_THAT(WhatChanged(none, layout), Contains("join token 6161616161616161 made") && Contains("used by node-9"));
  std::swap(layout.join_tokens[0], layout.join_tokens[1]);
  CHECK(WhyMalformed(layout));
  layout.join_tokens = {{"short", kNow, "", ""}};
  CHECK(WhyMalformed(layout));
}

TEST_CASE("J2: a change of join tokens that is malformed is refused, and changes nothing") {
  Layout layout = Bare();
  Apply(Create('a'), &layout);
  Apply(Create('b'), &layout);
  Apply(Redeem('b', '1'), &layout);
  const std::string long_hash(kJoinTokenHashBytes + 1, 'a');
  const std::string attempt(kJoinAttemptBytes, '2');
  const std::string too_long(kMaxTextBytes + 1, 'n');
  const std::string hash(kJoinTokenHashBytes, 'a');
  const std::string other(kJoinTokenHashBytes, 'c');
  const std::uint64_t end = kNow + 1000;
  const std::vector<JoinTokenChange> wrong = {
      {Kind::kCreate, {"short", end, "", ""}, kNow},
      {Kind::kCreate, {long_hash, end, "", ""}, kNow},
      {Kind::kCreate, {other, end, attempt, ""}, kNow},
      {Kind::kCreate, {other, end, "", "node-9"}, kNow},
      {Kind::kCreate, {hash, end, "", ""}, kNow},  // there is one of this hash, with another end
      {Kind::kRedeem, {"short", 0, attempt, "node-9"}, kNow},
      {Kind::kRedeem, {hash, 0, "short", "node-9"}, kNow},
      {Kind::kRedeem, {hash, 0, attempt, too_long}, kNow},
      {Kind::kRevoke, {hash.substr(0, kShortJoinTokenIdBytes - 1), 0, "", ""}, kNow},
      {Kind::kRevoke, {long_hash, 0, "", ""}, kNow},
      {static_cast<Kind>(9), {hash, end, "", ""}, kNow},
  };
  const Layout before = layout;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    INFO("change " << i);
    CHECK(ReasonOf(layout, wrong[i]) == "BAD_REQUEST");
    CHECK_THAT(WhyRefused(layout, wrong[i])->message, Contains("nothing was changed"));
    Apply(wrong[i], &layout);
    CHECK(layout == before);
  }
  CHECK(ReasonOf(layout, Create('a')).empty());  // the same once more, because its answer was lost
  Apply(Create('a'), &layout);
  CHECK(layout == before);
}

TEST_CASE("J1: a layout whose join tokens are malformed is refused, and why") {
  const JoinToken good{std::string(kJoinTokenHashBytes, 'a'), 1000, std::string(kJoinAttemptBytes, 'x'), "node-9"};
  CHECK_FALSE(WhyTokensMalformed({good}));
  const auto why = [&](auto damage) {
    JoinToken token = good;
    damage(&token);
    return WhyTokensMalformed({token}).value_or("");
  };
  CHECK(why([](JoinToken* t) { t->hash += 'a'; }) == "the hash of a join token has a wrong size");
  CHECK(why([](JoinToken* t) { t->used += 'x'; }) == "the attempt that used a join token has a wrong size");
  CHECK(why([](JoinToken* t) { t->used_by.assign(kMaxTextBytes + 1, 'n'); }) == "the name of who used a join token is too long");
  CHECK(why([](JoinToken* t) { t->used.clear(), t->used_by.clear(); }).empty());
  CHECK(WhyTokensMalformed({good, good}) == "the join tokens are not in ascending order");
  CHECK(WhyTokensMalformed(std::vector<JoinToken>(kMaxJoinTokens + 1, good)) == "the layout has more than 64 join tokens");
}

// A change through a node core; the answers that came by the end.
std::vector<node::JoinTokenAnswer> Settle(node::SoloNode& node, std::size_t count) {
  for (int i = 0; i < 200 && node.token_answers.size() < count; ++i) node.Run(std::chrono::milliseconds(50));
  return node.token_answers;
}

wire::JoinTokenChange Asked(const JoinTokenChange& change) {
  wire::JoinTokenChange asked;
  asked.set_now_ms(change.now_ms);
  auto* token = change.kind == Kind::kCreate ? asked.mutable_create() : asked.mutable_redeem();
  token->set_hash(change.token.hash);
  token->set_expires_ms(change.token.expires_ms);
  token->set_used(change.token.used);
  token->set_used_by(change.token.used_by);
  return asked;
}

TEST_CASE("of two nodes that show one token at once, one is taken (J3)") {
  node::SoloNode node;
  node.ChangeJoinTokens(1, Asked(Create('a')));
  REQUIRE(Settle(node, 1).size() == 1);
  CHECK(node.token_answers[0].status.code() == 0);
  node.ChangeJoinTokens(2, Asked(Redeem('a', '1')));
  node.ChangeJoinTokens(3, Asked(Redeem('a', '2')));
  REQUIRE(Settle(node, 3).size() == 3);
  CHECK(node.token_answers[1].ask == 2);
  CHECK(node.token_answers[1].status.code() == 0);
  CHECK(node.token_answers[2].status.code() != 0);
  CHECK_THAT(node.token_answers[2].status.message(), Contains("used already"));
  // And after a restart it is still used.
  node.Restart();
  node.token_answers.clear();
  node.ChangeJoinTokens(4, Asked(Redeem('a', '3')));
  REQUIRE(Settle(node, 1).size() == 1);
  CHECK_THAT(node.token_answers[0].status.message(), Contains("used already"));
}

}  // namespace
}  // namespace coffer::cluster
