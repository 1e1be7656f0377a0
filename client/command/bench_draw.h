// What a benchmark draws by lot: operations, sizes, keys. Pure; the same lots for the same seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/random.h"

namespace coffer::command {

// What `coffer bench` can do to a cluster.
enum class BenchOp { kPut, kGet, kAppend, kLast, kHas };
inline constexpr int kBenchOps = 5;
const char* BenchOpName(BenchOp op);

// Outcomes with weights.
template <class T>
class Lots {
 public:
  struct Lot {
    T what;
    double weight;
  };
  // At least one lot; weights are positive.
  explicit Lots(std::vector<Lot> lots) : lots_(std::move(lots)) {
    for (const Lot& lot : lots_) sum_ += lot.weight;
  }
  const T& Draw(Random& random) const {
    double at = static_cast<double>(random.Next() >> 11) * 0x1p-53 * sum_;
    for (const Lot& lot : lots_) {
      if (at < lot.weight) return lot.what;
      at -= lot.weight;
    }
    return lots_.back().what;
  }
  const std::vector<Lot>& all() const { return lots_; }

 private:
  std::vector<Lot> lots_;
  double sum_ = 0;
};

// "put", "put=70,get=30"; UsageError otherwise.
Lots<BenchOp> ParseMix(const std::string& text);
// "1KiB", "1KiB=80,64KiB=20"; UsageError otherwise.
Lots<std::uint64_t> ParseSizes(const std::string& text);

// Keys 0 to n-1, either all alike or by Zipf's law: key k is drawn in proportion to 1 / (k + 1)^skew.
class KeyLots {
 public:
  // `skew` 0: uniform; else greater than 0 and not 1 (0.99 is usual). Takes time in proportion to n once.
  KeyLots(std::uint64_t n, double skew);
  std::uint64_t Draw(Random& random) const;

 private:
  std::uint64_t n_;
  double skew_;
  // Of Gray and others, "Quickly generating billion-record synthetic databases" (1994).
  double zeta_ = 0, alpha_ = 0, eta_ = 0, second_ = 0;
};

// "uniform", "zipf", "zipf=0.8": the skew; UsageError otherwise.
double ParseKeys(const std::string& text);

}  // namespace coffer::command
