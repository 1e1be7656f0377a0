// Chains.Watch: each entry once and in order, whatever node answers.
#include "router_world.h"

#include "cluster/placement.h"
#include "cluster/random.h"
#include "router/core/errors.h"
#include "tests/rounds.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

v1::WatchRequest Watch(const BlockId& chain, std::uint64_t from = 0) {
  v1::WatchRequest request;
  request.set_zone("shop");
  request.set_chain(chain.str());
  request.set_from(from);
  return request;
}

// The bodies delivered so far, in order; the number of responses without entries in `empty`.
std::vector<std::string> Bodies(const RouterWorld::Result& result, std::uint64_t from, int* empty = nullptr) {
  std::vector<std::string> bodies;
  std::uint64_t next = from;
  for (const auto& bytes : result.responses) {
    v1::WatchResponse response;
    REQUIRE(response.ParseFromString(bytes));
    if (response.entries_size() == 0 && empty) ++*empty;
    for (const auto& entry : response.entries()) {
      REQUIRE(entry.position() == next++);
      bodies.push_back(entry.body());
    }
    CHECK(response.length() >= next);
  }
  return bodies;
}

// Appends to the chain through the router until it is acknowledged.
class Writer {
 public:
  Writer(RouterWorld& world, const BlockId& chain) : world_(world), chain_(chain) {}
  void Append(int entries) {
    std::vector<std::string> bodies;
    for (int i = 0; i < entries; ++i) bodies.push_back("e" + std::to_string(length_ + static_cast<std::uint64_t>(i)));
    for (;;) {
      auto& result = world_.Do(router::Append("shop", chain_, length_, bodies, hash_), seconds(5));
      if (result.end->code() != 0) {  // unknown or not sent: the same again is safe
        INFO(result.end->message());
        REQUIRE(++failures_ < 100);
        REQUIRE((ReasonOf(*result.end) == "OUTCOME_UNKNOWN" || ReasonOf(*result.end) == "NOT_SENT"));
        continue;
      }
      const auto head = Only<v1::AppendResponse>(result).head();
      length_ = head.length();
      hash_ = head.hash();
      return;
    }
  }
  std::uint64_t length() const { return length_; }

 private:
  RouterWorld& world_;
  const BlockId chain_;
  std::uint64_t length_ = 0;
  std::string hash_;
  int failures_ = 0;
};

}  // namespace

TEST_CASE("what is there comes first, then what is appended, from the position asked for") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  Writer writer(world, Id(1));
  writer.Append(8);
  const CallId all = world.Call(Watch(Id(1)), seconds(3600));
  const CallId late = world.Call(Watch(Id(1), 10), seconds(3600));
  world.Run(milliseconds(100));
  CHECK(Bodies(world.result(all), 0).size() == 8);
  CHECK(Bodies(world.result(late), 10).empty());
  const Instant before = world.now();
  writer.Append(4);
  world.Run(milliseconds(30));
  CHECK(Bodies(world.result(all), 0).size() == 12);
  CHECK(Bodies(world.result(late), 10) == std::vector<std::string>{"e10", "e11"});
  CHECK(world.now() - before < milliseconds(100));
}

TEST_CASE("a chain that does not exist yet is waited for, with a sign of life every 10 s") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  const CallId call = world.Call(Watch(Id(1)), seconds(3600));
  SECTION("nodes keep the question") {}
  SECTION("nodes say that there is none") {
    for (std::size_t i = 0; i < 3; ++i) {
      world.node(i).intercept = [&](FakeNode& node, const wire::DataRequest& request, const auto&) {
        if (!request.has_read_chain() || world.truth().chains.size() > 0) return false;
        world.AnswerError(node, request, Code::kNotFound, "CHAIN_NOT_FOUND");
        return true;
      };
    }
  }
  world.Run(seconds(35));
  int empty = 0;
  CHECK(Bodies(world.result(call), 0, &empty).empty());
  CHECK(empty == 3);
  Writer writer(world, Id(1));
  writer.Append(1);
  world.Run(seconds(1));
  CHECK(Bodies(world.result(call), 0).size() == 1);
  CHECK_FALSE(world.ended(call));
}

TEST_CASE("a watch ends when its chain or its zone is deleted") {
  RouterWorld world(3);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  Writer writer(world, Id(1));
  writer.Append(2);
  const CallId call = world.Call(Watch(Id(1)), seconds(3600));
  world.Run(milliseconds(50));
  SECTION("the chain") {
    v1::ChainsDeleteRequest remove;
    remove.set_zone("shop");
    remove.set_chain(Id(1).str());
    CHECK(world.Do(remove).end->code() == 0);
    CHECK(ReasonOf(*world.Finish(call).end) == "CHAIN_DELETED");
    CHECK(world.result(call).end->code() == static_cast<int>(Code::kNotFound));
  }
  SECTION("the zone") {
    world.truth().zones.erase("shop");
    world.truth().deleted_zones.insert(zone.str());
    CHECK(ReasonOf(*world.Finish(call).end) == "ZONE_UNKNOWN");
  }
  CHECK(Bodies(world.result(call), 0).size() == 2);
}

TEST_CASE("entries that do not continue what was delivered end the watch, and are not delivered") {
  RouterWorld world(1);
  const ZoneId zone = world.AddZone("shop");
  world.Settle();
  Writer writer(world, Id(1));
  writer.Append(2);
  const CallId call = world.Call(Watch(Id(1)), seconds(3600));
  world.Run(milliseconds(50));
  auto& chain = world.truth().chains[{zone.str(), Id(1).str()}];
  v1::Entry other;
  other.set_position(2);
  other.set_predecessor(std::string(32, 'z'));
  other.set_hash(std::string(32, 'y'));
  SECTION("another history") {
    chain.push_back(other);
    CHECK(ReasonOf(*world.Finish(call).end) == "CHAIN_REWRITTEN");
  }
  SECTION("a gap") {
    other.set_position(3);
    chain.push_back(other);
    CHECK(ReasonOf(*world.Finish(call).end) == "BAD_ANSWER");
  }
  CHECK(Bodies(world.result(call), 0).size() == 2);
}

TEST_CASE("a front that takes no more holds a watch back, without losing anything") {
  RouterWorld world(1);
  world.AddZone("shop");
  world.Settle();
  Writer writer(world, Id(1));
  writer.Append(1);
  const CallId call = world.Call(Watch(Id(1)), seconds(3600));
  world.Run(milliseconds(50));
  world.writable = false;
  writer.Append(20);
  world.Run(seconds(2));
  const std::size_t held = Bodies(world.result(call), 0).size();
  CHECK(held <= 4);  // what was asked for before
  world.writable = true;
  world.Run(seconds(1));
  CHECK(Bodies(world.result(call), 0).size() == 21);
}

TEST_CASE("watches survive failovers without loss or repetition") {
  for (int seed = 1; seed <= Rounds(20); ++seed) {
    INFO("seed " << seed);
    RouterWorld world(3, 4, static_cast<std::uint64_t>(seed));
    world.AddZone("shop");
    world.Settle();
    Random random(static_cast<std::uint64_t>(seed) * 31);
    std::vector<Writer> writers;
    std::vector<std::vector<CallId>> watches(4);
    for (int c = 0; c < 4; ++c) writers.emplace_back(world, Id(c));
    constexpr std::size_t kNobody = 99;
    std::size_t dead = kNobody;
    for (int step = 0; step < 150; ++step) {
      const std::size_t c = random.Below(4);
      if (random.Chance(1, 8)) watches[c].push_back(world.Call(Watch(Id(static_cast<int>(c))), seconds(36000)));
      if (random.Chance(1, 12) && dead == kNobody) {
        const std::size_t gone = dead = random.Below(3);
        if (random.Chance(1, 2)) {
          world.Kill(gone);
        } else {  // hangs, with its links up
          world.node(gone).silent = true;
        }
        world.At(world.now() + milliseconds(random.Below(200)), [&world, gone] { world.FailOver(gone); });
        world.Run(milliseconds(random.Below(250)));
      } else if (random.Chance(1, 8) && dead != kNobody) {
        world.Run(milliseconds(250));
        const auto back = static_cast<cluster::MemberIndex>(dead);
        world.node(dead).silent = false;
        world.Start(dead);
        world.Decide([back](cluster::Layout& next) {
          for (auto& group : next.partitions) {
            if (!group.InGoal(back) || group.InSync(back)) continue;
            group.in_sync = group.goal;
            std::sort(group.in_sync.begin(), group.in_sync.end());
            group.primary = group.goal[0];
          }
        });
        dead = kNobody;
      }
      writers[c].Append(1 + static_cast<int>(random.Below(5)));
    }
    world.Run(seconds(30));
    for (std::size_t c = 0; c < 4; ++c) {
      for (const CallId call : watches[c]) {
        CHECK_FALSE(world.ended(call));
        const auto bodies = Bodies(world.result(call), 0);
        REQUIRE(bodies.size() == writers[c].length());
        for (std::size_t i = 0; i < bodies.size(); ++i) REQUIRE(bodies[i] == "e" + std::to_string(i));
      }
    }
  }
}
