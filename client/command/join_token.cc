// coffer join-token: tokens that let one node join, made, listed and revoked by whoever knows the cluster's secret.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/command.h"
#include "client/command/format.h"
#include "client/command/member_secret.h"
#include "client/command/registry.h"
#include "cluster/join_tokens.h"
#include "proto/link/link.h"

namespace coffer::command {
namespace {

using std::chrono::milliseconds;

struct TokenArguments {
  std::string seed;
  std::string secret_file;
  std::string ttl = "1h";
  std::string out;
  std::string id;
};

std::string IdOf(const std::string& hash) { return Hex(std::string_view(hash).substr(0, cluster::kShortJoinTokenIdBytes)); }

std::uint64_t NowMs() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

// Has a member do it, who must be one of a cluster.
link::ErrandResult Ask(Session& session, const TokenArguments& a, const link::Keyring& keyring, const wire::Errand& errand) {
  link::ErrandResult result;
  try {
    result = link::RunErrand(a.seed, keyring, {session.tls_certificate, session.tls_key, session.tls_ca}, errand,
                             session.timeout().value_or(std::chrono::seconds(10)));
  } catch (const std::exception& e) {
    throw CommandError(kExitFailure, e.what());
  }
  if (!result.peer) {
    const std::string& reason = result.refusal.reason;
    const bool silent = reason == "UNREACHABLE" || reason == "TIMEOUT" || reason == "REFUSED";
    throw CommandError(silent ? kExitUnavailable : kExitFailure, a.seed + ": " + result.refusal.message + "\n  why: coffer explain " + reason);
  }
  const auto& status = result.answer.status();
  constexpr int kUnavailable = 14;
  if (status.code() != 0) throw CommandError(status.code() == kUnavailable ? kExitUnavailable : kExitFailure, a.seed + ": " + status.message());
  if (result.peer->cluster.IsZero()) throw CommandError(kExitFailure, a.seed + " belongs to no cluster yet; nothing can join there");
  return result;
}

// Never over an existing file, for its owner only.
void WriteToken(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) throw CommandError(kExitFailure, "can't write " + path + ": " + std::strerror(errno) + "\n  no token was made");
  const bool fine = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  close(fd);
  if (fine) return;
  unlink(path.c_str());
  throw CommandError(kExitFailure, "can't write " + path + ": " + std::strerror(error) + "\n  no token was made");
}

int Create(Session& session, const TokenArguments& a) {
  const milliseconds ttl = ParseDuration(a.ttl);
  if (ttl < std::chrono::seconds(1) || ttl > milliseconds(cluster::kMostJoinTokenLifetimeMs)) {
    throw UsageError("--ttl " + a.ttl + ": a join token lives for 1s to 1h");
  }
  const link::Keyring keyring = ReadKeyring(a.secret_file);
  link::JoinToken token;
  try {
    token = link::NewJoinToken();
    if (!session.tls_ca.empty()) token.authority = link::AuthorityFingerprint(session.tls_ca);
  } catch (const std::exception& e) {
    throw CommandError(kExitFailure, e.what());
  }
  token.key = link::JoinTokenKey(keyring.first(), token.Id());
  // Which cluster it is for is known before anything is made.
  token.cluster = Ask(session, a, keyring, {}).peer->cluster;
  std::string text = link::FormatJoinToken(token) + "\n";
  if (!a.out.empty()) WriteToken(a.out, text);
  wire::Errand errand;
  errand.mutable_join_token()->mutable_create()->set_hash(token.Hash());
  errand.set_lifetime_ms(static_cast<std::uint64_t>(ttl.count()));
  try {
    Ask(session, a, keyring, errand);
  } catch (...) {
    if (!a.out.empty()) unlink(a.out.c_str());
    throw;
  }
  const std::string id = IdOf(token.Hash());
  if (session.json()) {
    nlohmann::json line{{"id", id}, {"expires_ms", NowMs() + static_cast<std::uint64_t>(ttl.count())}};
    if (a.out.empty()) line["token"] = text.substr(0, text.size() - 1);
    if (!a.out.empty()) line["file"] = a.out;
    session.out() << line.dump() << "\n";
  } else {
    session.err() << "coffer: join token " << id << ", for one node, within " << a.ttl << "\n";
    if (a.out.empty()) session.out() << text;
    if (!a.out.empty()) session.err() << "coffer: wrote " << a.out << "; on the new node: cofferd --join " << a.seed << " --join-token-file FILE\n";
  }
  link::Wipe(&text);
  return kExitOk;
}

int List(Session& session, const TokenArguments& a) {
  const auto result = Ask(session, a, ReadKeyring(a.secret_file), {});
  const std::uint64_t now = NowMs();
  std::size_t shown = 0;
  for (const auto& token : result.answer.join_tokens()) {
    const bool used = !token.used().empty();
    if (token.expires_ms() <= now && !used) continue;
    ++shown;
    const std::string state = used ? "used" : "open";
    if (session.json()) {
      session.out() << nlohmann::json{{"id", IdOf(token.hash())}, {"state", state}, {"expires_ms", token.expires_ms()}, {"used_by", token.used_by()}}.dump()
                    << "\n";
      continue;
    }
    const std::uint64_t left = token.expires_ms() > now ? (token.expires_ms() - now) / 1000 : 0;
    session.out() << IdOf(token.hash()) << "  " << (used ? "used by " + token.used_by() : "open, ends in " + std::to_string(left) + " s") << "\n";
  }
  if (shown == 0 && !session.json()) session.err() << "coffer: there are no join tokens\n";
  return kExitOk;
}

int Revoke(Session& session, const TokenArguments& a) {
  const auto id = FromHex(a.id);
  if (!id || id->size() != cluster::kShortJoinTokenIdBytes) throw UsageError("\"" + a.id + "\": a join token is named by 16 hexadecimal digits, as listed");
  wire::Errand errand;
  errand.mutable_join_token()->set_revoke(*id);
  Ask(session, a, ReadKeyring(a.secret_file), errand);
  if (session.json()) session.out() << nlohmann::json{{"id", a.id}, {"state", "revoked"}}.dump() << "\n";
  if (!session.json()) session.err() << "coffer: join token " << a.id << " is of no use any more\n";
  return kExitOk;
}

void AddCommon(CLI::App* cmd, TokenArguments* a) {
  cmd->add_option("seed", a->seed, "host:port of a member's peer port")->required();
  cmd->add_option("--secret-file", a->secret_file, "File with the cluster's secret")->required();
}

}  // namespace

void AddJoinToken(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("join-token", "Tokens that let one node join, once, without the cluster's secret");
  cmd->require_subcommand(1);
  cmd->footer(
      "  coffer join-token create node-1:7701 --secret-file /var/lib/coffer/secret --out token\n"
      "  cofferd --join node-1:7701 --join-token-file token      on the new node\n"
      "SEED is the peer port of a member (7701). With TLS, name a member's certificate: --tls-cert, --tls-key, --tls-ca.\n"
      "Whoever has the token can become a member until it is used or has expired: treat it like the secret.");
  auto a = std::make_shared<TokenArguments>();
  CLI::App* create = cmd->add_subcommand("create", "Make a token; it is shown once and kept nowhere");
  AddCommon(create, a.get());
  create->add_option("--ttl", a->ttl, "How long it may be used: 1s to 1h")->capture_default_str();
  create->add_option("--out", a->out, "Write it to this new file, for its owner only, instead of printing it");
  create->callback([&session, a] { session.action = [&session, a] { return Create(session, *a); }; });
  CLI::App* list = cmd->add_subcommand("list", "The tokens that are open, and those that were used within their time");
  AddCommon(list, a.get());
  list->callback([&session, a] { session.action = [&session, a] { return List(session, *a); }; });
  CLI::App* revoke = cmd->add_subcommand("revoke", "Make a token useless before it is used");
  AddCommon(revoke, a.get());
  revoke->add_option("id", a->id, "The token, as listed")->required();
  revoke->callback([&session, a] { session.action = [&session, a] { return Revoke(session, *a); }; });
}

}  // namespace coffer::command
