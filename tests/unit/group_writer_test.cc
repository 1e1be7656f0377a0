// Groups of values written past the page cache and through it, one behind the other: what is read is what was written.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "node/disk_env.h"
#include "node/group_writer.h"
#include "rounds.h"
#include "test_support.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

constexpr std::uint64_t kSize = 4 << 20;

// Counts what is written past the page cache, and refuses from a number on.
class Directness : public DiskFaults {
 public:
  // Of a file system that has no such writes, as an older tmpfs, nothing is asked.
  static bool Possible() {
    TemporaryFolder folder(TemporaryFolder::On::kDisk);
    const int fd = ::open((folder.path() + "/file").c_str(), O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }
  int BeforeDirect(const std::string&) override { return ++asked > allowed ? EINVAL : 0; }
  int asked = 0;
  int allowed = 1 << 20;
};

// A segment, and what it should hold.
class Written {
 public:
  explicit Written(std::uint64_t direct_bytes, int allowed = 1 << 20) : env_(&faults, nullptr), direct_bytes_(direct_bytes), writer_(direct_bytes) {
    faults.allowed = allowed;
    REQUIRE(SegmentFile::Create(&env_, path_, kSize, &file_).ok());
  }
  // A group of so many bytes, in pieces, then zeros up to the end of its block.
  void Append(Random& random, std::uint64_t bytes) {
    const std::string group = RandomBytes(random, bytes);
    const std::uint64_t end = expected_.size() + bytes;
    const std::string zeros((end + SegmentFile::kBlock - 1) / SegmentFile::kBlock * SegmentFile::kBlock - end, '\0');
    const std::uint64_t first = random.Below(bytes);
    const std::string_view all = group;
    REQUIRE(writer_.Write(file_, expected_.size(), {all.substr(0, first), all.substr(first), zeros}).ok());
    expected_ += group;
  }
  // As after a start: nothing is remembered of what was written.
  void StartAnew() {
    file_.reset();
    writer_ = GroupWriter(direct_bytes_);
    REQUIRE(SegmentFile::Open(&env_, path_, &file_).ok());
  }
  void RequireRight() const {
    std::string found(expected_.size(), '\0');
    REQUIRE(file_->Read(0, found.data(), found.size(), nullptr, 0).ok());
    REQUIRE(found == expected_);
    std::ifstream in(path_, std::ios::binary);
    const std::string whole{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(whole.size() == kSize);
    REQUIRE(whole.find_first_not_of('\0', expected_.size()) == std::string::npos);
  }

  Directness faults;

 private:
  TemporaryFolder folder_{TemporaryFolder::On::kDisk};
  const std::string path_ = folder_.path() + "/00000001.values";
  DiskEnv env_;
  const std::uint64_t direct_bytes_;
  GroupWriter writer_;
  std::shared_ptr<SegmentFile> file_;
  std::string expected_;
};

TEST_CASE("groups past the page cache and through it, wherever they begin, leave each other alone", "[value_log]") {
  Random random(21);
  for (int round = 0; round < Rounds(30); ++round) {
    Written w(5000);
    for (int i = 0; i < 12; ++i) {
      w.Append(random, 1 + random.Below(20'000));
      if (random.Chance(1, 3)) w.RequireRight();  // which has the page cache hold what was written
      if (random.Chance(1, 6)) w.StartAnew();
    }
    w.RequireRight();
    CHECK((w.faults.asked > 0) == Directness::Possible());
  }
}

TEST_CASE("a group larger than what is staged at a time is written whole", "[value_log]") {
  Random random(22);
  Written w(1);
  w.Append(random, 100);
  w.Append(random, (2 << 20) + 12'345);
  w.Append(random, (1 << 20) - 100);
  w.RequireRight();
  if (Directness::Possible()) CHECK(w.faults.asked == 6);  // a refused write would be one more in pieces through the cache
}

TEST_CASE("a file system that refuses, from the beginning or later, gets the rest through the page cache, and is not asked again", "[value_log]") {
  Random random(23);
  for (const int allowed : {0, 1, 3}) {
    Written w(1, allowed);
    for (int i = 0; i < 6; ++i) w.Append(random, 3000 + random.Below(5000));
    w.RequireRight();
    if (Directness::Possible()) CHECK(w.faults.asked == allowed + 1);
  }
}

}  // namespace
}  // namespace coffer::node
