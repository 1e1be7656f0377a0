// Zones, chains, and the bounds and ends of calls, through RouterCore.
#include "router_world.h"

#include "cluster/placement.h"
#include "google/rpc/error_details.pb.h"
#include "router/core/errors.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

PartitionId PartitionFor(RouterWorld& world, const ZoneId& zone, const BlockId& id) {
  return cluster::PartitionOf(zone, id, world.layout().partition_count());
}

// A block whose partition has this primary.
BlockId BlockOn(RouterWorld& world, const ZoneId& zone, std::size_t node) {
  for (int n = 1;; ++n) {
    if (world.layout().group(PartitionFor(world, zone, Id(n))).primary == node) return Id(n);
  }
}

}  // namespace

// ---- Zones

TEST_CASE("zones are created, listed by pages and deleted") {
  RouterWorld world(3);
  world.Settle();
  for (const char* name : {"b", "a", "c"}) {
    v1::ZonesCreateRequest create;
    create.set_name(name);
    auto& result = world.Do(create);
    REQUIRE(result.end->code() == 0);
    CHECK(Only<v1::ZonesCreateResponse>(result).zone().id().size() == 16);
    CHECK(world.Do(create).end->code() == static_cast<int>(Code::kAlreadyExists));
  }
  std::vector<std::string> names;
  v1::ZonesListRequest list;
  list.set_page_size(2);
  for (int page = 0; page < 2; ++page) {
    auto response = Only<v1::ZonesListResponse>(world.Do(list));
    for (const auto& zone : response.zones()) names.push_back(zone.name());
    list.set_page_token(response.next_page_token());
  }
  CHECK(names == std::vector<std::string>{"a", "b", "c"});
  CHECK(list.page_token().empty());
  v1::ZonesDeleteRequest remove;
  remove.set_name("b");
  CHECK(world.Do(remove).end->code() == 0);
  auto& again = world.Do(remove);
  CHECK(ReasonOf(*again.end) == "ZONE_UNKNOWN");
  auto& put = world.Do(Put("b", Id(1), "x"));
  CHECK(put.end->code() == static_cast<int>(Code::kNotFound));
  CHECK(put.end->message().find("\"b\"") != std::string::npos);
}

TEST_CASE("a remembered zone goes on being used while nobody can look it up") {
  RouterWorld world(2);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  const PartitionId registry = cluster::RegistryPartition(world.layout().partition_count());
  const std::size_t keeper = world.layout().group(registry).primary;
  const BlockId here = BlockOn(world, zone, 1 - keeper);
  const BlockId there = BlockOn(world, zone, keeper);
  REQUIRE(world.Do(Put("shop", here, "x")).end->code() == 0);
  REQUIRE(world.Do(Put("shop", there, "y")).end->code() == 0);
  // Of two nodes one is off: no layout is decided, so the registry has no primary that answers.
  world.Kill(keeper);
  world.Run(seconds(60));
  for (const auto& [block, bytes] : {std::pair(here, "x"), std::pair(there, "y"), std::pair(here, "x")}) {
    const Instant before = world.now();
    auto& get = world.Do(Get("shop", block));
    REQUIRE(get.end->code() == 0);
    CHECK(Only<v1::GetResponse>(get).data() == bytes);
    CHECK(world.now() - before < seconds(1));
  }
  // Only what was never known has to wait.
  CHECK(world.Do(Get("other", here)).end->code() != 0);
  // Once it can be asked again, what it says counts.
  world.truth().deleted_zones.insert(zone.str());
  world.truth().zones.erase("shop");
  world.Start(keeper);
  world.Run(seconds(20));
  CHECK(ReasonOf(*world.Do(Get("shop", Id(9))).end) == "ZONE_UNKNOWN");
}

TEST_CASE("what was deleted elsewhere leaves the cache when a node says so") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  for (int n = 1; n <= 3; ++n) {
    REQUIRE(world.Do(Put("shop", Id(n), "x")).end->code() == 0);
    REQUIRE(world.Do(Get("shop", Id(n))).end->code() == 0);
  }
  REQUIRE(world.core().Counters().cache.entries == 3);
  PeerMessage message;
  message.header.mutable_forget()->set_zone(zone.str());
  message.header.mutable_forget()->add_ids(Id(1).str());
  world.truth().chunks.erase({zone.str(), Id(1).str()});
  world.Send(world.node(0), message);
  world.Run(milliseconds(50));
  CHECK(world.core().Counters().cache.entries == 2);
  CHECK(world.Do(Get("shop", Id(1))).end->code() == static_cast<int>(Code::kNotFound));
  CHECK(world.Do(Get("shop", Id(2))).end->code() == 0);

  message.header.mutable_forget()->clear_ids();
  world.truth().deleted_zones.insert(zone.str());
  world.truth().zones.erase("shop");
  world.Send(world.node(0), message);
  world.Run(milliseconds(50));
  CHECK(world.core().Counters().cache.entries == 0);
  CHECK(ReasonOf(*world.Do(Get("shop", Id(2))).end) == "ZONE_UNKNOWN");
}

TEST_CASE("a zone that is deleted leaves the cache of the router that was asked, or told by a node") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Put("shop", Id(1), "x")).end->code() == 0);
  REQUIRE(world.Do(Get("shop", Id(1))).end->code() == 0);
  REQUIRE(world.core().Counters().cache.entries == 1);
  SECTION("asked") {
    v1::ZonesDeleteRequest remove;
    remove.set_name("shop");
    REQUIRE(world.Do(remove).end->code() == 0);
  }
  SECTION("told") {
    world.truth().deleted_zones.insert(world.truth().zones["shop"].id());
    world.truth().zones.erase("shop");
    REQUIRE(ReasonOf(*world.Do(Get("shop", Id(9))).end) == "ZONE_UNKNOWN");
  }
  CHECK(world.core().Counters().cache.entries == 0);
}

TEST_CASE("a zone that was created without an answer is created again by the same id only") {  // R6.3
  RouterWorld world(2);
  world.Settle();
  v1::ZonesCreateRequest create;
  create.set_name("shop");
  create.set_id(std::string(16, 'i'));
  REQUIRE(world.Do(create).end->code() == 0);
  const std::uint64_t created = world.truth().zones["shop"].created_ms();
  // The client lost that answer; its repetition comes later, to a router that knows nothing of the first.
  world.Run(seconds(2));
  auto& again = world.Do(create);
  REQUIRE(again.end->code() == 0);
  CHECK(Only<v1::ZonesCreateResponse>(again).zone().id() == create.id());
  CHECK(Only<v1::ZonesCreateResponse>(again).zone().created_ms() == created);
  create.set_id(std::string(16, 'j'));
  CHECK(ReasonOf(*world.Do(create).end) == "ZONE_EXISTS");

  v1::ZonesListRequest list;
  list.set_name("shop");
  REQUIRE(Only<v1::ZonesListResponse>(world.Do(list)).zones_size() == 1);
  v1::ZonesDeleteRequest remove;
  remove.set_name("shop");
  remove.set_id(std::string(16, 'j'));
  CHECK(ReasonOf(*world.Do(remove).end) == "ZONE_UNKNOWN");
  remove.set_id(std::string(16, 'i'));
  CHECK(world.Do(remove).end->code() == 0);
  CHECK(Only<v1::ZonesListResponse>(world.Do(list)).zones_size() == 0);
  world.AddZone("shop");
  CHECK(world.Do(remove).end->code() == 0);  // done already; the new one is left alone
  CHECK(world.truth().zones.count("shop") == 1);
}

TEST_CASE("a zone is looked up once while it is remembered, and again when that is too long ago") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  for (int n = 0; n < 10; ++n) world.Do(Put("shop", Id(n), "x"));
  CHECK(world.core().Counters().zone_lookups == 1);
  world.Run(seconds(5));
  world.Do(Put("shop", Id(11), "x"));
  CHECK(world.core().Counters().zone_lookups == 2);
}

TEST_CASE("a remembered zone that is gone is looked up once more") {
  RouterWorld world(3);
  const ZoneId old = world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "x"));
  world.truth().deleted_zones.insert(old.str());
  world.truth().zones.erase("shop");
  SECTION("no zone of that name now") {
    auto& put = world.Do(Put("shop", Id(2), "x"));
    CHECK(ReasonOf(*put.end) == "ZONE_UNKNOWN");
    const std::size_t attempts = world.core().Counters().dispatcher.attempts;
    CHECK(ReasonOf(*world.Do(Put("shop", Id(2), "x")).end) == "ZONE_UNKNOWN");
    CHECK(world.core().Counters().dispatcher.attempts == attempts + 1);  // the look-up: the old id is forgotten
    v1::HasRequest has;
    has.set_zone("shop");
    has.add_ids(Id(1).str());
    CHECK(ReasonOf(*world.Do(has).end) == "ZONE_UNKNOWN");
  }
  SECTION("another zone of that name") {
    const ZoneId fresh = world.AddZone("shop");
    CHECK(world.Do(Put("shop", Id(2), "y")).end->code() == 0);
    CHECK(world.truth().chunks.count({fresh.str(), Id(2).str()}) == 1);
    CHECK(world.Do(Get("shop", Id(1))).end->code() == static_cast<int>(Code::kNotFound));
  }
  SECTION("another zone of that name, met by calls of many parts") {
    const ZoneId fresh = world.AddZone("shop");
    const auto registry = world.layout().group(cluster::RegistryPartition(12)).primary;
    world.node(registry == 2 ? 1 : 2).delay = milliseconds(60);  // its answers come when the new zone is known already
    world.truth().chunks[{fresh.str(), Id(5).str()}] = "five";
    v1::HasRequest has;
    has.set_zone("shop");
    for (int n = 0; n < 30; ++n) has.add_ids(Id(n).str());
    auto present = Only<v1::HasResponse>(world.Do(has));
    REQUIRE(present.present_size() == 30);
    for (int n = 0; n < 30; ++n) CHECK(present.present(n) == (n == 5));
    v1::PutManyRequest put;
    put.set_zone("shop");
    for (int n = 0; n < 100; ++n) put.add_chunks()->set_id(Id(n).str());
    auto outcomes = Only<v1::PutManyResponse>(world.Do(put));
    for (int n = 0; n < 100; ++n) {
      CHECK(outcomes.outcomes(n).status().code() == (n == 5 ? static_cast<int>(Code::kAlreadyExists) : 0));
    }
  }
}

TEST_CASE("of many chunks the bad ones fail, each with a status of its own") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  const std::uint64_t limit = world.layout().settings.chunk_limit_bytes;
  v1::PutManyRequest put;
  put.set_zone("shop");
  for (const auto& [id, size] : std::vector<std::pair<std::string, std::size_t>>{
           {Id(1).str(), 3}, {"short", 3}, {Id(2).str(), limit + 1}, {Id(3).str(), limit}}) {
    auto* chunk = put.add_chunks();
    chunk->set_id(id);
    chunk->set_data(std::string(size, 'x'));
  }
  const auto outcomes = Only<v1::PutManyResponse>(world.Do(put));
  REQUIRE(outcomes.outcomes_size() == 4);
  CHECK(outcomes.outcomes(0).status().code() == 0);
  CHECK(outcomes.outcomes(1).status().code() == static_cast<int>(Code::kInvalidArgument));
  CHECK(outcomes.outcomes(1).status().message().find("must be 32 bytes, got 5") != std::string::npos);
  CHECK(outcomes.outcomes(2).status().code() == static_cast<int>(Code::kInvalidArgument));
  CHECK(outcomes.outcomes(2).status().message().find("limit of " + std::to_string(limit)) != std::string::npos);
  CHECK(outcomes.outcomes(3).status().code() == 0);

  v1::GetManyRequest get;
  get.set_zone("shop");
  for (const std::string& id : {Id(1).str(), std::string("x"), Id(3).str()}) get.add_ids(id);
  auto& result = world.Do(get);
  REQUIRE(result.end->code() == 0);
  std::map<std::uint32_t, int> codes;
  for (const auto& bytes : result.responses) {
    v1::GetManyResponse one;
    REQUIRE(one.ParseFromString(bytes));
    codes[one.index()] = one.status().code();
  }
  CHECK(codes == std::map<std::uint32_t, int>{{0, 0}, {1, static_cast<int>(Code::kInvalidArgument)}, {2, 0}});
}

TEST_CASE("a zone made while another call looks it up is found by those who ask after it was made") {
  RouterWorld world(1);
  world.Settle();
  bool first = true;
  world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>& bodies) {
    if (!request.has_get_zone() || !std::exchange(first, false)) return false;
    node.delay = milliseconds(100);  // read now: unknown; answered later
    world.Serve(node, request, bodies);
    node.delay = milliseconds(1);
    return true;
  };
  const CallId early = world.Call(Put("shop", Id(1), "x"));
  world.Run(milliseconds(5));
  world.AddZone("shop");
  const CallId late = world.Call(Put("shop", Id(2), "x"));
  CHECK(ReasonOf(*world.Finish(early).end) == "ZONE_UNKNOWN");
  CHECK(world.Finish(late).end->code() == 0);
}

TEST_CASE("a deletion of unknown outcome never deletes a later zone of the same name") {
  RouterWorld world(2);
  world.AddZone("shop");
  world.Settle();
  const PartitionId registry = cluster::RegistryPartition(world.layout().partition_count());
  const auto primary = static_cast<std::size_t>(world.layout().group(registry).primary);
  bool first = true;
  std::function<void(FakeNode&, const wire::DataRequest&)> lose;
  world.node(primary).intercept = [&](FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>&) {
    if (!request.has_delete_zone() || !std::exchange(first, false)) return false;
    world.truth().deleted_zones.insert(world.truth().zones["shop"].id());  // it happens, but no answer says so
    world.truth().zones.erase("shop");
    world.AddZone("shop");
    lose(node, request);
    return true;
  };
  SECTION("the answer says nothing") {
    lose = [&](FakeNode& node, const wire::DataRequest& request) {
      world.AnswerError(node, request, Code::kUnavailable, "DISK_FAILED");
    };
  }
  SECTION("the fence") {
    lose = [&](FakeNode& node, const wire::DataRequest& request) {
      wire::DataResponse response;
      response.set_call(request.call());
      response.set_fenced(true);
      world.Answer(node, response);
    };
  }
  SECTION("the link breaks") {
    lose = [&](FakeNode&, const wire::DataRequest&) {
      world.At(world.now(), [&] {
        world.Kill(primary);
        world.Start(primary);
      });
    };
  }
  SECTION("another primary takes over") {
    lose = [&](FakeNode&, const wire::DataRequest&) { world.FailOver(primary); };
  }
  v1::ZonesDeleteRequest remove;
  remove.set_name("shop");
  CHECK(world.Do(remove, seconds(20)).end->code() == 0);
  CHECK(world.truth().zones.count("shop") == 1);
}

// ---- Chains

TEST_CASE("appends conflict with the head in the details, and repeat without harm") {  // R6.2
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  auto& first = world.Do(Append("shop", Id(1), 0, {"a", "b"}));
  REQUIRE(first.end->code() == 0);
  const auto head = Only<v1::AppendResponse>(first).head();
  CHECK(head.length() == 2);
  CHECK(Only<v1::AppendResponse>(world.Do(Append("shop", Id(1), 0, {"a", "b"}))).already_existed());
  CHECK(world.Do(Append("shop", Id(1), 2, {"c"}, head.hash())).end->code() == 0);
  auto& conflict = world.Do(Append("shop", Id(1), 2, {"d"}, head.hash()));
  CHECK(conflict.end->code() == static_cast<int>(Code::kAborted));
  v1::AppendConflict detail;
  bool found = false;
  for (const auto& any : conflict.end->details()) found |= any.UnpackTo(&detail);
  REQUIRE(found);
  CHECK(detail.head().length() == 3);
}

TEST_CASE("heads of chains that do not exist have length 0, and local reads may go to any copy") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  const BlockId chain = BlockOn(world, zone, 0);
  world.Do(Append("shop", chain, 0, {"a"}));
  v1::HeadRequest head;
  head.set_zone("shop");
  head.add_chains(chain.str());
  head.add_chains(Id(77).str());
  auto response = Only<v1::HeadResponse>(world.Do(head));
  REQUIRE(response.heads_size() == 2);
  CHECK(response.heads(0).length() == 1);
  CHECK(response.heads(1).length() == 0);
  CHECK(response.heads(1).hash() == Digest().str());
  world.Kill(0);
  head.set_consistency(v1::CONSISTENCY_LOCAL);
  CHECK(Only<v1::HeadResponse>(world.Do(head)).heads(0).length() == 1);
  head.set_consistency(v1::CONSISTENCY_LINEARIZABLE);
  CHECK(world.Do(head, milliseconds(300)).end->code() != 0);
}

// ---- Bounds, ends, and the first layout

TEST_CASE("calls and bytes are bounded, and the limit is in the text") {
  RouterCoreConfig config;
  config.max_calls = 10;
  config.max_queued_bytes = 1500;  // a call of the world counts 100
  SECTION("calls") {}
  SECTION("bytes") {
    config.max_calls = 1000;
    config.max_queued_bytes = 1000;
  }
  RouterWorld world(1, 12, 1, config);
  world.AddZone("shop");
  world.Settle();
  world.node(0).silent = true;
  std::vector<CallId> calls;
  for (int n = 0; n < 11; ++n) calls.push_back(world.Call(Put("shop", Id(n), "x"), milliseconds(500)));
  for (int n = 0; n < 10; ++n) CHECK_FALSE(world.ended(calls[static_cast<std::size_t>(n)]));
  REQUIRE(world.ended(calls[10]));
  const Status& shed = *world.result(calls[10]).end;
  CHECK(shed.code() == static_cast<int>(Code::kResourceExhausted));
  CHECK(RetryAfter(shed).has_value());
  CHECK(shed.message().find(std::to_string(config.max_calls == 10 ? 10 : 1000)) != std::string::npos);
  for (const CallId call : calls) world.Finish(call);
  CHECK(world.core().calls_under_way() == 0);
  CHECK(world.core().Counters().queued_bytes == 0);
  world.node(0).silent = false;
  CHECK(world.Do(Put("shop", Id(1), "x")).end->code() == 0);  // room again
}

TEST_CASE("a cancelled call ends once, and its late answer is dropped") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "x"));
  world.node(0).delay = milliseconds(100);
  const CallId call = world.Call(Put("shop", Id(2), "x"));
  world.Run(milliseconds(10));
  world.Cancel(call);
  REQUIRE(world.ended(call));
  CHECK(world.result(call).end->code() == static_cast<int>(Code::kCancelled));
  world.Cancel(call);
  world.Run(milliseconds(500));
  CHECK(world.result(call).ends == 1);
  CHECK(world.core().Counters().dispatcher.late_answers == 1);
}

TEST_CASE("calls wait a little for the first layout, then say that there is none") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.node(0).up = false;
  const CallId early = world.Call(Put("shop", Id(1), "x"), seconds(20));
  auto& none = world.Do(Put("shop", Id(2), "x"), seconds(20));
  CHECK(ReasonOf(*none.end) == "NO_LAYOUT");
  CHECK(ReasonOf(*world.Finish(early).end) == "NO_LAYOUT");
  const CallId waiting = world.Call(Put("shop", Id(3), "x"), seconds(20));
  world.Start(0);
  CHECK(world.Finish(waiting).end->code() == 0);
}

TEST_CASE("a request that breaks a rule costs nobody anything") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  const std::size_t before = world.node(0).got.size();
  auto& put = world.Do(Put("shop", Id(1), std::string(4097, 'x')));
  CHECK(put.end->code() == static_cast<int>(Code::kInvalidArgument));
  CHECK(put.end->message().find("4096") != std::string::npos);
  google::rpc::BadRequest details;
  bool found = false;
  for (const auto& any : put.end->details()) found |= any.UnpackTo(&details);
  REQUIRE(found);
  CHECK(details.field_violations(0).field() == "data");
  CHECK(world.node(0).got.size() == before);
}

TEST_CASE("after leaving, calls end with STOPPING") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.core().Leave(world.now());
  CHECK(ReasonOf(*world.Do(Put("shop", Id(1), "x")).end) == "STOPPING");
}
