// Makes a failing scenario small: whatever can go while it still fails, goes.
#include <algorithm>

#include "sim/run.h"

namespace coffer::sim {
namespace {

// What kind of promise is broken: the rule named at the end, or else how the text begins.
std::string KindOf(const std::string& failure) {
  const std::string line = failure.substr(0, failure.find('\n'));
  const std::size_t rule = line.rfind('(');
  return rule == std::string::npos ? line.substr(0, 8) : line.substr(rule);
}

class Shrinker {
 public:
  Shrinker(const Scenario& scenario, int runs) : best_(scenario), runs_(runs) {}

  Scenario Run() {
    if (const auto failure = sim::Run(best_, Detail::kResult).failure) kind_ = KindOf(*failure);
    while (runs_ > 0) {
      const Scenario before = best_;
      Faults();
      Knobs();
      if (best_ == before) break;
    }
    return best_;
  }

 private:
  bool Try(const Scenario& smaller) {
    if (runs_ <= 0 || smaller == best_) return false;
    --runs_;
    const auto failure = sim::Run(smaller, Detail::kResult).failure;
    if (!failure || KindOf(*failure) != kind_) return false;
    best_ = smaller;
    return true;
  }

  // Drops halves, then quarters, ... then single faults (delta debugging, Zeller 2002).
  void Faults() {
    for (std::size_t size = std::max<std::size_t>(best_.faults.size() / 2, 1); !best_.faults.empty(); size /= 2) {
      for (std::size_t at = 0; at < best_.faults.size();) {
        Scenario smaller = best_;
        const auto begin = smaller.faults.begin() + static_cast<std::ptrdiff_t>(at);
        smaller.faults.erase(begin, begin + static_cast<std::ptrdiff_t>(std::min(size, smaller.faults.size() - at)));
        if (!Try(smaller)) at += size;
      }
      if (size <= 1) break;
    }
  }

  void Lower(const std::string& knob, std::int64_t least) {
    for (const std::int64_t value : {least, (least + best_.knob(knob)) / 2, best_.knob(knob) - 1}) {
      if (value >= best_.knob(knob) || value < least) continue;
      Scenario smaller = best_;
      smaller.set(knob, value);
      if (Try(smaller)) return;
    }
  }

  void Knobs() {
    for (const char* noise : {"lose", "repeat", "late"}) Lower(noise, 0);
    Lower("clients", 1);
    Lower("chains", 1);
    Lower("ids", 1);
    Lower("partitions", 1);
    Lower("nodes", 1);
    Lower("safety_s", 1);
  }

  Scenario best_;
  std::string kind_;
  int runs_;
};

}  // namespace

Scenario Shrink(const Scenario& scenario, int runs) { return Shrinker(scenario, runs).Run(); }

}  // namespace coffer::sim
