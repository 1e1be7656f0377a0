#include "client/command/bench_draw.h"

#include <charconv>
#include <cmath>

#include "client/command/command.h"

namespace coffer::command {
namespace {

double ParseNumber(const std::string& text, const std::string& whole) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(number) && number > 0) return number;
  throw UsageError("\"" + text + "\" in \"" + whole + "\" is not a number above 0");
}

// "a=1,b=2" in pieces; a name without a number weighs 1.
struct Weighed {
  std::string name;
  double weight;
};
std::vector<Weighed> ParseWeighed(const std::string& text) {
  std::vector<Weighed> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string piece = text.substr(at, comma - at);
    const std::size_t equals = std::min(piece.find('='), piece.size());
    const bool weighed = equals < piece.size();
    out.push_back({piece.substr(0, equals), weighed ? ParseNumber(piece.substr(equals + 1), text) : 1});
    at = comma + 1;
  }
  return out;
}

}  // namespace

const char* BenchOpName(BenchOp op) {
  static constexpr const char* kNames[kBenchOps] = {"put", "get", "append", "last", "has"};
  return kNames[static_cast<int>(op)];
}

Lots<BenchOp> ParseMix(const std::string& text) {
  std::vector<Lots<BenchOp>::Lot> lots;
  for (const Weighed& w : ParseWeighed(text)) {
    int op = 0;
    while (op < kBenchOps && w.name != BenchOpName(static_cast<BenchOp>(op))) ++op;
    if (op == kBenchOps) {
      throw UsageError("\"" + w.name +
                       "\" can't be measured: put, get, append, last and has can, such as put=70,get=30");
    }
    lots.push_back({static_cast<BenchOp>(op), w.weight});
  }
  return Lots<BenchOp>(std::move(lots));
}

Lots<std::uint64_t> ParseSizes(const std::string& text) {
  std::vector<Lots<std::uint64_t>::Lot> lots;
  for (const Weighed& w : ParseWeighed(text)) lots.push_back({ParseBytes(w.name), w.weight});
  return Lots<std::uint64_t>(std::move(lots));
}

KeyLots::KeyLots(std::uint64_t n, double skew) : n_(n), skew_(skew) {
  if (skew_ == 0) return;
  for (std::uint64_t k = 1; k <= n_; ++k) zeta_ += std::pow(static_cast<double>(k), -skew_);
  second_ = 1 + std::pow(0.5, skew_);
  alpha_ = 1 / (1 - skew_);
  eta_ = (1 - std::pow(2 / static_cast<double>(n_), 1 - skew_)) / (1 - second_ / zeta_);
}

std::uint64_t KeyLots::Draw(Random& random) const {
  if (skew_ == 0 || n_ < 3) return random.Below(n_);
  const double u = static_cast<double>(random.Next() >> 11) * 0x1p-53;

  if (u * zeta_ < 1) return 0;
  if (u * zeta_ < second_) return 1;
  const double key = static_cast<double>(n_) * std::pow(eta_ * u - eta_ + 1, alpha_);
  return std::min(n_ - 1, static_cast<std::uint64_t>(key));
}

double ParseKeys(const std::string& text) {
  if (text == "uniform") return 0;
  if (text == "zipf") return 0.99;
  if (text.rfind("zipf=", 0) == 0) {
    const double skew = ParseNumber(text.substr(5), text);
    if (skew < 1) return skew;
  }
  throw UsageError("\"" + text + "\" is not a distribution of keys: uniform, zipf and zipf=SKEW (below 1) are");
}

}  // namespace coffer::command
