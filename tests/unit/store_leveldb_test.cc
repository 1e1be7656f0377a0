// The store on LevelDB when power is lost, a write fails, or another process has it: nothing acknowledged is lost, every failure is
// final and explained.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>

#include "node/leveldb_checksum.h"
#include "node/leveldb_store.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_leveldb_fixture.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

// Writes until the power fails or all is written; returns how many writes were acknowledged.
std::uint64_t WriteUntilOff(PowerLoss* power, const std::string& folder, std::uint64_t writes, std::uint64_t from) {
  auto options = SmallOptions(folder);
  options.faults = power;
  auto opened = LevelDbStore::Open(options);
  if (!opened.store) return from;
  std::atomic<std::uint64_t> acknowledged{from};
  std::mutex mutex;
  std::condition_variable moved;
  std::uint64_t ended = from;
  for (std::uint64_t i = from; i < from + writes; ++i) {
    opened.store->Write(BatchOf(i), [&, i](bool ok) {
      if (ok) acknowledged = i + 1;
      std::lock_guard lock(mutex);
      ++ended;
      moved.notify_one();
    });
    std::unique_lock lock(mutex);
    moved.wait(lock, [&] { return ended + 8 > i; });  // up to eight under way: some share a commit
  }
  opened.store.reset();
  return acknowledged;
}

TEST_CASE("leveldb store: power lost at any operation loses nothing acknowledged", "[leveldb]") {
  Random random(1);
  int torn = 0;
  for (int round = 0; round < 300; ++round) {
    TemporaryFolder parent;
    const std::string folder = parent.path() + "/store";
    std::uint64_t acknowledged = 0;
    // Twice over the same files: recovery itself is interrupted, too.
    for (int again = 0; again < 2; ++again) {
      PowerLoss power(static_cast<std::int64_t>(random.Below(again == 0 ? 260 : 60)));
      acknowledged = std::max(acknowledged, WriteUntilOff(&power, folder, 150, acknowledged));
      const auto ends = static_cast<PowerLoss::Ends>(round % 4);
      power.Apply(ends, random);
      const auto store = MustOpen(SmallOptions(folder));
      const std::uint64_t there = CountWhole(*store);
      INFO("round " << round << " acknowledged " << acknowledged << " there " << there);
      REQUIRE(there >= acknowledged);
      torn += there > acknowledged;
      acknowledged = there;
    }
  }
  CHECK(torn > 0);  // some writes survived without having been acknowledged: the cuts were where they hurt
}

TEST_CASE("leveldb store: a failed sync is final, and the next start is told", "[leveldb]") {
  struct FailSync : DiskFaults {
    std::atomic<bool> fail{false};
    int BeforeSync(const std::string&) override { return fail ? EIO : 0; }
  } faults;
  TemporaryFolder parent;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &faults;
  std::atomic<int> told{0};
  options.on_failure = [&](const std::string& what) {
    CHECK(what.find("Input/output error") != std::string::npos);
    ++told;
  };
  const auto store = MustOpen(options);
  REQUIRE(WriteAndWait(*store, BatchOf(0)));
  CHECK_FALSE(store->Health().failed);
  faults.fail = true;
  CHECK_FALSE(WriteAndWait(*store, BatchOf(1)));
  faults.fail = false;  // fsync would now report success, without the data
  CHECK_FALSE(WriteAndWait(*store, BatchOf(2)));
  const auto health = store->Health();
  CHECK(health.failed);
  CHECK(health.failure.find("new id") != std::string::npos);
  CHECK(told == 1);
  RecordHeader header;
  CHECK(store->Lookup(1, EntryAt('c', 0), &header) == ReadOutcome::kFound);  // reads go on
}

TEST_CASE("leveldb store: a failed or short write is final", "[leveldb]") {
  struct FailWrite : DiskFaults {
    std::atomic<bool> fail{false};
    int BeforeWrite(const std::string&, std::size_t) override { return fail ? EIO : 0; }
  } faults;
  TemporaryFolder parent;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &faults;
  {
    const auto store = MustOpen(options);
    REQUIRE(WriteAndWait(*store, BatchOf(0)));
    faults.fail = true;
    CHECK_FALSE(WriteAndWait(*store, BatchOf(1)));
    faults.fail = false;
    CHECK_FALSE(WriteAndWait(*store, BatchOf(1)));
    CHECK(store->Health().failed);
  }
  CHECK(CountWhole(*MustOpen(SmallOptions(parent.path() + "/store"))) == 1);
}

TEST_CASE("leveldb store: many batches share a commit", "[leveldb]") {
  TemporaryFolder parent;
  const auto store = MustOpen(SmallOptions(parent.path() + "/store"));
  // The first callback holds the writer until all others are queued.
  std::promise<void> queued;
  auto all_queued = queued.get_future();
  store->Write(BatchOf(0), [&](bool) { all_queued.wait(); });
  for (std::uint64_t i = 1; i < 20; ++i) store->Write(BatchOf(i), nullptr);
  queued.set_value();
  REQUIRE(WriteAndWait(*store, BatchOf(20)));
  CHECK(store->counters().batches == 21);
  CHECK(store->counters().group_commits <= 4);
  CHECK(CountWhole(*store) == 21);
}

TEST_CASE("leveldb store: one process at a time, and the other is told who", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  SECTION("this process has it") {
    const auto store = MustOpen(SmallOptions(folder));
    const auto second = LevelDbStore::Open(SmallOptions(folder));
    CHECK(second.error == StoreOpenError::kInUse);
    CHECK(second.message.find("Another cofferd") != std::string::npos);
    CHECK(WriteAndWait(*store, BatchOf(0)));
  }
  SECTION("another process has it") {
    MustOpen(SmallOptions(folder));
    int ready[2];
    int end[2];
    REQUIRE(::pipe(ready) == 0);
    REQUIRE(::pipe(end) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const int fd = ::open((folder + "/LOCK").c_str(), O_RDWR);
      struct flock lock {};
      lock.l_type = F_WRLCK;
      lock.l_whence = SEEK_SET;
      char c = ::fcntl(fd, F_SETLK, &lock) == 0 ? 'y' : 'n';
      if (::write(ready[1], &c, 1) != 1 || ::read(end[0], &c, 1) != 1) ::_exit(1);
      ::_exit(0);
    }
    char locked = 'n';
    REQUIRE(::read(ready[0], &locked, 1) == 1);
    REQUIRE(locked == 'y');
    const auto second = LevelDbStore::Open(SmallOptions(folder));
    CHECK(second.error == StoreOpenError::kInUse);
    CHECK(second.message.find("process " + std::to_string(child)) != std::string::npos);
    REQUIRE(::write(end[1], "x", 1) == 1);
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    for (const int fd : {ready[0], ready[1], end[0], end[1]}) ::close(fd);
    CHECK(LevelDbStore::Open(SmallOptions(folder)).store);
  }
}

TEST_CASE("leveldb store: a disk that can't be used is explained", "[leveldb]") {
  TemporaryFolder parent;
  struct Failing : DiskFaults {
    int error = 0;
    int BeforeSync(const std::string&) override { return error; }
  } faults;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &faults;
  const auto open_with = [&](int error) {
    faults.error = error;
    return LevelDbStore::Open(options);
  };
  CHECK(open_with(EROFS).error == StoreOpenError::kReadOnly);
  CHECK(open_with(EACCES).error == StoreOpenError::kPermission);
  CHECK(open_with(ENOSPC).error == StoreOpenError::kNoSpace);
  CHECK(open_with(EIO).error == StoreOpenError::kDisk);
  faults.error = 0;
  REQUIRE(LevelDbStore::Open(options).store);
  options.folder = parent.path() + "/no/such/parent";
  CHECK(LevelDbStore::Open(options).error != StoreOpenError::kNone);
}

TEST_CASE("leveldb store: a large erasure cut short by power loss is complete after the next start", "[leveldb]") {
  constexpr std::uint64_t kEntries = 400;
  Random random(4);
  bool interrupted = false;
  for (std::int64_t operations = 0; operations < 60; operations += 3) {
    TemporaryFolder parent;
    const std::string folder = parent.path() + "/store";
    auto options = SmallOptions(folder);
    options.erase_at_once = 20;
    {
      const auto store = MustOpen(options);
      StoreBatch fill;
      for (std::uint64_t i = 0; i < kEntries; ++i) {
        for (const auto& change : BatchOf(i).changes) fill.changes.push_back(change);
      }
      REQUIRE(WriteAndWait(*store, std::move(fill)));
    }
    bool acknowledged = false;
    PowerLoss power(operations);
    {
      options.faults = &power;
      const auto opened = LevelDbStore::Open(options);
      if (opened.store) {
        PartitionMeta after;
        after.last.seq = Seq(999);
        acknowledged = WriteAndWait(*opened.store, {{StoreBatch::ErasePartition{1}, StoreBatch::PutMeta{1, after}}});
      }
    }
    power.Apply(PowerLoss::Ends::kGone, random);
    options.faults = nullptr;
    const auto store = MustOpen(options);
    std::uint64_t records = 0;
    store->Scan(1, {}, {}, [&](const ScannedRecord&) { return ++records > 0; });
    std::uint64_t last = 0;
    store->ReadMetas([&](PartitionId, const PartitionMeta& m) { last = m.last.seq.value; });
    // All or nothing.
    REQUIRE((last == 999 || last == kEntries));
    REQUIRE(records == (last == 999 ? 0 : kEntries));
    if (acknowledged) REQUIRE(last == 999);
    interrupted = interrupted || (last == 999 && !acknowledged);
  }
  CHECK(interrupted);
}

TEST_CASE("leveldb store: each step of a large erasure is synced before the next", "[leveldb]") {
  // Else more than the last record of the log could be torn, and the store would pass for damaged (node/log_tail.h).
  struct Unsynced : DiskFaults {
    std::atomic<int> now{0};
    std::atomic<int> most{0};
    int BeforeWrite(const std::string& path, std::size_t) override {
      if (path.ends_with(".log")) most = std::max(most.load(), ++now);
      return 0;
    }
    void Synced(const std::string& path, std::uint64_t) override {
      if (path.ends_with(".log")) now = 0;
    }
  } faults;
  TemporaryFolder parent;
  auto options = SmallOptions(parent.path() + "/store");
  options.erase_at_once = 20;
  options.faults = &faults;
  const auto store = MustOpen(options);
  for (std::uint64_t i = 0; i < 200; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
  faults.most = 0;
  REQUIRE(WriteAndWait(*store, {{StoreBatch::ErasePartition{1}}}));
  CHECK(faults.most <= 2);  // a record that ends in the next block of the log takes two writes
}

TEST_CASE("leveldb store: space of an erased partition is given back", "[leveldb]") {
  TemporaryFolder parent;
  const auto store = MustOpen(SmallOptions(parent.path() + "/store"));
  Random random(5);
  StoreBatch fill;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const Payload value = MakeValue(RandomBytes(random, 20'000));
    fill.changes.push_back(StoreBatch::PutRecord{1, EntryAt('c', i), HeaderFor(value), value});
  }
  REQUIRE(WriteAndWait(*store, std::move(fill)));
  CHECK(store->Health().used_bytes > 4'000'000);
  REQUIRE(WriteAndWait(*store, {{StoreBatch::ErasePartition{1}}}));
  while (store->counters().reclaims == 0) std::this_thread::yield();
  // The log and tables before it go with the next files; a write makes sure there are some.
  REQUIRE(WriteAndWait(*store, BatchOf(0)));
  CHECK(store->Health().used_bytes < 2'000'000);
}

TEST_CASE("leveldb store: LevelDB's checksums are computed by us, to the same values", "[leveldb]") {
  const auto sum = [](std::uint32_t crc, const std::string& bytes) { return leveldb::crc32c::Extend(crc, bytes.data(), bytes.size()); };
  CHECK(sum(0, std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
  CHECK(sum(0, std::string(32, '\xff')) == 0x62a8ab43);
  CHECK(sum(sum(0, "1234"), "56789") == 0xe3069283);
}

std::size_t Tables(const std::string& folder) {
  std::size_t tables = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) tables += entry.path().extension() == ".ldb" ? 1 : 0;
  return tables;
}

TEST_CASE("leveldb store: when nobody writes any more what is buffered is written out, unless it is little", "[leveldb]") {
  TemporaryFolder parent;
  LevelDbStoreOptions options = SmallOptions(parent.path() + "/store");
  options.write_buffer_bytes = 8 << 20;
  options.inline_value_bytes = 4 << 10;
  options.write_out_after = options.probe_interval = std::chrono::milliseconds(5);
  const auto store = MustOpen(options);
  Random random(6);
  const auto fill = [&](std::uint64_t from, std::uint64_t count) {
    StoreBatch batch;
    for (std::uint64_t i = from; i < from + count; ++i) {
      const Payload value = MakeValue(RandomBytes(random, 1000));
      batch.changes.push_back(StoreBatch::PutRecord{1, EntryAt('c', i), HeaderFor(value), value});
    }
    REQUIRE(WriteAndWait(*store, std::move(batch)));
  };
  fill(0, 700);
  std::this_thread::sleep_for(options.probe_interval * 20);  // as long as it would have taken
  CHECK(store->counters().write_outs == 0);
  CHECK(Tables(options.folder) == 0);
  fill(700, 800);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (store->counters().write_outs == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  CHECK(store->counters().write_outs == 1);
  CHECK(Tables(options.folder) == 1);
  RecordHeader header;
  Payload value;
  CHECK(store->Read(1, EntryAt('c', 1499), &header, &value) == ReadOutcome::kFound);
}

}  // namespace
}  // namespace coffer::node
