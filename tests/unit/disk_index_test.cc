// The decisions of the cache's disk, carried out on a disk in memory: what is found, what makes room, what is never shown.
#include <deque>
#include <map>

#include "cluster/random.h"
#include "router/core/disk_index.h"
#include "router/core/disk_record.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

ChunkKey Key(int n, int zone = 1) {
  ChunkKey key;
  key.zone.bytes[0] = static_cast<std::uint8_t>(zone);
  for (int i = 0; i < 4; ++i) key.block.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(n >> (8 * i));
  return key;
}
Payload Value(std::size_t size, char c = 'x') { return std::make_shared<const std::string>(size, c); }
Instant At(int seconds) { return Instant(std::chrono::seconds(seconds)); }
constexpr std::uint64_t kMiB = 1u << 20;

DiskIndexConfig Config(std::uint64_t bytes = 16 * kMiB, std::uint64_t index_bytes = kMiB) {
  DiskIndexConfig config;
  config.path = "/cache";
  config.bytes = bytes;
  config.index_bytes = index_bytes;
  return config;
}

// Bytes, as the threads beside a router would read and write them; whoever owns it says when.
class Disk {
 public:
  explicit Disk(DiskIndexConfig config) : index(config, 7, At(0)), segment_(DiskIndex::SegmentBytes(config.bytes)), bytes_(config.bytes, '\0') {}

  void TakeOrders() {
    for (auto& write : index.TakeWrites()) writes_.push_back(std::move(write));
    for (const auto& read : index.TakeReads()) reads_.push_back(read);
  }
  bool WriteOne() {
    TakeOrders();
    if (writes_.empty()) return false;
    const DiskWrite write = std::move(writes_.front());
    writes_.pop_front();
    std::optional<ChunkKey> key = write.key;
    Payload chunk = write.chunk;
    if (!chunk) {
      const std::string record = bytes_.substr(Offset(write.from), write.from.size);
      chunk = std::make_shared<const std::string>(record.substr(kDiskRecordHead));
      key = VerifyDiskRecord(write.from, record.substr(0, kDiskRecordHead), *chunk);
    }
    if (key) {
      const std::string record = DiskRecordHead(write.to, *key, *chunk) + *chunk;
      REQUIRE(record.size() == write.to.size);
      REQUIRE(write.to.offset + record.size() <= segment_);
      REQUIRE(Offset(write.to) + record.size() <= bytes_.size());
      bytes_.replace(Offset(write.to), record.size(), record);
    }
    index.Written({{write.to, write.hash, write.chunk ? write.chunk->size() : 0, key.has_value()}});
    return true;
  }
  void WriteAll() {
    while (WriteOne()) {
    }
  }
  // Ends one of the reads under way.
  DiskIndex::Found ReadOne(std::size_t which = 0) {
    TakeOrders();
    const DiskRead read = reads_[which];
    reads_.erase(reads_.begin() + static_cast<std::ptrdiff_t>(which));
    const std::string record = bytes_.substr(Offset(read.from), read.from.size);
    const std::string chunk = record.substr(kDiskRecordHead);
    const auto key = VerifyDiskRecord(read.from, record.substr(0, kDiskRecordHead), chunk);
    if (key == read.key) return index.Read(read.id, DiskReadEnd::kFound, std::make_shared<const std::string>(chunk));
    return index.Read(read.id, key ? DiskReadEnd::kOtherKey : DiskReadEnd::kBadRecord, nullptr);
  }
  // Null: not there.
  Payload Get(int second, const ChunkKey& key) {
    if (index.Find(At(second), key) == 0) return nullptr;
    TakeOrders();
    return ReadOne(reads_.size() - 1).chunk;
  }
  std::size_t reading() {
    TakeOrders();
    return reads_.size();
  }
  void Damage(char from, char to) { std::replace(bytes_.begin(), bytes_.end(), from, to); }

  DiskIndex index;

 private:
  std::uint64_t Offset(const DiskPlace& place) const { return std::uint64_t{place.segment} * segment_ + place.offset; }
  const std::uint64_t segment_;
  std::string bytes_;
  std::deque<DiskWrite> writes_;
  std::vector<DiskRead> reads_;
};

}  // namespace

TEST_CASE("disk cache: a chunk is found once it is written, under its zone and id alone") {
  Disk disk(Config());
  disk.index.Offer(At(1), At(1), Key(1), Value(1000, 'a'));
  CHECK(disk.index.Find(At(1), Key(1)) == 0);
  disk.WriteAll();
  REQUIRE(disk.Get(2, Key(1)));
  CHECK(*disk.Get(2, Key(1)) == std::string(1000, 'a'));
  CHECK_FALSE(disk.Get(2, Key(2)));
  CHECK_FALSE(disk.Get(2, Key(1, 2)));
  disk.index.Offer(At(2), At(2), Key(9), Value(0));
  disk.WriteAll();
  CHECK(disk.Get(2, Key(9)));
  const DiskCounters counters = disk.index.Counters();
  CHECK(counters.hits == 3);
  CHECK(counters.misses == 3);
  CHECK(counters.chunks == 2);
  CHECK(counters.writes == 2);
  CHECK(counters.bytes == 1000 + 2 * kDiskRecordHead);
}

TEST_CASE("disk cache: a chunk is not shown beyond its age, which coming back to memory does not renew") {
  Disk disk(Config());
  disk.index.Offer(At(10), At(5), Key(1), Value(10));
  disk.WriteAll();
  disk.index.Offer(At(20), At(5), Key(1), Value(10));  // leaves memory again
  CHECK(disk.index.TakeWrites().empty());
  CHECK(disk.Get(64, Key(1)));
  CHECK_FALSE(disk.Get(65, Key(1)));
  CHECK(disk.index.Counters().chunks == 0);
  disk.index.Offer(At(80), At(10), Key(1), Value(10));  // too old already
  CHECK(disk.index.Counters().chunks == 0);
}

TEST_CASE("disk cache: what a node said later takes the place of what it said before") {
  Disk disk(Config());
  disk.index.Offer(At(1), At(1), Key(1), Value(10, 'a'));
  disk.WriteAll();
  disk.index.Offer(At(50), At(50), Key(1), Value(10, 'b'));
  CHECK_FALSE(disk.Get(50, Key(1)));
  disk.WriteAll();
  CHECK(*disk.Get(100, Key(1)) == std::string(10, 'b'));
}

TEST_CASE("disk cache: what was removed is not found, whatever is under way") {
  Disk disk(Config());
  const auto forget = GENERATE(0, 1, 2);
  auto remove = [&] {
    if (forget == 0) disk.index.Remove(Key(1));
    if (forget == 1) disk.index.RemoveZone(Key(1).zone);
    if (forget == 2) disk.index.Clear();
  };
  disk.index.Offer(At(1), At(1), Key(1), Value(10));
  disk.index.Offer(At(1), At(1), Key(1, 2), Value(10));
  SECTION("before it is written") {
    remove();
    disk.WriteAll();
  }
  SECTION("while it is read") {
    disk.WriteAll();
    REQUIRE(disk.index.Find(At(1), Key(1)));
    remove();
    CHECK_FALSE(disk.ReadOne().chunk);
  }
  CHECK_FALSE(disk.Get(2, Key(1)));
  CHECK((disk.Get(2, Key(1, 2)) != nullptr) == (forget != 2));
  disk.index.Offer(At(3), At(3), Key(1), Value(20));
  disk.WriteAll();
  CHECK(disk.Get(4, Key(1))->size() == 20);
}

TEST_CASE("disk cache: a record that does not verify is not found, and counted") {
  Disk disk(Config());
  disk.index.Offer(At(1), At(1), Key(1), Value(1000, 'a'));
  disk.WriteAll();
  disk.Damage('a', 'b');
  CHECK_FALSE(disk.Get(1, Key(1)));
  CHECK(disk.index.Counters().bad_records == 1);
  CHECK_FALSE(disk.Get(1, Key(1)));
  CHECK(disk.index.Counters().bad_records == 1);
  CHECK(disk.index.Counters().hits == 0);
}

TEST_CASE("disk cache: the oldest makes room, but for what was read since") {
  Disk disk(Config());
  int written = 0;
  auto fill = [&](int chunks) {
    for (const int end = written + chunks; written < end; ++written) {
      disk.index.Offer(At(1), At(1), Key(written), Value(200'000));
      disk.WriteAll();
      if (written >= 3) {
        for (int hot = 0; hot < 3; ++hot) CHECK(disk.Get(1, Key(hot)));
      }
    }
  };
  fill(60);  // 12 of 16 MB
  CHECK(disk.index.Counters().evictions == 0);
  fill(300);
  const DiskCounters counters = disk.index.Counters();
  CHECK(counters.moves > 3);
  CHECK(counters.evictions > 200);
  CHECK(counters.bytes <= 16 * kMiB);
  CHECK_FALSE(disk.Get(1, Key(3)));
  CHECK(disk.Get(1, Key(written - 1)));
  CHECK(disk.Get(1, Key(written - 40)));
}

TEST_CASE("disk cache: room is won though everything was read") {
  Disk disk(Config());
  for (int n = 0; n < 500; ++n) {
    disk.index.Offer(At(1), At(1), Key(n), Value(100'000));
    disk.WriteAll();
    for (int seen = 0; seen <= n; ++seen) disk.Get(1, Key(seen));
    REQUIRE(disk.Get(1, Key(n)));
    REQUIRE(disk.index.Counters().bytes <= 16 * kMiB);
  }
}

TEST_CASE("disk cache: the index keeps its bound, at 64 bytes for a chunk at most") {
  const std::uint64_t bound = 256u << 10;
  Disk disk(Config(64 * kMiB, bound));
  for (int n = 0; n < 20'000; ++n) {
    disk.index.Offer(At(1), At(1), Key(n), Value(1000));
    if (n % 3 == 0) disk.index.Remove(Key(n - 10));
    disk.WriteAll();
    REQUIRE(disk.index.Counters().index_bytes <= bound);
  }
  const DiskCounters counters = disk.index.Counters();
  CHECK(counters.evictions > 10'000);
  CHECK(counters.chunks > 0);
  CHECK(counters.index_bytes / DiskIndex::MostItems(bound) <= 64);
  CHECK(disk.Get(1, Key(19'999)));
}

TEST_CASE("disk cache: what the disk can't keep up with is left out") {
  DiskIndexConfig config = Config();
  config.queued_bytes = 3000;
  config.reading_bytes = 3000;
  Disk disk(config);
  for (int n = 0; n < 5; ++n) disk.index.Offer(At(1), At(1), Key(n), Value(1000));
  CHECK(disk.index.Counters().skipped == 2);
  CHECK(disk.index.Counters().queued == 3);
  disk.WriteAll();
  CHECK(disk.index.Counters().queued == 0);
  disk.index.Offer(At(1), At(1), Key(4), Value(1000));
  disk.WriteAll();
  CHECK(disk.index.Find(At(1), Key(0)));
  CHECK(disk.index.Find(At(1), Key(1)));
  CHECK_FALSE(disk.index.Find(At(1), Key(2)));
  CHECK(disk.index.Counters().skipped == 3);
  CHECK(disk.ReadOne().chunk);
  CHECK(disk.index.Find(At(1), Key(2)));
}

TEST_CASE("disk cache: a disk that failed finds and takes nothing") {
  Disk disk(Config());
  disk.index.Offer(At(1), At(1), Key(1), Value(10));
  disk.WriteAll();
  const DiskReadId under_way = disk.index.Find(At(1), Key(1));
  disk.index.SwitchOff("it is full");
  CHECK_FALSE(disk.index.Read(under_way, DiskReadEnd::kFound, Value(10)).chunk);
  disk.index.Offer(At(1), At(1), Key(2), Value(10));
  CHECK(disk.index.TakeWrites().empty());
  CHECK(disk.index.Find(At(1), Key(1)) == 0);
  CHECK_FALSE(disk.index.on());
  CHECK(disk.index.Counters().off_because == "it is full");
}

TEST_CASE("disk cache: under random use only what was last offered is found, and most of what was") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Random random(seed);
    Disk disk(Config());
    std::map<int, std::pair<int, std::size_t>> told;  // by key: when, and the size, which names the version
    std::uint64_t found = 0;
    for (int step = 0; step < 6'000; ++step) {
      const int second = step / 200;
      const int n = static_cast<int>(random.Below(random.Chance(1, 3) ? 20 : 400));
      switch (random.Below(8)) {
        case 0:
          told.erase(n);
          disk.index.Remove(Key(n));
          break;
        case 1:
        case 2:
        case 3: {
          const std::size_t size = 50'000 + random.Below(100'000);
          if (told.count(n) && told[n].first == second) break;  // of one second the first stands
          told[n] = {second, size};
          disk.index.Offer(At(second), At(second), Key(n), Value(size, static_cast<char>(n)));
          break;
        }
        case 4:
        case 5:
          disk.index.Find(At(second), Key(n));
          break;
        default:
          for (std::uint64_t i = random.Below(6); i > 0; --i) disk.WriteOne();
          break;
      }
      if (disk.reading() > random.Below(8)) {
        const auto got = disk.ReadOne(random.Below(disk.reading()));
        if (!got.chunk) continue;
        int key = 0;
        for (int i = 3; i >= 0; --i) key = key << 8 | got.key.block.bytes[static_cast<std::size_t>(i)];
        REQUIRE(told.count(key));
        REQUIRE(got.chunk->size() == told[key].second);
        REQUIRE(got.chunk->front() == static_cast<char>(key));
        ++found;
      }
      REQUIRE(disk.index.Counters().bytes <= 16 * kMiB);
    }
    CHECK(found > 300);
    CHECK(disk.index.Counters().evictions > 0);
    CHECK(disk.index.Counters().bad_records == 0);
  }
}
