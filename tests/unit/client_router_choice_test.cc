// Which router is asked, and which connection is given up, in virtual time.
#include "client/router_choice.h"
#include "tests/test_support.h"

namespace coffer::client {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{hours(1)};
using S = RouterState;
using Places = std::vector<std::size_t>;

// What is asked of three routers that are all connected.
struct Three {
  RouterChoice choice{3, {}};
  std::vector<RouterState> states{S::kUp, S::kUp, S::kUp};
  std::vector<OpenTry> open;

  std::size_t First(Instant now) const { return choice.Choose(now, states, open, {}, false); }
  std::size_t Again(Instant now, std::size_t last) const { return choice.Choose(now, states, open, last, true); }
};

TEST_CASE("the first router that is connected is asked") {
  Three t;
  CHECK(t.First(kStart) == 0);
  t.states = {S::kIdle, S::kIdle, S::kIdle};
  CHECK(t.First(kStart) == 0);
  t.states = {S::kIdle, S::kConnecting, S::kUp};
  CHECK(t.First(kStart) == 2);
  t.states = {S::kFailed, S::kConnecting, S::kIdle};
  CHECK(t.First(kStart) == 1);
}

TEST_CASE("another attempt goes to a router that has none of the operation") {
  Three t;
  t.open = {{0, kStart}};
  CHECK(t.Again(kStart, 0) == 1);
  t.open.push_back({1, kStart});
  CHECK(t.Again(kStart, 1) == 2);
  t.open.push_back({2, kStart});
  CHECK(t.Again(kStart, 2) == 0);
  // The failed one has no open attempt any more, and is avoided all the same; without the wish it is not.
  t.open.clear();
  CHECK(t.Again(kStart, 0) == 1);
  CHECK(t.choice.Choose(kStart, t.states, t.open, 0, false) == 0);
  // Even a router that is not connected yet is better than the same again, but not one that can't be connected.
  t.states = {S::kUp, S::kIdle, S::kFailed};
  CHECK(t.Again(kStart, 0) == 1);
  t.states = {S::kUp, S::kFailed, S::kFailed};
  CHECK(t.Again(kStart, 0) == 0);
}

TEST_CASE("a router that lost calls is avoided for a while") {
  Three t;
  t.choice.OnLost(0, kStart);
  CHECK(t.First(kStart) == 1);
  CHECK(t.First(kStart + seconds(3) - milliseconds(1)) == 1);
  CHECK(t.First(kStart + seconds(3)) == 0);
  // Not when the others are no better.
  t.choice.OnLost(0, kStart);
  t.choice.OnLost(1, kStart);
  t.choice.OnLost(2, kStart);
  CHECK(t.First(kStart) == 0);
  t.states = {S::kUp, S::kFailed, S::kFailed};
  CHECK(t.First(kStart) == 0);
}

TEST_CASE("routers are taken in turn when none is known to work") {
  Three t;
  t.states = {S::kFailed, S::kFailed, S::kFailed};
  CHECK(t.First(kStart) == 0);
  CHECK(t.Again(kStart, 0) == 1);
  CHECK(t.Again(kStart, 1) == 2);
  CHECK(t.Again(kStart, 2) == 0);
}

TEST_CASE("a router that keeps silent is avoided, one that says anything is not") {
  Three t;
  t.open = {{0, kStart}};
  CHECK(t.choice.Judge(kStart + milliseconds(1999), t.open).empty());
  CHECK(t.First(kStart + milliseconds(1999)) == 1);  // it has this operation's attempt
  t.open.clear();
  CHECK(t.First(kStart + milliseconds(1999)) == 0);
  SECTION("silent") {
    t.open = {{0, kStart}};
    CHECK(t.choice.Judge(kStart + seconds(2), t.open).empty());
    t.open.clear();
    CHECK(t.First(kStart + seconds(5) - milliseconds(1)) == 1);
    CHECK(t.First(kStart + seconds(5)) == 0);
  }
  SECTION("busy with this one") {
    t.open = {{0, kStart}};
    t.choice.OnHeard(0, kStart + milliseconds(1));
    CHECK(t.choice.Judge(kStart + seconds(60), t.open).empty());
    t.open.clear();
    CHECK(t.First(kStart + seconds(60)) == 0);
  }
  SECTION("heard before it was asked") {
    t.choice.OnHeard(0, kStart);
    t.open = {{0, kStart}};
    CHECK(t.choice.Judge(kStart + seconds(2), t.open).empty());
    t.open.clear();
    CHECK(t.First(kStart + seconds(2)) == 1);
  }
}

TEST_CASE("a connection that stays silent is given up, once") {
  Three t;
  t.open = {{0, kStart}, {0, kStart + seconds(2)}, {0, kStart + seconds(4)}};
  for (int s = 2; s < 8; s += 2) CHECK(t.choice.Judge(kStart + seconds(s), t.open).empty());
  CHECK(t.choice.Judge(kStart + seconds(8), t.open) == Places{0});
  // Its calls are on their way to be lost, here and in other operations.
  CHECK(t.choice.Judge(kStart + seconds(9), t.open).empty());
  // The new one has as long.
  t.open = {{0, kStart + seconds(8)}};
  CHECK(t.choice.Judge(kStart + seconds(15), t.open).empty());
  CHECK(t.choice.Judge(kStart + seconds(16), t.open) == Places{0});
}

TEST_CASE("a silent connection is given up though every call is answered elsewhere in the end") {
  Three t;
  Instant now = kStart;
  int calls = 0;
  for (Places dead; dead.empty(); ++calls) {
    REQUIRE(calls < 3);
    REQUIRE(t.First(now) == 0);
    t.open = {{0, now}};
    now += seconds(2);
    dead = t.choice.Judge(now, t.open);
    REQUIRE(t.Again(now, 0) == 1);
    t.choice.OnHeard(1, now);
    t.open.clear();
    now += seconds(3);
  }
  CHECK(calls == 3);
}

TEST_CASE("silence ends with a word, with the connection, and when nothing is asked for long") {
  Three t;
  const auto overdue = [&](Instant since) {
    t.open = {{0, since}};
    return t.choice.Judge(since + seconds(2), t.open);
  };
  REQUIRE(overdue(kStart).empty());
  REQUIRE(overdue(kStart + seconds(5)).empty());
  SECTION("it would be given up") { CHECK(overdue(kStart + seconds(10)) == Places{0}); }
  SECTION("a word") {
    t.choice.OnHeard(0, kStart + seconds(8));
    CHECK(overdue(kStart + seconds(10)).empty());
  }
  SECTION("another connection") {
    t.choice.OnLost(0, kStart + seconds(8));
    CHECK(overdue(kStart + seconds(10)).empty());
  }
  SECTION("long ago") { CHECK(overdue(kStart + seconds(14)).empty()); }
}

TEST_CASE("what moves much may take long: its router is avoided, its connection kept") {
  Three t;
  t.open = {{0, kStart, true}};
  for (int s = 2; s < 60; s += 2) CHECK(t.choice.Judge(kStart + seconds(s), t.open).empty());
  t.open.clear();
  CHECK(t.First(kStart + seconds(60)) == 1);
}

}  // namespace
}  // namespace coffer::client
