#include "node/cofferd/tls_notice.h"

namespace coffer::server {

std::string_view TlsNotice(std::string_view line, bool cleartext_expected) {
  const auto says = [line](std::string_view words) { return line.find(words) != std::string_view::npos; };
  if (!says("Handshake failed")) return {};
  if (says("did not return a certificate")) {
    return "refused a connection: it showed no certificate, and this port takes only those that show one (the log of the one refused "
           "names this address)";
  }
  if (says("certificate verify failed")) {
    return "refused a connection: its certificate is not signed by our authority (tls_ca, public_tls_ca), or is out of date (the log of "
           "the one refused names this address)";
  }
  if (says("alert")) return "a connection ended in its TLS handshake: the other side does not accept our certificate";
  if (!cleartext_expected && (says("wrong version number") || says("http request"))) {
    return "refused a connection: it spoke without TLS to a TLS port (the log of the one refused names this address)";
  }
  return {};
}

}  // namespace coffer::server
