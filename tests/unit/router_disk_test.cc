// Calls of a router whose cache has a disk: what is asked of whom, when the disk answers, is slow, wrong or fails.
#include "router/core/disk_record.h"
#include "router_world.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

// Memory for a few chunks of 3 kB in each of four shards, and a disk.
RouterCoreConfig Config() {
  RouterCoreConfig config;
  config.cache.bytes = 80'000;
  config.cache.policy = EvictionKind::kLru;
  config.disk.path = "/cache";
  config.disk.bytes = kLeastDiskBytes;
  config.disk.index_bytes = 64 << 10;
  return config;
}

constexpr int kChunks = 100;
std::string DataOf(int n) { return std::string(3'000, static_cast<char>('a' + n % 26)) + std::to_string(n); }

class World {
 public:
  World() : router(3, 12, 1, Config()) {
    zone = router.AddZone("shop");
    router.on_disk = [this](std::vector<DiskWrite> writes, std::vector<DiskRead> reads) { OnDisk(std::move(writes), reads); };
    router.Settle();
    for (int n = 0; n < kChunks; ++n) REQUIRE(router.Do(Put("shop", Id(n), DataOf(n))).end->code() == 0);
    for (int n = 0; n < kChunks; ++n) {
      CHECK(Read(n) == DataOf(n));
      CHECK(Read(n) == DataOf(n));  // from memory, which makes it worth the disk
    }
    router.Run(milliseconds(100));
    REQUIRE(router.core().Counters().disk->queued == 0);
    REQUIRE(router.core().Counters().disk->chunks > 50);
  }
  std::string Read(int n) { return Only<v1::GetResponse>(router.Do(Get("shop", Id(n)))).data(); }
  // Requests for chunks that nodes got so far.
  std::size_t asked() {
    std::size_t count = 0;
    for (std::size_t i = 0; i < router.size(); ++i) {
      for (const auto& request : router.node(i).got) count += request.has_get_chunk();
    }
    return count;
  }

  RouterWorld router;
  ZoneId zone;
  Duration delay = milliseconds(1);
  std::optional<DiskReadEnd> wrong;  // how every read ends
  int reads = 0;

 private:
  void OnDisk(std::vector<DiskWrite> writes, const std::vector<DiskRead>& orders) {
    for (DiskWrite& write : writes) {
      if (write.chunk) records_[{write.to.segment, write.to.offset}] = write.chunk;
      const DiskWritten written{write.to, write.hash, write.chunk ? write.chunk->size() : 0, true};
      router.At(router.now() + milliseconds(1), [this, written] { router.Feed(router.core().DiskWritesEnded(router.now(), {written})); });
    }
    for (const DiskRead& read : orders) {
      ++reads;
      router.At(router.now() + delay, [this, read] {
        const auto end = wrong.value_or(DiskReadEnd::kFound);
        const Payload chunk = end == DiskReadEnd::kFound ? records_[{read.from.segment, read.from.offset}] : nullptr;
        router.Feed(router.core().DiskReadEnded(router.now(), read.id, end, chunk));
      });
    }
  }
  std::map<std::pair<std::uint32_t, std::uint32_t>, Payload> records_;
};

}  // namespace

TEST_CASE("router disk: what left memory is read from the disk, whole or in part, and no node is asked") {
  World world;
  const std::size_t asked = world.asked();
  CHECK(world.Read(0) == DataOf(0));
  CHECK(world.reads == 1);
  CHECK(world.Read(0) == DataOf(0));  // memory has it again
  CHECK(world.reads == 1);
  CHECK(Only<v1::GetResponse>(world.router.Do(Get("shop", Id(1), 2'999, 2))).data() == DataOf(1).substr(2'999, 2));
  CHECK(world.router.Do(Get("shop", Id(2), 20'000, 1)).end->code() == static_cast<int>(Code::kOutOfRange));
  v1::GetManyRequest many;
  many.set_zone("shop");
  for (int n = 3; n < 45; ++n) many.add_ids(Id(n).str());
  const auto& result = world.router.Do(many);
  CHECK(result.responses.size() == 42);
  for (const std::string& bytes : result.responses) {
    v1::GetManyResponse response;
    REQUIRE(response.ParseFromString(bytes));
    CHECK(response.data() == DataOf(3 + static_cast<int>(response.index())));
  }
  CHECK(world.reads == 45);
  CHECK(world.asked() == asked);
  const RouterCounters counters = world.router.core().Counters();
  CHECK(counters.disk->hits == 45);
  CHECK(counters.cache_zones[0].disk_hits == 45);
  CHECK(counters.cache_zones[0].disk_misses == kChunks);
}

TEST_CASE("router disk: a read that finds nothing, or takes too long, goes to a node and is answered once") {
  World world;
  const std::size_t asked = world.asked();
  SECTION("another chunk's record") { world.wrong = DiskReadEnd::kOtherKey; }
  SECTION("a bad record") { world.wrong = DiskReadEnd::kBadRecord; }
  SECTION("slow") { world.delay = milliseconds(700); }
  CHECK(world.Read(0) == DataOf(0));
  v1::GetManyRequest many;
  many.set_zone("shop");
  for (int n = 1; n < 41; ++n) many.add_ids(Id(n).str());
  const CallId call = world.router.Call(many);
  world.router.Finish(call);
  world.router.Run(seconds(2));
  CHECK(world.router.result(call).responses.size() == 40);
  CHECK(world.router.result(call).ends == 1);
  CHECK(world.router.result(call).end->code() == 0);
  CHECK(world.reads > 1);
  CHECK(world.asked() > asked + 1);
}

TEST_CASE("router disk: a delete and a clearing reach the disk, also while it reads") {
  World world;
  world.delay = milliseconds(20);
  const CallId reading = world.router.Call(Get("shop", Id(0)));
  world.router.Run(milliseconds(1));
  REQUIRE(world.reads == 1);
  SECTION("this router is asked to delete") {
    v1::DeleteRequest remove;
    remove.set_zone("shop");
    remove.set_id(Id(0).str());
    REQUIRE(world.router.Do(remove).end->code() == 0);
  }
  SECTION("a node says it was deleted") {
    PeerMessage told;
    told.header.mutable_forget()->set_zone(world.zone.str());
    told.header.mutable_forget()->add_ids(Id(0).str());
    world.router.truth().chunks.erase({world.zone.str(), Id(0).str()});
    world.router.Send(world.router.node(0), std::move(told));
  }
  world.router.Finish(reading);
  CHECK(world.router.result(reading).end->code() == static_cast<int>(Code::kNotFound));
  CHECK(world.router.Do(Get("shop", Id(0))).end->code() == static_cast<int>(Code::kNotFound));
  CHECK(world.Read(1) == DataOf(1));
  v1::ControlCacheRequest clear;
  clear.set_clear(true);
  const auto cleared = Only<v1::ControlCacheResponse>(world.router.Do(clear));
  CHECK(cleared.disk().path() == "/cache");
  CHECK(cleared.disk().chunks() == 0);
  const int reads = world.reads;
  CHECK(world.Read(2) == DataOf(2));
  CHECK(world.reads == reads);
}

TEST_CASE("router disk: a disk that fails is given up, and whoever waits for it is answered by a node") {
  World world;
  world.delay = seconds(30);
  const CallId reading = world.router.Call(Get("shop", Id(0)));
  world.router.Run(milliseconds(1));
  REQUIRE(world.reads == 1);
  world.router.Feed(world.router.core().DiskFailed(world.router.now(), "it is full"));
  world.router.Run(milliseconds(50));
  REQUIRE(world.router.ended(reading));
  CHECK(Only<v1::GetResponse>(world.router.result(reading)).data() == DataOf(0));
  CHECK(world.Read(1) == DataOf(1));
  CHECK(world.reads == 1);
  CHECK(world.router.core().Counters().disk->off_because == "it is full");
}
