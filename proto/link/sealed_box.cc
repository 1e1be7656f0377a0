#include "proto/link/sealed_box.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <array>
#include <stdexcept>

#include "proto/link/openssl_pointer.h"

namespace coffer::link {
namespace {

constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kKeyBytes = 32;
constexpr std::array<unsigned char, 12> kNonce{};

using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>>;

const unsigned char* Raw(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* Raw(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

void Must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("OpenSSL can't ") + what);
}

void AppendSized(std::string* out, std::string_view part) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(part.size() >> shift));
  out->append(part);
}

std::string Derive(std::string_view shared, std::string_view salt, std::string_view info) {
  KeyContextPtr context(EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
  std::string key(kKeyBytes, '\0');
  std::size_t size = key.size();
  Must(context && EVP_PKEY_derive_init(context.get()) == 1 && EVP_PKEY_CTX_set_hkdf_md(context.get(), EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set1_hkdf_salt(context.get(), Raw(salt), static_cast<int>(salt.size())) == 1 &&
           EVP_PKEY_CTX_set1_hkdf_key(context.get(), Raw(shared), static_cast<int>(shared.size())) == 1 &&
           EVP_PKEY_CTX_add1_hkdf_info(context.get(), Raw(info), static_cast<int>(info.size())) == 1 &&
           EVP_PKEY_derive(context.get(), Raw(key), &size) == 1,
       "derive a key");
  return key;
}

}  // namespace

struct Exchange::Key {
  KeyPtr pair;
};

Exchange::Exchange() : key_(std::make_unique<Key>()), public_key_(kExchangeBytes, '\0') {
  key_->pair.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  std::size_t size = public_key_.size();
  Must(key_->pair && EVP_PKEY_get_raw_public_key(key_->pair.get(), Raw(public_key_), &size) == 1 && size == kExchangeBytes,
       "make a key for an exchange");
}

Exchange::~Exchange() = default;

std::optional<std::string> Exchange::Agree(std::string_view peer_public, std::string_view key, std::string_view label,
                                           std::string_view dialler_hello, std::string_view acceptor_hello) const {
  KeyPtr peer(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, Raw(peer_public), peer_public.size()));
  KeyContextPtr context(EVP_PKEY_CTX_new(key_->pair.get(), nullptr));
  std::string shared(kExchangeBytes, '\0');
  std::size_t size = shared.size();
  // A public key of small order gives zeros, which OpenSSL refuses.
  const bool agreed = peer && context && EVP_PKEY_derive_init(context.get()) == 1 && EVP_PKEY_derive_set_peer(context.get(), peer.get()) == 1 &&
                      EVP_PKEY_derive(context.get(), Raw(shared), &size) == 1;
  if (!agreed) return std::nullopt;
  std::string info(label);
  AppendSized(&info, dialler_hello);
  AppendSized(&info, acceptor_hello);
  std::string derived = Derive(shared, key, info);
  OPENSSL_cleanse(shared.data(), shared.size());
  return derived;
}

std::string Seal(std::string_view key, std::string_view text, std::string_view associated) {
  CipherPtr cipher(EVP_CIPHER_CTX_new());
  std::string sealed(text.size() + kTagBytes, '\0');
  int size = 0, last = 0, ignored = 0;
  Must(cipher && key.size() == kKeyBytes && EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Raw(key), kNonce.data()) == 1 &&
           EVP_EncryptUpdate(cipher.get(), nullptr, &ignored, Raw(associated), static_cast<int>(associated.size())) == 1 &&
           EVP_EncryptUpdate(cipher.get(), Raw(sealed), &size, Raw(text), static_cast<int>(text.size())) == 1 &&
           EVP_EncryptFinal_ex(cipher.get(), Raw(sealed) + size, &last) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, Raw(sealed) + text.size()) == 1,
       "seal a text");
  return sealed;
}

std::optional<std::string> Open(std::string_view key, std::string_view sealed, std::string_view associated) {
  if (sealed.size() < kTagBytes || key.size() != kKeyBytes) return std::nullopt;
  CipherPtr cipher(EVP_CIPHER_CTX_new());
  std::string text(sealed.size() - kTagBytes, '\0');
  std::string tag(sealed.substr(text.size()));
  int size = 0, last = 0, ignored = 0;
  const bool opened = cipher && EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Raw(key), kNonce.data()) == 1 &&
                      EVP_DecryptUpdate(cipher.get(), nullptr, &ignored, Raw(associated), static_cast<int>(associated.size())) == 1 &&
                      EVP_DecryptUpdate(cipher.get(), Raw(text), &size, Raw(sealed), static_cast<int>(text.size())) == 1 &&
                      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
                      EVP_DecryptFinal_ex(cipher.get(), Raw(text) + size, &last) == 1;
  if (!opened) return std::nullopt;
  return text;
}

}  // namespace coffer::link
