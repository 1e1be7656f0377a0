#include "node/cofferd/config_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace coffer::server {
namespace {

using std::chrono::milliseconds;

struct Unit {
  std::string_view name;
  std::uint64_t size;
};
constexpr std::array kSizes = {Unit{"KiB", 1ull << 10}, Unit{"MiB", 1ull << 20}, Unit{"GiB", 1ull << 30},
                               Unit{"TiB", 1ull << 40}, Unit{"KB", 1'000ull},    Unit{"kB", 1'000ull},
                               Unit{"MB", 1'000'000ull}, Unit{"GB", 1'000'000'000ull}, Unit{"TB", 1'000'000'000'000ull},
                               Unit{"B", 1ull},         Unit{"", 1ull}};
constexpr std::array kDurations = {Unit{"ms", 1}, Unit{"s", 1'000}, Unit{"m", 60'000}, Unit{"h", 3'600'000}};

std::string_view Trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// A whole number and the unit behind it, multiplied.
template <std::size_t N>
std::optional<std::uint64_t> ParseWithUnit(std::string_view text, const std::array<Unit, N>& units) {
  text = Trimmed(text);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = Trimmed(text.substr(static_cast<std::size_t>(end - text.data())));
  for (const Unit& u : units) {
    if (u.name != unit) continue;
    if (number > std::numeric_limits<std::int64_t>::max() / u.size) return std::nullopt;
    return number * u.size;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> ParseSize(std::string_view text) { return ParseWithUnit(text, kSizes); }

std::string FormatSize(std::uint64_t bytes) {
  for (std::size_t i = 4; i-- > 0;) {
    if (bytes >= kSizes[i].size && bytes % kSizes[i].size == 0) {
      return std::to_string(bytes / kSizes[i].size) + std::string(kSizes[i].name);
    }
  }
  return std::to_string(bytes) + "B";
}

std::optional<milliseconds> ParseDuration(std::string_view text) {
  if (Trimmed(text) == "0") return milliseconds(0);
  const auto value = ParseWithUnit(text, kDurations);
  if (!value) return std::nullopt;
  return milliseconds(*value);
}

std::string FormatDuration(milliseconds duration) {
  const auto count = static_cast<std::uint64_t>(duration.count());
  for (std::size_t i = kDurations.size(); i-- > 1;) {
    if (count >= kDurations[i].size && count % kDurations[i].size == 0) {
      return std::to_string(count / kDurations[i].size) + std::string(kDurations[i].name);
    }
  }
  return count == 0 ? "0s" : std::to_string(count) + "ms";
}

std::optional<bool> ParseBool(std::string_view text) {
  text = Trimmed(text);
  if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  return std::nullopt;
}

std::optional<std::uint64_t> ParseInteger(std::string_view text) {
  text = Trimmed(text);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string> ParseList(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = Trimmed(text.substr(0, comma));
    if (!item.empty()) items.emplace_back(item);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

bool IsHostPort(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto port = ParseInteger(text.substr(colon + 1));
  if (!port || *port > 65535 || text.find_first_of(" \t/") != std::string_view::npos) return false;
  const std::string_view host = text.substr(0, colon);
  if (host.front() == '[') return host.size() > 2 && host.back() == ']';
  return host.find(':') == std::string_view::npos;
}

bool IsName(std::string_view text) {
  if (text.empty() || text.size() > 63) return false;
  if (!IsAlphanumeric(text.front()) || !IsAlphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

std::size_t EditDistance(std::string_view a, std::string_view b) {
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

}  // namespace coffer::server
