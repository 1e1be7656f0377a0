// Blocks of a zone go only for a deletion that can't be cut off any more.
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cluster/placement.h"
#include "cluster/sha256.h"
#include "node/core/replica.h"
#include "node/core/write_keys.h"
#include "node/core/zone_deletion.h"
#include "unit/node_sides.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartitions = 2;

// The registry's primary, in whose registry a zone is marked as being deleted by its first write.
class Registry : public OneSide {
 public:
  Registry() {
    Adopt(1, std::vector<cluster::Group>(kPartitions, {0, {0, 1}, Term(1), {0, 1}}));
    wire::ZoneRecord zone;
    zone.set_id(std::string(ZoneId::kSize, 'z'));
    zone.set_name("going");
    zone.set_deleting(true);
    const auto value = std::make_shared<const std::string>(zone.SerializeAsString());
    RecordHeader header;
    header.stamp = {Term(1), Boot(1), Seq(1)};
    header.hash = Sha256({*value});
    header.size = value->size();
    store.Write({{StoreBatch::PutRecord{registry, RecordKey{ZoneId{}, RecordKind::kZone, BlockId{}, 0}, header, value}}}, nullptr);
    store.CompleteWrites();
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_DROP_ZONE);  // stands for the one that marked it
    write.set_zone(ZoneId{}.str());
    SetStamp(header.stamp, write.mutable_stamp());
    write.set_hash(HashWrite(Digest{}, write).str());
    StoreBatch batch;
    REQUIRE(ctx.Replica(registry).Apply(std::make_shared<const wire::Write>(write), {}, &batch));
  }
  void Commit() {
    StoreBatch batch;
    ctx.Replica(registry).Commit(Seq(1), &batch);
    REQUIRE(ctx.Replica(registry).committed() == Seq(1));
  }

  // A second later.
  void Tick() {
    ctx.now += std::chrono::seconds(1);
    deletion.Tick();
  }

  const PartitionId registry = cluster::RegistryPartition(kPartitions);
  std::vector<wire::DataRequest> asked;  // partitions that are to drop the zone
  int purges = 0;
  ZoneDeletion deletion{ctx, [this](wire::DataRequest r) { asked.push_back(std::move(r)); },
                        [this](const wire::ZoneRecord&, Waiter, std::function<void()>) { ++purges; }, [](PartitionId, const RecordKey&) {}};
};

TEST_CASE("a zone's blocks stay while its deletion may be cut off, and go once it is committed") {
  Registry r;
  r.deletion.OnRegistryActive();
  r.deletion.Tick();
  CHECK(r.asked.empty());
  r.ctx.now += std::chrono::seconds(2);
  r.deletion.Tick();
  CHECK(r.asked.empty());
  r.Commit();
  r.ctx.now += std::chrono::seconds(2);
  r.deletion.Tick();
  CHECK(r.asked.size() == kPartitions);
}

TEST_CASE("a zone's deletion goes on though nobody waits for it any more") {
  Registry r;
  r.deletion.OnMarkOrdered();
  r.deletion.Tick();
  CHECK(r.asked.empty());
  r.Commit();
  CHECK(r.deletion.NextDeadline() <= r.ctx.now + std::chrono::seconds(5));
  r.ctx.now += std::chrono::seconds(5);
  r.deletion.Tick();
  CHECK(r.asked.size() == kPartitions);
}

TEST_CASE("I10: what a zone's partition said to an earlier process of this node is no answer to this one") {
  Registry r;
  r.Commit();
  r.deletion.OnRegistryActive();
  REQUIRE(r.asked.size() == kPartitions);
  CHECK(r.asked[0].call() >> 32 == r.ctx.config.boot.value);
}

TEST_CASE("who leads the registry no more goes on with no deletion") {
  Registry r;
  r.Commit();
  r.deletion.OnRegistryActive();
  CHECK(r.asked.size() == kPartitions);
  r.deletion.OnRegistryEnded();
  r.asked.clear();
  r.ctx.now += std::chrono::seconds(2);
  r.deletion.Tick();
  CHECK(r.asked.empty());
}

TEST_CASE("I10: a zone's registration goes once every partition has said that its blocks are dropped, and no refusal says that") {
  Registry r;
  r.Commit();
  r.deletion.OnRegistryActive();
  REQUIRE(r.asked.size() == kPartitions);
  const auto answers = [&](const wire::DataRequest& request, int code, bool fenced) {
    wire::DataResponse response;
    response.set_call(request.call());
    response.mutable_status()->set_code(code);
    response.set_fenced(fenced);
    r.deletion.OnResponse(response);
    r.Tick();
  };
  const auto asked = std::exchange(r.asked, {});
  answers(asked[0], 0, /*fenced=*/false);
  answers(asked[1], 14, /*fenced=*/false);
  CHECK(r.purges == 0);
  answers(asked[1], 0, /*fenced=*/true);
  CHECK(r.purges == 0);
  REQUIRE_FALSE(r.asked.empty());
  for (const auto& again : r.asked) CHECK(again.partition() == asked[1].partition());
  answers(r.asked.back(), 0, /*fenced=*/false);
  CHECK(r.purges == 1);
}

TEST_CASE("I10: what partitions said before a forced layout is asked once more, for that may have lost what they dropped") {
  Registry r;
  r.Commit();
  r.deletion.OnRegistryActive();
  REQUIRE(r.asked.size() == kPartitions);
  const auto before = std::exchange(r.asked, {});
  wire::DataResponse response;
  response.set_call(before[0].call());
  r.deletion.OnResponse(response);
  auto forced = std::make_shared<cluster::Layout>(*r.ctx.layout);
  forced->forced_epoch = forced->epoch = Epoch(forced->epoch.value + 1);
  r.ctx.layout = forced;
  response.set_call(before[1].call());
  r.deletion.OnResponse(response);
  r.Tick();
  CHECK(r.purges == 0);
  CHECK(r.asked.size() == kPartitions);
}

}  // namespace
}  // namespace coffer::node
