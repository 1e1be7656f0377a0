// The making half of certificates.h.
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "proto/link/certificates.h"
#include "proto/link/openssl_pointer.h"

namespace coffer::link {
namespace {

constexpr long kDay = 24 * 60 * 60;
constexpr long kClockSkew = 60 * 60;  // a certificate is valid at once on a host whose clock is behind
constexpr int kAuthorityDays = 3650;
constexpr int kSerialBytes = 16;

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;

[[noreturn]] void Fail(const std::string& what) {
  throw std::runtime_error("certificates: " + what);
}

void Must(bool ok, const char* step) {
  if (ok) return;
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  Fail(std::string(step) + " failed" + (reason ? std::string(": ") + reason : ""));
}

std::string PathIn(const std::string& folder, const std::string& file) {
  return (std::filesystem::path(folder) / file).string();
}

// Never over an existing file.
void WriteNew(const std::string& path, BIO* content, mode_t mode) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(content, &text);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) Fail("can't create " + path + ": " + std::strerror(errno));
  const bool whole = write(fd, text, size) == size && fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (whole) return;
  unlink(path.c_str());
  Fail("can't write " + path + ": " + std::strerror(error));
}

void WriteCertificate(const std::string& path, X509* cert) {
  BioPtr out(BIO_new(BIO_s_mem()));
  Must(PEM_write_bio_X509(out.get(), cert) == 1, "writing the certificate");
  WriteNew(path, out.get(), 0644);
}

void WriteKey(const std::string& path, EVP_PKEY* key) {
  BioPtr out(BIO_new(BIO_s_secmem()));
  Must(PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "writing the key");
  WriteNew(path, out.get(), 0600);
}

void Extend(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  Must(extension != nullptr && X509_add_ext(cert, extension.get(), -1) == 1, "adding an extension");
}

void SetName(X509_NAME* subject, const std::string& name) {
  Must(X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>("Coffer"), -1, -1,
                                  0) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                                      static_cast<int>(name.size()), -1, 0) == 1,
       "naming the holder (a name has at most 64 characters)");
}

void SetSerial(X509* cert) {
  std::array<unsigned char, kSerialBytes> bytes;
  Must(RAND_bytes(bytes.data(), bytes.size()) == 1, "drawing a serial number");
  bytes[0] &= 0x7f;
  std::unique_ptr<BIGNUM, Freed<BN_free>> number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
  Must(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert)) != nullptr, "setting the serial number");
}

// All but extensions and signature.
CertPtr Draft(const std::string& name, EVP_PKEY* key, int days) {
  CertPtr cert(X509_new());
  Must(cert != nullptr && X509_set_version(cert.get(), X509_VERSION_3) == 1, "making a certificate");
  SetSerial(cert.get());
  SetName(X509_get_subject_name(cert.get()), name);
  const std::time_t now = std::time(nullptr);
  const std::time_t until = now + days * kDay;
  ASN1_TIME_set(X509_getm_notBefore(cert.get()), std::min(now, until) - kClockSkew);
  ASN1_TIME_set(X509_getm_notAfter(cert.get()), until);
  Must(X509_set_pubkey(cert.get(), key) == 1, "setting the public key");
  return cert;
}

bool IsIp(const std::string& host) {
  std::array<unsigned char, 16> bytes;
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 || inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

// A host goes into a list that OpenSSL parses: only what a host may consist of.
void CheckHost(const std::string& host) {
  const bool good = !host.empty() && host.find_first_not_of(
                                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                         "0123456789.-_:*") == std::string::npos;
  if (!good) Fail("'" + host + "' is neither a DNS name nor an IP address");
}

std::string AlternativeNames(const CertificateRequest& request) {
  std::string names = std::string("URI:") + (request.kind == CertificateKind::kMember ? kMemberUri : kClientUri);
  auto hosts = request.hosts;
  if (hosts.empty()) hosts.push_back(request.name);
  for (const auto& host : hosts) {
    CheckHost(host);
    names += (IsIp(host) ? ",IP:" : ",DNS:") + host;
  }
  return names;
}

template <class T, class Read>
T ReadPem(const std::string& path, Read read) {
  BioPtr in(BIO_new_file(path.c_str(), "r"));
  if (!in) {
    ERR_clear_error();
    Fail("can't read " + path + ": " + std::strerror(errno) + "; make an authority first");
  }
  T read_in(read(in.get(), nullptr, nullptr, nullptr));
  Must(read_in != nullptr, ("reading " + path).c_str());
  return read_in;
}

}  // namespace

void MakeAuthority(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) Fail("can't make the folder " + folder + ": " + error.message());
  KeyPtr key(EVP_EC_gen("P-256"));
  Must(key != nullptr, "making a key");
  CertPtr cert = Draft("Coffer authority", key.get(), kAuthorityDays);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get()));
  Extend(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  Extend(cert.get(), cert.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  Extend(cert.get(), cert.get(), NID_subject_key_identifier, "hash");
  Must(X509_sign(cert.get(), key.get(), EVP_sha256()) != 0, "signing");
  WriteKey(PathIn(folder, "ca.key"), key.get());
  WriteCertificate(PathIn(folder, "ca.pem"), cert.get());
}

void MakeCertificate(const std::string& folder, const CertificateRequest& request) {
  CheckHost(request.name);
  auto authority = ReadPem<CertPtr>(PathIn(folder, "ca.pem"), PEM_read_bio_X509);
  auto authority_key = ReadPem<KeyPtr>(PathIn(folder, "ca.key"), PEM_read_bio_PrivateKey);
  KeyPtr key(EVP_EC_gen("P-256"));
  Must(key != nullptr, "making a key");
  CertPtr cert = Draft(request.name, key.get(), request.days);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(authority.get()));
  const bool member = request.kind == CertificateKind::kMember;
  Extend(cert.get(), authority.get(), NID_basic_constraints, "critical,CA:FALSE");
  Extend(cert.get(), authority.get(), NID_key_usage, "critical,digitalSignature");
  Extend(cert.get(), authority.get(), NID_ext_key_usage, member ? "serverAuth,clientAuth" : "clientAuth");
  Extend(cert.get(), authority.get(), NID_subject_alt_name, AlternativeNames(request));
  Extend(cert.get(), authority.get(), NID_subject_key_identifier, "hash");
  Extend(cert.get(), authority.get(), NID_authority_key_identifier, "keyid:always");
  Must(X509_sign(cert.get(), authority_key.get(), EVP_sha256()) != 0, "signing");
  WriteKey(PathIn(folder, request.name + ".key"), key.get());
  WriteCertificate(PathIn(folder, request.name + ".pem"), cert.get());
}

}  // namespace coffer::link
