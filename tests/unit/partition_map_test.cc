// The table of partitions does what std::map does, whatever is done to it.
#include <map>
#include <vector>

#include "cluster/random.h"
#include "node/core/partition_map.h"
#include "test_support.h"

namespace coffer::node {
namespace {

using Lines = std::vector<std::pair<PartitionId, int>>;

template <class Map>
Lines LinesOf(const Map& map) {
  Lines lines;
  for (const auto& [partition, value] : map) lines.emplace_back(partition, value);
  return lines;
}

TEST_CASE("a table of partitions holds what a map would") {
  Random random(7);
  std::map<PartitionId, int> expected;
  PartitionMap<int> map;
  CHECK(map.empty());
  for (int step = 0; step < 2000; ++step) {
    const auto p = static_cast<PartitionId>(random.Below(50));
    switch (random.Below(3)) {
      case 0:
        map[p] = expected[p] = step;
        break;
      case 1:
        map.erase(p);
        expected.erase(p);
        break;
      default: {
        const auto it = map.find(p);
        REQUIRE((it == map.end()) == !expected.contains(p));
        if (it == map.end()) break;
        REQUIRE(it->first == p);
        REQUIRE(it->second == expected.at(p));
        REQUIRE(map.at(p) == expected.at(p));
      }
    }
    REQUIRE(map.size() == expected.size());
    REQUIRE(map.empty() == expected.empty());
    REQUIRE(LinesOf(map) == LinesOf(expected));
  }
}

TEST_CASE("elements may be added and erased while a table is gone over") {
  PartitionMap<int> map;
  map[2] = 2;
  map[9] = 9;
  int& kept = map[9];
  std::vector<PartitionId> seen;
  for (const auto& [partition, value] : map) {
    seen.push_back(partition);
    if (partition == 2) map[40] = 40;
    if (partition == 40) map.erase(2);
  }
  CHECK(seen == std::vector<PartitionId>{2, 9, 40});
  CHECK(&kept == &map.at(9));
  CHECK(LinesOf(map) == Lines{{9, 9}, {40, 40}});
  CHECK_FALSE(map.find(2) != map.end());
}

}  // namespace
}  // namespace coffer::node
