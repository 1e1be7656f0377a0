// coffer certs: a private authority, and certificates for members and clients.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/command.h"
#include "client/command/registry.h"
#include "proto/link/certificates.h"

namespace coffer::command {
namespace {

struct CertsArguments {
  std::string folder;
  std::vector<std::string> members;
  std::vector<std::string> clients;
  int days = 825;
};

// "node-1=node-1.example.org,10.0.0.1" or just "node-1".
link::CertificateRequest ParseHolder(const std::string& text, link::CertificateKind kind, int days) {
  link::CertificateRequest r;
  r.kind = kind;
  r.days = days;
  const std::size_t equals = text.find('=');
  r.name = text.substr(0, equals);
  const bool plain =
      !r.name.empty() && r.name.find_first_of("/\\ \t") == std::string::npos && r.name[0] != '.' && r.name[0] != '-';
  if (!plain || r.name == "ca")
    throw UsageError("\"" + text +
                     "\": the form is NAME or NAME=HOST[,HOST...], NAME being a plain file name other than ca");
  if (equals == std::string::npos) return r;
  std::size_t at = equals + 1;
  while (at <= text.size()) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    if (comma == at) throw UsageError("\"" + text + "\": a host is missing");
    r.hosts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return r;
}

int Certs(Session& session, const CertsArguments& a) {
  // Everything is understood before anything is written.
  std::vector<link::CertificateRequest> requests;
  for (const std::string& m : a.members) requests.push_back(ParseHolder(m, link::CertificateKind::kMember, a.days));
  for (const std::string& c : a.clients) requests.push_back(ParseHolder(c, link::CertificateKind::kClient, a.days));
  std::vector<std::string> written;
  const auto note = [&](const std::string& name) {
    for (const char* ending : {".pem", ".key"}) written.push_back(a.folder + "/" + name + ending);
  };
  if (!std::filesystem::exists(a.folder + "/ca.pem")) {
    link::MakeAuthority(a.folder);
    note("ca");
  }
  for (const link::CertificateRequest& r : requests) {
    link::MakeCertificate(a.folder, r);
    note(r.name);
  }
  for (const std::string& path : written) {
    if (session.json()) {
      session.out() << nlohmann::json{{"file", path}}.dump() << "\n";
    } else {
      session.out() << path << "\n";
    }
  }
  if (written.empty())
    session.err() << "coffer: the authority is there already; name whom to make certificates for: --member, --client\n";
  if (!written.empty())
    session.err() << "coffer: keep ca.key away from the servers; it is only needed to make more certificates\n";
  return kExitOk;
}

}  // namespace

void AddCerts(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("certs", "Make a private authority and certificates");
  cmd->footer(
      "  coffer certs tls --member node-1 --member node-2 --client ops\n"
      "  coffer certs tls --member node-3=node-3.example.org,10.0.0.3\n"
      "The first call makes the authority (ca.pem, ca.key). Existing files are never written over.");
  auto a = std::make_shared<CertsArguments>();
  cmd->add_option("folder", a->folder, "Where the files go")->required();
  cmd->add_option("--member", a->members, "A node or router: NAME[=HOST,HOST...]")->allow_extra_args(false);
  cmd->add_option("--client", a->clients, "A client of the public port: NAME")->allow_extra_args(false);
  cmd->add_option("--days", a->days, "Days of validity")->check(CLI::Range(1, 3650))->capture_default_str();
  cmd->callback([&session, a] { session.action = [&session, a] { return Certs(session, *a); }; });
}

}  // namespace coffer::command
