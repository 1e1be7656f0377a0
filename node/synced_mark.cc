#include "node/synced_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <system_error>

#include "cluster/checksum.h"
#include "node/byte_codec.h"
#include "node/disk_env.h"
#include "node/durable_file.h"

namespace coffer::node {
namespace {

constexpr std::string_view kMarkMagic = "CFRSYNCS";
constexpr std::uint32_t kMarkFormat = 1;
constexpr std::size_t kMarkBytes = 64;
constexpr std::size_t kSummedFrom = 8 + 4;  // behind the magic and the sum

std::uint64_t NumberIn(std::string_view digits) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc{} && end == digits.data() + digits.size() ? number : 0;
}

}  // namespace

std::string EncodeSyncedEnds(const SyncedEnds& ends) {
  ByteWriter body;
  body.U32(kMarkFormat).U64(ends.manifest.number).U64(ends.manifest.bytes);
  for (const auto& log : ends.logs) body.U64(log.number).U64(log.bytes);
  return ByteWriter().Raw(kMarkMagic).U32(Crc32c({body.bytes()})).Raw(body.bytes()).Take();
}

std::optional<SyncedEnds> DecodeSyncedEnds(std::string_view bytes) {
  if (bytes.size() != kMarkBytes) return std::nullopt;
  ByteReader in(bytes);
  const bool ours = in.Raw(kMarkMagic.size()) == kMarkMagic;
  if (!ours || in.U32() != Crc32c({bytes.substr(kSummedFrom)}) || in.U32() != kMarkFormat) return std::nullopt;
  SyncedEnds ends;
  const auto file = [&] {
    SyncedEnds::File f;
    f.number = in.U64();
    f.bytes = in.U64();
    return f;
  };
  ends.manifest = file();
  for (auto& log : ends.logs) log = file();
  return ends;
}

std::string SyncedMarkPath(const std::string& folder) { return folder + "/SYNCED"; }

std::optional<SyncedEnds> ReadSyncedMark(const std::string& folder) {
  int error = 0;
  const auto bytes = ReadWholeFile(SyncedMarkPath(folder), &error);
  return bytes ? DecodeSyncedEnds(*bytes) : std::nullopt;
}

std::uint64_t ManifestNumber(std::string_view name) {
  constexpr std::string_view kBegin = "MANIFEST-";
  return name.starts_with(kBegin) ? NumberIn(name.substr(kBegin.size())) : 0;
}

std::uint64_t LogNumber(std::string_view name) {
  constexpr std::string_view kEnd = ".log";
  return name.ends_with(kEnd) ? NumberIn(name.substr(0, name.size() - kEnd.size())) : 0;
}

SyncedMark::~SyncedMark() {
  if (fd_ >= 0) ::close(fd_);
}

int SyncedMark::Open(const std::string& folder) {
  path_ = SyncedMarkPath(folder);
  const bool there = ::access(path_.c_str(), F_OK) == 0;
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
  if (fd_ < 0) return errno;
  if (!there && faults_) faults_->Created(path_);
  return 0;
}

int SyncedMark::Synced(std::string_view name, std::uint64_t bytes) {
  const std::uint64_t manifest = ManifestNumber(name);
  const std::uint64_t log = manifest == 0 ? LogNumber(name) : 0;
  if (fd_ < 0 || (manifest == 0 && log == 0)) return 0;
  MutexLock lock(mutex_);
  const bool opening = manifest != 0 && manifest != ends_.manifest.number;
  if (log != 0) named_.insert(log);
  if (manifest != 0) {
    ends_.manifest = {manifest, bytes};
  } else if (ends_.logs[0].number == log) {
    ends_.logs[0].bytes = bytes;
  } else {
    ends_.logs = {{{log, bytes}, ends_.logs[0]}};
  }
  // Without room for a copy, as some file systems need, the old note stays, which claims less.
  int error = Write(ends_);
  // A number may be given again if the opening that had it failed.
  if (error == 0 && opening) error = Sync();
  return error == ENOSPC || error == EDQUOT ? 0 : error;
}

int SyncedMark::Removing(std::string_view name) {
  const std::uint64_t number = LogNumber(name);
  if (fd_ < 0 || number == 0) return 0;
  MutexLock lock(mutex_);
  if (!named_.contains(number)) return 0;
  SyncedEnds without = ends_;
  for (auto& log : without.logs) {
    if (log.number == number) log = {};
  }
  int error = Write(without);
  if (error == 0) error = Sync();
  if (error != 0) return error;
  ends_ = without;
  named_.erase(number);
  return 0;
}

int SyncedMark::Sync() {
  int error = faults_ ? faults_->BeforeSync(path_) : 0;
  if (error == 0 && ::fdatasync(fd_) != 0) error = errno;
  if (error == 0 && faults_) faults_->Synced(path_, kMarkBytes);
  return error;
}

// A sector is written as a whole, or not at all.
int SyncedMark::Write(const SyncedEnds& ends) {
  const std::string bytes = EncodeSyncedEnds(ends);
  if (faults_) faults_->Overwriting(path_, 0, bytes.size());
  for (;;) {
    int error = faults_ ? faults_->BeforeWrite(path_, bytes.size()) : 0;
    const ssize_t n = error == 0 ? ::pwrite(fd_, bytes.data(), bytes.size(), 0) : -1;
    if (n == static_cast<ssize_t>(bytes.size())) return 0;
    if (n >= 0) return EIO;
    if (error == 0) error = errno;
    if (error != EINTR) return error;
  }
}

}  // namespace coffer::node
