/* Preloaded into a cofferd of the tests: a disk that fails. What it does stands in the file that COFFER_BAD_DISK names, read at
   every call, so that a test can begin and end it under the running process; nothing there: a good disk.
     sync     fsync and fdatasync end with EIO
     write    write, pwrite and their vector forms to regular files end with EIO
     hang     fsync and fdatasync do not return until this word is gone */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int told(const char* word) {
  const char* path = getenv("COFFER_BAD_DISK");
  char text[32] = "";
  if (!path) return 0;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  return size > 0 && strncmp(text, word, strlen(word)) == 0;
}

static int bad_sync(void) {
  while (told("hang")) usleep(20000);
  if (!told("sync")) return 0;
  errno = EIO;
  return 1;
}

static int bad_write(int fd) {
  struct stat about;
  if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || !told("write")) return 0;
  errno = EIO;
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return bad_sync() ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return bad_sync() ? -1 : REAL(fdatasync)(fd); }
ssize_t write(int fd, const void* data, size_t size) { return bad_write(fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t writev(int fd, const struct iovec* v, int n) { return bad_write(fd) ? -1 : REAL(writev)(fd, v, n); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) { return bad_write(fd) ? -1 : REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) { return bad_write(fd) ? -1 : REAL(pwrite64)(fd, data, size, at); }
ssize_t pwritev(int fd, const struct iovec* v, int n, off_t at) { return bad_write(fd) ? -1 : REAL(pwritev)(fd, v, n, at); }
