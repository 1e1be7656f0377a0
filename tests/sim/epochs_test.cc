// How many layouts a change of the cluster costs: each is an agreement, and a fresh contact of the partitions it touches.
#include <string>

#include "sim/sim_cluster.h"
#include "test_support.h"

namespace coffer::sim {
namespace {

using std::chrono::seconds;

// Enough partitions, and a network uneven enough, for adds to trickle in instead of coming all at once.
constexpr std::uint32_t kPartitions = 840;

std::uint64_t EpochOf(SimCluster& c) { return c.Newest() ? c.Newest()->epoch.value : 0; }

// Epochs until all is at rest again.
std::uint64_t EpochsToRest(SimCluster& c, std::uint64_t since) {
  c.RunFor(seconds(5));
  INFO(c.Describe());
  REQUIRE(c.RunUntil([&] { return c.Settled(); }, seconds(60)));
  c.RunFor(seconds(2));
  return EpochOf(c) - since;
}

TEST_CASE("forming, losing, taking back and adding a node cost a handful of epochs each") {
  for (std::uint64_t seed = 40; seed < 43; ++seed) {
    SimCluster c(seed, kPartitions);
    c.faults.delay_long_per_mille = 100;
    for (int i = 0; i < 3; ++i) c.AddNode();
    c.Start(0);
    c.Form(0);
    c.Start(1);
    c.Start(2);
    INFO("seed " << seed);
    CHECK(EpochsToRest(c, 0) <= 9);  // the first, joins, voters one by one, copies, primaries, the rule of two copies
    std::uint64_t before = EpochOf(c);
    c.Kill(2);
    CHECK(EpochsToRest(c, before) <= 8);  // promotion, new places, copies, primaries
    before = EpochOf(c);
    c.Start(2);
    CHECK(EpochsToRest(c, before) <= 8);
    before = EpochOf(c);
    c.Start(c.AddNode());
    CHECK(EpochsToRest(c, before) <= 8);
  }
}

}  // namespace
}  // namespace coffer::sim
