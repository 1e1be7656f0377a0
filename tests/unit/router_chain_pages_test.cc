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

TEST_CASE("a page that says there is no more before the range ends is believed of a copy that may be behind only") {
  const bool packed = GENERATE(false, true);
  const bool local = GENERATE(false, true);
  CAPTURE(packed, local);
  RouterWorld world(3);
  world.AddZone("shop");
  world.Settle();
  REQUIRE(world.Do(Append("shop", Id(1), 0, {"a", "b", "c"})).end->code() == 0);
  wire::ChainResult chain;
  chain.set_complete(true);
  chain.mutable_head()->set_length(3);
  chain.mutable_head()->set_hash(Digest().str());
  std::string body = "a";
  if (packed) {
    v1::ReadResponse entries;
    entries.add_entries()->set_body("a");
    body = entries.SerializeAsString();
    chain.mutable_packed()->set_count(1);
  } else {
    chain.add_entries()->set_position(0);
  }
  world.AnswerChainReads(chain, {std::make_shared<const std::string>(body)});
  v1::ReadRequest read = ReadAll({1});
  if (local) read.set_consistency(v1::CONSISTENCY_LOCAL);
  const auto& result = world.Do(read);
  CHECK(result.end->code() == (local ? 0 : static_cast<int>(Code::kInternal)));
  CHECK(BodiesOf(result, 0).size() == (local ? 1u : 0u));
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
