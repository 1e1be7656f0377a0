// Counts how often the branch that carries out a rule of docs/protocol.md is taken. The simulator prints the counts, so that a rule
// no run ever exercised is seen. In every program that ships RULE is nothing.
#pragma once

#ifdef COFFER_RULE_MARKS
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace coffer {

// One mark. All of a program link themselves into a list before its main begins, so that those that are never passed are known too.
struct RuleMark {
  explicit RuleMark(const char* name) : rule(name), next(first) { first = this; }
  const char* const rule;
  RuleMark* const next;
  std::uint64_t count = 0;
  static inline RuleMark* first = nullptr;
};

// A rule's name as an argument of a template.
template <std::size_t size>
struct RuleName {
  consteval RuleName(const char (&name)[size]) { std::copy_n(name, size, text); }
  char text[size] = {};
};

// A static variable in the branch would be made when the branch is first taken; a template's is made at the start.
template <RuleName name>
inline RuleMark rule_mark{name.text};

}  // namespace coffer

#define RULE(name) static_cast<void>(++::coffer::rule_mark<name>.count)
#else
#define RULE(name) static_cast<void>(0)
#endif
