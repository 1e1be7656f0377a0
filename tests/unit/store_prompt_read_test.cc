// Reads that need not wait for the disk: what the machine holds is read, everything else is left alone.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "node/disk_env.h"
#include "node/leveldb_store.h"
#include "node/prompt_read.h"
#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/store_leveldb_fixture.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

class OpenedFile {
 public:
  OpenedFile(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) { REQUIRE(fd_ >= 0); }
  ~OpenedFile() { ::close(fd_); }
  int fd() const { return fd_; }

 private:
  const int fd_;
};

ssize_t ReadBytes(int fd, std::string* bytes, std::uint64_t offset) {
  const struct iovec piece = {bytes->data(), bytes->size()};
  return ReadAt(fd, &piece, 1, offset);
}

// Not every file system can say whether it would have to wait.
bool FileSystemTells(const std::string& folder) {
  OpenedFile file(folder + "/tells", O_RDWR | O_CREAT);
  REQUIRE(::write(file.fd(), "x", 1) == 1);
  char byte = 0;
  const struct iovec piece = {&byte, 1};
  return ::preadv2(file.fd(), &piece, 1, 0, RWF_NOWAIT) == 1;
}

// Header and value of the `i`-th write of the tests, both from the disk or its cache.
ReadOutcome ReadWrite(const LevelDbStore& store, std::uint64_t i, Payload* value) {
  RecordHeader header;
  return store.Read(1, EntryAt('c', i), &header, value);
}

TEST_CASE("prompt reads: no more bytes than are left", "[leveldb]") {
  TemporaryFolder folder;
  OpenedFile file(folder.path() + "/file", O_RDWR | O_CREAT);
  REQUIRE(::write(file.fd(), "0123456789", 10) == 10);
  const bool tells = FileSystemTells(folder.path());
  std::string four(4, ' ');
  {
    PromptReads prompt(10);
    CHECK(ReadBytes(file.fd(), &four, 0) == (tells ? 4 : -1));
    CHECK(prompt.left() == (tells ? 6 : 10));
    CHECK(prompt.gave_up() == !tells);
    CHECK(ReadBytes(file.fd(), &four, 4) == (tells ? 4 : -1));
    CHECK(prompt.left() == (tells ? 2 : 10));
    CHECK(ReadBytes(file.fd(), &four, 6) == -1);
    CHECK(errno == EAGAIN);
    CHECK(prompt.gave_up());
    CHECK(prompt.left() == (tells ? 2 : 10));
  }
  CHECK(ReadBytes(file.fd(), &four, 6) == 4);  // bounded no longer
  CHECK(four == "6789");
  CHECK(MayWait());
}

// Some kernels say 0 where there is more to read, so that whoever may wait has to find out.
TEST_CASE("prompt reads: the end of a file is not believed", "[leveldb]") {
  TemporaryFolder folder;
  OpenedFile file(folder.path() + "/file", O_RDWR | O_CREAT);
  REQUIRE(::write(file.fd(), "0123456789", 10) == 10);
  std::string four(4, ' ');
  {
    PromptReads prompt(10);
    CHECK(ReadBytes(file.fd(), &four, 10) == -1);
    CHECK(errno == EAGAIN);
    CHECK(prompt.gave_up());
  }
  CHECK(ReadBytes(file.fd(), &four, 10) == 0);
}

TEST_CASE("prompt reads: what is too large is refused before memory is taken for it", "[leveldb]") {
  CHECK(MayRead(1u << 30));
  PromptReads prompt(10);
  CHECK(MayRead(10));
  CHECK_FALSE(prompt.gave_up());
  CHECK_FALSE(MayRead(11));
  CHECK(prompt.gave_up());
}

TEST_CASE("prompt reads: the store answers from what the machine holds, and says what it did not read", "[leveldb]") {
  TemporaryFolder parent;
  const bool tells = FileSystemTells(parent.path());
  const auto store = MustOpen(SmallOptions(parent.path() + "/store"));
  for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(WriteAndWait(*store, BatchOf(i)));
  Payload value;
  ReadOutcome outcome = ReadOutcome::kAbsent;
  // Write 0 has a value of 700 bytes and more, which is in the log of values.
  std::uint64_t bytes = 10'000;
  const bool read = store->ReadPromptly([&] { outcome = ReadWrite(*store, 0, &value); }, &bytes);
  CHECK(read == tells);
  if (read) {
    CHECK(outcome == ReadOutcome::kFound);
    CHECK(*value == *ValueOf(0));
    CHECK(bytes < 10'000 - 700);
  }
  bytes = 500;
  CHECK_FALSE(store->ReadPromptly([&] { (void)ReadWrite(*store, 0, &value); }, &bytes));
  CHECK(ReadWrite(*store, 0, &value) == ReadOutcome::kFound);
  CHECK(*value == *ValueOf(0));
  CHECK(store->counters().prompt_reads == (tells ? 1u : 0u));
  CHECK(store->counters().deferred_reads == (tells ? 1u : 2u));
  CHECK(store->counters().damaged_reads == 0);
}

TEST_CASE("prompt reads: a table is not opened by them", "[leveldb]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/table";
  OpenedFile made(path, O_RDWR | O_CREAT);
  DiskEnv env(nullptr, nullptr);
  leveldb::RandomAccessFile* table = nullptr;
  {
    PromptReads prompt(1000);
    CHECK_FALSE(env.NewRandomAccessFile(path, &table).ok());
    CHECK(prompt.gave_up());
  }
  REQUIRE(table == nullptr);
  CHECK(env.NewRandomAccessFile(path, &table).ok());
  delete table;
}

}  // namespace
}  // namespace coffer::node
