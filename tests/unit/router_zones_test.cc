// What a router remembers of zones, when they go.
#include "router_world.h"

#include "cluster/placement.h"
#include "router/core/errors.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

TEST_CASE("a zone that a look-up said to be gone is not found in the cache while nobody can look it up") {
  RouterWorld world(2);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Put("shop", Id(1), "x")).end->code() == 0);
  REQUIRE(world.Do(Get("shop", Id(1))).end->code() == 0);
  world.truth().deleted_zones.insert(zone.str());
  world.truth().zones.erase("shop");
  world.Run(seconds(6));  // what is remembered is looked up again
  CHECK(ReasonOf(*world.Do(Get("shop", Id(1))).end) == "ZONE_UNKNOWN");
  world.Kill(world.layout().group(cluster::RegistryPartition(world.layout().partition_count())).primary);
  CHECK(world.Do(Get("shop", Id(1))).end->code() != 0);
}

namespace {

// A zone of the same name made since, unknown to the router.
ZoneId Replace(RouterWorld& world, const ZoneId& zone, const std::string& name) {
  world.truth().deleted_zones.insert(zone.str());
  world.truth().zones.erase(name);
  return world.AddZone(name);
}

// Every write there is, with the id of the zone that is meant.
std::vector<Request> WritesInto(const std::string& name, const ZoneId& zone) {
  v1::PutManyRequest many;
  many.add_chunks()->set_id(Id(2).str());
  v1::DeleteRequest remove;
  remove.set_id(Id(3).str());
  v1::ChainsDeleteRequest remove_chain;
  remove_chain.set_chain(Id(5).str());
  std::vector<Request> writes{Put(name, Id(1), "late"), many, remove, Append(name, Id(4), 0, {"late"}), remove_chain};
  for (Request& write : writes) {
    std::visit(
        [&](auto& r) {
          if constexpr (requires { r.set_zone_id(""); }) {
            r.set_zone(name);
            r.set_zone_id(zone.str());
          }
        },
        write);
  }
  return writes;
}

}  // namespace

TEST_CASE("R6.6: a write that says which zone it means does nothing in a later zone of that name") {
  const bool remembered = GENERATE(true, false);  // the router remembers the earlier zone, or has learned of the later one
  RouterWorld world(2);
  const ZoneId first = world.AddZone("shop");
  world.Settle();
  v1::ZonesResolveRequest resolve;
  resolve.set_zone("shop");
  REQUIRE(Only<v1::ZonesResolveResponse>(world.Do(resolve)).id() == first.str());
  REQUIRE(world.Do(Append("shop", Id(5), 0, {"x"})).end->code() == 0);
  for (const Request& write : WritesInto("shop", first)) {
    if (MethodOf(write) != Method::kChunksDelete) CHECK(world.Do(write).end->code() == 0);
  }
  const ZoneId second = Replace(world, first, "shop");
  if (!remembered) {
    world.Run(seconds(6));
    REQUIRE(world.Do(Put("shop", Id(9), "x")).end->code() == 0);
  }
  for (const Request& write : WritesInto("shop", first)) {
    const Status end = *world.Do(write).end;
    CHECK(end.code() == static_cast<int>(Code::kNotFound));
    CHECK(ReasonOf(end) == "ZONE_DELETED");
  }
  for (int n = 1; n <= 5; ++n) {
    CHECK(world.truth().chunks.count({second.str(), Id(n).str()}) == 0);
    CHECK(world.truth().chains.count({second.str(), Id(n).str()}) == 0);
  }
  CHECK(world.Do(Put("shop", Id(1), "by name")).end->code() == 0);
}

TEST_CASE("a router that remembers an earlier zone looks before it refuses a write into the present one") {
  RouterWorld world(2);
  const ZoneId first = world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Put("shop", Id(9), "x")).end->code() == 0);
  const ZoneId second = Replace(world, first, "shop");
  auto put = Put("shop", Id(1), "x");
  put.set_zone_id(second.str());
  CHECK(world.Do(put).end->code() == 0);
  CHECK(world.truth().chunks.count({second.str(), Id(1).str()}) == 1);
}

TEST_CASE("while nobody can look a zone up, another id than the remembered one is no proof that the zone is gone") {
  RouterWorld world(2);
  const ZoneId first = world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Put("shop", Id(9), "x")).end->code() == 0);
  const ZoneId second = Replace(world, first, "shop");
  world.NodeOf(world.layout().group(cluster::RegistryPartition(world.layout().partition_count())).primary).silent = true;
  auto put = Put("shop", Id(1), "x");
  put.set_zone_id(second.str());
  const Status end = *world.Do(put).end;
  CHECK(end.code() == static_cast<int>(Code::kUnavailable));
  CHECK(ReasonOf(end) == "NOT_SENT");
}

TEST_CASE("a name that is taken is said to be taken, though the first attempt was fenced") {
  RouterWorld world(2);
  world.AddZone("shop");
  world.Settle();
  FakeNode& primary = world.PrimaryOf(cluster::RegistryPartition(world.layout().partition_count()));
  const bool answered = GENERATE(true, false);
  int attempts = 0;
  primary.intercept = [&](FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>&) {
    if (!request.has_create_zone() || ++attempts > 1) return false;
    wire::DataResponse response;
    response.set_call(request.call());
    response.set_fenced(true);
    if (answered) world.Answer(node, response);
    return true;
  };
  v1::ZonesCreateRequest create;
  create.set_name("shop");
  create.set_id(std::string(16, 'i'));
  const Status end = *world.Do(create, seconds(20)).end;
  CHECK(attempts == 2);
  // Who kept silent may yet make the zone, when the name is free.
  CHECK(ReasonOf(end) == (answered ? "ZONE_EXISTS" : "OUTCOME_UNKNOWN"));
}
