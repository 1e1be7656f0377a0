#include "proto/link/tls_check.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "proto/link/endpoint.h"
#include "proto/link/openssl_pointer.h"

namespace coffer::link {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Freed<SSL_free>>;

struct FreeChain {
  void operator()(STACK_OF(X509) * chain) const { sk_X509_pop_free(chain, X509_free); }
};
using ChainPtr = std::unique_ptr<STACK_OF(X509), FreeChain>;

[[noreturn]] void Fail(const std::string& what) {
  throw std::runtime_error("TLS: " + what);
}

std::string ReadFile(const std::string& path, const char* what) {
  if (path.empty()) Fail(std::string("no file is given for ") + what + "; certificate, key and CA belong together");
  std::ifstream in(path, std::ios::binary);
  if (!in) Fail(std::string("can't read ") + what + " " + path + ": " + std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

BioPtr Memory(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

int NoPassword(char*, int, int, void*) {
  return -1;
}

std::string DateOf(const ASN1_TIME* time) {
  tm parts{};
  char text[32] = "";
  if (ASN1_TIME_to_tm(time, &parts) == 1) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

// The certificates of a file, first to last.
ChainPtr ReadChain(const std::string& pem) {
  ChainPtr chain(sk_X509_new_null());
  BioPtr in = Memory(pem);
  while (X509* cert = PEM_read_bio_X509(in.get(), nullptr, NoPassword, nullptr)) sk_X509_push(chain.get(), cert);
  ERR_clear_error();
  return chain;
}

std::string Verdict(int error, const X509* cert, const TlsFiles& tls) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "has expired" + (cert ? " on " + DateOf(X509_get0_notAfter(cert)) : "") + "; make a new one";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "is not valid before" + (cert ? " " + DateOf(X509_get0_notBefore(cert)) : std::string(" a later time")) +
             "; check the clocks";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return "is not signed by the authority in " + tls.ca;
    default:
      return std::string("is not valid: ") + X509_verify_cert_error_string(error);
  }
}

void CheckSignature(const TlsFiles& tls, STACK_OF(X509) * authority, STACK_OF(X509) * chain) {
  StorePtr store(X509_STORE_new());
  for (int i = 0; i < sk_X509_num(authority); ++i) X509_STORE_add_cert(store.get(), sk_X509_value(authority, i));
  StoreCtxPtr check(X509_STORE_CTX_new());
  X509* leaf = sk_X509_value(chain, 0);
  X509_STORE_CTX_init(check.get(), store.get(), leaf, chain);
  if (X509_verify_cert(check.get()) == 1) return;
  const int error = X509_STORE_CTX_get_error(check.get());
  const X509* at = X509_STORE_CTX_get_current_cert(check.get());
  const bool own = at == nullptr || at == leaf || X509_cmp(at, leaf) == 0;
  Fail("the " + (own ? "certificate " + tls.certificate : "authority " + tls.ca) + " " + Verdict(error, at, tls));
}

// ---- The second look

// A write to a connection that the other side has closed must not end the process.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec now{};
    if (!sigismember(&before_, SIGPIPE)) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_, before_;
};

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

int Connect(const HostPort& to, std::chrono::milliseconds timeout) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(to.host.c_str(), to.port.c_str(), &hints, &found) != 0) return -1;
  int connected = -1;
  for (const addrinfo* a = found; a != nullptr && connected < 0; a = a->ai_next) {
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) continue;
    pollfd wait{fd, POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    const bool begun = connect(fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS;
    if (begun && poll(&wait, 1, static_cast<int>(timeout.count())) == 1 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
      connected = fd;
    } else {
      close(fd);
    }
  }
  freeaddrinfo(found);
  if (connected < 0) return -1;
  fcntl(connected, F_SETFL, fcntl(connected, F_GETFL) & ~O_NONBLOCK);
  const timeval limit{timeout.count() / 1000, static_cast<suseconds_t>(timeout.count() % 1000 * 1000)};
  setsockopt(connected, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(connected, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return connected;
}

std::string NamesOf(SSL* ssl) {
  CertPtr cert(SSL_get1_peer_certificate(ssl));
  BioPtr out(BIO_new(BIO_s_mem()));
  if (!cert || PEM_write_bio_X509(out.get(), cert.get()) != 1) return "nothing";
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  const auto names = ReadCertificateNames(std::string(text, size));
  std::string all;
  if (names) {
    for (const auto& list : {names->dns, names->ips}) {
      for (const auto& name : list) all += (all.empty() ? "" : ", ") + name;
    }
  }
  return all.empty() ? "nothing" : all;
}

// The other side has seen our certificate and hung up. It does not say why; what can be said is how ours looks from
// here.
std::string WhatIsWrongWithOurs(const TlsFiles& tls) {
  if (!tls.enabled()) return "a certificate is required, and we have none to show";
  const std::string refused = "it does not accept our certificate " + tls.certificate + ": ";
  try {
    CheckTlsFiles(tls, CertificateKind::kClient);
  } catch (const std::runtime_error& error) {
    return refused + error.what();
  }
  return refused + "it may trust another authority than " + tls.ca + ", or its clock may be wrong; its log says more";
}

std::string Explain(SSL* ssl, bool handshake_done, const std::string& host, const TlsFiles& tls) {
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return "its certificate is not for " + host + " but for " + NamesOf(ssl);
  }
  if (verdict != X509_V_OK) {
    CertPtr cert(SSL_get1_peer_certificate(ssl));
    return "its certificate " + Verdict(static_cast<int>(verdict), cert.get(), tls);
  }
  const unsigned long error = ERR_peek_error();
  if (error == 0) return {};
  const int reason = ERR_GET_REASON(error);
  if (reason == SSL_R_WRONG_VERSION_NUMBER) return "it does not speak TLS; configure all members alike";
  const char* text = ERR_reason_error_string(error);
  // Reasons from 1000 on are alerts, the other side's verdict. gRPC closes the connection without any.
  if (handshake_done || reason >= SSL_AD_REASON_OFFSET) return WhatIsWrongWithOurs(tls);
  return text ? text : "";
}

SslCtxPtr ClientContext(const TlsFiles& tls) {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_load_verify_locations(context.get(), tls.ca.c_str(), nullptr);
  if (tls.enabled()) {
    SSL_CTX_set_default_passwd_cb(context.get(), NoPassword);
    SSL_CTX_use_certificate_chain_file(context.get(), tls.certificate.c_str());
    SSL_CTX_use_PrivateKey_file(context.get(), tls.key.c_str(), SSL_FILETYPE_PEM);
  }
  // Verified all the same, but a bad verdict does not end the handshake: we want to read the certificate.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return context;
}

}  // namespace

void CheckTlsFiles(const TlsFiles& tls, CertificateKind kind) {
  const std::string certificate = ReadFile(tls.certificate, "the certificate");
  const std::string key_text = ReadFile(tls.key, "the key");
  const std::string ca = ReadFile(tls.ca, "the CA");
  ChainPtr chain = ReadChain(certificate);
  ChainPtr authority = ReadChain(ca);
  if (sk_X509_num(chain.get()) == 0) Fail(tls.certificate + " holds no PEM certificate");
  if (sk_X509_num(authority.get()) == 0) Fail(tls.ca + " holds no PEM certificate");
  KeyPtr key(PEM_read_bio_PrivateKey(Memory(key_text).get(), nullptr, NoPassword, nullptr));
  if (!key) Fail(tls.key + " holds no PEM key without a password");
  if (X509_check_private_key(sk_X509_value(chain.get(), 0), key.get()) != 1) {
    Fail("the key " + tls.key + " does not belong to the certificate " + tls.certificate);
  }
  CheckSignature(tls, authority.get(), chain.get());
  const auto names = ReadCertificateNames(certificate);
  if (kind == CertificateKind::kMember && !(names && names->member)) {
    Fail("the certificate " + tls.certificate + " is not a member's: it lacks the URI " + kMemberUri +
         "; make one with: coffer certs FOLDER --member NAME");
  }
}

std::string ExplainTlsFailure(const std::string& address, const TlsFiles& tls, std::chrono::milliseconds timeout) {
  const HostPort to = SplitHostPort(address);
  WithoutSigpipe quiet;
  Socket socket(Connect(to, timeout));
  if (socket.fd() < 0) return {};
  ERR_clear_error();
  SslCtxPtr context = ClientContext(tls);
  if (ERR_peek_error() != 0) {
    ERR_clear_error();
    return "our own TLS files can't be used any more";
  }
  SslPtr ssl(SSL_new(context.get()));
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl.get());
  if (X509_VERIFY_PARAM_set1_ip_asc(param, to.host.c_str()) != 1) {
    SSL_set1_host(ssl.get(), to.host.c_str());
    SSL_set_tlsext_host_name(ssl.get(), to.host.c_str());
  }
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof kHttp2);
  SSL_set_fd(ssl.get(), socket.fd());
  ERR_clear_error();
  // With TLS 1.3 the other side judges our certificate after our part of the handshake is done: hence the read.
  char byte;
  const bool done = SSL_connect(ssl.get()) == 1;
  const bool agreed = done && SSL_get_verify_result(ssl.get()) == X509_V_OK && SSL_read(ssl.get(), &byte, 1) > 0;
  const std::string explanation = agreed ? std::string() : Explain(ssl.get(), done, to.host, tls);
  ERR_clear_error();
  return explanation;
}

}  // namespace coffer::link
