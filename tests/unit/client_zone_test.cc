// Which zone a write of the client means (docs/decisions/0008-writes-name-their-zone.md).
#include "client/zone_ids.h"

#include "client/client.h"
#include "cluster/sha256.h"
#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/zones.pb.h"
#include "tests/test_support.h"
#include "unit/client_fake_router.h"

namespace coffer::client {
namespace {

using test::FakeCluster;
using test::FakeRouter;
using test::Fault;
using test::RpcError;

const std::string kFirst(16, 'a'), kLater(16, 'b');

BlockId Id(const std::string& text) { return BlockId::Must(Sha256({text}).view()); }

std::string PutInto(const std::string& zone) {
  v1::PutRequest put;
  put.set_zone(zone);
  put.set_data("bytes");
  return put.SerializeAsString();
}

std::string ZoneIdIn(const std::string& request) {
  v1::PutRequest put;
  REQUIRE(put.ParseFromString(request));
  REQUIRE(put.data() == "bytes");
  return put.zone_id();
}

Status Gone() { return Status::Failed(Code::kNotFound, "the zone was deleted", "ZONE_DELETED"); }

TEST_CASE("a write asks for its zone's id unless it is known, and names it") {
  ZoneIds known;
  ZoneStages stages("shop", Effect::kRepeatSafe);
  std::string request = PutInto("shop");
  stages.Begin(known, &request);
  REQUIRE(stages.resolving());
  CHECK(stages.effect() == Effect::kRead);
  v1::ZonesResolveResponse answer;
  answer.set_id(kFirst);
  const Responses responses{answer.SerializeAsString()};
  ZoneStages::End end{RetryClass::kOk, false, {}, &responses};
  REQUIRE(stages.Next(&end, &known));
  CHECK(known.Find("shop") == kFirst);
  stages.Begin(known, &request);
  CHECK_FALSE(stages.resolving());
  CHECK(stages.effect() == Effect::kRepeatSafe);
  CHECK(ZoneIdIn(request) == kFirst);
  ZoneStages next("shop", Effect::kRepeatSafe);
  std::string other = PutInto("shop");
  next.Begin(known, &other);
  CHECK(ZoneIdIn(other) == kFirst);
}

TEST_CASE("a write whose zone is gone goes into the zone that has the name now, and what may have happened before is not forgotten") {
  const RetryClass before = GENERATE(RetryClass::kFailed, RetryClass::kOutcomeUnknown);
  ZoneIds known;
  known.Remember("shop", kFirst);
  ZoneStages stages("shop", Effect::kRepeatSafe);
  std::string request = PutInto("shop");
  stages.Begin(known, &request);
  ZoneStages::End gone{before, false, Gone(), nullptr};
  REQUIRE(stages.Next(&gone, &known));
  CHECK(known.Find("shop").empty());
  stages.Begin(known, &request);
  REQUIRE(stages.resolving());

  SECTION("there is another") {
    known.Remember("shop", kLater);
    stages.Begin(known, &request);
    CHECK(ZoneIdIn(request) == kLater);
    ZoneStages::End done{};
    CHECK_FALSE(stages.Next(&done, &known));
    CHECK(done.retry_class == RetryClass::kOk);
  }
  SECTION("there is none") {
    ZoneStages::End none{RetryClass::kFailed, false, Status::Failed(Code::kNotFound, "no zone", "ZONE_UNKNOWN"), nullptr};
    CHECK_FALSE(stages.Next(&none, &known));
    CHECK(none.retry_class == before);
  }
  SECTION("there is no time left") {
    ZoneStages::End late{RetryClass::kRetryLater, true, {}, nullptr};
    CHECK_FALSE(stages.Next(&late, &known));
    CHECK(late.retry_class == (before == RetryClass::kFailed ? RetryClass::kRetryLater : before));
  }
}

TEST_CASE("an operation without a zone has one stage, and other failures are final") {
  ZoneIds known;
  std::string request = "as it is";
  ZoneStages read("", Effect::kRead);
  read.Begin(known, &request);
  CHECK_FALSE(read.resolving());
  CHECK(request == "as it is");
  ZoneStages::End gone{RetryClass::kFailed, false, Gone(), nullptr};
  CHECK_FALSE(read.Next(&gone, &known));

  known.Remember("shop", kFirst);
  ZoneStages write("shop", Effect::kRepeatSafe);
  request = PutInto("shop");
  write.Begin(known, &request);
  ZoneStages::End refused{RetryClass::kFailed, false, Status::Failed(Code::kAlreadyExists, "", "CHUNK_EXISTS"), nullptr};
  CHECK_FALSE(write.Next(&refused, &known));
  CHECK(known.Find("shop") == kFirst);
}

struct World {
  std::shared_ptr<FakeCluster> cluster = std::make_shared<FakeCluster>();
  FakeRouter router{cluster};
  std::unique_ptr<Client> client = Client::Connect({.routers = {router.address()}});
  int Calls(const std::string& method) {
    std::lock_guard guard(cluster->lock);
    return cluster->calls["coffer.v1." + method];
  }
  // Another zone has the name now.
  void Remake(const std::string& name) {
    std::lock_guard guard(cluster->lock);
    cluster->zones[name] = kLater;
  }
};

TEST_CASE("a request that stood still on its way does nothing in a later zone of that name") {
  World w;
  REQUIRE(w.client->Put(Id("a"), "x").Get().ok());
  REQUIRE(w.client->Append(Id("c"), 0, {}, {{"x", ""}}).Get().ok());
  CHECK(w.Calls("Zones/Resolve") == 1);
  w.Remake("default");
  for (const char* method : {"Put", "Append"}) {
    const std::string name = std::string("coffer.v1.") + (method[0] == 'P' ? "Chunks/" : "Chains/") + method;
    std::string late;
    {
      std::lock_guard guard(w.cluster->lock);
      late = w.cluster->last_request[name];
    }
    CHECK(w.cluster->Handle(name, late).status.code() == static_cast<int>(Code::kNotFound));
  }
}

TEST_CASE("a client whose zone was made anew writes into the new one") {
  World w;
  REQUIRE(w.client->Put(Id("a"), "x").Get().ok());
  w.Remake("default");
  CHECK(w.client->Put(Id("b"), "x").Get().ok());
  CHECK(w.client->PutMany({{Id("d"), "x"}}).Get().ok());
  CHECK(w.Calls("Zones/Resolve") == 2);
}

TEST_CASE("a router of an older version, which knows no ids of zones, is written to by name") {
  World w;
  w.router.InjectAlways("coffer.v1.Zones/Resolve", {Fault::Kind::kReply, RpcError(12, "there is no such method")});
  CHECK(w.client->Put(Id("a"), "x").Get().ok());
  CHECK(w.client->Get(Id("a")).Get()->data == "x");
}

}  // namespace
}  // namespace coffer::client
