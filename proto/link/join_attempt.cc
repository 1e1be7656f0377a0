#include "proto/link/join_attempt.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "cluster/ids.h"
#include "cluster/sha256.h"
#include "proto/link/join_token.h"

namespace coffer::link {
namespace {

constexpr std::string_view kNotedLabel = "coffer join attempt 1";

[[noreturn]] void Fail(const std::string& what, const std::string& path) {
  throw std::runtime_error(what + " \"" + path + "\": " + std::strerror(errno) +
                           ". The join token was not shown; start again when the file can be written");
}

std::string Drawn() {
  std::string attempt(JoinToken::kAttemptBytes, '\0');
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(attempt.data()), static_cast<int>(attempt.size())) != 1) {
    throw std::runtime_error("the system gives no random bytes; the join token was not shown");
  }
  return attempt;
}

bool SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int directory = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return false;
  const bool synced = fsync(directory) == 0;
  close(directory);
  return synced;
}

// Under another name first, so that a file of this name is always whole.
void Write(const std::string& path, const std::string& text) {
  const std::string draft = path + ".next";
  const int file = open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) Fail("can't make", draft);
  const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(file) == 0;
  close(file);
  if (!written || rename(draft.c_str(), path.c_str()) != 0 || !SyncFolderOf(path)) Fail("can't write", path);
}

}  // namespace

std::string JoinAttempt(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno != ENOENT) Fail("can't read", path);
    const std::string attempt = Drawn();
    Write(path, Hex(attempt));
    return attempt;
  }
  std::string text;
  std::getline(file, text);
  const auto attempt = FromHex(text);
  if (!attempt || attempt->size() != JoinToken::kAttemptBytes) {
    throw std::runtime_error("\"" + path + "\" does not hold what an earlier attempt to join left there; the join token was not shown. Delete "
                             "that file, make a new join token and start again");
  }
  return *attempt;
}

void ForgetJoinAttempt(const std::string& path) { unlink(path.c_str()); }

std::string NotedAttempt(const std::string& attempt) {
  return Sha256({kNotedLabel, attempt}).str().substr(0, JoinToken::kAttemptBytes);
}

}  // namespace coffer::link
