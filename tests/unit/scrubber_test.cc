// The scrubber reads everything once, says what is damaged, and goes on where it was.
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>

#include "cluster/sha256.h"
#include "node/durable_file.h"
#include "node/memory_store.h"
#include "node/scrubber.h"
#include "test_support.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

const ZoneId kZone = ZoneId::Must("a-zone-of-sixtee");
const NodeId kOwner = NodeId::Must("node-one-16bytes");
constexpr int kRecords = 300;  // of a partition; more than are asked for at once
constexpr std::uint64_t kHour = 3'600'000;

RecordKey KeyOf(PartitionId p, int i) {
  return {kZone, RecordKind::kChunk, BlockId::Must(Sha256({std::to_string(p) + "/" + std::to_string(i)}).view()), 0};
}

// Three partitions, each with its line and records of 10 bytes.
void Fill(MemoryStore* store) {
  for (const PartitionId p : {1u, 5u, 9u}) {
    StoreBatch batch;
    for (int i = 0; i < kRecords; ++i) {
      auto value = std::make_shared<const std::string>(10, static_cast<char>(i));
      RecordHeader header;
      header.hash = Sha256({*value});
      header.size = value->size();
      batch.changes.push_back(StoreBatch::PutRecord{p, KeyOf(p, i), header, value});
    }
    batch.changes.push_back(StoreBatch::PutMeta{p, {}});
    store->Write(std::move(batch), nullptr);
  }
  store->CompleteWrites();
}

class Sinks final : public ScrubSinks {
 public:
  std::function<void(PartitionId)> on_read = [](PartitionId) {};

  void OnBadRecord(PartitionId partition, const RecordKey& key) override {
    std::lock_guard lock(mutex_);
    bad_.insert({partition, EncodeKey(key)});
  }
  void OnPartitionRead(PartitionId partition, bool unreadable) override {
    {
      std::lock_guard lock(mutex_);
      read_.push_back(partition);
      unreadable_ += unreadable ? 1 : 0;
    }
    on_read(partition);
  }
  void OnScrubStatus(const v1::ScrubStatus& status) override {
    std::lock_guard lock(mutex_);
    status_ = status;
    told_.notify_all();
  }
  v1::ScrubStatus Wait(const std::function<bool(const v1::ScrubStatus&)>& fits) {
    std::unique_lock lock(mutex_);
    const bool fitted = told_.wait_for(lock, std::chrono::seconds(120), [&] { return fits(status_); });
    REQUIRE(fitted);
    return status_;
  }
  v1::ScrubStatus WaitEnd() {
    return Wait([](const v1::ScrubStatus& s) { return s.state() == v1::SCRUB_STATE_WAITING && s.last_pass_ms() > 0; });
  }
  std::set<std::pair<PartitionId, std::string>> bad() const { return bad_; }
  std::vector<PartitionId> read() const { return read_; }
  int unreadable() const { return unreadable_; }

 private:
  std::mutex mutex_;
  std::condition_variable told_;
  v1::ScrubStatus status_;
  std::set<std::pair<PartitionId, std::string>> bad_;
  std::vector<PartitionId> read_;
  int unreadable_ = 0;
};

struct World {
  World() { Fill(&store); }
  ScrubberOptions Options() {
    ScrubberOptions options;
    options.progress_path = folder.path() + "/scrub";
    options.owner = kOwner;
    options.bytes_per_second = 0;
    options.interval = std::chrono::milliseconds(0);
    options.wall_ms = [this] { return wall.load(); };
    return options;
  }
  TemporaryFolder folder;
  MemoryStore store;
  Sinks sinks;
  std::atomic<std::uint64_t> wall{1000 * kHour};
};

TEST_CASE("scrub: a pass reads every record once and names those that do not verify") {
  World world;
  REQUIRE(world.store.DamageRecord(5, KeyOf(5, 3), MemoryStore::Part::kValue));
  REQUIRE(world.store.DamageRecord(9, KeyOf(9, 299), MemoryStore::Part::kHeader));
  // Verifies for the store, and is not what its header says.
  auto other = std::make_shared<const std::string>("other text");
  RecordHeader header;
  header.hash = Sha256({"another"});
  header.size = other->size();
  world.store.Write({{StoreBatch::PutRecord{1, KeyOf(1, 7), header, other}}}, nullptr);
  world.store.CompleteWrites();
  Scrubber scrubber(world.Options(), world.store, world.sinks);
  scrubber.Control(false, Epoch(3));
  scrubber.Start();
  const auto status = world.sinks.WaitEnd();
  scrubber.Stop();
  CHECK(status.blocks_done() == 3 * kRecords);
  CHECK(status.bad_blocks() == 3);
  CHECK(status.partitions_done() == 3);
  CHECK(status.last_pass_ms() == 1000 * kHour);
  CHECK(world.sinks.read() == std::vector<PartitionId>{1, 5, 9});
  CHECK(world.sinks.bad() == std::set<std::pair<PartitionId, std::string>>{
                                 {1, EncodeKey(KeyOf(1, 7))}, {5, EncodeKey(KeyOf(5, 3))}, {9, EncodeKey(KeyOf(9, 299))}});
}

TEST_CASE("scrub: a pause and a restart cost no partition twice, and what was asked for is done once") {
  World world;
  {
    Scrubber scrubber(world.Options(), world.store, world.sinks);
    world.sinks.on_read = [&](PartitionId p) {
      if (p == 5) scrubber.Control(/*paused=*/true, Epoch(3));
    };
    scrubber.Control(false, Epoch(3));
    scrubber.Start();
    world.sinks.Wait([](const v1::ScrubStatus& s) { return s.state() == v1::SCRUB_STATE_PAUSED; });
  }
  world.sinks.on_read = [](PartitionId) {};
  {
    Scrubber scrubber(world.Options(), world.store, world.sinks);
    scrubber.Control(false, Epoch(3));
    scrubber.Start();
    CHECK(world.sinks.WaitEnd().blocks_done() == 3 * kRecords);
  }
  CHECK(world.sinks.read() == std::vector<PartitionId>{1, 5, 9});
  {
    Scrubber scrubber(world.Options(), world.store, world.sinks);
    scrubber.Control(false, Epoch(3));
    scrubber.Start();
    world.sinks.WaitEnd();
  }
  CHECK(world.sinks.read().size() == 3);
}

TEST_CASE("scrub: after the interval a pass begins by itself") {
  World world;
  auto options = world.Options();
  options.interval = std::chrono::hours(100);
  Scrubber scrubber(options, world.store, world.sinks);
  scrubber.Start();
  const auto waiting = world.sinks.Wait([](const v1::ScrubStatus& s) { return s.state() == v1::SCRUB_STATE_WAITING; });
  CHECK(waiting.next_pass_seconds() >= 80 * 3600);
  CHECK(waiting.next_pass_seconds() <= 120 * 3600);
  world.wall += 121 * kHour;
  scrubber.Control(false, Epoch());
  CHECK(world.sinks.WaitEnd().blocks_done() == 3 * kRecords);
  scrubber.Stop();
}

TEST_CASE("scrub: progress is read back as it was written, by its owner, unchanged") {
  ScrubProgress progress;
  progress.running = true;
  progress.next = 77;
  progress.bytes = 1ull << 40;
  progress.last_pass_ms = 123456789;
  progress.asked = 4;
  const std::string bytes = EncodeScrubProgress(kOwner, progress);
  CHECK(DecodeScrubProgress(kOwner, bytes) == progress);
  CHECK_FALSE(DecodeScrubProgress(NodeId::Must("node-two-16bytes"), bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    CHECK_FALSE(DecodeScrubProgress(kOwner, flipped));
    CHECK_FALSE(DecodeScrubProgress(kOwner, bytes.substr(0, i)));
  }
}

}  // namespace
}  // namespace coffer::node
