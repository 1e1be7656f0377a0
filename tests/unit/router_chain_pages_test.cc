// Reading chains page by page, through RouterCore: what is asked for, and what is not taken for an answer.
#include "router_world.h"

#include "router/core/errors.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

std::vector<std::string> Numbered(const std::string& name, int count) {
  std::vector<std::string> bodies;
  for (int i = 0; i < count; ++i) bodies.push_back(name + std::to_string(i));
  return bodies;
}

// All of these chains, a query each.
v1::ReadRequest ReadAll(const std::vector<int>& chains) {
  v1::ReadRequest read;
  read.set_zone("shop");
  for (const int chain : chains) {
    read.add_queries()->set_chain(Id(chain).str());
    read.mutable_queries()->rbegin()->mutable_range()->set_from(0);
  }
  return read;
}

// The bodies that came of a query.
std::vector<std::string> BodiesOf(const RouterWorld::Result& result, std::uint32_t query) {
  std::vector<std::string> bodies;
  for (const std::string& bytes : result.responses) {
    v1::ReadResponse page;
    REQUIRE(page.ParseFromString(bytes));
    if (page.index() != query) continue;
    for (const auto& entry : page.entries()) bodies.push_back(entry.body());
  }
  return bodies;
}

}  // namespace

TEST_CASE("several queries of several chains are read in order, page by page") {
  const bool packed = GENERATE(false, true);
  CAPTURE(packed);
  RouterWorld world(3);
  world.truth().packs = packed;
  world.AddZone("shop");
  world.Settle();
  std::vector<std::string> bodies;
  for (int i = 0; i < 10; ++i) bodies.push_back("e" + std::to_string(i));
  REQUIRE(world.Do(Append("shop", Id(1), 0, bodies)).end->code() == 0);
  REQUIRE(world.Do(Append("shop", Id(2), 0, {"only"})).end->code() == 0);
  v1::ReadRequest read;
  read.set_zone("shop");
  std::vector<std::vector<int>> expected;
  auto query = [&](int chain, auto part, bool backwards, std::vector<int> positions) {
    auto* q = read.add_queries();
    q->set_chain(Id(chain).str());
    q->set_backwards(backwards);
    part(*q);
    expected.push_back(std::move(positions));
  };
  query(1, [](auto& q) { q.set_first(5); }, false, {0, 1, 2, 3, 4});
  query(1, [](auto& q) { q.set_last(5); }, false, {5, 6, 7, 8, 9});
  query(1, [](auto& q) { q.set_last(4); }, true, {9, 8, 7, 6});
  query(1, [](auto& q) { q.set_first(4); }, true, {3, 2, 1, 0});
  query(1, [](auto& q) { q.mutable_range()->set_from(2); q.mutable_range()->set_to(9); }, false, {2, 3, 4, 5, 6, 7, 8});
  query(1, [](auto& q) { q.mutable_range()->set_from(4); }, true, {9, 8, 7, 6, 5, 4});
  query(1, [](auto& q) { q.mutable_range()->set_from(50); }, false, {});
  query(2, [](auto& q) { q.set_last(100); }, false, {0});
  query(3, [](auto& q) { q.set_first(1); }, false, {});
  auto& result = world.Do(read);
  REQUIRE(result.end->code() == 0);
  std::vector<std::vector<int>> got(expected.size());
  std::size_t current = 0;
  for (const auto& bytes : result.responses) {
    v1::ReadResponse page;
    REQUIRE(page.ParseFromString(bytes));
    REQUIRE(page.index() == current);
    for (const auto& entry : page.entries()) {
      got[current].push_back(static_cast<int>(entry.position()));
      if (page.index() < 7) CHECK(entry.body() == "e" + std::to_string(entry.position()));
    }
    CHECK(page.status().code() == (current == 8 ? static_cast<int>(Code::kNotFound) : 0));
    if (page.complete()) ++current;
  }
  CHECK(current == expected.size());
  CHECK(got == expected);
}

TEST_CASE("packed entries that are not those asked for end the call") {
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Append("shop", Id(1), 0, {"a", "b", "c"})).end->code() == 0);
  const auto wrong = GENERATE(std::pair{0u, 2u}, std::pair{1u, 3u}, std::pair{1u, 0u});  // first position, count
  wire::ChainResult chain;
  chain.set_complete(true);
  chain.mutable_head()->set_length(3);
  chain.mutable_head()->set_hash(Digest().str());
  chain.mutable_packed()->set_first(wrong.first);
  chain.mutable_packed()->set_count(wrong.second);
  world.AnswerChainReads(chain, {std::make_shared<const std::string>()});
  v1::ReadRequest read;
  read.set_zone("shop");
  read.add_queries()->set_chain(Id(1).str());
  read.mutable_queries(0)->set_last(2);
  const auto& result = world.Do(read);
  CHECK(result.end->code() == static_cast<int>(Code::kInternal));
  CHECK(result.responses.empty());
}

// Every node's answers to reads of chain 1 from the second page on, until it returns false: then the truth.
void SpoilLaterPages(RouterWorld& world, const std::function<bool(wire::DataResponse*)>& spoil) {
  for (std::size_t i = 0; i < world.size(); ++i) {
    world.node(i).intercept = [&world, spoil](FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>&) {
      const auto& op = request.read_chain();
      if (!request.has_read_chain() || (op.range().from() == 0 && op.range().to() == 0)) return false;
      wire::DataResponse response;
      response.set_call(request.call());
      response.mutable_status();
      if (!spoil(&response)) return false;
      const std::size_t bodies = response.chain().has_packed() ? 1 : 0;
      world.Answer(node, std::move(response), std::vector<Payload>(bodies, std::make_shared<const std::string>()));
      return true;
    };
  }
}

// "There is nothing", in the middle of a chain of ten.
void SayNothing(wire::DataResponse* response) {
  auto* chain = response->mutable_chain();
  chain->set_complete(true);
  chain->mutable_head()->set_length(0);
  chain->mutable_head()->set_hash(Digest().str());
}

class LongChain {
 public:
  LongChain() : world(3), zone(world.AddZone("shop")) {
    world.truth().packs = GENERATE(false, true);
    world.Settle();
    REQUIRE(world.Do(Append("shop", Id(1), 0, Numbered("e", 10))).end->code() == 0);
  }
  RouterWorld world;
  ZoneId zone;
};

TEST_CASE("a page that brings nothing while more is due is asked for once more") {
  LongChain chain;
  RouterWorld& world = chain.world;
  int spoilt = 0;
  SECTION("what was read in between is whole") {
    SpoilLaterPages(world, [&](wire::DataResponse* response) {
      SayNothing(response);
      return spoilt++ % 2 == 0;
    });
    const auto& result = world.Do(ReadAll({1}));
    CHECK(result.end->code() == 0);
    CHECK(BodiesOf(result, 0) == Numbered("e", 10));
    CHECK(spoilt > 2);
  }
  SECTION("the chain was deleted meanwhile, and its entries were gone before the node looked for them") {
    SpoilLaterPages(world, [&](wire::DataResponse* response) {
      SayNothing(response);
      world.truth().deleted_chains.insert({chain.zone.str(), Id(1).str()});
      return spoilt++ == 0;
    });
    const auto& result = world.Do(ReadAll({1}));
    CHECK(result.end->code() == 0);
    v1::ReadResponse last;
    REQUIRE(last.ParseFromString(result.responses.back()));
    CHECK(ReasonOf(last.status()) == "CHAIN_DELETED");
  }
  SECTION("and no more than once") {
    SpoilLaterPages(world, [&](wire::DataResponse* response) {
      SayNothing(response);
      return ++spoilt > 0;
    });
    const auto& result = world.Do(ReadAll({1}));
    CHECK(ReasonOf(*result.end) == "CHAIN_ENDS_EARLY");
    CHECK(spoilt == 2);
    CHECK(BodiesOf(result, 0).size() == 3);  // what came is right
  }
  SECTION("as when a copy has not even got the chain") {
    SpoilLaterPages(world, [&](wire::DataResponse* response) {
      *response->mutable_status() = MakeError(Code::kNotFound, "CHAIN_NOT_FOUND", "told so by the test");
      return spoilt++ == 0;
    });
    const auto& result = world.Do(ReadAll({1}));
    CHECK(result.end->code() == 0);
    CHECK(BodiesOf(result, 0) == Numbered("e", 10));
  }
}

TEST_CASE("a copy that is behind ends a local read early, and skips nothing") {
  LongChain chain;
  RouterWorld& world = chain.world;
  v1::ReadRequest read = ReadAll({1});
  read.set_consistency(v1::CONSISTENCY_LOCAL);
  SECTION("forwards") {
    SpoilLaterPages(world, [](wire::DataResponse* response) {
      SayNothing(response);
      return true;
    });
    const auto& result = world.Do(read);
    CHECK(result.end->code() == 0);
    CHECK(BodiesOf(result, 0) == Numbered("e", 3));
  }
  SECTION("backwards") {
    read.mutable_queries(0)->set_backwards(true);
    SpoilLaterPages(world, [](wire::DataResponse* response) {  // has five entries only
      SayNothing(response);
      response->mutable_chain()->mutable_head()->set_length(5);
      response->mutable_chain()->mutable_packed()->set_first(4);
      response->mutable_chain()->mutable_packed()->set_count(5);
      return true;
    });
    const auto& result = world.Do(read);
    CHECK(ReasonOf(*result.end) == "CHAIN_ENDS_EARLY");
    CHECK(BodiesOf(result, 0).size() == 3);
  }
}

TEST_CASE("a read that met the end of its zone does not go on in another zone of that name") {
  RouterWorld world(3);
  const ZoneId old = world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Append("shop", Id(1), 0, Numbered("old", 10))).end->code() == 0);
  REQUIRE(world.Do(Append("shop", Id(2), 0, Numbered("old", 10))).end->code() == 0);
  const std::size_t longer = GENERATE(2u, 30u);  // the later chain ends before the read goes on there, or after
  world.writable = false;  // the first pages wait in the router
  const CallId call = world.Call(ReadAll({1, 2}));
  world.Run(milliseconds(50));
  world.truth().deleted_zones.insert(old.str());
  world.truth().zones.erase("shop");
  world.AddZone("shop");
  const auto bodies = Numbered("new", static_cast<int>(longer));
  world.writable = true;
  const auto later = world.Call(Append("shop", Id(1), 0, bodies));
  const auto& result = world.Finish(call);
  CHECK(world.Finish(later).end->code() == 0);
  CHECK(ReasonOf(*result.end) == "ZONE_DELETED");
  CHECK(CodeOf(*result.end) == Code::kNotFound);
  CHECK(result.ends == 1);
  for (const std::uint32_t query : {0u, 1u}) {
    for (const std::string& body : BodiesOf(result, query)) CHECK(body.substr(0, 3) == "old");
  }
  CHECK(BodiesOf(world.Do(ReadAll({1})), 0) == bodies);
}

TEST_CASE("queries of one read are answered of one zone") {
  RouterWorld world(3);
  const ZoneId old = world.AddZone("shop");
  world.Settle();
  for (int chain = 1; chain <= 6; ++chain) REQUIRE(world.Do(Append("shop", Id(chain), 0, {"old"})).end->code() == 0);
  world.writable = false;  // what is answered waits, and the last queries are not asked yet
  const CallId call = world.Call(ReadAll({1, 2, 3, 4, 5, 6}));
  world.Run(milliseconds(50));
  world.truth().deleted_zones.insert(old.str());
  world.truth().zones.erase("shop");
  const ZoneId fresh = world.AddZone("shop");
  for (int chain = 1; chain <= 6; ++chain) {
    world.truth().chains[{fresh.str(), Id(chain).str()}] = world.truth().chains[{old.str(), Id(chain).str()}];
  }
  world.writable = true;
  CHECK(ReasonOf(*world.Finish(call).end) == "ZONE_DELETED");
}

TEST_CASE("a read of which nothing came yet begins in the zone that has the name now") {
  RouterWorld world(3);
  const ZoneId old = world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Append("shop", Id(1), 0, Numbered("old", 10))).end->code() == 0);
  world.truth().deleted_zones.insert(old.str());
  world.truth().zones.erase("shop");
  const ZoneId fresh = world.AddZone("shop");
  world.truth().chains[{fresh.str(), Id(1).str()}] = world.truth().chains[{old.str(), Id(1).str()}];
  const auto& result = world.Do(ReadAll({1}));
  CHECK(result.end->code() == 0);
  CHECK(BodiesOf(result, 0) == Numbered("old", 10));
}
