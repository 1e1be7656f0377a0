#include "sim/scenario.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "coffer/internal/v1/peer.pb.h"

namespace coffer::sim {
namespace {

using coffer::internal::v1::Peer;

std::string Seconds(std::int64_t microseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6f", static_cast<double>(microseconds) / 1e6);
  return text;
}

std::int64_t Microseconds(const std::string& seconds) { return static_cast<std::int64_t>(std::atof(seconds.c_str()) * 1e6 + 0.5); }

std::string PrintArgument(char kind, std::int64_t value) {
  if (value == kSender) return "sender";
  if (value == kReceiver) return "receiver";
  if (kind == 's') return Seconds(value);
  if (kind == 'k') return KindName(static_cast<int>(value));
  return std::to_string(value);
}

std::optional<std::int64_t> ParseArgument(char kind, const std::string& word) {
  if (word == "sender") return kSender;
  if (word == "receiver") return kReceiver;
  if (kind == 's') return Microseconds(word);
  if (kind == 'k') return KindNumber(word);
  return std::atoll(word.c_str());
}

}  // namespace

const std::map<std::string, std::int64_t>& Knobs() {
  static const std::map<std::string, std::int64_t> knobs{
      {"seed", 1},           // of everything that is drawn during the run
      {"nodes", 3},          // storage nodes at the begin
      {"witness", 0},        // 1: one more member that only votes
      {"partitions", 6},
      {"voters", 3},
      {"clients", 3},
      {"readers", 0},        // clients that only read, and keep asking the primary they know for as long as it answers
      {"routers", 0},        // router processes
      {"routed", 0},         // clients, besides, that go through them
      {"router_patience_ms", 5000},  // of routers with a node that keeps silent on a link that is up
      {"zone_clients", 0},   // clients, besides, that make, use and delete zones through routers
      {"token_clients", 0},  // members that make, show and revoke join tokens
      {"zones", 3},          // names of zones they share
      {"deletes", 0},        // per mille of the clients' operations, besides those they would do anyway
      {"think_ms", 20},      // a client's longest pause between operations
      {"patience_ms", 4000}, // how long a client waits for an operation before its outcome is unknown
      {"ids", 60},           // chunks the clients share
      {"chains", 4},         // chains they share
      {"log_keep", 64},
      {"waiting", 4096},     // requests that may wait for a partition at a node, and writes that may lack a copy; more are refused
      {"resync_delay_ms", 3000},
      {"stay_off", 0},       // at most so many nodes stay off at the heal until all is well without them (I20)
      {"safety_s", 20},      // how long the faults go on
      {"liveness_s", 120},   // bound on everything being well again
      {"lose", 0},           // per mille of the messages
      {"repeat", 0},
      {"late", 0},           // per mille that come up to late_ms later, out of order
      {"late_ms", 200},
      {"calls_late", 0},     // per mille of the calls to routers that stand still for up to late_ms, with what follows on their connection
      {"outlive", 0},        // per mille of the replication's messages that come again up to late_ms later, whatever their connection
      {"look_ms", 250},      // between looks at all disks
      {"min_delay_us", 100},
      {"max_delay_us", 600},
  };
  return knobs;
}

const std::map<std::string, std::string>& FaultArguments() {
  static const std::map<std::string, std::string> arguments{
      {"kill", "n"},        {"start", "n"},      {"restart", "n"},   {"move", "n"},       {"pause", "ns"},
      {"cut", "nm"},        {"mend", "nm"},      {"deafen", "nm"},   {"isolate", "n"},    {"reconnect", "n"},
      {"split", "i"},       {"heal", ""},        {"delay", "nms"},   {"stall", "nms"},    {"mute", "ks"},       {"hold", "ks"},      {"slow", "ni"},
      {"hang", "ns"},       {"full", "ni"},      {"failsync", "n"},  {"wipe", "n"},       {"flip", "n"},
      {"clock", "nsi"},     {"power", ""},       {"startall", ""},   {"drain", "n"},      {"undrain", "n"},
      {"forget", "n"},      {"reweight", "ni"},  {"add", ""},        {"mincopies", "i"},  {"lose", "i"},
      {"leave", "n"},       {"copy", "n"},       {"restore", "n"},   {"pauseresync", ""},  {"resumeresync", ""},
      {"limitresync", "i"}, {"force", ""},       {"kill-router", "r"},  {"start-router", "r"},  {"restart-router", "r"},
      {"pause-router", "rs"}, {"isolate-router", "r"}, {"reconnect-router", "r"}, {"cut-router", "rn"}, {"mend-router", "rn"},
  };
  return arguments;
}

std::optional<int> KindNumber(const std::string& name) {
  const auto* field = Peer::descriptor()->FindFieldByName(name);
  if (!field) return std::nullopt;
  return field->number();
}

std::string KindName(int number) {
  const auto* field = Peer::descriptor()->FindFieldByNumber(number);
  return field ? std::string(field->name()) : "none";
}

std::int64_t Scenario::knob(const std::string& name) const {
  const auto it = knobs.find(name);
  return it != knobs.end() ? it->second : Knobs().at(name);
}

std::string Print(const Scenario& scenario) {
  std::string out;
  for (const std::string& line : scenario.prose) out += "# " + line + "\n";
  for (const auto& [name, value] : scenario.knobs) out += name + " " + std::to_string(value) + "\n";
  for (const Fault& fault : scenario.faults) {
    out += fault.on.empty() ? "at " + Seconds(static_cast<std::int64_t>(fault.at_us)) : "on " + fault.on + " " + std::to_string(fault.count);
    if (!fault.on.empty() && fault.at_us > 0) out += " after " + Seconds(static_cast<std::int64_t>(fault.at_us));
    out += " " + fault.what;
    const std::string& kinds = FaultArguments().at(fault.what);
    for (std::size_t i = 0; i < kinds.size(); ++i) out += " " + PrintArgument(kinds[i], fault.arguments[i]);
    out += "\n";
  }
  return out;
}

std::optional<Scenario> Parse(const std::string& text, std::string* error) {
  Scenario scenario;
  std::istringstream lines(text);
  std::string line;
  int number = 0;
  auto fail = [&](const std::string& why) {
    *error = "line " + std::to_string(number) + ": " + why;
    return std::nullopt;
  };
  while (std::getline(lines, line)) {
    ++number;
    if (line.rfind("#", 0) == 0) {
      scenario.prose.push_back(line.size() > 2 ? line.substr(2) : "");
      continue;
    }
    std::istringstream words(line);
    std::string first;
    if (!(words >> first)) continue;
    if (first != "at" && first != "on") {
      std::int64_t value = 0;
      if (!Knobs().contains(first) || !(words >> value)) return fail("not a knob with a number: " + first);
      scenario.knobs[first] = value;
      continue;
    }
    Fault fault;
    std::string when;
    words >> when;
    if (first == "at") {
      fault.at_us = static_cast<std::uint64_t>(Microseconds(when));
    } else {
      if (!KindNumber(when)) return fail("no kind of message: " + when);
      fault.on = when;
      words >> fault.count;
    }
    words >> fault.what;
    if (fault.what == "after") {
      std::string delay;
      words >> delay >> fault.what;
      fault.at_us = static_cast<std::uint64_t>(Microseconds(delay));
    }
    const auto known = FaultArguments().find(fault.what);
    if (known == FaultArguments().end()) return fail("no fault: " + fault.what);
    for (const char kind : known->second) {
      std::string word;
      if (!(words >> word)) return fail("an argument of " + fault.what + " is missing");
      const auto value = ParseArgument(kind, word);
      if (!value) return fail("not understood: " + word);
      fault.arguments.push_back(*value);
    }
    scenario.faults.push_back(std::move(fault));
  }
  return scenario;
}

}  // namespace coffer::sim
