// coffer bench: how fast the cluster is, in a zone of its own.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <charconv>
#include <csignal>
#include <ostream>
#include <random>
#include <thread>

#include "client/command/bench_report.h"
#include "client/command/cluster_calls.h"
#include "client/command/command.h"
#include "client/command/format.h"
#include "client/command/progress.h"
#include "client/command/registry.h"
#include "client/command/whole_number.h"

namespace coffer::command {
namespace {

using std::chrono::milliseconds;

constexpr Duration kSecond = std::chrono::seconds(1);
constexpr double kMostPerSecond = 1e7;
constexpr std::uint64_t kLargestSize = 64u << 20;
// A zone is deleted in the background of a cluster that has just been under load.
constexpr milliseconds kDeleteTimeout{60'000};

struct BenchWish {
  std::string mix = "put=50,get=50";
  std::string sizes = "1KiB";
  std::string keys = "uniform";
  std::string duration = "10s";
  std::string warm_up = "2s";
  std::uint64_t key_count = 10'000;
  std::uint64_t chains = 64;
  std::uint64_t last = 20;
  std::uint64_t in_flight = 64;
  std::uint64_t clients = 1;
  double rate = 0;
  std::uint64_t seed = 0;
  bool keep = false;
  std::string reuse;
};

// A signal may be handled on any thread, so that volatile would not do.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

// While it lives, the first Ctrl-C or SIGTERM ends the run instead of the program, so that the zone is still removed. A second one
// ends the program.
class OnInterrupt {
 public:
  OnInterrupt() {
    interrupted = false;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = SA_RESETHAND;
    sigaction(SIGINT, &action, &before_int_);
    sigaction(SIGTERM, &action, &before_term_);
  }
  ~OnInterrupt() {
    sigaction(SIGINT, &before_int_, nullptr);
    sigaction(SIGTERM, &before_term_, nullptr);
  }

 private:
  struct sigaction before_int_ {}, before_term_ {};
};

Instant Now() {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

double CpuSeconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

std::uint64_t FreshSeed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

void CheckCounts(const BenchWish& wish) {
  const auto at_least_one = [](const char* option, std::uint64_t value, std::uint64_t most) {
    if (value < 1 || value > most) throw UsageError(std::string(option) + " is 1 to " + std::to_string(most));
  };
  at_least_one("--clients", wish.clients, 256);
  at_least_one("--in-flight", wish.in_flight, 4096 * wish.clients);
  at_least_one("--key-count", wish.key_count, 1'000'000'000);
  at_least_one("--chains", wish.chains, 1'000'000);
  at_least_one("--last", wish.last, 1000);
  if (wish.in_flight < wish.clients) throw UsageError("--in-flight is shared by the clients: at least one for each");
  // Written so that "nan" is refused too.
  if (!(wish.rate >= 0 && wish.rate <= kMostPerSecond)) {
    throw UsageError("--rate is up to 10000000 per second; without it, or with 0, the loop is closed");
  }
}

// Only what a run with the same lots has stored can be read again; other operations would meet their own earlier writes.
void CheckReuse(const BenchWish& wish, const BenchPlan& plan) {
  if (wish.reuse.empty()) return;
  if (plan.Has(BenchOp::kPut) || plan.Has(BenchOp::kAppend) || plan.Has(BenchOp::kLast)) {
    throw UsageError("--reuse reads what is there: --mix has get and has only");
  }
  if (wish.seed == 0) throw UsageError("--reuse needs the --seed of the run that stored it (in its -o json)");
}

BenchRun PlanFor(const Session& session, const BenchWish& wish) {
  CheckCounts(wish);
  BenchRun run;
  run.mix = wish.mix;
  run.sizes = wish.sizes;
  run.keys = wish.keys;
  run.plan.mix = ParseMix(wish.mix);
  run.plan.sizes = ParseSizes(wish.sizes);
  run.plan.key_skew = ParseKeys(wish.keys);
  run.plan.keys = wish.key_count;
  run.plan.chains = wish.chains;
  run.plan.last = wish.last;
  run.plan.in_flight = wish.in_flight;
  run.plan.per_second = wish.rate;
  run.plan.clients = wish.clients;
  run.plan.seed = wish.seed != 0 ? wish.seed : FreshSeed();
  run.plan.timeout = session.timeout().value_or(run.plan.timeout);
  if (run.plan.Has(BenchOp::kLast) && run.plan.last * run.plan.LargestSize() > (15u << 20)) {
    throw UsageError("--last entries of --size are more than 15 MiB, which is more than one append takes");
  }
  if (run.plan.LargestSize() > kLargestSize) throw UsageError("--size is more than any cluster takes as one value: 64MiB");
  CheckReuse(wish, run.plan);
  return run;
}

// The zone of one run; deleted when it goes. One of an earlier run (`reuse`) is left as it is.
class BenchZone {
 public:
  BenchZone(Session& session, const BenchWish& wish)
      : session_(session),
        name_(wish.reuse.empty() ? "bench-" + std::to_string(FreshSeed() % 1'000'000'000) : wish.reuse),
        reused_(!wish.reuse.empty()),
        keep_(wish.keep) {
    if (!reused_) Need(session_.client().CreateZone(name_).Get(), "can't create the zone \"" + name_ + "\"");
  }
  ~BenchZone() {
    if (reused_) return;
    if (keep_) {
      session_.err() << "kept zone " << name_ << "; remove it with: coffer zone rm " << name_ << "\n";
      return;
    }
    client::CallOptions options;
    options.timeout = kDeleteTimeout;
    const auto deleted = session_.client().DeleteZone(name_, options).Get();
    if (!deleted.ok()) session_.err() << Explain("can't remove the zone \"" + name_ + "\"", deleted.status);
  }
  const std::string& name() const { return name_; }

 private:
  Session& session_;
  const std::string name_;
  const bool reused_, keep_;
};

// Before a zone is made and loaded for nothing.
void CheckChunkLimit(Session& session, const BenchPlan& plan) {
  const std::uint64_t limit = FetchStatus(session).chunk_limit_bytes();
  if (limit > 0 && plan.LargestSize() > limit) {
    throw UsageError("--size is up to the cluster's limit: this cluster's chunks have " + BytesText(static_cast<double>(limit)) + " at most");
  }
}

// CLI11 itself names neither what was said nor what could be.
CLI::Validator Number() {
  return {[](std::string& text) -> std::string {
            double number = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
            const bool whole = error == std::errc() && end == text.data() + text.size();
            return whole ? "" : "\"" + text + "\" is not a number";
          },
          ""};
}

using Workers = std::vector<std::unique_ptr<BenchWorker>>;

void Prepare(Session& session, const BenchPlan& plan, Workers& workers) {
  Progress progress(session.err(), session.terminal().err_is_tty, "preparing", 0, session.terminal().width);
  for (const auto& worker : workers) {
    const client::Status status = worker->Prepare([&](std::uint64_t bytes) {
      progress.Add(bytes);
      if (interrupted) throw CommandError(kExitFailure, "interrupted before anything was measured");
    });
    if (!status.ok()) {
      progress.Clear();
      Fail("can't store what is to be read (" + std::to_string(plan.keys) + " keys)", status);
    }
  }
}

// The line on stderr, once a second.
class Live {
 public:
  Live(Session& session, double all_seconds) : session_(session), all_seconds_(all_seconds) {}
  ~Live() {
    if (drawn_) session_.err() << "\r\033[K" << std::flush;
  }
  void Second(const Workers& workers, double done_seconds, bool warming_up) {
    Histogram recent;
    for (const auto& worker : workers) recent.Add(worker->TakeRecent());
    // A second without an answer is the worst one, not the best.
    silent_ = recent.count() > 0 ? Duration(0) : silent_ + kSecond;
    const Duration p99 = recent.count() > 0 ? recent.Quantile(0.99) : silent_;
    p99s_.push_back(static_cast<double>(p99.count()));
    if (!session_.terminal().err_is_tty) return;
    drawn_ = true;
    session_.err() << "\r"
                   << BenchLine(done_seconds, all_seconds_, warming_up, static_cast<double>(recent.count()),
                                recent.Quantile(0.5), p99, p99s_, session_.terminal().width)
                   << "\033[K" << std::flush;
  }

 private:
  Session& session_;
  const double all_seconds_;
  std::vector<double> p99s_;
  Duration silent_{};
  bool drawn_ = false;
};

// Runs the load; fills in what was measured.
void Measure(Session& session, Workers& workers, Duration warm_up, Duration duration, BenchRun* run) {
  // The kernel may be 50 us late by default, which would count as latency.
  prctl(PR_SET_TIMERSLACK, 1000UL);
  const Instant begin = Now(), from = begin + warm_up, end = from + duration;
  Live live(session, std::chrono::duration<double>(warm_up + duration).count());
  for (auto& worker : workers) worker->Start(begin, from, end);
  double cpu = 0;
  Instant next_second = begin + kSecond, now = begin;
  for (bool warming = true; now < end && !interrupted; now = Now()) {
    Instant next = std::min({next_second, end, warming ? from : kNever});
    for (auto& worker : workers) next = std::min(next, worker->Pace(now));
    std::this_thread::sleep_until(std::chrono::steady_clock::time_point(next.time_since_epoch()));
    now = Now();
    if (warming && now >= from) {
      warming = false;
      cpu = CpuSeconds();
    }
    if (now < next_second) continue;
    live.Second(workers, std::chrono::duration<double>(now - begin).count(), warming);
    next_second += kSecond;
  }
  run->client_cpu_seconds = CpuSeconds() - cpu;
  run->warm_up_seconds = std::chrono::duration<double>(std::min(warm_up, now - begin)).count();
  run->seconds = std::max(1e-3, std::chrono::duration<double>(std::min(now, end) - from).count());
  for (auto& worker : workers) worker->Stop(now);
  const Instant patience = Now() + run->plan.timeout + kSecond;
  for (auto& worker : workers) worker->Drain(patience);
}

int Bench(Session& session, const BenchWish& wish) {
  BenchRun run = PlanFor(session, wish);
  const Duration warm_up = wish.warm_up == "0" ? milliseconds(0) : ParseDuration(wish.warm_up);
  const Duration duration = ParseDuration(wish.duration);
  CheckChunkLimit(session, run.plan);
  const OnInterrupt catching;
  const BenchZone zone(session, wish);
  run.zone = zone.name();
  session.Disconnect();  // measured is what the workers' clients cost
  BenchResult result;
  {
    Workers workers;
    client::ClientOptions options = session.client_options();
    options.zone = zone.name();
    options.timeout = run.plan.timeout;
    for (std::uint64_t i = 0; i < wish.clients; ++i) {
      const std::uint64_t share = (wish.in_flight + wish.clients - 1 - i) / wish.clients;
      workers.push_back(std::make_unique<BenchWorker>(run.plan, i, share, options));
    }
    if (wish.reuse.empty()) Prepare(session, run.plan, workers);
    Measure(session, workers, warm_up, duration, &run);
    for (const auto& worker : workers) result.Add(worker->Figures());
  }
  session.out() << (session.json() ? BenchJson(run, result) : BenchTable(run, result)) << std::flush;
  if (result.first_error) session.err() << Explain("the first error was", *result.first_error);
  if (result.wrong > 0) {
    throw CommandError(kExitFailure, std::to_string(result.wrong) +
                                         " answers were not what was stored\n  next: coffer status; coffer doctor");
  }
  return result.All().finished > 0 ? kExitOk : kExitFailure;
}

}  // namespace

void AddBench(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("bench", "Measure the cluster, in a zone of its own that is removed afterwards");
  cmd->footer(
      "  coffer bench                                      half put, half get, of 1 KiB, 64 in flight, 10 s\n"
      "  coffer bench --mix put --in-flight 1              latency of a write when nothing else is done\n"
      "  coffer bench --rate 2000 --duration 1m            2000 operations a second, whatever the cluster answers\n"
      "  coffer bench --mix get --size 4KiB=90,1MiB=10 --keys zipf --key-count 100000\n"
      "  coffer bench --mix append=50,last=50 --chains 1000 -o json\n"
      "Every write is kept on all copies like any other. Ctrl-C ends early, with the figures until then.");
  auto wish = std::make_shared<BenchWish>();
  cmd->add_option("--mix", wish->mix, "put, get, append, last, has with their shares")->capture_default_str();
  cmd->add_option("--size", wish->sizes, "Bytes of a value, or several with their shares")->capture_default_str();
  cmd->add_option("--keys", wish->keys, "Which keys are read: uniform, zipf, zipf=SKEW")->capture_default_str();
  cmd->add_option("--key-count", wish->key_count, "Chunks stored before, for get and has")
      ->transform(WholeNumber())
      ->capture_default_str();
  cmd->add_option("--chains", wish->chains, "Chains of each client, for append and last")
      ->transform(WholeNumber())
      ->capture_default_str();
  cmd->add_option("--last", wish->last, "Entries that last reads")->transform(WholeNumber())->capture_default_str();
  cmd->add_option("--in-flight", wish->in_flight, "Operations at once, of all clients")
      ->transform(WholeNumber())
      ->capture_default_str();
  cmd->add_option("--rate", wish->rate, "Open loop: operations due per second; latency counts from then on")
      ->check(Number());
  cmd->add_option("--clients", wish->clients, "Connections, each with threads of its own")
      ->transform(WholeNumber())
      ->capture_default_str();
  cmd->add_option("--duration", wish->duration, "Measured time")->capture_default_str();
  cmd->add_option("--warm-up", wish->warm_up, "Time before that, not measured; 0 for none")->capture_default_str();
  cmd->add_option("--seed", wish->seed, "The same lots again; 0 draws new ones")->transform(WholeNumber());
  cmd->add_flag("--keep", wish->keep, "Leave the zone and what is in it");
  cmd->add_option("--reuse", wish->reuse, "Read in a zone that an earlier run kept; same --seed, --size, --key-count");
  cmd->callback([&session, wish] { session.action = [&session, wish] { return Bench(session, *wish); }; });
}

}  // namespace coffer::command
