// What was synced is known at the next start: logs and manifests that were cut at rest are damage, however clean the cut.
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>

#include "node/synced_mark.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_leveldb_fixture.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

namespace fs = std::filesystem;

void CopyTo(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

// What a killed process leaves of a store with `writes` in its log.
void LeaveKilled(const std::string& folder, std::uint64_t writes) {
  auto options = SmallOptions(folder + "-running");
  options.write_buffer_bytes = 4 << 20;
  const auto store = MustOpen(options);
  for (std::uint64_t i = 0; i < writes; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
  CopyTo(folder + "-running", folder);
}

// Holds the writing of tables, and with it all that LevelDB does beside commits.
class HeldTables : public DiskFaults {
 public:
  int BeforeWrite(const std::string& path, std::size_t) override {
    std::unique_lock lock(mutex_);
    if (!path.ends_with(".ldb")) return 0;
    waits_ = held_;
    moved_.notify_all();
    moved_.wait(lock, [&] { return !held_; });
    waits_ = false;
    return 0;
  }
  // While it lives; it goes before the store, which would wait for its tables for ever.
  class Hold {
   public:
    explicit Hold(HeldTables* tables) : tables_(tables) { Set(true); }
    ~Hold() { Set(false); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    void Set(bool held) {
      std::lock_guard lock(tables_->mutex_);
      tables_->held_ = held;
      tables_->moved_.notify_all();
    }
    HeldTables* const tables_;
  };
  // Until a table waits to be written. False: none came.
  bool AwaitHeld(const std::function<void()>& meanwhile) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
      meanwhile();
      std::unique_lock lock(mutex_);
      if (moved_.wait_for(lock, std::chrono::milliseconds(1), [&] { return waits_; })) return true;
    }
    return false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  bool held_ = false, waits_ = false;
};

void RequireDamaged(const std::string& folder) {
  const auto opened = LevelDbStore::Open(SmallOptions(folder));
  REQUIRE_FALSE(opened.store);
  REQUIRE(opened.error == StoreOpenError::kDamaged);
}

TEST_CASE("synced mark: a log that was cut anywhere before its synced end is damage", "[leveldb]") {
  TemporaryFolder parent;
  const std::string good = parent.path() + "/good";
  LeaveKilled(good, 40);
  const std::uint64_t synced = ReadSyncedMark(good).value().logs[0].bytes;
  const std::string log = fs::path(FilesLike(good, ".log").at(0)).filename().string();
  REQUIRE(synced > 10'000);
  REQUIRE(fs::file_size(good + "/" + log) > synced);  // its room
  Random random(1);
  for (int round = 0; round < 100; ++round) {
    const std::string folder = parent.path() + "/bad";
    CopyTo(good, folder);
    // Half of them in the last record, which alone could not be told from one that was being written.
    const std::uint64_t to = round == 0 ? synced - 1 : round % 2 ? random.Below(synced) : synced - 1 - random.Below(300);
    fs::resize_file(folder + "/" + log, to);
    INFO("cut at " << to << " of " << synced);
    RequireDamaged(folder);
  }
  for (const std::uint64_t to : {synced, synced + 1, synced + 1'000}) {
    const std::string folder = parent.path() + "/whole";
    CopyTo(good, folder);
    fs::resize_file(folder + "/" + log, to);
    CHECK(CountWhole(*MustOpen(SmallOptions(folder))) == 40);
  }
}

TEST_CASE("synced mark: a record that was synced does not pass for torn", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  LeaveKilled(folder, 40);
  const std::uint64_t synced = ReadSyncedMark(folder).value().logs[0].bytes;
  std::fstream file(FilesLike(folder, ".log").at(0), std::ios::in | std::ios::out | std::ios::binary);
  // The sector it ends in reads as zeros, as if it had never reached the disk.
  const std::uint64_t sector = (synced - 100) / 512 * 512;
  file.seekp(static_cast<std::streamoff>(sector));
  file.write(std::string(512, '\0').data(), 512);
  file.close();
  RequireDamaged(folder);
}

TEST_CASE("synced mark: a log longer than other files may be is judged, too", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  LeaveKilled(folder, 5);
  const std::string log = FilesLike(folder, ".log").at(0);
  fs::resize_file(log, 0);
  fs::resize_file(log, 70u << 20);  // a hole: it takes no space
  RequireDamaged(folder);
}

TEST_CASE("synced mark: a log that stands only in older notes is removed behind a sync all the same", "[leveldb]") {
  struct Counted : DiskFaults {
    void Synced(const std::string&, std::uint64_t) override { ++syncs; }
    int syncs = 0;
  } faults;
  TemporaryFolder parent;
  SyncedMark mark(&faults);
  REQUIRE(mark.Open(parent.path()) == 0);
  CHECK(mark.Synced("MANIFEST-000002", 10) == 0);
  CHECK(faults.syncs == 1);  // an opening that failed may have had the number
  for (const char* log : {"000003.log", "000005.log", "000007.log"}) CHECK(mark.Synced(log, 100) == 0);
  CHECK(mark.Synced("MANIFEST-000002", 20) == 0);
  CHECK(faults.syncs == 1);
  CHECK(ReadSyncedMark(parent.path())->logs[1].number == 5);
  CHECK(mark.Removing("000003.log") == 0);
  CHECK(faults.syncs == 2);
  CHECK(mark.Removing("000003.log") == 0);
  CHECK(mark.Removing("000099.log") == 0);  // never noted
  CHECK(faults.syncs == 2);
}

TEST_CASE("synced mark: a log that is gone is damage", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  LeaveKilled(folder, 5);
  fs::remove(FilesLike(folder, ".log").at(0));
  RequireDamaged(folder);
}

TEST_CASE("synced mark: a manifest that was cut is damage", "[leveldb]") {
  TemporaryFolder parent;
  const std::string running = parent.path() + "/running";
  const std::string good = parent.path() + "/good";
  HeldTables faults;
  {
    auto options = SmallOptions(running);
    options.faults = &faults;
    const auto store = MustOpen(options);
    std::uint64_t writes = 0;
    // Each table that is written adds to it.
    while (FilesLike(running, ".ldb").size() < 3) REQUIRE(WriteAndWait(*store, BatchOf(writes++)));
    const HeldTables::Hold hold(&faults);
    // One more log than is held would be waited for in vain.
    REQUIRE(faults.AwaitHeld([&] {
      if (FilesLike(running, ".log").size() < 2) REQUIRE(WriteAndWait(*store, BatchOf(writes++)));
    }));
    CopyTo(running, good);
  }
  const std::string manifest = fs::path(FilesLike(good, "MANIFEST-").at(0)).filename().string();
  const std::uint64_t synced = ReadSyncedMark(good).value().manifest.bytes;
  REQUIRE(fs::file_size(good + "/" + manifest) == synced);
  for (std::uint64_t to = 0; to < synced; ++to) {
    const std::string folder = parent.path() + "/bad";
    CopyTo(good, folder);
    fs::resize_file(folder + "/" + manifest, to);
    INFO("cut at " << to << " of " << synced);
    RequireDamaged(folder);
  }
}

TEST_CASE("synced mark: the log whose table is being written is noted, too", "[leveldb]") {
  HeldTables faults;
  TemporaryFolder parent;
  const std::string running = parent.path() + "/running";
  const std::string good = parent.path() + "/good";
  std::uint64_t writes = 0;
  {
    auto options = SmallOptions(running);
    options.faults = &faults;
    const auto store = MustOpen(options);
    const HeldTables::Hold hold(&faults);
    while (FilesLike(running, ".log").size() < 2) REQUIRE(WriteAndWait(*store, BatchOf(writes++)));
    CopyTo(running, good);
  }
  const auto logs = FilesLike(good, ".log");
  REQUIRE(logs.size() == 2);
  const SyncedEnds ends = ReadSyncedMark(good).value();
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string folder = parent.path() + "/bad";
    const std::string name = fs::path(logs[i]).filename().string();
    CHECK(ends.logs[1 - i].number == LogNumber(name));  // the newest first
    CopyTo(good, folder);
    fs::resize_file(folder + "/" + name, ends.logs[1 - i].bytes - 1);
    RequireDamaged(folder);
  }
  CHECK(CountWhole(*MustOpen(SmallOptions(good))) == writes);
}

TEST_CASE("synced mark: one that does not verify, or is of another opening, says nothing", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  LeaveKilled(folder, 20);
  SECTION("any flipped bit") {
    std::uint64_t at = 0;
    SECTION("in the magic") { at = 3; }
    SECTION("in the sum") { at = 9; }
    SECTION("in a number") { at = 50; }
    FlipBit(SyncedMarkPath(folder), at, 5);
    CHECK_FALSE(ReadSyncedMark(folder));
  }
  SECTION("cut") { fs::resize_file(SyncedMarkPath(folder), 20); }
  SECTION("gone") { fs::remove(SyncedMarkPath(folder)); }
  SECTION("a program without notes ran since") {
    const std::string before = parent.path() + "/SYNCED";
    fs::copy(SyncedMarkPath(folder), before);
    // Opens, and turns the log that is noted into a table.
    CHECK(CountWhole(*MustOpen(SmallOptions(folder))) == 20);
    fs::copy(before, SyncedMarkPath(folder), fs::copy_options::overwrite_existing);
  }
  CHECK(CountWhole(*MustOpen(SmallOptions(folder))) == 20);
}

TEST_CASE("synced mark: a log whose note can't be taken back stays, and the node goes on if only space is missing", "[leveldb]") {
  struct NoSpaceToForget : DiskFaults {
    int BeforeSync(const std::string& path) override { return full && path.ends_with("/SYNCED") ? ENOSPC : 0; }
    std::atomic<bool> full{true};
  } faults;
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  std::uint64_t writes = 0;
  {
    auto options = SmallOptions(folder);
    options.faults = &faults;
    const auto store = MustOpen(options);
    while (FilesLike(folder, ".ldb").size() < 2) REQUIRE(WriteAndWait(*store, BatchOf(writes++)));
    CHECK(FilesLike(folder, ".log").size() > 1);
    faults.full = false;
    // The next table that is written tidies up behind all of them.
    while (FilesLike(folder, ".log").size() > 2) REQUIRE(WriteAndWait(*store, BatchOf(writes++)));
  }
  CHECK(CountWhole(*MustOpen(SmallOptions(folder))) == writes);
}

}  // namespace
}  // namespace coffer::node
