#include "node/prompt_read.h"

#include <cerrno>

namespace coffer::node {
namespace {

thread_local PromptReads* prompt = nullptr;

std::uint64_t SizeOf(const struct iovec* pieces, int count) {
  std::uint64_t size = 0;
  for (int i = 0; i < count; ++i) size += pieces[i].iov_len;
  return size;
}

}  // namespace

PromptReads::PromptReads(std::uint64_t bytes) : left_(bytes) { prompt = this; }

PromptReads::~PromptReads() { prompt = nullptr; }

ssize_t ReadAt(int fd, const struct iovec* pieces, int count, std::uint64_t offset) {
  if (!prompt) return ::preadv(fd, pieces, count, static_cast<off_t>(offset));
  const std::uint64_t size = SizeOf(pieces, count);
  if (!MayRead(size)) {
    errno = EAGAIN;
    return -1;
  }
  ssize_t n = ::preadv2(fd, pieces, count, static_cast<off_t>(offset), RWF_NOWAIT);
  if (n > 0) prompt->left_ -= static_cast<std::uint64_t>(n);
  // A file system without such reads, a kernel without the call, and Linux 5.9 and 5.10, which say 0 where there is more to read.
  if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) errno = EAGAIN;
  if (n == 0 && size > 0) {
    n = -1;
    errno = EAGAIN;
  }
  if (n < 0 && errno == EAGAIN) prompt->gave_up_ = true;
  return n;
}

bool MayRead(std::uint64_t bytes) {
  if (!prompt || bytes <= prompt->left_) return true;
  prompt->gave_up_ = true;
  return false;
}

bool MayWait() {
  if (!prompt) return true;
  prompt->gave_up_ = true;
  return false;
}

}  // namespace coffer::node
