#include "client/command/suggest.h"

#include <algorithm>

namespace coffer::command {
namespace {

// Insertions, deletions, replacements and swaps of neighbours that lead from a to b.
std::size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string Closest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  // A third of the word may be wrong.
  std::size_t least = word.size() / 3 + 2;
  for (const std::string& c : candidates) {
    const std::size_t d = Distance(word, c);
    if (d < least) {
      least = d;
      best = c;
    }
  }
  if (best.empty() && word.size() >= 3) {
    for (const std::string& c : candidates) {
      if (c.rfind(word, 0) == 0) return c;
    }
  }
  return best;
}

}  // namespace coffer::command
