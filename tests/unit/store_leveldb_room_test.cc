// The store on LevelDB when its disk is full, nearly full, or silent.

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <set>

#include "node/leveldb_store.h"
#include "node/log_tail.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_leveldb_fixture.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

namespace fs = std::filesystem;

TEST_CASE("leveldb store: a full disk is waited for, and writes go on without a restart", "[leveldb]") {
  struct Full : DiskFaults {
    std::atomic<bool> full{false};
    int BeforeWrite(const std::string&, std::size_t) override { return full ? ENOSPC : 0; }
  } faults;
  TemporaryFolder parent;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &faults;
  options.on_failure = [](const std::string&) { FAIL("a full disk is no failure"); };
  auto store = MustOpen(options);
  for (std::uint64_t i = 0; i < 10; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
  faults.full = true;
  std::promise<bool> done;
  auto result = done.get_future();
  store->Write(BatchOf(10), [&](bool ok) { done.set_value(ok); });
  while (!store->Health().full) std::this_thread::yield();
  CHECK_FALSE(store->Health().failed);
  CHECK(result.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  SECTION("space comes back") {
    faults.full = false;
    CHECK(result.get());
    REQUIRE(WriteAndWait(*store, BatchOf(11)));
    store.reset();
    CHECK(CountWhole(*MustOpen(SmallOptions(parent.path() + "/store"))) == 12);
  }
  SECTION("the node is stopped first") {
    store.reset();
    CHECK_FALSE(result.get());
    CHECK(CountWhole(*MustOpen(SmallOptions(parent.path() + "/store"))) == 10);
  }
}

TEST_CASE("leveldb store: a log is written into room that is there already", "[leveldb]") {
  struct NoZeros : DiskFaults {
    std::atomic<bool> full{false};
    // No record of this test is as long as the room.
    int BeforeWrite(const std::string& path, std::size_t size) override {
      return full && path.ends_with(".log") && size > (8 << 10) ? ENOSPC : 0;
    }
  } faults;
  constexpr std::uint64_t kRoom = 16 << 10;
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  auto options = SmallOptions(folder);
  options.log_room_bytes = kRoom;
  options.write_buffer_bytes = 4 << 20;
  options.faults = &faults;
  SECTION("in steps, which a killed process leaves, and a stopped one takes back") {
    auto store = MustOpen(options);
    std::set<std::uint64_t> sizes;
    for (std::uint64_t i = 0; i < 150; ++i) {
      REQUIRE(WriteAndWait(*store, BatchOf(i)));
      sizes.insert(LogOf(folder).size());
    }
    CHECK(sizes.size() > 1);
    for (const std::uint64_t size : sizes) CHECK(size % kRoom == 0);
    const LogTail tail = JudgeLog(LogOf(folder));
    CHECK(tail.state == LogTail::State::kWhole);
    CHECK(tail.end + 2 * kRoom >= *sizes.rbegin());
    const std::string killed = parent.path() + "/killed";
    fs::copy(folder, killed, fs::copy_options::recursive);
    store.reset();
    CHECK(LogOf(folder).size() == tail.end);
    CHECK(CountWhole(*MustOpen(SmallOptions(killed))) == 150);
  }
  SECTION("a disk without space for it does without") {
    faults.full = true;
    auto store = MustOpen(options);
    for (std::uint64_t i = 0; i < 150; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
    CHECK_FALSE(store->Health().full);
    const std::string log = LogOf(folder);
    CHECK(log.size() == JudgeLog(log).end);
    store.reset();
    CHECK(CountWhole(*MustOpen(SmallOptions(folder))) == 150);
  }
}

TEST_CASE("leveldb store: a disk that is full at the start is said at once, and costs no identity", "[leveldb]") {
  struct Full : DiskFaults {
    std::atomic<bool> full{false};
    int BeforeWrite(const std::string&, std::size_t) override { return full ? ENOSPC : 0; }
  } faults;
  TemporaryFolder parent;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &faults;
  options.on_failure = [](const std::string&) { FAIL("a full disk is no failure"); };
  REQUIRE(WriteAndWait(*MustOpen(options), BatchOf(0)));
  faults.full = true;
  const auto opened = LevelDbStore::Open(options);
  CHECK(opened.error == StoreOpenError::kNoSpace);
  CHECK(opened.message.find("Free space") != std::string::npos);
  faults.full = false;
  CHECK(CountWhole(*MustOpen(options)) == 1);
}

// A disk whose room the test decides.
struct Room {
  std::atomic<std::uint64_t> free{1 << 20};
  LevelDbStoreOptions Options(const std::string& folder) {
    auto options = SmallOptions(folder);
    options.space = [this] { return DiskSpace{free, 10 << 20}; };
    options.reserve_bytes = 1000;
    options.probe_interval = std::chrono::milliseconds(2);
    return options;
  }
};
TEST_CASE("leveldb store: below the reserve it is full, with a margin before it is not", "[leveldb]") {
  TemporaryFolder parent;
  Room room;
  const auto store = MustOpen(room.Options(parent.path() + "/store"));
  const auto becomes = [&](bool full) {
    while (store->Health().full != full) std::this_thread::yield();
    return true;
  };
  CHECK_FALSE(store->Health().full);
  room.free = 999;
  CHECK(becomes(true));
  CHECK(WriteAndWait(*store, BatchOf(0)));  // what was ordered is still taken
  room.free = 1100;
  CHECK(WriteAndWait(*store, BatchOf(1)));  // every commit looks at the disk
  CHECK(store->Health().full);
  room.free = 1250;
  CHECK(becomes(false));
  CHECK(store->Health().free_bytes == 1250);
}

TEST_CASE("leveldb store: at the floor of the reserve adding waits, erasing does not", "[leveldb]") {
  TemporaryFolder parent;
  Room room;
  auto store = MustOpen(room.Options(parent.path() + "/store"));
  REQUIRE(WriteAndWait(*store, BatchOf(0)));
  room.free = 100;
  REQUIRE(WriteAndWait(*store, {{StoreBatch::EraseRecord{1, EntryAt('x', 1)}}}));  // and notices the floor
  CHECK(WriteAndWait(*store, {{StoreBatch::EraseRecord{1, EntryAt('c', 0)}, StoreBatch::PutMeta{1, {}}}}));
  std::promise<bool> done;
  auto result = done.get_future();
  store->Write(BatchOf(1), [&](bool ok) { done.set_value(ok); });
  while (!store->Health().full) std::this_thread::yield();
  RecordHeader header;
  CHECK(store->Lookup(1, EntryAt('c', 1), &header) == ReadOutcome::kAbsent);
  SECTION("until there is room") {
    room.free = 2000;
    CHECK(result.get());
    CHECK(store->Lookup(1, EntryAt('c', 1), &header) == ReadOutcome::kFound);
  }
  SECTION("or the store is closed") {
    store.reset();
    CHECK_FALSE(result.get());
  }
}

TEST_CASE("leveldb store: an idle disk is asked whether it still syncs", "[leveldb]") {
  struct Hang : DiskFaults {
    std::mutex mutex;
    std::condition_variable changed;
    bool hang = false;
    int syncs = 0;
    int error = 0;
    int BeforeSync(const std::string&) override {
      std::unique_lock lock(mutex);
      ++syncs;
      changed.notify_all();
      changed.wait(lock, [&] { return !hang; });
      return error;
    }
  } faults;
  TemporaryFolder parent;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &faults;
  options.probe_interval = std::chrono::milliseconds(5);
  const auto store = MustOpen(options);
  const auto wait_for_syncs = [&](int more) {
    std::unique_lock lock(faults.mutex);
    const int wanted = faults.syncs + more;
    faults.changed.wait(lock, [&] { return faults.syncs >= wanted; });
  };
  wait_for_syncs(3);
  SECTION("one that hangs is seen to age") {
    {
      std::lock_guard lock(faults.mutex);
      faults.hang = true;
    }
    while (store->Health().since_last_sync < std::chrono::milliseconds(100)) std::this_thread::yield();
    CHECK_FALSE(store->Health().failed);
    {
      std::lock_guard lock(faults.mutex);
      faults.hang = false;
    }
    faults.changed.notify_all();
    while (store->Health().since_last_sync > std::chrono::milliseconds(100)) std::this_thread::yield();
  }
  SECTION("one that fails is noticed without a write") {
    {
      std::lock_guard lock(faults.mutex);
      faults.error = EIO;
    }
    while (!store->Health().failed) std::this_thread::yield();
    CHECK_FALSE(WriteAndWait(*store, BatchOf(0)));
  }
}

TEST_CASE("leveldb store: L11.1 a disk whose syncs take long is slow, by what is written and by the probes of an idle one", "[leveldb]") {
  struct Slow : DiskFaults {
    int BeforeSync(const std::string&) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return 0;
    }
  } faults;
  TemporaryFolder parent;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &faults;
  options.slow_disk = std::chrono::milliseconds(1);
  SECTION("written to") {
    const auto store = MustOpen(options);
    CHECK_FALSE(store->Health().slow);
    for (int i = 0; i < 3; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
    CHECK(store->Health().slow);
  }
  SECTION("idle") {
    options.probe_interval = std::chrono::milliseconds(5);
    const auto store = MustOpen(options);
    while (!store->Health().slow) std::this_thread::yield();
  }
  SECTION("it is the setting that says how slow is slow") {
    options.slow_disk = std::chrono::minutes(10);
    const auto store = MustOpen(options);
    for (int i = 0; i < 3; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
    CHECK_FALSE(store->Health().slow);
  }
}

}  // namespace
}  // namespace coffer::node
