// coffer wait: returns when something has come true.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/cluster_calls.h"
#include "client/command/registry.h"
#include "client/command/status_screen.h"

namespace coffer::command {
namespace {

using Condition = std::function<bool(const v1::Status&)>;

// "healthy", "drained:NODE", "members:N".
Condition ParseCondition(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  const std::string argument = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (text == "healthy") {
    // Who is about to join is not part of it yet, and brings moves.
    return [](const v1::Status& s) {
      return s.verdict() == v1::VERDICT_HEALTHY && std::none_of(s.members().begin(), s.members().end(), [](const v1::MemberStatus& m) {
               return m.state() == v1::MEMBER_STATE_JOINING;
             });
    };
  }
  if (kind == "drained" && !argument.empty()) {
    return [argument, seen = v1::MEMBER_STATE_UNSPECIFIED](const v1::Status& s) mutable {
      const v1::MemberStatus* m = FindMember(s, argument);
      // Who was being drained and is forgotten holds nothing any more that is needed; another may have been given up with what he held.
      if (m == nullptr && (seen == v1::MEMBER_STATE_DRAINING || seen == v1::MEMBER_STATE_DRAINED)) return true;
      if (m == nullptr) {
        throw CommandError(kExitNotFound, "there is no member " + argument + ": it never was, or was forgotten\n  next: coffer nodes");
      }
      seen = m->state();
      return seen == v1::MEMBER_STATE_DRAINED;
    };
  }
  if (kind == "members" && !argument.empty() && argument.size() < 6 &&
      argument.find_first_not_of("0123456789") == std::string::npos) {
    return [n = std::stoi(argument)](const v1::Status& s) {
      int up = 0;
      for (const v1::MemberStatus& m : s.members()) up += m.state() == v1::MEMBER_STATE_UP;
      return up >= n;
    };
  }
  throw UsageError("\"" + text + "\" can't be waited for: healthy, drained:NODE and members:N can");
}

int Wait(Session& session, const std::string& text) {
  const Condition condition = ParseCondition(text);
  const auto limit = session.timeout().value_or(std::chrono::seconds(60));
  std::string last = "no router answered";
  session.client(true);
  const bool came = FollowStatus(session, limit, [&](const v1::Status& s) {
    last = std::string(VerdictWord(s)) + " " + s.reason();
    return !condition(s);
  });
  if (session.json()) session.out() << nlohmann::json{{"condition", text}, {"met", came}, {"status", last}}.dump() << "\n";
  if (came) return kExitOk;
  throw CommandError(kExitTimeout, "waited " + std::to_string(limit.count() / 1000) + " s for " + text +
                                       "; the last status was: " + last +
                                       "\n  next: coffer status; --timeout waits longer");
}

}  // namespace

void AddWait(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("wait", "Wait until the cluster is healthy, a node drained, members up");
  cmd->footer(
      "  coffer wait --for=healthy --timeout 2m     exits 124 when time runs out (60s by default)\n"
      "  coffer wait --for=drained:node-3\n"
      "  coffer wait --for=members:4                that many members, routers included, are up\n"
      "A cluster that is starting may be healthy before all its nodes were heard of: wait for members first.");
  auto condition = std::make_shared<std::string>();
  cmd->add_option("--for", *condition, "healthy, drained:NODE or members:N")->required();
  cmd->callback(
      [&session, condition] { session.action = [&session, condition] { return Wait(session, *condition); }; });
}

}  // namespace coffer::command
