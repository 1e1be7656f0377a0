// coffer resync: pace of the copying.
#include <CLI/CLI.hpp>
#include <ostream>

#include "client/command/cluster_calls.h"
#include "client/command/format.h"
#include "client/command/json.h"
#include "client/command/registry.h"
#include "client/command/status_screen.h"
#include "client/messages.h"

namespace coffer::command {
namespace {

int Control(Session& session, const v1::ControlResyncRequest& request, const std::string& said) {
  const auto r = Need(client::CallAndWait<v1::ControlResyncResponse>(
                          session.client(), "coffer.v1.Cluster/ControlResync", request, client::Effect::kRepeatSafe),
                      "can't change the resync");
  if (session.json()) {
    session.out() << Json(r) << "\n";
  } else {
    session.out() << said << " (epoch " << r.epoch() << ")\n";
  }
  return kExitOk;
}

const char* StateText(v1::ResyncState state) {
  switch (state) {
    case v1::RESYNC_STATE_WAITING:
      return "waiting";
    case v1::RESYNC_STATE_PAUSED:
      return "paused";
    case v1::RESYNC_STATE_BLOCKED:
      return "blocked";
    default:
      return "running";
  }
}

// What an operator has chosen holds for the next moves too.
int ShowStill(Session& session, const v1::Status& s) {
  if (session.json()) {
    v1::ResyncStatus chosen;
    if (s.resync_paused()) chosen.set_state(v1::RESYNC_STATE_PAUSED);
    chosen.set_limit_bytes_per_second(s.resync_limit_bytes_per_second());
    session.out() << (chosen.ByteSizeLong() > 0 ? Json(chosen) : "{}") << "\n";
    return kExitOk;
  }
  session.out() << "no moves in progress: every block is where it should be\n";
  if (s.resync_paused()) session.out() << "state       " << kResyncPaused << "\n";
  if (const std::uint64_t limit = s.resync_limit_bytes_per_second(); limit > 0) {
    session.out() << "limit       " << BytesText(static_cast<double>(limit)) << "/s per node\n";
  }
  return kExitOk;
}

int Show(Session& session) {
  const v1::Status s = FetchStatus(session);
  if (!s.has_resync()) return ShowStill(session, s);
  if (session.json()) {
    session.out() << Json(s.resync()) << "\n";
    return kExitOk;
  }
  const v1::ResyncStatus& r = s.resync();
  const auto bytes = [](std::uint64_t n) { return BytesText(static_cast<double>(n)); };
  session.out() << "state       " << StateText(r.state()) << "\n"
                << "cause       " << r.cause() << "\n"
                << "partitions  " << Grouped(r.partitions_done()) << " of " << Grouped(r.partitions_total()) << "\n"
                << "blocks      " << Grouped(r.blocks_done()) << " of " << Grouped(r.blocks_total()) << " ("
                << Grouped(r.blocks_sent()) << " had to travel)\n"
                << "bytes       " << bytes(r.bytes_done()) << " of " << bytes(r.bytes_total()) << " ("
                << bytes(r.bytes_sent()) << " had to travel)\n"
                << "rate        " << BytesText(r.bytes_per_second()) << "/s, "
                << (r.limit_bytes_per_second() > 0 ? "limit " + bytes(r.limit_bytes_per_second()) + "/s per node"
                                                   : "no limit")
                << "\n"
                << "ETA         " << (r.eta_seconds() > 0 ? Clock(r.eta_seconds()) : "unknown yet") << "\n";
  for (const v1::ResyncLink& l : r.links()) {
    session.out() << "link        " << l.from() << " to " << l.to() << "  " << BytesText(l.bytes_per_second())
                  << "/s\n";
  }
  if (!r.last_error().empty()) session.out() << "last error  " << r.last_error() << "\n";
  return kExitOk;
}

}  // namespace

void AddResync(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("resync", "Show, pause, resume or limit the copying of blocks");
  cmd->footer(
      "  coffer resync status\n"
      "  coffer resync limit 64MiB     per second and receiving node; 0 removes the limit\n"
      "  coffer resync pause           new writes still get two copies\n"
      "  coffer resync resume");
  cmd->add_subcommand("status", "The moves in progress, in full")->callback([&session] {
    session.action = [&session] { return Show(session); };
  });
  cmd->add_subcommand("pause", "Stop copying; survives restarts")->callback([&session] {
    session.action = [&session] {
      v1::ControlResyncRequest request;
      request.set_pause(true);
      return Control(session, request, "resync is paused; go on with: coffer resync resume");
    };
  });
  cmd->add_subcommand("resume", "Go on copying")->callback([&session] {
    session.action = [&session] {
      v1::ControlResyncRequest request;
      request.set_resume(true);
      return Control(session, request, "resync goes on");
    };
  });
  CLI::App* limit = cmd->add_subcommand("limit", "Cap the rate per receiving node");
  auto rate = std::make_shared<std::string>();
  limit->add_option("rate", *rate, "Bytes per second: 64MiB, 10MB, 0 for no limit")->required();
  limit->callback([&session, rate] {
    session.action = [&session, rate] {
      std::string text = *rate;
      if (text.size() > 2 && text.compare(text.size() - 2, 2, "/s") == 0) text.resize(text.size() - 2);
      v1::ControlResyncRequest request;
      request.set_limit_bytes_per_second(ParseBytes(text));
      const std::uint64_t n = request.limit_bytes_per_second();
      return Control(
          session, request,
          n == 0 ? "resync has no limit" : "resync is limited to " + BytesText(static_cast<double>(n)) + "/s per node");
    };
  });
}

}  // namespace coffer::command
