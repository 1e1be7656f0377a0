// Reads as a node carries them out: entries packed for a router that asked for it are those it would have got one by one.
#include <functional>
#include <vector>

#include "cluster/sha256.h"
#include "coffer/v1/chains.pb.h"
#include "node/core/read_task.h"
#include "node/memory_store.h"
#include "test_support.h"
#include "unit/store_samples.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartition = 1;

// A chain whose entries differ in all that may be absent: the first has no predecessor, one no bytes, others a signature.
class ChainStore {
 public:
  explicit ChainStore(std::size_t large = 0) {
    const std::vector<std::string> bodies = {"first", "", std::string(200, 'b'), "c\x00\xff", std::string(large, 'l')};
    StoreBatch batch;
    Digest previous;
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      const Payload value = MakeValue(bodies[i]);
      RecordHeader header = HeaderFor(value, i + 1);
      header.predecessor = previous;
      if (i % 2 == 0) header.signature = std::string(64, static_cast<char>('s' + i));
      previous = header.hash;
      batch.changes.push_back(StoreBatch::PutRecord{kPartition, EntryAt('c', i), header, value});
    }
    store_.Write(std::move(batch), nullptr);
    store_.CompleteWrites();
  }

  ReadResult Read(wire::ReadChainOp op, bool packed) {
    op.set_chain(BlockOf('c').str());
    op.set_packed(packed);
    ReadTask task;
    task.confirmed = true;
    task.limit = Seq(100);
    auto* request = task.request.mutable_data_request();
    request->set_partition(kPartition);
    request->set_zone(ZoneOf('z').str());
    *request->mutable_read_chain() = std::move(op);
    return RunRead(store_, std::move(task));
  }

 private:
  MemoryStore store_;
};

const wire::ChainResult& ChainOf(const ReadResult& result) { return result.answer.header.data_response().chain(); }

// What the caller gets to see.
std::vector<coffer::v1::Entry> Entries(const ReadResult& result) {
  const wire::ChainResult& chain = ChainOf(result);
  std::vector<coffer::v1::Entry> entries(chain.entries().begin(), chain.entries().end());
  if (!chain.has_packed()) {
    REQUIRE(result.answer.bodies.size() == entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) entries[i].set_body(*result.answer.bodies[i]);
    return entries;
  }
  REQUIRE(result.answer.bodies.size() == 1);
  coffer::v1::ReadResponse pack;
  REQUIRE(pack.ParseFromString(*result.answer.bodies[0]));
  CHECK(chain.entries().empty());
  REQUIRE(pack.entries_size() == static_cast<int>(chain.packed().count()));
  CHECK(pack.entries(0).position() == chain.packed().first());
  return {pack.entries().begin(), pack.entries().end()};
}

void CheckAlike(const ReadResult& packed, const ReadResult& plain) {
  const auto left = Entries(packed);
  const auto right = Entries(plain);
  REQUIRE(left.size() == right.size());
  for (std::size_t i = 0; i < left.size(); ++i) CHECK(left[i].SerializeAsString() == right[i].SerializeAsString());
  CHECK(ChainOf(packed).complete() == ChainOf(plain).complete());
  CHECK(ChainOf(packed).head().SerializeAsString() == ChainOf(plain).head().SerializeAsString());
}

TEST_CASE("packed entries are those that come one by one, in either direction and by pages") {
  ChainStore chain;
  for (const bool backwards : {false, true}) {
    for (const std::uint64_t last : {1, 2, 3, 100}) {
      for (const std::uint64_t most : {0, 1, 300, 400}) {
        CAPTURE(backwards, last, most);
        wire::ReadChainOp op;
        op.set_backwards(backwards);
        op.set_last(last);
        op.set_max_bytes(most);
        const ReadResult packed = chain.Read(op, true);
        CHECK(ChainOf(packed).has_packed());
        CheckAlike(packed, chain.Read(op, false));
      }
    }
  }
}

TEST_CASE("an answer that begins with a large entry is not packed") {
  ChainStore chain(64 << 10);
  wire::ReadChainOp op;
  op.set_last(3);
  CHECK(ChainOf(chain.Read(op, true)).has_packed());
  op.set_backwards(true);
  const ReadResult large = chain.Read(op, true);
  CHECK_FALSE(ChainOf(large).has_packed());
  CheckAlike(large, chain.Read(op, false));
}

TEST_CASE("an empty range is answered without a body") {
  ChainStore chain;
  wire::ReadChainOp op;
  op.mutable_range()->set_from(50);
  const ReadResult none = chain.Read(op, true);
  CHECK_FALSE(ChainOf(none).has_packed());
  CHECK(none.answer.bodies.empty());
  CHECK(ChainOf(none).complete());
}

// What a confirmed read of everything committed up to here finds of the zones.
std::vector<wire::ZoneRecord> ZonesUpTo(Seq limit, const MemoryStore& store, const std::string& name) {
  ReadTask task;
  task.confirmed = true;
  task.limit = limit;
  auto* request = task.request.mutable_data_request();
  request->set_partition(kPartition);
  name.empty() ? (void)request->mutable_list_zones() : request->mutable_get_zone()->set_name(name);
  const ReadResult result = RunRead(store, std::move(task));
  CHECK(result.damaged.empty());
  const auto& zones = result.answer.header.data_response().zones().zones();
  return {zones.begin(), zones.end()};
}

TEST_CASE("R5.3: a zone is there, and not going, until its deletion is committed; and not until its creation is") {
  MemoryStore store;
  for (const bool deleting : {false, true}) {
    wire::ZoneRecord zone;
    zone.set_name(deleting ? "going" : "new");
    zone.set_deleting(deleting);
    const Payload value = MakeValue(zone.SerializeAsString());
    const RecordKey key{ZoneId{}, RecordKind::kZone, BlockId::Must(Sha256({zone.name()}).view()), 0};
    store.Write({{StoreBatch::PutRecord{kPartition, key, HeaderFor(value, 5), value}}}, nullptr);
  }
  store.CompleteWrites();
  for (const std::string name : {"", "going"}) {
    const auto before = ZonesUpTo(Seq(4), store, name);
    REQUIRE(before.size() == 1);
    CHECK(before[0].name() == "going");
    CHECK_FALSE(before[0].deleting());
    const auto after = ZonesUpTo(Seq(5), store, name);
    REQUIRE(after.size() == (name.empty() ? 2 : 1));
    CHECK(after[0].deleting());
  }
  CHECK(ZonesUpTo(Seq(4), store, "new").empty());
  CHECK(ZonesUpTo(Seq(5), store, "new").size() == 1);
}

bool Brief(const std::function<void(wire::Peer&)>& fill) {
  ReadTask task;
  fill(task.request);
  return IsBrief(task);
}

TEST_CASE("only look-ups of few records are brief") {
  CHECK(Brief([](wire::Peer& p) { p.mutable_data_request()->mutable_get_chunk(); }));
  CHECK(Brief([](wire::Peer& p) { p.mutable_data_request()->mutable_get_zone(); }));
  CHECK_FALSE(Brief([](wire::Peer& p) { p.mutable_data_request()->mutable_head_chain(); }));
  CHECK_FALSE(Brief([](wire::Peer& p) { p.mutable_data_request()->mutable_read_chain()->set_last(1); }));
  CHECK_FALSE(Brief([](wire::Peer& p) { p.mutable_data_request()->mutable_list_zones(); }));
  CHECK_FALSE(Brief([](wire::Peer& p) { p.mutable_fetch_request(); }));
  CHECK_FALSE(Brief([](wire::Peer& p) { p.mutable_copy_digest_request(); }));
  for (const int count : {64, 65}) {
    CHECK((count == 64) == Brief([&](wire::Peer& p) {
            for (int i = 0; i < count; ++i) p.mutable_data_request()->mutable_has_chunks()->add_ids("id");
          }));
  }
}

}  // namespace
}  // namespace coffer::node
