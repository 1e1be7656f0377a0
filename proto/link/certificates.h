// X.509 certificates: what they say, and making a private authority of one's own (`coffer certs`).
//
// A certificate names its kind in a SAN URI: coffer://member for nodes and routers, coffer://client for everyone else.
// Only a member's certificate opens the peer port.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace coffer::link {

// What a certificate says about its holder.
struct CertificateNames {
  std::string common_name;  // of the subject; may be empty
  std::vector<std::string> dns;
  std::vector<std::string> ips;  // as text
  std::vector<std::string> uris;
  bool member = false;  // carries coffer://member
  bool client = false;  // carries coffer://client

  // The name the holder is known by: the first DNS name, else the first IP address, else empty.
  std::string First() const;
  // Whether it is for this host, a name or an IP address; *.example.org stands for one label.
  bool Covers(const std::string& host) const;
  // Whether it was made for the member of this name: the common name, or one of the DNS names.
  bool Names(const std::string& member) const;
};

inline constexpr char kMemberUri[] = "coffer://member";
inline constexpr char kClientUri[] = "coffer://client";

// Nothing if the text is no PEM certificate.
std::optional<CertificateNames> ReadCertificateNames(const std::string& pem);
// The same of a file; nothing if it can't be read, too.
std::optional<CertificateNames> ReadCertificateFile(const std::string& path);

enum class CertificateKind { kMember, kClient };

// Writes ca.pem and ca.key (mode 0600) into the folder, which is made if need be; never over existing files.
// P-256, valid for ten years. Throws std::runtime_error.
void MakeAuthority(const std::string& folder);

struct CertificateRequest {
  std::string name;                // file name and common name; also a DNS name when `hosts` is empty
  std::vector<std::string> hosts;  // DNS names and IP addresses under which the holder is reached
  CertificateKind kind = CertificateKind::kMember;
  int days = 825;  // of validity from now; negative: expired already (tests)
};

// Writes NAME.pem and NAME.key (mode 0600), signed by the authority in the folder; never over existing files.
// Throws std::runtime_error.
void MakeCertificate(const std::string& folder, const CertificateRequest& request);

}  // namespace coffer::link
