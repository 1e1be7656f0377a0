// The store on LevelDB when the disk misbehaves: nothing acknowledged is lost, no wrong byte is read, every failure is
// final and explained.
#include <fcntl.h>
#include <leveldb/db.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <sstream>

#include "node/disk_env.h"
#include "node/leveldb_store.h"
#include "node/log_tail.h"
#include "node/store_format.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

namespace fs = std::filesystem;

Payload ValueOf(std::uint64_t i) {
  Random random(i);
  return MakeValue(std::to_string(i) + ":" + RandomBytes(random, i % 3 == 0 ? 700 : 100));
}

// The i-th write of the tests: an entry with a known value, its log line, the meta line.
StoreBatch BatchOf(std::uint64_t i) {
  Random random(i);
  const Payload value = ValueOf(i);
  PartitionMeta meta;
  meta.last.seq = Seq(i + 1);
  return {{StoreBatch::PutRecord{1, EntryAt('c', i), HeaderFor(value, i + 1), value},
           StoreBatch::PutLog{1, WriteAt(i + 1, random)}, StoreBatch::PutMeta{1, meta}}};
}

// How many of the writes are there; checks that they are the first ones, whole, and with the right bytes.
std::uint64_t CountWhole(const LevelDbStore& store) {
  std::uint64_t next = 0;
  const auto outcome =
      store.ReadEntries(1, ZoneOf('z'), BlockOf('c'), 0, ~0ull, false,
                        [&](ReadOutcome o, const RecordKey& key, const RecordHeader& header, const Payload& value) {
                          REQUIRE(o == ReadOutcome::kFound);
                          REQUIRE(key.position == next);
                          REQUIRE(*value == *ValueOf(next));
                          REQUIRE(header.stamp.seq == Seq(next + 1));
                          ++next;
                          return true;
                        });
  REQUIRE(outcome == ReadOutcome::kFound);
  std::vector<LogRecord> log;
  REQUIRE(store.ReadLog(1, Seq(0), Seq(~0ull), &log) == ReadOutcome::kFound);
  REQUIRE(log.size() == next);
  std::uint64_t last = 0;
  REQUIRE(store.ReadMetas([&](PartitionId, const PartitionMeta& m) { last = m.last.seq.value; }) ==
          ReadOutcome::kFound);
  REQUIRE(last == next);
  return next;
}

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

// Everything that is under a store when it is closed, in tables.
void FillTables(const std::string& folder, std::uint64_t writes) {
  for (int run = 0; run < 2; ++run) {
    // The second opening turns the log of the first into a table.
    const auto store = MustOpen(SmallOptions(folder));
    if (run == 0) {
      for (std::uint64_t i = 0; i < writes; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
    }
  }
}

// Reads everything there is; every value that is given out must be right. Returns whether anything was said to be
// wrong.
bool AnythingWrong(const LevelDbStore& store, std::uint64_t writes) {
  bool wrong = false;
  std::uint64_t seen = 0;
  for (std::uint64_t i = 0; i < writes; ++i) {
    RecordHeader header;
    Payload value;
    const auto outcome = store.Read(1, EntryAt('c', i), &header, &value);
    if (outcome == ReadOutcome::kFound) REQUIRE(*value == *ValueOf(i));
    REQUIRE(outcome != ReadOutcome::kAbsent);
    wrong = wrong || outcome != ReadOutcome::kFound;
  }
  for (const bool backwards : {false, true}) {
    std::uint64_t expected = backwards ? writes - 1 : 0;
    const auto outcome =
        store.ReadEntries(1, ZoneOf('z'), BlockOf('c'), 0, writes, backwards,
                          [&](ReadOutcome o, const RecordKey& key, const RecordHeader&, const Payload& v) {
                            REQUIRE(key.position == expected);  // nothing is left out in silence
                            expected += backwards ? ~0ull : 1;
                            if (o == ReadOutcome::kFound) REQUIRE(*v == *ValueOf(key.position));
                            wrong = wrong || o != ReadOutcome::kFound;
                            return true;
                          });
    if (outcome == ReadOutcome::kFound) REQUIRE(expected == (backwards ? ~0ull : writes));
    wrong = wrong || outcome != ReadOutcome::kFound;
  }
  const auto scanned = store.Scan(1, {}, {}, [&](const ScannedRecord& r) {
    REQUIRE(r.key.position == writes - 1 - seen);
    ++seen;
    if (!r.damaged) REQUIRE(r.header.hash == Sha256({*ValueOf(r.key.position)}));
    wrong = wrong || r.damaged;
    return true;
  });
  if (scanned == ReadOutcome::kFound) REQUIRE(seen == writes);
  std::vector<LogRecord> log;
  const auto logged = store.ReadLog(1, Seq(0), Seq(~0ull), &log);
  if (logged == ReadOutcome::kFound) REQUIRE(log.size() == writes);
  std::uint64_t last = 0;
  const auto metas = store.ReadMetas([&](PartitionId, const PartitionMeta& m) { last = m.last.seq.value; });
  if (metas == ReadOutcome::kFound) REQUIRE(last == writes);
  RecordKey key;
  RecordHeader header;
  const auto ended = store.LastEntry(1, ZoneOf('z'), BlockOf('c'), &key, &header);
  if (ended == ReadOutcome::kFound) REQUIRE(key.position == writes - 1);
  REQUIRE(ended != ReadOutcome::kAbsent);
  return wrong || scanned != ReadOutcome::kFound || logged != ReadOutcome::kFound || metas != ReadOutcome::kFound ||
         ended != ReadOutcome::kFound;
}

TEST_CASE("leveldb store: a bit flip in a table never gives wrong bytes, and nothing is missed in silence",
          "[leveldb]") {
  TemporaryFolder parent;
  const std::string good = parent.path() + "/good";
  constexpr std::uint64_t kWrites = 240;  // headers fill several blocks
  FillTables(good, kWrites);
  const auto tables = FilesLike(good, ".ldb");
  REQUIRE_FALSE(tables.empty());
  Random random(2);
  int noticed = 0;
  for (int round = 0; round < 150; ++round) {
    const std::string folder = parent.path() + "/bad";
    fs::remove_all(folder);
    fs::copy(good, folder, fs::copy_options::recursive);
    const std::string table = FilesLike(folder, ".ldb")[random.Below(tables.size())];
    FlipBit(table, random.Below(fs::file_size(table)), static_cast<int>(random.Below(8)));
    auto opened = LevelDbStore::Open(SmallOptions(folder));
    if (!opened.store) {
      CHECK(opened.error == StoreOpenError::kDamaged);
      ++noticed;
      continue;
    }
    noticed += AnythingWrong(*opened.store, kWrites);
  }
  CHECK(noticed > 100);  // the rest hit padding, or the filter, which is only a hint
}

TEST_CASE("leveldb store: a bit flip in the log is damage, wherever it is", "[leveldb]") {
  TemporaryFolder parent;
  const std::string good = parent.path() + "/good";
  {
    auto options = SmallOptions(good);
    options.write_buffer_bytes = 4 << 20;  // all in the log
    const auto store = MustOpen(options);
    for (std::uint64_t i = 0; i < 60; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
  }
  const std::string log_name = fs::path(FilesLike(good, ".log").at(0)).filename().string();
  const std::uint64_t size = fs::file_size(good + "/" + log_name);
  REQUIRE(size > 20'000);
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    const std::string folder = parent.path() + "/bad";
    fs::remove_all(folder);
    fs::copy(good, folder, fs::copy_options::recursive);
    // Half of them in the last record.
    const std::uint64_t at = round % 2 ? random.Below(size) : size - 1 - random.Below(600);
    FlipBit(folder + "/" + log_name, at, static_cast<int>(random.Below(8)));
    const auto opened = LevelDbStore::Open(SmallOptions(folder));
    INFO("byte " << at << " of " << size);
    REQUIRE_FALSE(opened.store);
    REQUIRE(opened.error == StoreOpenError::kDamaged);
  }
}

TEST_CASE("leveldb store: lost, cut and changed files are explained", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  FillTables(folder, 60);
  auto options = SmallOptions(folder);
  StoreOpenError expected = StoreOpenError::kDamaged;
  const std::string manifest = FilesLike(folder, "MANIFEST-").at(0);
  SECTION("CURRENT cut short") {
    fs::resize_file(folder + "/CURRENT", 4);
  }
  SECTION("CURRENT empty") {
    fs::resize_file(folder + "/CURRENT", 0);
  }
  SECTION("CURRENT gone") {
    fs::remove(folder + "/CURRENT");
  }
  SECTION("the manifest gone") {
    fs::remove(manifest);
  }
  SECTION("the manifest cut to its head") {
    fs::resize_file(manifest, 20);
  }
  SECTION("the manifest empty") {
    fs::resize_file(manifest, 0);
  }
  SECTION("a bit of the manifest") {
    FlipBit(manifest, fs::file_size(manifest) / 2, 3);
  }
  SECTION("a table gone") {
    fs::remove(FilesLike(folder, ".ldb").at(0));
  }
  SECTION("everything gone, from a node that had a store") {
    fs::remove_all(folder);
    options.must_exist = true;
  }
  SECTION("another node's") {
    options.owner = NodeId::Must("another node's  ");
    expected = StoreOpenError::kForeign;
  }
  const auto opened = LevelDbStore::Open(options);
  CHECK_FALSE(opened.store);
  CHECK(opened.error == expected);
  INFO(opened.message);
  CHECK(opened.message.find(folder) != std::string::npos);
  CHECK(opened.message.find("new id") != std::string::npos);  // what to do
}

// What a disk does that writes good bytes to a wrong place, or keeps old ones: LevelDB's own checksums do not see it.
TEST_CASE("leveldb store: rows in another's place and stale values do not verify", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  const Payload large = MakeValue(std::string(1000, 'a'));
  const Payload other = MakeValue(std::string(1000, 'b'));
  const auto put = [](PartitionId p, const RecordKey& key, const Payload& v) {
    return StoreBatch::PutRecord{p, key, HeaderFor(v), v};
  };
  {
    const auto store = MustOpen(SmallOptions(folder));
    REQUIRE(
        WriteAndWait(*store, {{put(1, ChunkAt('a'), large), put(1, ChunkAt('b'), other), put(2, ChunkAt('a'), large),
                               StoreBatch::PutMeta{1, {}}, StoreBatch::PutMeta{2, {}}}}));
  }
  const auto copy = [&](const std::string& from, const std::string& to) {
    leveldb::DB* raw = nullptr;
    REQUIRE(leveldb::DB::Open({}, folder, &raw).ok());
    const std::unique_ptr<leveldb::DB> db(raw);
    std::string row;
    REQUIRE(db->Get({}, from, &row).ok());
    REQUIRE(db->Put({}, to, row).ok());
  };
  const std::string a = EncodeKey(ChunkAt('a'));
  const std::string b = EncodeKey(ChunkAt('b'));
  RecordHeader header;
  Payload value;
  SECTION("a header of another key") {
    copy(StoredKey(Space::kHeader, 1, b), StoredKey(Space::kHeader, 1, a));
    CHECK(MustOpen(SmallOptions(folder))->Lookup(1, ChunkAt('a'), &header) == ReadOutcome::kDamaged);
  }
  SECTION("a header of another partition") {
    copy(StoredKey(Space::kHeader, 2, a), StoredKey(Space::kHeader, 1, a));
    CHECK(MustOpen(SmallOptions(folder))->Lookup(1, ChunkAt('a'), &header) == ReadOutcome::kDamaged);
  }
  SECTION("a meta line of another partition") {
    copy(StoredKey(Space::kMeta, 2, {}), StoredKey(Space::kMeta, 1, {}));
    const auto opened = LevelDbStore::Open(SmallOptions(folder));
    CHECK_FALSE(opened.store);
    CHECK(opened.error == StoreOpenError::kDamaged);
  }
}

TEST_CASE("leveldb store: a table cut short is damage, not death", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  FillTables(folder, 60);
  const auto store = MustOpen(SmallOptions(folder));
  for (const auto& table : FilesLike(folder, ".ldb")) fs::resize_file(table, fs::file_size(table) / 2);
  CHECK(AnythingWrong(*store, 60));
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

TEST_CASE("leveldb store: torn ends and changed ones are told apart", "[leveldb]") {
  TemporaryFolder parent;
  {
    auto options = SmallOptions(parent.path() + "/store");
    options.write_buffer_bytes = 4 << 20;
    options.inline_value_bytes = 1 << 20;
    const auto store = MustOpen(options);
    for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
    const Payload large = MakeValue(std::string(100'000, 'x'));
    REQUIRE(WriteAndWait(*store, {{StoreBatch::PutRecord{1, ChunkAt('l'), HeaderFor(large), large}}}));
  }
  std::ostringstream bytes;
  bytes << std::ifstream(FilesLike(parent.path() + "/store", ".log").at(0), std::ios::binary).rdbuf();
  const std::string log = bytes.str();
  const LogTail whole = JudgeLog(log);
  REQUIRE(whole.state == LogTail::State::kWhole);
  REQUIRE(whole.end == log.size());
  const std::uint64_t last = JudgeLog(log.substr(0, log.size() - 1)).end;  // where the large record begins
  REQUIRE(log.size() - last > 100'000);
  // A last record in one fragment, whose length is changed: it must not pass for one that the end of the file cut
  // short.
  const std::string shorter = log.substr(0, last);
  const std::uint64_t small = JudgeLog(shorter.substr(0, last - 1)).end;
  REQUIRE(small < last);
  for (std::size_t bit = 0; bit < 7 * 8; ++bit) {
    std::string bad = shorter;
    bad[small + bit / 8] = static_cast<char>(bad[small + bit / 8] ^ (1 << bit % 8));
    REQUIRE(JudgeLog(bad).state == LogTail::State::kDamaged);
  }
  Random random(6);
  for (int i = 0; i < 300; ++i) {
    std::string bad = log;
    const std::uint64_t sector = (last / 512 + 1 + random.Below((log.size() - last) / 512 - 1)) * 512;
    bad.replace(sector, 512, std::string(512, '\0'));
    REQUIRE(JudgeLog(bad).state == LogTail::State::kTorn);
    REQUIRE(JudgeLog(bad).end == last);
    bad = log;
    bad[last + random.Below(log.size() - last)] ^= static_cast<char>(1 << random.Below(8));
    REQUIRE(JudgeLog(bad).state == LogTail::State::kDamaged);
    // The same zeros in a record that others follow, one of them in a later block.
    bad = log;
    bad.replace(random.Below(last / 32768 * 32768 / 512) * 512, 512, std::string(512, '\0'));
    REQUIRE(JudgeLog(bad).state == LogTail::State::kDamaged);
    // A file may end anywhere.
    REQUIRE(JudgeLog(std::string_view(log).substr(0, random.Below(log.size()))).state == LogTail::State::kWhole);
  }
}

}  // namespace
}  // namespace coffer::node
