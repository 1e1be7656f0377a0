#include "client/command/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace coffer::command {
namespace {

std::string Printf(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Divides by 1024 until it fits three digits; returns the index of the unit.
int Scale(double& value) {
  int unit = 0;
  while (value >= 999.5 && unit < 6) {
    value /= 1024;
    ++unit;
  }
  return unit;
}

// The number of bytes of the UTF-8 character that starts with this byte; 0 when none does.
int Utf8Length(unsigned char c) {
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c < 0xe0) return 2;
  if (c >= 0xe0 && c < 0xf0) return 3;
  if (c >= 0xf0 && c < 0xf5) return 4;
  return 0;
}

}  // namespace

std::string BytesText(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  const int unit = Scale(bytes);
  return Printf(unit == 0 || bytes >= 99.95 ? "%.0f " : "%.1f ", bytes) + kUnits[unit];
}

std::string BytesOf(std::uint64_t done, std::uint64_t total) {
  std::string first = BytesText(static_cast<double>(done));
  const std::string second = BytesText(static_cast<double>(total));
  const auto unit = [](const std::string& text) { return text.substr(text.find(' ')); };
  if (unit(first) == unit(second)) first.resize(first.find(' '));
  return first + " of " + second;
}

std::string BytesShort(double bytes) {
  static constexpr const char* kUnits[] = {"B", "K", "M", "G", "T", "P", "E"};
  const int unit = Scale(bytes);
  return Printf(unit == 0 || bytes >= 99.95 ? "%.0f" : "%.1f", bytes) + kUnits[unit];
}

std::string AgeShort(std::uint64_t s) {
  if (s < 60) return std::to_string(s) + "s";
  if (s < 3600) return std::to_string(s / 60) + "m";
  if (s < 86400) return std::to_string(s / 3600) + "h";
  return std::to_string(s / 86400) + "d";
}

std::string Clock(std::uint64_t s) {
  char text[64];
  if (s < 3600) {
    std::snprintf(text, sizeof text, "%llu:%02llu", static_cast<unsigned long long>(s / 60),
                  static_cast<unsigned long long>(s % 60));
  } else {
    std::snprintf(text, sizeof text, "%llu:%02llu:%02llu", static_cast<unsigned long long>(s / 3600),
                  static_cast<unsigned long long>(s / 60 % 60), static_cast<unsigned long long>(s % 60));
  }
  return text;
}

std::string Grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(static_cast<std::size_t>(i), " ");
  return digits;
}

std::string RateShort(double r) {
  if (r < 9.95 && r > 0.05 && std::abs(r - std::round(r)) > 0.05) return Printf("%.1f", r);
  if (r < 9999.5) return Printf("%.0f", r);
  if (r < 999500) return Printf("%.0fk", r / 1000);
  return Printf("%.1fM", r / 1e6);
}

std::string Percent(std::uint64_t part, std::uint64_t whole) {
  if (part >= whole) return "100%";
  const double share = static_cast<double>(part) / static_cast<double>(whole);
  return Printf("%.1f%%", std::floor(share * 1000) / 10);
}

std::string Bar(double share, int width) {
  const int full = std::clamp(static_cast<int>(share * width), 0, width);
  return std::string(static_cast<std::size_t>(full), '#') + std::string(static_cast<std::size_t>(width - full), '.');
}

std::size_t Columns(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string Cut(const std::string& text, std::size_t columns) {
  if (Columns(text) <= columns) return text;
  if (columns == 0) return "";
  std::size_t bytes = 0;
  for (std::size_t seen = 0; bytes < text.size(); ++bytes) {
    if ((static_cast<unsigned char>(text[bytes]) & 0xc0) != 0x80 && seen++ == columns - 1) break;
  }
  return text.substr(0, bytes) + "…";
}

std::vector<std::string> Wrap(const std::string& text, std::size_t columns) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    at = end + 1;
    if (!lines.empty() && Columns(lines.back()) + 1 + Columns(word) <= columns) {
      lines.back() += " " + word;
    } else {
      lines.push_back(Cut(word, columns));
    }
  }
  return lines;
}

bool Printable(const std::string& bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    const int length = Utf8Length(c);
    if (length == 0 || c < 0x20 || c == 0x7f || i + static_cast<std::size_t>(length) > bytes.size()) return false;
    for (int k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(bytes[i + static_cast<std::size_t>(k)]) & 0xc0) != 0x80) return false;
    }
    // C1 controls would steer the terminal.
    if (c == 0xc2 && static_cast<unsigned char>(bytes[i + 1]) < 0xa0) return false;
    i += static_cast<std::size_t>(length);
  }
  return true;
}

Table::Table(std::vector<std::string> header, std::vector<bool> right) : right_(std::move(right)) {
  right_.resize(header.size());
  rows_.push_back(std::move(header));
}

void Table::Add(std::vector<std::string> row) {
  row.resize(rows_.front().size());
  rows_.push_back(std::move(row));
}

std::size_t Table::Width(std::size_t column) const {
  std::size_t width = 0;
  for (const auto& row : rows_) width = std::max(width, Columns(row[column]));
  return width;
}

std::vector<std::string> Table::Lines() const {
  std::vector<std::string> lines(rows_.size());
  for (std::size_t c = 0; c < right_.size(); ++c) {
    const std::size_t width = Width(c);
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      const std::string pad(width - Columns(rows_[r][c]), ' ');
      if (c > 0) lines[r] += ' ';
      lines[r] += right_[c] ? pad + rows_[r][c] : rows_[r][c] + pad;
    }
  }
  for (std::string& line : lines) line.erase(line.find_last_not_of(' ') + 1);
  return lines;
}

std::string Table::Text() const {
  std::string text;
  for (const std::string& line : Lines()) text += line + "\n";
  return text;
}

}  // namespace coffer::command
