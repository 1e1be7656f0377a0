// The store on LevelDB over damaged files: no wrong byte is read, nothing is missed in silence, and damage is explained.
#include <leveldb/db.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "node/leveldb_store.h"
#include "node/log_tail.h"
#include "node/store_format.h"
#include "node/synced_mark.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_leveldb_fixture.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

namespace fs = std::filesystem;

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
                          [&](ReadOutcome o, const RecordKey& key, const RecordHeader&, const EntryValue& v) {
                            REQUIRE(key.position == expected);  // nothing is left out in silence
                            expected += backwards ? ~0ull : 1;
                            if (o == ReadOutcome::kFound) REQUIRE(v.bytes() == *ValueOf(key.position));
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

// A log of 100 small records and a large one of several fragments, as LevelDB left it.
struct SampleLog {
  std::string bytes;
  std::uint64_t small;  // where the last small record begins
  std::uint64_t large;  // and the large one
};
SampleLog MakeLog(const std::string& folder) {
  {
    auto options = SmallOptions(folder);
    options.write_buffer_bytes = 4 << 20;
    options.inline_value_bytes = 1 << 20;
    const auto store = MustOpen(options);
    for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
    const Payload large = MakeValue(std::string(100'000, 'x'));
    REQUIRE(WriteAndWait(*store, {{StoreBatch::PutRecord{1, ChunkAt('l'), HeaderFor(large), large}}}));
  }
  SampleLog log{LogOf(folder), 0, 0};
  log.large = JudgeLog(std::string_view(log.bytes).substr(0, log.bytes.size() - 1)).end;
  log.small = JudgeLog(std::string_view(log.bytes).substr(0, log.large - 1)).end;
  return log;
}

TEST_CASE("leveldb store: torn ends and changed ones are told apart", "[leveldb]") {
  TemporaryFolder parent;
  const SampleLog sample = MakeLog(parent.path() + "/store");
  const std::uint64_t last = sample.large, small = sample.small;
  REQUIRE(JudgeLog(sample.bytes).state == LogTail::State::kWhole);
  REQUIRE(JudgeLog(sample.bytes).end == sample.bytes.size());
  REQUIRE(sample.bytes.size() - last > 100'000);
  REQUIRE(small < last);
  // With and without room behind the last record.
  for (const std::size_t room : {0, 1, 6, 7, 300, 512, 70'000}) {
    INFO("room " << room);
    const std::string zeros(room, '\0');
    const std::string log = sample.bytes + zeros;
    CHECK(JudgeLog(log).state == LogTail::State::kWhole);
    CHECK(JudgeLog(log).end == sample.bytes.size());
    // A last record in one fragment, whose header is changed: it must not pass for one that the end of the file cut
    // short, or for one that reaches into the room.
    for (std::size_t bit = 0; bit < 7 * 8; ++bit) {
      std::string bad = sample.bytes.substr(0, last) + zeros;
      bad[small + bit / 8] = static_cast<char>(bad[small + bit / 8] ^ (1 << bit % 8));
      INFO("bit " << bit << " of the header");
      REQUIRE(JudgeLog(bad).state == LogTail::State::kDamaged);
    }
    Random random(6);
    for (int i = 0; i < 300; ++i) {
      std::string bad = log;
      const std::uint64_t sector = (last / 512 + 1 + random.Below((sample.bytes.size() - last) / 512 - 1)) * 512;
      bad.replace(sector, 512, std::string(512, '\0'));
      REQUIRE(JudgeLog(bad).state == LogTail::State::kTorn);
      REQUIRE(JudgeLog(bad).end == last);
      bad = log;
      bad[last + random.Below(sample.bytes.size() - last)] ^= static_cast<char>(1 << random.Below(8));
      REQUIRE(JudgeLog(bad).state == LogTail::State::kDamaged);
      // The same zeros in a record that others follow, one of them in a later block.
      bad = log;
      bad.replace(random.Below(last / 32768 * 32768 / 512) * 512, 512, std::string(512, '\0'));
      REQUIRE(JudgeLog(bad).state == LogTail::State::kDamaged);
      // A file may end anywhere.
      REQUIRE(JudgeLog(std::string_view(log).substr(0, random.Below(log.size()))).state == LogTail::State::kWhole);
    }
  }
}

TEST_CASE("leveldb store: a sector that is missing before the last record is damage, in the last block as in others", "[leveldb]") {
  TemporaryFolder parent;
  const SampleLog sample = MakeLog(parent.path() + "/store");
  // The block of small records in which the last of them ends, and room.
  const std::string log = sample.bytes.substr(0, sample.large) + std::string(40'000, '\0');
  REQUIRE(JudgeLog(log).end == sample.large);
  for (std::uint64_t at = 0; at + 512 <= sample.small; at += 512) {
    INFO("sector " << at / 512);
    std::string bad = log;
    bad.replace(at, 512, std::string(512, '\0'));
    REQUIRE(JudgeLog(bad).state == LogTail::State::kDamaged);
  }
}

TEST_CASE("leveldb store: a torn record whose value looks like a log is torn still", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  const SampleLog sample = MakeLog(folder);
  std::string value = sample.bytes.substr(0, 3'000);  // records, from the beginning of a log
  {
    auto options = SmallOptions(parent.path() + "/other");
    options.inline_value_bytes = 4 << 10;
    const auto store = MustOpen(options);
    REQUIRE(WriteAndWait(*store, BatchOf(0)));
    const Payload held = MakeValue(value);
    REQUIRE(WriteAndWait(*store, {{StoreBatch::PutRecord{1, ChunkAt('l'), HeaderFor(held), held}}}));
  }
  const std::string log = LogOf(parent.path() + "/other");
  const std::uint64_t last = JudgeLog(std::string_view(log).substr(0, log.size() - 1)).end;
  REQUIRE(log.size() - last > 3'000);
  for (std::uint64_t sector = last / 512 + 1; (sector + 1) * 512 <= log.size(); ++sector) {
    INFO("sector " << sector);
    std::string torn = log + std::string(4'000, '\0');
    torn.replace(sector * 512, 512, std::string(512, '\0'));
    REQUIRE(JudgeLog(torn).state == LogTail::State::kTorn);
    REQUIRE(JudgeLog(torn).end == last);
  }
}

TEST_CASE("leveldb store: an older log can't be torn", "[leveldb]") {
  TemporaryFolder parent;
  const std::string folder = parent.path() + "/store";
  const SampleLog sample = MakeLog(folder);
  const std::string torn = sample.bytes.substr(0, sample.large + 10'000) + std::string(sample.bytes.size() - sample.large, '\0');
  REQUIRE(JudgeLog(torn).state == LogTail::State::kTorn);
  std::ofstream(FilesLike(folder, ".log").at(0), std::ios::binary) << torn;
  fs::remove(SyncedMarkPath(folder));  // it knows better
  const bool older = GENERATE(false, true);
  if (older) std::ofstream(folder + "/999999.log", std::ios::binary) << sample.bytes.substr(0, sample.small);
  const CheckedTails tails = CheckTails(folder);
  CHECK(tails.damaged.empty() != older);
  CHECK(tails.cut.empty() == older);
}

TEST_CASE("leveldb store: what was written into room up to any sector is cut off, not taken for damage", "[leveldb]") {
  TemporaryFolder parent;
  const SampleLog sample = MakeLog(parent.path() + "/store");
  const std::string room(40'000, '\0');
  // A process that was killed leaves the beginning of a record, and zeros behind it.
  for (std::uint64_t end = sample.large / 512 * 512 + 512; end + 64 <= sample.bytes.size(); end += 512) {
    INFO("up to " << end - sample.large << " of " << sample.bytes.size() - sample.large);
    const LogTail tail = JudgeLog(sample.bytes.substr(0, end) + std::string(sample.bytes.size() - end, '\0') + room);
    REQUIRE(tail.state == LogTail::State::kTorn);
    REQUIRE(tail.end == sample.large);
  }
  // Between two fragments nothing says that more is to come but the first one.
  const std::uint64_t block = (sample.large / 32768 + 1) * 32768;
  const LogTail between = JudgeLog(sample.bytes.substr(0, block) + room);
  CHECK(between.state == LogTail::State::kTorn);
  CHECK(between.end == sample.large);
}

}  // namespace
}  // namespace coffer::node
