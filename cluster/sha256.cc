#include "cluster/sha256.h"

#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>

namespace coffer {
namespace {

// SHA-256 fails only when the library is unusable (or out of memory); a wrong digest would misplace blocks, so stop.
void Require(bool ok) {
  if (ok) return;
  std::fputs("SHA-256 is not available: OpenSSL refused to compute it; check the installation of libcrypto\n", stderr);
  std::abort();
}

// Fetched once: an implicit fetch per digest costs more than hashing a short message.
const EVP_MD* Algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Require(md != nullptr);
  return md;
}

}  // namespace

struct Sha256Hasher::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();

  Context() { Require(md != nullptr); }
  ~Context() { EVP_MD_CTX_free(md); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void Start() { Require(EVP_DigestInit_ex(md, Algorithm(), nullptr) == 1); }
};

Sha256Hasher::Sha256Hasher() : context_(std::make_unique<Context>()) { context_->Start(); }
Sha256Hasher::~Sha256Hasher() = default;
Sha256Hasher::Sha256Hasher(Sha256Hasher&&) noexcept = default;
Sha256Hasher& Sha256Hasher::operator=(Sha256Hasher&&) noexcept = default;

Sha256Hasher& Sha256Hasher::Update(std::string_view bytes) {
  Require(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1);
  return *this;
}

Digest Sha256Hasher::Finish() {
  Digest digest;
  unsigned int size = 0;
  Require(EVP_DigestFinal_ex(context_->md, digest.bytes.data(), &size) == 1 && size == Digest::kSize);
  context_->Start();
  return digest;
}

Digest Sha256(std::initializer_list<std::string_view> parts) {
  thread_local Sha256Hasher hasher;
  for (std::string_view part : parts) hasher.Update(part);
  return hasher.Finish();
}

}  // namespace coffer
