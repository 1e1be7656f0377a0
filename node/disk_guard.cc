#include "node/disk_guard.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "node/disk_env.h"

namespace coffer::node {

DiskSpace SpaceOf(const std::string& folder) {
  struct statvfs st;
  if (::statvfs(folder.c_str(), &st) != 0) return {};
  return {static_cast<std::uint64_t>(st.f_bavail) * st.f_frsize, static_cast<std::uint64_t>(st.f_blocks) * st.f_frsize};
}

SpaceGuard::SpaceGuard(std::function<DiskSpace()> space, std::optional<std::uint64_t> reserve,
                       std::uint64_t write_buffer_bytes, std::uint64_t compaction_bytes)
    : source_(std::move(space)), configured_(reserve), least_(4 * write_buffer_bytes + compaction_bytes) {
  Refresh();
}

std::uint64_t SpaceGuard::ReserveLocked() const {
  if (configured_) return *configured_;
  return std::max({space_.total_bytes / 20, std::uint64_t{1} << 30, least_});
}

void SpaceGuard::Refresh() {
  const DiskSpace now = source_();
  MutexLock lock(mutex_);
  space_ = now;
  const std::uint64_t reserve = ReserveLocked();
  full_ = now.free_bytes < (full_ ? reserve + reserve / 4 : reserve);
}

bool SpaceGuard::full() const {
  MutexLock lock(mutex_);
  return full_;
}

bool SpaceGuard::AtTheFloor() const {
  MutexLock lock(mutex_);
  return space_.free_bytes < ReserveLocked() / 8;
}

DiskSpace SpaceGuard::space() const {
  MutexLock lock(mutex_);
  return space_;
}

std::uint64_t SpaceGuard::reserve() const {
  MutexLock lock(mutex_);
  return ReserveLocked();
}

SyncProbe::SyncProbe(std::string path, DiskFaults* faults) : path_(std::move(path)), faults_(faults) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd_ < 0) {
    open_error_ = errno;
    return;
  }
  const std::array<char, 4096> zeros{};
  if (::pwrite(fd_, zeros.data(), zeros.size(), 0) != static_cast<ssize_t>(zeros.size()) && errno != ENOSPC) {
    open_error_ = errno;
  }
}

SyncProbe::~SyncProbe() {
  if (fd_ >= 0) ::close(fd_);
}

std::string SyncProbe::Run() {
  int error = open_error_;
  if (error == 0 && faults_) error = faults_->BeforeSync(path_);
  ++count_;
  // A full disk is no failed one: the block is normally there already, and is written next time if not.
  if (error == 0 && ::pwrite(fd_, &count_, sizeof count_, 0) < 0 && errno != ENOSPC) error = errno;
  if (error == 0 && ::fdatasync(fd_) != 0) error = errno;
  if (error == 0) return {};
  return "syncing " + path_ + " failed: " + std::generic_category().message(error);
}

}  // namespace coffer::node
