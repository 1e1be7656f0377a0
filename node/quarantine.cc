#include "node/quarantine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <optional>
#include <system_error>

#include "cluster/checksum.h"
#include "node/byte_codec.h"
#include "node/disk_env.h"
#include "node/durable_file.h"

namespace coffer::node {
namespace {

constexpr std::string_view kMagic = "CFRQ";
constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kPrefixBytes = 4 + 1 + 4 + 4;  // magic, format, length, checksum
constexpr std::uint32_t kMostBodyBytes = 1u << 30;

std::optional<QuarantineRecord> DecodeBody(std::string_view body) {
  ByteReader in(body);
  QuarantineRecord record;
  record.partition = in.U32();
  record.recorded_ms = in.Varint();
  const std::string_view write = in.Text();
  if (!in.ok() || !record.write.ParseFromArray(write.data(), static_cast<int>(write.size()))) return std::nullopt;
  const std::uint64_t bodies = in.Varint();
  for (std::uint64_t i = 0; i < bodies && in.ok(); ++i) {
    const bool present = in.U8() != 0;
    record.bodies.push_back(present ? std::make_shared<const std::string>(in.Text()) : nullptr);
  }
  if (!in.Done()) return std::nullopt;
  return record;
}

// A record at the start of `prefix`, as far as its prefix says.
struct Prefix {
  std::uint32_t size;
  std::uint32_t checksum;
};
std::optional<Prefix> DecodePrefix(std::string_view bytes) {
  ByteReader in(bytes);
  if (in.Raw(kMagic.size()) != kMagic || in.U8() != kFormat) return std::nullopt;
  const Prefix prefix{in.U32(), in.U32()};
  if (!in.ok() || prefix.size > kMostBodyBytes) return std::nullopt;
  return prefix;
}

}  // namespace

std::string EncodeQuarantineRecord(const QuarantineRecord& record) {
  ByteWriter body;
  body.U32(record.partition)
      .Varint(record.recorded_ms)
      .Text(record.write.SerializeAsString())
      .Varint(record.bodies.size());
  for (const auto& payload : record.bodies) {
    body.U8(payload ? 1 : 0);
    if (payload) body.Text(*payload);
  }
  ByteWriter out;
  out.Raw(kMagic).U8(kFormat).U32(static_cast<std::uint32_t>(body.bytes().size()));
  const std::uint32_t checksum = Crc32c({out.bytes(), body.bytes()});
  return out.U32(checksum).Raw(body.bytes()).Take();
}

QuarantineFile::QuarantineFile(std::string path, std::uint64_t most_bytes, DiskFaults* faults)
    : path_(std::move(path)), most_bytes_(most_bytes), faults_(faults) {}

QuarantineFile::~QuarantineFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::string QuarantineFile::OpenLocked() {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd_ < 0) return FileError("creating", path_, errno).what;
  const off_t end = ::lseek(fd_, 0, SEEK_END);
  size_ = end < 0 ? 0 : static_cast<std::uint64_t>(end);
  return SyncParent(path_, faults_).what;
}

std::string QuarantineFile::Append(const std::vector<QuarantineRecord>& records) {
  MutexLock lock(mutex_);
  if (fd_ >= 0 && size_ > most_bytes_) {
    ::close(fd_);
    fd_ = -1;
    const std::string old = path_ + ".old";
    if (::rename(path_.c_str(), old.c_str()) != 0) return FileError("renaming", path_, errno).what;
  }
  if (fd_ < 0) {
    if (std::string error = OpenLocked(); !error.empty()) return error;
  }
  for (const auto& record : records) {
    // A torn record is overwritten by the next; behind a failure nothing counts.
    const std::string bytes = EncodeQuarantineRecord(record);
    const FileResult result = OverwriteAndSync(fd_, path_, size_, bytes, faults_);
    if (!result.ok()) {
      ::close(fd_);  // after a failed sync the descriptor would report success without the data
      fd_ = -1;
      return result.what;
    }
    size_ += bytes.size();
  }
  return {};
}

QuarantineSummary ReadQuarantine(const std::string& path, const std::function<bool(const QuarantineRecord&)>& visit) {
  QuarantineSummary summary;
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) {
    if (errno != ENOENT) summary.error = FileError("reading", path, errno).what;
    return summary;
  }
  const auto total = static_cast<std::uint64_t>(st.st_size);
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    summary.error = FileError("reading", path, errno).what;
    return summary;
  }
  std::string prefix(kPrefixBytes, '\0');
  std::string body;
  std::uint64_t at = 0;
  while (at < total) {
    in.clear();
    in.seekg(static_cast<std::streamoff>(at));
    in.read(prefix.data(), static_cast<std::streamsize>(prefix.size()));
    const auto decoded = in ? DecodePrefix(prefix) : std::nullopt;
    std::optional<QuarantineRecord> record;
    if (decoded && decoded->size <= total - at - kPrefixBytes) {
      body.resize(decoded->size);
      in.read(body.data(), static_cast<std::streamsize>(body.size()));
      const std::string_view summed = std::string_view(prefix).substr(0, kPrefixBytes - 4);
      if (in && Crc32c({summed, body}) == decoded->checksum) record = DecodeBody(body);
    }
    if (!record) {
      // Not the start of a good record: look for one at the next byte.
      ++summary.damaged_bytes;
      ++at;
      continue;
    }
    at += kPrefixBytes + body.size();
    ++summary.records;
    if (!visit(*record)) break;
  }
  return summary;
}

}  // namespace coffer::node
