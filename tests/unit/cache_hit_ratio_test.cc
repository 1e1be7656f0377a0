// What the cache of chunks finds as it ships, with its policy and its shards, beside an undivided one with S3-FIFO over the same
// requests. They are made up from a seed; recorded ones are replayed by hand (tests/bench/cache).
#include <algorithm>
#include <cmath>
#include <vector>

#include "cluster/random.h"
#include "router/core/chunk_cache.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

using Requests = std::vector<std::uint64_t>;

constexpr std::uint64_t kChunkBytes = 16'384;
constexpr std::uint64_t kEntries = 1000;        // that find room, about
constexpr std::uint64_t kScanned = 1ull << 32;  // keys from here on are read in scans

// Draws keys of which the first are the most popular, by Zipf's law.
class Popular {
 public:
  Popular() {
    double sum = 0;
    for (int rank = 1; rank <= 20'000; ++rank) up_to_.push_back(sum += std::pow(rank, -0.9));
  }
  std::uint64_t Draw(Random& random) const {
    const double at = static_cast<double>(random.Next() >> 11) * 0x1p-53 * up_to_.back();
    return static_cast<std::uint64_t>(std::upper_bound(up_to_.begin(), up_to_.end(), at) - up_to_.begin());
  }

 private:
  std::vector<double> up_to_;  // weights of the keys until here
};

// Share of hits.
double Hits(const Requests& requests, ChunkCacheConfig config) {
  const auto chunk = std::make_shared<const std::string>(kChunkBytes, 'x');
  const Instant now(std::chrono::seconds(1));
  config.bytes = kEntries * kChunkBytes;
  ChunkCache cache(config, 1);
  for (const std::uint64_t key : requests) {
    BlockId id;
    for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(key >> (8 * i));
    if (!cache.Find(now, {}, id)) cache.Insert(now, {}, id, chunk);
  }
  const ChunkCacheCounters counters = cache.Counters();
  return static_cast<double>(counters.hits) / static_cast<double>(counters.hits + counters.misses);
}

double ShippedHits(const Requests& requests) { return Hits(requests, {}); }

double S3FifoHits(const Requests& requests) {
  ChunkCacheConfig config;
  config.policy = EvictionKind::kS3Fifo;
  config.shards = 1;
  return Hits(requests, config);
}

}  // namespace

TEST_CASE("the shipped cache keeps what is popular through scans, within a point of s3-fifo, which is made for that") {
  Random random(21);
  const Popular popular;
  Requests requests;
  std::uint64_t scanned = kScanned;
  for (int i = 0; i < 60; ++i) {
    for (int j = 0; j < 1500; ++j) requests.push_back(popular.Draw(random));
    for (int j = 0; j < 1000; ++j) requests.push_back(scanned++);
  }
  CHECK(ShippedHits(requests) > S3FifoHits(requests) - 0.01);
}

TEST_CASE("the shipped cache finds at least what s3-fifo does while what is popular changes") {
  Random random(22);
  const Popular popular;
  Requests requests;
  for (std::uint64_t i = 0; i < 120'000; ++i) requests.push_back(popular.Draw(random) + i / 20);
  CHECK(ShippedHits(requests) >= S3FifoHits(requests));
}

TEST_CASE("the shipped cache finds at least what s3-fifo does when a scan is repeated, and when other work takes turns with it") {
  Random random(23);
  const Popular popular;
  Requests requests;
  for (std::uint64_t phase = 0; phase < 4; ++phase) {
    for (int round = 0; round < 15; ++round) {
      for (std::uint64_t i = 0; i < kEntries * 8 / 5; ++i) requests.push_back(kScanned + i);
    }
    for (std::uint64_t i = 0; i < 25'000; ++i) requests.push_back(popular.Draw(random) + i / 20);
  }
  CHECK(ShippedHits(requests) >= S3FifoHits(requests));
}
