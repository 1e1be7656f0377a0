#include "router/disk_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "proto/mutex.h"
#include "router/core/disk_record.h"

namespace coffer::router {
namespace {

constexpr char kFileName[] = "/chunks.cache";
constexpr int kReaders = 4;
// Records that lie one behind the other are written by one call, up to so many.
constexpr std::size_t kWrittenAtOnce = 64;

std::string Reason() { return std::generic_category().message(errno); }

class Files final : public DiskFiles {
 public:
  explicit Files(Options options) : options_(std::move(options)), path_(options_.folder + kFileName) {
    std::error_code error;
    std::filesystem::create_directories(options_.folder, error);
    if (error) throw std::runtime_error("the folder " + options_.folder + " can't be made: " + error.message());
    file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file_ < 0) throw std::runtime_error(path_ + " can't be opened: " + Reason());
    try {
      if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
        throw std::runtime_error(errno == EWOULDBLOCK ? path_ + " is another router's: each needs a folder of its own"
                                                      : path_ + " can't be locked: " + Reason());
      }
      if (!Empty()) throw std::runtime_error(path_ + " can't be emptied: " + Reason());
    } catch (...) {
      close(file_);
      throw;
    }
    threads_.emplace_back([this] { WriteAll(); });
    for (int i = 0; i < kReaders; ++i) threads_.emplace_back([this] { ReadAll(); });
  }
  ~Files() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    to_write_.NotifyAll();
    to_read_.NotifyAll();
    for (std::thread& thread : threads_) thread.join();
    Empty();
    close(file_);
  }

  void Write(std::vector<DiskWrite> writes) override {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      for (DiskWrite& write : writes) writes_.push_back(std::move(write));
    }
    to_write_.NotifyOne();
  }
  void Read(std::vector<DiskRead> reads) override {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      reads_.insert(reads_.end(), reads.begin(), reads.end());
    }
    to_read_.NotifyAll();
  }

 private:
  struct Record {
    std::string head;
    std::string chunk;
  };

  bool Empty() { return ftruncate(file_, 0) == 0; }
  off_t Offset(const DiskPlace& place) const {
    return static_cast<off_t>(std::uint64_t{place.segment} * options_.segment_bytes + place.offset);
  }

  // ---- the writer
  void WriteAll() {
    for (;;) {
      std::vector<DiskWrite> writes;
      {
        MutexLock lock(mutex_);
        to_write_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !writes_.empty(); });
        if (stopping_) return;
        writes = TakeWrites();
      }
      std::vector<DiskWritten> done;
      if (!(writes.front().chunk ? WriteChunks(writes, &done) : Move(writes.front(), &done))) return;
      options_.on_written(std::move(done));
    }
  }
  // A move, or chunks that lie one behind the other.
  std::vector<DiskWrite> TakeWrites() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<DiskWrite> writes;
    do {
      writes.push_back(std::move(writes_.front()));
      writes_.pop_front();
    } while (writes.back().chunk && writes.size() < kWrittenAtOnce && !writes_.empty() && writes_.front().chunk &&
             Offset(writes_.front().to) == Offset(writes.back().to) + writes.back().to.size);
    return writes;
  }
  bool WriteChunks(const std::vector<DiskWrite>& writes, std::vector<DiskWritten>* done) {
    std::vector<std::string> heads;
    std::vector<iovec> parts;
    heads.reserve(writes.size());
    for (const DiskWrite& write : writes) {
      heads.push_back(DiskRecordHead(write.to, write.key, *write.chunk));
      parts.push_back({heads.back().data(), heads.back().size()});
      if (!write.chunk->empty()) parts.push_back({const_cast<char*>(write.chunk->data()), write.chunk->size()});
      done->push_back({write.to, write.hash, write.chunk->size(), true});
    }
    return WriteParts(std::move(parts), Offset(writes.front().to));
  }
  bool Move(const DiskWrite& move, std::vector<DiskWritten>* done) {
    auto record = ReadRecord(move.from);
    if (!record) return false;
    const auto key = VerifyDiskRecord(move.from, record->head, record->chunk);
    done->push_back({move.to, move.hash, 0, key.has_value()});
    if (!key) return true;
    record->head = DiskRecordHead(move.to, *key, record->chunk);
    return WriteParts({{record->head.data(), record->head.size()}, {record->chunk.data(), record->chunk.size()}}, Offset(move.to));
  }
  bool WriteParts(std::vector<iovec> parts, off_t offset) {
    std::size_t first = 0;
    while (first < parts.size()) {
      ssize_t written = pwritev(file_, parts.data() + first, static_cast<int>(parts.size() - first), offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Fail("writing " + path_ + " failed: " + Reason());
      offset += written;
      for (; first < parts.size() && static_cast<std::size_t>(written) >= parts[first].iov_len; ++first) {
        written -= static_cast<ssize_t>(parts[first].iov_len);
      }
      if (first == parts.size()) break;
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + written;
      parts[first].iov_len -= static_cast<std::size_t>(written);
    }
    return true;
  }

  // ---- the readers
  void ReadAll() {
    for (;;) {
      DiskRead read;
      {
        MutexLock lock(mutex_);
        to_read_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !reads_.empty(); });
        if (stopping_) return;
        read = reads_.front();
        reads_.pop_front();
      }
      auto record = ReadRecord(read.from);
      if (!record) return;
      const auto key = VerifyDiskRecord(read.from, record->head, record->chunk);
      if (key == read.key) {
        options_.on_read(read.id, DiskReadEnd::kFound, std::make_shared<const std::string>(std::move(record->chunk)));
      } else {
        options_.on_read(read.id, key ? DiskReadEnd::kOtherKey : DiskReadEnd::kBadRecord, nullptr);
      }
    }
  }
  // Zeros where the file is shorter: they do not verify. Nothing: the disk failed.
  std::optional<Record> ReadRecord(const DiskPlace& place) {
    Record record{std::string(kDiskRecordHead, '\0'), std::string(place.size - kDiskRecordHead, '\0')};
    std::size_t done = 0;
    while (done < place.size) {
      std::array<iovec, 2> parts = {};
      const std::size_t in_chunk = done > kDiskRecordHead ? done - kDiskRecordHead : 0;
      const std::size_t in_head = std::min<std::size_t>(done, kDiskRecordHead);
      parts[0] = {record.head.data() + in_head, record.head.size() - in_head};
      parts[1] = {record.chunk.data() + in_chunk, record.chunk.size() - in_chunk};
      const ssize_t got = preadv(file_, parts.data(), 2, Offset(place) + static_cast<off_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        Fail("reading " + path_ + " failed: " + Reason());
        return std::nullopt;
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return record;
  }

  // Ends the threads; the caller's too, by returning false.
  bool Fail(const std::string& why) {
    {
      MutexLock lock(mutex_);
      if (std::exchange(stopping_, true)) return false;
      writes_.clear();
      reads_.clear();
    }
    to_write_.NotifyAll();
    to_read_.NotifyAll();
    Empty();  // whoever else needs the room may have it
    options_.on_failure(why);
    return false;
  }

  const Options options_;
  const std::string path_;
  int file_ = -1;
  Mutex mutex_;
  Condition to_write_, to_read_;
  std::deque<DiskWrite> writes_ ABSL_GUARDED_BY(mutex_);  // their bytes are bounded by the index
  std::deque<DiskRead> reads_ ABSL_GUARDED_BY(mutex_);    // as well
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<DiskFiles> DiskFiles::Open(Options options) { return std::make_unique<Files>(std::move(options)); }

}  // namespace coffer::router
