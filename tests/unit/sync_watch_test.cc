// When a disk counts as slow, and when it no longer does.
#include "node/sync_watch.h"

#include "test_support.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kGood = milliseconds(2);
constexpr Duration kBad = milliseconds(250);

struct Disk {
  // Syncs that take `took` each, one every `apart`, for `time`.
  void Sync(Duration time, Duration took, Duration apart, std::uint64_t bytes = 4096) {
    for (const Instant end = now + time; now < end;) {
      now += apart;
      watch.Note(now, took, bytes);
    }
  }
  // How long such syncs take to have it counted as slow, or well again.
  Duration Until(bool slow, Duration took, Duration apart) {
    const Instant began = now;
    while (watch.slow(now) != slow && now - began < minutes(30)) Sync(apart, took, apart);
    return now - began;
  }

  SyncWatch watch{SyncWatch::Config{}};
  Instant now{minutes(1)};
};

TEST_CASE("L11.1 a disk under load is slow a few seconds after its syncs are") {
  Disk disk;
  disk.Sync(seconds(20), kGood, milliseconds(3));
  CHECK_FALSE(disk.watch.slow(disk.now));
  const Duration took = disk.Until(true, kBad, kBad);
  CHECK(took > seconds(3));
  CHECK(took < seconds(6));
}

TEST_CASE("L11.1 the probes of an idle disk suffice") {
  Disk disk;
  disk.Sync(seconds(20), kGood, seconds(1));
  const Duration took = disk.Until(true, kBad, milliseconds(1250));
  CHECK(took > seconds(2));
  CHECK(took < seconds(6));
}

TEST_CASE("L11.1 syncs that take longer than the window are counted, too") {
  Disk disk;
  disk.Sync(seconds(20), kGood, milliseconds(3));
  CHECK(disk.Until(true, seconds(6), seconds(6)) <= seconds(18));
}

TEST_CASE("L11.1 a stall does not make a disk slow, nor do large writes") {
  Disk disk;
  disk.Sync(seconds(20), kGood, seconds(1));
  disk.now += seconds(9);
  disk.watch.Note(disk.now, seconds(9), 4096);
  disk.Sync(seconds(1), kGood, milliseconds(500));
  CHECK_FALSE(disk.watch.slow(disk.now));
  disk.Sync(seconds(20), kBad, kBad, 8 << 20);  // 32 MiB a second
  CHECK_FALSE(disk.watch.slow(disk.now));
  Disk new_one;
  new_one.Sync(seconds(1), kBad, seconds(1));  // the first it does
  CHECK_FALSE(new_one.watch.slow(new_one.now));
}

TEST_CASE("L11.1 a disk is well again half a minute after its syncs are") {
  Disk disk;
  disk.Sync(seconds(20), kBad, kBad);
  const Duration took = disk.Until(false, kGood, milliseconds(100));
  CHECK(took > seconds(30));
  CHECK(took < seconds(36));
}

TEST_CASE("L11.1 a disk that comes and goes counts as slow for longer and longer, until it was well for ten minutes") {
  Disk disk;
  Duration last{};
  for (const auto expected : {30, 60, 120, 240, 480, 480}) {
    disk.Sync(seconds(10), kBad, kBad);
    REQUIRE(disk.watch.slow(disk.now));
    last = disk.Until(false, kGood, milliseconds(100));
    CHECK(last >= seconds(expected));
    CHECK(last < seconds(expected + 6));
  }
  disk.Sync(minutes(11), kGood, seconds(1));
  disk.Sync(seconds(10), kBad, kBad);
  CHECK(disk.Until(false, kGood, milliseconds(100)) < seconds(36));
}

TEST_CASE("L11.1 without a bound no disk is slow") {
  Disk disk;
  disk.watch = SyncWatch(SyncWatch::Config{Duration(0), seconds(30), minutes(8)});
  disk.Sync(seconds(20), kBad, kBad);
  CHECK_FALSE(disk.watch.slow(disk.now));
}

}  // namespace
}  // namespace coffer::node
