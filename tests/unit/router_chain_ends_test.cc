// The ends of chains that a router keeps: used only when a node says that the chain still ends there, and never too many.
#include "router/core/chain_ends.h"

#include "router_world.h"
#include "test_support.h"

namespace coffer::router {
namespace {

class World : public RouterWorld {
 public:
  explicit World(RouterCoreConfig config = {}) : RouterWorld(3, 12, 1, std::move(config)) {
    truth().packs = true;
    AddZone("shop");
    Settle();
  }
  void Grow(std::vector<std::string> bodies) {
    const auto& result = Do(Append("shop", Id(1), length_, bodies, predecessor_));
    REQUIRE(result.end->code() == 0);
    v1::AppendResponse response;
    REQUIRE(response.ParseFromString(result.responses.at(0)));
    length_ += bodies.size();
    predecessor_ = response.head().hash();
  }
  v1::ReadRequest Last(std::uint64_t n) {
    v1::ReadRequest read;
    read.set_zone("shop");
    auto* query = read.add_queries();
    query->set_chain(Id(1).str());
    query->set_last(n);
    return read;
  }
  // The bodies; `error`: the query fails.
  std::vector<std::string> Read(const v1::ReadRequest& read, bool error = false) {
    for (std::size_t i = 0; i < size(); ++i) node(i).got.clear();
    const auto& result = Do(read);
    std::vector<std::string> bodies;
    for (const std::string& bytes : result.responses) {
      v1::ReadResponse page;
      REQUIRE(page.ParseFromString(bytes));
      CHECK((page.status().code() != 0) == error);
      if (page.status().code() == 0) CHECK(page.head().length() == length_);
      for (const auto& entry : page.entries()) bodies.push_back(entry.body());
    }
    return bodies;
  }
  // Whether a node was told in the last Read that the router has the end as of this length.
  bool Told(std::uint64_t length) {
    for (std::size_t i = 0; i < size(); ++i) {
      for (const auto& request : node(i).got) {
        if (request.has_read_chain() && request.read_chain().has_known()) return request.read_chain().known().length() == length;
      }
    }
    return false;
  }

 private:
  std::uint64_t length_ = 0;
  std::string predecessor_;
};

using Bodies = std::vector<std::string>;

TEST_CASE("the end of a chain that was read is not sent again while the chain ends there") {
  World world;
  world.Grow({"a", "b", "c"});
  CHECK(world.Read(world.Last(2)) == Bodies{"b", "c"});
  CHECK_FALSE(world.Told(3));
  for (int i = 0; i < 2; ++i) {
    CHECK(world.Read(world.Last(2)) == Bodies{"b", "c"});
    CHECK(world.Told(3));
  }
  world.Grow({"d"});
  CHECK(world.Read(world.Last(2)) == Bodies{"c", "d"});
  CHECK(world.Told(3));
  CHECK(world.Read(world.Last(2)) == Bodies{"c", "d"});
  CHECK(world.Told(4));
}

TEST_CASE("what is kept of a chain answers only who asks for the same part") {
  World world;
  world.Grow({"a", "b", "c"});
  CHECK(world.Read(world.Last(2)) == Bodies{"b", "c"});
  CHECK(world.Read(world.Last(3)) == Bodies{"a", "b", "c"});
  CHECK_FALSE(world.Told(3));
  auto backwards = world.Last(2);
  backwards.mutable_queries(0)->set_backwards(true);
  CHECK(world.Read(backwards) == Bodies{"c", "b"});
  CHECK_FALSE(world.Told(3));
  auto local = world.Last(2);
  local.set_consistency(v1::CONSISTENCY_LOCAL);
  CHECK(world.Read(local) == Bodies{"b", "c"});
  CHECK_FALSE(world.Told(3));
  CHECK(world.Read(world.Last(100)) == Bodies{"a", "b", "c"});
  CHECK(world.Read(world.Last(100)) == Bodies{"a", "b", "c"});
  CHECK(world.Told(3));
}

TEST_CASE("an end that comes in several pages is not kept, for no page holds it") {
  World world;
  Bodies bodies;
  for (int i = 0; i < 10; ++i) bodies.push_back("e" + std::to_string(i));  // more than a page of the fake nodes
  world.Grow(bodies);
  for (int i = 0; i < 3; ++i) {
    CHECK(world.Read(world.Last(10)) == bodies);
    CHECK_FALSE(world.Told(10));
  }
}

TEST_CASE("a deleted chain is gone, whatever is kept of it") {
  World world;
  world.Grow({"a"});
  CHECK(world.Read(world.Last(1)) == Bodies{"a"});
  v1::ChainsDeleteRequest chain;
  chain.set_zone("shop");
  chain.set_chain(Id(1).str());
  REQUIRE(world.Do(chain).end->code() == 0);
  CHECK(world.Read(world.Last(1), true).empty());
}

TEST_CASE("a node that says unchanged of another head, or unasked, is not believed") {
  World world;
  world.Grow({"a", "b"});
  const bool asked = GENERATE(false, true);
  if (asked) CHECK(world.Read(world.Last(1)) == Bodies{"b"});
  wire::ChainResult chain;
  chain.set_complete(true);
  chain.set_unchanged(true);
  chain.mutable_head()->set_length(GENERATE(2u, 3u));
  chain.mutable_head()->set_hash(std::string(Digest::kSize, 'h'));
  world.AnswerChainReads(chain, {});
  const auto& result = world.Do(world.Last(1));
  CHECK(result.end->code() == static_cast<int>(Code::kInternal));
  CHECK(result.responses.empty());
}

TEST_CASE("ends are counted, and leave with their zone or the cache") {
  World world;
  world.Grow({"a", "b"});
  const auto counters = [&] { return world.core().Counters().chain_ends; };
  CHECK(world.Read(world.Last(1)) == Bodies{"b"});
  CHECK(world.Read(world.Last(2)) == Bodies{"a", "b"});
  CHECK(counters().ends == 2);
  CHECK(counters().asked == 0);
  CHECK(world.Read(world.Last(1)) == Bodies{"b"});
  world.Grow({"c"});
  CHECK(world.Read(world.Last(1)) == Bodies{"c"});
  CHECK(counters().asked == 2);
  CHECK(counters().used == 1);
  if (GENERATE(false, true)) {
    v1::ControlCacheRequest clear;
    clear.set_clear(true);
    REQUIRE(world.Do(clear).end->code() == 0);
  } else {
    v1::ZonesDeleteRequest remove;
    remove.set_name("shop");
    REQUIRE(world.Do(remove).end->code() == 0);
  }
  CHECK(counters().ends == 0);
  CHECK(counters().bytes == 0);
}

TEST_CASE("a zone's ends leave, others stay") {
  ChainEnds ends(1'000'000);
  const auto zone = [](std::uint8_t n) {
    ZoneId id;
    id.bytes[0] = n;
    return id;
  };
  for (std::uint8_t n = 1; n <= 3; ++n) {
    for (int chain = 0; chain < 5; ++chain) ends.Keep({zone(n), Id(chain), 5}, {1, Digest{}, 0, std::make_shared<const std::string>("x")});
  }
  ends.RemoveZone(zone(2));
  CHECK(ends.Counters().ends == 10);
  CHECK(ends.Find({zone(1), Id(4), 5}));
  CHECK_FALSE(ends.Find({zone(2), Id(0), 5}));
  CHECK(ends.Find({zone(3), Id(0), 5}));
}

TEST_CASE("without a cache no ends are kept") {
  RouterCoreConfig config;
  config.cache.bytes = 0;
  World world(config);
  world.Grow({"a"});
  for (int i = 0; i < 2; ++i) {
    CHECK(world.Read(world.Last(1)) == Bodies{"a"});
    CHECK_FALSE(world.Told(1));
  }
}

TEST_CASE("ends stay within their bytes, and what was not read for longest goes") {
  const auto key = [](int n) { return ChainEnds::Key{ZoneId{}, Id(n), 5}; };
  const auto end = [](std::uint64_t length, std::size_t size) {
    return ChainEnds::End{length, Digest{}, 0, std::make_shared<const std::string>(size, 'x')};
  };
  ChainEnds ends(10'000);
  for (int n = 0; n < 100; ++n) {
    ends.Keep(key(n), end(1, 1'000));
    REQUIRE(ends.Find(key(0)));
    CHECK(ends.Counters().bytes <= 10'000);
  }
  CHECK_FALSE(ends.Find(key(50)));
  CHECK(ends.Find(key(99)));
  // A later end takes the place of the earlier, one that is too large that of none.
  const std::uint64_t before = ends.Counters().bytes;
  ends.Keep(key(99), end(2, 1'000));
  CHECK(ends.Counters().bytes == before);
  CHECK(ends.Find(key(99))->length == 2);
  ends.Keep(key(98), end(2, 20'000));
  CHECK_FALSE(ends.Find(key(98)));
  CHECK(ends.Find(key(99)));
  ends.Clear();
  CHECK_FALSE(ends.Find(key(99)));
  CHECK(ends.Counters().bytes == 0);
}

}  // namespace
}  // namespace coffer::router
