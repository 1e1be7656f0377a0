// A store with small limits, and what a disk does to it: for the tests of the store on LevelDB.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/random.h"
#include "node/disk_env.h"
#include "node/durable_file.h"
#include "node/leveldb_store.h"
#include "test_support.h"

namespace coffer::node {

inline const NodeId kOwner = NodeId::Must("0123456789abcdef");

// Small tables, buffers and segments: a short test meets flushes, compactions and segments used again.
inline LevelDbStoreOptions SmallOptions(const std::string& folder) {
  LevelDbStoreOptions options;
  options.folder = folder;
  options.owner = kOwner;
  options.inline_value_bytes = 256;
  options.lone_value_bytes = 0;
  options.write_buffer_bytes = 64 << 10;
  options.table_bytes = 1 << 20;
  options.block_cache_bytes = 0;
  options.group_bytes = 16 << 10;
  options.log_room_bytes = 4 << 10;
  options.segment_bytes = 8 << 10;
  options.reserve_bytes = 0;
  options.probe_interval = std::chrono::hours(1);
  return options;
}

inline std::unique_ptr<LevelDbStore> MustOpen(LevelDbStoreOptions options) {
  auto opened = LevelDbStore::Open(std::move(options));
  INFO(opened.message);
  REQUIRE(opened.store);
  return std::move(opened.store);
}

inline bool WriteAndWait(LevelDbStore& store, StoreBatch batch) {
  std::promise<bool> done;
  store.Write(std::move(batch), [&](bool ok) { done.set_value(ok); });
  return done.get_future().get();
}

// Power fails at the n-th operation: from then on nothing reaches the disk, and what was not synced may be gone.
class PowerLoss : public DiskFaults {
 public:
  explicit PowerLoss(std::int64_t operations) : left_(operations) {}

  int BeforeWrite(const std::string&, std::size_t) override { return Off() ? EIO : 0; }
  int BeforeSync(const std::string&) override { return Off() ? EIO : 0; }
  void Overwriting(const std::string& path, std::uint64_t offset, std::size_t size) override {
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    std::string before(size, '\0');
    file.read(before.data(), static_cast<std::streamsize>(size));
    std::lock_guard lock(mutex_);
    // What continues the last one may share a sector with it, and a sector is written as a whole.
    if (!overwritten_.empty() && overwritten_.back().path == path && overwritten_.back().offset + overwritten_.back().before.size() == offset) {
      overwritten_.back().before += before;
    } else {
      overwritten_.push_back({path, offset, std::move(before)});
    }
  }
  void Synced(const std::string& path, std::uint64_t size) override {
    std::lock_guard lock(mutex_);
    synced_[path] = size;
    std::erase_if(overwritten_, [&](const Overwritten& o) { return o.path == path; });
  }
  void Created(const std::string& path) override {
    std::lock_guard lock(mutex_);
    synced_[path] = 0;
  }
  bool off() const { return left_ <= 0; }

  // What a disk may make of the unsynced ends of files.
  enum class Ends { kKept, kGone, kCutAnywhere, kSectorsMissing };
  void Apply(Ends ends, Random& random) const {
    if (ends != Ends::kKept) BringBack(ends == Ends::kGone, random);
    for (const auto& [path, synced] : synced_) {
      std::error_code error;
      const std::uint64_t size = std::filesystem::file_size(path, error);
      if (error || size <= synced) continue;
      if (ends == Ends::kGone) std::filesystem::resize_file(path, synced);
      if (ends == Ends::kCutAnywhere) std::filesystem::resize_file(path, synced + random.Below(size - synced + 1));
      if (ends == Ends::kSectorsMissing) LoseSectors(path, synced, size, random);
    }
  }

 private:
  struct Overwritten {
    std::string path;
    std::uint64_t offset;
    std::string before;
  };
  bool Off() { return left_.fetch_sub(1) <= 0; }

  // Parts of [from, to), what was written last, that are too small to tell a missing sector from a changed byte: such a store
  // is refused (node/log_tail.h), which is no loss.
  static bool TooSmall(std::uint64_t at, std::uint64_t end, std::uint64_t from, std::uint64_t to) {
    return (end == to && end - at < 64) || (at == from && end - at < 7);
  }

  // Where what was written ends and room begins, of the part of a file behind `from`.
  static std::uint64_t EndOfWritten(std::fstream& file, std::uint64_t from, std::uint64_t size) {
    std::string bytes(size - from, '\0');
    file.seekg(static_cast<std::streamoff>(from));
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return from + bytes.find_last_not_of('\0') + 1;
  }

  static void LoseSectors(const std::string& path, std::uint64_t from, std::uint64_t size, Random& random) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    size = EndOfWritten(file, from, size);
    for (std::uint64_t at = from; at < size;) {
      const std::uint64_t end = std::min(size, (at / 512 + 1) * 512);
      const bool too_small = TooSmall(at, end, from, size);
      if (random.Chance(1, 2) && !too_small) {
        file.seekp(static_cast<std::streamoff>(at));
        file.write(std::string(end - at, '\0').data(), static_cast<std::streamsize>(end - at));
      }
      at = end;
    }
  }

  // Sectors that were overwritten and not synced are as they were, all of them or some.
  void BringBack(bool all, Random& random) const {
    for (auto it = overwritten_.rbegin(); it != overwritten_.rend(); ++it) {
      std::fstream file(it->path, std::ios::in | std::ios::out | std::ios::binary);
      for (std::size_t at = 0; at < it->before.size();) {
        const std::size_t end = std::min<std::size_t>(it->before.size(), ((it->offset + at) / 512 + 1) * 512 - it->offset);
        if (all || (random.Chance(1, 2) && !TooSmall(at, end, 0, it->before.size()))) {
          file.seekp(static_cast<std::streamoff>(it->offset + at));
          file.write(&it->before[at], static_cast<std::streamsize>(end - at));
        }
        at = end;
      }
    }
  }

  std::atomic<std::int64_t> left_;
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t> synced_;
  std::vector<Overwritten> overwritten_;  // since their file was synced last
};

inline std::vector<std::string> FilesLike(const std::string& folder, const std::string& part) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().find(part) != std::string::npos) out.push_back(entry.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// The bytes of the only log of a store's LevelDB.
inline std::string LogOf(const std::string& folder) {
  const auto logs = FilesLike(folder, ".log");
  REQUIRE(logs.size() == 1);
  int error = 0;
  return ReadWholeFile(logs[0], &error).value();
}

inline void FlipBit(const std::string& path, std::uint64_t at, int bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char c = static_cast<char>(file.get() ^ (1 << bit));
  file.seekp(static_cast<std::streamoff>(at));
  file.put(c);
}

}  // namespace coffer::node
