// coffer zone: isolated namespaces.
#include <CLI/CLI.hpp>
#include <ctime>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/command.h"
#include "client/command/format.h"
#include "client/command/registry.h"

namespace coffer::command {
namespace {

std::string Day(std::uint64_t ms) {
  if (ms == 0) return "-";
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc);
  return text;
}

nlohmann::json ToJson(const client::ZoneInfo& z) {
  return {
      {"name", z.name}, {"id", Hex(z.id)}, {"created_ms", z.created_ms}, {"state", z.deleting ? "deleting" : "active"}};
}

int Create(Session& session, const std::string& name) {
  const client::ZoneInfo zone = Need(session.client().CreateZone(name).Get(), "can't create the zone \"" + name + "\"");
  if (session.json()) {
    session.out() << ToJson(zone).dump() << "\n";
  } else {
    session.out() << "zone " << zone.name << " is ready; use it with --zone " << zone.name << " (or COFFER_ZONE)\n";
  }
  return kExitOk;
}

int List(Session& session) {
  Table table({"NAME", "STATE", "CREATED", "ID"});
  std::string token;
  do {
    const client::ZonePage page = Need(session.client().ListZones(token).Get(), "can't list the zones");
    for (const client::ZoneInfo& z : page.zones) {
      if (session.json()) session.out() << ToJson(z).dump() << "\n";
      table.Add({z.name, z.deleting ? "deleting" : "active", Day(z.created_ms), Hex(z.id)});
    }
    token = page.next_page_token;
  } while (!token.empty());
  if (!session.json()) session.out() << table.Text();
  return kExitOk;
}

int Remove(Session& session, const std::string& name, bool yes) {
  session.err() << "This deletes the zone \"" << name << "\" with every chunk and chain in it, for good.\n";
  if (!yes && !session.Confirm("Delete the zone " + name + "?")) {
    session.err() << "nothing was changed\n";
    return kExitFailure;
  }
  Need(session.client().DeleteZone(name).Get(), "can't delete the zone \"" + name + "\"");
  if (session.json()) {
    session.out() << nlohmann::json{{"name", name}, {"deleted", true}}.dump() << "\n";
  } else {
    session.out() << "zone " << name << " is deleted; its blocks are being removed\n";
  }
  return kExitOk;
}

}  // namespace

void AddZone(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("zone", "Create, list, delete zones");
  cmd->footer(
      "  coffer zone create photos\n  coffer zone list\n  coffer zone rm photos        asks first; --yes does not");
  auto name = std::make_shared<std::string>();
  auto yes = std::make_shared<bool>(false);
  CLI::App* create = cmd->add_subcommand("create", "Create a zone");
  create->add_option("name", *name, "1 to 63 of a-z, 0-9 and '-'")->required();
  create->callback([&session, name] { session.action = [&session, name] { return Create(session, *name); }; });
  cmd->add_subcommand("list", "List the zones")->callback([&session] {
    session.action = [&session] { return List(session); };
  });
  CLI::App* remove = cmd->add_subcommand("rm", "Delete a zone with all that is in it");
  remove->add_option("name", *name, "Name of the zone")->required();
  remove->add_flag("--yes", *yes, "Do not ask");
  remove->callback(
      [&session, name, yes] { session.action = [&session, name, yes] { return Remove(session, *name, *yes); }; });
}

}  // namespace coffer::command
