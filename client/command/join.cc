// coffer join: makes the configuration of a node that joins a cluster, after trying whether it could.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "client/command/command.h"
#include "client/command/registry.h"
#include "proto/link/link.h"

namespace coffer::command {
namespace {

namespace fs = std::filesystem;

struct JoinArguments {
  std::string seed;
  std::string secret_file;
  std::string data;
  std::string name;
};

// As cofferd reads it: without white space at its ends.
std::string ReadSecret(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw CommandError(kExitFailure, "can't read the secret file \"" + path + "\": " + std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  std::string secret = text.str();
  while (!secret.empty() && std::isspace(static_cast<unsigned char>(secret.back()))) secret.pop_back();
  secret.erase(0, std::min(secret.size(), secret.find_first_not_of(" \t\r\n")));
  if (secret.empty()) throw CommandError(kExitFailure, "the secret file \"" + path + "\" is empty");
  return secret;
}

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
    if (e.path().filename() == "lost+found") continue;
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

std::string ConfigText(const Session& session, const JoinArguments& a) {
  std::ostringstream out;
  out << "# Written by coffer join; every key is described by: cofferd --help\n"
      << "data = " << Quoted(fs::absolute(a.data).lexically_normal().string()) << "\n"
      << "join = [" << Quoted(a.seed) << "]\n"
      << "secret_file = " << Quoted(fs::absolute(a.secret_file).lexically_normal().string()) << "\n";
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

int Join(Session& session, const JoinArguments& a) {
  CheckFolder(a.data);
  const std::string secret = ReadSecret(a.secret_file);
  const link::TlsFiles tls{session.tls_certificate, session.tls_key, session.tls_ca};
  link::ProbeResult probe;
  try {
    probe = link::Probe(a.seed, secret, tls, session.timeout().value_or(std::chrono::seconds(10)));
  } catch (const std::exception& e) {
    throw CommandError(kExitFailure, std::string(e.what()) + "\n  nothing was changed");
  }
  if (!probe.peer) {
    const bool silent =
        probe.refusal.reason == "UNREACHABLE" || probe.refusal.reason == "TIMEOUT" || probe.refusal.reason == "REFUSED";
    throw CommandError(silent ? kExitUnavailable : kExitFailure, a.seed + ": " + probe.refusal.message +
                                                                     "\n  nothing was changed\n  why: coffer explain " +
                                                                     probe.refusal.reason);
  }
  std::error_code error;
  fs::create_directories(a.data, error);
  if (error) throw CommandError(kExitFailure, "can't make the folder \"" + a.data + "\": " + error.message());
  const std::string config = fs::absolute(a.data).lexically_normal().string() + "/cofferd.toml";
  WriteNew(config, ConfigText(session, a));
  const std::string start = "cofferd --config " + ShellQuoted(config);
  if (session.json()) {
    session.out()
        << nlohmann::json{{"seed", a.seed}, {"member", probe.peer->name}, {"config", config}, {"start", start}}.dump()
        << "\n";
    return kExitOk;
  }
  session.err() << "coffer: " << probe.peer->name << " answers at " << a.seed << " and knows the same secret\n"
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
      "SEED is the peer port of a member (7701), not a router's. The secret is a copy of DATA/secret of a member.");
  auto a = std::make_shared<JoinArguments>();
  cmd->add_option("seed", a->seed, "host:port of a member's peer port")->required();
  cmd->add_option("--secret-file", a->secret_file, "File with the cluster's secret")->required();
  cmd->add_option("--data", a->data, "The new node's data folder, absent or empty")->required();
  cmd->add_option("--name", a->name, "The new node's name (the host's name otherwise)");
  cmd->callback([&session, a] { session.action = [&session, a] { return Join(session, *a); }; });
}

}  // namespace coffer::command
