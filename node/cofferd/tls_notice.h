// What gRPC logs of a TLS handshake that failed before any of our code saw the caller, in words for the operator.
#pragma once

#include <string_view>

namespace coffer::server {

// Empty: nothing to tell. `cleartext_expected`: our own probe of a TLS port speaks cleartext, so that is no news.
std::string_view TlsNotice(std::string_view line_of_grpc, bool cleartext_expected);

}  // namespace coffer::server
