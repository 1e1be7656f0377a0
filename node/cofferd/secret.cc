#include "node/cofferd/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include "cluster/ids.h"

namespace coffer::server {
namespace {

constexpr std::size_t kLeastBytes = 16;
constexpr std::size_t kMostBytes = 4096;

std::string Because(const std::string& what, const std::string& path) {
  return what + " " + path + ": " + std::strerror(errno);
}

}  // namespace

Secret::Secret(Secret&& other) noexcept : bytes_(other.bytes_) {
  OPENSSL_cleanse(other.bytes_.data(), other.bytes_.size());
  other.bytes_.clear();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  bytes_.swap(other.bytes_);
  return *this;
}

Secret::~Secret() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

Secret ReadSecret(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error(Because("can't read the cluster's secret in", path) +
                             ". Copy DATA/secret of the node that formed the cluster, and name the copy with --secret-file");
  }
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  Secret secret(text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin));
  const std::size_t size = secret.Reveal().size();
  OPENSSL_cleanse(text.data(), text.size());
  if (size < kLeastBytes || size > kMostBytes) {
    throw std::runtime_error("the cluster's secret in " + path + " has " + std::to_string(size) + " bytes; it must have " +
                             std::to_string(kLeastBytes) + " to " + std::to_string(kMostBytes) +
                             ". `openssl rand -hex 32` makes a good one");
  }
  return secret;
}

Secret NewSecret() {
  std::array<unsigned char, 32> random;
  if (RAND_bytes(random.data(), random.size()) != 1) throw std::runtime_error("the system gives no random bytes");
  Secret secret(Hex({reinterpret_cast<const char*>(random.data()), random.size()}));
  OPENSSL_cleanse(random.data(), random.size());
  return secret;
}

void WriteSecret(const Secret& secret, const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) throw std::runtime_error(Because("can't make the cluster's secret in", path));
  const std::string& text = secret.Reveal();
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && write(fd, "\n", 1) == 1 &&
                       fsync(fd) == 0;
  const std::string why = written ? "" : Because("can't write the cluster's secret to", path);
  close(fd);
  if (written) return;
  unlink(path.c_str());
  throw std::runtime_error(why);
}

bool SecretIsExposed(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

}  // namespace coffer::server
