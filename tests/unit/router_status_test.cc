// The status as a pure function of what was heard.
#include <algorithm>

#include "cluster/placement.h"
#include "router/core/plan.h"
#include "router/core/status.h"
#include "tests/test_support.h"
#include "tests/unit/router_status_world.h"

using namespace coffer;
using namespace coffer::router;
using cluster::Liveness;
using cluster::MemberIndex;

namespace {

bool AllHold(const v1::Status& status) {
  return std::all_of(status.invariants().begin(), status.invariants().end(), [](const auto& i) { return i.holds(); });
}

std::vector<std::string> Names(const google::protobuf::RepeatedPtrField<std::string>& names) {
  return {names.begin(), names.end()};
}

const v1::MemberStatus& Line(const v1::Status& status, const std::string& name) {
  for (const auto& member : status.members()) {
    if (member.name() == name) return member;
  }
  FAIL("no line of " << name);
  return status.members(0);
}

}  // namespace

TEST_CASE("healthy") {
  Cluster cluster(3);
  const v1::Status status = cluster.Build();
  CHECK(status.verdict() == v1::VERDICT_HEALTHY);
  CHECK(status.code().empty());
  CHECK(status.next_action() == "Nothing to do.");
  CHECK(status.copies().two_or_more() == 600);
  CHECK(status.copies().one() == 0);
  CHECK(status.partitions_writable() == 60);
  CHECK(status.partitions_readable() == 60);
  CHECK(Names(status.may_stop_now()) == std::vector<std::string>{"node-1", "node-2", "node-3"});
  CHECK(AllHold(status));
  CHECK(status.invariants(0).sentence() == "all 60 partitions have a primary");
  CHECK(status.invariants(1).sentence() == "all members on epoch 17");
  CHECK(status.invariants(2).sentence() == "0 blocks below 1 copy");
  CHECK_FALSE(status.has_resync());
  CHECK(status.time_ms() == 1234);
  std::uint32_t primaries = 0;
  for (const auto& member : status.members()) primaries += member.primaries();
  CHECK(primaries == 60);
  CHECK(Line(status, "node-2").state_seconds() == 3600);
}

TEST_CASE("a single node is healthy, says that there is one copy, and may not stop") {
  const v1::Status status = Cluster(1).Build();
  CHECK(status.verdict() == v1::VERDICT_HEALTHY);
  CHECK(status.code() == "SINGLE_NODE");
  CHECK(status.reason().find("one copy") != std::string::npos);
  CHECK(status.copies().one() == 600);
  CHECK(status.may_stop_now().empty());
}

TEST_CASE("a node that has just died: its partitions can't be written until another takes over") {
  Cluster cluster(3);
  cluster.Set(2, Liveness::kDead, std::chrono::seconds(1));
  const v1::Status status = cluster.Build();
  CHECK(status.verdict() == v1::VERDICT_UNAVAILABLE);
  CHECK(status.code() == "PARTITIONS_UNAVAILABLE");
  CHECK(status.partitions_readable() == 60);
  CHECK(status.partitions_writable() == 40);
  CHECK(status.reason().find("node-3 is unreachable for 1 s") != std::string::npos);
  CHECK(status.reason().find("20 of 60 partitions can't be written") != std::string::npos);
  CHECK(status.may_stop_now().empty());
  CHECK_FALSE(status.invariants(0).holds());
  CHECK(status.invariants(0).sentence() == "20 of 60 partitions have no primary that answers");
}

TEST_CASE("one down, its replicas promoted: served, waiting for it to come back") {
  Cluster cluster(3);
  cluster.Set(2, Liveness::kDead);
  cluster.FailOver(2);
  cluster.reports[0].mutable_resync()->set_starts_in_seconds(4);
  const v1::Status status = cluster.Build();
  CHECK(status.verdict() == v1::VERDICT_DEGRADED);
  CHECK(status.code() == "NODE_DOWN");
  CHECK(status.reason() == "node-3 is unreachable for 12 s. All data readable and writable.");
  CHECK(status.next_action() == "Resync waits for it to come back; nothing to do.");
  CHECK(status.copies().one() == 400);
  CHECK(status.copies().two_or_more() == 200);
  CHECK(Line(status, "node-3").state() == v1::MEMBER_STATE_DOWN);
  CHECK(Line(status, "node-3").state_seconds() == 12);
  CHECK(Line(status, "node-3").primaries() == 0);
  CHECK(Line(status, "node-3").learners() == 40);
  REQUIRE(status.has_resync());
  CHECK(status.resync().state() == v1::RESYNC_STATE_WAITING);
  CHECK(status.resync().starts_in_seconds() == 4);
  CHECK(status.resync().cause() == "node-3 down");
  CHECK(AllHold(status));
  CHECK(status.may_stop_now().empty());
}

TEST_CASE("a dead node whose data is elsewhere: restarting comes first, forgetting only if it is gone for good") {
  Cluster cluster(3);
  cluster.Set(2, Liveness::kDead);
  cluster.FailOver(2);
  for (auto& group : cluster.layout.partitions) {
    group.primary = 0;
    group.goal = group.in_sync = {0, 1};
  }
  const v1::Status status = cluster.Build();
  CHECK(status.code() == "NODE_DOWN");
  CHECK_FALSE(status.has_resync());
  const std::string& action = status.next_action();
  CHECK(action.find("Start node-3 again") < action.find("gone for good"));
  CHECK(action.find("gone for good") < action.find("coffer forget node-3"));
}

TEST_CASE("the last up-to-date copy out of reach: unavailable, and named") {
  Cluster cluster(3);
  auto& group = cluster.layout.partitions[7];
  group.in_sync = {2};
  group.primary = 2;
  cluster.Set(2, Liveness::kDead);
  for (PartitionId p = 0; p < 60; ++p) {
    auto& other = cluster.layout.partitions[p];
    if (p != 7 && other.InSync(2)) {
      cluster::Remove(&other.in_sync, MemberIndex(2));
      other.primary = other.in_sync[0];
    }
  }
  const v1::Status status = cluster.Build();
  CHECK(status.verdict() == v1::VERDICT_UNAVAILABLE);
  CHECK(status.code() == "PARTITIONS_UNAVAILABLE");
  CHECK(status.partitions_readable() == 59);
  CHECK(status.copies().none() == 10);  // by what was last known of it
  CHECK(status.next_action().find("node-3") != std::string::npos);
  CHECK(status.resync().state() == v1::RESYNC_STATE_BLOCKED);
  CHECK(status.resync().last_error().find("partition 7") != std::string::npos);
  const auto& blocks = status.invariants(2);
  CHECK_FALSE(blocks.holds());
  CHECK(blocks.sentence() == "10 blocks below 1 copy");
}

TEST_CASE("too few voters") {
  Cluster cluster(5);
  for (int i : {2, 3, 4}) cluster.Set(i, Liveness::kDead);
  const v1::Status status = cluster.Build();
  CHECK(status.code() == "NO_QUORUM");
  CHECK(status.reason().find("2 of 5 voters") != std::string::npos);
  CHECK(status.next_action() == "Start node-3, node-4 and node-5 again.");
  CHECK(status.verdict() == v1::VERDICT_UNAVAILABLE);
  CHECK(status.may_stop_now().empty());
}

TEST_CASE("two nodes and the majority of their votes: none may stop") {
  Cluster cluster(2);
  CHECK(cluster.Build().verdict() == v1::VERDICT_HEALTHY);
  CHECK(cluster.Build().may_stop_now().empty());
  cluster.layout.settings.min_copies = 1;  // the copies would do, the votes do not
  CHECK(cluster.Build().may_stop_now().empty());
}

TEST_CASE("two nodes and a witness: a node may stop only if one copy is enough") {
  Cluster cluster(2);
  cluster::Member witness;
  witness.id = NodeIdOf(9);
  witness.name = "witness-1";
  witness.witness = true;
  witness.weight = 0;
  cluster.layout.members.push_back(witness);
  cluster.layout.voters.push_back(2);
  cluster.members[witness.id].facts.set_role(v1::MEMBER_ROLE_WITNESS);
  cluster.members[witness.id].facts.set_epoch(17);
  CHECK(cluster.Build().may_stop_now().empty());
  cluster.layout.settings.min_copies = 1;
  CHECK(Names(cluster.Build().may_stop_now()) == std::vector<std::string>{"node-1", "node-2"});
  CHECK(Line(cluster.Build(), "witness-1").role() == v1::MEMBER_ROLE_WITNESS);
}

TEST_CASE("a node that holds the only living copy of something may not stop; the others may") {
  Cluster cluster(5);
  cluster.layout.partitions[7].in_sync = {cluster.layout.partitions[7].primary};
  const std::string only = cluster.layout.members[cluster.layout.partitions[7].primary].name;
  const auto names = Names(cluster.Build().may_stop_now());
  CHECK(names.size() == 4);
  CHECK(std::find(names.begin(), names.end(), only) == names.end());
}

TEST_CASE("the smaller troubles: suspicion, full and failed disks, one copy, a lagging epoch") {
  Cluster cluster(3);
  std::string code;
  v1::Verdict verdict = v1::VERDICT_DEGRADED;
  SECTION("suspect") {
    cluster.Set(1, Liveness::kSuspect);
    for (auto& group : cluster.layout.partitions) {
      if (group.primary == 1) group.primary = group.in_sync[0] == 1 ? group.in_sync[1] : group.in_sync[0];
      group.goal = {group.primary};
      for (auto m : group.in_sync) if (m != group.primary) group.goal.push_back(m);
    }
    code = "NODE_SUSPECT";
  }
  SECTION("full") {
    cluster.reports[0].mutable_self()->set_read_only(true);
    cluster.reports[0].mutable_self()->set_read_only_reason(v1::READ_ONLY_REASON_DISK_FULL);
    cluster.reports[0].mutable_self()->set_disk_used(0.3);  // a large reserve
    code = "DISK_FULL";
    verdict = v1::VERDICT_UNAVAILABLE;  // a write needs both copies, so two thirds of the partitions refuse
    CHECK(cluster.Build().partitions_writable() == 20);
    CHECK(cluster.Build().partitions_readable() == 60);
  }
  SECTION("failed") {
    cluster.reports[0].mutable_self()->set_read_only(true);
    cluster.reports[0].mutable_self()->set_read_only_reason(v1::READ_ONLY_REASON_DISK_FAILED);
    cluster.reports[0].mutable_self()->set_disk_used(0.96);
    code = "DISK_FAILED";
    verdict = v1::VERDICT_UNAVAILABLE;
  }
  SECTION("slow") {
    cluster.reports[0].mutable_self()->set_disk_slow(true);
    code = "DISK_SLOW";
    CHECK(cluster.Build().reason().find("The disk of node-1 is slow") == 0);
  }
  SECTION("lost") {
    cluster.reports[0].mutable_self()->set_lost_blocks(2);
    cluster.reports[2].mutable_self()->set_lost_blocks(1);
    code = "BLOCKS_LOST";
    CHECK(cluster.Build().copies().none() == 3);
    CHECK(cluster.Build().copies().two_or_more() == 597);
    CHECK(cluster.Build().reason().find("3 blocks are damaged on every copy that answers.") == 0);
    CHECK(cluster.Build().next_action().find("the log of node-1 and node-3 names them") != std::string::npos);
  }
  SECTION("one copy") {
    auto& group = cluster.layout.partitions[5];
    group.goal = group.in_sync = {group.primary};
    code = "ONE_COPY";
  }
  SECTION("lag") {
    cluster.members[NodeIdOf(1)].facts.set_epoch(15);
    cluster.silent = {};
    cluster.layout.epoch = Epoch(18);
    for (auto& [id, view] : cluster.members) view.facts.set_epoch(id == NodeIdOf(1) ? 15 : 18);
    cluster.layout_since = kNow - std::chrono::seconds(1);
    CHECK(cluster.Build().code() == "");  // it has only just been decided
    cluster.layout_since = kNow - std::chrono::seconds(2);
    code = "EPOCH_LAG";
  }
  const v1::Status status = cluster.Build();
  CHECK(status.code() == code);
  CHECK(status.verdict() == verdict);
  CHECK_FALSE(status.reason().empty());
  CHECK_FALSE(status.next_action().empty());
}

TEST_CASE("nothing is called writable that no primary vouches for") {
  Cluster cluster(3);
  cluster.silent = {0};
  const v1::Status status = cluster.Build();
  CHECK(status.partitions_writable() == 40);
  CHECK(status.partitions_readable() == 60);
  cluster.silent.clear();
  cluster.writable = false;
  CHECK(cluster.Build().partitions_writable() == 0);
  cluster.refusing_for = std::chrono::seconds(1);  // still taking over: writes wait for it
  CHECK(cluster.Build().partitions_writable() == 60);
}

TEST_CASE("a primary whose report is older than its office is not called refusing") {
  Cluster cluster(3);
  for (auto& group : cluster.layout.partitions) {
    if (group.primary != 0) continue;
    group.primary = 1;  // decided since: nobody has reported under it yet
    group.term = Term(18);
  }
  cluster.layout.epoch = Epoch(18);
  for (auto& [id, view] : cluster.members) view.facts.set_epoch(18);
  StatusInputs inputs = cluster.Inputs();
  for (auto& [id, seen] : inputs.reports) {
    seen.report.clear_primaries();  // all named their earlier partitions, none of the new ones
    seen.report.set_epoch(17);
  }
  CHECK(BuildStatus(inputs).partitions_writable() == 20);
  for (auto& [id, seen] : inputs.reports) seen.report.set_epoch(18);
  CHECK(BuildStatus(inputs).partitions_writable() == 0);
  for (auto& [id, seen] : inputs.reports) seen.report.set_epoch(19);  // the router is behind: they gave it away since
  CHECK(BuildStatus(inputs).partitions_writable() == 60);
}

TEST_CASE("members: storage first, then witnesses and routers; joining, draining, drained; routers gone for long are not shown") {
  Cluster cluster(3);
  auto add = [&](int i, const std::string& name, v1::MemberRole role, Liveness state, Duration since) {
    auto& view = cluster.members[NodeIdOf(i)];
    view.facts.set_name(name);
    view.facts.set_role(role);
    view.facts.set_epoch(17);
    view.state = state;
    view.since = kNow - since;
  };
  add(20, "a-router", v1::MEMBER_ROLE_ROUTER, Liveness::kAlive, std::chrono::seconds(1));
  add(21, "b-router", v1::MEMBER_ROLE_ROUTER, Liveness::kDead, std::chrono::seconds(10));
  add(22, "c-router", v1::MEMBER_ROLE_ROUTER, Liveness::kDead, std::chrono::seconds(100));
  add(23, "node-4", v1::MEMBER_ROLE_STORAGE, Liveness::kAlive, std::chrono::seconds(1));
  cluster.layout.members[0].draining = true;
  const v1::Status status = cluster.Build();
  std::vector<std::string> names;
  for (const auto& member : status.members()) names.push_back(member.name());
  CHECK(names == std::vector<std::string>{"node-1", "node-2", "node-3", "node-4", "a-router", "b-router"});
  CHECK(Line(status, "node-4").state() == v1::MEMBER_STATE_JOINING);
  CHECK(Line(status, "node-1").state() == v1::MEMBER_STATE_DRAINING);
  for (auto& group : cluster.layout.partitions) {
    for (auto* list : {&group.in_sync, &group.goal}) cluster::Remove(list, MemberIndex(0));
    group.primary = group.goal[0];
  }
  CHECK(Line(cluster.Build(), "node-1").state() == v1::MEMBER_STATE_DRAINED);
}

TEST_CASE("a drained node that is off is missed by nobody") {
  Cluster cluster(4);
  cluster.layout.members[3].draining = true;
  for (auto& group : cluster.layout.partitions) {
    group.primary = 0;
    group.goal = group.in_sync = {0, 1};
  }
  cluster.Set(3, Liveness::kDead);
  const v1::Status status = cluster.Build();
  CHECK(Line(status, "node-4").state() == v1::MEMBER_STATE_DRAINED);
  CHECK(status.verdict() == v1::VERDICT_HEALTHY);
  CHECK(status.code() == "");
  CHECK(status.reason() == "All data has all its copies. node-4 is drained and may be off.");
  CHECK(status.next_action() == "`coffer forget node-4` takes it out; `coffer apply undrain node-4` keeps it.");
}

TEST_CASE("a plan says what would move and changes nothing") {
  Cluster cluster(3);
  v1::LayoutChange change;
  change.set_drain("node-2");
  const v1::PlanResponse plan = BuildPlan(cluster.Inputs(), change);
  CHECK(plan.refusal().empty());
  CHECK(plan.epoch() == 17);
  CHECK(plan.copies_to_move() == 40);
  CHECK(plan.copies_to_move_least() == 40);
  CHECK(plan.bytes_to_move() == 40 * 1000);
  REQUIRE(plan.nodes_size() == 3);
  CHECK(plan.nodes(1).name() == "node-2");
  CHECK(plan.nodes(1).primaries_before() == 20);
  CHECK(plan.nodes(1).primaries_after() == 0);
  CHECK(plan.nodes(1).replicas_after() == 0);
  REQUIRE(plan.effects_size() == 3);
  CHECK(plan.effects(1).find("Voters left: 2.") == 0);
  Cluster pair(2);
  pair.layout.settings.min_copies = 1;
  change.set_drain("node-1");
  const v1::PlanResponse last = BuildPlan(pair.Inputs(), change);
  REQUIRE(last.effects_size() == 4);
  CHECK(last.effects(1).find("One storage node is left: every block has one copy then") == 0);
  change.set_drain("node-9");
  CHECK_FALSE(BuildPlan(cluster.Inputs(), change).refusal().empty());
  const v1::PlanResponse nothing = BuildPlan(cluster.Inputs(), v1::LayoutChange());
  CHECK(nothing.copies_to_move() == 0);
  CHECK(nothing.effects(0) == "Nothing has to move.");
}

TEST_CASE("where a block lives, with the arithmetic") {
  Cluster cluster(3);
  ZoneId zone;
  BlockId block;
  const auto where = BuildWhere(cluster.layout, zone, block);
  CHECK(where.hash() % 60 == where.partition());
  CHECK(where.partitions() == 60);
  CHECK(where.primary() == "node-" + std::to_string(where.partition() % 3 + 1));  // plain modulo in a fresh layout
  CHECK(where.in_sync_size() == 2);
  CHECK(where.goal(0) == where.primary());
  CHECK(where.term() == 3);
  CHECK(where.arithmetic().find(std::to_string(where.hash()) + " mod 60 = partition " + std::to_string(where.partition())) !=
        std::string::npos);
}
