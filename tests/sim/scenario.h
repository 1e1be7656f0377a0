// One run of the simulator as a text: everything about it that is not decided by its seed.
//
// A file holds `name value` lines for the knobs, and the faults in the order of their times:
//   # prose: what happened, and which rule it was about
//   nodes 3
//   at 1.500000 kill 0
//   on layout_push 3 pause sender 2.000000
// `at SECONDS` counts from the begin of the load. `on KIND N` is the N-th message of that kind that a node sends to a node; `sender`
// and `receiver` stand for its ends. docs/testing.md lists the knobs and the faults.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coffer::sim {

inline constexpr std::int64_t kSender = -1;
inline constexpr std::int64_t kReceiver = -2;

struct Fault {
  std::uint64_t at_us = 0;      // since the begin of the load; with `on`: since that message left
  std::string on;               // a message's kind
  std::uint64_t count = 0;      // and its number
  std::string what;             // see kFaultArguments
  std::vector<std::int64_t> arguments;
  bool operator==(const Fault&) const = default;
};

struct Scenario {
  std::vector<std::string> prose;
  std::map<std::string, std::int64_t> knobs;  // as in kKnobs; absent: the usual value
  std::vector<Fault> faults;

  std::int64_t knob(const std::string& name) const;
  void set(const std::string& name, std::int64_t value) { knobs[name] = value; }
  bool operator==(const Scenario&) const = default;
};

// The knobs and their usual values.
const std::map<std::string, std::int64_t>& Knobs();
// What a fault's arguments are, as letters: n node, m node (another), r router, k kind of message, i number, s seconds.
const std::map<std::string, std::string>& FaultArguments();

// Numbers of message kinds by the names of wire::Peer's fields.
std::optional<int> KindNumber(const std::string& name);
std::string KindName(int number);

std::string Print(const Scenario& scenario);
// Nothing, and why in `error`, when the text can't be read.
std::optional<Scenario> Parse(const std::string& text, std::string* error);

// Replaces the faults by some that are aimed at one rule, with the clients and the network they need; "routers" adds to what is there.
// False: no aim has this name.
bool AimFaults(Scenario& scenario, const std::string& aim);
// Each of the first five aims for every tenth seed, routers for every fourth, later-zones for every sixteenth, and one of those that are
// rarely needed for every sixteenth; the others keep what they have.
void MaybeAimFaults(Scenario& scenario);

// Everything drawn from the seed. `safety_seconds`: how long faults go on. `aim`: its faults for every seed; "": see MaybeAimFaults.
Scenario RandomScenario(std::uint64_t seed, std::int64_t safety_seconds, const std::string& aim = "");

}  // namespace coffer::sim
