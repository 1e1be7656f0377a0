// Who is cut off from us although others reach it, and when it may have copies again (L5.1, L5.4).
#include "node/core/reach.h"

#include "test_support.h"

namespace coffer::node {
namespace {

using namespace std::chrono_literals;

NodeId Id(std::uint8_t n) {
  NodeId id;
  id.bytes.fill(n);
  return id;
}

struct World {
  Reach reach{3s, 5s};
  Instant now = Instant{} + 100s;
  const NodeId peer = Id(7);

  // Something waits for it all this time, said as often as a primary does.
  void Wait(Duration time, bool alive = true) {
    for (const Instant end = now + time; now < end; now += 100ms) reach.Waits(now, peer, alive);
    reach.Waits(now, peer, alive);
  }
  bool Silent() const { return reach.Silent(peer); }
  bool Avoided() const { return reach.Avoided(now, peer); }
};

TEST_CASE("L5.1 whoever answers nothing for the patience, though something waits for it, is cut off") {
  World w;
  w.Wait(2900ms);
  CHECK_FALSE(w.Silent());
  w.Wait(100ms);
  CHECK(w.Silent());
  CHECK(w.Avoided());
  CHECK(w.reach.changes() == 1);
}

TEST_CASE("L5.1 any answer begins the patience anew") {
  World w;
  for (int i = 0; i < 10; ++i) {
    w.Wait(2500ms);
    w.reach.Answered(w.now, w.peer);
  }
  CHECK_FALSE(w.Avoided());
  CHECK(w.reach.changes() == 0);
}

TEST_CASE("L5.1 what no longer waits does not add to what waits later") {
  World w;
  w.Wait(2500ms);
  w.now += 60s;
  w.Wait(2500ms);
  CHECK_FALSE(w.Silent());
}

TEST_CASE("L5.1 time in which gossip does not hold it to be alive does not count, and it has a second to answer afterwards") {
  World w;
  w.Wait(30s, /*alive=*/false);
  CHECK_FALSE(w.Silent());
  w.Wait(900ms);
  CHECK_FALSE(w.Silent());
  w.Wait(200ms);
  CHECK(w.Silent());
}

TEST_CASE("L5.4 it is trusted with copies once it has answered for the hold, since its link was last made") {
  World w;
  w.Wait(3s);
  w.now += 60s;
  CHECK(w.Silent());
  w.reach.Answered(w.now, w.peer);
  CHECK_FALSE(w.Silent());
  CHECK(w.Avoided());
  w.now += 4s;
  w.reach.LinkUp(w.now, w.peer);
  w.now += 4900ms;
  CHECK(w.Avoided());
  w.now += 100ms;
  CHECK_FALSE(w.Avoided());
}

TEST_CASE("L5.4 cut off again soon, it has to hold for longer, up to four times; after a while that is forgotten") {
  World w;
  for (const Duration hold : {5s, 10s, 20s, 20s}) {
    w.Wait(3s);
    REQUIRE(w.Silent());
    w.reach.Answered(w.now, w.peer);
    w.now += hold - 1ms;
    CHECK(w.Avoided());
    w.now += 1ms;
    CHECK_FALSE(w.Avoided());
  }
  w.now += 6min;
  w.reach.Answered(w.now, w.peer);
  w.Wait(3s);
  w.reach.Answered(w.now, w.peer);
  w.now += 5s;
  CHECK_FALSE(w.Avoided());
}

TEST_CASE("L5.5 how long it has been away counts from the first cut, not from the last answer") {
  World w;
  w.Wait(3s);
  w.now += 9s;
  CHECK_FALSE(w.reach.AvoidedFor(w.now, w.peer, 10s));
  w.reach.Answered(w.now, w.peer);
  w.now += 1s;
  CHECK(w.reach.AvoidedFor(w.now, w.peer, 10s));
}

TEST_CASE("whoever is gone for all, or left the layout, is forgotten") {
  World w;
  w.Wait(3s);
  w.reach.Forget(w.peer);
  CHECK_FALSE(w.Avoided());
  w.Wait(3s);
  w.reach.Keep([](const NodeId&) { return false; });
  CHECK_FALSE(w.Avoided());
}

}  // namespace
}  // namespace coffer::node
