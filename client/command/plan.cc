// coffer plan, apply, drain, forget: changes of the layout, always shown before they are made.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>
#include <sstream>

#include "client/command/cluster_calls.h"
#include "client/command/format.h"
#include "client/command/json.h"
#include "client/command/progress.h"
#include "client/command/registry.h"
#include "client/messages.h"

namespace coffer::command {
namespace {

constexpr const char* kChangeHelp =
    "drain NODE | undrain NODE | forget NODE | reweight NODE WEIGHT | fresh | min-copies N | force (with --missing)";

struct ChangeArguments {
  std::vector<std::string> words;
  std::string missing;
  std::string statement;
  bool yes = false;
};

std::uint32_t NumberOf(const std::string& text, std::uint32_t least, std::uint32_t most, const std::string& what) {
  const bool digits = !text.empty() && text.size() < 6 && text.find_first_not_of("0123456789") == std::string::npos;
  const std::uint32_t n = digits ? static_cast<std::uint32_t>(std::stoul(text)) : 0;
  if (!digits || n < least || n > most) {
    throw UsageError(what + " is " + std::to_string(least) + " to " + std::to_string(most) + ", not \"" + text + "\"");
  }
  return n;
}

// The sentence an operator must stand by before data may be given up.
std::string ForceStatement(const std::string& missing) {
  std::string names;
  std::istringstream list(missing);
  for (std::string name; std::getline(list, name, ',');) {
    name.erase(0, name.find_first_not_of(' '));
    name.erase(name.find_last_not_of(' ') + 1);
    if (!name.empty()) names += (names.empty() ? "" : ", ") + name;
  }
  if (names.empty()) throw UsageError("name every node that is gone: --missing node-2,node-3");
  return "I am sure that " + names + " is off and will never return";
}

v1::LayoutChange ParseChange(const ChangeArguments& a) {
  v1::LayoutChange change;
  if (a.words.empty()) return change;
  const std::string& kind = a.words[0];
  const auto need = [&](std::size_t n, const char* form) {
    if (a.words.size() != n + 1) throw UsageError(std::string("the form is: ") + form);
  };
  if (kind != "force" && !a.missing.empty()) throw UsageError("--missing belongs to force");
  if (kind == "drain") {
    need(1, "drain NODE");
    change.set_drain(a.words[1]);
  } else if (kind == "undrain") {
    need(1, "undrain NODE");
    change.set_undrain(a.words[1]);
  } else if (kind == "forget") {
    need(1, "forget NODE");
    change.set_forget(a.words[1]);
  } else if (kind == "reweight") {
    need(2, "reweight NODE WEIGHT");
    change.mutable_reweight()->set_node(a.words[1]);
    change.mutable_reweight()->set_weight(NumberOf(a.words[2], 1, 1000, "a weight"));
  } else if (kind == "fresh") {
    need(0, "fresh");
    change.set_fresh(true);
  } else if (kind == "min-copies") {
    need(1, "min-copies N");
    change.set_min_copies(NumberOf(a.words[1], 1, 2, "the number of copies"));
  } else if (kind == "force") {
    need(0, "force --missing NODE[,NODE...]");
    change.set_force(ForceStatement(a.missing));
  } else {
    throw UsageError("there is no change \"" + kind + "\"; there are: " + kChangeHelp);
  }
  return change;
}

// Throws when the change is about a member that does not exist.
void RequireMember(Session& session, const v1::LayoutChange& change) {
  const std::string& node = change.has_drain()     ? change.drain()
                            : change.has_undrain() ? change.undrain()
                            : change.has_forget()  ? change.forget()
                                                   : change.reweight().node();
  if (node.empty() || FindMember(FetchStatus(session), node) != nullptr) return;
  throw CommandError(kExitNotFound, "there is no member \"" + node + "\"; nothing was changed\n  next: coffer nodes");
}

v1::PlanResponse MakePlan(Session& session, const v1::LayoutChange& change) {
  RequireMember(session, change);
  v1::PlanRequest request;
  if (change.kind_case() != v1::LayoutChange::KIND_NOT_SET) *request.mutable_change() = change;
  return Need(
      client::CallAndWait<v1::PlanResponse>(session.client(), "coffer.v1.Cluster/Plan", request, client::Effect::kRead),
      "can't make a plan");
}

std::string PlanText(const v1::PlanResponse& p) {
  std::ostringstream out;
  out << "PLAN for epoch " << p.epoch() << "\n";
  for (const std::string& effect : p.effects()) out << "  " << effect << "\n";
  out << "  copies to make: " << Grouped(p.copies_to_move())
      << " (the least possible: " << Grouped(p.copies_to_move_least())
      << ")   primaries to move: " << Grouped(p.primaries_to_move()) << "   to send: about "
      << BytesText(static_cast<double>(p.bytes_to_move())) << "\n";
  if (p.nodes_size() > 0) {
    Table table({"NODE", "PRIMARY", "AFTER", "REPLICA", "AFTER"}, {false, true, true, true, true});
    for (const v1::PlannedNode& n : p.nodes()) {
      table.Add({n.name(), std::to_string(n.primaries_before()), std::to_string(n.primaries_after()),
                 std::to_string(n.replicas_before()), std::to_string(n.replicas_after())});
    }
    for (const std::string& line : table.Lines()) out << "  " << line << "\n";
  }
  return out.str();
}

int Plan(Session& session, const ChangeArguments& a) {
  const v1::PlanResponse plan = MakePlan(session, ParseChange(a));
  session.out() << (session.json() ? Json(plan) + "\n" : PlanText(plan));
  if (!session.json() && !plan.refusal().empty()) session.out() << "REFUSED  " << plan.refusal() << "\n";
  return plan.refusal().empty() ? kExitOk : kExitFailure;
}

// Shows the plan, throws if it is refused, and carries it out. The epoch of the plan goes along, so that what happens
// is what was shown.
v1::ApplyResponse ShowAndApply(Session& session, const v1::LayoutChange& change,
                               const std::function<bool()>& confirmed) {
  const v1::PlanResponse plan = MakePlan(session, change);
  session.err() << PlanText(plan);
  if (!plan.refusal().empty())
    throw CommandError(kExitFailure, "the plan can't be applied: " + plan.refusal() + "\n  nothing was changed");
  if (!confirmed()) throw CommandError(kExitFailure, "not confirmed; nothing was changed");
  v1::ApplyRequest request;
  request.set_epoch(plan.epoch());
  *request.mutable_change() = change;
  auto r = client::CallAndWait<v1::ApplyResponse>(session.client(), "coffer.v1.Cluster/Apply", request,
                                                  client::Effect::kOnce);
  if (r.status.retry_class == client::RetryClass::kOutcomeUnknown) {
    throw CommandError(ExitFor(r.status), "can't tell whether the plan was applied: " + r.status.message +
                                              "\n  outcome unknown: it was applied if the epoch is above " +
                                              std::to_string(plan.epoch()) +
                                              "\n  next: coffer status; then plan again if it was not");
  }
  return Need(std::move(r), "can't apply the plan");
}

int Apply(Session& session, const ChangeArguments& a) {
  const v1::LayoutChange change = ParseChange(a);
  if (change.kind_case() == v1::LayoutChange::KIND_NOT_SET)
    throw UsageError(std::string("say what to apply: ") + kChangeHelp);
  const v1::ApplyResponse r = ShowAndApply(session, change, [&] {
    if (change.kind_case() == v1::LayoutChange::kForce) {
      // --yes is not enough here.
      return a.statement.empty() ? session.ConfirmStatement(change.force()) : a.statement == change.force();
    }
    return a.yes || session.Confirm("Apply this plan?");
  });
  if (session.json()) {
    session.out() << Json(r) << "\n";
  } else {
    session.out() << "applied as epoch " << r.epoch() << "; follow it with: coffer status --watch\n";
  }
  return kExitOk;
}

// What `layout force` did not find.
std::string LossesText(const v1::ForceStatus& force) {
  std::ostringstream out;
  std::string names;
  for (const std::string& name : force.given_up()) names += (names.empty() ? "" : ", ") + name;
  out << "The layout was last forced with epoch " << force.epoch() << ". Given up for good: " << (names.empty() ? "nobody" : names) << ".\n";
  if (force.merging() > 0) {
    std::string silent;
    for (const std::string& name : force.waits_for()) silent += (silent.empty() ? "" : ", ") + name;
    out << Grouped(force.merging()) << " partitions are still being merged"
        << (silent.empty() ? "" : "; they wait for " + silent + ", which does not answer") << ".\n";
  }
  if (force.merged() == 0) {
    out << (force.merging() > 0 ? "" : "Every partition had a copy that was up to date by the layout it was forced from: nothing acknowledged under that was lost.\n");
    return out.str();
  }
  out << Grouped(force.merged()) << " partitions are served from survivors that were not up to date; " << Grouped(force.lacking())
      << " of them lack writes, " << Grouped(force.empty()) << " were found empty. " << Grouped(force.set_aside())
      << " records were set aside in quarantine files.\n"
      << "Writes are counted by partition. What the nodes given up wrote after the last one found is not known.\n";
  Table table({"PARTITION", "EPOCH", "MAY BE MISSING", "LAST FOUND", "SET ASIDE"}, {true, true, false, true, true});
  for (const v1::PartitionLoss& loss : force.losses()) {
    const std::string missing = loss.nothing() ? "everything"
                                : loss.missing_from() == 0
                                    ? "nothing up to the last found"
                                    : "writes " + std::to_string(loss.missing_from()) + " to " + std::to_string(loss.missing_to());
    table.Add({std::to_string(loss.partition()), std::to_string(loss.epoch()), missing, std::to_string(loss.last_write()),
               std::to_string(loss.set_aside())});
  }
  for (const std::string& line : table.Lines()) out << line << "\n";
  return out.str();
}

int Losses(Session& session) {
  const v1::Status status = FetchStatus(session);
  if (session.json()) {
    session.out() << Json(status.force()) << "\n";
  } else if (!status.has_force()) {
    session.out() << "`coffer layout force` was never used on this cluster: nothing was given up.\n";
  } else {
    session.out() << LossesText(status.force());
  }
  return kExitOk;
}

std::string DrainDetail(const v1::Status& s) {
  const v1::ResyncStatus& r = s.resync();
  std::string out =
      BytesText(static_cast<double>(r.bytes_done())) + " of " + BytesText(static_cast<double>(r.bytes_total()));
  if (r.state() == v1::RESYNC_STATE_PAUSED) return out + "  paused: coffer resync resume";
  if (r.state() == v1::RESYNC_STATE_BLOCKED) return out + "  blocked: " + r.last_error();
  if (r.bytes_per_second() > 0) out += "  " + BytesText(r.bytes_per_second()) + "/s";
  if (r.eta_seconds() > 0) out += "  ETA " + Clock(r.eta_seconds());
  return out;
}

// Returns when the node is drained, and only then. A status of an epoch before `since` does not know of the drain yet.
int FollowDrain(Session& session, const std::string& node, std::uint64_t since) {
  Progress progress(session.err(), session.terminal().err_is_tty, "drain " + node, 0, session.terminal().width);
  bool vanished = false;
  bool undrained = false;
  const bool ended = FollowStatus(session, session.timeout(), [&](const v1::Status& s) {
    const v1::MemberStatus* m = FindMember(s, node);
    vanished = m == nullptr;
    if (vanished || (s.epoch() >= since && m->state() == v1::MEMBER_STATE_DRAINED)) return false;
    undrained = s.epoch() >= since && m->state() == v1::MEMBER_STATE_UP;
    if (undrained) return false;
    if (session.json()) {
      session.out() << Json(s.resync()) << "\n" << std::flush;
    } else if (s.has_resync()) {
      progress.Set(s.resync().bytes_done(), s.resync().bytes_total(), DrainDetail(s));
    }
    return true;
  });
  progress.Clear();
  if (!ended) {
    throw CommandError(kExitTimeout, node +
                                         " is not drained yet; the drain goes on without this command\n  not safe to "
                                         "stop yet; next: coffer wait --for=drained:" +
                                         node);
  }
  if (vanished) throw CommandError(kExitFailure, node + " is no longer part of the cluster: somebody else forgot it");
  if (undrained)
    throw CommandError(kExitFailure, node + " is no longer being drained: somebody undid it\n  not safe to stop");
  if (!session.json())
    session.out() << node << " is drained: safe to stop. Take it out with: coffer forget " << node << "\n";
  return kExitOk;
}

int Drain(Session& session, const std::string& node) {
  const v1::Status now = FetchStatus(session);
  const v1::MemberStatus* m = FindMember(now, node);
  if (m == nullptr) throw CommandError(kExitNotFound, "there is no member \"" + node + "\"\n  next: coffer nodes");
  // Run again after an interruption, it goes on following.
  const bool under_way = m->state() == v1::MEMBER_STATE_DRAINING || m->state() == v1::MEMBER_STATE_DRAINED;
  std::uint64_t since = now.epoch();
  if (!under_way) {
    v1::LayoutChange change;
    change.set_drain(node);
    since = ShowAndApply(session, change, [] { return true; }).epoch();
  }
  return FollowDrain(session, node, since);
}

int Forget(Session& session, const std::string& node, bool yes) {
  v1::LayoutChange change;
  change.set_forget(node);
  const v1::ApplyResponse r =
      ShowAndApply(session, change, [&] { return yes || session.Confirm("Forget " + node + " for good?"); });
  if (session.json()) {
    session.out() << Json(r) << "\n";
  } else {
    session.out() << node << " is forgotten (epoch " << r.epoch() << "); if it is started again it joins anew and takes its share\n";
  }
  return kExitOk;
}

void AddChangeOptions(CLI::App* cmd, ChangeArguments& a) {
  cmd->add_option("change", a.words, kChangeHelp);
  cmd->add_option("--missing", a.missing, "With force: names of the nodes that are gone for good, by commas");
}

}  // namespace

void AddPlan(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("plan", "What a change of the layout would move; changes nothing");
  cmd->footer(
      "  coffer plan                          what the cluster itself would do now\n"
      "  coffer plan drain node-3\n"
      "  coffer plan reweight node-1 200      twice the usual share\n"
      "  coffer plan fresh                    the way back to plain modulo\n"
      "  coffer plan min-copies 1\n"
      "  coffer plan force --missing node-2   when nodes will never return");
  auto a = std::make_shared<ChangeArguments>();
  AddChangeOptions(cmd, *a);
  cmd->callback([&session, a] { session.action = [&session, a] { return Plan(session, *a); }; });
}

void AddApply(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("apply", "Show the plan of a change, ask, carry it out");
  cmd->footer(
      "  coffer apply reweight node-1 200\n"
      "  coffer apply undrain node-3 --yes    without asking\n"
      "  coffer apply fresh                   as coffer layout fresh; force is coffer layout force");
  auto a = std::make_shared<ChangeArguments>();
  AddChangeOptions(cmd, *a);
  cmd->add_flag("--yes", a->yes, "Do not ask");
  cmd->add_option("--statement", a->statement, "With force: the sentence that would be asked for");
  cmd->callback([&session, a] { session.action = [&session, a] { return Apply(session, *a); }; });
}

void AddLayout(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("layout", "Force the layout without missing nodes, or go back to plain modulo");
  cmd->footer(
      "  coffer layout force --missing node-2   when nodes will never return; asks for a sentence, word for word\n"
      "  coffer layout losses                   what force could not find\n"
      "  coffer layout fresh                    shows what plain modulo would move, asks, does it");
  CLI::App* force = cmd->add_subcommand("force", "Serve from what is left, without nodes that are gone for good");
  force->footer(
      "  coffer layout force --missing node-2,node-3\n"
      "First start what can be started: acknowledged writes that are only on the missing nodes are given up.");
  auto f = std::make_shared<ChangeArguments>();
  f->words = {"force"};
  force->add_option("--missing", f->missing, "Names of the nodes that are gone for good, by commas")->required();
  force->add_option("--statement", f->statement, "The sentence that would be asked for");
  force->callback([&session, f] { session.action = [&session, f] { return Apply(session, *f); }; });
  CLI::App* losses = cmd->add_subcommand("losses", "What force gave up, and could not find");
  losses->footer("  coffer layout losses                    by partition; for programs: --json");
  losses->callback([&session] { session.action = [&session] { return Losses(session); }; });
  CLI::App* fresh = cmd->add_subcommand("fresh", "The way back to plain modulo over the present nodes");
  fresh->footer("  coffer plan fresh                      only shows what it would move");
  auto a = std::make_shared<ChangeArguments>();
  a->words = {"fresh"};
  fresh->add_flag("--yes", a->yes, "Do not ask");
  fresh->callback([&session, a] { session.action = [&session, a] { return Apply(session, *a); }; });
}

void AddDrain(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("drain", "Empty a node; returns when it is safe to stop");
  cmd->footer(
      "  coffer drain node-3                  shows the plan, carries it out, follows it\n"
      "  coffer drain node-3 --timeout 10m    exits 124 if it takes longer; the drain goes on\n"
      "Every block keeps its copies all the time. Running it again goes on following. Undo: coffer apply undrain "
      "node-3");
  auto node = std::make_shared<std::string>();
  cmd->add_option("node", *node, "Name of a storage node")->required();
  cmd->callback([&session, node] { session.action = [&session, node] { return Drain(session, *node); }; });
}

void AddForget(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("forget", "Take a drained or dead node out for good");
  cmd->footer("  coffer forget node-3                 shows what it means and asks; --yes does not ask");
  auto node = std::make_shared<std::string>();
  auto yes = std::make_shared<bool>(false);
  cmd->add_option("node", *node, "Name of a storage node")->required();
  cmd->add_flag("--yes", *yes, "Do not ask");
  cmd->callback(
      [&session, node, yes] { session.action = [&session, node, yes] { return Forget(session, *node, *yes); }; });
}

}  // namespace coffer::command
