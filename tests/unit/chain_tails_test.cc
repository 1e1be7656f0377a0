// The ends of chains kept in memory are what a read of the store would show, whatever happens to the chain.
#include "node/core/chain_tails.h"

#include <map>
#include <vector>

#include "cluster/random.h"
#include "coffer/v1/chains.pb.h"
#include "node/core/read_task.h"
#include "node/memory_store.h"
#include "test_support.h"
#include "unit/store_samples.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartition = 3;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

// A store with the tails of its chains beside it.
class World {
 public:
  explicit World(std::uint64_t bytes = 1 << 20) : tails(bytes) {}

  void Write(StoreBatch batch) {
    tails.Note(batch);
    store.Write(std::move(batch), nullptr);
    store.CompleteWrites();
  }
  // An entry behind the others, by the next write.
  void Append(char chain, std::size_t size = 20) {
    const std::uint64_t position = lengths[chain]++;
    const Payload value = MakeValue(std::string(size, static_cast<char>('a' + position % 26)));
    RecordHeader header = HeaderFor(value, ++seq);
    if (position % 3 == 1) header.signature = std::string(64, 's');
    Write({{StoreBatch::PutRecord{kPartition, EntryAt(chain, position), header, value}}});
  }
  void Erase(char chain) {
    Write({{StoreBatch::EraseRecord{kPartition, EntryAt(chain, --lengths[chain])}}});
  }
  ChainTails::Chain Of(char chain) const { return {kPartition, ZoneOf('z'), BlockOf(chain)}; }

  ReadResult FromStore(char chain, std::uint64_t last, Seq limit, std::uint64_t ticket = 0) {
    ReadTask task;
    task.confirmed = true;
    task.limit = limit;
    task.tail_ticket = ticket;
    auto* request = task.request.mutable_data_request();
    request->set_partition(kPartition);
    request->set_zone(ZoneOf('z').str());
    request->mutable_read_chain()->set_chain(BlockOf(chain).str());
    request->mutable_read_chain()->set_last(last);
    request->mutable_read_chain()->set_packed(true);
    return RunRead(store, std::move(task));
  }
  // Reads the end of a chain and brings it.
  void Keep(char chain, std::uint64_t last) {
    const std::uint64_t ticket = tails.Expect(Of(chain));
    ReadResult read = FromStore(chain, last, Seq(seq), ticket);
    const auto& packed = read.answer.header.data_response().chain().packed();
    tails.Fill(Of(chain), ticket, packed.first(), read.answer.bodies.empty() ? nullptr : read.answer.bodies[0], std::move(read.marks));
  }
  // Whether it is kept; what is found is what the store shows.
  bool Finds(char chain, std::uint64_t last, Seq limit) {
    const auto found = tails.Find(Of(chain), 0, last, limit);
    if (!found) return false;
    const ReadResult read = FromStore(chain, last, limit);
    const auto& shown = read.answer.header.data_response().chain();
    CHECK(found->length == shown.head().length());
    CHECK(found->hash.str() == shown.head().hash());
    CHECK(found->first == shown.packed().first());
    REQUIRE(read.answer.bodies.size() == 1);
    CHECK(*found->packed == *read.answer.bodies[0]);
    return true;
  }
  bool Finds(char chain, std::uint64_t last) { return Finds(chain, last, Seq(seq)); }

  MemoryStore store;
  ChainTails tails;
  std::map<char, std::uint64_t> lengths;
  std::uint64_t seq = 0;
};

TEST_CASE("what was read is found again, and entries behind it, as the limit allows") {
  World w;
  for (int i = 0; i < 30; ++i) w.Append('c');
  CHECK_FALSE(w.Finds('c', 20));
  w.Keep('c', 20);
  CHECK(w.Finds('c', 20));
  CHECK(w.Finds('c', 7));
  CHECK_FALSE(w.Finds('c', 21));
  const Seq before(w.seq);
  for (int i = 0; i < 5; ++i) w.Append('c');
  CHECK(w.Finds('c', 15, before));
  CHECK(w.Finds('c', 18, Seq(before.value + 3)));
  CHECK(w.Finds('c', 20));
  CHECK(w.Finds('c', 3));
  CHECK_FALSE(w.Finds('c', 20, before));  // older than what was put together last
}

TEST_CASE("a whole chain is found from its beginning") {
  World w;
  for (int i = 0; i < 4; ++i) w.Append('c');
  w.Keep('c', 100);
  w.Append('c');
  CHECK(w.Finds('c', kAll));
  const auto found = w.tails.Find(w.Of('c'), 2, kAll, Seq(w.seq));
  REQUIRE(found);
  CHECK(found->first == 2);
  coffer::v1::ReadResponse pack;
  REQUIRE(pack.ParseFromString(*found->packed));
  CHECK(pack.entries_size() == 3);
  CHECK_FALSE(w.tails.Find(w.Of('c'), 5, kAll, Seq(w.seq)));
}

TEST_CASE("the same bytes are handed out uncopied") {
  World w;
  for (int i = 0; i < 30; ++i) w.Append('c');
  w.Keep('c', 20);
  w.Append('c');
  const auto once = w.tails.Find(w.Of('c'), 0, 20, Seq(w.seq));
  const auto again = w.tails.Find(w.Of('c'), 0, 20, Seq(w.seq));
  REQUIRE(once);
  REQUIRE(again);
  CHECK(once->packed == again->packed);
}

TEST_CASE("whatever else touches the chain drops what is kept of it, and of no other chain") {
  const RecordHeader mark{.stamp = {Term(1), Boot(1), Seq(100)}};
  const std::vector<StoreBatch::Change> changes = {
      StoreBatch::EraseRecord{kPartition, EntryAt('c', 5)},
      StoreBatch::SetHeader{kPartition, EntryAt('c', 1), mark},
      StoreBatch::DropValue{kPartition, EntryAt('c', 1), mark},
      StoreBatch::PutRecord{kPartition, EntryAt('c', 3), mark, MakeValue("repaired")},
      StoreBatch::PutRecord{kPartition, EntryAt('c', 9), mark, MakeValue("behind a gap")},
      StoreBatch::PutRecord{kPartition, EntryAt('c', 6), mark, nullptr},
      StoreBatch::PutRecord{kPartition, {ZoneOf('z'), RecordKind::kChainDelete, BlockOf('c'), 0}, mark, nullptr},
  };
  for (const auto& change : changes) {
    CAPTURE(change.index());
    World w;
    for (int i = 0; i < 6; ++i) w.Append('c'), w.Append('d');
    w.Keep('c', 4);
    w.Keep('d', 4);
    w.tails.Note({{change}});
    CHECK_FALSE(w.tails.Find(w.Of('c'), 0, 4, Seq(200)));
    CHECK(w.Finds('d', 4));
  }
}

TEST_CASE("what touches the whole partition drops all of it") {
  const RecordHeader mark{.stamp = {Term(1), Boot(1), Seq(100)}};
  const std::vector<StoreBatch::Change> changes = {
      StoreBatch::EraseRange{kPartition, "a", "b"}, StoreBatch::ErasePartition{kPartition},
      StoreBatch::PutRecord{kPartition, {ZoneOf('z'), RecordKind::kZoneDrop, BlockId{}, 0}, mark, nullptr}};
  for (const auto& change : changes) {
    CAPTURE(change.index());
    World w;
    for (int i = 0; i < 6; ++i) w.Append('c');
    w.Keep('c', 4);
    w.tails.Note({{StoreBatch::ErasePartition{kPartition + 1}}});
    CHECK(w.Finds('c', 4));
    w.tails.Note({{change}});
    CHECK_FALSE(w.Finds('c', 4));
    CHECK(w.tails.bytes() == 0);
  }
}

TEST_CASE("what was read is not kept when the chain changed meanwhile") {
  World w;
  for (int i = 0; i < 6; ++i) w.Append('c');
  const std::uint64_t ticket = w.tails.Expect(w.Of('c'));
  ReadResult read = w.FromStore('c', 4, Seq(w.seq), ticket);
  w.Append('c');
  w.tails.Fill(w.Of('c'), ticket, 2, read.answer.bodies.at(0), read.marks);
  CHECK_FALSE(w.Finds('c', 4));
  const std::uint64_t later = w.tails.Expect(w.Of('c'));
  w.tails.Fill(w.Of('c'), ticket, 2, read.answer.bodies.at(0), read.marks);
  CHECK_FALSE(w.Finds('c', 4));
  w.tails.Fill(w.Of('c'), later, 0, nullptr, {});
  CHECK(w.tails.bytes() == 0);
}

TEST_CASE("memory stays within the bound, and what was read last stays") {
  World w(32 << 10);
  for (const char chain : {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'}) {
    for (int i = 0; i < 8; ++i) w.Append(chain, 200);
    w.Keep(chain, 8);
    CHECK(w.tails.bytes() <= 32 << 10);
    CHECK(w.Finds(chain, 8));
  }
  CHECK_FALSE(w.Finds('a', 8));
  CHECK(w.Finds('k', 8));
  for (int i = 0; i < 1000; ++i) w.Append('l', 200);
  CHECK(w.tails.bytes() <= 32 << 10);
  World none(0);
  none.Append('c');
  none.Keep('c', 1);
  CHECK_FALSE(none.Finds('c', 1));
}

TEST_CASE("an entry that nobody packs, or a chain that nobody reads again, is not kept for ever") {
  World w;
  for (int i = 0; i < 4; ++i) w.Append('c');
  w.Keep('c', 4);
  for (int i = 0; i < 500; ++i) w.Append('c');
  CHECK(w.tails.bytes() < 64 << 10);
  CHECK(w.Finds('c', 4));
  w.Append('c', kPackedEntry + 1);
  CHECK(w.tails.bytes() == 0);
}

TEST_CASE("over any course of changes nothing but what the store shows is found") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    World w(64 << 10);
    std::uint64_t finds = 0;
    for (int step = 0; step < 2000; ++step) {
      const char chain = static_cast<char>('a' + random.Below(4));
      const std::uint64_t last = 1 + random.Below(30);
      switch (random.Below(12)) {
        case 0:
          if (w.lengths[chain] > 0) w.Erase(chain);
          break;
        case 1:
          w.Keep(chain, last);
          break;
        case 2: case 3: case 4: case 5: case 6:
          finds += w.Finds(chain, last, Seq(w.seq - std::min(w.seq, random.Below(10))));
          break;
        default:
          w.Append(chain, random.Below(200));
      }
    }
    CHECK(finds > 100);
  }
}

}  // namespace
}  // namespace coffer::node
