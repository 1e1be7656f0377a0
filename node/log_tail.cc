#include "node/log_tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "node/durable_file.h"
#include "node/leveldb_checksum.h"
#include "node/synced_mark.h"

namespace coffer::node {
namespace {

constexpr std::size_t kBlock = 32768;
constexpr std::size_t kHeader = 7;  // checksum, length, type
constexpr std::size_t kSector = 512;
constexpr std::uint64_t kLongestLog = std::uint64_t{4} << 30;  // a log is a little longer than LevelDB's buffer, 1 GiB at most

enum Type : std::uint8_t { kZero = 0, kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

std::uint32_t Little32(std::string_view b) {
  std::uint32_t v = 0;
  for (int i = 3; i >= 0; --i) v = v << 8 | static_cast<std::uint8_t>(b[static_cast<std::size_t>(i)]);
  return v;
}

std::uint32_t Extend(std::uint32_t crc, std::string_view bytes) { return leveldb::crc32c::Extend(crc, bytes.data(), bytes.size()); }

std::uint32_t Masked(std::uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// One fragment of a record as it claims to be.
struct Fragment {
  std::uint8_t type = kZero;
  std::size_t size = 0;   // with its header
  bool complete = false;  // all of it is within the block and the file
  bool valid = false;     // and it verifies
};

Fragment FragmentAt(std::string_view bytes, std::size_t at) {
  Fragment f;
  const std::size_t block_end = std::min(bytes.size(), (at / kBlock + 1) * kBlock);
  if (at + kHeader > block_end) return f;
  const std::size_t length = static_cast<std::uint8_t>(bytes[at + 4]) | static_cast<std::uint8_t>(bytes[at + 5]) << 8;
  f.type = static_cast<std::uint8_t>(bytes[at + 6]);
  f.size = kHeader + length;
  f.complete = at + f.size <= block_end;
  f.valid = f.complete && f.type >= kFull && f.type <= kLast &&
            Masked(Extend(0, bytes.substr(at + 6, 1 + length))) == Little32(bytes.substr(at, 4));
  return f;
}

bool AllZero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

// Whether zeros stand in the record [from, to) where a sector is missing: a whole one; or the first, from the record's header
// on; or the last, behind which the file ends or room begins.
bool MissesSector(std::string_view bytes, std::size_t from, std::size_t to) {
  constexpr std::size_t kPartAtEnd = 64;
  for (std::size_t at = from; at < to;) {
    const std::size_t sector_end = std::min(bytes.size(), (at / kSector + 1) * kSector);
    const std::size_t end = std::min(to, sector_end);
    const std::size_t size = end - at;
    const bool telling =
        size == kSector || (at == from && size >= kHeader) || (end == to && size >= kPartAtEnd);
    if (telling && AllZero(bytes.substr(at, sector_end - at))) return true;
    at = end;
  }
  return false;
}

// Whether a record begins in a later block than `at`.
bool BeginsInLaterBlock(std::string_view bytes, std::size_t at) {
  for (std::size_t block = (at / kBlock + 1) * kBlock; block < bytes.size(); block += kBlock) {
    for (std::size_t i = block; i < std::min(block + kBlock, bytes.size());) {
      const Fragment f = FragmentAt(bytes, i);
      if (!f.valid) break;
      if (f.type == kFull || f.type == kFirst) return true;
      i += f.size;
    }
  }
  return false;
}

// Whether a record begins at `at`, and nothing but fragments stands from there to the end or to room: a value may hold what looks like
// a record, but hardly that.
bool RunsToTheEnd(std::string_view bytes, std::size_t at) {
  const Fragment first = FragmentAt(bytes, at);
  if (!first.valid || (first.type != kFull && first.type != kFirst)) return false;
  for (at += first.size; at < bytes.size();) {
    const std::size_t left_in_block = kBlock - at % kBlock;
    const Fragment f = FragmentAt(bytes, at);
    if (left_in_block >= kHeader && !f.valid) return AllZero(bytes.substr(at));
    at += f.valid ? f.size : left_in_block;
  }
  return true;
}

// Whether the header at `at` reached the disk: a sector is written as a whole.
bool HasHeader(std::string_view bytes, std::size_t at) {
  return at / kSector == (at + kHeader - 1) / kSector && !AllZero(bytes.substr(at, kHeader));
}

// Whether such a header says what nobody ever wrote.
bool IsAbsurd(const Fragment& f, std::size_t at) { return f.type < kFull || f.type > kLast || at % kBlock + f.size > kBlock; }

// Whether something was written behind the record of the fragment `f` at `at`, which ends at `covered`: then it had been synced.
bool IsFollowed(std::string_view bytes, std::size_t at, const Fragment& f, std::size_t covered) {
  if (HasHeader(bytes, at) && f.complete) {
    return f.type == kFull || f.type == kLast ? !AllZero(bytes.substr(covered)) : BeginsInLaterBlock(bytes, at);
  }
  // Its length is not known: what is behind may begin at any byte.
  const std::size_t block_end = std::min(bytes.size(), (at / kBlock + 1) * kBlock);
  for (std::size_t i = at + 1; i < block_end; ++i) {
    if (RunsToTheEnd(bytes, i)) return true;
  }
  return BeginsInLaterBlock(bytes, at);
}

// Whether the fragment at `at` would verify with another length, within its block.
bool VerifiesOtherwise(std::string_view bytes, std::size_t at) {
  const std::size_t block_end = std::min(bytes.size(), (at / kBlock + 1) * kBlock);
  const std::uint32_t expected = Little32(bytes.substr(at, 4));
  std::uint32_t crc = Extend(0, bytes.substr(at + 6, 1));
  for (std::size_t end = at + kHeader; end < block_end; ++end) {
    if (Masked(crc) == expected) return true;
    crc = Extend(crc, bytes.substr(end, 1));
  }
  return Masked(crc) == expected;
}

// What the fragment `f` at `at`, which does not verify, says of its record.
LogTail::State JudgeBad(std::string_view bytes, std::size_t at, const Fragment& f) {
  // A length that was changed must not make the record one that was cut short, or one that reaches into room.
  if ((HasHeader(bytes, at) && IsAbsurd(f, at)) || VerifiesOtherwise(bytes, at)) return LogTail::State::kDamaged;
  const std::size_t block_end = std::min(bytes.size(), (at / kBlock + 1) * kBlock);
  const bool within_block = at % kBlock + f.size <= kBlock;
  if (!f.complete && block_end == bytes.size() && within_block) return LogTail::State::kWhole;  // cut short by the end of the file
  // What it covers if its length is right; to the end of the block if that can't be.
  const std::size_t covered = f.complete && f.type != kZero ? at + f.size : block_end;
  return !IsFollowed(bytes, at, f, covered) && MissesSector(bytes, at, covered) ? LogTail::State::kTorn : LogTail::State::kDamaged;
}

// A file that LevelDB appends to.
struct Appended {
  std::string path;
  std::uint64_t number = 0;
  std::uint64_t synced = 0;  // up to here at least
};

// The logs of a DB, oldest first.
std::vector<Appended> Logs(const std::string& folder) {
  std::map<std::uint64_t, Appended> logs;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::uint64_t number = LogNumber(entry.path().filename().string());
    if (number != 0) logs[number] = {entry.path().string(), number};
  }
  std::vector<Appended> sorted;
  for (auto& [number, log] : logs) sorted.push_back(std::move(log));
  return sorted;
}

// The manifest CURRENT names; of number 0 if there is none.
Appended Manifest(const std::string& folder) {
  int error = 0;
  std::string name = ReadWholeFile(folder + "/CURRENT", &error).value_or("");
  if (!name.ends_with('\n')) return {};
  name.pop_back();
  return {folder + "/" + name, ManifestNumber(name)};
}

// Says of each file how far it was synced. Empty, or which log is gone.
std::string ApplyMark(const SyncedEnds& ends, std::vector<Appended>* logs, Appended* manifest) {
  if (ends.manifest.number != manifest->number) return {};  // of another opening
  manifest->synced = ends.manifest.bytes;
  for (const SyncedEnds::File& noted : ends.logs) {
    if (noted.number == 0) continue;
    const auto log = std::find_if(logs->begin(), logs->end(), [&](const Appended& l) { return l.number == noted.number; });
    if (log == logs->end()) return "its log " + std::to_string(noted.number) + ", of " + std::to_string(noted.bytes) + " bytes, is gone";
    log->synced = noted.bytes;
  }
  return {};
}

FileResult Cut(const std::string& path, std::uint64_t size) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return FileError("opening", path, errno);
  const int error = ::ftruncate(fd, static_cast<off_t>(size)) == 0 && ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error == 0 ? FileResult{} : FileError("cutting", path, error);
}

}  // namespace

LogTail JudgeLog(std::string_view bytes) {
  std::size_t whole = 0;   // end of the last complete record
  bool in_record = false;  // a first fragment was seen, its last was not yet
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t left_in_block = kBlock - at % kBlock;
    if (left_in_block < kHeader) {
      at += left_in_block;
      continue;
    }
    const Fragment f = FragmentAt(bytes, at);
    if (f.valid) {
      const bool begins = f.type == kFull || f.type == kFirst;
      if (begins == in_record) return {LogTail::State::kDamaged, whole};
      at += f.size;
      in_record = f.type == kFirst || f.type == kMiddle;
      if (!in_record) whole = at;
      continue;
    }
    if (bytes.size() - at < kHeader) break;
    if (AllZero(bytes.substr(at))) return {in_record ? LogTail::State::kTorn : LogTail::State::kWhole, whole};
    return {JudgeBad(bytes, at, f), whole};
  }
  return {LogTail::State::kWhole, whole};
}

CheckedTails CheckTails(const std::string& folder) {
  CheckedTails checked;
  std::vector<Appended> files = Logs(folder);
  Appended manifest = Manifest(folder);
  if (const auto mark = ReadSyncedMark(folder)) checked.damaged = ApplyMark(*mark, &files, &manifest);
  if (!checked.damaged.empty()) return checked;
  const std::size_t older = files.empty() ? 0 : files.size() - 1;  // than the newest log: each was synced to its end before the next was begun
  if (manifest.number != 0) files.push_back(std::move(manifest));
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string& path = files[i].path;
    int error = 0;
    const auto bytes = ReadWholeFile(path, &error, kLongestLog);
    if (!bytes) continue;  // LevelDB will say what it misses
    const LogTail tail = JudgeLog(*bytes);
    if (tail.state == LogTail::State::kDamaged || (tail.state == LogTail::State::kTorn && i < older)) {
      checked.damaged = path + " does not verify after byte " + std::to_string(tail.end);
      return checked;
    }
    if (tail.end < files[i].synced) {
      checked.damaged = path + " was synced up to byte " + std::to_string(files[i].synced) + " and verifies up to byte " + std::to_string(tail.end);
      return checked;
    }
    if (tail.state != LogTail::State::kTorn) continue;
    checked.cutting = Cut(path, tail.end);
    if (!checked.cutting.ok()) return checked;
    checked.cut +=
        "cut " + std::to_string(bytes->size() - tail.end) + " bytes of an unfinished write off " + path + "; ";
  }
  return checked;
}

}  // namespace coffer::node
