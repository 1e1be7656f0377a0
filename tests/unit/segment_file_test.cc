// What a read of a segment has the disk fetch: what was asked for, and what was said to be asked for soon.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "node/disk_env.h"
#include "node/segment_file.h"
#include "test_support.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

constexpr std::uint64_t kSize = 4 << 20;
constexpr std::uint64_t kRead = 16 << 10;

// A segment on the disk of which the page cache has nothing.
class Cold {
 public:
  Cold() {
    REQUIRE(SegmentFile::Create(&env_, path_, kSize, &file).ok());
    const std::string bytes(kSize, 'b');
    REQUIRE(file->Write(0, {bytes}).ok());
    REQUIRE(file->Sync().ok());
    file.reset();
    fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd_ >= 0);
    pages_ = ::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd_, 0);
    REQUIRE(pages_ != MAP_FAILED);
    REQUIRE(::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED) == 0);
    REQUIRE(SegmentFile::Open(&env_, path_, &file).ok());
  }
  ~Cold() {
    ::munmap(pages_, kSize);
    ::close(fd_);
  }
  Cold(const Cold&) = delete;
  Cold& operator=(const Cold&) = delete;
  void Read(std::uint64_t offset) const {
    std::string bytes(kRead, '\0');
    REQUIRE(file->Read(offset, bytes.data(), bytes.size(), nullptr, 0).ok());
    REQUIRE(bytes == std::string(kRead, 'b'));
  }
  // In the page cache.
  std::uint64_t Fetched() const {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> there(kSize / page);
    REQUIRE(::mincore(pages_, kSize, there.data()) == 0);
    return page * static_cast<std::uint64_t>(std::count_if(there.begin(), there.end(), [](unsigned char c) { return c & 1; }));
  }

 private:
  TemporaryFolder folder_{TemporaryFolder::On::kDisk};
  const std::string path_ = folder_.path() + "/00000001.values";
  DiskEnv env_{nullptr, nullptr};
  int fd_ = -1;
  void* pages_ = nullptr;

 public:
  std::shared_ptr<SegmentFile> file;
};

TEST_CASE("values that lie beside each other are fetched from the disk one by one", "[value_log]") {
  const Cold cold;
  if (cold.Fetched() > 0) return;  // a folder in memory
  for (std::uint64_t i = 0; i < 8; ++i) cold.Read((1 << 20) + i * kRead);
  CHECK(cold.Fetched() == 8 * kRead);
}

TEST_CASE("what is expected is fetched before it is read", "[value_log]") {
  const Cold cold;
  if (cold.Fetched() > 0) return;
  cold.file->Expect(1 << 20, 1 << 20);
  for (int i = 0; i < 500 && cold.Fetched() < 1 << 20; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(cold.Fetched() == 1 << 20);
}

}  // namespace
}  // namespace coffer::node
