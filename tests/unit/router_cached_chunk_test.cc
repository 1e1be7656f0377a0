// Chunks in the memory of a router, through RouterCore: when they are answered from there, and that none outlives its deletion.
#include "router_world.h"

#include "router/core/errors.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

TEST_CASE("a whole chunk in the cache is given at once, and counted as any call") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "0123456789"));
  const Instant later = world.now() + seconds(5);
  const auto now = [&](const v1::GetRequest& request) { return world.core().GetCached(world.now(), request, later); };
  const auto gets = [&] { return world.core().Counters().methods[static_cast<std::size_t>(Method::kChunksGet)]; };
  CHECK_FALSE(now(Get("shop", Id(1))));  // not read yet
  CHECK(world.core().Counters().cache.misses == 0);
  const std::string told = world.Do(Get("shop", Id(1))).responses.at(0);
  const auto before = gets();

  REQUIRE(now(Get("shop", Id(1))));
  CHECK(now(Get("shop", Id(1)))->str() == told);
  CHECK(gets().calls == before.calls + 2);
  CHECK(gets().ended_by_code[0] == before.ended_by_code[0] + 2);
  CHECK(gets().under_way == 0);
  CHECK(world.core().Counters().cache.hits == 2);

  // All else takes the way of a call.
  CHECK_FALSE(now(Get("shop", Id(2))));
  CHECK_FALSE(now(Get("shop", Id(1), 3)));
  CHECK_FALSE(now(Get("shop", Id(1), 0, 3)));
  CHECK_FALSE(now(Get("nowhere", Id(1))));
  v1::GetRequest short_id = Get("shop", Id(1));
  short_id.set_id("short");
  CHECK_FALSE(now(short_id));
  CHECK_FALSE(world.core().GetCached(world.now(), Get("shop", Id(1)), world.now()));  // too late
  CHECK(gets().calls == before.calls + 2);
  world.Feed(world.core().Leave(world.now()));
  CHECK_FALSE(now(Get("shop", Id(1))));
}

TEST_CASE("a cached chunk is served without a node, and not after its deletion") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "x"));
  world.Do(Get("shop", Id(1)));
  const int asked = Gets(world.node(0));
  CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1)))).data() == "x");
  CHECK(Gets(world.node(0)) == asked);
  CHECK(world.core().Counters().cache.hits == 1);
  v1::DeleteRequest remove;
  remove.set_zone("shop");
  remove.set_id(Id(1).str());
  CHECK(world.Do(remove).end->code() == 0);
  CHECK(world.Do(Get("shop", Id(1))).end->code() == static_cast<int>(Code::kNotFound));
}

TEST_CASE("a chunk that is not known to be committed is answered and not kept: another content may win") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "x"));
  world.truth().unsettled = true;
  CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1)))).data() == "x");
  const int asked = Gets(world.node(0));
  world.truth().unsettled = false;
  CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1)))).data() == "x");
  CHECK(Gets(world.node(0)) == asked + 1);
  CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1)))).data() == "x");
  CHECK(Gets(world.node(0)) == asked + 1);
}

TEST_CASE("a read that was on its way while the chunk was deleted does not bring it back into the cache") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "x"));
  bool first = true;
  world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>& bodies) {
    if (!request.has_get_chunk() || !std::exchange(first, false)) return false;
    node.delay = milliseconds(50);  // read before the deletion, answered after it
    world.Serve(node, request, bodies);
    node.delay = milliseconds(1);
    return true;
  };
  const CallId get = world.Call(Get("shop", Id(1)));
  world.Run(milliseconds(2));
  v1::DeleteRequest remove;
  remove.set_zone("shop");
  remove.set_id(Id(1).str());
  CHECK(world.Do(remove).end->code() == 0);
  CHECK(world.Finish(get).end->code() == 0);  // it began before the deletion ended
  CHECK(world.Do(Get("shop", Id(1))).end->code() == static_cast<int>(Code::kNotFound));
}

TEST_CASE("a chunk read while its deletion is under way is not kept beyond it") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "x"));
  world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>& bodies) {
    if (!request.has_delete_chunk()) return false;
    world.At(world.now() + milliseconds(50), [&world, &node, request, bodies] { world.Serve(node, request, bodies); });
    return true;
  };
  v1::DeleteRequest remove;
  remove.set_zone("shop");
  remove.set_id(Id(1).str());
  const CallId call = world.Call(remove);
  world.Run(milliseconds(10));
  CHECK(world.Do(Get("shop", Id(1))).end->code() == 0);
  CHECK(world.Finish(call).end->code() == 0);
  CHECK(world.Do(Get("shop", Id(1))).end->code() == static_cast<int>(Code::kNotFound));
}
