// What is left when a write is cut off that was never committed (R4.2): what it made goes, and what an earlier write made stays, though the write
// named the same record because it was ordered again (R6.1).
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/sha256.h"
#include "node/core/replica.h"
#include "node/core/write_keys.h"
#include "node/memory_store.h"
#include "test_support.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartition = 3;
const ZoneId kZone = ZoneId::Must("zone-of-16-bytes");
const BlockId kBlock = BlockId::Must("a block's id, which has 32 bytes.");
const std::string kBody = "bytes";

class Log {
 public:
  // Everything is on the disk at once.
  void Order(wire::WriteKind kind, bool repeat) {
    const bool registry = kind == wire::WRITE_KIND_CREATE_ZONE;
    wire::Write write;
    write.set_kind(kind);
    write.set_zone(registry ? ZoneId{}.str() : kZone.str());
    write.set_id(kBlock.str());
    write.set_repeat(repeat);
    if (registry) write.mutable_zone_record()->set_name("a zone");
    auto* item = write.add_items();
    item->set_hash((kind == wire::WRITE_KIND_APPEND ? EntryHash(kBlock, 0, Digest{}, "", kBody) : Sha256({kBody})).str());
    item->set_size(kBody.size());
    item->set_predecessor(Digest{}.str());
    SetStamp({Term(1), Boot(1), replica_.last().Next()}, write.mutable_stamp());
    write.set_hash(HashWrite(replica_.meta().last_hash, write).str());
    std::vector<Payload> bodies;
    if (HasBodies(write)) bodies.push_back(std::make_shared<const std::string>(kBody));
    StoreBatch batch;
    REQUIRE(replica_.Apply(std::make_shared<const wire::Write>(write), bodies, &batch));
    Write(std::move(batch));
  }
  void CutTo(std::uint64_t fork) {
    StoreBatch batch;
    std::vector<QuarantinedWrite> cut;
    REQUIRE(replica_.CutTo(Seq(fork), *replica_.HashAt(Seq(fork)), &batch, &cut));
    Write(std::move(batch));
  }
  // Nothing: it is not there.
  std::optional<RecordHeader> Find(const RecordKey& key) const {
    RecordHeader header;
    if (replica_.Find(key, &header) != ReadOutcome::kFound) return std::nullopt;
    return header;
  }

 private:
  void Write(StoreBatch batch) {
    store_.Write(std::move(batch), nullptr);
    store_.CompleteWrites();
    replica_.DurableUpTo(replica_.applied());
  }

  MemoryStore store_;
  PartitionReplica replica_{kPartition, store_, {}, 64};
};

TEST_CASE("R4.2 R6.1: what is cut off takes along what it made, and not what it found there when it was ordered again") {
  const auto [kind, key] = GENERATE(table<wire::WriteKind, RecordKey>({
      {wire::WRITE_KIND_PUT_CHUNK, {kZone, RecordKind::kChunk, kBlock, 0}},
      {wire::WRITE_KIND_APPEND, {kZone, RecordKind::kEntry, kBlock, 0}},
      {wire::WRITE_KIND_DELETE_CHAIN, {kZone, RecordKind::kChainDelete, kBlock, 0}},
      {wire::WRITE_KIND_DROP_ZONE, {kZone, RecordKind::kZoneDrop, BlockId{}, 0}},
      {wire::WRITE_KIND_CREATE_ZONE, {ZoneId{}, RecordKind::kZone, kBlock, 0}},
  }));
  Log log;
  log.Order(kind, false);
  log.Order(kind, true);
  log.CutTo(1);
  REQUIRE(log.Find(key).has_value());
  CHECK(log.Find(key)->stamp.seq == Seq(1));
  log.CutTo(0);
  CHECK_FALSE(log.Find(key).has_value());
}

TEST_CASE("R4.2 R6.1: a chunk is deleted until the write that deleted it is cut off, not one that was ordered again") {
  const RecordKey key{kZone, RecordKind::kChunk, kBlock, 0};
  Log log;
  log.Order(wire::WRITE_KIND_PUT_CHUNK, false);
  log.Order(wire::WRITE_KIND_DELETE_CHUNK, false);
  log.Order(wire::WRITE_KIND_DELETE_CHUNK, true);
  log.CutTo(2);
  REQUIRE(log.Find(key).has_value());
  CHECK(log.Find(key)->deleted);
  log.CutTo(1);
  REQUIRE(log.Find(key).has_value());
  CHECK_FALSE(log.Find(key)->deleted);
  CHECK_FALSE(log.Find(key)->value_gone);
}

}  // namespace
}  // namespace coffer::node
