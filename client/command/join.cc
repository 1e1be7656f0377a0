// coffer join: makes the configuration of a node that joins a cluster, after trying whether it could.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "client/command/command.h"
#include "client/command/member_secret.h"
#include "client/command/registry.h"
#include "proto/link/join_attempt.h"
#include "proto/link/link.h"

namespace coffer::command {
namespace {

namespace fs = std::filesystem;

struct JoinArguments {
  std::string seed;
  std::string secret_file;
  std::string token_file;
  std::string data;
  std::string name;
};

// Whether a node could begin there: absent, or empty.
void CheckFolder(const std::string& data) {
  const fs::file_status status = fs::status(data);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status))
    throw CommandError(kExitFailure, "\"" + data + "\" is no folder\n  nothing was changed");
  if (fs::exists(data + "/identity")) {
    throw CommandError(kExitFailure, "the folder \"" + data +
                                         "\" belongs to a node already; nothing was changed\n"
                                         "  next: start that node as it is, or join with an empty folder");
  }
  if (fs::exists(data + "/cofferd.toml")) {
    throw CommandError(kExitFailure, "there is a \"" + data +
                                         "/cofferd.toml\" already; nothing was changed\n"
                                         "  next: start the node with it, or delete it and join again");
  }
  for (const fs::directory_entry& e : fs::directory_iterator(data)) {
    if (e.path().filename() == "lost+found" || e.path().filename() == "secret.join") continue;  // an earlier attempt's
    throw CommandError(kExitFailure, "the folder \"" + data + "\" holds " + e.path().filename().string() +
                                         "; nothing was changed\n  next: give an empty folder");
  }
}

// A basic TOML string.
std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (u < 0x20 || u == 0x7f) throw UsageError("a name or path has control characters");
    out += c;
  }
  return out + "\"";
}

// Where the node finds the secret: a token's goes into the data folder.
std::string SecretPath(const JoinArguments& a) { return a.secret_file.empty() ? a.data + "/secret" : a.secret_file; }

std::string ConfigText(const Session& session, const JoinArguments& a) {
  std::ostringstream out;
  out << "# Written by coffer join; every key is described by: cofferd --help\n"
      << "data = " << Quoted(fs::absolute(a.data).lexically_normal().string()) << "\n"
      << "join = [" << Quoted(a.seed) << "]\n"
      << "secret_file = " << Quoted(fs::absolute(SecretPath(a)).lexically_normal().string()) << "\n";
  if (!a.name.empty()) out << "name = " << Quoted(a.name) << "\n";
  const auto file = [&](const char* key, const std::string& path) {
    if (!path.empty()) out << key << " = " << Quoted(fs::absolute(path).lexically_normal().string()) << "\n";
  };
  file("tls_cert", session.tls_certificate);
  file("tls_key", session.tls_key);
  file("tls_ca", session.tls_ca);
  return out.str();
}

void WriteNew(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) throw CommandError(kExitFailure, "can't write " + path + ": " + std::strerror(errno));
  const bool fine = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (fine) return;
  unlink(path.c_str());
  throw CommandError(kExitFailure, "can't write " + path + ": " + std::strerror(error));
}

std::string ShellQuoted(const std::string& text) {
  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == std::string::npos)
    return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Ends the command unless somebody answered.
void NeedPeer(const std::string& seed, const link::ProbeResult& probe, const std::string& what_changed) {
  if (probe.peer) return;
  const bool silent =
      probe.refusal.reason == "UNREACHABLE" || probe.refusal.reason == "TIMEOUT" || probe.refusal.reason == "REFUSED";
  throw CommandError(silent ? kExitUnavailable : kExitFailure,
                     seed + ": " + probe.refusal.message + "\n  " + what_changed + "\n  why: coffer explain " + probe.refusal.reason);
}

std::string HostName() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return host;
}

void MakeFolder(const std::string& data) {
  std::error_code error;
  fs::create_directories(data, error);
  if (error) throw CommandError(kExitFailure, "can't make the folder \"" + data + "\": " + error.message());
}

// With the secret: it is tried, then the settings are written.
link::Identity JoinBySecret(Session& session, const JoinArguments& a, const link::TlsFiles& tls, const std::string& config) {
  const link::Keyring keyring = ReadKeyring(a.secret_file);
  const auto probe = link::Probe(a.seed, keyring, tls, session.timeout().value_or(std::chrono::seconds(10)));
  NeedPeer(a.seed, probe, "nothing was changed");
  MakeFolder(a.data);
  WriteNew(config, ConfigText(session, a));
  return *probe.peer;
}

// With a token: everything that may fail comes before it is shown, because then it is gone for all but this folder.
link::Identity JoinByToken(Session& session, const JoinArguments& a, const link::TlsFiles& tls, const std::string& config) {
  link::JoinToken token = link::ReadJoinToken(a.token_file);
  if (const std::string why = link::WhyOtherAuthority(token, tls.ca); !why.empty()) throw CommandError(kExitFailure, why);
  MakeFolder(a.data);
  const std::string attempt_path = SecretPath(a) + ".join";
  token.attempt = link::JoinAttempt(attempt_path);
  WriteNew(config, ConfigText(session, a));
  link::Identity self;
  self.name = a.name.empty() ? HostName() : a.name;
  link::GrantResult grant;
  try {
    grant = link::ShowJoinToken(a.seed, token, self, tls, session.timeout().value_or(std::chrono::seconds(15)));
    NeedPeer(a.seed, grant, "the settings were taken back");
  } catch (...) {
    unlink(config.c_str());
    throw;
  }
  std::string text = grant.granted.Text();
  WriteNew(SecretPath(a), text);
  link::Wipe(&text);
  link::ForgetJoinAttempt(attempt_path);
  return *grant.peer;
}

int Join(Session& session, const JoinArguments& a) {
  if (a.secret_file.empty() == a.token_file.empty()) throw UsageError("name the secret with --secret-file, or a join token with --token-file");
  CheckFolder(a.data);
  const link::TlsFiles tls{session.tls_certificate, session.tls_key, session.tls_ca};
  const std::string config = fs::absolute(a.data).lexically_normal().string() + "/cofferd.toml";
  link::Identity peer;
  try {
    peer = a.token_file.empty() ? JoinBySecret(session, a, tls, config) : JoinByToken(session, a, tls, config);
  } catch (const CommandError&) {
    throw;
  } catch (const std::exception& e) {
    throw CommandError(kExitFailure, std::string(e.what()) + "\n  nothing was changed");
  }
  const std::string start = "cofferd --config " + ShellQuoted(config);
  if (session.json()) {
    session.out() << nlohmann::json{{"seed", a.seed}, {"member", peer.name}, {"config", config}, {"start", start}}.dump() << "\n";
    return kExitOk;
  }
  session.err() << "coffer: " << peer.name << " answers at " << a.seed
                << (a.token_file.empty() ? " and knows the same secret\n" : " and gave the cluster's secret for the join token\n")
                << "coffer: wrote " << config << "; start the node with:\n";
  session.out() << start << "\n";
  return kExitOk;
}

}  // namespace

void AddJoin(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("join", "Prepare a node that joins a cluster; prints how to start it");
  cmd->footer(
      "  coffer join node-1:7701 --secret-file /etc/coffer/secret --data /var/lib/coffer\n"
      "  coffer join node-1:7701 --secret-file secret --data d --name node-4\n"
      "  coffer join node-1:7701 --secret-file secret --data d --tls-cert node-4.pem --tls-key node-4.key --tls-ca "
      "ca.pem\n"
      "  coffer join node-1:7701 --token-file token --data d      with a join token instead of the secret\n"
      "SEED is the peer port of a member (7701), not a router's. The secret is a copy of DATA/secret of a member.");
  auto a = std::make_shared<JoinArguments>();
  cmd->add_option("seed", a->seed, "host:port of a member's peer port")->required();
  cmd->add_option("--secret-file", a->secret_file, "File with the cluster's secret");
  cmd->add_option("--token-file", a->token_file, "File with a join token, which is used up; the secret goes to DATA/secret");
  cmd->add_option("--data", a->data, "The new node's data folder, absent or empty")->required();
  cmd->add_option("--name", a->name, "The new node's name (the host's name otherwise)");
  cmd->callback([&session, a] { session.action = [&session, a] { return Join(session, *a); }; });
}

}  // namespace coffer::command
