// What a partition's replica says while its changes are on their way to the disk.
#include "node/core/replica.h"

#include "cluster/sha256.h"
#include "node/memory_store.h"
#include "test_support.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartition = 3;

class Appender {
 public:
  Appender() { zone_.bytes.fill(3), chain_.bytes.fill(7); }

  // Appends one entry; it is on its way to the disk then.
  void Append(const std::string& body) {
    ChainEnd end;
    (void)replica.FindEnd(zone_, chain_, &end);
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_APPEND);
    write.set_zone(zone_.str());
    write.set_id(chain_.str());
    write.set_position(end.length);
    SetStamp({Term(1), Boot(1), replica.last().Next()}, write.mutable_stamp());
    auto* item = write.add_items();
    item->set_predecessor(end.hash.str());
    item->set_hash(EntryHash(chain_, end.length, end.hash, "", body).str());
    item->set_size(body.size());
    write.set_hash(HashWrite(replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), {std::make_shared<const std::string>(body)}, &batch));
    store.Write(std::move(batch), nullptr);
  }
  void Sync() {
    store.CompleteWrites();
    replica.DurableUpTo(replica.applied());
  }
  // Cuts everything after `fork`; that, too, is on its way only.
  void CutTo(Seq fork) {
    StoreBatch batch;
    std::vector<QuarantinedWrite> cut;
    REQUIRE(replica.CutTo(fork, *replica.HashAt(fork), &batch, &cut));
    store.Write(std::move(batch), nullptr);
  }
  // As a learner; on its way only.
  void StartAt(Seq base) {
    StoreBatch batch;
    replica.StartAt(base, Digest{}, {Term(2), Boot(1), base}, &batch);
    store.Write(std::move(batch), nullptr);
  }
  // Of a zone's registration.
  void Registers(wire::WriteKind kind, bool deleting) {
    wire::Write write;
    write.set_kind(kind);
    write.set_zone(ZoneId{}.str());
    write.set_id(Sha256({"a zone"}).str());
    write.mutable_zone_record()->set_name("a zone");
    write.mutable_zone_record()->set_deleting(deleting);
    SetStamp({Term(1), Boot(1), replica.last().Next()}, write.mutable_stamp());
    write.set_hash(HashWrite(replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), {}, &batch));
    store.Write(std::move(batch), nullptr);
  }
  void DropZone() {
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_DROP_ZONE);
    write.set_zone(zone_.str());
    SetStamp({Term(1), Boot(1), replica.last().Next()}, write.mutable_stamp());
    write.set_hash(HashWrite(replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), {}, &batch));
    store.Write(std::move(batch), nullptr);
  }
  std::uint64_t LiveBlocks() const {
    std::uint64_t blocks = 0;
    std::uint64_t bytes = 0;
    REQUIRE(replica.CountLive("", "", &blocks, &bytes) == ReadOutcome::kFound);
    return blocks;
  }
  bool EntryOnDisk() const {
    RecordHeader header;
    return store.Lookup(kPartition, {zone_, RecordKind::kEntry, chain_, 0}, &header) == ReadOutcome::kFound;
  }
  // Nothing: the chain is not there.
  std::optional<std::uint64_t> Length() const {
    ChainEnd end;
    if (replica.FindEnd(zone_, chain_, &end) == ReadOutcome::kAbsent) return std::nullopt;
    return end.length;
  }
  ReadOutcome Outcome() const {
    ChainEnd end;
    return replica.FindEnd(zone_, chain_, &end);
  }
  void NoteEntry(std::uint64_t position) { replica.NoteRecord({zone_, RecordKind::kEntry, chain_, position}, RecordHeader{}); }
  bool MayHaveChanged(std::uint64_t position, Seq since) const {
    return replica.MayHaveChanged({zone_, RecordKind::kEntry, chain_, position}, since);
  }

  MemoryStore store;
  PartitionReplica replica{kPartition, store, PartitionMeta{}, 64};

 private:
  ZoneId zone_;
  BlockId chain_;
};

TEST_CASE("R4.2: a line of the log that does not verify is not named, and those behind it are") {
  Appender a;
  for (const char* body : {"one", "two", "three", "four"}) a.Append(body);
  a.Sync();
  const auto named = [&] {
    std::vector<std::uint64_t> positions;
    for (const auto& mark : a.replica.Marks()) positions.push_back(mark.seq());
    return positions;
  };
  const auto last = a.replica.Marks().back();
  CHECK(named() == std::vector<std::uint64_t>{0, 1, 2, 3, 4});
  REQUIRE(a.store.DamageLog(kPartition, Seq(2)));
  CHECK(named() == std::vector<std::uint64_t>{0, 1, 3, 4});
  REQUIRE(a.store.DamageLog(kPartition, Seq(4)));  // the meta line says what it was
  CHECK(named() == std::vector<std::uint64_t>{0, 1, 3, 4});
  CHECK(a.replica.Marks().back().hash() == last.hash());
}

TEST_CASE("R4.5: that a line which does not verify is the same as another's, the line after it tells") {
  Appender a, same, other;
  for (const char* body : {"one", "two", "three", "four"}) a.Append(body), same.Append(body);
  for (const char* body : {"one", "2", "three", "four"}) other.Append(body);
  a.Sync();
  for (const std::uint64_t line : {2, 4}) REQUIRE(a.store.DamageLog(kPartition, Seq(line)));
  const auto holds_of = [&](const Appender& from, std::uint64_t line) { return a.replica.Holds(Seq(line), from.replica.HashAt(Seq(line))->view()); };
  for (const std::uint64_t line : {0, 1, 2, 3, 4}) {
    CHECK(holds_of(same, line));
    CHECK(holds_of(other, line) == (line < 2));
  }
  CHECK_FALSE(a.replica.Holds(Seq(2), "not a hash"));
  REQUIRE(a.store.DamageLog(kPartition, Seq(3)));
  CHECK_FALSE(holds_of(same, 2));  // nothing tells: the one after it does not verify either
}

TEST_CASE("a chain that was cut ends at the cut before that is durable, and after (R4.2)") {
  Appender a;
  a.Append("one");
  a.Append("two");
  a.Sync();
  REQUIRE(a.Length() == 2);
  a.CutTo(Seq(1));
  CHECK(a.Length() == 1);  // the disk still shows two
  a.Sync();
  CHECK(a.Length() == 1);
  a.Append("other");
  CHECK(a.Length() == 2);
  a.Sync();
  a.CutTo(Seq(0));
  CHECK_FALSE(a.Length());
  a.Sync();
  CHECK_FALSE(a.Length());
}

TEST_CASE("the end of the chain appended to last is known without the store, until anything else could have changed it") {
  Appender a;
  a.Append("one");
  a.Append("two");
  a.Sync();
  a.store.SetReadErrors(true);
  CHECK(a.Length() == 2);
  SECTION("the next append does not") {
    a.Append("three");
    a.Sync();
    CHECK(a.Length() == 3);
  }
  SECTION("a record that was not ordered here does") {
    a.replica.ForgetEnd();
    CHECK(a.Outcome() == ReadOutcome::kFailed);
  }
  SECTION("a record that resync wrote does") {
    a.NoteEntry(2);
    CHECK(a.Outcome() == ReadOutcome::kFailed);
  }
  SECTION("an end of the chain's zone does") {
    a.DropZone();
    a.Sync();
    CHECK(a.Outcome() == ReadOutcome::kFailed);
  }
  SECTION("a log that begins anew does") {
    StoreBatch batch;
    a.replica.StartAt(Seq(9), Digest{}, {Term(2), Boot(1), Seq(9)}, &batch);
    CHECK(a.Outcome() == ReadOutcome::kFailed);
  }
}

TEST_CASE("a commit mark is made durable by itself only if no write has taken it along (R4.6)") {
  Appender a;
  a.Append("one");
  a.Sync();
  StoreBatch batch;
  a.replica.Commit(Seq(1), &batch);
  CHECK(batch.empty());
  a.replica.KeepCommitted(&batch);
  CHECK(batch.changes.size() == 1);
  StoreBatch again;
  a.replica.KeepCommitted(&again);
  a.Append("two");
  a.Sync();
  a.replica.Commit(Seq(2), &again);
  a.Append("three");  // names what is committed before it
  a.replica.KeepCommitted(&again);
  CHECK(again.empty());
}

TEST_CASE("blocks of a zone that was dropped do not count, though they stay until the drop is committed (I15)") {
  Appender a;
  a.Append("one");
  a.Sync();
  CHECK(a.LiveBlocks() == 1);
  a.DropZone();
  CHECK(a.LiveBlocks() == 0);
  a.Sync();
  CHECK(a.EntryOnDisk());
  CHECK(a.LiveBlocks() == 0);
}

TEST_CASE("a log that begins anew has exactly its rows erased: a store need not look for them") {
  Appender a;
  const auto erased = [&a](Seq base) {
    StoreBatch batch;
    a.replica.StartAt(base, Digest{}, {Term(2), Boot(1), base}, &batch);
    std::vector<std::pair<Seq, Seq>> ranges;
    for (const auto& change : batch.changes) {
      if (const auto* log = std::get_if<StoreBatch::EraseLog>(&change)) ranges.push_back({log->from, log->to});
    }
    return ranges;
  };
  CHECK(erased(Seq(5)).empty());
  for (int i = 0; i < 3; ++i) a.Append("x");
  CHECK(erased(Seq(20)) == std::vector<std::pair<Seq, Seq>>{{Seq(6), Seq(8)}});
  CHECK(erased(Seq(20)).empty());
}

TEST_CASE("a delete of a chunk marks other bytes under its id with what was deleted (L10.2)") {
  Appender a;
  const std::string old = "put in an earlier term, never acknowledged", deleted = "what the primary deletes";
  const auto apply = [&a](wire::WriteKind kind, const std::string& body, bool repeat) {
    wire::Write write;
    write.set_kind(kind);
    write.set_zone(ZoneId{}.str());
    write.set_id(BlockId{}.str());
    write.set_repeat(repeat);
    SetStamp({Term(1), Boot(1), a.replica.last().Next()}, write.mutable_stamp());
    write.add_items()->set_hash(Sha256({body}).str());
    write.mutable_items(0)->set_size(body.size());
    write.set_hash(HashWrite(a.replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(a.replica.Apply(std::make_shared<const wire::Write>(write), {std::make_shared<const std::string>(body)}, &batch));
    a.store.Write(std::move(batch), nullptr);
    a.Sync();
  };
  apply(wire::WRITE_KIND_PUT_CHUNK, old, false);
  if (GENERATE(true, false)) apply(wire::WRITE_KIND_DELETE_CHUNK, old, false);
  apply(wire::WRITE_KIND_DELETE_CHUNK, deleted, GENERATE(true, false));
  RecordHeader header;
  REQUIRE(a.replica.Find({ZoneId{}, RecordKind::kChunk, BlockId{}, 0}, &header) == ReadOutcome::kFound);
  CHECK(header.deleted);
  CHECK(header.hash == Sha256({deleted}));
  CHECK(header.deleted_by.seq == a.replica.last());
}

TEST_CASE("a log that begins anew is durable when its beginning is (R4.3)") {
  Appender a;
  for (int i = 0; i < 3; ++i) a.Append("x");
  a.Sync();
  const Applied before = a.replica.applied();
  a.StartAt(Seq(3));
  CHECK_FALSE(a.replica.AllDurable());
  CHECK(a.replica.durable() == Seq{});
  const Applied begun = a.replica.applied();
  a.replica.DurableUpTo(before);
  CHECK_FALSE(a.replica.AllDurable());
  SECTION("with nothing behind it") {
    a.replica.DurableUpTo(begun);
    CHECK(a.replica.AllDurable());
    CHECK(a.replica.durable() == Seq(3));
  }
  SECTION("what follows is on its way still") {
    a.Append("y");
    a.replica.DurableUpTo(begun);
    CHECK_FALSE(a.replica.AllDurable());
    CHECK(a.replica.durable() == Seq(3));
    a.Sync();
    CHECK(a.replica.AllDurable());
  }
}

TEST_CASE("what is durable of one log is nothing to the next, though the numbers are the same (R4.3)") {
  Appender a;
  a.StartAt(Seq(7));
  const Applied first = a.replica.applied();
  a.Sync();
  a.StartAt(Seq(4));
  for (int i = 0; i < 3; ++i) a.Append("y");
  REQUIRE(a.replica.last() == Seq(7));
  a.replica.DurableUpTo(first);
  CHECK(a.replica.durable() == Seq{});
  CHECK_FALSE(a.replica.AllDurable());
  a.Sync();
  CHECK(a.replica.durable() == Seq(7));
}

TEST_CASE("a cut is durable when it is on the disk; what stands before it always was (R4.2, R4.3)") {
  Appender a;
  for (int i = 0; i < 3; ++i) a.Append("x");
  a.Sync();
  const Applied before = a.replica.applied();
  a.CutTo(Seq(1));
  CHECK_FALSE(a.replica.AllDurable());
  CHECK(a.replica.durable() == Seq(1));
  a.Append("y");
  a.Append("z");
  a.replica.DurableUpTo(before);
  CHECK(a.replica.durable() == Seq(1));
  a.Sync();
  CHECK(a.replica.AllDurable());
  CHECK(a.replica.durable() == Seq(3));
}

TEST_CASE("what a replica had applied whose partition was discarded is nothing to the one made after it") {
  Appender a;
  a.Append("x");
  const Applied discarded = a.replica.applied();
  PartitionReplica next(kPartition, a.store, PartitionMeta{}, 64, 1);
  StoreBatch batch;
  next.StartAt(Seq(1), Digest{}, {Term(2), Boot(1), Seq(1)}, &batch);
  next.DurableUpTo({discarded.incarnation, 1, Seq(1)});
  CHECK_FALSE(next.AllDurable());
  next.DurableUpTo(next.applied());
  CHECK(next.AllDurable());
}

TEST_CASE("what changed beside the log is shown until it is durable itself, though all of the log is (S5)") {
  Appender a;
  a.Append("x");
  const Applied before = a.replica.applied();
  const RecordKey fetched{ZoneId{}, RecordKind::kChunk, BlockId{}, 7};
  a.replica.NoteRecord(fetched, RecordHeader{});
  a.store.CompleteWrites();
  a.replica.DurableUpTo(before);
  CHECK(a.replica.AllDurable());
  RecordHeader header;
  CHECK(a.replica.Find(fetched, &header) == ReadOutcome::kFound);
  a.replica.DurableUpTo(a.replica.applied());
  CHECK(a.replica.Find(fetched, &header) == ReadOutcome::kAbsent);  // the store tells now
}

// Copies compare it, of other versions too, and logs on disks are chained by it. Reckoned apart from this code.
TEST_CASE("the hash of a write is what it always was") {
  wire::Write write;
  SetStamp({Term(0x0102030405060708), Boot(2), Seq(300)}, write.mutable_stamp());
  write.set_kind(wire::WRITE_KIND_APPEND);
  write.set_zone(std::string(ZoneId::kSize, 'z'));
  write.set_id(std::string(BlockId::kSize, 'i'));
  write.set_position(7);
  for (const char c : {'a', 'b'}) write.add_items()->set_hash(std::string(Digest::kSize, c));
  const Digest previous = Digest::Must(std::string(Digest::kSize, 'p'));
  CHECK(Hex(HashWrite(previous, write).view()) == "582f82e3155a1c2c2749315f0688fd521ded3ad24dcd5c27500795e0e0b6286a");
}

TEST_CASE("the log tells which records may have changed since a write") {
  Appender a;
  a.Append("one");
  a.Append("two");
  a.Sync();
  CHECK(a.MayHaveChanged(0, Seq(0)));
  CHECK_FALSE(a.MayHaveChanged(0, Seq(1)));
  CHECK(a.MayHaveChanged(1, Seq(1)));
  CHECK_FALSE(a.MayHaveChanged(1, Seq(2)));
}

TEST_CASE("R5.3: a zone whose deletion is cut off is there for who reads what is committed") {
  Appender a;
  a.Registers(wire::WRITE_KIND_CREATE_ZONE, false);
  a.Registers(wire::WRITE_KIND_DELETE_ZONE, true);
  const bool purged = GENERATE(false, true);
  if (purged) a.Registers(wire::WRITE_KIND_PURGE_ZONE, true);
  a.Sync();
  const Seq fork(purged ? 2 : 1);
  a.CutTo(fork);
  a.Sync();
  RecordHeader header;
  wire::ZoneRecord zone;
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockId::Must(Sha256({"a zone"}).view()), 0};
  REQUIRE(a.replica.FindZone(key, &header, &zone) == ReadOutcome::kFound);
  CHECK(header.stamp.seq == fork);
  CHECK(zone.deleting() == purged);
}

}  // namespace
}  // namespace coffer::node
