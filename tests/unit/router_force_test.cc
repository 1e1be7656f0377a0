// What a status and a plan say of a forced layout.
#include "router/core/plan.h"
#include "tests/test_support.h"
#include "tests/unit/router_status_world.h"

namespace coffer::router {
namespace {

TEST_CASE("a forced layout: survivors are waited for, then what was lost is told") {
  Cluster c(3);
  CHECK_FALSE(c.Build().has_force());
  c.layout.forced_epoch = Epoch(16);
  c.layout.retired = {{NodeIdOf(8), "node-9", Epoch(16)}};
  for (const PartitionId p : {4u, 5u}) {
    auto& group = c.layout.partitions[p];
    group.primary = 0;
    group.in_sync = {0};
    group.survivors = {0, 2};
  }
  v1::Status status = c.Build();
  CHECK(status.code() == "SURVIVORS_MERGING");
  CHECK(status.verdict() == v1::VERDICT_UNAVAILABLE);
  CHECK(status.force().merging() == 2);
  CHECK(status.force().waits_for().empty());
  CHECK(status.partitions_readable() == 58);
  CHECK(status.next_action() == "Wait until it is done; then look at `coffer layout losses`.");
  const auto may = status.may_stop_now();
  CHECK(std::find(may.begin(), may.end(), "node-3") == may.end());

  c.Set(2, Liveness::kSuspect);
  status = c.Build();
  CHECK(status.force().waits_for_size() == 1);
  CHECK(status.next_action() == "Start node-3 again: what survived there is needed.");

  c.Set(2, Liveness::kAlive);
  for (const PartitionId p : {4u, 5u}) c.layout.partitions[p].survivors.clear();
  c.layout.partitions[4].loss = cluster::Loss{Epoch(16), false, Seq(3), Seq(5), Seq(9), 2};
  c.layout.partitions[5].loss = cluster::Loss{Epoch(16), true, {}, {}, {}, 0};
  status = c.Build();
  CHECK(status.partitions_readable() == 60);
  const v1::ForceStatus& force = status.force();
  CHECK(force.epoch() == 16);
  CHECK(force.given_up(0) == "node-9");
  CHECK(force.merging() == 0);
  CHECK(force.merged() == 2);
  CHECK(force.empty() == 1);
  CHECK(force.lacking() == 1);
  CHECK(force.set_aside() == 2);
  REQUIRE(force.losses_size() == 2);
  CHECK(force.losses(0).partition() == 4);
  CHECK(force.losses(0).missing_from() == 3);
  CHECK(force.losses(0).missing_to() == 5);
  CHECK(force.losses(0).last_write() == 9);
  CHECK(force.losses(1).nothing());
}

TEST_CASE("the plan of a forced layout says what is whole and what is merged") {
  Cluster c(3);
  c.layout.partitions[7].in_sync = {1};
  c.layout.partitions[7].primary = 1;
  c.Set(1, Liveness::kDead);
  v1::LayoutChange change;
  change.set_force("I am sure that node-2 is off and will never return");
  const v1::PlanResponse plan = BuildPlan(c.Inputs(), change);
  CHECK(plan.refusal().empty());
  const std::string all = plan.effects(0) + plan.effects(1) + plan.effects(2);
  CHECK_THAT(all, Catch::Contains("59 partitions have an up-to-date copy on a node that answers"));
  CHECK_THAT(all, Catch::Contains("1 partitions have none: what node-1 and node-3 still hold of them is merged"));
  change.set_force("I am sure that node-1 is off and will never return");
  CHECK_THAT(BuildPlan(c.Inputs(), change).refusal(), Catch::Contains("node-1 answers"));
}

}  // namespace
}  // namespace coffer::router
