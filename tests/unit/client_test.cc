// The client against routers that fail on command.
#include "client/client.h"

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "cluster/sha256.h"
#include "tests/test_support.h"
#include "unit/client_fake_router.h"
#include "unit/slowness.h"

namespace coffer::client {
namespace {

using std::chrono::milliseconds;
using test::FakeCluster;
using test::FakeRouter;
using test::Fault;
using test::RpcError;

BlockId Id(const std::string& text) {
  return BlockId::Must(Sha256({text}).view());
}
CallOptions Within(int ms) {
  CallOptions o;
  o.timeout = milliseconds(ms);
  return o;
}

struct World {
  std::shared_ptr<FakeCluster> cluster = std::make_shared<FakeCluster>();
  std::vector<std::unique_ptr<FakeRouter>> routers;
  std::unique_ptr<Client> client;

  explicit World(int count = 1, std::function<void(ClientOptions&)> change = {}) {
    ClientOptions options;
    options.routers.clear();
    for (int i = 0; i < count; ++i) {
      routers.push_back(std::make_unique<FakeRouter>(cluster));
      options.routers.push_back(routers.back()->address());
    }
    if (change) change(options);
    client = Client::Connect(options);
  }
  FakeRouter& router(int i = 0) { return *routers[static_cast<std::size_t>(i)]; }
};

TEST_CASE("chunks: put, get, has, delete") {
  World w;
  const BlockId id = Id("a");
  auto put = w.client->Put(id, "hello").Get();
  REQUIRE(put.ok());
  CHECK_FALSE(put->already_existed);
  CHECK(w.client->Put(id, "hello").Get()->already_existed);
  CHECK(w.client->Get(id).Get()->data == "hello");
  const auto part = w.client->Get(id, {}, 1, 3).Get();
  CHECK(part->data == "ell");
  CHECK(part->total_size == 5);
  CHECK(w.client->Has({id, Id("b")}).Get().value == std::vector<bool>{true, false});
  const auto other = w.client->Put(id, "other").Get();
  CHECK(other.status.code == Code::kAlreadyExists);
  CHECK(other.status.retry_class == RetryClass::kFailed);
  CHECK(other.status.reason == "CHUNK_EXISTS");
  CHECK(w.client->Delete(id).Get().ok());
  CHECK(w.client->Delete(id).Get().ok());
  CHECK(w.client->Get(id).Get().status.code == Code::kNotFound);
  CHECK(w.client->Put(id, "hello").Get().status.reason == "CHUNK_DELETED");
  CHECK(w.client->Delete(Id("never")).Get().status.code == Code::kNotFound);
  CHECK(w.client->Get(id, {}, 0, 0).Get().status.retry_class == RetryClass::kFailed);
}

TEST_CASE("many chunks at once, each with its own result") {
  World w;
  auto put = w.client->PutMany({{Id("1"), "one"}, {Id("2"), std::string(5u << 20, 'x')}, {Id("3"), ""}}).Get();
  REQUIRE(put.ok());
  REQUIRE(put->size() == 3);
  CHECK((*put)[0].ok());
  CHECK((*put)[1].status.code == Code::kInvalidArgument);
  CHECK((*put)[1].status.message.find("4194304") != std::string::npos);
  CHECK((*put)[2].ok());
  const auto got = w.client->GetMany({Id("1"), Id("2"), Id("3")}).Get();
  REQUIRE(got.ok());
  CHECK(got.value[0].value == "one");
  CHECK(got.value[1].status.code == Code::kNotFound);
  CHECK(got.value[2].ok());
}

TEST_CASE("an unknown zone and a refused argument are definite") {
  World w;
  CallOptions o;
  o.zone = "nowhere";
  const auto r = w.client->Put(Id("a"), "x", o).Get();
  CHECK(r.status.code == Code::kNotFound);
  CHECK(r.status.reason == "ZONE_UNKNOWN");
  CHECK(r.status.retry_class == RetryClass::kFailed);
  CHECK(w.client->Call("coffer.v1.Nothing/Here", "", Effect::kRead).Get().status.code == Code::kUnimplemented);
}

TEST_CASE("an entry's hash, as another implementation computes it") {
  std::string chain;
  for (int i = 0; i < 32; ++i) chain.push_back(static_cast<char>(i));
  const Digest predecessor = Digest::Must(std::string(32, '\xaa'));
  CHECK(Hex(EntryHash(BlockId::Must(chain), 0x0102030405060708, predecessor, "sig", "body").view()) ==
        "2f5e209d9a46a10c775fc27f619d6a01bde8669f493255f225e15a73e7bf3e90");
}

TEST_CASE("chains: append, conflict, repeat, read, head, delete") {
  World w;
  const BlockId chain = Id("chain");
  auto first = w.client->Append(chain, 0, {}, {{"a", ""}, {"b", "sig"}}).Get();
  REQUIRE(first.ok());
  CHECK(first->head.length == 2);
  // The hashes are those the header promises.
  const Digest h0 = EntryHash(chain, 0, {}, "", "a");
  const Digest h1 = EntryHash(chain, 1, h0, "sig", "b");
  CHECK(first->head.hash == h1);
  CHECK(w.client->Append(chain, 0, {}, {{"a", ""}, {"b", "sig"}}).Get()->already_existed);
  const auto conflict = w.client->Append(chain, 0, {}, {{"z", ""}}).Get();
  CHECK(conflict.status.code == Code::kAborted);
  REQUIRE(conflict.status.conflict);
  CHECK(conflict.status.conflict->length == 2);
  CHECK(conflict.status.conflict->hash == h1.str());
  for (int i = 0; i < 5; ++i) REQUIRE(w.client->AppendLast(chain, {{"n" + std::to_string(i), ""}}).Get().ok());
  const auto all = w.client->Read(chain, Part::Range(0)).Get();
  REQUIRE(all.ok());
  REQUIRE(all->entries.size() == 7);
  CHECK(all->head.length == 7);
  for (std::size_t i = 0; i < 7; ++i) CHECK(all->entries[i].position == i);
  CHECK(w.client->Read(chain, Part::Last(3).Backwards()).Get()->entries.front().body == "n4");
  CHECK(w.client->Read(chain, Part::First(2)).Get()->entries.size() == 2);
  CHECK(w.client->Read(chain, Part::Range(1, 3)).Get()->entries.front().body == "b");
  CallOptions local;
  local.local = true;
  CHECK(w.client->Read(chain, Part::First(1), local).Get()->staleness == milliseconds(1200));
  const auto heads = w.client->Heads({chain, Id("none")}).Get();
  CHECK(heads.value[0].length == 7);
  CHECK(heads.value[1].length == 0);
  const auto many = w.client->ReadMany({{chain, Part::First(1)}, {Id("none"), Part::First(1)}}).Get();
  CHECK(many.value[0].ok());
  CHECK(many.value[1].status.code == Code::kNotFound);
  CHECK(w.client->DeleteChain(chain).Get().ok());
  CHECK(w.client->Read(chain, Part::First(1)).Get().status.code == Code::kNotFound);
}

TEST_CASE("writers that append wherever the chain ends all get through") {
  World w;
  const BlockId chain = Id("busy");
  std::vector<Future<AppendResult>> futures;
  for (int i = 0; i < 40; ++i) futures.push_back(w.client->AppendLast(chain, {{std::to_string(i), ""}}));
  for (auto& f : futures) REQUIRE(f.Get().ok());
  const auto all = w.client->Read(chain, Part::Range(0)).Get();
  REQUIRE(all->entries.size() == 40);
  std::set<std::string> bodies;
  for (const Entry& e : all->entries) bodies.insert(e.body);
  CHECK(bodies.size() == 40);
}

TEST_CASE("zones: create, list over pages, delete") {
  World w;
  for (const char* name : {"a", "b", "c", "d"}) REQUIRE(w.client->CreateZone(name).Get().ok());
  std::vector<std::string> names;
  std::string token;
  do {
    const auto page = w.client->ListZones(token).Get();
    REQUIRE(page.ok());
    for (const ZoneInfo& z : page->zones) names.push_back(z.name);
    token = page->next_page_token;
  } while (!token.empty());
  CHECK(names == std::vector<std::string>{"a", "b", "c", "d", "default"});
  CHECK(w.client->CreateZone("a").Get().status.code == Code::kAlreadyExists);
  CHECK(w.client->CreateZone("NO").Get().status.code == Code::kInvalidArgument);
  CHECK(w.client->DeleteZone("a").Get().ok());
  CHECK(w.client->DeleteZone("a").Get().status.code == Code::kNotFound);
}

TEST_CASE("what is queued while a frame is written travels in few frames") {
  World w;
  REQUIRE(w.client->Put(Id("warm"), "up").Get().ok());
  const int before = w.router().frames();
  std::vector<Future<PutResult>> futures;
  for (int i = 0; i < 2000; ++i) futures.push_back(w.client->Put(Id(std::to_string(i)), std::to_string(i)));
  for (auto& f : futures) REQUIRE(f.Get().ok());
  CHECK(w.router().frames() - before < 1000);
}

TEST_CASE("passing troubles are retried until success") {
  World w;
  google::rpc::Status busy = RpcError(14, "not now");
  w.router().Inject("coffer.v1.Chunks/Put", {{Fault::Kind::kReply, busy}, {Fault::Kind::kReply, busy}});
  const std::string large(20'000, 'x');  // is lent to the connection, not copied
  CHECK(w.client->Put(Id("a"), large).Get().ok());
  CHECK(w.router().calls() == 3);
  w.router().Inject("coffer.v1.Chunks/Get", {{Fault::Kind::kReply, busy}, {Fault::Kind::kKill, {}}});
  CHECK(w.client->Get(Id("a")).Get()->data == large);
}

TEST_CASE("a put whose answer was lost succeeds when it is repeated, and acts once") {
  World w;
  w.router().Inject("coffer.v1.Chunks/Put", {{Fault::Kind::kApplyKill, {}}});
  const std::string large(20'000, 'x');
  const auto r = w.client->Put(Id("a"), large).Get();
  REQUIRE(r.ok());
  CHECK(r->already_existed);
  CHECK(w.client->Get(Id("a")).Get()->data == large);
}

TEST_CASE("a zone whose creation or deletion was done and not answered is not found to be somebody else's") {
  World w;
  w.router().Inject("coffer.v1.Zones/Create", {{Fault::Kind::kApplyKill, {}}, {Fault::Kind::kApplySwallow, {}}});
  const auto made = w.client->CreateZone("a").Get();
  REQUIRE(made.ok());
  CHECK(w.cluster->zones["a"] == made->id);
  CHECK(w.client->CreateZone("a").Get().status.reason == "ZONE_EXISTS");
  w.router().Inject("coffer.v1.Zones/Delete", {{Fault::Kind::kApplyKill, {}}});
  CHECK(w.client->DeleteZone("a").Get().ok());
  CHECK(w.client->DeleteZone("a").Get().status.reason == "ZONE_UNKNOWN");
}

TEST_CASE("an append whose answer was lost succeeds when it is repeated, and acts once") {
  World w;
  w.router().Inject("coffer.v1.Chains/Append", {{Fault::Kind::kApplyKill, {}}});
  const auto r = w.client->Append(Id("c"), 0, {}, {{"x", ""}}).Get();
  REQUIRE(r.ok());
  CHECK(r->already_existed);
  CHECK(w.client->Heads({Id("c")}).Get().value[0].length == 1);
}

TEST_CASE("a write that nobody answers is of unknown outcome, a read is for later") {
  World w;
  w.router().InjectAlways("coffer.v1.Chunks/Put", {Fault::Kind::kApplySwallow, {}});
  const auto put = w.client->Put(Id("a"), "x", Within(200)).Get();
  CHECK(put.status.retry_class == RetryClass::kOutcomeUnknown);
  CHECK(put.status.code == Code::kDeadlineExceeded);
  w.router().InjectAlways("coffer.v1.Chunks/Get", {Fault::Kind::kSwallow, {}});
  CHECK(w.client->Get(Id("a"), Within(200)).Get().status.retry_class == RetryClass::kRetryLater);
}

TEST_CASE("a definite refusal after a lost attempt leaves the outcome unknown") {
  World w;
  w.router().Inject("coffer.v1.Chunks/Delete", {{Fault::Kind::kKill, {}}});
  const auto r = w.client->Delete(Id("never there")).Get();
  CHECK(r.status.code == Code::kNotFound);
  CHECK(r.status.retry_class == RetryClass::kOutcomeUnknown);
  // But other bytes under the id settle it.
  REQUIRE(w.client->Put(Id("a"), "first").Get().ok());
  w.router().Inject("coffer.v1.Chunks/Put", {{Fault::Kind::kKill, {}}});
  CHECK(w.client->Put(Id("a"), "second").Get().status.retry_class == RetryClass::kFailed);
}

TEST_CASE("a write that may act twice is sent once") {
  World w;
  w.router().Inject("coffer.v1.Cluster/Apply", {{Fault::Kind::kApplyKill, {}}});
  const auto r = w.client->Call("coffer.v1.Cluster/Apply", "", Effect::kOnce).Get();
  CHECK(r.status.retry_class == RetryClass::kOutcomeUnknown);
  CHECK(w.router().calls() == 1);
}

TEST_CASE("another router takes over") {
  World w(2);
  REQUIRE(w.client->Put(Id("a"), "x").Get().ok());
  const int used = w.router(0).calls() == 1 ? 0 : 1;
  SECTION("when one stops") {
    w.routers[static_cast<std::size_t>(used)].reset();
    for (int i = 0; i < 20; ++i) REQUIRE(w.client->Put(Id(std::to_string(i)), "x").Get().ok());
  }
  SECTION("when one is silent: reads are hedged") {
    w.router(used).InjectAlways("", {Fault::Kind::kSwallow, {}});
    const auto start = std::chrono::steady_clock::now();
    CHECK(w.client->Get(Id("a")).Get().ok());
    CHECK(std::chrono::steady_clock::now() - start < kSlowness * std::chrono::seconds(2));
    // The losing attempt is cancelled.
    CHECK(w.router(used).WaitFor([&] { return w.router(used).cancels() == 1; }));
  }
  SECTION("when one is silent: writes are repeated") {
    w.router(used).InjectAlways("", {Fault::Kind::kSwallow, {}});
    CHECK(w.client->Put(Id("b"), "x").Get().ok());
  }
}

TEST_CASE("a connection on which nothing is answered is replaced, also when no other attempt can be made") {
  World w(1, [](ClientOptions& o) { o.retry.patience = milliseconds(200); });
  const auto silent = Fault{Fault::Kind::kSwallow, {}};
  w.router().Inject("coffer.v1.Chunks/Put", {silent, silent, silent});
  REQUIRE(w.client->Put(Id("a"), "x", Within(60000)).Get().ok());
  CHECK(w.router().calls() >= 4);
}

TEST_CASE("no router: nothing was sent, so nothing is unknown") {
  std::string address;
  {
    FakeRouter gone(std::make_shared<FakeCluster>());
    address = gone.address();
  }
  ClientOptions options;
  options.routers = {address};
  SECTION("until the deadline") {
    auto client = Client::Connect(options);
    const auto r = client->Put(Id("a"), "x", Within(300)).Get();
    CHECK(r.status.code == Code::kUnavailable);
    CHECK(r.status.retry_class == RetryClass::kRetryLater);
    CHECK(r.status.message.find(address) != std::string::npos);
  }
  SECTION("or as long as the patience") {
    options.connect_patience = milliseconds(200);
    auto client = Client::Connect(options);
    const auto start = std::chrono::steady_clock::now();
    CHECK(client->Get(Id("a")).Get().status.reason == "UNREACHABLE");
    CHECK(std::chrono::steady_clock::now() - start < kSlowness * std::chrono::seconds(3));
  }
  SECTION("a router that appears in time serves the call") {
    auto client = Client::Connect(options);
    auto future = client->Put(Id("a"), "x");
    FakeRouter late(std::make_shared<FakeCluster>(), std::stoi(address.substr(address.rfind(':') + 1)));
    CHECK(future.Get().ok());
  }
}

TEST_CASE("requests under way are bounded") {
  World w(1, [](ClientOptions& o) { o.max_in_flight_bytes = 1000; });
  w.router().InjectAlways("coffer.v1.Chunks/Put", {Fault::Kind::kSwallow, {}});
  auto large = w.client->Put(Id("a"), std::string(5000, 'x'), Within(60000));  // alone: let through
  const auto second = w.client->Put(Id("b"), "y").Get();
  CHECK(second.status.code == Code::kResourceExhausted);
  CHECK(second.status.retry_class == RetryClass::kRetryLater);
  CHECK(second.status.reason == "CLIENT_QUEUE_FULL");
  large.Cancel();
  CHECK_FALSE(large.Get().ok());
  CHECK(w.client->in_flight_bytes() == 0);
}

TEST_CASE("cancelling ends an operation, and the router hears of it") {
  World w;
  REQUIRE(w.client->Put(Id("warm"), "up").Get().ok());
  w.router().InjectAlways("", {Fault::Kind::kSwallow, {}});
  auto get = w.client->Get(Id("a"), Within(60000));
  auto put = w.client->Put(Id("a"), "x", Within(60000));
  REQUIRE(w.router().WaitFor([&] { return w.router().calls() >= 3; }));
  get.Cancel();
  put.Cancel();
  CHECK(get.Get().status.code == Code::kCancelled);
  CHECK(get.Get().status.retry_class == RetryClass::kFailed);
  CHECK(put.Get().status.retry_class == RetryClass::kOutcomeUnknown);
  CHECK(w.router().WaitFor([&] { return w.router().cancels() >= 2; }));
}

TEST_CASE("destroying the client ends what is under way") {
  World w;
  w.router().InjectAlways("", {Fault::Kind::kSwallow, {}});
  auto put = w.client->Put(Id("a"), "x", Within(60000));
  auto follow_ended = std::make_shared<bool>(false);
  w.client->Watch(
      Id("c"), 0, {}, [](auto) {}, [follow_ended](Result<Done>) { *follow_ended = true; });
  w.client.reset();
  CHECK(put.Ready());
  CHECK_FALSE(put.Get().ok());
  CHECK(*follow_ended);
}

TEST_CASE("bad options are refused with words") {
  ClientOptions options;
  for (const char* bad : {"", "host", ":7700", "host:", "host:port", "host:99999", "host:0"}) {
    options.routers = {bad};
    INFO(bad);
    CHECK_THROWS_WITH(Client::Connect(options), Catch::Contains("host:port"));
  }
  options.routers = {};
  CHECK_THROWS(Client::Connect(options));
  options.routers = {"127.0.0.1:7700"};
  options.tls_ca = "/does/not/exist";
  CHECK_THROWS_WITH(Client::Connect(options), Catch::Contains("/does/not/exist"));
}

// Collects what a watch delivers.
struct Watched {
  std::mutex lock;
  std::condition_variable changed;
  std::vector<Entry> entries;
  std::optional<Result<Done>> end;

  bool WaitFor(const std::function<bool()>& condition) {
    std::unique_lock<std::mutex> guard(lock);
    return changed.wait_for(guard, std::chrono::seconds(10), condition);
  }
  std::vector<Entry> Entries() {
    std::lock_guard<std::mutex> guard(lock);
    return entries;
  }
};

TEST_CASE("a watch delivers each entry once and in order over failures") {
  World w(2);
  const BlockId chain = Id("live");
  REQUIRE(w.client->Append(chain, 0, {}, {{"0", ""}, {"1", ""}}).Get().ok());
  Watched seen;
  const Ticket ticket = w.client->Watch(
      chain, 0, {},
      [&](std::vector<Entry> fresh) {
        std::lock_guard<std::mutex> guard(seen.lock);
        for (Entry& e : fresh) seen.entries.push_back(std::move(e));
        seen.changed.notify_all();
      },
      [&](Result<Done> end) {
        std::lock_guard<std::mutex> guard(seen.lock);
        seen.end = std::move(end);
        seen.changed.notify_all();
      });
  REQUIRE(seen.WaitFor([&] { return seen.entries.size() == 2; }));
  for (int round = 0; round < 5; ++round) {
    REQUIRE(w.client->AppendLast(chain, {{std::to_string(round + 2), ""}}).Get().ok());
    // The watch meets a broken stream each time and has to come back for the rest.
    for (auto& r : w.routers) r->KillStreams();
    REQUIRE(seen.WaitFor([&] { return seen.entries.size() == static_cast<std::size_t>(round) + 3; }));
  }
  const std::vector<Entry> first = seen.Entries();
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(first[i].body == std::to_string(i));
  // It came back asking for what it lacks only; and what is sent twice all the same is delivered once.
  int asked = 0;
  for (auto& r : w.routers) {
    r->Push("coffer.v1.Chains/Watch", [&](const std::string& request) {
      v1::WatchRequest wanted;
      REQUIRE(wanted.ParseFromString(request));
      CHECK(wanted.from() >= 6);
      ++asked;
      v1::WatchResponse again;
      std::lock_guard<std::mutex> guard(w.cluster->lock);
      for (const v1::Entry& e : w.cluster->chains["default"][chain.str()].entries) *again.add_entries() = e;
      v1::Entry& next = *again.add_entries();
      next.set_position(7);
      next.set_body("7");
      return again.SerializeAsString();
    });
  }
  CHECK(asked == 1);
  REQUIRE(seen.WaitFor([&] { return seen.entries.size() >= 8; }));
  CHECK(seen.Entries().size() == 8);
  CHECK(seen.Entries().back().body == "7");
  SECTION("until it is cancelled") {
    ticket.Cancel();
    REQUIRE(seen.WaitFor([&] { return seen.end.has_value(); }));
    CHECK(seen.end->status.code == Code::kCancelled);
  }
  SECTION("until the chain is deleted") {
    for (auto& r : w.routers) r->EndStreams("coffer.v1.Chains/Watch", RpcError(5, "the chain was deleted"));
    REQUIRE(seen.WaitFor([&] { return seen.end.has_value(); }));
    CHECK(seen.end->status.code == Code::kNotFound);
  }
}

TEST_CASE("a stream that falls silent is opened anew") {
  World w;
  std::atomic<int> messages{0};
  const Ticket ticket = w.client->Follow(
      "coffer.v1.Cluster/WatchStatus", [] { return std::string(); }, milliseconds(100),
      [&](std::string) { ++messages; }, [](Result<Done>) {});
  CHECK(w.router().WaitFor([&] { return messages >= 3; }));
  ticket.Cancel();
}

TEST_CASE("large and small values mix") {
  World w;
  const std::string large(4u << 20, 'L');
  std::vector<Future<PutResult>> futures;
  for (int i = 0; i < 8; ++i) futures.push_back(w.client->Put(Id("L" + std::to_string(i)), large));
  for (int i = 0; i < 100; ++i) futures.push_back(w.client->Put(Id("s" + std::to_string(i)), "s"));
  for (auto& f : futures) CHECK(f.Get().ok());
  CallOptions bulk;
  bulk.bulk = true;
  CHECK(w.client->Get(Id("L3"), bulk).Take().value.data == large);
}

}  // namespace
}  // namespace coffer::client
