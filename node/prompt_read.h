// Reads of files that need not wait for the disk.
//
// A thread that must not stand still may read what the machine's page cache holds: handing such a read to another thread costs more
// than the read. preadv2(2) with RWF_NOWAIT says EAGAIN where the disk would have to be asked, or where the file system can't tell.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>

namespace coffer::node {

// While one lives, ReadAt on its thread reads only what it need not wait for, and no more than a number of bytes. Not nested, not
// moved to another thread.
class PromptReads {
 public:
  explicit PromptReads(std::uint64_t bytes);
  ~PromptReads();
  PromptReads(const PromptReads&) = delete;
  PromptReads& operator=(const PromptReads&) = delete;

  // Something could not be read so: it failed with EAGAIN, so whatever came of these reads is void.
  bool gave_up() const { return gave_up_; }
  // What may be read yet.
  std::uint64_t left() const { return left_; }

 private:
  friend ssize_t ReadAt(int fd, const struct iovec* pieces, int count, std::uint64_t offset);
  friend bool MayRead(std::uint64_t bytes);
  friend bool MayWait();
  std::uint64_t left_;
  bool gave_up_ = false;
};

// As preadv(2). Under PromptReads of this thread -1 and EAGAIN for what would wait, or is more than is left, and at the end of the file.
ssize_t ReadAt(int fd, const struct iovec* pieces, int count, std::uint64_t offset);

// False under PromptReads of this thread that have not that much left, and have given up then: asked before memory is taken for it.
bool MayRead(std::uint64_t bytes);

// False under PromptReads of this thread, which have given up then: for what can't be tried, as opening a file.
bool MayWait();

}  // namespace coffer::node
