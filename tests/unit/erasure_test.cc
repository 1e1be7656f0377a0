// What deletes take away besides the record they mark (R10.2): in what order, and by marks that can be read only.
#include "node/core/erasure.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/sha256.h"
#include "node/core/replica.h"
#include "node/memory_store.h"
#include "test_support.h"
#include "unit/store_samples.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartition = 3;

// A replica that has a chunk 'a' and a chain 'c' of one entry; what it writes is on the disk at once.
class Copy {
 public:
  Copy() {
    Order(wire::WRITE_KIND_PUT_CHUNK, 'a');
    Order(wire::WRITE_KIND_APPEND, 'c');
  }
  void Order(wire::WriteKind kind, char id) {
    wire::Write write;
    write.set_kind(kind);
    write.set_zone(ZoneOf('z').str());
    write.set_id(BlockOf(id).str());
    auto* item = write.add_items();
    item->set_hash((kind == wire::WRITE_KIND_APPEND ? EntryHash(BlockOf(id), 0, Digest{}, "", kBody) : Sha256({kBody})).str());
    item->set_size(kBody.size());
    item->set_predecessor(Digest{}.str());
    SetStamp({Term(1), Boot(1), replica.last().Next()}, write.mutable_stamp());
    write.set_hash(HashWrite(replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), {std::make_shared<const std::string>(kBody)}, &batch));
    Persist(std::move(batch));
  }
  // The log begins behind all that was written, so that no commit takes what was deleted.
  void BeginLogAnew() {
    StoreBatch batch;
    replica.StartAt(replica.last(), Digest{}, {Term(2), Boot(1), replica.last()}, &batch);
    Persist(std::move(batch));
  }
  StoreBatch CommitAll() {
    StoreBatch batch;
    replica.Commit(replica.last(), &batch);
    return batch;
  }
  StoreBatch TakeLeftOver() {
    LeftOver left_over(replica);
    std::uint64_t blocks = 0;
    std::uint64_t bytes = 0;
    REQUIRE(replica.CountLive("", "", &blocks, &bytes, [&](const RecordKey& key, const RecordHeader& header, const Covered& covered) {
              left_over.See(key, header, covered);
            }) == ReadOutcome::kFound);
    StoreBatch batch;
    left_over.TakeAway(&replica, &batch);
    return batch;
  }

  MemoryStore store;
  PartitionReplica replica{kPartition, store, {}, 64};

 private:
  static inline const std::string kBody = "bytes";

  void Persist(StoreBatch batch) {
    store.Write(std::move(batch), nullptr);
    store.CompleteWrites();
    replica.DurableUpTo(replica.applied());
  }
};

template <class Change>
std::size_t CountOf(const StoreBatch& batch) {
  return static_cast<std::size_t>(
      std::count_if(batch.changes.begin(), batch.changes.end(), [](const auto& c) { return std::holds_alternative<Change>(c); }));
}

TEST_CASE("R10.2: ranges stand behind the bytes of chunks in a batch, so that a long one need not be erased at once") {
  Copy copy;
  const bool zone = GENERATE(false, true);
  copy.Order(wire::WRITE_KIND_DELETE_CHAIN, 'c');
  copy.Order(wire::WRITE_KIND_DELETE_CHUNK, 'a');
  if (zone) copy.Order(wire::WRITE_KIND_DROP_ZONE, '\0');
  StoreBatch batch;
  SECTION("at a commit") { batch = copy.CommitAll(); }
  SECTION("at a learner, of which the log does not tell any more") {
    copy.BeginLogAnew();
    batch = copy.TakeLeftOver();
  }
  const auto& changes = batch.changes;
  const auto is_range = [](const auto& c) { return std::holds_alternative<StoreBatch::EraseRange>(c); };
  const auto first = std::find_if(changes.begin(), changes.end(), is_range);
  CHECK(CountOf<StoreBatch::EraseRange>(batch) >= 1);
  CHECK(std::none_of(first, changes.end(), [](const auto& c) { return std::holds_alternative<StoreBatch::DropValue>(c); }));
  if (!zone) CHECK(CountOf<StoreBatch::DropValue>(batch) == 1);
}

TEST_CASE("R10.2: a learner takes away what was deleted before its log, by marks that verify") {
  const bool zone = GENERATE(false, true);
  Copy copy;
  copy.Order(zone ? wire::WRITE_KIND_DROP_ZONE : wire::WRITE_KIND_DELETE_CHAIN, zone ? '\0' : 'c');
  std::size_t taken = 0;
  SECTION("before its log") {
    copy.BeginLogAnew();
    taken = 1;
  }
  SECTION("in its log, and not committed: a cut would bring it back") {}
  SECTION("by a mark that does not verify") {
    copy.BeginLogAnew();
    const RecordKey mark{ZoneOf('z'), zone ? RecordKind::kZoneDrop : RecordKind::kChainDelete, zone ? BlockId{} : BlockOf('c'), 0};
    REQUIRE(copy.store.DamageRecord(kPartition, mark, MemoryStore::Part::kHeader));
  }
  CHECK(CountOf<StoreBatch::EraseRange>(copy.TakeLeftOver()) == taken);
}

}  // namespace
}  // namespace coffer::node
