// The log of values under the store: nothing acknowledged is lost by power loss, cleaning or the use of old files, no wrong
// byte is read, and what is counted is what is there.
#include <array>
#include <chrono>
#include <functional>
#include <thread>

#include "node/value_record.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_samples.h"
#include "unit/store_value_log_fixture.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kInline = 256;
constexpr std::uint64_t kKeys = 24;

// Few, small segments that are cleaned without delay.
LevelDbStoreOptions CleaningOptions(const std::string& folder) {
  auto options = SmallOptions(folder);
  options.garbage_percent = 25;
  options.clean_bytes_per_second = 1 << 30;
  options.probe_interval = std::chrono::milliseconds(1);
  return options;
}

// A random change of a few records, done to the model, too.
void Change(Random& random, Model* model, StoreBatch* batch) {
  const std::uint64_t i = random.Below(kKeys);
  const auto there = model->find(i);
  const std::uint64_t what = random.Below(10);
  if (there != model->end() && what < 3) {
    batch->changes.push_back(StoreBatch::EraseRecord{kPartition, KeyOf(i)});
    model->erase(there);
  } else if (there != model->end() && what < 4) {
    RecordHeader header = HeaderFor(MakeValue("x"));
    header.deleted = header.value_gone = true;
    batch->changes.push_back(StoreBatch::DropValue{kPartition, KeyOf(i), header});
    there->second = nullptr;
  } else if (what < 5) {
    const std::uint64_t to = i + random.Below(kKeys - i);
    batch->changes.push_back(StoreBatch::EraseRange{kPartition, EncodeKey(KeyOf(i)), EncodeKey(KeyOf(to))});
    model->erase(model->lower_bound(i), model->lower_bound(to));
  } else {
    // A small value is not put in place of a large one: that would be counted as needed until its segment is cleaned.
    const bool small = random.Chance(1, 4) && there == model->end();
    const Payload value = small ? MakeValue(RandomBytes(random, 40)) : LargeValue(random);
    batch->changes.push_back(PutOf(KeyOf(i), value));
    (*model)[i] = value;
  }
}

StoreBatch NextBatch(Random& random, std::uint64_t number, Model* model) {
  StoreBatch batch;
  for (std::uint64_t i = 0; i <= random.Below(4); ++i) Change(random, model, &batch);
  PartitionMeta meta;
  meta.last.seq = Seq(number);
  batch.changes.push_back(StoreBatch::PutMeta{kPartition, meta});
  return batch;
}

std::uint64_t LastOf(const LevelDbStore& store) {
  std::uint64_t last = 0;
  REQUIRE(store.ReadMetas([&](PartitionId, const PartitionMeta& m) { last = m.last.seq.value; }) ==
          ReadOutcome::kFound);
  return last;
}

// `count`: whatever is large is in the log, so how much that is, is known.
void RequireHolds(const LevelDbStore& store, const Model& model, bool count = true) {
  std::uint64_t live = 0;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    RecordHeader header;
    Payload value;
    const auto outcome = store.Read(kPartition, KeyOf(i), &header, &value);
    const auto expected = model.find(i);
    INFO("key " << i);
    REQUIRE(outcome == (expected == model.end() ? ReadOutcome::kAbsent : ReadOutcome::kFound));
    if (expected == model.end()) continue;
    REQUIRE((value != nullptr) == (expected->second != nullptr));
    if (!value) continue;
    REQUIRE(*value == *expected->second);
    if (value->size() > kInline) live += StoredValueBytes(EncodeKey(KeyOf(i)).size(), value->size());
  }
  if (!count) return;
  // A value that is being moved is counted in neither place for a moment: one right count is enough, however the next one is.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::uint64_t counted = 0;
  do {
    counted = store.counters().live_value_bytes;
  } while (counted != live && std::chrono::steady_clock::now() < end);
  REQUIRE(counted == live);
}

struct Outcome {
  std::uint64_t acknowledged = 0;
  std::uint64_t cleaned = 0;
};

// Writes until the power fails or all is written. `states` gets the model after each write.
Outcome Churn(PowerLoss* power, LevelDbStoreOptions options, Random& random, std::uint64_t writes,
              std::vector<Model>* states) {
  options.faults = power;
  auto opened = LevelDbStore::Open(options);
  Outcome outcome;
  outcome.acknowledged = states->size() - 1;
  if (!opened.store) return outcome;
  std::atomic<std::uint64_t> acknowledged{states->size() - 1};
  for (std::uint64_t i = 0; i < writes; ++i) {
    Model model = states->back();
    StoreBatch batch = NextBatch(random, states->size(), &model);
    states->push_back(std::move(model));
    // One in four is waited for: the others share commits.
    const std::uint64_t number = states->size() - 1;
    if (random.Chance(1, 4)) {
      if (WriteAndWait(*opened.store, std::move(batch))) acknowledged = number;
    } else {
      opened.store->Write(std::move(batch), [&acknowledged, number](bool ok) {
        if (ok) acknowledged = number;
      });
    }
  }
  // What is done, before what is left of the queue is committed.
  if (power->off()) outcome.cleaned = opened.store->counters().cleaned_segments;
  opened.store.reset();
  outcome.acknowledged = acknowledged;
  return outcome;
}

TEST_CASE("value log: power lost at any operation, while values come, go and are moved", "[value_log]") {
  Random random(11);
  std::uint64_t cleaned = 0;
  std::uint64_t unacknowledged = 0;
  for (int round = 0; round < 160; ++round) {
    TemporaryFolder parent;
    auto options = CleaningOptions(parent.path() + "/store");
    // Now and then those that are alone stay in LevelDB, and take the place of others in the log.
    if (round % 4 == 0) options.lone_value_bytes = 1500;
    // All groups past the page cache, or some and some, or none.
    options.direct_bytes = std::array{1, 3000, 1 << 20}[static_cast<std::size_t>(round) % 3];
    std::vector<Model> states(1);
    // Again and again over the same files: segments are used again, and recovery is interrupted, too.
    for (int again = 0; again < 3; ++again) {
      PowerLoss power(static_cast<std::int64_t>(random.Below(again == 1 ? 60 : 600)));
      const Outcome outcome = Churn(&power, options, random, 60, &states);
      power.Apply(static_cast<PowerLoss::Ends>(random.Below(4)), random);
      cleaned += outcome.cleaned;
      auto quiet = options;
      quiet.probe_interval = std::chrono::hours(1);
      const auto store = MustOpen(quiet);
      const std::uint64_t last = LastOf(*store);
      INFO("round " << round << " acknowledged " << outcome.acknowledged << " there " << last);
      REQUIRE(last >= outcome.acknowledged);
      REQUIRE(last < states.size());
      RequireHolds(*store, states[last], options.lone_value_bytes == 0);
      unacknowledged += last > outcome.acknowledged;
      states.resize(last + 1);
    }
  }
  CHECK(cleaned > 0);
  CHECK(unacknowledged > 0);  // the cuts were where they hurt
}

// Nothing is cleaned: what was written stays where it is for as long as the test takes.
LevelDbStoreOptions UncleanedOptions(const std::string& folder) {
  auto options = SmallOptions(folder);
  options.garbage_percent = 100;
  return options;
}

// Segments full of values of which only each fourth is needed. Returns those.
Model FillWithGarbage(const std::string& folder) {
  Random random(12);
  const auto store = MustOpen(UncleanedOptions(folder));
  Model model;
  StoreBatch fill;
  StoreBatch erase;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    const Payload value = MakeValue(RandomBytes(random, 1500));
    fill.changes.push_back(PutOf(KeyOf(i), value));
    if (i % 4 == 0) {
      model[i] = value;
    } else {
      erase.changes.push_back(StoreBatch::EraseRecord{kPartition, KeyOf(i)});
    }
  }
  REQUIRE(WriteAndWait(*store, std::move(fill)));
  REQUIRE(WriteAndWait(*store, std::move(erase)));
  REQUIRE(store->counters().segments >= 4);
  return model;
}

// Bounded, so that what is not cleaned is a failure of what follows and no hang.
void WaitForCleaning(const LevelDbStore& store) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (store.counters().garbage_value_bytes > 8 << 10 && !store.Health().failed && std::chrono::steady_clock::now() < until) {
    std::this_thread::yield();
  }
}

TEST_CASE("value log: cleaning interrupted at each of its steps loses nothing", "[value_log]") {
  Random random(13);
  bool finished = false;
  for (std::int64_t operations = 0; !finished; ++operations) {
    REQUIRE(operations < 500);
    TemporaryFolder parent;
    const std::string folder = parent.path() + "/store";
    const Model model = FillWithGarbage(folder);
    PowerLoss power(operations);
    {
      auto options = CleaningOptions(folder);
      options.faults = &power;
      const auto opened = LevelDbStore::Open(options);
      if (opened.store) {
        WaitForCleaning(*opened.store);
        finished = !opened.store->Health().failed;
      }
    }
    power.Apply(operations % 2 ? PowerLoss::Ends::kGone : PowerLoss::Ends::kSectorsMissing, random);
    const auto store = MustOpen(CleaningOptions(folder));
    RequireHolds(*store, model);
    WaitForCleaning(*store);
    RequireHolds(*store, model);
  }
}

// Copies the store that `from` is, and damages a value in the copy.
void CopyAndDamage(const std::string& from, const std::string& to, const Payload& value) {
  fs::copy(from, to, fs::copy_options::recursive);
  for (const std::string& segment : FilesLike(to + "/values", ".values")) {
    int error = 0;
    const std::size_t at = ReadWholeFile(segment, &error).value().find(*value);
    if (at != std::string::npos) return FlipBit(segment, at, 1);
  }
  FAIL("no segment has the value");
}

void RequireSoon(const std::function<bool()>& reached) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!reached() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  REQUIRE(reached());
}

// Half a segment: one full of garbage but for a value has more.
void RequireCleaned(const LevelDbStore& store) {
  RequireSoon([&] { return store.counters().garbage_value_bytes <= 4 << 10; });
}

TEST_CASE("value log: a segment with damage is emptied but for that, and goes when that is repaired or deleted", "[value_log]") {
  TemporaryFolder parent;
  const std::string good = parent.path() + "/good";
  Model model = FillWithGarbage(good);
  const std::string folder = parent.path() + "/bad";
  CopyAndDamage(good, folder, model.at(0));
  struct Reads : DiskFaults {
    std::atomic<int> of_first{0};
    int BeforeRead(const std::string& path) override {
      of_first += path.ends_with("00000001.values");
      return 0;
    }
  } reads;
  auto options = CleaningOptions(folder);
  options.faults = &reads;
  const auto store = MustOpen(options);
  // The others are cleaned, and this one has been tried.
  RequireSoon([&] { return store->counters().segments <= 3 && reads.of_first > 0; });
  RecordHeader header;
  Payload value;
  REQUIRE(store->Read(kPartition, KeyOf(0), &header, &value) == ReadOutcome::kDamaged);
  SECTION("repaired") { REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(0), model.at(0))}})); }
  SECTION("deleted") {
    REQUIRE(WriteAndWait(*store, {{StoreBatch::EraseRecord{kPartition, KeyOf(0)}}}));
    model.erase(0);
  }
  RequireCleaned(*store);
  RequireHolds(*store, model);
}

TEST_CASE("value log: a segment that was left is looked at again after a while", "[value_log]") {
  TemporaryFolder parent;
  const std::string good = parent.path() + "/good";
  Model model = FillWithGarbage(good);
  auto options = CleaningOptions(good);
  options.clean_again = std::chrono::milliseconds(50);
  SECTION("it could not be read") {
    struct Failing : DiskFaults {
      std::atomic<int> left{40};
      int BeforeRead(const std::string& path) override { return path.ends_with(".values") && left-- > 0 ? EIO : 0; }
    } faults;
    options.faults = &faults;
    RequireCleaned(*MustOpen(options));
    CHECK(faults.left <= 0);
  }
  SECTION("a small value took the place of one that did not verify, which is still counted as needed") {
    options.folder = parent.path() + "/bad";
    CopyAndDamage(good, options.folder, model.at(0));
    const auto store = MustOpen(options);
    model[0] = MakeValue("small");
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(0), model.at(0))}}));
    RequireCleaned(*store);
    RequireHolds(*store, model);
  }
}

TEST_CASE("value log: values are read while they are moved, and moved while they are replaced", "[value_log]") {
  TemporaryFolder parent;
  const auto store = MustOpen(CleaningOptions(parent.path() + "/store"));
  // Those that stay must always be found; the others make garbage around them.
  Random random(14);
  std::vector<Payload> staying;
  for (std::uint64_t i = 0; i < 8; ++i) {
    staying.push_back(LargeValue(random));
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(i), staying[i]), PutOf(KeyOf(i + 10), LargeValue(random))}}));
  }
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0};
  std::thread reader([&] {
    for (std::uint64_t i = 0; !stop; i = (i + 1) % 8) {
      RecordHeader header;
      Payload value;
      const auto outcome = store->Read(kPartition, KeyOf(i), &header, &value);
      wrong += outcome != ReadOutcome::kFound || *value != *staying[i];
    }
  });
  for (int i = 0; i < 20'000 && store->counters().cleaned_segments < 50; ++i) {
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(10 + random.Below(8)), LargeValue(random))}}));
  }
  stop = true;
  reader.join();
  CHECK(wrong == 0);
  CHECK(store->counters().damaged_reads == 0);
  CHECK(store->counters().cleaned_segments >= 50);
  CHECK(store->counters().moved_value_bytes > 0);
  CHECK(store->counters().segments < 20);
}

TEST_CASE("value log: a bit flip in a segment is damage of one value, mended by writing it again", "[value_log]") {
  TemporaryFolder parent;
  const std::string good = parent.path() + "/good";
  const Model model = FillWithGarbage(good);
  Random random(15);
  int damaged = 0;
  for (int round = 0; round < 300; ++round) {
    const std::string folder = parent.path() + "/bad";
    fs::remove_all(folder);
    fs::copy(good, folder, fs::copy_options::recursive);
    const auto segments = FilesLike(folder + "/values", ".values");
    FlipBit(segments[random.Below(segments.size())], random.Below(8 << 10), static_cast<int>(random.Below(8)));
    // A cleaner at work must not take what does not verify for garbage.
    const auto store = MustOpen(round % 2 ? CleaningOptions(folder) : SmallOptions(folder));
    if (round % 2) {
      while (store->counters().cleaned_segments == 0) std::this_thread::yield();
    }
    int bad = 0;
    for (const auto& [i, expected] : model) {
      RecordHeader header;
      Payload value;
      const auto outcome = store->Read(kPartition, KeyOf(i), &header, &value);
      if (outcome == ReadOutcome::kFound) {
        REQUIRE(*value == *expected);
        continue;
      }
      REQUIRE(outcome == ReadOutcome::kDamaged);
      ++bad;
      REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(i), expected)}}));
    }
    REQUIRE(bad <= 1);
    damaged += bad;
    RequireHolds(*store, model);
  }
  CHECK(damaged > 20);
}

TEST_CASE("value log: a segment in another's place, an old one and a lost one do not verify", "[value_log]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  const Model model = FillWithGarbage(folder);
  const auto segments = FilesLike(folder + "/values", ".values");
  REQUIRE(segments.size() >= 3);
  SECTION("two have changed places") {
    fs::rename(segments[0], folder + "/aside");
    fs::rename(segments[1], segments[0]);
    fs::rename(folder + "/aside", segments[1]);
  }
  SECTION("one is gone") { fs::remove(segments[0]); }
  SECTION("one is cut short") { fs::resize_file(segments[0], 0); }
  const auto store = MustOpen(UncleanedOptions(folder));
  int damaged = 0;
  for (const auto& [i, expected] : model) {
    RecordHeader header;
    Payload value;
    const auto outcome = store->Read(kPartition, KeyOf(i), &header, &value);
    if (outcome == ReadOutcome::kFound) REQUIRE(*value == *expected);
    REQUIRE(outcome != ReadOutcome::kAbsent);
    if (outcome == ReadOutcome::kFound) continue;
    ++damaged;
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(i), expected)}}));
  }
  CHECK(damaged > 0);
  RequireHolds(*store, model);
}

TEST_CASE("value log: an emptied segment is used again, and few are kept", "[value_log]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  const auto store = MustOpen(SmallOptions(folder));
  Random random(16);
  for (int round = 0; round < 20; ++round) {
    StoreBatch fill;
    StoreBatch erase;
    for (std::uint64_t i = 0; i < kKeys; ++i) {
      fill.changes.push_back(PutOf(KeyOf(i), MakeValue(RandomBytes(random, 3000))));
      erase.changes.push_back(StoreBatch::EraseRecord{kPartition, KeyOf(i)});
    }
    REQUIRE(WriteAndWait(*store, std::move(fill)));
    CHECK(store->Health().used_bytes > kKeys * 3000);
    REQUIRE(WriteAndWait(*store, std::move(erase)));
    CHECK(store->counters().live_value_bytes == 0);
  }
  CHECK(store->counters().spare_segments == 2);
  CHECK(store->counters().segments == 1);
  CHECK(FilesLike(folder + "/values", ".values").size() == 3);
}

TEST_CASE("value log: a full disk is waited for in the middle of a value", "[value_log]") {
  struct Full : DiskFaults {
    std::atomic<bool> full{false};
    int BeforeWrite(const std::string& path, std::size_t) override {
      return full && path.ends_with(".values") ? ENOSPC : 0;
    }
  } faults;
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  auto options = SmallOptions(folder);
  options.faults = &faults;
  options.on_failure = [](const std::string&) { FAIL("a full disk is no failure"); };
  auto store = MustOpen(options);
  Random random(17);
  Model model;
  // One goes into the segment that is there, the other needs a new one.
  model[0] = LargeValue(random);
  model[1] = MakeValue(RandomBytes(random, 20'000));
  model[2] = LargeValue(random);
  REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(0), model[0])}}));
  faults.full = true;
  std::promise<bool> done;
  auto result = done.get_future();
  store->Write({{PutOf(KeyOf(2), model[2]), PutOf(KeyOf(1), model[1])}}, [&](bool ok) { done.set_value(ok); });
  while (!store->Health().full) std::this_thread::yield();
  CHECK_FALSE(store->Health().failed);
  SECTION("space comes back") {
    faults.full = false;
    CHECK(result.get());
  }
  SECTION("the node is stopped first") {
    store.reset();
    CHECK_FALSE(result.get());
    faults.full = false;
    model.erase(1);
    model.erase(2);
  }
  store.reset();
  RequireHolds(*MustOpen(SmallOptions(folder)), model);
}

}  // namespace
}  // namespace coffer::node
