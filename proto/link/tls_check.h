// What is wrong with TLS, in words: gRPC keeps the reasons to itself.
#pragma once

#include <chrono>
#include <string>

#include "proto/link/certificates.h"
#include "proto/link/link.h"

namespace coffer::link {

// Throws std::runtime_error when the three files can't work: missing, unreadable, key of another certificate, expired
// or not valid yet, not signed by the authority, or of another kind than `kind`.
void CheckTlsFiles(const TlsFiles& tls, CertificateKind kind);

// Connects once more with OpenSSL and says why TLS fails with this address: our verdict on its certificate, or its on
// ours. Empty when nothing is found wrong. Blocks for about `timeout` per step.
std::string ExplainTlsFailure(const std::string& address, const TlsFiles& tls, std::chrono::milliseconds timeout);

}  // namespace coffer::link
