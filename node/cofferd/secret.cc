#include "node/cofferd/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "cluster/ids.h"

namespace coffer::server {
namespace {

std::string Because(const std::string& what, const std::string& path) {
  return what + " " + path + ": " + std::strerror(errno);
}

}  // namespace

link::Keyring ReadSecrets(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error(Because("can't read the cluster's secret in", path) +
                             ". Copy DATA/secret of the node that formed the cluster, and name the copy with --secret-file");
  }
  std::string text(link::Keyring::kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  try {
    link::Keyring keyring = link::Keyring::Parse(text, path);
    link::Wipe(&text);
    return keyring;
  } catch (...) {
    link::Wipe(&text);
    throw;
  }
}

bool SecretIsThere(const std::string& path) {
  std::error_code unknown;
  const bool there = std::filesystem::exists(path, unknown);
  if (unknown) {
    throw std::runtime_error("can't look for the cluster's secret in " + path + ": " + unknown.message() +
                             ". Nothing was changed. Give its folder and everything in it to the user cofferd runs as");
  }
  return there;
}

link::Keyring NewSecret() {
  std::array<unsigned char, 32> random;
  if (RAND_bytes(random.data(), random.size()) != 1) throw std::runtime_error("the system gives no random bytes");
  link::Keyring keyring(Hex({reinterpret_cast<const char*>(random.data()), random.size()}));
  OPENSSL_cleanse(random.data(), random.size());
  return keyring;
}

NewSecretFile::NewSecretFile(const std::string& path) : path_(path), draft_(path + ".next") {
  struct stat status;
  if (lstat(path_.c_str(), &status) == 0) {
    errno = EEXIST;
    throw std::runtime_error(Because("can't make the cluster's secret in", path_));
  }
  descriptor_ = open(draft_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor_ < 0) throw std::runtime_error(Because("can't make the cluster's secret in", path_));
}

NewSecretFile::~NewSecretFile() {
  close(descriptor_);
  unlink(draft_.c_str());
}

void NewSecretFile::Keep(const link::Keyring& keyring) {
  std::string text = keyring.Text();
  // A link, not a rename: it fails where a file of this name has appeared.
  const bool kept = write(descriptor_, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(descriptor_) == 0 &&
                    ::link(draft_.c_str(), path_.c_str()) == 0;
  const std::string why = kept ? "" : Because("can't write the cluster's secret to", path_);
  link::Wipe(&text);
  if (!kept) throw std::runtime_error(why);
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const int directory = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool durable = directory >= 0 && fsync(directory) == 0;
  const std::string lost = durable ? "" : Because("can't make durable the folder of", path_);
  if (directory >= 0) close(directory);
  if (!durable) throw std::runtime_error(lost);
}

bool IsExposed(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

}  // namespace coffer::server
