#include "proto/link/credentials.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace coffer::link {
namespace {

std::string ReadPem(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("can't read " + path + ": " + std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ServerCredentialsFor(const TlsFiles& tls, CallerCertificate caller) {
  if (!tls.enabled()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      caller == CallerCertificate::kRequired   ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
      : caller == CallerCertificate::kOptional ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                                               : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  if (caller != CallerCertificate::kNone) options.pem_root_certs = ReadPem(tls.ca);
  options.pem_key_cert_pairs.push_back({ReadPem(tls.key), ReadPem(tls.certificate)});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsFor(const TlsFiles& tls) {
  if (!tls.enabled() && tls.ca.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ReadPem(tls.ca);
  if (tls.enabled()) {
    options.pem_private_key = ReadPem(tls.key);
    options.pem_cert_chain = ReadPem(tls.certificate);
  }
  return grpc::SslCredentials(options);
}

}  // namespace coffer::link
