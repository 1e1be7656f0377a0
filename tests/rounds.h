// How often a test that tries things at random does so.
#pragma once

namespace coffer {

// All of `all`; in the builds with sanitizers that CI makes, which are ten to thirty times slower, a sixth, at least one.
constexpr int Rounds(int all) {
#ifdef COFFER_FEWER_ROUNDS
  return (all + 5) / 6;
#else
  return all;
#endif
}

}  // namespace coffer
