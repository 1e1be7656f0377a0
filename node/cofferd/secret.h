// The file with the cluster's secrets: who knows one of them may link. What is read is never printed, and wipes itself.
#pragma once

#include <string>

#include "proto/link/keyring.h"

namespace coffer::server {

// One secret a line, as Keyring::Parse. Throws std::runtime_error, which never quotes the content.
link::Keyring ReadSecrets(const std::string& path);
// Whether there is such a file. Throws std::runtime_error where that can't be known: in a folder that may not be entered.
bool SecretIsThere(const std::string& path);
// 256 random bits in hexadecimal. Throws std::runtime_error.
link::Keyring NewSecret();

// A file for a secret, made before there is one: that it can be written is certain before the secret is asked for. Gone with this
// object unless something was kept.
class NewSecretFile {
 public:
  // Mode 0600, never over an existing file. Throws std::runtime_error.
  explicit NewSecretFile(const std::string& path);
  ~NewSecretFile();
  NewSecretFile(const NewSecretFile&) = delete;
  NewSecretFile& operator=(const NewSecretFile&) = delete;

  // Durably, or throws std::runtime_error.
  void Keep(const link::Keyring& keyring);

 private:
  const std::string path_;
  const std::string draft_;
  int descriptor_ = -1;
};

// Whether others than the owner may read the file.
bool IsExposed(const std::string& path);

}  // namespace coffer::server
