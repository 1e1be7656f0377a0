// What a status says of a resync: how far it is, how long it still takes, and why it does not go on.
#include <algorithm>

#include "tests/test_support.h"
#include "tests/unit/router_status_world.h"

namespace coffer::router {
namespace {

TEST_CASE("a running resync: sums over the nodes, rate, time left, links") {
  Cluster cluster(3);
  cluster.layout.plan = cluster::MovePlan{Epoch(16), "node-4 joined", 30};
  for (PartitionId p = 0; p < 10; ++p) cluster.layout.partitions[p].in_sync = {cluster.layout.partitions[p].primary};
  for (int i = 0; i < 3; ++i) {
    auto* resync = cluster.reports[i].mutable_resync();
    resync->set_plan(16);
    resync->set_bytes_done(100);
    resync->set_blocks_done(1);
    resync->set_bytes_sent(50);
    auto* link = resync->add_links();
    link->set_from("node-1");
    link->set_to("node-2");
    link->set_bytes_per_second(30);
  }
  CHECK(cluster.Build().resync().eta_seconds() == 0);  // seen for no time: nothing is known yet
  cluster.progress = AdvanceResync(cluster.Inputs());
  cluster.progress.since = kNow - std::chrono::seconds(10);
  const v1::Status status = cluster.Build();
  CHECK(status.code() == "RESYNC_RUNNING");
  CHECK(status.verdict() == v1::VERDICT_DEGRADED);
  const auto& resync = status.resync();
  CHECK(resync.state() == v1::RESYNC_STATE_RUNNING);
  CHECK(resync.cause() == "node-4 joined");
  CHECK(resync.partitions_total() == 30);
  CHECK(resync.partitions_done() == 20);
  CHECK(resync.bytes_total() == 10300);  // ten copies of 1000 bytes, and what the receivers have
  CHECK(resync.bytes_done() == 300);
  CHECK(resync.bytes_sent() == 150);
  CHECK(resync.blocks_total() == 103);
  CHECK(resync.blocks_done() == 3);
  CHECK(resync.bytes_per_second() == 90);
  CHECK(resync.eta_seconds() == 112);
  CHECK(resync.links_size() == 3);
}

TEST_CASE("totals are frozen per plan and done never falls, whatever is reported") {
  Cluster cluster(3);
  cluster.layout.plan = cluster::MovePlan{Epoch(16), "node-3 down", 30};
  auto move = [&](PartitionId moving) {
    for (PartitionId p = 0; p < 60; ++p) {
      auto& group = cluster.layout.partitions[p];
      group.in_sync = group.goal;
      std::sort(group.in_sync.begin(), group.in_sync.end());
      if (p < moving) group.in_sync = {group.primary};
    }
  };
  auto look = [&] {
    for (int i = 0; i < 3; ++i) cluster.reports[i].mutable_resync()->set_plan(cluster.layout.plan->id.value);
    cluster.progress = AdvanceResync(cluster.Inputs());
  };
  auto each_holds = [&](std::uint64_t bytes) {
    for (auto& partition : cluster.seen) partition.bytes = bytes;
  };
  move(30);
  cluster.silent = {1};
  look();
  CHECK(cluster.progress.bytes_total == 0);  // not all have spoken yet: no total to promise
  cluster.silent.clear();
  look();
  CHECK(cluster.progress.bytes_total == 30'000);
  CHECK(cluster.progress.blocks_total == 300);
  move(20);
  look();
  CHECK(cluster.progress.bytes_done == 10'000);
  CHECK(cluster.progress.blocks_done == 100);
  CHECK(cluster.progress.partitions_done == 10);
  move(25);          // a learner was lost: partitions fell back
  each_holds(5000);  // writes arrived
  look();
  CHECK(cluster.progress.bytes_total == 30'000);
  CHECK(cluster.progress.bytes_done == 10'000);
  CHECK(cluster.progress.partitions_done == 10);
  CHECK(cluster.progress.partitions_total == 30);
  each_holds(0);
  look();
  CHECK(cluster.progress.bytes_done == 30'000);
  cluster.layout.plan->id = Epoch(18);  // another plan counts anew
  cluster.layout.plan->partitions_total = 40;
  look();
  CHECK(cluster.progress.partitions_total == 40);
  CHECK(cluster.progress.partitions_done == 15);
  move(0);
  look();
  CHECK_FALSE(cluster.progress.active);
  CHECK_FALSE(cluster.Build().has_resync());
}

TEST_CASE("a router that starts in the middle of a plan goes on where the plan is, by what the receivers say") {
  Cluster cluster(3);
  cluster.layout.plan = cluster::MovePlan{Epoch(16), "node-3 down", 30};
  for (PartitionId p = 0; p < 20; ++p) cluster.layout.partitions[p].in_sync = {cluster.layout.partitions[p].primary};
  for (int i = 0; i < 3; ++i) cluster.reports[i].mutable_resync()->set_plan(16);
  cluster.reports[0].mutable_resync()->set_bytes_done(10'000);
  const v1::Status status = cluster.Build();
  CHECK(status.resync().partitions_done() == 10);
  CHECK(status.resync().bytes_total() == 30'000);
  CHECK(status.resync().bytes_done() == 10'000);
}

TEST_CASE("what was copied for partitions that are not settled yet is counted once") {
  Cluster cluster(2);
  cluster.layout.plan = cluster::MovePlan{Epoch(16), "node-2 joined", 60};
  for (auto& group : cluster.layout.partitions) group.in_sync = {group.primary};
  for (int i = 0; i < 2; ++i) cluster.reports[i].mutable_resync()->set_plan(16);
  cluster.reports[1].mutable_resync()->set_bytes_done(45'000);
  const v1::Status status = cluster.Build();
  CHECK(status.resync().bytes_total() == 60'000);
  CHECK(status.resync().bytes_done() == 0);
}

TEST_CASE("the time left follows the average where the measured rate is lower") {
  Cluster cluster(3);
  cluster.layout.plan = cluster::MovePlan{Epoch(16), "node-3 down", 30};
  for (PartitionId p = 0; p < 30; ++p) cluster.layout.partitions[p].in_sync = {cluster.layout.partitions[p].primary};
  for (int i = 0; i < 3; ++i) cluster.reports[i].mutable_resync()->set_plan(16);
  cluster.reports[0].mutable_resync()->add_links()->set_bytes_per_second(10);
  cluster.progress = AdvanceResync(cluster.Inputs());
  REQUIRE(cluster.progress.bytes_total == 30'000);
  for (PartitionId p = 0; p < 20; ++p) cluster.layout.partitions[p].in_sync = cluster.layout.partitions[p].goal;
  cluster.progress.since = kNow - std::chrono::seconds(10);
  // 20 000 bytes in ten seconds, mostly found present; 10 000 are left.
  CHECK(cluster.Build().resync().eta_seconds() == 6);
}

TEST_CASE("a resync that can only wait says so, though a rate still fades out") {
  Cluster cluster(3);
  cluster.Set(2, Liveness::kDead, std::chrono::seconds(3));
  cluster.FailOver(2);
  auto* link = cluster.reports[0].mutable_resync()->add_links();
  link->set_bytes_per_second(5000);
  CHECK(cluster.Build().resync().state() == v1::RESYNC_STATE_WAITING);
}

TEST_CASE("a pause and a limit of resync are told while nothing moves") {
  Cluster cluster(3);
  CHECK_FALSE(cluster.Build().resync_paused());
  CHECK(cluster.Build().resync_limit_bytes_per_second() == 0);
  cluster.layout.settings.resync_paused = true;
  cluster.layout.settings.resync_limit_bytes_per_second = 1u << 20;
  const v1::Status status = cluster.Build();
  CHECK_FALSE(status.has_resync());
  CHECK(status.resync_paused());
  CHECK(status.resync_limit_bytes_per_second() == 1u << 20);
}

TEST_CASE("a paused and a blocked resync say so") {
  Cluster cluster(3);
  cluster.layout.plan = cluster::MovePlan{Epoch(16), "node-3 down", 30};
  cluster.layout.partitions[0].in_sync = {cluster.layout.partitions[0].primary};
  SECTION("paused") {
    cluster.layout.settings.resync_paused = true;
    const v1::Status status = cluster.Build();
    CHECK(status.code() == "RESYNC_PAUSED");
    CHECK(status.resync().state() == v1::RESYNC_STATE_PAUSED);
    CHECK(status.next_action().find("resume") != std::string::npos);
  }
  SECTION("an error that repeats") {
    cluster.reports[1].mutable_resync()->set_last_error("node-2's disk is full");
    const v1::Status status = cluster.Build();
    CHECK(status.code() == "RESYNC_BLOCKED");
    CHECK(status.resync().last_error() == "node-2's disk is full");
    CHECK(status.next_action().find("disk is full") != std::string::npos);
  }
}

}  // namespace
}  // namespace coffer::router
