#include "client/command/progress.h"

#include <algorithm>
#include <ostream>

#include "client/command/format.h"

namespace coffer::command {

std::string ProgressLine(const std::string& what, std::uint64_t done, std::uint64_t total, double seconds, int width) {
  const double rate = seconds > 0.2 ? static_cast<double>(done) / seconds : 0;
  std::string figures = "  " + BytesText(static_cast<double>(done));
  if (total > 0) figures += " of " + BytesText(static_cast<double>(total));
  if (rate > 0) figures += "  " + BytesText(rate) + "/s";
  if (rate > 0 && total > done)
    figures += "  ETA " + Clock(static_cast<std::uint64_t>(static_cast<double>(total - done) / rate + 0.5));
  std::string bar;
  if (total > 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    bar = "  " + Bar(share, 20) + " " + std::to_string(static_cast<int>(share * 100)) + "%";
  }
  const auto columns = static_cast<std::size_t>(std::max(20, width));
  const std::size_t rest = Columns(figures) + Columns(bar);
  return Cut(Cut(what, columns > rest + 8 ? columns - rest : 8) + bar + figures, columns);
}

Progress::Progress(std::ostream& err, bool shown, std::string what, std::uint64_t total, int width)
    : err_(err), shown_(shown), what_(std::move(what)), total_(total), width_(width) {}

void Progress::Add(std::uint64_t bytes) {
  done_ += bytes;
  if (!shown_) return;
  const Time now = std::chrono::steady_clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  Draw(ProgressLine(what_, done_, total_, std::chrono::duration<double>(now - started_).count(), width_ - 1));
}

void Progress::Set(std::uint64_t done, std::uint64_t total, const std::string& detail) {
  if (!shown_) return;
  const double share = total > 0 ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total)) : 0;
  Draw(Cut(what_ + "  " + Bar(share, 20) + " " + std::to_string(static_cast<int>(share * 100)) + "%  " + detail,
           static_cast<std::size_t>(std::max(20, width_ - 1))));
}

void Progress::Draw(const std::string& text) {
  err_ << "\r" << text << "\033[K" << std::flush;
  visible_ = true;
}

void Progress::Clear() {
  if (visible_) err_ << "\r\033[K" << std::flush;
  visible_ = false;
}

}  // namespace coffer::command
