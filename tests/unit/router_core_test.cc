// Routing, fences, retries, unknown outcomes and hedges, through RouterCore.
#include "router_world.h"

#include "cluster/placement.h"
#include "router/core/errors.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

PartitionId PartitionFor(RouterWorld& world, const ZoneId& zone, const BlockId& id) {
  return cluster::PartitionOf(zone, id, world.layout().partition_count());
}

// A block whose partition has this primary.
BlockId BlockOn(RouterWorld& world, const ZoneId& zone, std::size_t node) {
  for (int n = 1;; ++n) {
    if (world.layout().group(PartitionFor(world, zone, Id(n))).primary == node) return Id(n);
  }
}

// The node other than the primary that is in sync.
FakeNode& ReplicaOf(RouterWorld& world, PartitionId p) {
  const auto& group = world.layout().group(p);
  return world.NodeOf(group.in_sync[0] == group.primary ? group.in_sync[1] : group.in_sync[0]);
}

int Puts(const FakeNode& node) {
  int n = 0;
  for (const auto& request : node.got) n += request.has_put_chunk();
  return n;
}

}  // namespace

TEST_CASE("a put goes to the partition's primary with the term, and a get brings it back") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  for (int n = 1; n <= 20; ++n) {
    const PartitionId p = PartitionFor(world, zone, Id(n));
    auto& put = world.Do(Put("shop", Id(n), "value " + std::to_string(n)));
    REQUIRE(put.end->code() == 0);
    REQUIRE_FALSE(Only<v1::PutResponse>(put).already_existed());
    const auto& request = world.PrimaryOf(p).got.back();
    REQUIRE(request.has_put_chunk());
    CHECK(request.partition() == p);
    CHECK(request.term() == 3);
    CHECK(request.zone() == zone.str());
    CHECK(request.deadline_ms() <= 5000);
    CHECK(request.deadline_ms() > 4000);
    auto& get = world.Do(Get("shop", Id(n)));
    CHECK(Only<v1::GetResponse>(get).data() == "value " + std::to_string(n));
    CHECK(Only<v1::GetResponse>(get).total_size() == ("value " + std::to_string(n)).size());
  }
  auto& again = world.Do(Put("shop", Id(1), "value 1"));
  CHECK(Only<v1::PutResponse>(again).already_existed());
  CHECK(world.Do(Put("shop", Id(1), "other")).end->code() == static_cast<int>(Code::kAlreadyExists));
}

TEST_CASE("a fenced request is sent again at once under the newer layout") {  // R1.1
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", BlockOn(world, zone, 1), "warm"));
  const BlockId block = BlockOn(world, zone, 0);
  const PartitionId p = PartitionFor(world, zone, block);
  world.FailOver(0);  // the router does not know yet
  REQUIRE(world.core().layout()->epoch < world.layout().epoch);
  const Instant before = world.now();
  auto& put = world.Do(Put("shop", block, "x"));
  CHECK(put.end->code() == 0);
  CHECK(world.core().layout()->epoch == world.layout().epoch);
  CHECK(Term(world.PrimaryOf(p).got.back().term()) == world.layout().group(p).term);
  CHECK(world.core().Counters().dispatcher.fences == 1);
  CHECK(world.now() - before < milliseconds(20));
}

TEST_CASE("a write whose primary dies is sent to the next primary") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", BlockOn(world, zone, 1), "warm"));
  const BlockId block = BlockOn(world, zone, 0);
  world.node(0).silent = true;
  const CallId call = world.Call(Put("shop", block, "x"));
  world.Run(milliseconds(50));
  REQUIRE_FALSE(world.ended(call));
  world.Kill(0);
  world.Run(milliseconds(300));
  REQUIRE_FALSE(world.ended(call));
  world.FailOver(0);
  CHECK(world.Finish(call).end->code() == 0);
  CHECK(world.truth().chunks.size() == 2);
}

TEST_CASE("a silent primary is left when the layout moves on, though its link stands") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", BlockOn(world, zone, 1), "warm"));
  const BlockId block = BlockOn(world, zone, 0);
  world.node(0).silent = true;
  const CallId call = world.Call(Put("shop", block, "x"), seconds(20));
  world.Run(milliseconds(20));
  world.FailOver(0);
  world.At(world.now() + milliseconds(100), [&] {  // another answer tells the router of the epoch
    world.Call(Get("shop", BlockOn(world, zone, 1)));
  });
  const Instant before = world.now();
  CHECK(world.Finish(call).end->code() == 0);
  CHECK(world.now() - before < seconds(3));
}

TEST_CASE("a write that was sent and never answered ends as unknown, not as failed (R2.3)") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", BlockOn(world, zone, 1), "warm"));
  const BlockId block = BlockOn(world, zone, 0);
  SECTION("the node keeps silent") { world.node(0).silent = true; }
  SECTION("the link breaks after it was sent") {
    world.node(0).intercept = [&](FakeNode&, const wire::DataRequest&, const auto&) {
      world.At(world.now(), [&] { world.Kill(0); });
      return true;
    };
  }
  SECTION("every answer is UNAVAILABLE") {
    world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
      world.AnswerError(node, request, Code::kUnavailable, "DISK_FAILED");
      return true;
    };
  }
  SECTION("every answer is the fence, though nobody knows a newer layout") {
    world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
      wire::DataResponse response;
      response.set_call(request.call());
      response.set_fenced(true);
      world.Answer(node, response);
      return true;
    };
  }
  auto& put = world.Do(Put("shop", block, "x"), milliseconds(800));
  CHECK(put.end->code() == static_cast<int>(Code::kDeadlineExceeded));
  CHECK(ReasonOf(*put.end) == "OUTCOME_UNKNOWN");
  CHECK(put.end->message().find("may or may not have happened") != std::string::npos);
  CHECK(put.ends == 1);
  CHECK(put.responses.empty());
}

TEST_CASE("a write that could not be sent ends as definitely not sent") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", BlockOn(world, zone, 1), "warm"));
  const BlockId block = BlockOn(world, zone, 0);
  SECTION("no link") { world.Kill(0); }
  SECTION("the queue is full") { world.refuse_sends = 1000000; }
  auto& put = world.Do(Put("shop", block, "x"), milliseconds(500));
  CHECK(put.end->code() == static_cast<int>(Code::kUnavailable));
  CHECK(ReasonOf(*put.end) == "NOT_SENT");
  CHECK(Puts(world.node(0)) == 0);
}

TEST_CASE("a queue that is full for a moment delays a write, no more") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "warm"));
  world.refuse_sends = 3;
  CHECK(world.Do(Put("shop", Id(2), "x")).end->code() == 0);
  CHECK(Puts(world.node(0)) == 2);
}

TEST_CASE("a write that was only ever refused before it was ordered ends with that refusal") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
    if (!request.has_put_chunk()) return false;
    world.AnswerError(node, request, Code::kUnavailable, "TOO_FEW_COPIES");
    return true;
  };
  auto& put = world.Do(Put("shop", Id(1), "x"), milliseconds(600));
  CHECK(put.end->code() == static_cast<int>(Code::kUnavailable));
  CHECK(ReasonOf(*put.end) == "TOO_FEW_COPIES");
}

TEST_CASE("a refusal after an attempt of unknown outcome is unknown too, where the refusal could be its consequence") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  int puts = 0;
  Code later = Code::kFailedPrecondition;
  std::string reason = "CHUNK_DELETED";
  world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
    if (!request.has_put_chunk()) return false;
    const bool lost = ++puts == 1;
    world.AnswerError(node, request, lost ? Code::kUnavailable : later, lost ? "DISK_FAILED" : reason);
    return true;
  };
  SECTION("stored, then deleted by another") {
    auto& put = world.Do(Put("shop", Id(1), "x"));
    CHECK(ReasonOf(*put.end) == "OUTCOME_UNKNOWN");
  }
  SECTION("shed: waits for the deadline rather than calling it not done") {
    later = Code::kResourceExhausted;
    reason = "QUEUE_FULL";
    auto& put = world.Do(Put("shop", Id(1), "x"), milliseconds(700));
    CHECK(ReasonOf(*put.end) == "OUTCOME_UNKNOWN");
    CHECK(puts > 2);
  }
  SECTION("other bytes under the id were never ours: definite") {
    later = Code::kAlreadyExists;
    reason = "CHUNK_EXISTS";
    CHECK(world.Do(Put("shop", Id(1), "x")).end->code() == static_cast<int>(Code::kAlreadyExists));
  }
}

TEST_CASE("a shed or failed write passes through when it was the only attempt") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  Code code = Code::kResourceExhausted;
  world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
    if (!request.has_put_chunk()) return false;
    world.AnswerError(node, request, code, "REASON");
    return true;
  };
  CHECK(world.Do(Put("shop", Id(1), "x")).end->code() == static_cast<int>(Code::kResourceExhausted));
  code = Code::kInternal;  // says nothing about whether it happened
  CHECK(ReasonOf(*world.Do(Put("shop", Id(1), "x")).end) == "OUTCOME_UNKNOWN");
}

TEST_CASE("a read that is not answered in time says so") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "warm"));
  world.node(0).silent = true;
  auto& get = world.Do(Get("shop", Id(1)), milliseconds(300));
  CHECK(get.end->code() == static_cast<int>(Code::kDeadlineExceeded));
  CHECK(ReasonOf(*get.end) == "DEADLINE");
}

TEST_CASE("a slow primary is hedged: another holder's found is the answer") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  const BlockId block = BlockOn(world, zone, 0);
  const PartitionId p = PartitionFor(world, zone, block);
  world.Do(Put("shop", block, "x"));
  world.node(0).delay = milliseconds(400);
  const Instant before = world.now();
  auto& get = world.Do(Get("shop", block));
  CHECK(Only<v1::GetResponse>(get).data() == "x");
  CHECK(world.now() - before < milliseconds(40));
  CHECK(world.now() - before >= milliseconds(20));  // not before the usual time of an answer
  REQUIRE(Gets(ReplicaOf(world, p)) == 1);
  CHECK(ReplicaOf(world, p).got.back().get_chunk().any_holder());
  CHECK(ReplicaOf(world, p).got.back().term() == 0);
  CHECK(world.core().Counters().dispatcher.hedges_won == 1);
}

TEST_CASE("a primary without a link is hedged at once") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  const BlockId block = BlockOn(world, zone, 0);
  world.Do(Put("shop", block, "x"));
  world.Kill(0);
  const Instant before = world.now();
  CHECK(Only<v1::GetResponse>(world.Do(Get("shop", block))).data() == "x");
  CHECK(world.now() - before < milliseconds(5));
}

TEST_CASE("a primary that does not answer its probes is hedged at once, though its link stands") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  const BlockId block = BlockOn(world, zone, 0);
  world.Do(Put("shop", block, "x"));
  world.node(0).silent = true;
  world.Run(seconds(4));  // suspected by now
  const Instant before = world.now();
  CHECK(Only<v1::GetResponse>(world.Do(Get("shop", block))).data() == "x");
  CHECK(world.now() - before < milliseconds(5));
}

TEST_CASE("a request that got lost on a link that stands is sent again after a while") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "warm"));
  int lost = 2;
  world.node(0).intercept = [&](FakeNode&, const wire::DataRequest& request, const auto&) {
    return request.has_put_chunk() && lost-- > 0;
  };
  const Instant before = world.now();
  CHECK(world.Do(Put("shop", Id(2), "x"), seconds(20)).end->code() == 0);
  CHECK(world.now() - before > seconds(10));  // twice the patience
  CHECK(Puts(world.node(0)) == 4);
}

TEST_CASE("another holder's absent is no answer: only the primary's is") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  const BlockId block = BlockOn(world, zone, 0);
  const PartitionId p = PartitionFor(world, zone, block);
  world.Do(Put("shop", BlockOn(world, zone, 1), "warm"));
  FakeNode& replica = ReplicaOf(world, p);
  replica.intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
    if (!request.has_get_chunk()) return false;
    world.AnswerError(node, request, Code::kNotFound, "CHUNK_NOT_FOUND");
    return true;
  };
  world.node(0).delay = milliseconds(300);
  const CallId call = world.Call(Get("shop", block));
  world.Run(milliseconds(200));
  CHECK(Gets(replica) == 1);
  CHECK_FALSE(world.ended(call));
  CHECK(world.Finish(call).end->code() == static_cast<int>(Code::kNotFound));
}

TEST_CASE("hedges for slowness are a bounded share of the reads") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  for (std::size_t i = 0; i < 3; ++i) world.node(i).delay = seconds(2);
  std::vector<CallId> calls;
  for (int n = 1; n <= 200; ++n) calls.push_back(world.Call(Get("shop", Id(n)), seconds(20)));
  for (const CallId call : calls) world.Finish(call);
  CHECK(world.core().Counters().dispatcher.hedges <= 10 + 200 / 10);
  CHECK(world.core().Counters().dispatcher.hedges >= 10);
}

TEST_CASE("ranges are cut by the rule of the proto, from a node and from the cache") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.Do(Put("shop", Id(1), "0123456789"));
  for (const bool cached : {false, true}) {
    if (cached) world.Do(Get("shop", Id(1)));
    CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1), 2, 3))).data() == "234");
    CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1), 8, 30))).data() == "89");
    CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1), 4))).data() == "456789");
    CHECK(Only<v1::GetResponse>(world.Do(Get("shop", Id(1), 4))).total_size() == 10);
    auto& end = world.Do(Get("shop", Id(1), 10, 0));
    CHECK(end.end->code() == 0);
    CHECK(Only<v1::GetResponse>(end).data().empty());
    CHECK(Only<v1::GetResponse>(end).total_size() == 10);
    CHECK(world.Do(Get("shop", Id(1), 10, 1)).end->code() == static_cast<int>(Code::kOutOfRange));
    CHECK(world.Do(Get("shop", Id(1), 11, 0)).end->code() == static_cast<int>(Code::kOutOfRange));
  }
}

TEST_CASE("a damaged chunk is named") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  world.node(0).intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
    if (!request.has_get_chunk()) return false;
    world.AnswerError(node, request, Code::kDataLoss, "DATA_LOSS", "damaged");
    return true;
  };
  auto& get = world.Do(Get("shop", Id(9)));
  CHECK(get.end->code() == static_cast<int>(Code::kDataLoss));
  CHECK(get.end->message().find(Hex(Id(9).view())) != std::string::npos);
}

TEST_CASE("has, put many and get many answer for each id in order") {
  RouterWorld world(3, 60);
  world.AddZone("shop");
  world.Settle();
  v1::PutManyRequest put;
  put.set_zone("shop");
  for (int n = 0; n < 300; ++n) {
    auto* chunk = put.add_chunks();
    chunk->set_id(Id(n).str());
    chunk->set_data(std::to_string(n));
  }
  world.truth().chunks[{world.truth().zones["shop"].id(), Id(7).str()}] = "other bytes";
  auto outcomes = Only<v1::PutManyResponse>(world.Do(put));
  REQUIRE(outcomes.outcomes_size() == 300);
  for (int n = 0; n < 300; ++n) {
    CHECK(outcomes.outcomes(n).status().code() == (n == 7 ? static_cast<int>(Code::kAlreadyExists) : 0));
  }
  v1::HasRequest has;
  has.set_zone("shop");
  for (int n = 200; n < 400; ++n) has.add_ids(Id(n).str());
  auto present = Only<v1::HasResponse>(world.Do(has));
  REQUIRE(present.present_size() == 200);
  for (int n = 200; n < 400; ++n) CHECK(present.present(n - 200) == (n < 300));

  v1::GetManyRequest get;
  get.set_zone("shop");
  for (int n = 290; n < 310; ++n) get.add_ids(Id(n).str());
  auto& result = world.Do(get);
  REQUIRE(result.end->code() == 0);
  REQUIRE(result.responses.size() == 20);
  std::set<std::uint32_t> indices;
  for (const auto& bytes : result.responses) {
    v1::GetManyResponse response;
    response.ParseFromString(bytes);
    indices.insert(response.index());
    const int n = 290 + static_cast<int>(response.index());
    CHECK(response.status().code() == (n < 300 ? 0 : static_cast<int>(Code::kNotFound)));
    CHECK(response.data() == (n < 300 ? std::to_string(n) : ""));
  }
  CHECK(indices.size() == 20);
  for (auto request : std::vector<Request>{v1::HasRequest(), v1::GetManyRequest(), v1::PutManyRequest()}) {
    std::visit([](auto& r) { if constexpr (requires { r.set_zone(""); }) r.set_zone("shop"); }, request);
    CHECK(world.Do(request).end->code() == 0);  // none at all is a list too
  }
}

TEST_CASE("a front that takes no more holds a stream of chunks back") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  v1::GetManyRequest get;
  get.set_zone("shop");
  for (int n = 0; n < 100; ++n) {
    world.truth().chunks[{world.truth().zones["shop"].id(), Id(n).str()}] = "x";
    get.add_ids(Id(n).str());
  }
  world.writable = false;
  const CallId call = world.Call(get);
  world.Run(milliseconds(500));
  CHECK(world.result(call).responses.empty());
  world.writable = true;
  CHECK(world.Finish(call).responses.size() == 100);
}

// ---- Everything at once

TEST_CASE("no acknowledged put is missing and no definite failure happened, whatever dies") {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    RouterWorld world(3, 12, seed);
    const ZoneId zone = world.AddZone("shop");
    world.Settle();
    Random random(seed * 977);
    std::vector<std::pair<int, CallId>> puts;
    constexpr std::size_t kNobody = 99;
    std::size_t dead = kNobody;
    for (int n = 0; n < 300; ++n) {
      puts.emplace_back(n, world.Call(Put("shop", Id(n), "v" + std::to_string(n)),
                                      milliseconds(20 + static_cast<std::int64_t>(random.Below(1500)))));
      world.Run(std::chrono::microseconds(random.Below(8000)));
      if (random.Chance(1, 30) && dead == kNobody) {
        dead = random.Below(3);
        world.Kill(dead);
        const std::size_t gone = dead;
        world.At(world.now() + milliseconds(random.Below(300)), [&world, gone] { world.FailOver(gone); });
      } else if (random.Chance(1, 20) && dead != kNobody) {
        world.Run(milliseconds(350));
        world.Start(dead);
        const auto back = static_cast<cluster::MemberIndex>(dead);
        world.Decide([back](cluster::Layout& next) {
          for (auto& group : next.partitions) {
            if (group.InGoal(back) && !group.InSync(back)) {
              group.in_sync = group.goal;
              std::sort(group.in_sync.begin(), group.in_sync.end());
            }
          }
        });
        dead = kNobody;
      }
    }
    int unknown = 0;
    for (const auto& [n, call] : puts) {
      const Status& end = *world.Finish(call).end;
      const bool stored = world.truth().chunks.count({zone.str(), Id(n).str()}) > 0;
      INFO("seed " << seed << " chunk " << n << ": " << end.message());
      const std::string reason = ReasonOf(end);
      unknown += reason == "OUTCOME_UNKNOWN";
      if (end.code() == 0) CHECK(stored);
      if (end.code() != 0 && reason != "OUTCOME_UNKNOWN") CHECK_FALSE(stored);
      if (end.code() != 0) CHECK((reason == "OUTCOME_UNKNOWN" || reason == "NOT_SENT"));
      CHECK(world.result(call).ends == 1);
    }
    CHECK(unknown < 100);
  }
}
