#include "client/command/bench_report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/command/format.h"

namespace coffer::command {
namespace {

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

double Seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

std::vector<std::string> Row(const std::string& name, const BenchTally& tally, double seconds) {
  const double rate = static_cast<double>(tally.finished) / seconds;
  const Histogram& h = tally.latency;
  return {name,
          Grouped(static_cast<std::uint64_t>(rate + 0.5)),
          Fixed(static_cast<double>(tally.bytes) / seconds / 1e6, 1),
          TimeShort(h.Quantile(0.5)),
          TimeShort(h.Quantile(0.9)),
          TimeShort(h.Quantile(0.99)),
          TimeShort(h.Quantile(0.999)),
          TimeShort(h.max()),
          Grouped(h.count()),
          Grouped(tally.errors)};
}

nlohmann::json ToJson(const BenchTally& tally, double seconds) {
  const Histogram& h = tally.latency;
  return {{"finished", tally.finished},
          {"per_second", static_cast<double>(tally.finished) / seconds},
          {"bytes_per_second", static_cast<double>(tally.bytes) / seconds},
          {"samples", h.count()},
          {"p50_seconds", Seconds(h.Quantile(0.5))},
          {"p90_seconds", Seconds(h.Quantile(0.9))},
          {"p99_seconds", Seconds(h.Quantile(0.99))},
          {"p999_seconds", Seconds(h.Quantile(0.999))},
          {"max_seconds", Seconds(h.max())},
          {"errors", tally.errors}};
}

std::string Loop(const BenchRun& run) {
  if (run.plan.per_second == 0) return "closed loop, " + std::to_string(run.plan.in_flight) + " in flight";
  return "open loop, " + RateShort(run.plan.per_second) + "/s due, at most " + std::to_string(run.plan.in_flight) +
         " in flight";
}

}  // namespace

std::string TimeShort(Duration time) {
  const double us = static_cast<double>(time.count()) / 1e3;
  if (us < 999.5) return Fixed(us, us < 9.95 ? 1 : 0) + "us";
  if (us < 999500) return Fixed(us / 1e3, us < 9995 ? 2 : us < 99950 ? 1 : 0) + "ms";
  return Fixed(us / 1e6, us < 9.995e6 ? 2 : 1) + "s";
}

std::string Sparkline(const std::vector<double>& values, std::size_t width) {
  static constexpr const char* kLevels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t from = values.size() > width ? values.size() - width : 0;
  double most = 0;
  for (std::size_t i = from; i < values.size(); ++i) most = std::max(most, values[i]);
  std::string out;
  for (std::size_t i = from; i < values.size(); ++i) {
    const double share = most > 0 ? values[i] / most : 0;
    out += kLevels[std::min<std::size_t>(7, static_cast<std::size_t>(share * 8))];
  }
  return out;
}

std::string BenchLine(double done_seconds, double all_seconds, bool warming_up, double per_second, Duration p50,
                      Duration p99, const std::vector<double>& p99s, int width) {
  std::string line = (warming_up ? "warm-up " : "") + Fixed(done_seconds, 0) + " of " + Fixed(all_seconds, 0) + " s  " +
                     Grouped(static_cast<std::uint64_t>(per_second + 0.5)) + "/s  ";
  line += per_second > 0 ? "p50 " + TimeShort(p50) + "  p99 " + TimeShort(p99) + "  "
                         : "no answer for " + TimeShort(p99) + "  ";
  const auto columns = static_cast<std::size_t>(std::max(20, width - 1));
  const std::size_t used = Columns(line);
  if (columns > used) line += Sparkline(p99s, std::min<std::size_t>(columns - used, 40));
  return Cut(line, columns);
}

std::string BenchTable(const BenchRun& run, const BenchResult& result) {
  std::string out = Loop(run) + ", " + Fixed(run.seconds, 1) + " s after " + Fixed(run.warm_up_seconds, 1) +
                    " s of warm-up; values of " + run.sizes + "; " + run.keys + " over " + Grouped(run.plan.keys) +
                    " keys\n\n";
  Table table({"OPERATION", "PER SECOND", "MB/s", "P50", "P90", "P99", "P99.9", "MAX", "SAMPLES", "ERRORS"},
              {false, true, true, true, true, true, true, true, true, true});
  int kinds = 0;
  for (int op = 0; op < kBenchOps; ++op) {
    if (!run.plan.Has(static_cast<BenchOp>(op))) continue;
    table.Add(Row(BenchOpName(static_cast<BenchOp>(op)), result.ops[static_cast<std::size_t>(op)], run.seconds));
    ++kinds;
  }
  if (kinds > 1) table.Add(Row("all", result.All(), run.seconds));
  out += table.Text();
  for (const auto& [reason, count] : result.errors) out += "errors: " + Grouped(count) + " x " + reason + "\n";
  if (result.wrong > 0) out += "WRONG ANSWERS: " + Grouped(result.wrong) + "\n";
  if (result.unserved > 0) {
    out += "not begun in time: " + Grouped(result.unserved) +
           "; the cluster can't follow this rate, and the times above are too good\n";
  }
  return out;
}

std::string BenchJson(const BenchRun& run, const BenchResult& result) {
  const BenchPlan& plan = run.plan;
  nlohmann::json ops = nlohmann::json::object();
  for (int op = 0; op < kBenchOps; ++op) {
    if (!plan.Has(static_cast<BenchOp>(op))) continue;
    ops[BenchOpName(static_cast<BenchOp>(op))] = ToJson(result.ops[static_cast<std::size_t>(op)], run.seconds);
  }
  const nlohmann::json out = {{"loop", plan.per_second > 0 ? "open" : "closed"},
                              {"rate", plan.per_second},
                              {"mix", run.mix},
                              {"sizes", run.sizes},
                              {"keys", run.keys},
                              {"key_count", plan.keys},
                              {"zone", run.zone},
                              {"seed", plan.seed},
                              {"chains", plan.chains},
                              {"last", plan.last},
                              {"in_flight", plan.in_flight},
                              {"clients", plan.clients},
                              {"seconds", run.seconds},
                              {"warm_up_seconds", run.warm_up_seconds},
                              {"client_cpu_seconds", run.client_cpu_seconds},
                              {"operations", ops},
                              {"all", ToJson(result.All(), run.seconds)},
                              {"errors", result.errors},
                              {"wrong", result.wrong},
                              {"unserved", result.unserved}};
  return out.dump() + "\n";
}

}  // namespace coffer::command
