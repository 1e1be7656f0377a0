// What a node makes of scrub: a damaged record is handed to repair, copies are compared at rest, and only a difference that stays
// is told.
#include "cluster/membership.h"
#include "cluster/sha256.h"
#include "node/core/copy_check.h"
#include "unit/solo_node.h"

namespace coffer::node {
namespace {

const ZoneId kZone = ZoneId::Must("a-zone-of-sixtee");
constexpr PartitionId kPartition = 0;

BlockId Id(int i) { return BlockId::Must(Sha256({std::to_string(i)}).view()); }

TEST_CASE("a record that scrub found damaged is named when no copy is left, and a deleted one is not asked for") {
  SoloNode node;
  REQUIRE(node.Put(kZone, Id(1), "chunk").status().code() == 0);
  const PartitionId p = node.For(kZone, Id(1)).partition();
  const RecordKey key{kZone, RecordKind::kChunk, Id(1), 0};
  REQUIRE(node.store.DamageRecord(p, key, MemoryStore::Part::kValue));
  node.Mend(p, key);
  node.Run(std::chrono::seconds(1));
  CHECK(node.core->Report(node.now).self().bad_blocks() == 1);
  REQUIRE(node.errors.size() == 1);
  CHECK(node.errors[0].find("damaged on every copy") != std::string::npos);
  node.Mend(p, {kZone, RecordKind::kChunk, Id(2), 0});
  node.Run(std::chrono::seconds(1));
  CHECK(node.core->Report(node.now).self().bad_blocks() == 1);
}

// Two members that hold one partition, with the messages between their checks carried by hand.
struct Member {
  Member(const NodeId& id, std::shared_ptr<const cluster::Layout> layout)
      : context(ConfigOf(id), store, 1), check(context, [this](ReadTask task) { reads.push_back(std::move(task)); }) {
    context.layout = std::move(layout);
    context.self_index = context.layout->IndexOf(id);
    for (const auto& member : context.layout->members) {
      if (member.id != id) context.linked.insert(member.id);
    }
  }
  static NodeCoreConfig ConfigOf(const NodeId& id) {
    NodeCoreConfig config;
    config.self.set_id(id.str());
    return config;
  }
  void Put(int i) {
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_PUT_CHUNK);
    write.set_zone(kZone.str());
    write.set_id(Id(i).str());
    auto body = std::make_shared<const std::string>("value " + std::to_string(i));
    write.add_items()->set_hash(Sha256({*body}).str());
    write.mutable_items(0)->set_size(body->size());
    PartitionReplica& replica = context.Replica(kPartition);
    SetStamp({Term(1), Boot(1), replica.last().Next()}, write.mutable_stamp());
    write.set_hash(HashWrite(replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), {body}, &batch));
    store.Write(std::move(batch), nullptr);
    store.CompleteWrites();
    replica.DurableUpTo(replica.applied());
    StoreBatch rest;
    replica.Commit(replica.last(), &rest);
  }

  MemoryStore store;
  Context context;
  CopyCheck check;
  std::vector<ReadTask> reads;
};

struct Pair {
  Pair() {
    auto layout = std::make_shared<cluster::Layout>();
    layout->members.resize(2);
    layout->members[0].id = kIds[0];
    layout->members[0].name = "node-1";
    layout->members[1].id = kIds[1];
    layout->members[1].name = "node-2";
    layout->partitions.resize(1);
    layout->partitions[0].primary = 0;
    layout->partitions[0].in_sync = {0, 1};
    layout->partitions[0].term = Term(1);
    for (const NodeId& id : kIds) members.push_back(std::make_unique<Member>(id, layout));
    for (int i = 0; i < 5; ++i) {
      for (auto& member : members) member->Put(i);
    }
  }
  Member& operator[](std::size_t i) { return *members[i]; }

  // Carries out what both want until nothing is left, then lets time pass.
  void Run(Duration span) {
    for (bool moved = true; std::exchange(moved, false);) {
      for (std::size_t i = 0; i < 2; ++i) {
        for (Outgoing& o : std::exchange(members[i]->context.out.send, {})) {
          moved = true;
          auto& to = *members[1 - i];
          if (o.message.header.has_copy_digest_request()) to.check.OnRequest(kIds[i], o.message.header.copy_digest_request());
          if (o.message.header.has_copy_digest()) to.check.OnDigest(kIds[i], o.message.header.copy_digest());
        }
        for (ReadTask& task : std::exchange(members[i]->reads, {})) {
          moved = true;
          members[i]->check.OnReadDone(RunRead(members[i]->store, std::move(task)));
        }
      }
    }
    for (auto& member : members) {
      member->context.now += span;
      member->check.Tick();
    }
  }
  void RunAll() {
    for (int i = 0; i < 10; ++i) Run(std::chrono::seconds(1));
  }

  static inline const NodeId kIds[2] = {NodeId::Must("node-one-16bytes"), NodeId::Must("node-two-16bytes")};
  std::vector<std::unique_ptr<Member>> members;
};

TEST_CASE("equal copies are found equal, and a difference is told once it has stayed") {
  Pair pair;
  const RecordKey key{kZone, RecordKind::kChunk, Id(2), 0};
  SECTION("equal") {
    pair[0].check.Begin(kPartition);
    pair.RunAll();
    CHECK(pair[0].check.compared() == 1);
    CHECK(pair[0].check.differing() == 0);
  }
  SECTION("a record too few, for good") {
    pair[1].store.Write({{StoreBatch::EraseRecord{kPartition, key}}}, nullptr);
    pair[1].store.CompleteWrites();
    pair[0].check.Begin(kPartition);
    pair.Run(std::chrono::seconds(1));
    CHECK(pair[0].check.differing() == 0);
    pair.RunAll();
    CHECK(pair[0].check.compared() == 1);
    CHECK(pair[0].check.differing() == 1);
    REQUIRE(pair[0].context.out.events.size() == 1);
    CHECK(pair[0].context.out.events[0].text.find("node-2 (4 records) differs from this one (5 records)") != std::string::npos);
  }
  SECTION("a record that goes a moment later") {
    pair[1].store.Write({{StoreBatch::EraseRecord{kPartition, key}}}, nullptr);
    pair[1].store.CompleteWrites();
    pair[0].check.Begin(kPartition);
    pair.Run(std::chrono::seconds(1));
    pair[0].store.Write({{StoreBatch::EraseRecord{kPartition, key}}}, nullptr);
    pair[0].store.CompleteWrites();
    pair.RunAll();
    CHECK(pair[0].check.compared() == 1);
    CHECK(pair[0].check.differing() == 0);
  }
  SECTION("a damaged record is repair's, not a difference") {
    REQUIRE(pair[1].store.DamageRecord(kPartition, key, MemoryStore::Part::kHeader));
    pair[0].check.Begin(kPartition);
    pair.RunAll();
    CHECK(pair[0].check.compared() == 0);
    CHECK(pair[0].check.differing() == 0);
  }
}

TEST_CASE("a copy that is being written is compared another time") {
  Pair pair;
  SECTION("the other is behind") {
    pair[0].Put(7);
  }
  SECTION("we are asked by who is no primary any more") {
    auto layout = std::make_shared<cluster::Layout>(*pair[0].context.layout);
    layout->partitions[0].term = Term(2);
    pair[1].context.layout = layout;
  }
  SECTION("a write comes while the copies are read") {
    pair[0].check.Begin(kPartition);
    for (auto& member : pair.members) member->Put(8);
  }
  pair[0].check.Begin(kPartition);
  pair.RunAll();
  CHECK(pair[0].check.compared() == 0);
  CHECK(pair[0].check.differing() == 0);
  // At rest again, they are.
  if (pair[0].context.Replica(kPartition).last() != pair[1].context.Replica(kPartition).last()) pair[1].Put(7);
  pair[1].context.layout = pair[0].context.layout;
  pair[0].check.Begin(kPartition);
  pair.RunAll();
  CHECK(pair[0].check.compared() == 1);
}

}  // namespace
}  // namespace coffer::node
