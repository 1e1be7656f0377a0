// coffer bench: its histogram, its schedule, its lots, and whole runs against a router in memory.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "client/command/bench_draw.h"
#include "client/command/bench_histogram.h"
#include "client/command/bench_report.h"
#include "client/command/bench_schedule.h"
#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Fault;
using test::Ran;
using test::RpcError;
using test::Shell;

TEST_CASE("a quantile of the histogram is never below the sorted list's, and less than 1 % above") {
  Random random(7);
  Histogram histogram;
  std::vector<std::int64_t> sorted;
  for (int i = 0; i < 20'000; ++i) {
    // From nanoseconds to minutes, every magnitude alike.
    const auto ns = static_cast<std::int64_t>(std::exp(static_cast<double>(random.Below(25'000)) / 1000));
    sorted.push_back(ns);
    histogram.Add(Duration(ns));
  }
  std::sort(sorted.begin(), sorted.end());
  for (const double share : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size()))) - 1;
    const auto exact = static_cast<double>(sorted[rank]);
    const auto told = static_cast<double>(histogram.Quantile(share).count());
    INFO(share);
    CHECK(told >= exact);
    CHECK(told <= exact * 1.01 + 1);
  }
  CHECK(histogram.max() == Duration(sorted.back()));
  CHECK(histogram.count() == 20'000);
}

TEST_CASE("histograms add up, an empty one says zero, and what is longer than five hours counts") {
  Histogram a, b;
  CHECK(a.Quantile(0.5) == Duration(0));
  a.Add(milliseconds(1));
  b.Add(milliseconds(3));
  b.Add(std::chrono::hours(100));
  a.Add(b);
  CHECK(a.count() == 3);
  CHECK(a.max() == std::chrono::hours(100));
  CHECK(a.Quantile(0.6) >= milliseconds(3));
  CHECK(a.Quantile(0.6) < microseconds(3030));
}

TEST_CASE("arrivals come at the rate asked for, and one that is late keeps its due time") {
  ArrivalSchedule schedule(Instant(seconds(5)), 1000, 3);
  CHECK(schedule.next() > Instant(seconds(5)));
  CHECK(!schedule.Take(Instant(seconds(5))));
  // Nothing was taken for ten seconds: everything that was due then is still there, each with its own time.
  Instant before(seconds(5));
  int count = 0;
  while (const auto due = schedule.Take(Instant(seconds(15)))) {
    CHECK(*due >= before);
    CHECK(*due <= Instant(seconds(15)));
    before = *due;
    ++count;
  }
  CHECK(count > 9'600);  // 4 standard deviations of a Poisson process
  CHECK(count < 10'400);
}

TEST_CASE("keys by Zipf's law are drawn as often as the law says") {
  constexpr std::uint64_t kKeys = 1000;
  constexpr int kDraws = 200'000;
  const KeyLots lots(kKeys, 0.99);
  Random random(11);
  std::vector<int> seen(kKeys);
  for (int i = 0; i < kDraws; ++i) ++seen.at(lots.Draw(random));
  double sum = 0;
  for (std::uint64_t k = 1; k <= kKeys; ++k) sum += std::pow(static_cast<double>(k), -0.99);
  for (const std::uint64_t key : {0, 1, 9}) {
    const double law = kDraws / sum * std::pow(static_cast<double>(key + 1), -0.99);
    INFO(key);
    CHECK(seen[key] > law * 0.8);
    CHECK(seen[key] < law * 1.25);
  }
  CHECK(std::count(seen.begin(), seen.end(), 0) < 20);
}

TEST_CASE("uniform keys reach all keys alike") {
  const KeyLots lots(10, 0);
  Random random(1);
  std::vector<int> seen(10);
  for (int i = 0; i < 100'000; ++i) ++seen.at(lots.Draw(random));
  for (const int count : seen) CHECK(std::abs(count - 10'000) < 500);
}

TEST_CASE("a mix and sizes are drawn by their shares, and nonsense is refused with what could be said") {
  const auto mix = ParseMix("put=3,get");
  Random random(1);
  int puts = 0;
  for (int i = 0; i < 10'000; ++i) puts += mix.Draw(random) == BenchOp::kPut;
  CHECK(std::abs(puts - 7500) < 250);
  CHECK(ParseSizes("1KiB=80,64KiB=20").all().at(1).what == 65536);
  CHECK_THROWS_AS(ParseMix("putt"), UsageError);
  CHECK_THROWS_AS(ParseMix("put=0"), UsageError);
  CHECK_THROWS_AS(ParseSizes("big"), UsageError);
  CHECK(ParseKeys("zipf") == 0.99);
  CHECK(ParseKeys("uniform") == 0);
  CHECK_THROWS_AS(ParseKeys("zipf=1"), UsageError);
}

TEST_CASE("times and sparklines are short") {
  CHECK(TimeShort(Duration(4'200)) == "4.2us");
  CHECK(TimeShort(microseconds(412)) == "412us");
  CHECK(TimeShort(microseconds(1250)) == "1.25ms");
  CHECK(TimeShort(milliseconds(31)) == "31.0ms");
  CHECK(TimeShort(milliseconds(3100)) == "3.10s");
  CHECK(Sparkline({9, 0, 4, 8}, 3) == "▁▅█");
  CHECK(Sparkline({0, 0}, 8) == "▁▁");
  CHECK(BenchLine(3, 10, false, 20, milliseconds(2), milliseconds(4), {2, 4}, 80) == "3 of 10 s  20/s  p50 2.00ms  p99 4.00ms  ▅█");
  CHECK(BenchLine(4, 10, false, 0, Duration(0), seconds(1), {4, 16}, 80) == "4 of 10 s  0/s  no answer for 1.00s  ▃█");
}

// A short run; what `more` says is not said twice.
Ran Bench(Shell& shell, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"bench"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const std::pair<const char*, const char*> defaults[] = {{"--duration", "200ms"}, {"--warm-up", "50ms"},
                                                          {"--key-count", "50"},   {"--chains", "4"},
                                                          {"--in-flight", "8"},    {"--seed", "5"}};
  for (const auto& [option, value] : defaults) {
    if (std::find(more.begin(), more.end(), option) != more.end()) continue;
    arguments.insert(arguments.end(), {option, value});
  }
  return shell.Run(arguments);
}

TEST_CASE("a run measures every operation of the mix and leaves no zone behind") {
  Shell shell;
  const Ran ran = Bench(shell, {"--mix", "put,get,append,last,has", "--last", "3", "--clients", "2", "-o", "json"});
  INFO(ran.out << ran.err);
  REQUIRE(ran.code == kExitOk);
  const auto figures = nlohmann::json::parse(ran.out);
  for (const char* op : {"put", "get", "append", "last", "has"}) {
    INFO(op);
    CHECK(figures["operations"][op]["finished"] > 0);
    CHECK(figures["operations"][op]["p50_seconds"] > 0);
    CHECK(figures["operations"][op]["p50_seconds"] <= figures["operations"][op]["max_seconds"]);
  }
  CHECK(figures["all"]["errors"] == 0);
  CHECK(figures["wrong"] == 0);
  CHECK(figures["loop"] == "closed");
  std::lock_guard lock(shell.cluster->lock);
  for (const auto& [name, id] : shell.cluster->zones) CHECK(name.find("bench-") == std::string::npos);
}

TEST_CASE("a run that is interrupted removes its zone") {
  for (const int signal : {SIGINT, SIGTERM}) {
    Shell shell;
    const auto has_zone = [&shell] {
      std::lock_guard lock(shell.cluster->lock);
      return std::any_of(shell.cluster->zones.begin(), shell.cluster->zones.end(),
                         [](const auto& zone) { return zone.first.find("bench-") != std::string::npos; });
    };
    std::thread interrupt([&] {
      while (!has_zone()) std::this_thread::yield();
      raise(signal);
    });
    shell.Run({"bench", "--mix", "put", "--duration", "5m"});
    interrupt.join();
    CHECK_FALSE(has_zone());
  }
}

TEST_CASE("a zone that was kept is read again, by its seed, and stays") {
  Shell shell;
  const Ran kept = Bench(shell, {"--mix", "get", "--keep", "-o", "json"});
  REQUIRE(kept.code == kExitOk);
  const auto figures = nlohmann::json::parse(kept.out);
  CHECK(figures["seed"] == 5);
  const auto stored = shell.cluster->calls["coffer.v1.Chunks/Put"];
  for (int again = 0; again < 2; ++again) {
    const Ran ran = Bench(shell, {"--mix", "get,has", "--reuse", figures["zone"].get<std::string>(), "-o", "json"});
    INFO(ran.out << ran.err);
    REQUIRE(ran.code == kExitOk);
    CHECK(nlohmann::json::parse(ran.out)["all"]["errors"] == 0);
    std::lock_guard lock(shell.cluster->lock);
    CHECK(shell.cluster->calls["coffer.v1.Chunks/Put"] == stored);
  }
  CHECK(Bench(shell, {"--mix", "get", "--reuse", "bench-none"}).code == kExitFailure);
}

TEST_CASE("an open loop runs at its rate and says so in the table") {
  Shell shell;
  const Ran ran = Bench(shell, {"--mix", "get", "--rate", "500", "--duration", "1s"});
  INFO(ran.out << ran.err);
  REQUIRE(ran.code == kExitOk);
  CHECK(ran.out.find("open loop, 500/s due") != std::string::npos);
  CHECK(ran.out.find("P99.9") != std::string::npos);
  // On a busy machine fewer may end in time, but never more than were due.
  std::lock_guard lock(shell.cluster->lock);
  CHECK(shell.cluster->calls["coffer.v1.Chunks/Get"] > 200);
  CHECK(shell.cluster->calls["coffer.v1.Chunks/Get"] < 700);
}

TEST_CASE("a cluster that stalls is charged with everything that was due meanwhile") {
  Shell shell;
  // The first read of each of the eight places is never answered; all places wait for their deadline.
  shell.router->Inject("coffer.v1.Chunks/Get", std::vector<Fault>(64, Fault{}));
  const Ran ran = Bench(shell, {"--mix", "get", "--rate", "200", "--duration", "300ms", "--warm-up", "0", "--timeout",
                                "1s", "-o", "json"});
  INFO(ran.out << ran.err);
  const auto figures = nlohmann::json::parse(ran.out);
  const std::uint64_t accounted = figures["all"]["samples"].get<std::uint64_t>() +
                                  figures["all"]["errors"].get<std::uint64_t>() +
                                  figures["unserved"].get<std::uint64_t>();
  CHECK(accounted > 30);  // 60 were due
}

TEST_CASE("what waits behind a stalled cluster is timed from when it was due, not from when it is sent") {
  Shell shell;
  // From the first read on nothing is answered until 200 ms behind the last that is due. Four places are taken; all others wait
  // for one, are sent when the cluster is well again, and are answered at once.
  std::thread stall([&] {
    while (true) {
      const std::lock_guard lock(shell.cluster->lock);
      if (shell.cluster->calls["coffer.v1.Chunks/Get"] == 0) continue;
      std::this_thread::sleep_for(milliseconds(800));
      return;
    }
  });
  const Ran ran = Bench(shell, {"--mix", "get", "--rate", "200", "--in-flight", "4", "--duration", "600ms", "--warm-up", "0",
                                "-o", "json"});
  stall.join();
  INFO(ran.out << ran.err);
  REQUIRE(ran.code == kExitOk);
  const auto all = nlohmann::json::parse(ran.out)["all"];
  CHECK(all["samples"] > 80);  // 120 were due
  // Timed from when they are sent, four of them would be slow.
  CHECK(all["p90_seconds"] > 0.19);
}

TEST_CASE("answers that are not what was stored fail the run") {
  Shell shell;
  const Ran kept = Bench(shell, {"--mix", "get", "--keep"});
  REQUIRE(kept.code == kExitOk);
  CHECK(kept.err.find("coffer zone rm bench-") != std::string::npos);
  std::atomic<bool> over = false;
  std::thread damage([&] {
    while (!over) {
      std::lock_guard lock(shell.cluster->lock);
      for (auto& [zone, chunks] : shell.cluster->chunks) {
        for (auto& [id, bytes] : chunks) bytes.assign(bytes.size(), 'x');
      }
    }
  });
  const Ran ran = Bench(shell, {"--mix", "get"});
  over = true;
  damage.join();
  CHECK(ran.code == kExitFailure);
  CHECK(ran.err.find("answers were not what was stored") != std::string::npos);
}

TEST_CASE("errors are counted by reason and the first is explained") {
  Shell shell;
  shell.router->InjectAlways("coffer.v1.Chunks/Get", Fault{Fault::Kind::kReply, RpcError(5, "no such chunk")});
  const Ran ran = Bench(shell, {"--mix", "get"});
  CHECK(ran.code == kExitFailure);
  INFO(ran.out << ran.err);
  CHECK(ran.out.find("x NOT_FOUND") != std::string::npos);
  CHECK(ran.err.find("the first error was: no such chunk") != std::string::npos);
}

TEST_CASE("what can't be measured is refused before anything is stored") {
  Shell shell;
  CHECK(Bench(shell, {"--mix", "sing"}).code == kExitUsage);
  CHECK(Bench(shell, {"--in-flight", "0"}).code == kExitUsage);
  CHECK(Bench(shell, {"--clients", "9"}).code == kExitUsage);
  CHECK(Bench(shell, {"--mix", "last", "--size", "1MiB"}).code == kExitUsage);
  for (const char* rate : {"nan", "inf", "1e12", "-5"}) CHECK(Bench(shell, {"--rate", rate}).code == kExitUsage);
  CHECK(Bench(shell, {"--size", "100GiB"}).code == kExitUsage);
  CHECK(Bench(shell, {"--clients", "0"}).err.find("--clients") != std::string::npos);
  CHECK(Bench(shell, {"--mix", "put", "--reuse", "bench-1"}).code == kExitUsage);
  CHECK(Bench(shell, {"--mix", "get", "--reuse", "bench-1", "--seed", "0"}).code == kExitUsage);
  CHECK(Bench(shell, {"--rate", "abc"}).err.find("--rate: \"abc\" is not a number") != std::string::npos);
  CHECK(shell.router->calls() == 0);
  shell.cluster->status.set_chunk_limit_bytes(4u << 20);
  const Ran large = Bench(shell, {"--size", "1KiB=1,10MiB=1"});
  CHECK(large.code == kExitUsage);
  CHECK(large.err.find("this cluster's chunks have 4.0 MiB at most") != std::string::npos);
  CHECK(shell.router->calls() == 1);
}

}  // namespace
}  // namespace coffer::command
