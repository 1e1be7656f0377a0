/* Preloaded into a cofferd of the tests: a disk that fails. What it does stands in the file that COFFER_BAD_DISK names, read at
   every call, so that a test can begin and end it under the running process; nothing there: a good disk.
     sync     fsync and fdatasync end with EIO
     write    write, pwrite and their vector forms to regular files end with EIO
     read     read and pread of regular files end with EIO
     hang     fsync and fdatasync do not return until this word is gone
     slow N   fsync and fdatasync take N milliseconds more, each write N/50 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What stands behind the word, if the file begins with it; else 0. */
static const char* told(const char* word, char* text, size_t room) {
  const char* path = getenv("COFFER_BAD_DISK");
  if (!path) return 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t size = REAL(read)(fd, text, room - 1);
  close(fd);
  if (size <= 0) return 0;
  text[size] = 0;
  return strncmp(text, word, strlen(word)) == 0 ? text + strlen(word) : 0;
}

static int is(const char* word) {
  char text[32];
  return told(word, text, sizeof text) != 0;
}

static void slow(int share) {
  char text[32];
  const char* milliseconds = told("slow", text, sizeof text);
  if (milliseconds) usleep(1000 * atoi(milliseconds) / share);
}

static int regular(int fd) {
  struct stat about;
  return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

static int bad_sync(void) {
  while (is("hang")) usleep(20000);
  slow(1);
  if (!is("sync")) return 0;
  errno = EIO;
  return 1;
}

static int bad_write(int fd) {
  if (!regular(fd)) return 0;
  slow(50);
  if (!is("write")) return 0;
  errno = EIO;
  return 1;
}

static int bad_read(int fd) {
  if (!regular(fd) || !is("read")) return 0;
  errno = EIO;
  return 1;
}

int fsync(int fd) { return bad_sync() ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return bad_sync() ? -1 : REAL(fdatasync)(fd); }
ssize_t write(int fd, const void* data, size_t size) { return bad_write(fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t writev(int fd, const struct iovec* v, int n) { return bad_write(fd) ? -1 : REAL(writev)(fd, v, n); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) { return bad_write(fd) ? -1 : REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) { return bad_write(fd) ? -1 : REAL(pwrite64)(fd, data, size, at); }
ssize_t pwritev(int fd, const struct iovec* v, int n, off_t at) { return bad_write(fd) ? -1 : REAL(pwritev)(fd, v, n, at); }
ssize_t read(int fd, void* data, size_t size) { return bad_read(fd) ? -1 : REAL(read)(fd, data, size); }
ssize_t pread(int fd, void* data, size_t size, off_t at) { return bad_read(fd) ? -1 : REAL(pread)(fd, data, size, at); }
ssize_t pread64(int fd, void* data, size_t size, off64_t at) { return bad_read(fd) ? -1 : REAL(pread64)(fd, data, size, at); }
ssize_t preadv(int fd, const struct iovec* v, int n, off_t at) { return bad_read(fd) ? -1 : REAL(preadv)(fd, v, n, at); }
ssize_t preadv64(int fd, const struct iovec* v, int n, off64_t at) { return bad_read(fd) ? -1 : REAL(preadv64)(fd, v, n, at); }
ssize_t preadv2(int fd, const struct iovec* v, int n, off_t at, int flags) { return bad_read(fd) ? -1 : REAL(preadv2)(fd, v, n, at, flags); }
ssize_t preadv64v2(int fd, const struct iovec* v, int n, off64_t at, int flags) {
  return bad_read(fd) ? -1 : REAL(preadv64v2)(fd, v, n, at, flags);
}
