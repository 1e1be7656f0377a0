// What a caller says of itself, as a log may show it: strangers choose these words.
#pragma once

#include <algorithm>
#include <string>

namespace coffer::link {

// Without control characters and anything beyond ASCII.
inline std::string Printable(std::string text) {
  std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return text.empty() ? "a nameless node" : text;
}

// gRPC's name of a caller, "ipv4:10.0.0.7:4711", without scheme and port.
inline std::string CallerHost(const std::string& peer) {
  const std::size_t scheme = peer.find(':');
  const std::size_t port = peer.rfind(':');
  return scheme == std::string::npos || port <= scheme ? peer : peer.substr(scheme + 1, port - scheme - 1);
}

// What the log of the refusing side says.
inline std::string RefusedText(const std::string& peer, const std::string& name, const std::string& why) {
  return "refused " + Printable(name) + " from " + CallerHost(peer) + ": " + why;
}

// What the log of the dialling side says; the reason may say it already.
inline std::string NoLinkText(const std::string& address, const std::string& why) {
  const std::string prefix = "no link to " + address + ": ";
  return why.starts_with(prefix) ? why : prefix + why;
}

}  // namespace coffer::link
