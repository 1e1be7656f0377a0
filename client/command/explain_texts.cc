#include "client/command/explain_texts.h"

#include "router/core/codes.h"

namespace coffer::command {
namespace {

// What the router's table does not know: failures on this side, refusals when joining, codes of gRPC without a reason.
const Explanation kOwn[] = {
    {"FORCED",
     "`coffer layout force` was used once: nodes were given up for good, and partitions without an up-to-date copy were merged from "
     "what survived. The layout keeps that.",
     "`coffer layout losses` says which writes may be missing."},
    {"UNREACHABLE", "No router could be connected. Nothing was done.",
     "See that a router runs at --router HOST:PORT (COFFER_ROUTERS)."},
    {"CONNECTION_LOST", "The connection broke while an operation was under way. A write may have happened.",
     "The same command again is safe."},
    {"CLIENT_QUEUE_FULL", "This program has more requests under way than its bound. The operation was not sent.",
     "Wait for answers before sending more."},
    {"CLIENT_CLOSED", "The program was ending. The operation was not sent.", "Nothing."},
    {"WRONG_SECRET", "The other side does not know the same cluster secret. Nothing was changed.",
     "Use a copy of the secret file of a member of that cluster."},
    {"WRONG_TOKEN", "The join token is none of that cluster, or was made under a secret that has been removed since. It was not used.",
     "Make one on a member of that cluster: coffer join-token create."},
    {"JOIN_TOKEN_UNKNOWN", "The cluster has no such join token: it was revoked, or has expired.", "Make a new one: coffer join-token create."},
    {"JOIN_TOKEN_USED", "The join token was used already: a token lets one node join, once.",
     "If it was not you who used it, somebody else has the cluster's secret now: change it. Then make a new token."},
    {"JOIN_TOKEN_EXPIRED", "The join token has expired, or a clock is wrong by hours.", "Make a new one: coffer join-token create."},
    {"JOIN_TOKEN_LIMIT", "The cluster has as many join tokens as it may have. Nothing was changed.", "Revoke some, or wait until they expire."},
    {"FOREIGN_CLUSTER", "The data folder belongs to another cluster. Nothing was changed.",
     "Join with an empty folder."},
    {"DUPLICATE_ID", "A member of this id lives already: a data folder was copied. The living one goes on.",
     "Stop the copy and start it with an empty folder."},
    {"OWN_ID", "Another process runs under the id of this one: a data folder was copied. The one that works with the others goes on.",
     "Stop the copy and start it with an empty folder."},
    {"OLD_PROTOCOL", "The other side speaks another version of the protocol. Nothing was changed.",
     "Upgrade one version at a time."},
    {"CERTIFICATE_MISMATCH", "A certificate is not for the host that showed it. Nothing was changed.",
     "Make one that names the advertised host: coffer certs."},
    {"REFUSED", "Nobody listens at that address.", "Check host and port; start the member."},
    {"TIMEOUT", "The address does not answer in time.", "Check host, port and firewalls."},
    {"UNAVAILABLE", "A server that is needed does not answer now. Reads changed nothing; a write may have happened.",
     "The same command again is safe; `coffer status` says what is missing."},
    {"DEADLINE_EXCEEDED", "No answer came in time. A write may or may not have happened.",
     "The same command again is safe; more time with --timeout."},
    {"RESOURCE_EXHAUSTED",
     "A limit was reached; the message names it. The operation was refused before it did anything.",
     "Send less at once, or make room."},
    {"UNAUTHENTICATED", "The server wants to know who is calling. Nothing was changed.",
     "Give --tls-cert, --tls-key and --tls-ca."},
    {"PERMISSION_DENIED", "The caller is known and may not do this. Nothing was changed.", "Use another certificate."},
    {"NOT_FOUND", "It does not exist; only a member that is sure says so. Nothing was changed.",
     "Check the id and --zone."},
    {"UNIMPLEMENTED", "The server does not know this operation. Nothing was changed.",
     "Compare versions: `coffer nodes`, `coffer --version`."},
    {"INTERNAL", "A server came upon something that must not be. A write may or may not have happened.",
     "Look at the server's log and report it; the same command again is safe."},
};

std::vector<Explanation> MakeAll() {
  std::vector<Explanation> all;
  const auto add = [&](const router::CodeText& t) {
    all.push_back({std::string(t.code), std::string(t.meaning), std::string(t.action)});
  };
  for (const router::CodeText& t : router::StatusCodes()) add(t);
  for (const router::CodeText& t : router::ErrorReasons()) add(t);
  all.insert(all.end(), std::begin(kOwn), std::end(kOwn));
  return all;
}

}  // namespace

const std::vector<Explanation>& Explanations() {
  static const std::vector<Explanation> kAll = MakeAll();
  return kAll;
}

}  // namespace coffer::command
