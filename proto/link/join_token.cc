#include "proto/link/join_token.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "cluster/sha256.h"
#include "proto/link/handshake.h"
#include "proto/link/keyring.h"
#include "proto/link/openssl_pointer.h"

namespace coffer::link {
namespace {

constexpr std::string_view kPrefix = "coffer-join-1-";
constexpr std::string_view kKeyLabel = "coffer join token 1";
constexpr std::size_t kMostTextBytes = 4096;
constexpr std::string_view kBlank = " \t\r\n";

}  // namespace

JoinToken::~JoinToken() {
  Wipe(&random);
  Wipe(&key);
  Wipe(&attempt);
}

std::string JoinToken::Hash() const { return JoinTokenHash(random); }

JoinToken NewJoinToken() {
  JoinToken token;
  token.random.assign(JoinToken::kRandomBytes, '\0');
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(token.random.data()), static_cast<int>(token.random.size())) != 1) {
    throw std::runtime_error("the system gives no random bytes");
  }
  return token;
}

std::string JoinTokenKey(std::string_view secret, std::string_view id) { return ProofOf(secret, kKeyLabel, id, ""); }

std::string JoinTokenHash(std::string_view random) { return Sha256({random}).str(); }

std::string FormatJoinToken(const JoinToken& token) {
  return std::string(kPrefix) + Hex(token.cluster.view()) + Hex(token.random) + Hex(token.key) + Hex(token.authority);
}

std::optional<JoinToken> ParseJoinToken(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  text = text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
  if (!text.starts_with(kPrefix)) return std::nullopt;
  auto raw = FromHex(text.substr(kPrefix.size()));
  constexpr std::size_t kShort = ClusterId::kSize + JoinToken::kRandomBytes + JoinToken::kKeyBytes;
  if (!raw || (raw->size() != kShort && raw->size() != kShort + JoinToken::kAuthorityBytes)) return std::nullopt;
  JoinToken token;
  token.cluster = ClusterId::Must(std::string_view(*raw).substr(0, ClusterId::kSize));
  token.random = raw->substr(ClusterId::kSize, JoinToken::kRandomBytes);
  token.key = raw->substr(ClusterId::kSize + JoinToken::kRandomBytes, JoinToken::kKeyBytes);
  token.authority = raw->substr(kShort);
  Wipe(&*raw);
  return token;
}

JoinToken ReadJoinToken(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("can't read the join token in " + path + ": " + std::strerror(errno));
  std::string text(kMostTextBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const auto token = ParseJoinToken(text);
  Wipe(&text);
  if (token) return *token;
  throw std::runtime_error(path + " holds no join token: it must be what `coffer join-token create` printed, one line that begins with " +
                           std::string(kPrefix));
}

std::string WhyOtherAuthority(const JoinToken& token, const std::string& ca_file) {
  const std::string unused = ". The token was not used";
  if (token.authority.empty() && ca_file.empty()) return "";
  if (token.authority.empty()) return "the join token is of a cluster without TLS: leave the certificates out, or make a token with the cluster's" + unused;
  if (ca_file.empty()) return "the join token is of a cluster with TLS: give this process a certificate, its key and the cluster's ca.pem" + unused;
  if (AuthorityFingerprint(ca_file) == token.authority) return "";
  return "the join token is of a cluster with another authority than " + ca_file + ": copy the cluster's ca.pem" + unused;
}

std::string AuthorityFingerprint(const std::string& ca_file) {
  const BioPtr in(BIO_new_file(ca_file.c_str(), "r"));
  const CertPtr certificate(in ? PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr) : nullptr);
  std::array<unsigned char, JoinToken::kAuthorityBytes> digest;
  unsigned int size = digest.size();
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1) {
    throw std::runtime_error("can't read a certificate (PEM) in " + ca_file);
  }
  return std::string(digest.begin(), digest.end());
}

}  // namespace coffer::link
