#include "node/segment_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "node/disk_env.h"
#include "node/prompt_read.h"

namespace coffer::node {
namespace {

leveldb::Status IoError(const std::string& path, int error) {
  return leveldb::Status::IOError(path, std::generic_category().message(error));
}

// Takes `done` bytes off the front of what is left.
void Advance(std::vector<struct iovec>* rest, std::size_t* first, std::size_t done) {
  while (*first < rest->size() && done >= (*rest)[*first].iov_len) done -= (*rest)[(*first)++].iov_len;
  if (*first == rest->size()) return;
  auto& piece = (*rest)[*first];
  piece.iov_base = static_cast<char*>(piece.iov_base) + done;
  piece.iov_len -= done;
}

}  // namespace

// Whoever reads takes the values in any order, and of those beside each other often only some: a node that fills another sends those that it
// leads. What the kernel read ahead was as much again as what was wanted, from the disk and in the page cache. It only costs that where the
// advice is refused.
SegmentFile::SegmentFile(DiskEnv* env, std::string path, int fd, std::uint64_t size)
    : env_(env), path_(std::move(path)), fd_(fd), size_(size) {
  (void)::posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM);
}

leveldb::Status SegmentFile::Create(DiskEnv* env, const std::string& path, std::uint64_t size,
                                    std::shared_ptr<SegmentFile>* out) {
  if (auto status = env->Check(); !status.ok()) return status;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return env->Fail("making", path, errno);
  std::shared_ptr<SegmentFile> file(new SegmentFile(env, path, fd, size));
  if (env->faults_) env->faults_->Created(path);
  if (auto status = file->Allocate(); !status.ok()) return status;
  env->used_bytes_ += size;
  if (auto status = file->Sync(); !status.ok()) return status;
  if (auto status = env->SyncFolderOf(path); !status.ok()) return status;
  *out = std::move(file);
  return leveldb::Status::OK();
}

leveldb::Status SegmentFile::Allocate() {
  for (;;) {
    int error = env_->faults_ ? env_->faults_->BeforeWrite(path_, size_) : 0;
    if (error == 0 && ::fallocate(fd_, 0, 0, static_cast<off_t>(size_)) != 0) error = errno;
    if (error == EINTR) continue;
    // A file system that can't: its blocks come with the writes.
    if (error == EOPNOTSUPP) error = ::ftruncate(fd_, static_cast<off_t>(size_)) == 0 ? 0 : errno;
    if (error == 0) return leveldb::Status::OK();
    if (error != ENOSPC && error != EDQUOT) return env_->Fail("allocating", path_, error);
    // What was allocated so far is of use to others while this waits.
    if (::ftruncate(fd_, 0) != 0) return env_->Fail("cutting", path_, errno);
    if (!env_->WaitForSpace()) return env_->GiveUp("allocating", path_, error);
  }
}

leveldb::Status SegmentFile::Open(DiskEnv* env, const std::string& path, std::shared_ptr<SegmentFile>* out) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return IoError(path, errno);
  struct stat st;
  if (::fstat(fd, &st) != 0) {
    const int error = errno;
    ::close(fd);
    return IoError(path, error);
  }
  out->reset(new SegmentFile(env, path, fd, static_cast<std::uint64_t>(st.st_size)));
  return leveldb::Status::OK();
}

SegmentFile::~SegmentFile() {
  EndDirect();
  ::close(fd_);
}

leveldb::Status SegmentFile::Write(std::uint64_t offset, const std::vector<std::string_view>& pieces) {
  std::vector<struct iovec> rest;
  rest.reserve(pieces.size());
  for (const std::string_view piece : pieces) {
    if (!piece.empty()) rest.push_back({const_cast<char*>(piece.data()), piece.size()});
  }
  for (std::size_t first = 0; first < rest.size();) {
    const std::size_t count = std::min<std::size_t>(rest.size() - first, IOV_MAX);
    std::size_t size = 0;
    for (std::size_t i = first; i < first + count; ++i) size += rest[i].iov_len;
    const auto write = [&] {
      if (env_->faults_) env_->faults_->Overwriting(path_, offset, size);
      return ::pwritev(fd_, &rest[first], static_cast<int>(count), static_cast<off_t>(offset));
    };
    std::size_t n = 0;
    if (auto status = env_->WriteSome(path_, size, write, &n); !status.ok()) return status;
    Advance(&rest, &first, n);
    offset += n;
  }
  return leveldb::Status::OK();
}

leveldb::Status SegmentFile::WriteDirect(std::uint64_t offset, std::string_view blocks, std::size_t* written) {
  *written = 0;
  // EINVAL: not on this file system, or not with blocks of this size.
  if (direct_fd_ < 0 && !direct_refused_) {
    direct_fd_ = ::open(path_.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC);
    direct_refused_ = direct_fd_ < 0;
  }
  while (*written < blocks.size() && !direct_refused_) {
    const std::string_view rest = blocks.substr(*written);
    const auto write = [&]() -> ssize_t {
      if (env_->faults_) env_->faults_->Overwriting(path_, offset + *written, rest.size());
      errno = env_->faults_ ? env_->faults_->BeforeDirect(path_) : 0;
      const ssize_t n = errno == 0 ? ::pwrite(direct_fd_, rest.data(), rest.size(), static_cast<off_t>(offset + *written)) : -1;
      direct_refused_ = n < 0 && errno == EINVAL;
      return direct_refused_ ? 0 : n;
    };
    std::size_t n = 0;
    if (auto status = env_->WriteSome(path_, rest.size(), write, &n); !status.ok()) return status;
    *written += n;
  }
  return leveldb::Status::OK();
}

void SegmentFile::EndDirect() {
  if (direct_fd_ >= 0) ::close(direct_fd_);
  direct_fd_ = -1;
}

leveldb::Status SegmentFile::Sync() {
  if (auto status = env_->Check(); !status.ok()) return status;
  int error = env_->faults_ ? env_->faults_->BeforeSync(path_) : 0;
  if (error == 0 && ::fdatasync(fd_) != 0) error = errno;
  if (error != 0) return env_->Fail("syncing", path_, error);
  if (env_->faults_) env_->faults_->Synced(path_, size_);
  return leveldb::Status::OK();
}

leveldb::Status SegmentFile::Read(std::uint64_t offset, char* head, std::size_t head_size, char* bytes,
                                  std::size_t size) const {
  if (env_->faults_) {
    if (const int error = env_->faults_->BeforeRead(path_)) return IoError(path_, error);
  }
  std::vector<struct iovec> rest{{head, head_size}, {bytes, size}};
  for (std::size_t first = 0; first < rest.size();) {
    const ssize_t n = ReadAt(fd_, &rest[first], static_cast<int>(rest.size() - first), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return IoError(path_, errno);
    if (n == 0) return leveldb::Status::NotFound(path_, "is shorter than it was");
    Advance(&rest, &first, static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return leveldb::Status::OK();
}

void SegmentFile::Expect(std::uint64_t offset, std::uint64_t size) const {
  (void)::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
}

leveldb::Status SegmentFile::Rename(const std::string& path, std::shared_ptr<SegmentFile>* out) const {
  if (auto status = env_->RenameFile(path_, path); !status.ok()) return status;
  return Open(env_, path, out);
}

leveldb::Status SegmentFile::Remove() const {
  return env_->RemoveFile(path_);
}

}  // namespace coffer::node
