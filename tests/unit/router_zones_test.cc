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
