// What the simulator's checkers rely on: a store in memory says of which records something may have changed.
#include "node/memory_store.h"
#include "tests/test_support.h"

namespace coffer::node {
namespace {

const RecordKey kChunk{ZoneId{}, RecordKind::kChunk, BlockId{}, 0};
const RecordKey kEntry{ZoneId{}, RecordKind::kEntry, BlockId{}, 7};

// Whether the numbers become others: of partition 1's chunks, of its entries, of partition 2's chunks.
struct Numbers {
  MemoryStore& store;
  std::vector<std::uint64_t> before = Now();

  std::vector<std::uint64_t> Now() const {
    return {store.Changes(1, RecordKind::kChunk), store.Changes(1, RecordKind::kEntry), store.Changes(2, RecordKind::kChunk)};
  }
  std::string Changed() {
    const auto now = Now();
    std::string out;
    for (std::size_t i = 0; i < now.size(); ++i) out += now[i] == before[i] ? '-' : 'x';
    before = now;
    return out;
  }
};

void Put(MemoryStore& store, StoreBatch::Change change) {
  StoreBatch batch;
  batch.changes.push_back(std::move(change));
  store.Write(std::move(batch), nullptr);
}

TEST_CASE("memory store: whatever changes what can be read gives its kind of records another number") {
  MemoryStore store;
  Put(store, StoreBatch::PutRecord{1, kChunk, {}, std::make_shared<const std::string>("x")});
  Put(store, StoreBatch::PutRecord{1, kEntry, {}, nullptr});
  Put(store, StoreBatch::PutRecord{2, kChunk, {}, nullptr});
  store.CompleteWrites();
  Numbers numbers{store};
  const auto after = [&](StoreBatch::Change change) {
    Put(store, std::move(change));
    CHECK(numbers.Changed() == "---");  // not before it is durable
    store.CompleteWrites();
    return numbers.Changed();
  };
  CHECK(after(StoreBatch::PutRecord{1, kChunk, {}, std::make_shared<const std::string>("y")}) == "x--");
  CHECK(after(StoreBatch::SetHeader{1, kEntry, {}}) == "-x-");
  CHECK(after(StoreBatch::PutMeta{1, {}}) == "---");
  CHECK(after(StoreBatch::EraseLog{1, Seq(1), Seq(9)}) == "---");
  REQUIRE(store.DamageRecord(1, kChunk, MemoryStore::Part::kValue));
  CHECK(numbers.Changed() == "x--");
  store.RestoreHeaders(1);
  CHECK(numbers.Changed() == "xx-");
  CHECK(after(StoreBatch::DropValue{1, kChunk, {}}) == "x--");
  CHECK(after(StoreBatch::EraseRecord{1, kEntry}) == "-x-");
  CHECK(after(StoreBatch::EraseRange{1, "", ""}) == "xx-");
  Put(store, StoreBatch::PutRecord{2, kChunk, {}, nullptr});
  store.Crash(1);
  CHECK(numbers.Changed() == "--x");
  store.SetReadErrors(true);
  CHECK(numbers.Changed() == "xxx");
  CHECK(after(StoreBatch::ErasePartition{2}) == "xxx");
  store.Wipe();
  CHECK(numbers.Changed() == "xxx");
  CHECK(after(StoreBatch::PutRecord{2, kChunk, {}, nullptr}) == "--x");
}

}  // namespace
}  // namespace coffer::node
