// coffer.v1.Cluster through RouterCore: status, its stream, places, plans and changes of the layout.
#include "router_world.h"

#include "router/core/errors.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

wire::NodeReport ReportOf(RouterWorld& world, std::size_t i) {
  wire::NodeReport report;
  report.set_epoch(world.layout().epoch.value);
  for (PartitionId p = 0; p < world.layout().partition_count(); ++p) {
    if (world.layout().group(p).primary != i) continue;
    auto* partition = report.add_primaries();
    partition->set_partition(p);
    partition->set_writable(true);
    partition->set_blocks(10);
    partition->set_bytes(1000);
  }
  return report;
}

void LetAllReport(RouterWorld& world) {
  for (std::size_t i = 0; i < world.size(); ++i) {
    if (world.node(i).up) world.node(i).report = ReportOf(world, i);
  }
}

v1::ApplyRequest Drain(const std::string& node, std::uint64_t epoch = 0) {
  v1::ApplyRequest request;
  request.set_epoch(epoch);
  request.mutable_change()->set_drain(node);
  return request;
}

// Answers the change a node got last.
void AnswerChange(RouterWorld& world, std::size_t i, const Status& status, std::uint64_t epoch) {
  PeerMessage message;
  auto* answer = message.header.mutable_layout_change_response();
  answer->set_call(world.node(i).changes_got.back().call());
  *answer->mutable_status() = status;
  answer->set_epoch(epoch);
  world.Send(world.node(i), std::move(message));
}

void DecideDrain(RouterWorld& world, std::size_t i) {
  world.Decide([i](cluster::Layout& next) { next.members[i].draining = true; });
}

}  // namespace

TEST_CASE("a status asks every node first, and is put together when all have reported") {
  RouterWorld world(3);
  world.Settle();
  LetAllReport(world);
  const Instant before = world.now();
  auto& result = world.Do(v1::GetStatusRequest());
  REQUIRE(result.end->code() == 0);
  CHECK(world.now() - before < milliseconds(20));
  const v1::Status status = Only<v1::GetStatusResponse>(result).status();
  CHECK(status.verdict() == v1::VERDICT_HEALTHY);
  CHECK(status.partitions_writable() == 12);
  CHECK(status.copies().two_or_more() == 120);
  CHECK(status.members_size() == 4);
  CHECK(status.members(3).role() == v1::MEMBER_ROLE_ROUTER);
}

TEST_CASE("a node that does not report delays a status a little, no more") {
  RouterWorld world(3);
  world.Settle();
  LetAllReport(world);
  world.node(1).report.reset();
  const Instant before = world.now();
  const v1::Status status = Only<v1::GetStatusResponse>(world.Do(v1::GetStatusRequest())).status();
  CHECK(world.now() - before >= milliseconds(300));
  CHECK(world.now() - before < milliseconds(600));
  CHECK(status.partitions_writable() == 8);
}

TEST_CASE("a router says what it does: reads and writes per second, answer times, how long it is up") {
  RouterWorld world(3);
  world.core().SetWallClock(world.now(), 1'700'000'000'000);
  world.AddZone("z");
  world.Settle();
  LetAllReport(world);
  for (int i = 0; i < 200; ++i) {
    world.node(0).delay = world.node(1).delay = world.node(2).delay = milliseconds(3);
    v1::GetRequest get;
    get.set_zone("z");
    get.set_id(std::string(32, static_cast<char>('a' + i % 20)));
    world.Do(get);
    world.Run(milliseconds(95));
  }
  const v1::Status status = Only<v1::GetStatusResponse>(world.Do(v1::GetStatusRequest())).status();
  const v1::MemberStatus& router = status.members(3);
  REQUIRE(router.role() == v1::MEMBER_ROLE_ROUTER);
  CHECK(router.gets_per_second() >= 8);
  CHECK(router.gets_per_second() <= 12);
  CHECK(router.puts_per_second() == 0);
  CHECK(router.p99_seconds() >= 0.003);
  CHECK(router.p99_seconds() < 0.010);
  CHECK(router.up_seconds() >= 19);
  CHECK(router.up_seconds() <= 22);
}

TEST_CASE("the blocks of a partition are remembered when its nodes are gone") {
  RouterWorld world(3);
  world.Settle();
  LetAllReport(world);
  world.Do(v1::GetStatusRequest());
  world.Kill(0);
  world.Kill(1);
  world.Run(seconds(6));
  const v1::Status status = Only<v1::GetStatusResponse>(world.Do(v1::GetStatusRequest())).status();
  CHECK(status.copies().none() == 40);
  CHECK(status.copies().one() == 80);
  CHECK(status.code() == "NO_QUORUM");
}

TEST_CASE("nodes are asked for reports only while somebody looks") {
  RouterWorld world(1);
  world.Settle();
  int asked = 0;
  world.node(0).report = ReportOf(world, 0);
  world.on_report = [&asked](FakeNode&) { ++asked; };
  world.Run(seconds(10));
  CHECK(asked == 0);
  world.Do(v1::GetStatusRequest());
  world.Run(seconds(30));
  CHECK(asked >= 4);
  CHECK(asked <= 7);
}

TEST_CASE("a watched status comes at once, at changes, and every second; a front that is full is not pushed") {
  RouterWorld world(3);
  world.Settle();
  LetAllReport(world);
  const CallId call = world.Call(v1::WatchStatusRequest(), seconds(3600));
  world.Run(milliseconds(50));
  CHECK(world.result(call).responses.size() == 1);
  world.Run(seconds(10));
  const std::size_t after = world.result(call).responses.size();
  CHECK(after >= 10);
  CHECK(after <= 45);
  world.FailOver(2);
  world.Kill(2);
  LetAllReport(world);
  world.Run(seconds(6));
  v1::WatchStatusResponse last;
  last.ParseFromString(world.result(call).responses.back());
  CHECK(last.status().code() == "NODE_DOWN");
  CHECK(last.status().epoch() == world.layout().epoch.value);
  world.writable = false;
  const std::size_t held = world.result(call).responses.size();
  world.Run(seconds(5));
  CHECK(world.result(call).responses.size() == held);
  world.writable = true;
  world.Run(seconds(1));
  CHECK(world.result(call).responses.size() > held);
  world.Cancel(call);
  CHECK(world.ended(call));
}

TEST_CASE("where says the partition and its holders; an unknown zone is named") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  v1::WhereRequest where;
  where.set_zone("shop");
  where.set_id(Id(1).str());
  const auto response = Only<v1::WhereResponse>(world.Do(where));
  CHECK(response.partition() == response.hash() % 12);
  CHECK(response.primary() == world.PrimaryOf(response.partition()).name);
  where.set_zone("nope");
  CHECK(ReasonOf(*world.Do(where).end) == "ZONE_UNKNOWN");
}

TEST_CASE("a change goes to the lowest living voter, and is done when its layout is here") {
  RouterWorld world(3);
  world.Settle();
  const CallId call = world.Call(Drain("node-3", 10));
  world.Run(milliseconds(20));
  REQUIRE(world.node(0).changes_got.size() == 1);
  CHECK(world.node(0).changes_got[0].epoch() == 10);
  CHECK(world.node(0).changes_got[0].change().drain() == "node-3");
  CHECK_FALSE(world.ended(call));
  DecideDrain(world, 2);
  AnswerChange(world, 0, Ok(), world.layout().epoch.value);
  REQUIRE(world.Finish(call).end->code() == 0);
  CHECK(Only<v1::ApplyResponse>(world.result(call)).epoch() == 11);
  CHECK(world.core().layout()->epoch == Epoch(11));
}

TEST_CASE("a plan of an older epoch is refused before anybody is asked") {
  RouterWorld world(3);
  world.Settle();
  auto& result = world.Do(Drain("node-3", 9));
  CHECK(result.end->code() == static_cast<int>(Code::kAborted));
  CHECK(ReasonOf(*result.end) == "LAYOUT_CHANGED");
  CHECK(world.node(0).changes_got.empty());
}

TEST_CASE("a refusal is passed on; a proposer that can't is followed by the next") {
  RouterWorld world(3);
  world.Settle();
  const CallId call = world.Call(Drain("node-3"));
  world.Run(milliseconds(20));
  AnswerChange(world, 0, MakeError(Code::kUnavailable, "NOT_A_VOTER", "ask another"), 10);
  world.Run(milliseconds(300));
  REQUIRE(world.node(1).changes_got.size() == 1);
  AnswerChange(world, 1, ChangeRefused("two nodes are the least"), 10);
  CHECK(ReasonOf(*world.Finish(call).end) == "CHANGE_REFUSED");
}

TEST_CASE("a lost answer is settled by the layout") {
  RouterWorld world(3);
  world.Settle();
  const CallId call = world.Call(Drain("node-3", 10));
  world.Run(milliseconds(20));
  SECTION("decided: the layout shows it") {
    DecideDrain(world, 2);
    world.Kill(0);
    CHECK(world.Finish(call).end->code() == 0);
  }
  SECTION("decided, and the next proposer says that the plan is stale") {
    DecideDrain(world, 2);
    for (std::size_t i : {1, 2}) world.node(i).epoch = 10;  // they learn of it late
    world.Kill(0);
    world.Run(milliseconds(300));
    REQUIRE(world.node(1).changes_got.size() == 1);
    world.node(1).epoch = world.node(2).epoch = 11;
    AnswerChange(world, 1, MakeError(Code::kAborted, "PLAN_STALE", "at epoch 11"), 11);
    CHECK(world.Finish(call).end->code() == 0);
  }
  SECTION("another change was decided instead") {
    world.Kill(0);
    world.Run(milliseconds(300));
    REQUIRE(world.node(1).changes_got.size() == 1);
    world.Decide([](cluster::Layout& next) { next.members[1].weight = 50; });
    AnswerChange(world, 1, MakeError(Code::kAborted, "PLAN_STALE", "at epoch 11"), 11);
    CHECK(world.Finish(call).end->code() != 0);
  }
  SECTION("nobody ever says: unknown") {
    world.Kill(0);
    CHECK(ReasonOf(*world.Finish(call).end) == "OUTCOME_UNKNOWN");
  }
}

TEST_CASE("a change that can reach nobody was not sent") {
  RouterWorld world(1);
  world.Settle();
  world.Kill(0);
  CHECK(ReasonOf(*world.Do(Drain("node-1"), milliseconds(500)).end) == "NOT_SENT");
}

TEST_CASE("resync is controlled through the layout too") {
  RouterWorld world(3);
  world.Settle();
  v1::ControlResyncRequest pause;
  pause.set_pause(true);
  const CallId call = world.Call(pause);
  world.Run(milliseconds(20));
  REQUIRE(world.node(0).changes_got.size() == 1);
  CHECK(world.node(0).changes_got[0].resync().pause());
  CHECK_FALSE(world.node(0).changes_got[0].has_change());
  world.Decide([](cluster::Layout& next) { next.settings.resync_paused = true; });
  CHECK(world.Finish(call).end->code() == 0);  // the layout says so, though the answer never comes
  CHECK(Only<v1::ControlResyncResponse>(world.result(call)).epoch() == 11);
}

TEST_CASE("a router's cache is shown, told another policy and emptied, by itself") {
  RouterWorld world(3);
  world.Settle();
  v1::ControlCacheRequest request;
  auto response = Only<v1::ControlCacheResponse>(world.Do(request));
  CHECK(response.policy() == v1::CACHE_POLICY_ADAPTIVE);
  CHECK(response.bound_bytes() > 0);
  CHECK_FALSE(response.router().empty());
  request.set_policy(v1::CACHE_POLICY_LRU);
  response = Only<v1::ControlCacheResponse>(world.Do(request));
  CHECK(response.policy() == v1::CACHE_POLICY_LRU);
  CHECK(response.deciding() == v1::CACHE_POLICY_LRU);
  request.Clear();
  request.set_clear(true);
  response = Only<v1::ControlCacheResponse>(world.Do(request));
  CHECK(response.policy() == v1::CACHE_POLICY_LRU);
  CHECK(response.chunks() == 0);
  for (int node = 0; node < 3; ++node) CHECK(world.node(node).changes_got.empty());
}
