// coffer status, coffer nodes, coffer where.
#include <CLI/CLI.hpp>
#include <ostream>

#include "client/command/cluster_calls.h"
#include "client/command/command.h"
#include "client/command/format.h"
#include "client/command/json.h"
#include "client/command/registry.h"
#include "client/command/status_screen.h"
#include "client/command/whole_number.h"
#include "client/messages.h"

namespace coffer::command {
namespace {

int VerdictExit(const v1::Status& s) {
  switch (s.verdict()) {
    case v1::VERDICT_HEALTHY:
      return kExitOk;
    case v1::VERDICT_DEGRADED:
      return kExitDegraded;
    default:
      return kExitUnavailable;
  }
}

Screen ScreenOf(const Session& s, bool fit) {
  return {s.terminal().width, fit && s.terminal().out_is_tty ? s.terminal().height : 0, s.colour()};
}

// What must differ for a piped watch to print again: rates and times move all the time.
std::string Essence(const v1::Status& s) {
  std::string out = std::to_string(s.epoch()) + VerdictWord(s) + s.reason() + s.next_action();
  for (const v1::MemberStatus& m : s.members()) {
    out += "|" + m.name() + std::to_string(m.state()) + (m.read_only() ? "r" : "") + (m.disk_slow() ? "s" : "") + m.last_error();
  }
  out += "|" + std::to_string(s.resync().state()) + s.resync().cause() + std::to_string(s.resync().partitions_done()) + (s.resync_paused() ? "p" : "");
  for (const std::string& name : s.may_stop_now()) out += "|" + name;
  for (const v1::Invariant& i : s.invariants()) out += i.holds() ? "1" : "0";
  return out;
}

int Watch(Session& session, std::uint64_t count) {
  const bool live = session.terminal().out_is_tty && !session.json();
  std::string essence;
  std::uint64_t shown = 0;
  int code = kExitOk;
  if (live) session.out() << "\033[2J";
  FollowStatus(session, session.timeout(), [&](const v1::Status& s) {
    code = VerdictExit(s);
    const std::string now = Essence(s);
    if (session.json()) {
      session.out() << Json(s) << "\n";
    } else if (live) {
      // Redrawn in place, line by line: no flicker, nothing left of what was longer before.
      std::string text = RenderStatus(s, {session.terminal().width, session.terminal().height - 1, session.colour()});
      for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 4)
        text.replace(at, 1, "\033[K\n");
      session.out() << "\033[H" << text << "\033[J";
    } else if (now == essence) {
      return true;
    } else {
      session.out() << (essence.empty() ? "" : "\n") << RenderStatus(s, ScreenOf(session, false));
    }
    essence = now;
    session.out() << std::flush;
    return session.out().good() && (count == 0 || ++shown < count);
  });
  return code;
}

int Nodes(Session& session) {
  const v1::Status s = FetchStatus(session);
  if (session.json()) {
    for (const v1::MemberStatus& m : s.members()) session.out() << Json(m) << "\n";
    return kExitOk;
  }
  Table table({"NAME", "ADDRESS", "ROLE", "STATE", "VOTES", "EPOCH", "WEIGHT", "DOMAIN", "DATA", "BLOCKS", "DISK",
               "VERSION", "LAST ERROR"},
              {false, false, false, false, false, true, true, false, true, true, true, false, false});
  for (const v1::MemberStatus& m : s.members()) {
    const bool stores = m.role() == v1::MEMBER_ROLE_STORAGE;
    const bool votes = std::find(s.voters().begin(), s.voters().end(), m.name()) != s.voters().end();
    const char* role = stores ? "storage" : m.role() == v1::MEMBER_ROLE_WITNESS ? "witness" : "router";
    table.Add({m.name(), m.address(), role, StateWord(m), votes ? "yes" : "no", std::to_string(m.epoch()),
               stores ? std::to_string(m.weight()) : "-", m.failure_domain().empty() ? "-" : m.failure_domain(),
               stores ? BytesShort(static_cast<double>(m.data_bytes())) : "-", stores ? Grouped(m.blocks()) : "-",
               stores ? std::to_string(static_cast<int>(m.disk_used() * 100 + 0.5)) + "%" : "-", m.version(),
               m.last_error()});
  }
  session.out() << table.Text();
  return kExitOk;
}

std::string Join(const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::string out;
  for (const std::string& n : names) out += (out.empty() ? "" : ", ") + n;
  return out.empty() ? "none" : out;
}

int Where(Session& session, const std::string& text, bool chain) {
  v1::WhereRequest request;
  request.set_zone(session.zone);
  request.set_id((chain ? ChainIdOf(text) : ParseId(text)).str());
  const auto w = Need(client::CallAndWait<v1::WhereResponse>(session.client(), "coffer.v1.Cluster/Where", request,
                                                             client::Effect::kRead),
                      "can't tell where it is");
  if (session.json()) {
    session.out() << Json(w) << "\n";
    return kExitOk;
  }
  session.out() << "partition  " << w.partition() << " of " << w.partitions() << "\n"
                << "why        " << w.arithmetic() << "\n"
                << "primary    " << (w.primary().empty() ? "none" : w.primary()) << "\n"
                << "in sync    " << Join(w.in_sync()) << "\n"
                << "goal       " << Join(w.goal()) << "\n"
                << "term       " << w.term() << " (epoch " << w.epoch() << ")\n";
  return kExitOk;
}

}  // namespace

void AddStatus(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("status", "How the cluster is: verdict, members, moves, copies");
  cmd->footer(
      "  coffer status                exits 0 healthy, 4 degraded, 5 unavailable\n"
      "  coffer status --watch        live screen; one plain snapshot per change when piped\n"
      "  coffer status -w -o json     one JSON object per line, at least one a second");
  auto watch = std::make_shared<bool>(false);
  auto count = std::make_shared<std::uint64_t>(0);
  cmd->add_flag("-w,--watch", *watch, "Follow the status live");
  cmd->add_option("--count", *count, "With --watch: end after so many screens")->transform(WholeNumber());
  cmd->callback([&session, watch, count] {
    session.action = [&session, watch, count] {
      if (*watch) return Watch(session, *count);
      const v1::Status s = FetchStatus(session);
      session.out() << (session.json() ? Json(s) + "\n" : RenderStatus(s, ScreenOf(session, false)));
      return VerdictExit(s);
    };
  });
}

void AddNodes(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("nodes", "All members with address, role, votes, version, last error");
  cmd->footer("  coffer nodes\n  coffer nodes -o json         one JSON object per line");
  cmd->callback([&session] { session.action = [&session] { return Nodes(session); }; });
}

void AddWhere(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("where", "Where a block lives, with the arithmetic");
  cmd->footer(
      "  coffer where 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
      "  coffer where --chain log     a chain by its name");
  auto id = std::make_shared<std::string>();
  auto chain = std::make_shared<bool>(false);
  cmd->add_option("id", *id, "64 hexadecimal digits (or a name, with --chain)")->required();
  cmd->add_flag("--chain", *chain, "The id is a chain's: text other than 64 hexadecimal digits stands for its SHA-256");
  cmd->callback(
      [&session, id, chain] { session.action = [&session, id, chain] { return Where(session, *id, *chain); }; });
}

}  // namespace coffer::command
