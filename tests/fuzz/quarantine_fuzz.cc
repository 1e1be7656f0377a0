// The file of writes that were cut off, torn or changed anywhere: each record is found whole or not at all.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "cluster/checksum.h"
#include "fuzz_target.h"
#include "node/byte_codec.h"
#include "node/quarantine.h"

using namespace coffer;
using namespace coffer::node;

namespace {

// One file in memory for all inputs of this process.
class ScratchFile {
 public:
  ScratchFile() : fd_(memfd_create("quarantine", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    fuzz::Require(fd_ >= 0, "a scratch file can be made");
  }
  ~ScratchFile() { close(fd_); }
  const std::string& With(std::string_view bytes) {
    fuzz::Require(ftruncate(fd_, 0) == 0 && pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
                  "the scratch file can be written");
    return path_;
  }

 private:
  const int fd_;
  const std::string path_;
};

// The bytes as the body of a record whose checksum is good.
std::string SealedRecord(std::string_view body) {
  const std::string prefix = ByteWriter().Raw("CFRQ").U8(1).U32(static_cast<std::uint32_t>(body.size())).Take();
  return ByteWriter().Raw(prefix).U32(Crc32c({prefix, body})).Raw(body).Take();
}

bool Same(const QuarantineRecord& a, const QuarantineRecord& b) {
  if (a.partition != b.partition || a.recorded_ms != b.recorded_ms || a.bodies.size() != b.bodies.size()) return false;
  for (std::size_t i = 0; i < a.bodies.size(); ++i) {
    if (!a.bodies[i] != !b.bodies[i] || (a.bodies[i] && *a.bodies[i] != *b.bodies[i])) return false;
  }
  return a.write.SerializeAsString() == b.write.SerializeAsString();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ScratchFile file;
  fuzz::Choices choices(fuzz::Text(data, size));
  std::string bytes;
  for (int pieces = choices.Byte() % 4; pieces > 0; --pieces) {
    const bool sealed = choices.Byte() % 2 == 0;
    const std::string_view piece = choices.Piece();
    bytes += sealed ? SealedRecord(piece) : std::string(piece);
  }
  bytes += choices.Rest();

  std::vector<QuarantineRecord> records;
  const auto keep = [&](const QuarantineRecord& record) {
    records.push_back(record);
    return true;
  };
  const auto found = ReadQuarantine(file.With(bytes), keep);
  fuzz::Require(found.error.empty(), "what is damaged is no error");
  fuzz::Require(found.records == records.size() && found.damaged_bytes <= bytes.size(), "what is found is counted");
  if (records.empty()) fuzz::Require(found.damaged_bytes == bytes.size(), "where nothing is found all is damaged");

  // What was understood is understood again after the way back.
  std::string again;
  for (const auto& record : records) again += EncodeQuarantineRecord(record);
  std::size_t next = 0;
  const auto compare = [&](const QuarantineRecord& record) {
    fuzz::Require(next < records.size() && Same(record, records[next++]), "a record survives the way back");
    return true;
  };
  fuzz::Require(ReadQuarantine(file.With(again), compare).damaged_bytes == 0 && next == records.size(), "nothing written is damaged");
  return 0;
}
