#include "proto/link/keyring.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <stdexcept>

namespace coffer::link {
namespace {

std::string_view Trimmed(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = std::min(line.find_first_not_of(kBlank), line.size());
  return line.substr(begin, line.find_last_not_of(kBlank) + 1 - begin);
}

}  // namespace

void Wipe(std::string* text) {
  OPENSSL_cleanse(text->data(), text->size());
  text->clear();
}

Keyring::~Keyring() {
  for (std::string& secret : secrets_) Wipe(&secret);
}

Keyring Keyring::Parse(std::string_view text, const std::string& place) {
  const auto fail = [&](const std::string& what) {
    throw std::runtime_error("the cluster's secret in " + place + " " + what + ". `openssl rand -hex 32` makes a good one");
  };
  Keyring keyring;
  if (text.size() > kMostBytes) fail("has more bytes than a file of secrets may have: " + std::to_string(kLeastBytes) + " to " + std::to_string(kMostBytes));
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view secret = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (secret.empty()) continue;
    if (secret.size() < kLeastBytes) {
      fail("has " + std::to_string(secret.size()) + " bytes; it must have " + std::to_string(kLeastBytes) + " to " + std::to_string(kMostBytes));
    }
    if (keyring.Has(secret)) fail("stands there twice");
    keyring.secrets_.emplace_back(secret);
  }
  if (keyring.empty()) fail("has 0 bytes; it must have " + std::to_string(kLeastBytes) + " to " + std::to_string(kMostBytes));
  if (keyring.secrets_.size() > kMostSecrets) fail("is one of more than " + std::to_string(kMostSecrets));
  return keyring;
}

std::string Keyring::Text() const {
  std::string text;
  for (const std::string& secret : secrets_) text += secret + "\n";
  return text;
}

const std::string& Keyring::first() const {
  static const std::string kNone;
  return secrets_.empty() ? kNone : secrets_.front();
}

bool Keyring::Has(std::string_view secret) const {
  return std::any_of(secrets_.begin(), secrets_.end(), [&](const std::string& known) {
    return known.size() == secret.size() && CRYPTO_memcmp(known.data(), secret.data(), secret.size()) == 0;
  });
}

}  // namespace coffer::link
