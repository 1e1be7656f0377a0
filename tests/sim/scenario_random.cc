// Draws a whole run from one number: size, load, network, and a mix of faults with a few that follow a certain message.
#include <algorithm>

#include "cluster/random.h"
#include "sim/scenario.h"

namespace coffer::sim {
namespace {

class Draw {
 public:
  Draw(std::uint64_t seed, std::int64_t safety_seconds) : random_(seed * 0x9e3779b97f4a7c15ull + 1), safety_us_(safety_seconds * 1'000'000) {
    scenario_.set("seed", static_cast<std::int64_t>(seed));
    scenario_.set("safety_s", safety_seconds);
  }

  Scenario Run(const std::string& aim) {
    Size();
    Network();
    Load();
    Schedule();
    Followers();
    if (aim.empty()) MaybeAimFaults(scenario_);
    else AimFaults(scenario_, aim);
    const std::int64_t seed = scenario_.knob("seed");
    if (seed % 3 == 1) scenario_.set("stay_off", 1 + seed / 3 % 3);  // not drawn: all else of a run is as without it
    if (seed % 5 == 2) scenario_.set("waiting", 1 + seed / 5 % 3);  // likewise
    if (seed % 16 == 4) scenario_.set("look_ms", 1);  // likewise; steps are about as far apart
    std::stable_sort(scenario_.faults.begin(), scenario_.faults.end(), [](const Fault& a, const Fault& b) { return a.at_us < b.at_us; });
    return std::move(scenario_);
  }

 private:
  std::int64_t Below(std::int64_t bound) { return static_cast<std::int64_t>(random_.Below(static_cast<std::uint64_t>(bound))); }
  bool Chance(std::int64_t of) { return Below(of) == 0; }
  std::int64_t Pick(std::initializer_list<std::int64_t> list) { return list.begin()[Below(static_cast<std::int64_t>(list.size()))]; }
  std::int64_t Node() { return Below(nodes_); }
  std::int64_t Other(std::int64_t n) { return nodes_ == 1 ? n : (n + 1 + Below(nodes_ - 1)) % nodes_; }

  // Most runs are small, where faults meet; some are large.
  void Size() {
    const std::int64_t kind = Below(100);
    std::int64_t storage = kind < 50 ? 3 : kind < 65 ? 4 : kind < 80 ? 5 : kind < 86 ? 2 : kind < 88 ? 1 : kind < 97 ? 6 + Below(5) : 11 + Below(20);
    const bool witness = storage == 2 && !Chance(4);
    scenario_.set("nodes", storage);
    scenario_.set("witness", witness);
    nodes_ = storage + (witness ? 1 : 0);
    scenario_.set("partitions", storage > 8 ? storage : Pick({1, 2, 3, 6, 6, 12}));
    scenario_.set("voters", storage >= 5 ? Pick({3, 5, 5}) : 3);
    scenario_.set("log_keep", Pick({4, 8, 64}));
    scenario_.set("resync_delay_ms", Pick({500, 3000, 3000, 10000}));
  }

  void Network() {
    scenario_.set("lose", Pick({0, 0, 5, 20, 80, 300}));
    scenario_.set("repeat", Pick({0, 0, 20, 100, 500}));
    scenario_.set("late", Pick({0, 0, 10, 50, 200}));
    scenario_.set("late_ms", Pick({20, 200, 1000, 5000}));
    scenario_.set("min_delay_us", Pick({50, 100, 1000}));
    scenario_.set("max_delay_us", Pick({600, 3000, 20000}));
    scenario_.set("max_delay_us", std::max(scenario_.knob("max_delay_us"), scenario_.knob("min_delay_us")));
  }

  void Load() {
    scenario_.set("clients", 1 + Below(4));
    scenario_.set("think_ms", Pick({5, 20, 20, 100, 400}));
    scenario_.set("ids", Pick({5, 30, 100}));
    scenario_.set("chains", Pick({1, 2, 6}));
  }

  void Add(std::int64_t at, std::string what, std::vector<std::int64_t> arguments) {
    if (at < safety_us_) scenario_.faults.push_back({static_cast<std::uint64_t>(at), "", 0, std::move(what), std::move(arguments)});
  }

  // A fault, and its end some time later.
  void One(std::int64_t at) {
    const std::int64_t n = Node();
    const std::int64_t m = Other(n);
    const std::int64_t until = at + Pick({20'000, 300'000, 1'500'000, 4'000'000, 12'000'000}) + Below(1'000'000);
    switch (mix_[static_cast<std::size_t>(Below(static_cast<std::int64_t>(mix_.size())))]) {
      case 0: Add(at, "kill", {n}); return Add(until, "start", {n});
      case 1: return Add(at, Chance(4) ? "move" : "restart", {n});
      case 2: return Add(at, "pause", {n, until - at});
      case 3: Add(at, "isolate", {n}); return Add(until, "reconnect", {n});
      case 4: Add(at, "cut", {n, m}); return Add(until, "mend", {n, m});
      case 5: Add(at, "deafen", {n, m}); return Add(until, "mend", {n, m});
      case 6: Add(at, "split", {1 + Below((1ll << std::min<std::int64_t>(nodes_, 40)) - 1)}); return Add(until, "heal", {});
      case 7: Add(at, "delay", {n, m, Below(500'000)}); return Add(until, "delay", {n, m, 0});
      case 8: Add(at, "slow", {n, Pick({10, 100})}); return Add(until, "slow", {n, 1});
      case 9: return Add(at, "hang", {n, until - at});
      case 10: Add(at, "full", {n, 1 + n % 2}); return Add(until, "full", {n, 0});
      case 11: Add(at, Chance(2) ? "wipe" : "failsync", {n}); return Add(until, "start", {n});
      case 12: return Add(at, "flip", {n});
      case 13: return Add(at, "clock", {n, Chance(2) ? 0 : Below(3'600'000'000), Below(400'000) - 200'000});
      case 14: Add(at, "power", {}); return Add(at + Below(2'000'000), "startall", {});
      case 15: Add(at, "drain", {n}); return Add(until, "undrain", {n});
      case 16: return Add(at, "forget", {n});
      case 17: return Add(at, "reweight", {n, 50 + Below(300)});
      case 18:
        if (nodes_ < 30) ++nodes_, Add(at, "add", {});
        return;
      case 19: return Add(at, "mincopies", {1 + Below(2)});
      default: Add(at, "lose", {Pick({100, 300, 600})}); return Add(until, "lose", {scenario_.knob("lose")});
    }
  }

  // Which kinds of fault this run has: few kinds at a time, so that each gets its say.
  void Schedule() {
    const std::int64_t kinds = 1 + Below(5);
    for (std::int64_t i = 0; i < kinds; ++i) mix_.push_back(static_cast<int>(Below(21)));
    mix_.push_back(static_cast<int>(Below(4)));
    const std::int64_t pause = Pick({300'000, 1'000'000, 3'000'000});
    for (std::int64_t at = Below(pause); at < safety_us_; at += 1 + Below(2 * pause)) One(at);
  }

  // Faults right when a certain message leaves: the steps at which a promise is made or kept.
  void Followers() {
    static const char* const kKinds[] = {"prepare",       "promise",       "accept",     "accepted",      "layout_push",    "change_requests",
                                         "contact",       "contact_answer", "replicate",  "replicate_ack", "confirm",        "confirm_answer",
                                         "learner_role",  "history_done",  "ranges",     "fetched",       "data_response",  "fenced"};
    if (Chance(3)) return;
    const std::int64_t count = 1 + Below(12);
    for (std::int64_t i = 0; i < count; ++i) {
      const char* kind = kKinds[Below(std::size(kKinds))];
      const std::int64_t number = 1 + Below(Chance(2) ? 30 : 400);
      const std::int64_t end = Chance(2) ? kSender : kReceiver;
      Fault fault{0, kind, static_cast<std::uint64_t>(number), "", {}};
      switch (Below(6)) {
        case 0: fault.what = "kill", fault.arguments = {end}; break;
        case 1: fault.what = "restart", fault.arguments = {end}; break;
        case 2: fault.what = "pause", fault.arguments = {end, Pick({100'000, 2'000'000, 8'000'000})}; break;
        case 3: fault.what = "isolate", fault.arguments = {end}; break;
        case 4: fault.what = "cut", fault.arguments = {kSender, kReceiver}; break;
        default: fault.what = "mute", fault.arguments = {*KindNumber(kind), Pick({50'000, 500'000, 3'000'000})}; break;
      }
      scenario_.faults.push_back(std::move(fault));
    }
    // What those leave behind is ended now and then.
    for (std::int64_t at = 4'000'000; at < safety_us_; at += 4'000'000 + Below(4'000'000)) {
      Add(at, "heal", {});
      Add(at, "startall", {});
    }
  }

  Random random_;
  const std::int64_t safety_us_;
  Scenario scenario_;
  std::int64_t nodes_ = 3;
  std::vector<int> mix_;
};

}  // namespace

Scenario RandomScenario(std::uint64_t seed, std::int64_t safety_seconds, const std::string& aim) {
  return Draw(seed, safety_seconds).Run(aim);
}

}  // namespace coffer::sim
