#include "node/disk_writable_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace coffer::node {
namespace {

constexpr std::size_t kBufferBytes = 64 << 10;
constexpr std::uint64_t kPage = 4 << 10;
constexpr char kZeros[64 << 10] = {};

}  // namespace

DiskWritableFile::DiskWritableFile(DiskEnv* env, std::string path, int fd, std::uint64_t room)
    : env_(env), path_(std::move(path)), fd_(fd), room_(room) {}

DiskWritableFile::~DiskWritableFile() {
  if (fd_ < 0) return;
  CutRoom();
  ::close(fd_);  // what was not flushed was never promised
}

// Whole pages, so that a process that is killed between two writes leaves no sector written in part.
leveldb::Status DiskWritableFile::Append(const leveldb::Slice& data) {
  buffer_.append(data.data(), data.size());
  if (buffer_.size() < kBufferBytes) return env_->Check();
  const std::uint64_t end = (written_ + buffer_.size()) / kPage * kPage;
  return WriteOut(static_cast<std::size_t>(end - written_));
}

// LevelDB asks for it after every block of a table and every piece of a log, and reads no file before it has synced or closed it;
// what was not synced was never promised. So it waits for more to write at once.
leveldb::Status DiskWritableFile::Flush() { return env_->Check(); }

leveldb::Status DiskWritableFile::Sync() {
  if (auto status = WriteOut(buffer_.size()); !status.ok()) return status;
  int error = env_->faults_ ? env_->faults_->BeforeSync(path_) : 0;
  if (error == 0 && ::fdatasync(fd_) != 0) error = errno;
  if (error != 0) return env_->Fail("syncing", path_, error);
  if (env_->faults_) env_->faults_->Synced(path_, size_);
  return env_->Synced(path_, written_);
}

leveldb::Status DiskWritableFile::Close() {
  auto status = WriteOut(buffer_.size());
  if (fd_ < 0) return status;
  CutRoom();
  if (::close(fd_) != 0 && status.ok()) status = env_->Fail("closing", path_, errno);
  fd_ = -1;
  return status;
}

// The first `size` bytes of the buffer.
leveldb::Status DiskWritableFile::WriteOut(std::size_t size) {
  for (std::size_t at = 0; at < size;) {
    const auto write = [&] {
      if (env_->faults_ && written_ < size_) env_->faults_->Overwriting(path_, written_, std::min<std::size_t>(size - at, size_ - written_));
      return ::pwrite(fd_, buffer_.data() + at, size - at, static_cast<off_t>(written_));
    };
    std::size_t n = 0;
    if (auto status = env_->WriteSome(path_, size - at, write, &n); !status.ok()) return status;
    at += n;
    written_ += n;
  }
  buffer_.erase(0, size);
  if (written_ > size_) {
    GrownTo(written_);
    if (room_ != 0) return MakeRoom();
  }
  return env_->Check();
}

// Zeros up to the next multiple of `room_` but one. A disk without space for them has none to spare: the file goes on without room.
leveldb::Status DiskWritableFile::MakeRoom() {
  const std::uint64_t end = (size_ / room_ + 2) * room_;
  while (size_ < end) {
    const std::size_t size = std::min<std::size_t>(sizeof kZeros, end - size_);
    int error = env_->faults_ ? env_->faults_->BeforeWrite(path_, size) : 0;
    const ssize_t n = error == 0 ? ::pwrite(fd_, kZeros, size, static_cast<off_t>(size_)) : -1;
    if (n < 0 && error == 0) error = errno;
    if (error == EINTR) continue;
    if (error == ENOSPC || error == EDQUOT) {
      room_ = 0;
      break;
    }
    if (error != 0) return env_->Fail("writing", path_, error);
    env_->bytes_written_ += static_cast<std::uint64_t>(n);
    GrownTo(size_ + static_cast<std::uint64_t>(n));
  }
  return env_->Check();
}

// What is left of the room is given back. If that fails, or does not last, the zeros are there for the reader to pass over.
void DiskWritableFile::CutRoom() {
  if (size_ == written_ || !env_->Check().ok() || ::ftruncate(fd_, static_cast<off_t>(written_)) != 0) return;
  env_->used_bytes_ -= size_ - written_;
  size_ = written_;
}

void DiskWritableFile::GrownTo(std::uint64_t size) {
  env_->used_bytes_ += size - size_;
  size_ = size;
}

}  // namespace coffer::node
