// One file of the log of values: made at its full size, overwritten in place.
//
// Syncing an overwrite is cheaper than syncing an append, for the file system has nothing to note; so a segment's blocks
// are allocated when it is made, and its file is used again for another segment when nothing in it is needed any more.
#pragma once

#include <leveldb/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace coffer::node {

class DiskEnv;

// Reads are thread-safe, also beside a write. A failed write or sync is the end of the DiskEnv's writing.
class SegmentFile {
 public:
  // Makes the file with all its blocks, durably. Waits for space as DiskEnv does.
  static leveldb::Status Create(DiskEnv* env, const std::string& path, std::uint64_t size,
                                std::shared_ptr<SegmentFile>* out);
  static leveldb::Status Open(DiskEnv* env, const std::string& path, std::shared_ptr<SegmentFile>* out);
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  std::uint64_t size() const { return size_; }
  // What WriteDirect's offsets, sizes and addresses are multiples of, and the file's size.
  static constexpr std::uint64_t kBlock = 4096;

  // Writes the pieces one behind the other from `offset` on. Not durable before Sync.
  leveldb::Status Write(std::uint64_t offset, const std::vector<std::string_view>& pieces);
  // As Write, past the page cache. What this file system refuses to write so is left: `written` says how much was written. For one
  // thread.
  leveldb::Status WriteDirect(std::uint64_t offset, std::string_view blocks, std::size_t* written);
  // Lets go of what WriteDirect holds open.
  void EndDirect();
  leveldb::Status Sync();
  // Reads `head_size` and then `size` bytes from `offset` on, and no more from the disk. NotFound: the file is shorter.
  leveldb::Status Read(std::uint64_t offset, char* head, std::size_t head_size, char* bytes, std::size_t size) const;
  // So much from `offset` on is read soon, in order: from now on the disk fetches it, as far as it is there.
  void Expect(std::uint64_t offset, std::uint64_t size) const;
  // The same file under another name, durably; what is in it stays. Those who hold this one may read on, and will find other
  // bytes once the new one is written.
  leveldb::Status Rename(const std::string& path, std::shared_ptr<SegmentFile>* out) const;
  // Removes it; those who hold it may read on.
  leveldb::Status Remove() const;

 private:
  SegmentFile(DiskEnv* env, std::string path, int fd, std::uint64_t size);
  leveldb::Status Allocate();

  DiskEnv* const env_;
  const std::string path_;
  const int fd_;
  const std::uint64_t size_;
  int direct_fd_ = -1;
  bool direct_refused_ = false;
};

}  // namespace coffer::node
