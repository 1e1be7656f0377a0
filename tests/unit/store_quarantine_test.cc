// Writes that were cut off are kept, and found again around damage.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "node/disk_env.h"
#include "node/quarantine.h"
#include "test_support.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

QuarantineRecord RandomRecord(Random& random, std::uint64_t seq) {
  QuarantineRecord record;
  record.partition = static_cast<PartitionId>(random.Below(5040));
  record.recorded_ms = 1'700'000'000'000 + seq;
  record.write = WriteAt(seq, random);
  for (std::uint64_t i = random.Below(3); i > 0; --i) {
    record.bodies.push_back(random.Chance(1, 4) ? nullptr : MakeValue(RandomBytes(random, random.Below(300))));
  }
  return record;
}

std::vector<std::uint64_t> SeqsIn(const std::string& path, QuarantineSummary* summary) {
  std::vector<std::uint64_t> seqs;
  *summary = ReadQuarantine(path, [&](const QuarantineRecord& r) {
    seqs.push_back(r.write.stamp().seq());
    return true;
  });
  return seqs;
}

TEST_CASE("quarantine: records come back as they went, over several runs", "[quarantine]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/quarantine";
  Random random(1);
  std::vector<QuarantineRecord> written;
  for (int run = 0; run < 3; ++run) {
    QuarantineFile file(path);
    std::vector<QuarantineRecord> some;
    for (int i = 0; i < 4; ++i) some.push_back(RandomRecord(random, written.size() + some.size()));
    REQUIRE(file.Append(some).empty());
    written.insert(written.end(), some.begin(), some.end());
  }
  std::size_t at = 0;
  const auto summary = ReadQuarantine(path, [&](const QuarantineRecord& r) {
    CHECK(EncodeQuarantineRecord(r) == EncodeQuarantineRecord(written[at]));
    CHECK(r.partition == written[at].partition);
    CHECK(r.recorded_ms == written[at].recorded_ms);
    CHECK(r.write.SerializeAsString() == written[at].write.SerializeAsString());
    REQUIRE(r.bodies.size() == written[at].bodies.size());
    for (std::size_t i = 0; i < r.bodies.size(); ++i) {
      CHECK(bool(r.bodies[i]) == bool(written[at].bodies[i]));
      if (r.bodies[i]) CHECK(*r.bodies[i] == *written[at].bodies[i]);
    }
    ++at;
    return true;
  });
  CHECK(at == 12);
  CHECK(summary.records == 12);
  CHECK(summary.damaged_bytes == 0);
  CHECK(summary.error.empty());
}

TEST_CASE("quarantine: no file is an empty quarantine", "[quarantine]") {
  TemporaryFolder folder;
  const auto summary = ReadQuarantine(folder.path() + "/none", [](const QuarantineRecord&) { return true; });
  CHECK(summary.records == 0);
  CHECK(summary.error.empty());
}

TEST_CASE("quarantine: damage costs the record it hits and no other", "[quarantine]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/quarantine";
  Random random(2);
  std::vector<std::size_t> ends = {0};
  {
    QuarantineFile file(path);
    for (std::uint64_t i = 0; i < 5; ++i) {
      const auto record = RandomRecord(random, i);
      REQUIRE(file.Append({record}).empty());
      ends.push_back(ends.back() + EncodeQuarantineRecord(record).size());
    }
  }
  std::ostringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  const std::string good = all.str();
  REQUIRE(good.size() == ends.back());
  for (std::size_t at = ends[2]; at < ends[3]; at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 16);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
    QuarantineSummary summary;
    REQUIRE(SeqsIn(path, &summary) == std::vector<std::uint64_t>{0, 1, 3, 4});
    REQUIRE(summary.damaged_bytes == ends[3] - ends[2]);
  }
  // A torn tail, and what is appended behind it.
  std::ofstream(path, std::ios::binary | std::ios::trunc) << good.substr(0, ends[5] - 3);
  QuarantineFile file(path);
  REQUIRE(file.Append({RandomRecord(random, 9)}).empty());
  QuarantineSummary summary;
  CHECK(SeqsIn(path, &summary) == std::vector<std::uint64_t>{0, 1, 2, 3, 9});
}

TEST_CASE("quarantine: a full file is kept as the old one", "[quarantine]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/quarantine";
  Random random(3);
  QuarantineFile file(path, 1000);
  for (std::uint64_t i = 0; i < 40; ++i) REQUIRE(file.Append({RandomRecord(random, i)}).empty());
  CHECK(std::filesystem::file_size(path) < 3000);
  CHECK(std::filesystem::file_size(path + ".old") > 1000);
  QuarantineSummary summary;
  CHECK(SeqsIn(path, &summary).back() == 39);
}

TEST_CASE("quarantine: a failed sync is reported, and the next append tries again", "[quarantine]") {
  struct FailOnce : DiskFaults {
    int failures = 0;
    int BeforeSync(const std::string&) override { return failures-- > 0 ? EIO : 0; }
  } faults;
  TemporaryFolder folder;
  const std::string path = folder.path() + "/quarantine";
  Random random(4);
  QuarantineFile file(path, 1 << 20, &faults);
  REQUIRE(file.Append({RandomRecord(random, 1)}).empty());
  faults.failures = 1;
  CHECK(file.Append({RandomRecord(random, 2)}).find("Input/output error") != std::string::npos);
  CHECK(file.Append({RandomRecord(random, 3)}).empty());
  QuarantineSummary summary;
  const auto seqs = SeqsIn(path, &summary);
  CHECK(seqs.front() == 1);
  CHECK(seqs.back() == 3);
}

}  // namespace
}  // namespace coffer::node
