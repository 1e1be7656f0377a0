// Faults aimed at one rule each. Random ones miss some mistakes nearly always: they need several things at once, in one order.
#include <algorithm>
#include <utility>
#include <vector>

#include "cluster/random.h"
#include "sim/scenario.h"

namespace coffer::sim {
namespace {

constexpr std::int64_t kMs = 1000;

class Adversary {
 public:
  explicit Adversary(Scenario& scenario)
      : scenario_(scenario),
        random_(static_cast<std::uint64_t>(scenario.knob("seed")) * 0xd1b54a32d192ed03ull + 7),
        end_(scenario.knob("safety_s") * 1'000'000) {}

  void Run(const std::string& name) {
    for (const auto& [known, aim] : kAims) {
      if (known == name) (this->*aim)();
    }
  }

  using Aim = void (Adversary::*)();
  static const std::vector<std::pair<std::string, Aim>> kAims;

 private:
  std::int64_t Below(std::int64_t bound) { return static_cast<std::int64_t>(random_.Below(static_cast<std::uint64_t>(bound))); }
  std::int64_t Node() { return Below(scenario_.knob("nodes")); }
  std::int64_t Other(std::int64_t n) { return (n + 1 + Below(scenario_.knob("nodes") - 1)) % scenario_.knob("nodes"); }

  void At(std::int64_t at, std::string what, std::vector<std::int64_t> arguments) {
    if (at < end_) scenario_.faults.push_back({static_cast<std::uint64_t>(at), "", 0, std::move(what), std::move(arguments)});
  }
  void On(const std::string& kind, std::int64_t number, std::string what, std::vector<std::int64_t> arguments) {
    scenario_.faults.push_back({0, kind, static_cast<std::uint64_t>(number), std::move(what), std::move(arguments)});
  }

  // A cluster in which the aimed faults are nearly the only ones, and clients that do much with few blocks.
  void Stage(std::int64_t nodes) {
    scenario_.faults.clear();
    scenario_.set("nodes", nodes);
    scenario_.set("witness", 0);
    scenario_.set("voters", nodes >= 5 ? 5 : 3);
    scenario_.set("partitions", 1 + Below(6));
    scenario_.set("lose", 5 * Below(2));
    scenario_.set("think_ms", 5 + Below(15));
    scenario_.set("clients", 2 + Below(2));
    scenario_.set("chains", 1 + Below(3));
    scenario_.set("resync_delay_ms", 500);
  }

  // A primary is cut off from the others, not from clients that know no other; the others go on without it (R5).
  void AskTheDeposed() {
    Stage(3);
    scenario_.set("readers", 2 + Below(3));
    for (std::int64_t at = 500 * kMs; at < end_; at += 7000 * kMs) {
      const std::int64_t n = Node();
      At(at, "isolate", {n});
      At(at + (3500 + Below(2000)) * kMs, "reconnect", {n});
    }
  }

  // Now and then a node dies and comes back as a learner, whose group has one member left for a while.
  void Rotate() {
    for (std::int64_t at = 300 * kMs; at < end_; at += 6000 * kMs) {
      const std::int64_t n = Node();
      At(at, "kill", {n});
      At(at + (2500 + Below(1000)) * kMs, "start", {n});
    }
  }

  // The lone member of a group proposes a learner and is cut off at that moment; the others decide the add (R7.3, R5.1).
  void CutOffWithAnAdd() {
    Stage(5);
    scenario_.set("readers", 3);
    Rotate();
    for (int i = 0; i < 3; ++i) On("change_requests", 1 + Below(40), "isolate", {kSender});
    for (std::int64_t at = 5900 * kMs; at < end_; at += 6000 * kMs) At(at, "heal", {});
  }

  // The same, but it dies, comes back at once, and does not hear for a while what was decided meanwhile (R7.3).
  void RestartWithAnAdd() {
    Stage(5);
    scenario_.set("readers", 1);
    Rotate();
    At(200 * kMs, "mincopies", {1});
    for (int i = 0; i < 3; ++i) {
      const std::int64_t number = 1 + Below(40);
      On("change_requests", number, "restart", {kSender});
      On("change_requests", number, "mute", {*KindNumber("layout_push"), 4000 * kMs});
    }
  }

  // Deletes are on their way to a replica that does not get them and becomes the primary, with the old one as its replica (R10.2).
  void HandOverDeletes() {
    Stage(4 + Below(2));
    scenario_.set("deletes", 150 + Below(200));
    scenario_.set("ids", 200);
    for (std::int64_t at = 500 * kMs; at < end_; at += 4000 * kMs) {
      const std::int64_t n = Node();
      const std::int64_t m = Other(n);
      At(at, "drain", {n});
      At(at + Below(400) * kMs, "cut", {n, m});
      At(at + 1500 * kMs, "mend", {n, m});
      At(at + 2500 * kMs, "undrain", {n});
    }
  }

  // A primary with a slow disk dies when its replica has answered, and comes back shorter; old answers arrive at the new process (R2.2).
  void OutliveAnswers() {
    Stage(3);
    scenario_.set("outlive", 1000);
    scenario_.set("late", 300);
    scenario_.set("late_ms", 1500);
    for (std::int64_t n = 0; n < 3; ++n) At(0, "slow", {n, 30});
    std::int64_t number = 0;
    for (int i = 0; i < 8; ++i) On("replicate_ack", number += 20 + Below(60), "restart", {kReceiver});
  }

  // The last in_sync members of groups die for good, one after the other; some that were removed before are back; an operator forces
  // the layout, once or twice (L9, L10). Learners stream without history, or with some of it.
  void ForceSurvivors() {
    Stage(2 + Below(4));
    const std::int64_t nodes = scenario_.knob("nodes");
    scenario_.set("deletes", 60);
    scenario_.set("resync_delay_ms", Below(2) == 0 ? 500 : 60000);
    const std::int64_t first = Node();
    const std::int64_t second = Other(first);
    std::int64_t at = (800 + Below(3000)) * kMs;
    At(at, "kill", {first});
    at += (100 + Below(5000)) * kMs;
    if (Below(3) == 0) At(at, "start", {first});
    At(at + Below(300) * kMs, "kill", {second});
    // Now and then one node is left, which may have no vote.
    if (Below(4) == 0) {
      for (std::int64_t n = 0; n < nodes - 1; ++n) At(at + Below(300) * kMs, "kill", {n});
    }
    at += (500 + Below(2500)) * kMs;
    if (nodes > 2 && Below(3) != 0) At(at, "start", {first});
    at += Below(2500) * kMs;
    At(at, "force", {});
    if (Below(3) == 0) On("listing", 1 + Below(12), "kill", {Below(2) == 0 ? kSender : kReceiver});
    if (Below(3) == 0) On("fetched", 1 + Below(6), "restart", {kReceiver});
    At(at + (3000 + Below(2000)) * kMs, "force", {});
  }

  Scenario& scenario_;
  Random random_;
  const std::int64_t end_;
};

const std::vector<std::pair<std::string, Adversary::Aim>> Adversary::kAims{
    {"deposed-primary", &Adversary::AskTheDeposed},  {"cut-off-add", &Adversary::CutOffWithAnAdd},
    {"restarted-add", &Adversary::RestartWithAnAdd}, {"handed-over-deletes", &Adversary::HandOverDeletes},
    {"late-answers", &Adversary::OutliveAnswers},    {"force", &Adversary::ForceSurvivors},
};

// Those that any run may be given; what comes behind them is given by name.
constexpr std::size_t kDrawnAims = 5;

}  // namespace

bool AimFaults(Scenario& scenario, const std::string& aim) {
  const bool known = std::any_of(Adversary::kAims.begin(), Adversary::kAims.end(), [&](const auto& a) { return a.first == aim; });
  if (known) Adversary(scenario).Run(aim);
  return known;
}

void MaybeAimFaults(Scenario& scenario) {
  const auto index = static_cast<std::size_t>(scenario.knob("seed")) / 2;
  if (scenario.knob("seed") % 2 == 0) AimFaults(scenario, Adversary::kAims[index % kDrawnAims].first);
}

}  // namespace coffer::sim
