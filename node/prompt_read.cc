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
  ssize_t n = -1;
  if (SizeOf(pieces, count) > prompt->left_) {
    errno = EAGAIN;
  } else {
    n = ::preadv2(fd, pieces, count, static_cast<off_t>(offset), RWF_NOWAIT);
  }
  if (n > 0) prompt->left_ -= static_cast<std::uint64_t>(n);
  // A file system without such reads, or a kernel without the call.
  if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) errno = EAGAIN;
  if (n < 0 && errno == EAGAIN) prompt->gave_up_ = true;
  return n;
}

bool MayWait() {
  if (!prompt) return true;
  prompt->gave_up_ = true;
  return false;
}

}  // namespace coffer::node
