#include "node/disk_env.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <system_error>
#include <vector>

#include "node/disk_writable_file.h"
#include "node/prompt_read.h"

namespace coffer::node {
namespace {

std::string ErrorText(int error) {
  return std::generic_category().message(error);
}

std::uint64_t SizeOf(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

// Opens without being stopped by a signal.
int OpenFile(const std::string& path, int flags) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0640);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

leveldb::Status ReadError(const std::string& path, int error) {
  if (error == ENOENT) return leveldb::Status::NotFound(path, ErrorText(error));
  return leveldb::Status::IOError(path, ErrorText(error));
}

std::string_view NameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string FolderOf(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

int SyncFolder(const std::string& folder) {
  const int fd = OpenFile(folder, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return errno;
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

// Positioned and sequential reads from one descriptor. The sequential side is for one thread.
class DiskReader final : public leveldb::RandomAccessFile, public leveldb::SequentialFile {
 public:
  DiskReader(DiskEnv* env, std::string path, int fd) : env_(env), path_(std::move(path)), fd_(fd) {}
  ~DiskReader() override { ::close(fd_); }

  leveldb::Status Read(std::uint64_t offset, std::size_t n, leveldb::Slice* result, char* scratch) const override {
    *result = leveldb::Slice(scratch, 0);
    if (env_->faults_) {
      if (const int error = env_->faults_->BeforeRead(path_)) return ReadError(path_, error);
    }
    std::size_t got = 0;
    while (got < n) {
      const struct iovec rest = {scratch + got, n - got};
      const ssize_t r = ReadAt(fd_, &rest, 1, offset + got);
      if (r < 0 && errno == EINTR) continue;
      if (r < 0) return ReadError(path_, errno);
      if (r == 0) break;
      got += static_cast<std::size_t>(r);
    }
    *result = leveldb::Slice(scratch, got);
    return leveldb::Status::OK();
  }

  leveldb::Status Read(std::size_t n, leveldb::Slice* result, char* scratch) override {
    const leveldb::Status status = Read(position_, n, result, scratch);
    position_ += result->size();
    return status;
  }

  leveldb::Status Skip(std::uint64_t n) override {
    position_ += n;
    return leveldb::Status::OK();
  }

 private:
  DiskEnv* const env_;
  const std::string path_;
  const int fd_;
  std::uint64_t position_ = 0;
};

DiskEnv::DiskEnv(DiskFaults* faults, std::function<void(const std::string&)> on_failure, std::uint64_t log_room)
    : leveldb::EnvWrapper(leveldb::Env::Default()), faults_(faults), on_failure_(std::move(on_failure)), log_room_(log_room), mark_(faults) {}

DiskEnv::~DiskEnv() = default;

leveldb::Status DiskEnv::NewSequentialFile(const std::string& path, leveldb::SequentialFile** out) {
  *out = nullptr;
  const int fd = OpenFile(path, O_RDONLY);
  if (fd < 0) return ReadError(path, errno);
  *out = new DiskReader(this, path, fd);
  return leveldb::Status::OK();
}

leveldb::Status DiskEnv::NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** out) {
  *out = nullptr;
  // LevelDB does without a table's filter for good when that can't be read at its opening: so opening one is never tried.
  if (!MayWait()) return ReadError(path, EAGAIN);
  const int fd = OpenFile(path, O_RDONLY);
  if (fd < 0) return ReadError(path, errno);
  *out = new DiskReader(this, path, fd);
  return leveldb::Status::OK();
}

leveldb::Status DiskEnv::NewWritableFile(const std::string& path, leveldb::WritableFile** out) {
  *out = nullptr;
  if (auto status = Check(); !status.ok()) return status;
  const std::uint64_t before = SizeOf(path);
  const int fd = OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd < 0) return leveldb::Status::IOError(path, ErrorText(errno));
  used_bytes_ -= before;
  auto file = std::make_unique<DiskWritableFile>(this, path, fd, path.ends_with(".log") ? log_room_ : 0);
  if (faults_) faults_->Created(path);
  if (auto status = SyncFolderOf(path); !status.ok()) return status;
  *out = file.release();
  return leveldb::Status::OK();
}

// Where LevelDB's part of a log ends can't be told by its size.
leveldb::Status DiskEnv::NewAppendableFile(const std::string& path, leveldb::WritableFile** out) {
  *out = nullptr;
  return leveldb::Status::NotSupported("appending to", path);
}

leveldb::Status DiskEnv::RemoveFile(const std::string& path) {
  // After a failure the disk is left as it is: LevelDB would tidy up a manifest that CURRENT may already name.
  if (auto status = Check(); !status.ok()) return status;
  if (const int error = mark_.Removing(NameOf(path))) {
    // It stays; LevelDB tries again when it tidies up next.
    if (error == ENOSPC || error == EDQUOT) return leveldb::Status::IOError(path, ErrorText(error));
    return Fail("noting the removal of", path, error);
  }
  const std::uint64_t size = SizeOf(path);
  if (::unlink(path.c_str()) != 0) return leveldb::Status::IOError(path, ErrorText(errno));
  used_bytes_ -= size;
  return leveldb::Status::OK();
}

leveldb::Status DiskEnv::RenameFile(const std::string& from, const std::string& to) {
  if (auto status = Check(); !status.ok()) return status;
  // LevelDB keeps its log of events by renaming it away first; there is none at the first start.
  const std::uint64_t replaced = SizeOf(to);
  if (::rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    if (error == ENOENT) return leveldb::Status::NotFound(from, ErrorText(error));
    // Without room for the name nothing was changed.
    return error == ENOSPC || error == EDQUOT ? GiveUp("renaming", from, error) : Fail("renaming", from, error);
  }
  used_bytes_ -= replaced;
  return SyncFolderOf(to);
}

leveldb::Status DiskEnv::LockFile(const std::string& path, leveldb::FileLock** lock) {
  const auto status = leveldb::EnvWrapper::LockFile(path, lock);
  if (status.ok()) return status;
  std::string holder = "this process";
  const int fd = OpenFile(path, O_RDWR);
  if (fd >= 0) {
    struct flock query {};
    query.l_type = F_WRLCK;
    query.l_whence = SEEK_SET;
    if (::fcntl(fd, F_GETLK, &query) == 0 && query.l_type != F_UNLCK) holder = "process " + std::to_string(query.l_pid);
    ::close(fd);
  } else {
    return leveldb::Status::IOError(path, ErrorText(errno));
  }
  return leveldb::Status::IOError("in use by " + holder, path);
}

std::string DiskEnv::failure() const {
  MutexLock lock(mutex_);
  return failure_;
}

void DiskEnv::StartWaiting() {
  MutexLock lock(mutex_);
  may_wait_ = true;
}

void DiskEnv::StopWaiting() {
  MutexLock lock(mutex_);
  may_wait_ = false;
  stopped_.NotifyAll();
}

void DiskEnv::CountFolder(const std::string& folder) {
  std::vector<std::string> names;
  GetChildren(folder, &names);
  for (const auto& name : names) {
    struct stat st;
    if (::stat((folder + "/" + name).c_str(), &st) == 0 && S_ISREG(st.st_mode)) {
      used_bytes_ += static_cast<std::uint64_t>(st.st_size);
    }
  }
}

leveldb::Status DiskEnv::Check() const {
  if (!failed_) return leveldb::Status::OK();
  return leveldb::Status::IOError(failure());
}

leveldb::Status DiskEnv::WriteSome(const std::string& path, std::size_t size, const std::function<ssize_t()>& write,
                                   std::size_t* written) {
  for (;;) {
    if (auto status = Check(); !status.ok()) return status;
    int error = faults_ ? faults_->BeforeWrite(path, size) : 0;
    const ssize_t n = error == 0 ? write() : -1;
    if (n >= 0) {
      *written = static_cast<std::size_t>(n);
      bytes_written_ += *written;
      return leveldb::Status::OK();
    }
    if (error == 0) error = errno;
    if (error == EINTR) continue;
    if (error != ENOSPC && error != EDQUOT) return Fail("writing", path, error);
    if (!WaitForSpace()) return GiveUp("writing", path, error);
  }
}

leveldb::Status DiskEnv::Fail(const std::string& what, const std::string& path, int error) {
  const std::string message = what + " " + path + " failed: " + ErrorText(error);
  if (SetFailure(message)) {
    trust_lost_ = true;
    if (on_failure_) on_failure_(message);
  }
  return Check();
}

leveldb::Status DiskEnv::GiveUp(const std::string& what, const std::string& path, int error) {
  SetFailure("stopped while " + what + " " + path + ": " + ErrorText(error));
  return Check();
}

bool DiskEnv::SetFailure(std::string message) {
  MutexLock lock(mutex_);
  if (failed_) return false;
  failure_ = std::move(message);
  failed_ = true;
  return true;
}

leveldb::Status DiskEnv::NoteSyncs(const std::string& folder) {
  const int error = mark_.Open(folder);
  return error == 0 ? leveldb::Status::OK() : leveldb::Status::IOError(SyncedMarkPath(folder), ErrorText(error));
}

leveldb::Status DiskEnv::Synced(const std::string& path, std::uint64_t size) {
  const int error = mark_.Synced(NameOf(path), size);
  return error == 0 ? leveldb::Status::OK() : Fail("noting the sync of", path, error);
}

leveldb::Status DiskEnv::SyncFolderOf(const std::string& path) {
  const std::string folder = FolderOf(path);
  int error = faults_ ? faults_->BeforeSync(folder) : 0;
  if (error == 0) error = SyncFolder(folder);
  if (error != 0) return Fail("syncing the folder", folder, error);
  if (faults_) faults_->DirectorySynced(folder);
  return leveldb::Status::OK();
}

bool DiskEnv::WaitForSpace() {
  MutexLock lock(mutex_);
  ++waiting_;
  if (may_wait_) stopped_.WaitFor(mutex_, std::chrono::milliseconds(100));
  --waiting_;
  return may_wait_;
}

}  // namespace coffer::node
