// Many Membership machines on a network of virtual time, with delay, loss, cuts, kills and restarts. Messages travel as bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/membership.h"

namespace coffer::cluster {

// The facts of member n: storage node "n<n>", at address "host-n:1".
wire::MemberFacts FactsOf(int n, std::uint64_t boot = 1);
NodeId IdOf(int n);

class GossipWorld {
 public:
  // How the way between two members is damaged.
  enum class Cut {
    kNone,
    kSilent,   // messages vanish, dials time out, links seem to stand
    kRefused,  // the link breaks, dials are refused
  };
  // One change as one member saw it.
  struct Seen {
    Instant at;
    int by;
    int of;
    Liveness state;
    bool state_changed;
    bool restarted;
  };
  struct Process {
    int number = 0;
    std::uint64_t boot = 0;
    std::string address;
    std::optional<Membership> machine;    // empty: down
    std::vector<wire::MemberFacts> disk;  // peers remembered
    Duration slowness{};                  // every message waits this long before it is processed
    bool paused = false;                  // as by SIGSTOP: everything waits
    Instant running_since{};              // started or resumed
    std::vector<std::function<void()>> waiting;
    Instant deadline = kNever;
    int worst_awareness = 0;
    std::uint64_t bytes = 0;              // sent
    std::uint64_t messages = 0;
    std::map<std::pair<NodeId, std::uint64_t>, std::uint64_t> incarnations;  // highest seen since the start, by member and boot
  };

  // `count` processes, down.
  GossipWorld(int count, std::uint64_t seed, MembershipConfig config = {});

  // Starts a process with what it remembers and the seed address of process `seed_of` (negative: none).
  void Start(int n, int seed_of = -1, const std::string& address = "");
  // Starts all with process 0 as the seed, and runs until everybody sees everybody alive. False if that takes over 20 s.
  bool StartAll();
  void Kill(int n);
  void Pause(int n);
  void Resume(int n);
  // Cuts, or heals with Cut::kNone, the way between a and b, in both directions.
  void SetCut(int a, int b, Cut cut);
  // Messages from a to b vanish; those from b to a do not.
  void CutOneWay(int a, int b) { one_way_.insert({a, b}); }
  // Messages lost, per thousand; links and dials are not.
  int loss_permille = 0;
  Duration delay_min = std::chrono::microseconds(200);
  Duration delay_max = std::chrono::milliseconds(2);
  // Address without anybody: refused, or silent as a container that is gone.
  bool vacant_refuses = true;

  void RunFor(Duration d) { RunUntil(now + d, [] { return false; }); }
  // Until `done` or `limit`; whether it was done.
  bool RunUntil(Instant limit, const std::function<bool()>& done);
  void Do(int n, Membership::Output out);

  Membership& At(int n) { return *processes[static_cast<std::size_t>(n)].machine; }
  Liveness StateOf(int by, int of);
  // Whether every running process sees all running ones alive.
  bool AllSeeAllAlive();
  // Whether every running process but `of` sees it in this state.
  bool AllSee(int of, Liveness state);
  // What went wrong that must never go wrong; empty.
  const std::string& broken() const { return broken_; }

  Instant now = Instant(std::chrono::seconds(1000));
  std::vector<Process> processes;
  std::vector<Seen> seen;
  std::vector<std::pair<int, DuplicateId>> duplicates;  // with who reported
  int false_deaths = 0;  // sightings of a death of a process that runs, and has for some time

 private:
  using Pair = std::pair<int, int>;
  static Pair Ordered(int a, int b) { return a < b ? Pair{a, b} : Pair{b, a}; }
  Process& P(int n) { return processes[static_cast<std::size_t>(n)]; }
  Cut CutOf(int a, int b) const;
  void After(Duration d, std::function<void()> event);
  // Runs on process n, if it still runs with this boot; later if it is paused or slow.
  void OnProcess(int n, std::function<Membership::Output(Membership&)> call);
  void DialFrom(int n, const std::string& address);
  void Transmit(int from, const Outgoing& message);
  void Check(int n);
  void BreakLink(int a, int b, bool tell_a, bool tell_b);
  Duration Delay();

  MembershipConfig config_;
  Random random_;
  std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> events_;
  std::uint64_t event_count_ = 0;
  std::set<Pair> links_;
  std::map<Pair, Cut> cuts_;
  std::set<Pair> one_way_;
  std::map<std::string, int> addresses_;  // of running processes; the latest to take it
  std::map<NodeId, int> numbers_;
  std::map<Pair, Instant> last_arrival_;  // a link keeps the order
  std::string broken_;
};

}  // namespace coffer::cluster
