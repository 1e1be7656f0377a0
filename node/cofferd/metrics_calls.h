// Rate, errors and duration of every public method, as the front saw them.
#pragma once

#include <array>
#include <atomic>

#include "node/cofferd/metrics.h"
#include "router/front_server.h"

namespace coffer::server {

// Thread-safe.
class CallMetrics final : public router::FrontObserver {
 public:
  void OnCallEnd(router::Method method, router::Code code, std::chrono::steady_clock::duration took) override;
  void Write(MetricsWriter* writer) const;

 private:
  static constexpr std::array kBounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0};
  static constexpr std::size_t kCodes = 17;
  struct PerMethod {
    std::array<std::atomic<std::uint64_t>, kCodes> by_code{};
    std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> by_latency{};
    std::atomic<std::uint64_t> nanoseconds{0};
  };
  std::array<PerMethod, router::kMethodNames.size()> methods_;
};

// What is under way at the front.
void WriteFrontLoad(const router::FrontServer::Load& load, MetricsWriter* writer);

}  // namespace coffer::server
