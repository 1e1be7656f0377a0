// What a simulated disk gives back after a loss of power.
#include "sim/power_loss.h"

#include <algorithm>
#include <string>

#include "cluster/planted_bug.h"
#include "sim/batch_journal.h"
#include "sim/planted_bugs.h"
#include "tests/test_support.h"

namespace coffer::sim {
namespace {

using node::RecordHeader;
using node::RecordKey;
using node::StoreBatch;

const ZoneId kZone = ZoneId::Must(std::string(16, 'z'));

RecordKey KeyOf(char letter) { return {kZone, node::RecordKind::kChunk, BlockId::Must(std::string(32, letter)), 0}; }

StoreBatch PutOf(char letter, std::size_t bytes) {
  RecordHeader header;
  header.size = bytes;
  StoreBatch batch;
  batch.changes.push_back(StoreBatch::PutRecord{3, KeyOf(letter), header, std::make_shared<const std::string>(bytes, letter)});
  return batch;
}

char LetterOf(const StoreBatch& batch) {
  return std::get<StoreBatch::PutRecord>(batch.changes.at(0)).value->at(0);
}

TEST_CASE("a power loss: sectors that were not synced are there or not, in no order, and torn") {
  Random random(1);
  const std::string before(20 * kSector, 'o');
  const std::string written(20 * kSector, 'n');
  bool behind = false, lost = false, torn = false;
  for (int run = 0; run < 20; ++run) {
    const std::size_t hole = random.Below(5 * kSector);
    const std::string disk = AfterPowerLoss(before, written, hole, &random);
    REQUIRE(disk.size() == before.size());
    REQUIRE(disk.substr(0, hole) == written.substr(0, hole));
    const std::size_t end = (hole / kSector + 1) * kSector;
    REQUIRE(disk.substr(hole, end - hole) == before.substr(hole, end - hole));
    for (std::size_t sector = end; sector < disk.size(); sector += kSector) {
      const auto there = static_cast<std::size_t>(std::count(disk.begin() + static_cast<long>(sector), disk.begin() + static_cast<long>(sector + kSector), 'n'));
      REQUIRE(disk.substr(sector, there) == std::string(there, 'n'));  // the front of it
      behind |= there == kSector;
      lost |= there == 0;
      torn |= there > 0 && there < kSector;
    }
  }
  CHECK(behind);
  CHECK(lost);
  CHECK(torn);
  CHECK(AfterPowerLoss(before, written, written.size(), &random) == written);
  CHECK(AfterPowerLoss("", "abc", 1, &random) == std::string("a\0\0", 3));  // where nothing was
  CHECK(AfterPowerLoss("longer", "new", 3, &random) == "newger");
}

TEST_CASE("every change of a batch is read from its bytes again") {
  StoreBatch batch = PutOf('a', 700);
  RecordHeader header;
  header.stamp = {Term(4), Boot(5), Seq(6)};
  header.deleted = header.value_gone = true;
  batch.changes.push_back(StoreBatch::PutRecord{3, KeyOf('b'), header, nullptr});
  batch.changes.push_back(StoreBatch::SetHeader{3, KeyOf('c'), header});
  batch.changes.push_back(StoreBatch::DropValue{3, KeyOf('d'), header});
  batch.changes.push_back(StoreBatch::EraseRecord{3, {kZone, node::RecordKind::kEntry, BlockId::Must(std::string(32, 'e')), 9}});
  batch.changes.push_back(StoreBatch::EraseRange{3, "from", ""});
  node::LogRecord record;
  record.mutable_stamp()->set_seq(77);
  batch.changes.push_back(StoreBatch::PutLog{3, record});
  batch.changes.push_back(StoreBatch::EraseLog{3, Seq(1), Seq(76)});
  node::PartitionMeta meta;
  meta.last = header.stamp;
  meta.lacks_to = Seq(5);
  batch.changes.push_back(StoreBatch::PutMeta{3, meta});
  batch.changes.push_back(StoreBatch::ErasePartition{3});
  const std::string bytes = EncodeBatch(8, batch);
  const auto found = ReadJournal(bytes, 8);
  REQUIRE(found.size() == 1);
  REQUIRE(found[0].changes.size() == batch.changes.size());
  for (std::size_t i = 0; i < batch.changes.size(); ++i) CHECK(found[0].changes[i].index() == i - (i > 0));
  CHECK(EncodeBatch(8, found[0]) == bytes);
  CHECK(std::get<StoreBatch::PutMeta>(found[0].changes[8]).meta == meta);
  CHECK(std::get<StoreBatch::EraseRecord>(found[0].changes[4]).key.position == 9);
  CHECK(ReadJournal(bytes, 7).empty());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    REQUIRE(ReadJournal(damaged, 8).empty());
  }
}

TEST_CASE("a batch that is torn did not happen, nor what lies behind it, nor what an earlier use of the file left") {
  std::string written, before;
  std::vector<std::size_t> ends;
  for (std::uint64_t k = 0; k < 6; ++k) {
    written += EncodeBatch(100 + k, PutOf(static_cast<char>('a' + k), 300 + 200 * k));
    before += EncodeBatch(1 + k, PutOf('o', 300 + 200 * k));
    ends.push_back(written.size());
  }
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const std::size_t whole = random.Below(6);
    const std::size_t from = whole == 0 ? 0 : ends[whole - 1];
    const std::size_t hole = HoleWithin(before, written, from, ends[whole], &random);
    REQUIRE(hole >= from);
    REQUIRE(hole < ends[whole]);
    const std::string disk = AfterPowerLoss(before, written, hole, &random);
    const auto found = ReadJournal(disk, 100);
    REQUIRE(found.size() == whole);
    for (std::size_t k = 0; k < whole; ++k) CHECK(LetterOf(found[k]) == static_cast<char>('a' + k));
  }
  CHECK(ReadJournal(written, 100).size() == 6);
}

TEST_CASE("the planted bug reads on behind a batch that was torn") {
  REQUIRE(PlantBug("torn-batch-skipped"));
  std::string written;
  for (std::uint64_t k = 0; k < 3; ++k) written += EncodeBatch(100 + k, PutOf(static_cast<char>('a' + k), 10));
  written[written.size() / 2] ^= 1;
  const auto found = ReadJournal(written, 100);
  planted_bug = Bug::kNone;
  REQUIRE(found.size() == 2);
  CHECK(LetterOf(found[1]) == 'c');
  CHECK(ReadJournal(written, 100).size() == 1);
}

}  // namespace
}  // namespace coffer::sim
