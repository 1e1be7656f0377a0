// Runs one scenario from the forming of the cluster to the last check.
//
// Faults go on for `safety_s`, with every checker looking. Then all is healed, and within `liveness_s` every partition must take writes
// from two copies and everything must be at its goal (I20); at rest the copies must be equal and every promise is read back once more.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "sim/scenario.h"

namespace coffer::sim {

struct RunResult {
  std::optional<std::string> failure;       // what promise was broken
  std::uint64_t hash = 0;                   // of everything that happened, in order (I21)
  std::uint64_t steps = 0;
  Duration simulated{};
  Duration recovery{};                      // from the heal until all was well
  std::map<std::string, std::uint64_t> faults;  // injected, by kind
  std::uint64_t succeeded = 0, refused = 0, unknown = 0;
  std::uint64_t epochs = 0;
  std::vector<std::string> timeline;        // if asked for
};

// What is kept of a run besides its result.
enum class Detail { kResult, kEvents, kMessages };
RunResult Run(const Scenario& scenario, Detail detail);

// The smallest scenario found that still fails: without faults, clients, nodes and knobs that are not needed.
// Tries at most `runs` runs.
Scenario Shrink(const Scenario& scenario, int runs);

}  // namespace coffer::sim
