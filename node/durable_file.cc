#include "node/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "node/disk_env.h"

namespace coffer::node {
namespace {

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0640)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

FileResult FileError(std::string_view doing, const std::string& path, int error) {
  return {error, std::string(doing) + " " + path + " failed: " + std::generic_category().message(error)};
}

std::optional<std::string> ReadWholeFile(const std::string& path, int* error, std::uint64_t most_bytes) {
  *error = 0;
  const Descriptor file(path, O_RDONLY);
  struct stat st;
  if (file.get() < 0 || ::fstat(file.get(), &st) != 0) {
    *error = errno;
    return std::nullopt;
  }
  if (!S_ISREG(st.st_mode) || static_cast<std::uint64_t>(st.st_size) > most_bytes) {
    *error = EFBIG;
    return std::nullopt;
  }
  std::string bytes(static_cast<std::size_t>(st.st_size), '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = ::pread(file.get(), bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      *error = errno;
      return std::nullopt;
    }
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  bytes.resize(got);
  return bytes;
}

FileResult OverwriteAndSync(int fd, const std::string& path, std::uint64_t offset, std::string_view bytes,
                            DiskFaults* faults) {
  while (!bytes.empty()) {
    int error = faults ? faults->BeforeWrite(path, bytes.size()) : 0;
    const ssize_t n = error == 0 ? ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) : -1;
    if (n < 0 && error == 0) error = errno;
    if (n < 0 && error == EINTR) continue;
    if (n < 0) return FileError("writing", path, error);
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  int error = faults ? faults->BeforeSync(path) : 0;
  if (error == 0 && ::fdatasync(fd) != 0) error = errno;
  return error == 0 ? FileResult{} : FileError("syncing", path, error);
}

FileResult ReplaceFile(const std::string& path, std::string_view bytes, DiskFaults* faults) {
  const std::string next = path + ".next";
  {
    const Descriptor file(next, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.get() < 0) return FileError("creating", next, errno);
    if (auto result = OverwriteAndSync(file.get(), next, 0, bytes, faults); !result.ok()) return result;
  }
  if (::rename(next.c_str(), path.c_str()) != 0) return FileError("renaming", next, errno);
  return SyncParent(path, faults);
}

FileResult SyncParent(const std::string& path, DiskFaults* faults) {
  const std::string folder = FolderOf(path);
  int error = faults ? faults->BeforeSync(folder) : 0;
  if (error == 0) error = SyncFolder(folder);
  return error == 0 ? FileResult{} : FileError("syncing the folder", folder, error);
}

}  // namespace coffer::node
