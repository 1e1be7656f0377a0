// The secrets by which the members of a cluster know each other, as one process has them: the first is used, all are accepted.
//
// More than one stands in it while the secret is changed on a running cluster: the new one is added everywhere, then used everywhere,
// then the old one is removed everywhere.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coffer::link {

// Wipes what it held. Can't be printed. A value.
class Keyring {
 public:
  // Bytes of one secret, and of all of them as text.
  static constexpr std::size_t kLeastBytes = 16;
  static constexpr std::size_t kMostBytes = 4096;
  static constexpr std::size_t kMostSecrets = 8;

  Keyring() = default;
  // One secret, of any length.
  Keyring(std::string secret) { secrets_.push_back(std::move(secret)); }
  Keyring(const char* secret) : Keyring(std::string(secret)) {}
  Keyring(const Keyring&) = default;
  Keyring(Keyring&& other) noexcept : secrets_(std::exchange(other.secrets_, {})) {}
  Keyring& operator=(Keyring other) noexcept {
    secrets_.swap(other.secrets_);
    return *this;
  }
  ~Keyring();

  // One secret a line, white space around each cut off, empty lines left out. Throws std::runtime_error, which names `place` and never
  // quotes the content: none, too many, too short, too long, or one twice.
  static Keyring Parse(std::string_view text, const std::string& place);
  // As Parse reads it.
  std::string Text() const;

  bool empty() const { return secrets_.empty(); }
  // The one that is used; empty if there is none.
  const std::string& first() const;
  const std::vector<std::string>& all() const { return secrets_; }
  bool Has(std::string_view secret) const;
  bool operator==(const Keyring&) const = default;

 private:
  std::vector<std::string> secrets_;
};

// Overwrites the characters, then empties the text.
void Wipe(std::string* text);

}  // namespace coffer::link
