// A secret for one reader over a channel that others may read and change: X25519 with keys of one stream, both authenticated by a
// key that both sides have (HKDF-SHA-256), then AES-256-GCM.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace coffer::link {

inline constexpr std::size_t kExchangeBytes = 32;

// One X25519 key pair, made anew for each stream. Not thread-safe.
class Exchange {
 public:
  // Throws std::runtime_error.
  Exchange();
  ~Exchange();

  const std::string& public_key() const { return public_key_; }
  // 32 bytes that only holders of `key` who are at the two ends know: HKDF of the agreed number, with `key` as salt and the label and
  // both hellos as info. Nothing if the peer's public key is no good.
  std::optional<std::string> Agree(std::string_view peer_public, std::string_view key, std::string_view label, std::string_view dialler_hello,
                                   std::string_view acceptor_hello) const;

 private:
  struct Key;
  std::unique_ptr<Key> key_;
  std::string public_key_;
};

// A key seals one text only: the nonce is zero.
std::string Seal(std::string_view key, std::string_view text, std::string_view associated);
// Nothing if it was sealed with another key or for another purpose, or changed since.
std::optional<std::string> Open(std::string_view key, std::string_view sealed, std::string_view associated);

}  // namespace coffer::link
