// Counts how often the branch that carries out a rule of docs/protocol.md is taken. The simulator prints the counts, so that a rule
// no run ever exercised is seen. In every program that ships RULE is nothing.
#pragma once

#ifdef COFFER_RULE_MARKS
#include <cstdint>

namespace coffer {

// One place in the code. Places link themselves into a list when they are first passed.
struct RuleMark {
  explicit RuleMark(const char* name) : rule(name), next(first) { first = this; }
  const char* const rule;
  RuleMark* const next;
  std::uint64_t count = 0;
  static inline RuleMark* first = nullptr;
};

}  // namespace coffer

#define RULE(name)                        \
  do {                                    \
    static ::coffer::RuleMark mark(name); \
    ++mark.count;                         \
  } while (false)
#else
#define RULE(name) static_cast<void>(0)
#endif
