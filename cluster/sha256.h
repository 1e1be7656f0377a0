// SHA-256, at once or piece by piece: a thin wrapper over OpenSSL's EVP interface.
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>

#include "cluster/ids.h"

namespace coffer {

// The digest of the concatenation of `parts`. Thread-safe.
Digest Sha256(std::initializer_list<std::string_view> parts);

// A digest that is fed piece by piece. Single-threaded; moveable.
class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(Sha256Hasher&&) noexcept;
  Sha256Hasher& operator=(Sha256Hasher&&) noexcept;

  // Appends bytes; returns itself, so that calls can be chained.
  Sha256Hasher& Update(std::string_view bytes);
  // The digest of everything since the construction or the last Finish; the hasher starts anew.
  Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace coffer
