// Where a value is: in the log of values, or in LevelDB, as lone ones of moderate size and those of format 1.
#include <leveldb/db.h>

#include <atomic>
#include <string>

#include "node/byte_codec.h"
#include "node/store_format.h"
#include "node/value_record.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_samples.h"
#include "unit/store_value_log_fixture.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

// Counts what is synced of the log of values.
class SyncsOfLog : public DiskFaults {
 public:
  int BeforeSync(const std::string& path) override {
    if (path.ends_with(".values")) ++count;
    return 0;
  }
  std::atomic<int> count{0};
};

TEST_CASE("value log: a lone value of moderate size waits for one sync", "[value_log]") {
  TemporaryFolder parent;
  SyncsOfLog syncs;
  auto options = SmallOptions(parent.path() + "/store");
  options.faults = &syncs;
  options.lone_value_bytes = 1000;
  Random random(7);
  const Payload value = MakeValue(RandomBytes(random, 1000));
  const auto logged = [&](const LevelDbStore& store) { return store.counters().live_value_bytes; };
  const std::uint64_t stored = StoredValueBytes(EncodeKey(KeyOf(0)).size(), value->size());
  {
    const auto store = MustOpen(options);
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(0), value)}}));
    CHECK(syncs.count == 0);
    CHECK(logged(*store) == 0);

    // More than that goes to the log, and so does one that is larger.
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(1), value), PutOf(KeyOf(2), value)}}));
    const int opened = syncs.count;  // with that of the new segment's blocks
    CHECK(opened > 0);
    CHECK(logged(*store) == 2 * stored);
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(3), MakeValue(RandomBytes(random, 1001)))}}));
    CHECK(syncs.count == opened + 1);

    // In place of one in the log: that one is garbage.
    const std::uint64_t before = logged(*store);
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(1), value)}}));
    CHECK(syncs.count == opened + 1);
    CHECK(logged(*store) == before - stored);
  }
  const auto store = MustOpen(options);
  for (std::uint64_t i = 0; i < 3; ++i) {
    RecordHeader header;
    Payload read;
    REQUIRE(store->Read(kPartition, KeyOf(i), &header, &read) == ReadOutcome::kFound);
    CHECK(*read == *value);
  }
}

TEST_CASE("value log: a store of format 1 is read, and written as format 2", "[value_log]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  const std::string owner_key(1, static_cast<char>(Space::kStore));
  const auto row_of = [&](std::uint64_t version) {
    return SealRow(owner_key, ByteWriter().Varint(version).Raw(SmallOptions(folder).owner.view()).bytes());
  };
  Random random(18);
  Model model;
  {
    leveldb::Options options;
    options.create_if_missing = true;
    leveldb::DB* raw = nullptr;
    REQUIRE(leveldb::DB::Open(options, folder, &raw).ok());
    const std::unique_ptr<leveldb::DB> db(raw);
    REQUIRE(db->Put({}, owner_key, row_of(1)).ok());
    for (std::uint64_t i = 0; i < 4; ++i) {
      model[i] = LargeValue(random);
      const std::string key = EncodeKey(KeyOf(i));
      const RecordHeader header = HeaderFor(model[i]);
      const auto header_row = EncodeHeaderRow(kPartition, key, header, ValuePlace::kSeparate, {});
      REQUIRE(db->Put({}, StoredKey(Space::kHeader, kPartition, key), header_row).ok());
      const auto value_row = SealValue(kPartition, key, header, *model[i]);
      REQUIRE(db->Put({}, StoredKey(Space::kValue, kPartition, key), value_row).ok());
    }
  }
  {
    const auto store = MustOpen(SmallOptions(folder));
    for (const auto& [i, expected] : model) {
      RecordHeader header;
      Payload value;
      REQUIRE(store->Read(kPartition, KeyOf(i), &header, &value) == ReadOutcome::kFound);
      REQUIRE(*value == *expected);
    }
    model[0] = LargeValue(random);
    REQUIRE(WriteAndWait(*store, {{PutOf(KeyOf(0), model[0]), StoreBatch::EraseRecord{kPartition, KeyOf(1)}}}));
    RecordHeader header;
    Payload value;
    REQUIRE(store->Read(kPartition, KeyOf(0), &header, &value) == ReadOutcome::kFound);
    REQUIRE(*value == *model[0]);
  }
  leveldb::DB* raw = nullptr;
  REQUIRE(leveldb::DB::Open({}, folder, &raw).ok());
  const std::unique_ptr<leveldb::DB> db(raw);
  std::string row;
  REQUIRE(db->Get({}, owner_key, &row).ok());
  CHECK(row == row_of(2));
  for (const std::uint64_t i : {0, 1}) {
    CHECK(db->Get({}, StoredKey(Space::kValue, kPartition, EncodeKey(KeyOf(i))), &row).IsNotFound());
  }
  CHECK(db->Get({}, StoredKey(Space::kValue, kPartition, EncodeKey(KeyOf(2))), &row).ok());
}

}  // namespace
}  // namespace coffer::node
