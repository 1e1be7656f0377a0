// How failure detection grows with the cluster: the shipping Membership, 3 to 5 000 members, in virtual time.
//
//   membership_scale [--only LIST] [--seconds S] [MEMBERS...]
//                                 prints the tables of docs/testing.md; without sizes 3 10 100 1000. LIST: of the letters r rest,
//                                 k killed, l loss, h heavy loss, s slow, v very slow, c cut; what is left out shows as ".".
//                                 S: virtual seconds of loss and of slowness, instead of those drawn up for the size
//   membership_scale --smoke                      10, 30 and 100 members, with the figures checked
//
// Each experiment begins with the same cluster at rest: it runs in a process of its own, forked from one that has built it.
// What each cost goes to stderr. Of 5 000 members it needs about 5 GB at rest, and an experiment as much again.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "sim/membership_scale_world.h"

namespace coffer::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

double InSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// ---- the experiments --------------------------------------------------------------------------------------------------

struct Detection {
  double first = 0;  // seconds until somebody declares it dead
  double all = 0;    // until all have
};

Detection KillOne(World* world, std::uint32_t victim, bool refused) {
  world->Await(victim);
  const Instant began = world->now();
  world->Kill(victim, refused);
  Detection found;
  const std::uint32_t alive = world->alive();
  world->RunUntil(began + seconds(60), [&] { return world->told() >= alive; });
  for (const auto& death : world->deaths) {
    if (death.of != victim) continue;
    if (found.first == 0) found.first = InSeconds(death.at - began);
    found.all = InSeconds(death.at - began);
  }
  return found;
}

struct Load {
  double messages = 0;  // per member and second
  double bytes = 0;
};
Load AtRest(World* world, int for_seconds) {
  world->messages = world->bytes = 0;
  world->RunFor(seconds(for_seconds));
  const double share = 1.0 * world->size() * for_seconds;
  return {static_cast<double>(world->messages) / share, static_cast<double>(world->bytes) / share};
}

struct FalsePositives {
  std::size_t healthy = 0;             // deaths declared of members that are not slow
  std::size_t healthy_by_healthy = 0;  // of these: by members that are not slow
};
FalsePositives Count(const World& world) {
  FalsePositives count;
  for (const auto& death : world.deaths) {
    if (world.slow(death.of)) continue;
    ++count.healthy;
    count.healthy_by_healthy += !world.slow(death.by);
  }
  return count;
}

// Of large clusters such a second can take minutes: says on stderr how far it is.
void RunWatched(World* world, int for_seconds) {
  for (int second = 1; second <= for_seconds; ++second) {
    world->RunFor(seconds(1));
    if (world->size() > 1000) std::fprintf(stderr, "%d of %d virtual seconds, %zu deaths\n", second, for_seconds, world->deaths.size());
  }
}

FalsePositives WithSlow(World* world, std::uint32_t slow, int for_seconds) {
  for (std::uint32_t n = 0; n < slow; ++n) world->Hiccup(n, milliseconds(8192), milliseconds(64));
  world->deaths.clear();
  RunWatched(world, for_seconds);
  return Count(*world);
}

std::size_t WithLoss(World* world, int permille, int for_seconds) {
  world->loss_permille = permille;
  world->deaths.clear();
  RunWatched(world, for_seconds);
  world->loss_permille = 0;
  return world->deaths.size();
}

double HealAfter(World* world, int cut_seconds) {
  world->halved = true;
  world->RunFor(seconds(cut_seconds));
  world->halved = false;
  const Instant healed = world->now();
  const bool whole = world->RunUntil(healed + seconds(120), [&, next = healed]() mutable {
    if (world->now() < next) return false;  // a look at all tables is dear
    next = world->now() + milliseconds(100);
    return world->AllAlive();
  });
  return whole ? InSeconds(world->now() - healed) : -1;
}

// Virtual seconds per experiment; larger clusters see as many events in less time.
struct Times {
  int rest, loss, slow, cut;
};

std::string Format(const char* format, double a, double b) {
  char text[64];
  std::snprintf(text, sizeof text, format, a, b);
  return text;
}

std::string Rest(World* world, const Times& times) {
  const Load load = AtRest(world, times.rest);
  return Format("%.0f | %.0f", load.messages, load.bytes);
}
std::string Killed(World* world, const Times&) {
  const Detection refused = KillOne(world, world->size() - 1, true);
  world->RunFor(seconds(5));
  const Detection silent = KillOne(world, world->size() - 2, false);
  return Format("%.2f / %.2f", refused.first, refused.all) + " | " + Format("%.2f / %.2f", silent.first, silent.all);
}
template <int permille>
std::string Lossy(World* world, const Times& times) {
  return std::to_string(WithLoss(world, permille, times.loss));
}
template <int percent>
std::string Slow(World* world, const Times& times) {
  const std::uint32_t slow = world->size() * percent / 100;
  if (slow == 0) return "-";
  const FalsePositives wrong = WithSlow(world, slow, times.slow);
  return std::to_string(wrong.healthy) + " / " + std::to_string(wrong.healthy_by_healthy);
}
std::string Cut(World* world, const Times& times) { return Format("%.1f", HealAfter(world, times.cut), 0); }

struct Experiment {
  char letter;
  const char* left_out;
  std::string (*run)(World*, const Times&);
};
constexpr Experiment kExperiments[] = {
    {'r', ". | .", Rest}, {'k', ". | .", Killed}, {'l', ".", Lossy<50>}, {'h', ".", Lossy<250>},
    {'s', ".", Slow<1>},  {'v', ".", Slow<10>},   {'c', ".", Cut},
};

// What it cost this process so far.
void PrintCost(std::uint32_t size, const char* what) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto in_seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  std::fprintf(stderr, "%u members, %s: %.1f CPU-seconds, %.2f GB at most\n", size, what,
               in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime), static_cast<double>(usage.ru_maxrss) / (1 << 20));
}

// In a child process, so that the next finds the world as it was. False if it died.
bool RunApart(const std::function<void()>& body) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    body();
    std::fflush(stdout);
    _exit(0);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

void PrintRow(std::uint32_t size, const std::string& only, int lossy_or_slow) {
  Times times = size <= 100 ? Times{30, 60, 60, 30} : Times{10, 15, 30, 15};
  if (lossy_or_slow > 0) times.loss = times.slow = lossy_or_slow;
  std::printf("| %u |", size);
  std::fflush(stdout);
  World world(size, size);
  PrintCost(size, "to rest");
  for (const Experiment& experiment : kExperiments) {
    if (only.find(experiment.letter) == std::string::npos) {
      std::printf(" %s |", experiment.left_out);
      continue;
    }
    const auto body = [&] {
      std::printf(" %s |", experiment.run(&world, times).c_str());
      PrintCost(size, std::string(1, experiment.letter).c_str());
    };
    if (!RunApart(body)) std::printf(" failed |");
  }
  std::printf("\n");
  std::fflush(stdout);
}

int Smoke() {
  bool good = true;
  const auto expect = [&good](const char* what, double got, double most) {
    std::printf("%s: %.2f (at most %.2f)\n", what, got, most);
    good = good && got >= 0 && got <= most;
  };
  for (const std::uint32_t size : {10u, 30u}) {
    World world(size, size);
    expect("bytes per member and second at rest", AtRest(&world, 10).bytes, 8'000);
    expect("deaths at 5 % loss", static_cast<double>(WithLoss(&world, 50, 20)), 0);
    world.RunFor(seconds(10));
    expect("seconds until all know of a killed member", KillOne(&world, size - 1, true).all, 1.5);
    expect("the same of a silent one", KillOne(&world, size - 2, false).all, 5);
    World cut(size, size);
    expect("seconds until whole after a partition", HealAfter(&cut, 10), 10);
  }
  // More than are told everything: who is linked is drawn, and nobody passes on the table it began with.
  World large(100, 100);
  expect("bytes per member and second at rest, of 100", AtRest(&large, 5).bytes, 4'000);
  expect("seconds until all of 100 know of a killed member", KillOne(&large, 99, true).all, 1.5);
  expect("the same of a silent one", KillOne(&large, 98, false).all, 5);
  expect("deaths of others", static_cast<double>(large.deaths.size()), 98);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace coffer::cluster

int main(int argc, char** argv) {
  using namespace coffer::cluster;
  if (argc == 2 && std::strcmp(argv[1], "--smoke") == 0) return Smoke();
  std::vector<std::uint32_t> sizes;
  std::string only = "rklhsvc";
  int lossy_or_slow = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
      lossy_or_slow = std::clamp(std::atoi(argv[++i]), 1, 3600);
    } else if (const unsigned long size = std::strtoul(argv[i], nullptr, 10); size > 1 && size <= 100'000) {
      sizes.push_back(static_cast<std::uint32_t>(size));
    } else {
      std::fprintf(stderr, "%s: usage: membership_scale [--smoke] [--only LETTERS OF rklhsvc] [--seconds S] [MEMBERS, 2 TO 100000...]\n", argv[i]);
      return 2;
    }
  }
  if (sizes.empty()) sizes = {3, 10, 100, 1000};
  std::printf("| members | messages/s | bytes/s | killed, refuses: first / all, s | killed, silent: first / all, s | false at 5 %% loss "
              "| at 25 %% | 1 %% slow: FP / FP- | 10 %% slow | whole after a partition, s |\n|---|---|---|---|---|---|---|---|---|---|\n");
  for (const std::uint32_t size : sizes) PrintRow(size, only, lossy_or_slow);
  return 0;
}
