// Steps that the tests of a simulated cluster share: form it, load it, read everything back.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>

#include "sim/sim_client.h"
#include "sim/sim_cluster.h"
#include "test_support.h"

namespace coffer::sim {

// A cluster of `n` storage nodes at rest.
inline void FormCluster(SimCluster& c, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) c.AddNode();
  c.Start(0);
  c.Form(0);
  for (std::size_t i = 1; i < n; ++i) c.Start(i);
  c.RunUntil([&] { return c.Settled() && c.Newest()->settings.min_copies == std::min<std::size_t>(n, 2); }, std::chrono::seconds(30));
  INFO(c.Describe());
  REQUIRE(c.Settled());
}

// The client acts for a time, or until it has seen a promise broken.
inline void Load(SimCluster& c, SimClient& client, Duration time) {
  const Instant end = c.now() + time;
  c.RunUntil([&] {
    client.Act();
    return c.now() >= end || client.broken();
  }, time);
}

// The client ends what it began and reads back everything it knows of.
inline void Verify(SimCluster& c, SimClient& client) {
  c.RunUntil([&] { return client.Idle(); }, std::chrono::seconds(10));
  client.StartVerifying();
  c.RunUntil([&] {
    client.Act();
    return client.Verified() || client.broken();
  }, std::chrono::seconds(120));
  INFO(c.Describe());
  CHECK_FALSE(client.broken().value_or("").size());
  CHECK(client.Verified());
}

// The last lines of the log and the state of the cluster, for a failure.
inline std::string Tail(const SimCluster& c) {
  std::string out;
  for (std::size_t i = c.log.size() > 60 ? c.log.size() - 60 : 0; i < c.log.size(); ++i) out += c.log[i] + "\n";
  return out + c.Describe();
}

}  // namespace coffer::sim
