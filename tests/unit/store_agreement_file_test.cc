// Votes survive torn writes, bit flips and lost files, or the identity is retired: a vote is never forgotten in
// silence.
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cluster/checksum.h"
#include "node/agreement_file.h"
#include "node/disk_env.h"
#include "test_support.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

using Outcome = AgreementFile::Outcome;
const NodeId kOwner = NodeId::Must("0123456789abcdef");

NodeDurable RandomState(Random& random, std::size_t layout_bytes = 300) {
  NodeDurable state;
  Boot boot(random.Below(1000));
  for (std::uint64_t i = random.Below(4); i > 0; --i) {
    boot = boot.Next();
    state.lineage.push_back({boot, RandomId<cluster::BootNonce>(random), RandomNumber(random)});
  }
  for (std::uint64_t i = random.Below(4); i > 0; --i) {
    state.remembered[RandomId<NodeId>(random)] = {Boot(RandomNumber(random)), RandomId<cluster::BootNonce>(random), RandomNumber(random)};
  }
  state.agreement.layout = RandomBytes(random, random.Below(layout_bytes));
  state.agreement.promised = {RandomNumber(random), RandomId<NodeId>(random)};
  state.agreement.accepted_ballot = {RandomNumber(random), RandomId<NodeId>(random)};
  state.agreement.accepted_layout = RandomBytes(random, random.Below(layout_bytes));
  state.agreement.ballot_counter = RandomNumber(random);
  for (std::uint64_t i = random.Below(4); i > 0; --i) {
    state.adds.push_back({static_cast<PartitionId>(random.Below(cluster::kMaxPartitions)), Term(RandomNumber(random)),
                          RandomId<NodeId>(random)});
  }
  return state;
}

std::string FileBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void SetFileBytes(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

struct Files {
  TemporaryFolder folder;
  std::string a = folder.path() + "/agreement-a";
  std::string b = folder.path() + "/agreement-b";
  AgreementFile::Opened Open() { return AgreementFile::Open(folder.path(), kOwner); }
  void Create(const NodeDurable& state) {
    REQUIRE(AgreementFile::Create(folder.path(), kOwner, state).outcome == Outcome::kLoaded);
  }
};

TEST_CASE("agreement file: what was saved is loaded", "[agreement_file]") {
  Files files;
  CHECK(files.Open().outcome == Outcome::kAbsent);
  Random random(1);
  NodeDurable state = RandomState(random);
  files.Create(state);
  for (int i = 0; i < 10; ++i) {
    auto opened = files.Open();
    REQUIRE(opened.outcome == Outcome::kLoaded);
    CHECK(opened.message.empty());
    REQUIRE(opened.state == state);
    for (int j = 0; j < 3; ++j) {
      state = RandomState(random);
      REQUIRE(opened.file->Save(state).ok);
    }
  }
}

TEST_CASE("agreement file: a layout larger than what was preallocated is kept", "[agreement_file]") {
  Files files;
  Random random(2);
  files.Create(RandomState(random));
  NodeDurable large = RandomState(random);
  large.agreement.layout = RandomBytes(random, 3u << 20);
  REQUIRE(files.Open().file->Save(large).ok);
  CHECK(files.Open().state == large);
  const NodeDurable small = RandomState(random);
  REQUIRE(files.Open().file->Save(small).ok);
  CHECK(files.Open().state == small);
}

TEST_CASE("agreement file: every changed bit and every cut is noticed", "[agreement_file]") {
  Random random(3);
  const NodeDurable state = RandomState(random, 60);
  const std::string bytes = EncodeAgreementSlot({9, kOwner, state});
  REQUIRE(DecodeAgreementSlot(bytes)->state == state);
  CHECK(DecodeAgreementSlot(bytes + "zeros behind it")->sequence == 9);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    REQUIRE_FALSE(DecodeAgreementSlot(changed));
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) REQUIRE_FALSE(DecodeAgreementSlot(bytes.substr(0, size)));
}

TEST_CASE("agreement file: a bit flip anywhere in one file is repaired from the other", "[agreement_file]") {
  Files files;
  Random random(4);
  const NodeDurable state = RandomState(random, 40);
  files.Create(state);
  const std::string good = FileBytes(files.a);
  REQUIRE(good == FileBytes(files.b));
  const std::size_t used = EncodeAgreementSlot({1, kOwner, state}).size();
  for (std::size_t at = 0; at < used; at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << random.Below(8)));
    SetFileBytes(at % 2 ? files.a : files.b, bad);
    auto opened = files.Open();
    REQUIRE(opened.outcome == Outcome::kLoaded);
    REQUIRE(opened.state == state);
    REQUIRE(opened.message.find("repaired") != std::string::npos);
    REQUIRE(DecodeAgreementSlot(FileBytes(files.a))->state == state);
    REQUIRE(DecodeAgreementSlot(FileBytes(files.b))->state == state);
    SetFileBytes(files.a, good);
    SetFileBytes(files.b, good);
  }
}

TEST_CASE("agreement file: a save cut at any byte leaves the old or the new state", "[agreement_file]") {
  Files files;
  Random random(5);
  const NodeDurable old_state = RandomState(random, 40);
  NodeDurable new_state = RandomState(random, 40);
  files.Create(old_state);
  const std::string before = FileBytes(files.a);
  {
    auto opened = files.Open();
    REQUIRE(opened.file->Save(new_state).ok);
  }
  const std::string after = FileBytes(files.a);
  REQUIRE(after.size() == before.size());
  std::size_t end = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (after[i] != before[i]) end = i + 1;
  }
  const auto torn = [&](std::size_t at) { return after.substr(0, at) + before.substr(at); };
  for (std::size_t at = 0; at <= end; at += 5) {
    // The first file is being written, the second is as of the last acknowledged save.
    SetFileBytes(files.a, torn(at));
    SetFileBytes(files.b, before);
    auto opened = files.Open();
    REQUIRE(opened.outcome == Outcome::kLoaded);
    REQUIRE((opened.state == old_state || (at == end && opened.state == new_state)));
    opened.file.reset();
    // The first is complete, the second is being written.
    SetFileBytes(files.a, after);
    SetFileBytes(files.b, torn(at));
    REQUIRE(files.Open().state == new_state);
  }
}

TEST_CASE("agreement file: sectors written in any order leave the old or the new state", "[agreement_file]") {
  Files files;
  Random random(6);
  NodeDurable old_state = RandomState(random);
  NodeDurable new_state = RandomState(random);
  old_state.agreement.layout = RandomBytes(random, 5000);
  new_state.agreement.layout = RandomBytes(random, 5000);
  files.Create(old_state);
  const std::string before = FileBytes(files.a);
  REQUIRE(files.Open().file->Save(new_state).ok);
  const std::string after = FileBytes(files.a);
  for (int i = 0; i < 100; ++i) {
    std::string mixed = before;
    for (std::size_t sector = 0; sector * 512 < 8192; ++sector) {
      if (random.Chance(1, 2)) mixed.replace(sector * 512, 512, after, sector * 512, 512);
    }
    SetFileBytes(files.a, mixed);
    SetFileBytes(files.b, before);
    const auto opened = files.Open();
    REQUIRE(opened.outcome == Outcome::kLoaded);
    REQUIRE((opened.state == old_state || opened.state == new_state));
  }
}

TEST_CASE("agreement file: both files bad means the votes are lost, and is said", "[agreement_file]") {
  Files files;
  Random random(7);
  files.Create(RandomState(random));
  std::string bad = FileBytes(files.a);
  bad[30] ^= 1;
  SetFileBytes(files.a, bad);
  SECTION("both flipped") {
    SetFileBytes(files.b, bad);
    CHECK(files.Open().outcome == Outcome::kDamaged);
  }
  SECTION("one flipped, one gone") {
    std::filesystem::remove(files.b);
    CHECK(files.Open().outcome == Outcome::kDamaged);
  }
  SECTION("one flipped, one empty") {
    SetFileBytes(files.b, "");
    CHECK(files.Open().outcome == Outcome::kDamaged);
  }
}

TEST_CASE("agreement file: a file that is gone or empty is repaired from the other", "[agreement_file]") {
  Files files;
  Random random(8);
  const NodeDurable state = RandomState(random);
  files.Create(state);
  SECTION("gone") {
    std::filesystem::remove(files.a);
  }
  SECTION("empty") {
    SetFileBytes(files.b, "");
  }
  CHECK(files.Open().state == state);
  CHECK(files.Open().message.empty());
}

TEST_CASE("agreement file: another node's votes and a newer version's are not taken for ours", "[agreement_file]") {
  Files files;
  Random random(9);
  files.Create(RandomState(random));
  CHECK(AgreementFile::Open(files.folder.path(), NodeId::Must("another node's  ")).outcome == Outcome::kForeign);
  std::string newer = FileBytes(files.a);
  newer[8] = 3;
  SetFileBytes(files.a, newer);
  SetFileBytes(files.b, newer);
  CHECK(files.Open().outcome == Outcome::kNewer);
}

TEST_CASE("agreement file: what an earlier version wrote is read", "[agreement_file]") {
  // Format 1: a boot counter alone, and nothing remembered.
  std::string body;
  for (int i = 0; i < 7; ++i) body.push_back(0);
  body += std::string("\x05", 1) + kOwner.str() + std::string("\x09", 1);
  body += std::string("\x06", 1) + "layout";
  body += std::string(17, '\0') + std::string(17, '\0') + std::string(3, '\0');
  std::string slot = "CFRVOTES" + std::string("\x01", 1) + std::string(7, '\0') + std::string(1, static_cast<char>(body.size()));
  const std::uint32_t checksum = Crc32c({slot, body});
  for (int shift = 24; shift >= 0; shift -= 8) slot.push_back(static_cast<char>(checksum >> shift & 0xff));
  const auto read = DecodeAgreementSlot(slot + body);
  REQUIRE(read);
  CHECK(read->sequence == 5);
  CHECK(read->state.boot() == Boot(9));
  CHECK(read->state.lineage.size() == 1);
  CHECK(read->state.agreement.layout == "layout");
  CHECK(read->state.remembered.empty());
}

// Fails one chosen operation.
struct FailAt : DiskFaults {
  int syncs_left = -1;
  int error = EIO;
  int BeforeSync(const std::string&) override { return syncs_left-- == 0 ? error : 0; }
};

TEST_CASE("agreement file: after a failed sync nothing is ever saved again", "[agreement_file]") {
  Files files;
  Random random(10);
  files.Create(RandomState(random));
  for (const int at : {0, 1}) {
    FailAt faults;
    auto opened = AgreementFile::Open(files.folder.path(), kOwner, &faults);
    REQUIRE(opened.outcome == Outcome::kLoaded);
    faults.syncs_left = at;
    const auto failed = opened.file->Save(RandomState(random));
    CHECK_FALSE(failed.ok);
    CHECK(failed.trust_lost);
    CHECK_FALSE(opened.file->Save(RandomState(random)).ok);  // though this sync would succeed
  }
}

}  // namespace
}  // namespace coffer::node
