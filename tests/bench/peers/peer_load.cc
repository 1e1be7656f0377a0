// peer_load redis|etcd-put|... : one closed loop against a peer; prints one JSON object. `peers` runs it.
#include <CLI/CLI.hpp>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cluster/random.h"
#include "peers/load.h"

namespace coffer::peers {

Instant Stopwatch::Now() {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

Stopwatch::Stopwatch(const LoadPlan& plan)
    : from_(Now() + Duration(static_cast<std::int64_t>(plan.warm_up * 1e9))),
      end_(from_ + Duration(static_cast<std::int64_t>(plan.seconds * 1e9))) {}

void Stopwatch::Ended(Instant began, LoadResult* result) const {
  const Instant now = Now();
  if (now >= from_ && now < end_) result->latency.Add(now - began);
}

Values::Values(std::size_t bytes) : value_((bytes + 7) / 8 * 8, '\0') {
  Random random(bytes);
  for (std::size_t i = 0; i < value_.size(); i += 8) {
    const std::uint64_t word = random.Next();
    std::memcpy(value_.data() + i, &word, 8);
  }
  value_.resize(bytes);
}

const std::string& Values::Next() {
  ++count_;
  std::memcpy(value_.data(), &count_, std::min(value_.size(), sizeof count_));
  return value_;
}

}  // namespace coffer::peers

int main(int argc, char** argv) {
  using namespace coffer::peers;
  CLI::App app("One closed loop against Redis, etcd, a gRPC echo, or Coffer's unary calls.");
  LoadPlan plan;
  std::string kind, listen, forward;
  app.add_option("kind", kind, "redis, grpc, frames or serve-echo")->required();
  app.add_option("--work", plan.work);
  app.add_option("--address", plan.addresses);
  app.add_option("--bytes", plan.bytes);
  app.add_option("--in-flight", plan.in_flight);
  app.add_option("--seconds", plan.seconds);
  app.add_option("--warm-up", plan.warm_up);
  app.add_option("--keys", plan.keys);
  app.add_option("--listen", listen);
  app.add_option("--forward", forward);
  CLI11_PARSE(app, argc, argv);
  try {
    if (kind == "serve-echo") {
      ServeEcho(listen, forward);
      return 0;
    }
    if (kind == "frames") {
      std::cout << nlohmann::json{{"bytes_per_second", LoadFrames(plan)}}.dump() << "\n";
      return 0;
    }
    const LoadResult result = kind == "redis" ? LoadRedis(plan) : LoadGrpc(plan);
    const auto seconds = [](coffer::Duration d) { return std::chrono::duration<double>(d).count(); };
    std::cout << nlohmann::json{{"per_second", static_cast<double>(result.latency.count()) / plan.seconds},
                                {"p50_seconds", seconds(result.latency.Quantile(0.5))},
                                {"p99_seconds", seconds(result.latency.Quantile(0.99))},
                                {"errors", result.errors},
                                {"first_error", result.first_error}}
                     .dump()
              << "\n";
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "peer_load: " << e.what() << "\n";
    return 1;
  }
}
