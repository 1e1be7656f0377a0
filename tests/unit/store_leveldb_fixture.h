// The writes of the tests of the store on LevelDB, and what must be found of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "node/leveldb_store.h"
#include "test_support.h"
#include "unit/store_samples.h"

namespace coffer::node {

inline Payload ValueOf(std::uint64_t i) {
  Random random(i);
  return MakeValue(std::to_string(i) + ":" + RandomBytes(random, i % 3 == 0 ? 700 : 100));
}

// The i-th write of the tests: an entry with a known value, its log line, the meta line.
inline StoreBatch BatchOf(std::uint64_t i) {
  Random random(i);
  const Payload value = ValueOf(i);
  PartitionMeta meta;
  meta.last.seq = Seq(i + 1);
  return {{StoreBatch::PutRecord{1, EntryAt('c', i), HeaderFor(value, i + 1), value},
           StoreBatch::PutLog{1, WriteAt(i + 1, random)}, StoreBatch::PutMeta{1, meta}}};
}

// How many of the writes are there; checks that they are the first ones, whole, and with the right bytes.
inline std::uint64_t CountWhole(const LevelDbStore& store) {
  std::uint64_t next = 0;
  const auto outcome =
      store.ReadEntries(1, ZoneOf('z'), BlockOf('c'), 0, ~0ull, false,
                        [&](ReadOutcome o, const RecordKey& key, const RecordHeader& header, const EntryValue& value) {
                          REQUIRE(o == ReadOutcome::kFound);
                          REQUIRE(key.position == next);
                          REQUIRE(value.bytes() == *ValueOf(next));
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

}  // namespace coffer::node
