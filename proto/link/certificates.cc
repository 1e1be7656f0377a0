#include "proto/link/certificates.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <sstream>

#include "proto/link/openssl_pointer.h"

namespace coffer::link {
namespace {

std::string TextOf(const ASN1_STRING* value) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), ASN1_STRING_length(value));
}

std::string IpOf(const ASN1_OCTET_STRING* value) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int size = ASN1_STRING_length(value);
  if (size != 4 && size != 16) return {};
  inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text.data(), text.size());
  return text.data();
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool Matches(const std::string& pattern, const std::string& host) {
  if (pattern == host) return true;
  if (pattern.rfind("*.", 0) != 0) return false;
  const auto dot = host.find('.');
  return dot != std::string::npos && dot > 0 && host.substr(dot) == pattern.substr(1);
}

}  // namespace

std::string CertificateNames::First() const {
  if (!dns.empty()) return dns.front();
  return ips.empty() ? std::string() : ips.front();
}

bool CertificateNames::Covers(const std::string& host) const {
  const std::string wanted = Lower(host);
  return std::any_of(dns.begin(), dns.end(), [&](const auto& name) { return Matches(Lower(name), wanted); }) ||
         std::find(ips.begin(), ips.end(), wanted) != ips.end();
}

bool CertificateNames::Names(const std::string& member) const {
  return !member.empty() && (common_name == member || std::find(dns.begin(), dns.end(), member) != dns.end());
}

std::optional<CertificateNames> ReadCertificateNames(const std::string& pem) {
  const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const CertPtr cert(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  if (!cert) return std::nullopt;
  CertificateNames names;
  X509_NAME* const subject = X509_get_subject_name(cert.get());
  if (const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); at >= 0) {
    names.common_name = TextOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  }
  std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> all(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert.get(), NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
    if (name->type == GEN_DNS) names.dns.push_back(TextOf(name->d.dNSName));
    if (name->type == GEN_IPADD) names.ips.push_back(IpOf(name->d.iPAddress));
    if (name->type == GEN_URI) names.uris.push_back(TextOf(name->d.uniformResourceIdentifier));
  }
  const auto has = [&](const char* uri) {
    return std::find(names.uris.begin(), names.uris.end(), uri) != names.uris.end();
  };
  names.member = has(kMemberUri);
  names.client = has(kClientUri);
  return names;
}

std::optional<CertificateNames> ReadCertificateFile(const std::string& path) {
  std::ostringstream pem;
  pem << std::ifstream(path, std::ios::binary).rdbuf();
  return ReadCertificateNames(pem.str());
}

}  // namespace coffer::link
