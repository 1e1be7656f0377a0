// Figures and tables as people read them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace coffer::command {

// "0 B", "999 B", "1.2 KiB", "12.4 GiB".
std::string BytesText(double bytes);
// "3.1 of 6.7 GiB", "999 B of 1.2 GiB".
std::string BytesOf(std::uint64_t done, std::uint64_t total);
// Five characters at most: "999B", "1.2K", "12.4G".
std::string BytesShort(double bytes);
// Three characters at most up to 999 days: "12s", "59m", "23h", "3d".
std::string AgeShort(std::uint64_t seconds);
// "0:29", "12:05", "3:02:11".
std::string Clock(std::uint64_t seconds);
// "41 210".
std::string Grouped(std::uint64_t number);
// Four characters at most: "402", "1.2k", "34k", "5.1M".
std::string RateShort(double per_second);
// Share in percent with one digit, rounded down, so that 100.0% means all: "98.1%". 0 of 0 is "100%".
std::string Percent(std::uint64_t part, std::uint64_t whole);
// "####......", `width` characters.
std::string Bar(double share, int width);

// Characters on the screen (not bytes) of UTF-8 text.
std::size_t Columns(const std::string& text);
// Cut to so many columns, with "…" at the end if something was cut.
std::string Cut(const std::string& text, std::size_t columns);
// Breaks text at spaces into lines of at most `columns`; a longer word is cut.
std::vector<std::string> Wrap(const std::string& text, std::size_t columns);
// Whether bytes are printable UTF-8 on one line.
bool Printable(const std::string& bytes);

// A table with aligned columns. Cells of columns named in `right` are aligned to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::vector<bool> right = {});
  void Add(std::vector<std::string> row);
  // Every line without its line break; the header first. Trailing spaces are cut.
  std::vector<std::string> Lines() const;
  std::string Text() const;
  // Width of a column as it is now.
  std::size_t Width(std::size_t column) const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
};

}  // namespace coffer::command
