#include "client/command/bench_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace coffer::command {

std::size_t Histogram::BucketOf(std::uint64_t ns) {
  if (ns < kSub) return ns;
  const auto doubling = static_cast<std::size_t>(std::bit_width(ns)) - kSubBits;
  if (doubling > kDoublings) return kBuckets - 1;
  // Half of the values of kSubBits bits are left when the leading one is set.
  return kSub + (doubling - 1) * (kSub / 2) + (ns >> doubling) - kSub / 2;
}

std::uint64_t Histogram::UpperEnd(std::size_t bucket) {
  if (bucket < kSub) return bucket;
  const std::size_t doubling = (bucket - kSub) / (kSub / 2) + 1;
  const std::size_t within = (bucket - kSub) % (kSub / 2) + kSub / 2;
  return ((within + 1) << doubling) - 1;
}

void Histogram::Add(Duration time) {
  const std::uint64_t ns = time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : 0;
  ++buckets_[BucketOf(ns)];
  ++count_;
  max_ = std::max(max_, time);
}

void Histogram::Add(const Histogram& other) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

Duration Histogram::Quantile(double share) const {
  if (count_ == 0) return {};
  const auto wanted =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(max_, Duration(static_cast<std::int64_t>(UpperEnd(i))));
  }
  return max_;
}

}  // namespace coffer::command
