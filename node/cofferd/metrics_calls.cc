#include "node/cofferd/metrics_calls.h"

#include <algorithm>

namespace coffer::server {
namespace {

constexpr std::array<const char*, 17> kCodeNames = {
    "OK",           "CANCELLED",          "UNKNOWN",            "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",        "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL",          "UNAVAILABLE",        "DATA_LOSS",        "UNAUTHENTICATED"};

}  // namespace

void CallMetrics::OnCallEnd(router::Method method, router::Code code, std::chrono::steady_clock::duration took) {
  PerMethod& m = methods_[static_cast<std::size_t>(method)];
  const auto index = static_cast<std::size_t>(code);
  m.by_code[index < kCodes ? index : 2].fetch_add(1, std::memory_order_relaxed);
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
  const double seconds = static_cast<double>(nanoseconds) * 1e-9;
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin();
  m.by_latency[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  m.nanoseconds.fetch_add(static_cast<std::uint64_t>(nanoseconds), std::memory_order_relaxed);
}

void CallMetrics::Write(MetricsWriter* writer) const {
  const std::vector<double> bounds(kBounds.begin(), kBounds.end());
  for (std::size_t i = 0; i < methods_.size(); ++i) {
    const PerMethod& m = methods_[i];
    const std::string name(router::kMethodNames[i]);
    std::uint64_t calls = 0;
    for (std::size_t code = 0; code < kCodes; ++code) {
      const std::uint64_t count = m.by_code[code].load(std::memory_order_relaxed);
      calls += count;
      if (count == 0) continue;
      writer->Counter("coffer_rpc_calls_total", "Public calls that have ended.", static_cast<double>(count),
                      {{"method", name}, {"code", kCodeNames[code]}});
    }
    if (calls == 0) continue;
    std::vector<std::uint64_t> counts;
    for (const auto& count : m.by_latency) counts.push_back(count.load(std::memory_order_relaxed));
    writer->Histogram("coffer_rpc_duration_seconds", "From arrival to the last answer.", bounds, counts,
                      static_cast<double>(m.nanoseconds.load(std::memory_order_relaxed)) * 1e-9, {{"method", name}});
  }
}

void WriteFrontLoad(const router::FrontServer::Load& load, MetricsWriter* writer) {
  writer->Gauge("coffer_rpc_under_way", "Public calls under way, open streams among them.", static_cast<double>(load.calls));
  writer->Gauge("coffer_rpc_request_bytes", "Bytes of the requests under way.", static_cast<double>(load.request_bytes));
  writer->Gauge("coffer_rpc_streams", "Coalescing streams that are open.", static_cast<double>(load.streams));
}

}  // namespace coffer::server
