// The threads and the file under the cache's disk.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include "proto/mutex.h"
#include "router/disk_files.h"
#include "tests/test_support.h"
#include "unit/temporary_folder.h"

using namespace coffer;
using namespace coffer::router;

namespace {

constexpr std::uint32_t kSegment = 4u << 20;

ChunkKey Key(int n) {
  ChunkKey key;
  key.block.bytes[0] = static_cast<std::uint8_t>(n);
  return key;
}
Payload Value(std::size_t size, char c) { return std::make_shared<const std::string>(size, c); }
DiskPlace Place(std::uint32_t segment, std::uint32_t offset, std::size_t chunk, std::uint32_t use = 0) {
  return {segment, use, offset, static_cast<std::uint32_t>(chunk + kDiskRecordHead)};
}

// What came back, and a way to wait for it.
class Ends {
 public:
  DiskFiles::Options Options(const std::string& folder) {
    DiskFiles::Options options;
    options.folder = folder;
    options.segment_bytes = kSegment;
    options.on_written = [this](std::vector<DiskWritten> writes) {
      MutexLock lock(mutex_);
      for (const auto& write : writes) written_[write.hash] = write;
      changed_.NotifyAll();
    };
    options.on_read = [this](DiskReadId id, DiskReadEnd end, Payload chunk) {
      MutexLock lock(mutex_);
      read_[id] = {end, std::move(chunk)};
      changed_.NotifyAll();
    };
    options.on_failure = [this](const std::string& why) {
      MutexLock lock(mutex_);
      ++failures_;
      why_ = why;
      changed_.NotifyAll();
    };
    return options;
  }
  DiskWritten Written(std::uint64_t hash) {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return written_.count(hash) > 0; });
    return written_[hash];
  }
  std::pair<DiskReadEnd, Payload> Read(DiskReadId id) {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return read_.count(id) > 0; });
    return read_[id];
  }
  std::string Failure() {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return failures_ > 0; });
    return why_;
  }
  int failures() {
    MutexLock lock(mutex_);
    return failures_;
  }

 private:
  Mutex mutex_;
  Condition changed_;
  std::map<std::uint64_t, DiskWritten> written_ ABSL_GUARDED_BY(mutex_);
  std::map<DiskReadId, std::pair<DiskReadEnd, Payload>> read_ ABSL_GUARDED_BY(mutex_);
  std::string why_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

TEST_CASE("disk files: what is written is read, wherever it was moved to") {
  TemporaryFolder folder;
  Ends ends;
  const auto files = DiskFiles::Open(ends.Options(folder.path() + "/made/here"));
  std::vector<DiskWrite> writes;
  std::uint32_t offset = 0;
  for (int n = 1; n <= 100; ++n) {  // more than one call takes
    const std::size_t size = static_cast<std::size_t>(n - 1) * 100;
    writes.push_back({Place(1, offset, size), static_cast<std::uint64_t>(n), Key(n), Value(size, static_cast<char>(n)), {}});
    offset += writes.back().to.size;
  }
  const DiskPlace hundredth = writes.back().to;
  const DiskPlace moved = Place(3, 4096, 9900, 5);
  writes.push_back({moved, 101, {}, nullptr, hundredth});
  files->Write(writes);
  CHECK(ends.Written(50).bytes == 4900);
  CHECK(ends.Written(101).done);
  std::vector<DiskRead> reads;
  for (int n = 1; n <= 100; ++n) reads.push_back({static_cast<DiskReadId>(n), writes[static_cast<std::size_t>(n - 1)].to, Key(n)});
  reads.push_back({101, moved, Key(100)});
  reads.push_back({102, moved, Key(7)});
  DiskPlace other_use = moved;
  other_use.use = 6;
  reads.push_back({103, other_use, Key(100)});
  reads.push_back({104, Place(9, 0, 1000), Key(1)});  // behind the end
  files->Read(reads);
  for (int n = 1; n <= 100; ++n) {
    const auto [end, chunk] = ends.Read(static_cast<DiskReadId>(n));
    REQUIRE(end == DiskReadEnd::kFound);
    REQUIRE(*chunk == std::string(static_cast<std::size_t>(n - 1) * 100, static_cast<char>(n)));
  }
  CHECK(*ends.Read(101).second == std::string(9900, 100));
  CHECK(ends.Read(102).first == DiskReadEnd::kOtherKey);
  CHECK_FALSE(ends.Read(102).second);
  CHECK(ends.Read(103).first == DiskReadEnd::kBadRecord);
  CHECK(ends.Read(104).first == DiskReadEnd::kBadRecord);
  files->Write({{Place(4, 0, 1000), 105, {}, nullptr, Place(9, 0, 1000)}});  // a move of nothing
  CHECK_FALSE(ends.Written(105).done);
  CHECK(ends.failures() == 0);
}

TEST_CASE("disk files: the file is empty at the start and at the end, and belongs to one router") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/chunks.cache";
  std::ofstream(path) << "what was deleted while nobody looked";
  Ends ends;
  auto files = DiskFiles::Open(ends.Options(folder.path()));
  CHECK(std::filesystem::file_size(path) == 0);
  try {
    DiskFiles::Open(ends.Options(folder.path()));
    FAIL("two routers share a file");
  } catch (const std::runtime_error& error) {
    CHECK(std::string(error.what()).find("another router's") != std::string::npos);
  }
  files->Write({{Place(0, 0, 10), 1, Key(1), Value(10, 'a'), {}}});
  ends.Written(1);
  CHECK(std::filesystem::file_size(path) == 10 + kDiskRecordHead);
  files.reset();
  CHECK(std::filesystem::file_size(path) == 0);
}

TEST_CASE("disk files: a folder that can't be used is said so") {
  TemporaryFolder folder;
  std::ofstream(folder.path() + "/file") << "not a folder";
  Ends ends;
  CHECK_THROWS_AS(DiskFiles::Open(ends.Options(folder.path() + "/file")), std::runtime_error);
}

TEST_CASE("disk files: a disk without room is given up once, and its room given back") {
  TemporaryFolder folder;
  Ends ends;
  auto files = DiskFiles::Open(ends.Options(folder.path()));
  files->Write({{Place(0, 0, 1000), 1, Key(1), Value(1000, 'a'), {}}});
  ends.Written(1);
  // The kernel refuses to write beyond this size, as a full disk would.
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = 1u << 20;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  files->Write({{Place(2, 0, 1000), 2, Key(2), Value(1000, 'b'), {}}, {Place(2, 1056, 1000), 3, Key(3), Value(1000, 'c'), {}}});
  const std::string why = ends.Failure();
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(why.find("writing " + folder.path()) != std::string::npos);
  files->Read({{4, Place(0, 0, 1000), Key(1)}});
  files->Write({{Place(0, 0, 1000), 5, Key(1), Value(1000, 'a'), {}}});
  files.reset();
  CHECK(ends.failures() == 1);
  CHECK(std::filesystem::file_size(folder.path() + "/chunks.cache") == 0);
}
