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
  // When the message of this number leaves, or so long after.
  void On(const std::string& kind, std::int64_t number, std::string what, std::vector<std::int64_t> arguments, std::int64_t after = 0) {
    scenario_.faults.push_back({static_cast<std::uint64_t>(after), kind, static_cast<std::uint64_t>(number), std::move(what), std::move(arguments)});
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

  // The lone member of a group proposes a learner and is cut off as soon as the others have heard of it; they decide the add, remove the
  // lone member and go on with the learner, while clients that know no other still ask the one that is cut off (R7.3, R5.1).
  void CutOffWithAnAdd() {
    Stage(5);
    scenario_.set("readers", 4);
    Rotate();
    for (int i = 0; i < 4; ++i) {
      const std::int64_t number = 1 + Below(40);
      On("change_requests", number, "isolate", {kSender}, (2 + Below(25)) * kMs);
      On("change_requests", number, "reconnect", {kSender}, (4000 + Below(1000)) * kMs);
    }
  }

  // A learner is complete and proposed; then its disk hangs, and the primary restarts before the add is decided. What the primary
  // ordered meanwhile, or orders then, the learner lacks (R7.3, R4.1). There are many writes at any time, and some restarts follow the
  // request for the add, which says that the mark is made; the decision of some waits for the primary's return.
  void RestartWithAnAdd() {
    Stage(5);
    scenario_.set("partitions", 1 + Below(3));
    scenario_.set("clients", 4);
    scenario_.set("readers", 1);
    scenario_.set("ids", 100);
    scenario_.set("think_ms", 2);
    // Who starts is cleared once every member of its layout has answered, or after 5 s: all are there when an add is made.
    scenario_.set("resync_delay_ms", 5000);
    for (std::int64_t at = 300 * kMs; at < end_; at += 2500 * kMs) {
      const std::int64_t n = Node();
      At(at, "kill", {n});
      At(at + (800 + Below(500)) * kMs, "start", {n});
    }
    if (Below(2) == 0) At(200 * kMs, "mincopies", {1});
    for (int i = 0; i < 10; ++i) {
      const std::int64_t number = 1 + Below(24);
      const std::int64_t proposed = Below(140) * kMs;  // the mark comes with the next sweep
      if (Below(3) == 0) On("history_done", number, "mute", {*KindNumber("accept"), (200 + Below(600)) * kMs});
      On("history_done", number, "hang", {kSender, (1000 + Below(800)) * kMs}, proposed);
      if (Below(2) == 0) On("history_done", number, "restart", {kReceiver}, proposed + (10 + Below(100)) * kMs);
    }
    for (int i = 0; i < 5; ++i) On("change_requests", 1 + Below(16), "restart", {kSender}, (5 + Below(90)) * kMs);
  }

  // A primary with a slow disk dies when its replica has a delete, and comes back without it: the replica has to undo it (R10.2).
  void UndoDeletes() {
    Stage(3);
    scenario_.set("deletes", 300 + Below(200));
    scenario_.set("ids", 100);
    scenario_.set("think_ms", 4);
    scenario_.set("look_ms", 50);
    for (std::int64_t n = 0; n < 3; ++n) At(0, "slow", {n, 10});
    std::int64_t number = 0;
    for (int i = 0; i < 12; ++i) On("replicate_ack", number += 20 + Below(60), "restart", {kReceiver});
  }

  // A primary with a slow disk dies when its replica has answered, and comes back shorter; old answers arrive at the new process (R2.2).
  void OutliveAnswers() {
    Stage(3);
    scenario_.set("outlive", 1000);
    scenario_.set("repeat", 0);
    scenario_.set("late", 0);
    scenario_.set("late_ms", 1000);
    scenario_.set("think_ms", 4);
    for (std::int64_t n = 0; n < 3; ++n) At(0, "slow", {n, 10});
    std::int64_t number = 0;
    for (int i = 0; i < 8; ++i) {
      On("replicate_ack", number += 20 + Below(60), "restart", {kReceiver});
      On("replicate_ack", number, "hang", {kSender, 1200 * kMs}, (50 + Below(400)) * kMs);
    }
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

  // Clients go through routers, which die, stop, and lose sight of nodes, besides whatever else was drawn; some make and delete zones.
  void GoThroughRouters() {
    const std::int64_t routers = 1 + Below(3);
    scenario_.set("routers", routers);
    scenario_.set("routed", 1 + Below(3));
    scenario_.set("clients", Below(3));
    scenario_.set("router_patience_ms", Below(2) == 0 ? 700 : 5000);
    scenario_.set("zone_clients", Below(3));
    scenario_.set("zones", 1 + Below(3));
    const std::int64_t pause = (300 + 700 * Below(4)) * kMs;
    for (std::int64_t at = Below(pause); at < end_; at += 1 + Below(2 * pause)) BreakRouter(at, Below(routers));
    for (std::int64_t i = Below(6), number = 0; i > 0; --i) {
      const bool asked = Below(2) == 0;
      On(asked ? "data_request" : "data_response", number += 1 + Below(150), Below(2) == 0 ? "restart" : "kill",
         {asked ? kSender : kReceiver});
    }
    for (std::int64_t at = 3000 * kMs; at < end_; at += 3000 * kMs) At(at, "start-router", {Below(routers)});
  }

  void BreakRouter(std::int64_t at, std::int64_t r) {
    const std::int64_t until = at + (50 + Below(4000)) * kMs;
    const std::int64_t n = Node();
    switch (Below(6)) {
      // Two nodes that do not see each other, and routers that see both: a zone that one of them can't drop yet.
      case 5: At(at, "cut", {n, (n + 1) % scenario_.knob("nodes")}); return At(until, "mend", {n, (n + 1) % scenario_.knob("nodes")});
      case 0: return At(at, "restart-router", {r});
      case 1: At(at, "kill-router", {r}); return At(until, "start-router", {r});
      case 2: return At(at, "pause-router", {r, until - at});
      case 3: At(at, "isolate-router", {r}); return At(until, "reconnect-router", {r});
      default: At(at, "cut-router", {r, n}); return At(until, "mend-router", {r, n});
    }
  }

  // Zones are deleted and made anew under their names all the time. In some runs a write stands still on its way to one router, is
  // repeated through the other and acknowledged, and arrives when another zone has the name (R6.6). In others one node hears of each
  // deletion later than the others, and the routers don't hear of it at all (R10).
  void MakeLaterZones() {
    Stage(3);
    scenario_.set("lose", 0);
    scenario_.set("repeat", 0);
    scenario_.set("late", 0);
    scenario_.set("late_ms", 1500 + Below(2500));
    scenario_.set("routers", 2);
    scenario_.set("routed", 1);
    scenario_.set("clients", 0);
    scenario_.set("zone_clients", 4 + Below(4));
    scenario_.set("zones", 1 + Below(2));
    scenario_.set("ids", 3 + Below(5));
    scenario_.set("think_ms", 2 + Below(6));
    scenario_.set("router_patience_ms", 700);
    const bool calls = Below(2) == 0;
    scenario_.set("calls_late", calls ? 40 + Below(80) : 0);
    if (!calls) HearOfDeletionsLate();
  }

  void HearOfDeletionsLate() {
    scenario_.set("partitions", 6 + Below(7));
    for (std::int64_t at = Below(1000) * kMs; at < end_; at += (100 + Below(400)) * kMs) {
      const std::int64_t lasts = (1000 + Below(2500)) * kMs;
      const std::int64_t late = Node();
      const std::int64_t delay = (100 + Below(400)) * kMs;
      At(at, "mute", {*KindNumber("forget"), lasts});
      for (std::int64_t n = 0; n < 3; ++n) {
        if (n != late) At(at, "delay", {n, late, delay}), At(at + lasts, "delay", {n, late, 0});
      }
      at += lasts;
    }
  }

  // A group has one member and a learner, which is kept from copying history. Again and again the member's disk stands still until clients
  // have given up on writes that nobody else has. For its silence the learner is then chosen anew, to begin its log behind them. What says
  // so is under way until the next process of the member, which lacks some of the writes, has been introduced and has the learner begin
  // anew. Both come at once: the first beginning is on its way to the learner's slow disk when the second comes (R4.3).
  void BeginLogsTwice() {
    Stage(2);
    scenario_.set("witness", 1);
    scenario_.set("partitions", 1);
    scenario_.set("clients", 4 + Below(3));
    scenario_.set("chains", 40);
    scenario_.set("ids", 300);
    scenario_.set("think_ms", 2);
    scenario_.set("patience_ms", 200);
    scenario_.set("waiting", 20 + Below(8));  // more is refused: nobody waits any more when the log is to begin
    for (const char* none : {"lose", "repeat", "late"}) scenario_.set(none, 0);
    At(300 * kMs, "kill", {1});
    At(3500 * kMs, "start", {1});
    At(3400 * kMs, "mute", {*KindNumber("ranges"), end_});
    for (std::int64_t at = 4500 * kMs; at < end_; at += (1000 + Below(500)) * kMs) {
      At(at, "hang", {0, 2420 * kMs});
      At(at, "mute", {*KindNumber("replicate"), 2000 * kMs});
      const std::int64_t restart = at + 2400 * kMs;
      const std::int64_t arrives = restart + (20 + Below(40)) * kMs;
      At(at + 2000 * kMs, "stall", {0, 1, arrives - at - 2000 * kMs});
      At(restart, "restart", {0});
      At(arrives - 1 * kMs, "slow", {1, 100 + 50 * Below(5)});
      At(at = arrives + 1000 * kMs, "slow", {1, 1});
    }
  }

  // The one member of a group writes alone; its learner, whose disk is slow, is chosen anew again and again while that disk has still to
  // make durable what counts for the choice before (S2a).
  void ChooseAnew() {
    Stage(2);
    scenario_.set("witness", 1);
    scenario_.set("partitions", 1 + Below(3));
    scenario_.set("clients", 4 + Below(4));
    scenario_.set("think_ms", 2);
    scenario_.set("ids", 300);
    At(200 * kMs, "mincopies", {1});
    for (std::int64_t at = 500 * kMs; at < end_; at += (3000 + Below(3000)) * kMs) {
      At(at, "kill", {1});
      At(at += 1500 * kMs, "start", {1});
      At(at, "slow", {1, 50 + 50 * Below(6)});
      for (int i = 0; i < 12; ++i) {
        At(at += (50 + Below(400)) * kMs, "cut", {0, 1});
        At(at += (10 + Below(60)) * kMs, "mend", {0, 1});
      }
      At(at, "slow", {1, 1});
    }
  }

  // A learner has puts that the last process of its primary lost with its disk's queue, and compares. Then replication does not get through
  // for a while, in which some of those are put again, and it is chosen anew over a link that stands. The start of the new choice overtakes
  // the role, so that there is still a listing of the choice before; and the disks stand still at the moment in which that is acted upon,
  // so that what it does to the records is not seen yet when the role comes and all is compared again (S2a).
  void OvertakeRoles() {
    Stage(2);
    scenario_.set("witness", 1);
    scenario_.set("partitions", 1);
    scenario_.set("clients", 16);
    scenario_.set("chains", 2);
    scenario_.set("ids", 150);
    scenario_.set("deletes", 100);
    scenario_.set("think_ms", 120);
    scenario_.set("patience_ms", 100);
    scenario_.set("log_keep", 8);
    for (const char* none : {"lose", "repeat", "late"}) scenario_.set(none, 0);
    At(200 * kMs, "mincopies", {1});
    At(300 * kMs, "kill", {1});
    At(3400 * kMs, "mute", {*KindNumber("ranges"), 1200 * kMs});
    At(3500 * kMs, "start", {1});
    for (std::int64_t at = 4500 * kMs; at < end_; at += 1200 * kMs) {
      const std::int64_t hang = (2000 + Below(600)) * kMs;
      At(at - 100 * kMs, "mute", {*KindNumber("ranges"), hang + 100 * kMs});
      At(at, "hang", {0, hang});
      At(at += hang - 10 * kMs, "restart", {0});
      At(at, "slow", {1, 80});
      At(at += 5000 * kMs, "slow", {1, 1});
      At(at, "mute", {*KindNumber("ranges"), 4000 * kMs});
      At(at, "kill", {1});
      At(at += 2000 * kMs, "start", {1});
    }
    for (std::int64_t i = 0, number = 0; i < 6; ++i) {
      const std::int64_t lost = (500 + Below(450)) * kMs;
      On("list_request", number += 1 + Below(10), "mute", {*KindNumber("replicate"), lost});
      On("list_request", number, "hold", {*KindNumber("learner_role"), lost + (150 + Below(200)) * kMs});
      const std::int64_t stands = lost + (10 + Below(20)) * kMs;
      On("list_request", number, "hang", {kReceiver, 500 * kMs}, stands);
      On("list_request", number, "hang", {kSender, 500 * kMs}, stands + (20 + Below(60)) * kMs);
    }
  }

  // Survivors of a force that disagree: a primary that is cut off orders writes that never count, the others go on without it, the last
  // in_sync member dies for good, and the one that was cut off is back (L10.2).
  void ForceTheDivided() {
    Stage(3);
    scenario_.set("partitions", 6);
    scenario_.set("clients", 8);
    scenario_.set("chains", 12);
    scenario_.set("patience_ms", 300);  // whoever has given up writes something else in the same place
    scenario_.set("resync_delay_ms", 60000);
    const std::int64_t cut_off = Node();
    std::int64_t at = (800 + Below(1500)) * kMs;
    At(at, "isolate", {cut_off});
    at += (1800 + Below(2500)) * kMs;
    At(at, "kill", {Other(cut_off)});
    At(at + Below(500) * kMs, "reconnect", {cut_off});
    at += (1500 + Below(1500)) * kMs;
    At(at, "force", {});
    At(at + (3000 + Below(2000)) * kMs, "force", {});
  }

  // A partition of more records than one answer lists, merged and then copied (S4).
  void ForceAndFillMuch() {
    ForceSurvivors();
    for (Fault& fault : scenario_.faults) fault.at_us += fault.on.empty() ? 8'000'000 : 0;
    scenario_.set("safety_s", scenario_.knob("safety_s") + 8);
    scenario_.set("partitions", 1);
    scenario_.set("clients", 12);
    scenario_.set("chains", 12);
    scenario_.set("ids", 1000);
    scenario_.set("think_ms", 2);
  }

  // Nodes come back with their data folders as they were some starts ago (R8.1), beside others that are away for a moment.
  void PutOldFoldersBack() {
    Stage(3 + 2 * Below(2));
    std::int64_t at = 500 * kMs;
    while (at < end_) {
      const std::int64_t n = Node();
      At(at, "kill", {n});
      At(at + 10 * kMs, "copy", {n});
      At(at += (300 + Below(1500)) * kMs, "start", {n});
      if (Below(2) == 0) At(at + (500 + Below(1000)) * kMs, "restart", {Other(n)});
      At(at += (3000 + Below(3000)) * kMs, "restore", {n});
      At(at += (1000 + Below(2000)) * kMs, "start", {n});
      at += Below(1500) * kMs;
    }
  }

  // An operator halts and limits resync, again and again, while nodes go and come, most of them after they have said so; others let new
  // nodes in by join tokens (S10, M11, J1 to J3).
  void Operate() {
    Stage(3 + Below(3));
    scenario_.set("token_clients", 2 + Below(2));
    scenario_.set("ids", 100);
    for (std::int64_t at = 500 * kMs; at < end_; at += (1500 + Below(2500)) * kMs) {
      const std::int64_t n = Node();
      At(at, Below(3) == 0 ? "kill" : "leave", {n});
      At(at + (200 + Below(4000)) * kMs, "start", {n});
      const std::int64_t halts = at + Below(1500) * kMs;
      const bool pause = Below(2) == 0;
      At(halts, pause ? "pauseresync" : "limitresync", pause ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{200 + Below(5000)});
      At(halts + (500 + Below(3000)) * kMs, pause ? "resumeresync" : "limitresync", pause ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{0});
    }
  }

  // A minute in which little happens. Either copies that are not needed any more are discarded once all is at rest for long (R12); or a
  // voter that sees nobody gives up what it proposed (A14).
  void WaitLong() {
    Stage(4);
    scenario_.set("think_ms", 400);
    scenario_.set("safety_s", 70);
    const std::int64_t n = Node();
    const bool rest = Below(2) == 0;
    At(1000 * kMs, rest ? "kill" : "isolate", {n});
    scenario_.faults.push_back({static_cast<std::uint64_t>((rest ? 8000 : 62000) * kMs), "", 0, rest ? "start" : "reconnect", {n}});
  }

  // Writes wait for the hung disk of one member, and records go bad on another, which is to send them once more when that member has
  // restarted without them (S8). Where it stays away, what is bad is lost until somebody puts it again (R6.5).
  void SpoilTheLog() {
    Stage(3);
    scenario_.set("partitions", 1);
    scenario_.set("clients", 10);
    scenario_.set("think_ms", 2);
    scenario_.set("ids", 40);
    scenario_.set("chains", 4);
    for (std::int64_t at = 600 * kMs; at < end_; at += (1200 + Below(800)) * kMs) {
      const std::int64_t n = 1 + Below(2);
      At(at, "hang", {n, 400 * kMs});
      for (int i = 0; i < 24; ++i) At(at + (100 + 10 * i) * kMs, "flip", {0});
      const bool gone = Below(4) == 0;
      At(at + 350 * kMs, gone ? "kill" : "restart", {n});
      if (gone) At(at += (4000 + Below(2000)) * kMs, "start", {n});
    }
  }

  Scenario& scenario_;
  Random random_;
  const std::int64_t end_;
};

const std::vector<std::pair<std::string, Adversary::Aim>> Adversary::kAims{
    {"deposed-primary", &Adversary::AskTheDeposed},  {"cut-off-add", &Adversary::CutOffWithAnAdd},
    {"restarted-add", &Adversary::RestartWithAnAdd}, {"undone-deletes", &Adversary::UndoDeletes},
    {"late-answers", &Adversary::OutliveAnswers},    {"force", &Adversary::ForceSurvivors},
    {"routers", &Adversary::GoThroughRouters},       {"later-zones", &Adversary::MakeLaterZones},
    {"begun-logs", &Adversary::BeginLogsTwice},      {"divided-force", &Adversary::ForceTheDivided},
    {"much-to-fill", &Adversary::ForceAndFillMuch},  {"old-folders", &Adversary::PutOldFoldersBack},
    {"operators", &Adversary::Operate},              {"long-waits", &Adversary::WaitLong},
    {"spoiled-logs", &Adversary::SpoilTheLog},       {"anew-choices", &Adversary::ChooseAnew},
    {"overtaken-roles", &Adversary::OvertakeRoles},
};

// Those that any run may be given.
constexpr std::size_t kDrawnAims = 5;
// Those that a sixteenth of the runs is given, for what the others never come to.
constexpr const char* kRareAims[] = {"force",       "operators",   "divided-force", "begun-logs",
                                     "old-folders", "long-waits", "much-to-fill",  "spoiled-logs",
                                     "anew-choices"};

}  // namespace

bool AimFaults(Scenario& scenario, const std::string& aim) {
  const bool known = std::any_of(Adversary::kAims.begin(), Adversary::kAims.end(), [&](const auto& a) { return a.first == aim; });
  if (known) Adversary(scenario).Run(aim);
  return known;
}

void MaybeAimFaults(Scenario& scenario) {
  const auto index = static_cast<std::size_t>(scenario.knob("seed")) / 2;
  if (scenario.knob("seed") % 2 == 0) AimFaults(scenario, Adversary::kAims[index % kDrawnAims].first);
  if (scenario.knob("seed") % 4 == 1) AimFaults(scenario, "routers");
  if (scenario.knob("seed") % 16 == 3) AimFaults(scenario, "later-zones");
  if (scenario.knob("seed") % 16 == 15) AimFaults(scenario, kRareAims[static_cast<std::size_t>(scenario.knob("seed")) / 16 % std::size(kRareAims)]);
  // It came last; lower seeds keep the course they had.
  if (scenario.knob("seed") >= 1'000'000 && scenario.knob("seed") % 128 == 7) AimFaults(scenario, "overtaken-roles");
}

}  // namespace coffer::sim
