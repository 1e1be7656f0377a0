// How a benchmark's figures are shown. Pure.
#pragma once

#include <string>
#include <vector>

#include "client/command/bench_load.h"

namespace coffer::command {

// What was run, beside the plan.
struct BenchRun {
  BenchPlan plan;
  std::string mix, sizes, keys;  // as the user wrote them
  std::string zone;              // where it ran
  double seconds = 0;            // measured
  double warm_up_seconds = 0;
  double client_cpu_seconds = 0;  // user and system, of this process, in the measured time
};

std::string BenchTable(const BenchRun& run, const BenchResult& result);
// One object; times in seconds.
std::string BenchJson(const BenchRun& run, const BenchResult& result);

// "412us", "1.25ms", "3.1s": four characters or a few more.
std::string TimeShort(Duration time);
// One character for each value, as high as its share of the largest; the newest `width` of them.
std::string Sparkline(const std::vector<double>& values, std::size_t width);
// The line that is redrawn while the benchmark runs. `per_second` 0: nothing ended, for as long as `p99` says.
std::string BenchLine(double done_seconds, double all_seconds, bool warming_up, double per_second, Duration p50,
                      Duration p99, const std::vector<double>& p99s, int width);

}  // namespace coffer::command
