// Writes the groups of the log of values (node/value_log.h): large ones past the page cache, by O_DIRECT of open(2).
//
// A large group in the page cache costs the processor more than all else that is done with it where the kernel has to find a new page for
// each of its pages, and pushes out pages that are read; it is synced at once, so the cache can't save a write. Whoever reads it soon
// finds it on the disk, once (docs/decisions/0014-past-the-page-cache.md).
#pragma once

#include <leveldb/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node/segment_file.h"

namespace coffer::node {

// Of the one thread that writes the log.
class GroupWriter {
 public:
  // `direct_bytes`: of a group from which on it is written past the page cache.
  explicit GroupWriter(std::uint64_t direct_bytes) : direct_bytes_(direct_bytes) {}

  // Writes the pieces one behind the other from `offset` on, which no write has reached yet but for the zeros at a group's end; they end at a
  // multiple of SegmentFile::kBlock, or at the file's end. Not durable before Sync.
  leveldb::Status Write(const std::shared_ptr<SegmentFile>& file, std::uint64_t offset, const std::vector<std::string_view>& pieces);

 private:
  leveldb::Status WriteDirect(SegmentFile* file, std::uint64_t offset, const std::vector<std::string_view>& pieces, std::uint64_t size);
  // What stands before `offset` in its block.
  leveldb::Status BlockBefore(const SegmentFile& file, std::uint64_t offset, std::string* bytes) const;

  std::uint64_t direct_bytes_;
  std::shared_ptr<SegmentFile> file_;  // that was written last
  // The last block that was written past the page cache, which does not hold it; empty: the last write went through.
  std::string last_block_;
  std::uint64_t last_at_ = 0;
};

}  // namespace coffer::node
