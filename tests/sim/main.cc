// sim: one run of the simulator, or as many as fit into a time.
//
//   sim --seed 7 [--timeline | --messages] [--shrink]   the run drawn from this seed
//   sim --scenario FILE [...]                 the run a file describes
//   sim --scenario FILE --seeds 40            the same with its seed, the next, ...
//   sim --seed 1 --seeds 40                   these seeds, one after the other
//   sim --seed 1 --minutes 5                  as many as fit
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "cluster/planted_bug.h"
#include "sim/planted_bugs.h"
#include "sim/rule_counts.h"
#include "sim/run.h"

namespace coffer::sim {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  double minutes = 0;
  std::int64_t safety_s = 20;
  std::string file;
  std::string aim;
  Detail detail = Detail::kResult;
  bool shrink = false;
  bool expect_failure = false;
  bool counts = false;
  bool twice = false;
};

[[noreturn]] void Usage() {
  std::cerr << "usage: sim [--seed N] [--seeds COUNT | --minutes M] [--safety SECONDS] [--scenario FILE] [--bug NAME] [--aim NAME]\n"
               "           [--timeline | --messages] [--shrink] [--expect-failure] [--counts] [--twice]\n"
               "  --bug NAME        plant this bug (docs/testing.md); --expect-failure: exit 0 only if some run fails\n"
               "  --bugs            list them\n"
               "  --aim NAME        faults aimed at one rule, for every seed (tests/sim/scenario_adversary.cc)\n"
               "  --counts          print faults by kind and how often each rule's branch was taken, for tests/swarm\n"
               "  --twice           every run a second time: the same events must happen in the same order (I21)\n";
  std::exit(2);
}

Options Read(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    auto value = [&]() -> std::string {
      if (++i >= argc) Usage();
      return argv[i];
    };
    if (name == "--seed") o.seed = std::strtoull(value().c_str(), nullptr, 10);
    else if (name == "--seeds") o.seeds = std::strtoull(value().c_str(), nullptr, 10);
    else if (name == "--minutes") o.minutes = std::atof(value().c_str());
    else if (name == "--safety") o.safety_s = std::atoll(value().c_str());
    else if (name == "--scenario") o.file = value();
    else if (name == "--aim") {
      Scenario none;
      if (!AimFaults(none, o.aim = value())) Usage();
    }
    else if (name == "--timeline") o.detail = Detail::kEvents;
    else if (name == "--messages") o.detail = Detail::kMessages;
    else if (name == "--shrink") o.shrink = true;
    else if (name == "--expect-failure") o.expect_failure = true;
    else if (name == "--counts") o.counts = true;
    else if (name == "--twice") o.twice = true;
    else if (name == "--bugs") {
      for (const std::string& bug : BugNames()) std::cout << bug << "\n";
      std::exit(0);
    }
    else if (name == "--bug") {
      if (!PlantBug(value())) Usage();
    } else Usage();
  }
  return o;
}

// Sums over runs.
struct Totals {
  std::uint64_t runs = 0, failed = 0, steps = 0, succeeded = 0, unknown = 0, epochs = 0;
  Duration simulated{};
  Duration longest_recovery{};
  std::uint64_t course = 0;  // the hashes of all runs, in order: two builds with the same one did the same
  std::map<std::string, std::uint64_t> faults;

  void Add(const RunResult& r) {
    ++runs;
    course = (course ^ r.hash) * 0x100000001b3ull;
    failed += r.failure ? 1 : 0;
    steps += r.steps;
    succeeded += r.succeeded;
    unknown += r.unknown;
    epochs += r.epochs;
    simulated += r.simulated;
    longest_recovery = std::max(longest_recovery, r.recovery);
    for (const auto& [kind, count] : r.faults) faults[kind] += count;
  }
};

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Runs it, says how it went, and what can be said about a failure. True: no promise was broken.
bool One(const Options& o, const Scenario& scenario, Totals* totals) {
  RunResult result = Run(scenario, o.detail);
  totals->Add(result);
  if (o.twice && Run(scenario, Detail::kResult).hash != result.hash) result.failure = "a second run took another course (I21)";
  if (o.detail != Detail::kResult) {
    for (const std::string& line : result.timeline) std::cout << line << "\n";
  }
  if (!result.failure) return true;
  std::cout << "seed " << scenario.knob("seed") << " FAILS after " << Seconds(result.simulated) << " s: " << *result.failure << "\n";
  if (o.shrink) {
    const Scenario small = Shrink(scenario, 400);
    std::cout << "shrunk to:\n" << Print(small);
    const RunResult again = Run(small, Detail::kEvents);
    for (std::size_t i = again.timeline.size() > 80 ? again.timeline.size() - 80 : 0; i < again.timeline.size(); ++i) {
      std::cout << again.timeline[i] << "\n";
    }
  }
  std::cout.flush();
  return false;
}

int Main(int argc, char** argv) {
  const Options o = Read(argc, argv);
  const auto started = Clock::now();
  auto spent = [&] { return std::chrono::duration<double>(Clock::now() - started).count(); };
  Totals totals;
  if (!o.file.empty()) {
    std::ifstream in(o.file);
    std::stringstream text;
    text << in.rdbuf();
    std::string error;
    auto scenario = Parse(text.str(), &error);
    if (!in || !scenario) {
      std::cerr << o.file << ": " << (in ? error : "can't be read") << "\n";
      return 2;
    }
    for (std::uint64_t i = 0; i < o.seeds; ++i) {
      if (!One(o, *scenario, &totals) && (o.shrink || o.expect_failure)) break;
      scenario->set("seed", scenario->knob("seed") + 1);
    }
  } else {
    for (std::uint64_t seed = o.seed; o.minutes > 0 ? spent() < o.minutes * 60 : seed < o.seed + o.seeds; ++seed) {
      const Scenario scenario = RandomScenario(seed, o.safety_s, o.aim);
      if (o.seeds == 1 && o.minutes == 0) std::cout << Print(scenario);
      if (!One(o, scenario, &totals) && (o.shrink || o.expect_failure)) break;
    }
  }
  const double cpu = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  std::cout << "runs " << totals.runs << " failed " << totals.failed << " simulated_s " << Seconds(totals.simulated) << " wall_s " << spent()
            << " cpu_s " << cpu << " steps " << totals.steps << " acknowledged " << totals.succeeded << " unknown " << totals.unknown
            << " epochs " << totals.epochs << " longest_recovery_s " << Seconds(totals.longest_recovery)
            << " course " << std::hex << totals.course << std::dec << "\n";
  if (o.counts) {
    for (const auto& [kind, count] : totals.faults) std::cout << "fault " << kind << ": " << count << "\n";
    for (const auto& [rule, count] : RuleCounts()) std::cout << "rule " << rule << ": " << count << "\n";
  }
  return (totals.failed > 0) == o.expect_failure ? 0 : 1;
}

}  // namespace
}  // namespace coffer::sim

int main(int argc, char** argv) { return coffer::sim::Main(argc, argv); }
