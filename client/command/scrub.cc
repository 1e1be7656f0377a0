// coffer scrub: reading back and verifying what is stored.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/cluster_calls.h"
#include "client/command/format.h"
#include "client/command/json.h"
#include "client/command/registry.h"
#include "client/messages.h"

namespace coffer::command {
namespace {

int Control(Session& session, v1::ScrubControl control, const std::string& said) {
  v1::ApplyRequest request;
  request.mutable_change()->set_scrub(control);
  const auto r = Need(client::CallAndWait<v1::ApplyResponse>(session.client(), "coffer.v1.Cluster/Apply", request,
                                                             client::Effect::kRepeatSafe),
                      "can't change the scrub");
  if (session.json()) {
    session.out() << Json(r) << "\n";
  } else {
    session.out() << said << " (epoch " << r.epoch() << ")\n";
  }
  return kExitOk;
}

std::string StateText(const v1::ScrubStatus& s) {
  switch (s.state()) {
    case v1::SCRUB_STATE_RUNNING:
      return s.eta_seconds() > 0 ? "running, ETA " + Clock(s.eta_seconds()) : "running";
    case v1::SCRUB_STATE_PAUSED:
      return "paused";
    case v1::SCRUB_STATE_WAITING:
      return s.next_pass_seconds() > 0 ? "next in " + AgeShort(s.next_pass_seconds()) : "waiting";
    default:
      return "unknown";
  }
}

int Show(Session& session) {
  const v1::Status s = FetchStatus(session);
  Table table({"NODE", "STATE", "PARTITIONS", "BLOCKS", "DATA", "RATE", "BAD", "UNREADABLE", "COMPARED", "DIFFERING"});
  bool bad = false;
  for (const v1::MemberStatus& m : s.members()) {
    if (!m.has_scrub()) continue;
    const v1::ScrubStatus& scrub = m.scrub();
    bad = bad || scrub.unreadable_partitions() > 0 || scrub.copies_differing() > 0;
    if (session.json()) session.out() << "{\"node\":" << nlohmann::json(m.name()).dump() << ",\"scrub\":" << Json(scrub) << "}\n";
    table.Add({m.name(), StateText(scrub), Grouped(scrub.partitions_done()) + "/" + Grouped(scrub.partitions_total()),
               Grouped(scrub.blocks_done()), BytesText(static_cast<double>(scrub.bytes_done())),
               BytesText(scrub.bytes_per_second()) + "/s", Grouped(scrub.bad_blocks()), Grouped(scrub.unreadable_partitions()),
               Grouped(scrub.copies_compared()), Grouped(scrub.copies_differing())});
  }
  if (!session.json()) session.out() << table.Text();
  return bad ? kExitDegraded : kExitOk;
}

void AddControl(CLI::App* cmd, Session& session, const char* name, const char* help, v1::ScrubControl control, const char* said) {
  cmd->add_subcommand(name, help)->callback([&session, control, said] {
    session.action = [&session, control, said] { return Control(session, control, said); };
  });
}

}  // namespace

void AddScrub(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("scrub", "Show, start, pause or resume the reading back of what is stored");
  cmd->footer(
      "  coffer scrub status           how far each node has come, and what it found\n"
      "  coffer scrub start            every node reads all it stores, from the start, at its scrub_rate\n"
      "  coffer scrub pause            survives restarts\n"
      "  coffer scrub resume");
  cmd->add_subcommand("status", "How far each node has come, and what it found")->callback([&session] {
    session.action = [&session] { return Show(session); };
  });
  AddControl(cmd, session, "start", "Begin a pass on every node now; ends a pause", v1::SCRUB_CONTROL_START,
             "every node reads back all it stores; follow it with: coffer scrub status");
  AddControl(cmd, session, "pause", "Read no further; survives restarts", v1::SCRUB_CONTROL_PAUSE,
             "scrub is paused; go on with: coffer scrub resume");
  AddControl(cmd, session, "resume", "Go on where it was", v1::SCRUB_CONTROL_RESUME, "scrub goes on");
}

}  // namespace coffer::command
