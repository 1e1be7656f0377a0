// What every Store does alike, run against each of them.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>

#include "node/leveldb_store.h"
#include "node/memory_store.h"
#include "node/store_format.h"
#include "test_support.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

// A memory store whose writes complete at once.
struct OfMemory {
  MemoryStore store;
  bool Write(StoreBatch batch) {
    bool result = false;
    store.Write(std::move(batch), [&](bool ok) { result = ok; });
    store.CompleteWrites();
    return result;
  }
};

// LevelDB, with limits so small that every path is taken.
struct OfLevelDb {
  TemporaryFolder folder;
  std::unique_ptr<LevelDbStore> owned = Open();
  LevelDbStore& store = *owned;

  std::unique_ptr<LevelDbStore> Open() {
    LevelDbStoreOptions options;
    options.folder = folder.path() + "/store";
    options.owner = NodeId::Must("0123456789abcdef");
    options.inline_value_bytes = 64;
    options.erase_at_once = 3;
    options.reserve_bytes = 0;
    auto opened = LevelDbStore::Open(options);
    INFO(opened.message);
    REQUIRE(opened.store);
    return std::move(opened.store);
  }
  bool Write(StoreBatch batch) {
    std::promise<bool> done;
    store.Write(std::move(batch), [&](bool ok) { done.set_value(ok); });
    return done.get_future().get();
  }
};

StoreBatch Batch(std::vector<StoreBatch::Change> changes) {
  return {std::move(changes)};
}

StoreBatch::PutRecord Put(PartitionId partition, const RecordKey& key, const Payload& value, std::uint64_t seq = 1) {
  return {partition, key, HeaderFor(value, seq), value};
}

template <class F>
std::string ReadString(F& f, PartitionId partition, const RecordKey& key) {
  RecordHeader header;
  Payload value;
  switch (f.store.Read(partition, key, &header, &value)) {
    case ReadOutcome::kAbsent:
      return "absent";
    case ReadOutcome::kDamaged:
      return "damaged";
    case ReadOutcome::kFailed:
      return "failed";
    case ReadOutcome::kFound:
      break;
  }
  return value ? "=" + *value : "no value";
}

template <class F>
std::vector<std::string> ScanKeys(F& f, PartitionId partition, std::string_view after = {},
                                  std::string_view last = {}) {
  std::vector<std::string> keys;
  const auto outcome = f.store.Scan(partition, after, last, [&](const ScannedRecord& r) {
    CHECK_FALSE(r.damaged);
    keys.push_back(EncodeKey(r.key));
    return true;
  });
  CHECK(outcome == ReadOutcome::kFound);
  return keys;
}

template <class F>
std::vector<std::uint64_t> Positions(F& f, std::uint64_t from, std::uint64_t to, bool backwards,
                                     std::size_t most = 1000) {
  std::vector<std::uint64_t> out;
  const auto outcome =
      f.store.ReadEntries(1, ZoneOf('z'), BlockOf('c'), from, to, backwards,
                          [&](ReadOutcome o, const RecordKey& key, const RecordHeader& header, const EntryValue& value) {
                            CHECK(o == ReadOutcome::kFound);
                            CHECK((value.present() && value.bytes() == "entry " + std::to_string(key.position)));
                            CHECK(*value.Share() == value.bytes());
                            CHECK(header.hash == Sha256({value.bytes()}));
                            out.push_back(key.position);
                            return out.size() < most;
                          });
  CHECK(outcome == ReadOutcome::kFound);
  return out;
}

TEMPLATE_TEST_CASE("store: a record is read as it was put", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  Random random(1);
  const Payload small = MakeValue("small");
  const Payload large = MakeValue(RandomBytes(random, 100'000));
  const Payload empty = MakeValue("");
  REQUIRE(f.Write(Batch({Put(1, ChunkAt('a'), small), Put(1, ChunkAt('b'), large), Put(1, ChunkAt('e'), empty)})));
  CHECK(ReadString(f, 1, ChunkAt('a')) == "=small");
  CHECK(ReadString(f, 1, ChunkAt('b')) == "=" + *large);
  CHECK(ReadString(f, 1, ChunkAt('e')) == "=");
  CHECK(ReadString(f, 1, ChunkAt('c')) == "absent");
  CHECK(ReadString(f, 2, ChunkAt('a')) == "absent");
  RecordHeader header;
  REQUIRE(f.store.Lookup(1, ChunkAt('b'), &header) == ReadOutcome::kFound);
  CHECK(SameHeader(header, HeaderFor(large)));
  CHECK(f.store.Lookup(2, ChunkAt('b'), &header) == ReadOutcome::kAbsent);
}

TEMPLATE_TEST_CASE("store: a header changes and the value stays, until it is dropped", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  for (const Payload& value : {MakeValue("small"), MakeValue(std::string(1000, 'x'))}) {
    RecordHeader header = HeaderFor(value);
    REQUIRE(f.Write(Batch({Put(1, ChunkAt('a'), value)})));
    header.deleted = true;
    header.deleted_by = {Term(4), Boot(1), Seq(9)};
    REQUIRE(f.Write(Batch({StoreBatch::SetHeader{1, ChunkAt('a'), header}})));
    RecordHeader read;
    Payload got;
    REQUIRE(f.store.Read(1, ChunkAt('a'), &read, &got) == ReadOutcome::kFound);
    CHECK(SameHeader(read, header));
    CHECK(*got == *value);
    header.value_gone = true;
    REQUIRE(f.Write(Batch({StoreBatch::DropValue{1, ChunkAt('a'), header}})));
    REQUIRE(f.store.Read(1, ChunkAt('a'), &read, &got) == ReadOutcome::kFound);
    CHECK(SameHeader(read, header));
    CHECK(got == nullptr);
    REQUIRE(f.Write(Batch({StoreBatch::EraseRecord{1, ChunkAt('a')}})));
    CHECK(ReadString(f, 1, ChunkAt('a')) == "absent");
  }
}

TEMPLATE_TEST_CASE("store: changes of one batch build on each other", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  for (const Payload& value : {MakeValue("small"), MakeValue(""), MakeValue(std::string(1000, 'x'))}) {
    RecordHeader marked = HeaderFor(value);
    marked.deleted = true;
    // Others of the same place in between: what a header keeps is its own value.
    REQUIRE(f.Write(Batch({Put(1, ChunkAt('a'), value), Put(1, ChunkAt('b'), MakeValue("another")),
                           StoreBatch::SetHeader{1, ChunkAt('a'), marked}, Put(1, ChunkAt('c'), MakeValue("a third, longer one")),
                           StoreBatch::SetHeader{1, ChunkAt('a'), marked}})));
    CHECK(ReadString(f, 1, ChunkAt('a')) == "=" + *value);
    CHECK(ReadString(f, 1, ChunkAt('b')) == "=another");
    RecordHeader header;
    REQUIRE(f.store.Lookup(1, ChunkAt('a'), &header) == ReadOutcome::kFound);
    CHECK(header.deleted);
    CHECK(ReadString(f, 1, ChunkAt('c')) == "=a third, longer one");
    REQUIRE(f.Write(Batch({StoreBatch::EraseRecord{1, ChunkAt('a')}, Put(1, ChunkAt('b'), value),
                           StoreBatch::EraseRange{1, EncodeKey(ChunkAt('b')), {}}, Put(1, ChunkAt('c'), value)})));
    CHECK(ReadString(f, 1, ChunkAt('a')) == "absent");
    CHECK(ReadString(f, 1, ChunkAt('b')) == "absent");
    CHECK(ReadString(f, 1, ChunkAt('c')) == "=" + *value);
    REQUIRE(f.Write(Batch({StoreBatch::ErasePartition{1}, Put(1, ChunkAt('d'), value), StoreBatch::PutMeta{1, {}}})));
    CHECK(ScanKeys(f, 1) == std::vector{EncodeKey(ChunkAt('d'))});
    REQUIRE(f.Write(Batch({StoreBatch::ErasePartition{1}})));
  }
}

TEMPLATE_TEST_CASE("store: a header without the value it names is damage", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  RecordHeader header = HeaderFor(MakeValue("lost"));
  REQUIRE(f.Write(Batch({StoreBatch::SetHeader{1, ChunkAt('a'), header}})));
  RecordHeader read;
  CHECK(f.store.Lookup(1, ChunkAt('a'), &read) == ReadOutcome::kFound);
  CHECK(ReadString(f, 1, ChunkAt('a')) == "damaged");
  header.size = 0;
  REQUIRE(f.Write(Batch({StoreBatch::SetHeader{1, ChunkAt('a'), header}})));
  CHECK(ReadString(f, 1, ChunkAt('a')) == "no value");
}

TEMPLATE_TEST_CASE("store: a scan visits a range in stored order", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  Random random(2);
  std::vector<std::string> keys;
  StoreBatch batch;
  for (int i = 0; i < 200; ++i) {
    const RecordKey key = RandomKey(random);
    keys.push_back(EncodeKey(key));
    batch.changes.push_back(Put(1, key, MakeValue(RandomBytes(random, random.Below(200)))));
    batch.changes.push_back(Put(2, RandomKey(random), MakeValue("other")));
    batch.changes.push_back(Put(0, RandomKey(random), MakeValue("other")));
  }
  REQUIRE(f.Write(std::move(batch)));
  std::sort(keys.begin(), keys.end());
  CHECK(ScanKeys(f, 1) == keys);
  for (int i = 0; i < 50; ++i) {
    const std::size_t a = random.Below(keys.size());
    const std::size_t b = a + random.Below(keys.size() - a);
    CHECK(ScanKeys(f, 1, keys[a], keys[b]) == std::vector(keys.begin() + a + 1, keys.begin() + b + 1));
    CHECK(ScanKeys(f, 1, {}, keys[b]) == std::vector(keys.begin(), keys.begin() + b + 1));
    CHECK(ScanKeys(f, 1, keys[a], {}) == std::vector(keys.begin() + a + 1, keys.end()));
  }
  int visited = 0;
  f.store.Scan(1, {}, {}, [&](const ScannedRecord&) { return ++visited < 3; });
  CHECK(visited == 3);
}

TEMPLATE_TEST_CASE("store: a chain is read from either end", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  RecordKey key;
  RecordHeader header;
  CHECK(f.store.LastEntry(1, ZoneOf('z'), BlockOf('c'), &key, &header) == ReadOutcome::kAbsent);
  StoreBatch batch;
  for (std::uint64_t p = 0; p < 300; ++p) {
    batch.changes.push_back(Put(1, EntryAt('c', p), MakeValue("entry " + std::to_string(p)), p + 1));
    batch.changes.push_back(Put(1, EntryAt('b', p), MakeValue("before")));
    batch.changes.push_back(Put(1, EntryAt('d', p), MakeValue("behind")));
  }
  REQUIRE(f.Write(std::move(batch)));
  REQUIRE(f.store.LastEntry(1, ZoneOf('z'), BlockOf('c'), &key, &header) == ReadOutcome::kFound);
  CHECK(key == EntryAt('c', 299));
  CHECK(header.stamp.seq == Seq(300));
  CHECK(f.store.LastEntry(1, ZoneOf('z'), BlockOf('x'), &key, &header) == ReadOutcome::kAbsent);
  CHECK(f.store.LastEntry(2, ZoneOf('z'), BlockOf('c'), &key, &header) == ReadOutcome::kAbsent);
  CHECK(Positions(f, 0, 300, false).size() == 300);
  CHECK(Positions(f, 280, ~0ull, true, 3) == std::vector<std::uint64_t>{299, 298, 297});
  CHECK(Positions(f, 250, 260, false, 3) == std::vector<std::uint64_t>{250, 251, 252});
  CHECK(Positions(f, 297, 400, false) == std::vector<std::uint64_t>{297, 298, 299});
  CHECK(Positions(f, 0, 3, true) == std::vector<std::uint64_t>{2, 1, 0});
  CHECK(Positions(f, 5, 5, true).empty());
  CHECK(Positions(f, 7, 5, false).empty());
  CHECK(Positions(f, 300, 400, false).empty());
  CHECK(Positions(f, 300, 400, true).empty());
}

TEMPLATE_TEST_CASE("store: the only chain of a store is read in both directions", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  REQUIRE(
      f.Write(Batch({Put(1, EntryAt('c', 0), MakeValue("entry 0")), Put(1, EntryAt('c', 1), MakeValue("entry 1"))})));
  CHECK(Positions(f, 0, ~0ull, false) == std::vector<std::uint64_t>{0, 1});
  CHECK(Positions(f, 0, ~0ull, true) == std::vector<std::uint64_t>{1, 0});
}

TEMPLATE_TEST_CASE("store: ranges and partitions are erased, and nothing beside them", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  StoreBatch batch;
  Random random(3);
  for (std::uint64_t p = 0; p < 40; ++p) {
    const Payload value = MakeValue(RandomBytes(random, 10 + 20 * p));
    for (PartitionId partition : {0u, 1u, 2u}) {
      batch.changes.push_back(Put(partition, EntryAt('c', p), value));
      batch.changes.push_back(Put(partition, EntryAt('d', p), value));
    }
    batch.changes.push_back(StoreBatch::PutLog{1, WriteAt(p + 1, random)});
  }
  batch.changes.push_back(StoreBatch::PutMeta{1, RandomMeta(random)});
  batch.changes.push_back(StoreBatch::PutMeta{2, RandomMeta(random)});
  REQUIRE(f.Write(std::move(batch)));
  SECTION("a chain") {
    std::string from = EncodeKey(EntryAt('c', ~0ull));
    std::string to = EncodeKey(EntryAt('d', ~0ull));
    REQUIRE(f.Write(Batch({StoreBatch::EraseRange{1, from, to}})));
    CHECK(ScanKeys(f, 1).size() == 40);
    CHECK(ScanKeys(f, 0).size() == 80);
    CHECK(ReadString(f, 1, EntryAt('c', 20)) == "absent");
    CHECK(ReadString(f, 1, EntryAt('d', 39)).size() == 1 + 10 + 20 * 39);
  }
  SECTION("from a key to the end") {
    REQUIRE(f.Write(Batch({StoreBatch::EraseRange{1, EncodeKey(EntryAt('d', 19)), {}}})));
    CHECK(ScanKeys(f, 1).size() == 60);
    CHECK(ScanKeys(f, 2).size() == 80);
  }
  SECTION("an empty range") {
    REQUIRE(f.Write(Batch({StoreBatch::EraseRange{1, "b", "a"}, StoreBatch::EraseRange{1, "a", "a"}})));
    CHECK(ScanKeys(f, 1).size() == 80);
  }
  SECTION("a partition") {
    REQUIRE(f.Write(Batch({StoreBatch::ErasePartition{1}})));
    CHECK(ScanKeys(f, 1).empty());
    CHECK(ScanKeys(f, 0).size() == 80);
    CHECK(ScanKeys(f, 2).size() == 80);
    std::vector<LogRecord> log;
    CHECK(f.store.ReadLog(1, Seq(0), Seq(~0ull), &log) == ReadOutcome::kFound);
    CHECK(log.empty());
    std::vector<PartitionId> metas;
    f.store.ReadMetas([&](PartitionId p, const PartitionMeta&) { metas.push_back(p); });
    CHECK(metas == std::vector<PartitionId>{2});
  }
  SECTION("a partition, and written again in the next batch") {
    f.store.Write(Batch({StoreBatch::ErasePartition{1}}), nullptr);
    REQUIRE(f.Write(Batch({Put(1, EntryAt('c', 7), MakeValue("new"))})));
    CHECK(ScanKeys(f, 1) == std::vector{EncodeKey(EntryAt('c', 7))});
    CHECK(ReadString(f, 1, EntryAt('c', 7)) == "=new");
  }
}

TEMPLATE_TEST_CASE("store: the log is read by range and pruned", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  Random random(4);
  StoreBatch batch;
  std::vector<std::string> written;
  for (std::uint64_t s = 1; s <= 300; ++s) {
    const LogRecord write = WriteAt(s, random);
    written.push_back(write.SerializeAsString());
    batch.changes.push_back(StoreBatch::PutLog{5, write});
    batch.changes.push_back(StoreBatch::PutLog{6, WriteAt(s, random)});
  }
  REQUIRE(f.Write(std::move(batch)));
  const auto read = [&](std::uint64_t from, std::uint64_t to) {
    std::vector<LogRecord> records;
    CHECK(f.store.ReadLog(5, Seq(from), Seq(to), &records) == ReadOutcome::kFound);
    std::vector<std::string> out;
    for (const auto& r : records) out.push_back(r.SerializeAsString());
    return out;
  };
  CHECK(read(1, 300) == written);
  CHECK(read(0, ~0ull) == written);
  CHECK(read(255, 258) == std::vector(written.begin() + 254, written.begin() + 258));
  CHECK(read(301, 400).empty());
  CHECK(read(7, 5).empty());
  REQUIRE(f.Write(Batch({StoreBatch::EraseLog{5, Seq(1), Seq(100)}, StoreBatch::EraseLog{5, Seq(9), Seq(7)}})));
  CHECK(read(0, ~0ull) == std::vector(written.begin() + 100, written.end()));
  REQUIRE(f.Write(Batch({StoreBatch::PutLog{5, WriteAt(301, random)}, StoreBatch::EraseLog{5, Seq(0), Seq(~0ull)}})));
  CHECK(read(0, ~0ull).empty());
}

TEMPLATE_TEST_CASE("store: meta lines are found, one per partition", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  Random random(5);
  std::map<PartitionId, PartitionMeta> metas;
  for (int i = 0; i < 50; ++i) {
    const auto partition = static_cast<PartitionId>(random.Below(30));
    metas[partition] = RandomMeta(random);
    REQUIRE(f.Write(Batch({StoreBatch::PutMeta{partition, metas[partition]}})));
  }
  std::map<PartitionId, PartitionMeta> found;
  CHECK(f.store.ReadMetas([&](PartitionId p, const PartitionMeta& m) { found[p] = m; }) == ReadOutcome::kFound);
  CHECK(found == metas);
}

TEMPLATE_TEST_CASE("store: of a partition's meta lines the last one stands, unless the partition goes behind it", "[store]", OfMemory, OfLevelDb) {
  TestType f;
  Random random(6);
  const PartitionMeta kept = RandomMeta(random), anew = RandomMeta(random);
  const std::vector<StoreBatch::Change> changes = {
      StoreBatch::PutMeta{1, RandomMeta(random)}, StoreBatch::PutMeta{2, RandomMeta(random)}, StoreBatch::PutMeta{3, RandomMeta(random)},
      StoreBatch::PutMeta{1, kept},               StoreBatch::ErasePartition{2},              StoreBatch::PutMeta{2, anew},
      StoreBatch::ErasePartition{3}};
  SECTION("in one batch") {
    REQUIRE(f.Write(Batch(changes)));
  }
  SECTION("in a batch each, as many of which are committed together as the first one's commit leaves time for") {
    for (const auto& change : changes) f.store.Write(Batch({change}), nullptr);
    REQUIRE(f.Write(Batch({})));
  }
  std::map<PartitionId, PartitionMeta> found;
  CHECK(f.store.ReadMetas([&](PartitionId p, const PartitionMeta& m) { found[p] = m; }) == ReadOutcome::kFound);
  CHECK(found == std::map<PartitionId, PartitionMeta>{{1, kept}, {2, anew}});
}

TEMPLATE_TEST_CASE("store: batches are done in the order of the calls, and visible then", "[store]", OfMemory,
                   OfLevelDb) {
  TestType f;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    const Payload value = MakeValue(std::to_string(i));
    f.store.Write(Batch({Put(1, ChunkAt('a'), value), Put(1, EntryAt('c', i), value)}), [&, i](bool ok) {
      CHECK(ok);
      RecordKey key;
      RecordHeader header;
      CHECK(f.store.LastEntry(1, ZoneOf('z'), BlockOf('c'), &key, &header) == ReadOutcome::kFound);
      CHECK(key.position >= static_cast<std::uint64_t>(i));
      order.push_back(i);
    });
  }
  REQUIRE(f.Write(Batch({Put(1, ChunkAt('b'), MakeValue("end"))})));
  REQUIRE(order.size() == 100);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(ReadString(f, 1, ChunkAt('a')) == "=99");
}

// Random batches against the memory store as the model.
TEST_CASE("store: LevelDB and memory agree on random batches", "[store]") {
  OfMemory model;
  OfLevelDb real;
  Random random(6);
  const auto some_key = [&]() -> RecordKey {
    const char id = static_cast<char>('a' + random.Below(4));
    return random.Chance(1, 2) ? ChunkAt(id) : EntryAt(id, random.Below(8));
  };
  for (int round = 0; round < 600; ++round) {
    StoreBatch batch;
    for (std::uint64_t i = random.Below(6) + 1; i > 0; --i) {
      const auto partition = static_cast<PartitionId>(random.Below(3));
      const RecordKey key = some_key();
      RecordHeader present;
      const bool known = model.store.Lookup(partition, key, &present) == ReadOutcome::kFound;
      switch (random.Below(12)) {
        case 0:
        case 1:
          if (known) {
            present.deleted = !present.deleted;
            batch.changes.push_back(StoreBatch::SetHeader{partition, key, present});
          }
          break;
        case 2:
          if (known) {
            present.value_gone = true;
            batch.changes.push_back(StoreBatch::DropValue{partition, key, present});
          }
          break;
        case 3:
          batch.changes.push_back(StoreBatch::EraseRecord{partition, key});
          break;
        case 4:
          batch.changes.push_back(StoreBatch::EraseRange{partition, EncodeKey(key), EncodeKey(some_key())});
          break;
        case 5:
          if (random.Chance(1, 8)) batch.changes.push_back(StoreBatch::ErasePartition{partition});
          break;
        default:
          batch.changes.push_back(
              Put(partition, key, MakeValue(RandomBytes(random, random.Below(128))), random.Below(99) + 1));
      }
    }
    // One change of a key per batch but for erasures: a header that does not belong to the value just put is no valid
    // input.
    std::map<std::pair<PartitionId, std::string>, int> touched;
    std::erase_if(batch.changes, [&](const StoreBatch::Change& c) {
      const auto twice = [&]<class C>(const C& change) {
        if constexpr (requires { change.key; }) return touched[{change.partition, EncodeKey(change.key)}]++ > 0;
        return false;
      };
      return std::visit(twice, c);
    });
    if (batch.empty()) continue;
    REQUIRE(model.Write(batch));
    REQUIRE(real.Write(batch));
    for (PartitionId partition = 0; partition < 3; ++partition) {
      const auto keys = ScanKeys(model, partition);
      REQUIRE(ScanKeys(real, partition) == keys);
      for (const auto& k : keys) {
        RecordHeader a, b;
        const RecordKey key = *DecodeKey(k);
        REQUIRE(ReadString(real, partition, key) == ReadString(model, partition, key));
        REQUIRE(model.store.Lookup(partition, key, &a) == ReadOutcome::kFound);
        REQUIRE(real.store.Lookup(partition, key, &b) == ReadOutcome::kFound);
        REQUIRE(SameHeader(a, b));
      }
    }
  }
}

}  // namespace
}  // namespace coffer::node
