// Where a block lives: SHA-256 of zone and id, then the table.
#include <benchmark/benchmark.h>

#include "cluster/placement.h"
#include "cluster/random.h"

namespace coffer {
namespace {

void BM_PartitionOf(benchmark::State& state) {
  Random random(1);
  const ZoneId zone;
  BlockId block;
  for (auto _ : state) {
    block.bytes[0] = static_cast<std::uint8_t>(random.Next());
    benchmark::DoNotOptimize(cluster::PartitionOf(zone, block, 5040));
  }
}
BENCHMARK(BM_PartitionOf);

}  // namespace
}  // namespace coffer
