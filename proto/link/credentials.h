// gRPC credentials from three PEM files, for the peer port, the public front and the client library.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "proto/link/link.h"

namespace coffer::link {

// What a server asks of its callers.
enum class CallerCertificate {
  kNone,      // not asked for
  kOptional,  // verified if there is one
  kRequired,  // no connection without a verified one
};

// Cleartext when tls is empty. Throws std::runtime_error when a file can't be read (CheckTlsFiles says more, earlier).
std::shared_ptr<grpc::ServerCredentials> ServerCredentialsFor(const TlsFiles& tls, CallerCertificate caller);
// Cleartext when tls is empty; with only `ca` set the server is verified and we show no certificate.
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsFor(const TlsFiles& tls);

}  // namespace coffer::link
