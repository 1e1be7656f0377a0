// L10: what several survivors hold of a partition becomes one copy.
#include <map>
#include <set>

#include "cluster/sha256.h"
#include "node/core/merge_rule.h"
#include "node/core/survivor_merge.h"
#include "node/memory_store.h"
#include "test_support.h"
#include "unit/node_sides.h"

namespace coffer::node {
namespace {

const ZoneId kZone = ZoneId::Must("zone-of-16-bytes");
const NodeId kSelf = NodeId::Must("node-one-16bytes");
const NodeId kOther = NodeId::Must("node-two-16bytes");

Stamp At(std::uint64_t term, std::uint64_t seq, std::uint64_t boot = 1) { return {Term(term), Boot(boot), Seq(seq)}; }
BlockId Id(std::uint8_t n) {
  BlockId id;
  id.bytes.fill(n);
  return id;
}
RecordKey ChunkKey(std::uint8_t n) { return {kZone, RecordKind::kChunk, Id(n), 0}; }

struct Record {
  RecordKey key;
  RecordHeader header;
  Payload value;
};

Record Chunk(std::uint8_t n, const std::string& value, Stamp stamp) {
  return {ChunkKey(n), {.stamp = stamp, .hash = Sha256({value}), .size = value.size()}, std::make_shared<const std::string>(value)};
}
Record DeletedChunk(std::uint8_t n, const std::string& value, Stamp stamp, Stamp by) {
  Record record = Chunk(n, value, stamp);
  record.header.deleted = record.header.value_gone = true;
  record.header.deleted_by = by;
  record.value = nullptr;
  return record;
}
Record Mark(RecordKind kind, std::uint8_t n, Stamp stamp) {
  return {{kZone, kind, kind == RecordKind::kZoneDrop ? BlockId{} : Id(n), 0}, {.stamp = stamp}, nullptr};
}
// The registration of kZone.
Record Registration(bool deleting, Stamp stamp) {
  wire::ZoneRecord zone;
  zone.set_id(kZone.str());
  zone.set_name("a zone");
  zone.set_deleting(deleting);
  const std::string value = zone.SerializeAsString();
  return {{ZoneId{}, RecordKind::kZone, Id(5), 0}, {.stamp = stamp, .hash = Sha256({value}), .size = value.size()}, std::make_shared<const std::string>(value)};
}
// The entry at `position` behind an entry of this hash.
Record Entry(std::uint8_t chain, std::uint64_t position, const Digest& predecessor, const std::string& body, Stamp stamp) {
  Record record{{kZone, RecordKind::kEntry, Id(chain), position}, {.stamp = stamp, .size = body.size()}, std::make_shared<const std::string>(body)};
  record.header.predecessor = predecessor;
  record.header.hash = EntryHash(Id(chain), position, predecessor, "", body);
  return record;
}
std::vector<Record> Chain(std::uint8_t chain, const std::vector<std::string>& bodies, std::uint64_t term, std::uint64_t first_seq) {
  std::vector<Record> entries;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    entries.push_back(Entry(chain, i, i == 0 ? Digest{} : entries.back().header.hash, bodies[i], At(term, first_seq + i)));
  }
  return entries;
}

// Two survivors of one partition; this node merges them.
class Survivors {
 public:
  Survivors() {
    cluster::Layout layout;
    layout.cluster.bytes.fill(1);
    layout.cluster_name = "test";
    layout.epoch = layout.forced_epoch = Epoch(9);
    for (const NodeId& id : {kSelf, kOther}) {
      cluster::Member member;
      member.id = id;
      member.name = "node-" + std::to_string(layout.members.size() + 1);
      layout.members.push_back(member);
    }
    layout.voters = {0, 1};
    layout.settings.partitions = 1;
    layout.partitions.push_back({0, {0}, Term(9), {0, 1}, {0, 1}});
    REQUIRE_FALSE(WhyMalformed(layout));
    context_.layout = std::make_shared<const cluster::Layout>(layout);
    context_.self_index = 0;
    context_.linked.insert(kOther);
    context_.now = Instant(std::chrono::seconds(1));
  }

  void Hold(MemoryStore& store, const std::vector<Record>& records) {
    StoreBatch batch;
    for (const Record& r : records) batch.changes.push_back(StoreBatch::PutRecord{0, r.key, r.header, r.value});
    store.Write(std::move(batch), nullptr);
    store.CompleteWrites();
  }
  void Extent(MemoryStore& store, PartitionMeta meta) {
    StoreBatch batch;
    batch.changes.push_back(StoreBatch::PutMeta{0, meta});
    store.Write(std::move(batch), nullptr);
    store.CompleteWrites();
  }

  // Merges, until `most` messages were answered; true once it has said that it is done.
  bool Run(int most = 1000) {
    PartitionMeta meta;
    mine.ReadMetas([&](PartitionId, const PartitionMeta& found) { meta = found; });
    context_.replicas[0] = std::make_unique<PartitionReplica>(0, mine, meta, 64);
    Dropped();  // what it is asked before must not be remembered after
    merge_.StartTerm(0);
    said_.reset();
    for (int i = 0; i < 100 && !said_; ++i) {
      context_.now += std::chrono::milliseconds(600);
      merge_.Tick();
      while (!said_ && Step(most)) {
      }
    }
    merge_.EndTerm(0);
    return said_.has_value();
  }
  const wire::Merged& said() const { return said_->merged(); }
  const PartitionMeta& meta() { return context_.Replica(0).meta(); }
  // The log that begins behind what was merged is on the disk, and this node may lead by it.
  bool LogIsDurable() { return context_.Replica(0).AllDurable() && context_.Replica(0).durable() == meta().last.seq; }
  bool Dropped() {
    bool dropped = false;
    context_.Replica(0).ZoneDropped(kZone, &dropped);
    return dropped;
  }
  std::vector<QuarantinedWrite> aside;
  int told_durable = 0;

  // Keys and values: "" for a mark of a delete.
  std::map<std::string, std::string> Records(const MemoryStore& store) {
    std::map<std::string, std::string> all;
    store.Scan(0, "", "", [&](const ScannedRecord& r) {
      RecordHeader header;
      Payload value;
      CHECK(store.Read(0, r.key, &header, &value) == ReadOutcome::kFound);
      all[EncodeKey(r.key)] = value && !header.deleted ? *value : "";
      return true;
    });
    return all;
  }

  MemoryStore mine, other;

 private:
  static NodeCoreConfig Config() {
    NodeCoreConfig config;
    config.boot = Boot(4);
    config.self.set_id(kSelf.str());
    return config;
  }

  // What is on its way to the disk is shown already, and counts as on its way.
  void CheckShown(const StoreBatch& batch) {
    for (const auto& change : batch.changes) {
      const auto* put = std::get_if<StoreBatch::PutRecord>(&change);
      const auto* drop = std::get_if<StoreBatch::DropValue>(&change);
      if (!put && !drop) continue;
      const RecordHeader& header = put ? put->header : drop->header;
      RecordHeader shown;
      CHECK(context_.Replica(0).Find(put ? put->key : drop->key, &shown) == ReadOutcome::kFound);
      CHECK(RecordHash(shown) == RecordHash(header));
      CHECK(shown.stamp == header.stamp);
      CHECK_FALSE(context_.Replica(0).Settled());
    }
  }

  bool Step(int& most) {
    auto out = std::exchange(context_.out, {});
    for (auto& write : out.quarantine) aside.push_back(std::move(write));
    for (auto& persist : out.persist) {
      CheckShown(std::get<StoreBatch>(persist.what));
      mine.Write(std::move(std::get<StoreBatch>(persist.what)), nullptr);
      mine.CompleteWrites();
      auto then = std::move(context_.continuations.front());
      context_.continuations.pop_front();
      then();
    }
    for (auto& sent : out.send) {
      CHECK(sent.to == kOther);
      if (most-- > 0) Answer(sent.message.header);
    }
    return !out.persist.empty() || !out.send.empty();
  }

  // As ResyncSource does, in pages of two records.
  void Answer(const wire::Peer& asked) {
    if (asked.has_list_request()) {
      wire::Listing listing;
      listing.set_term(9);
      listing.set_boot(4);
      listing.set_after(asked.list_request().after());
      PartitionMeta meta;
      other.ReadMetas([&](PartitionId, const PartitionMeta& found) { meta = found; });
      const CopyExtent extent = ExtentOf(meta);
      SetStamp(extent.last, listing.mutable_copy()->mutable_last());
      listing.mutable_copy()->set_complete_to(extent.complete_to.value);
      listing.mutable_copy()->set_resumed_at(extent.resumed_at.value);
      other.Scan(0, listing.after(), "", [&](const ScannedRecord& r) {
        if (listing.records_size() == 2) {
          listing.set_last_key(listing.records(1).key());
          return false;
        }
        listing.add_records()->set_key(EncodeKey(r.key));
        listing.mutable_records()->rbegin()->set_hash(RecordHash(r.header).str());
        return true;
      });
      return merge_.OnListing(kOther, listing);
    }
    REQUIRE(asked.has_fetch_request());
    ReadTask task;
    *task.request.mutable_fetch_request() = asked.fetch_request();
    task.for_merge = true;
    auto result = RunRead(other, std::move(task));
    merge_.OnFetched(kOther, result.answer.header.fetched(), result.answer.bodies);
  }

  Context context_{Config(), mine, 1};
  std::optional<wire::ChangeRequest> said_;
  SurvivorMerge merge_{context_, [this](const wire::ChangeRequest& request) { said_ = request; }, [this](PartitionId) { ++told_durable; }};
};

template <class... Lists>
std::vector<Record> Join(const Lists&... lists) {
  std::vector<Record> all;
  (all.insert(all.end(), lists.begin(), lists.end()), ...);
  return all;
}

TEST_CASE("L10: of two values under a key the later write stands, by term, start, position and hash") {  // L10.2
  const auto verdict = [](const Record& mine, const Record& theirs) { return MergeRecords(mine.key, mine.header, theirs.header); };
  struct Case {
    Stamp mine, theirs;
    MergedRecord stands;
  };
  for (const Case& c : {Case{At(3, 9), At(4, 2), MergedRecord::kTheirs}, Case{At(4, 2), At(3, 9), MergedRecord::kMine},
                        Case{At(3, 9, 1), At(3, 5, 2), MergedRecord::kTheirs}, Case{At(3, 5), At(3, 6), MergedRecord::kTheirs}}) {
    const auto v = verdict(Chunk(1, "a", c.mine), Chunk(1, "b", c.theirs));
    CHECK(v.stands == c.stands);
    CHECK(v.conflict);
  }
  // One write can't have two values; were it so, both sides choose the same.
  const auto one = verdict(Chunk(1, "a", At(3, 9)), Chunk(1, "b", At(3, 9)));
  const auto two = verdict(Chunk(1, "b", At(3, 9)), Chunk(1, "a", At(3, 9)));
  CHECK((one.stands == MergedRecord::kMine) == (two.stands == MergedRecord::kTheirs));
}

TEST_CASE("L10: a deleted chunk stays deleted, whichever copy knows it") {  // L10.2
  const Record live = Chunk(1, "a", At(3, 9));
  const Record gone = DeletedChunk(1, "a", At(3, 9), At(3, 10));
  CHECK(MergeRecords(live.key, live.header, gone.header).stands == MergedRecord::kDelete);
  CHECK(MergeRecords(live.key, gone.header, live.header).stands == MergedRecord::kMine);
  CHECK_FALSE(MergeRecords(live.key, live.header, gone.header).conflict);
}

TEST_CASE("L10: what may be missing is said, and not less") {  // L10.6
  struct Case {
    std::vector<CopyExtent> copies;
    std::uint64_t from, to, last, latest = 0;
  };
  const auto whole = [](Stamp last, std::uint64_t committed) { return CopyExtent{last, Seq(committed), Seq{}}; };
  const auto part = [](Stamp last, std::uint64_t complete, std::uint64_t resumed) { return CopyExtent{last, Seq(complete), Seq(resumed)}; };
  for (const Case& c : {Case{{whole(At(3, 50), 48)}, 0, 0, 50},                             // alone, and whole
                        Case{{whole(At(3, 50), 50), part(At(4, 70), 0, 50)}, 0, 0, 70},     // they meet
                        Case{{whole(At(3, 50), 48), part(At(4, 70), 0, 55)}, 49, 55, 70},   // a gap between them
                        Case{{part(At(4, 70), 20, 55)}, 21, 55, 70},                        // only the learner
                        Case{{whole(At(3, 80), 60), part(At(4, 70), 0, 60)}, 71, 80, 80},   // a tail that may have been replaced
                        Case{{whole(At(3, 4), 0), whole(At(4, 0), 0)}, 1, 4, 4},            // such a tail, and a learner that got nothing yet
                        Case{{part(At(5, 90), 30, 60), part(At(4, 70), 40, 50)}, 41, 60, 90},
                        Case{{whole(At(3, 50), 48), part(At(4, 70), 0, 55)}, 49, 75, 75, 75},  // a record of a write that no log came to
                        Case{{whole(At(3, 50), 50), part(At(4, 70), 0, 50)}, 71, 75, 75, 75},
                        Case{{whole(At(3, 50), 50), part(At(4, 70), 0, 50)}, 0, 0, 70, 70},
                        Case{{whole(At(3, 0), 0), part(At(4, 0), 0, 0)}, 1, 5, 5, 5}}) {
    const auto loss = LossOf(c.copies, Seq(c.latest));
    CHECK_FALSE(loss.nothing);
    CHECK(loss.from == Seq(c.from));
    CHECK(loss.to == Seq(c.to));
    CHECK(loss.last == Seq(c.last));
  }
  CHECK(LossOf({{}, {}}, Seq{}).nothing);
}

TEST_CASE("L10: a removed member's history and a learner's live writes make one copy") {  // L10.1, L10.6
  Survivors s;
  const auto chain = Chain(7, {"one", "two", "three", "four"}, 3, 10);
  // This node was removed after write 12; the other was the learner from there on.
  s.Hold(s.mine, Join(std::vector{Chunk(1, "old", At(3, 1)), Chunk(2, "deleted later", At(3, 2))}, std::vector{chain[0], chain[1], chain[2]}));
  s.Extent(s.mine, {.last = At(3, 12), .committed = Seq(12)});
  s.Hold(s.other, {chain[3], Chunk(3, "new", At(5, 14)), DeletedChunk(2, "deleted later", {}, At(5, 15))});
  s.Extent(s.other, {.last = At(5, 15), .committed = Seq(15), .lacks_after = Seq(0), .lacks_to = Seq(12)});
  REQUIRE(s.Run());
  const auto records = s.Records(s.mine);
  CHECK(records.at(EncodeKey(ChunkKey(1))) == "old");
  CHECK(records.at(EncodeKey(ChunkKey(2))).empty());
  CHECK(records.at(EncodeKey(ChunkKey(3))) == "new");
  for (const auto& entry : chain) CHECK(records.at(EncodeKey(entry.key)) == *entry.value);
  CHECK(records.size() == 7);
  CHECK_FALSE(s.said().nothing());
  CHECK(s.said().from() == 0);
  CHECK(s.said().last() == 15);
  CHECK(s.said().set_aside() == 0);
  // Counted anew, and the log goes on behind everything (I15, I2).
  CHECK(s.meta().blocks == 3);
  CHECK(s.meta().bytes == 3 + 3 + 3 + 3 + 5 + 4);
  CHECK(s.meta().last == Stamp{Term(9), Boot(4), Seq(15)});
  CHECK(s.meta().committed == Seq(15));
  CHECK(s.LogIsDurable());
  CHECK(s.told_durable > 0);
}

TEST_CASE("R5.3: a log that is merged begins behind every write that a record speaks of, so that readers are shown them") {  // L10.5, L10.6
  const bool deleted = GENERATE(false, true);
  Survivors s;
  s.Hold(s.mine, {Chunk(1, "old", At(3, 1))});
  s.Extent(s.mine, {.last = At(3, 12), .committed = Seq(12)});
  // The learner's log came to write 15; the record it had fetched already.
  s.Hold(s.other, {deleted ? DeletedChunk(2, "new", At(3, 2), At(5, 20)) : Chunk(2, "new", At(5, 20))});
  s.Extent(s.other, {.last = At(5, 15), .committed = Seq(12), .lacks_after = Seq(0), .lacks_to = Seq(12)});
  for (int again = 0; again < 2; ++again) {
    REQUIRE(s.Run());
    CHECK(s.meta().last.seq == Seq(20));
    CHECK(s.meta().committed == Seq(20));
    CHECK(s.said().last() == 20);
    CHECK(s.said().from() == 16);
    CHECK(s.said().to() == 20);
    CHECK(s.meta().lacks_to == Seq(20));  // it is known of this copy from now on
  }
}

TEST_CASE("L10: it comes to the same whoever merges, and however often") {  // L10.5
  const auto chain = Chain(7, {"one", "two", "three", "four"}, 3, 10);
  const auto fork = Entry(7, 2, chain[1].header.hash, "another", At(4, 12));
  const std::vector<Record> a = {Chunk(1, "x", At(3, 1)), Chunk(2, "mine", At(3, 5)), chain[0], chain[1], chain[2], chain[3]};
  const std::vector<Record> b = {Chunk(2, "theirs", At(4, 2)), DeletedChunk(1, "x", At(3, 1), At(4, 3)), fork, Chunk(9, "y", At(4, 7))};
  std::map<std::string, std::string> first;
  for (const bool swapped : {false, true}) {
    Survivors s;
    s.Hold(s.mine, swapped ? b : a);
    s.Hold(s.other, swapped ? a : b);
    s.Extent(s.mine, {.last = At(swapped ? 4 : 3, 13)});
    s.Extent(s.other, {.last = At(swapped ? 3 : 4, 13)});
    REQUIRE_FALSE(s.Run(2));  // the process ends in between
    REQUIRE(s.Run());
    const auto once = s.Records(s.mine);
    CHECK(once.at(EncodeKey(ChunkKey(2))) == "theirs");
    CHECK(once.at(EncodeKey(fork.key)) == "another");
    CHECK_FALSE(once.contains(EncodeKey(chain[3].key)));  // it followed the one that lost
    std::set<std::string> aside;
    for (const auto& write : s.aside) aside.insert(*write.bodies.at(0));
    CHECK(aside == std::set<std::string>{"mine", "three", "four"});
    REQUIRE(s.Run());
    CHECK(s.Records(s.mine) == once);
    if (!swapped) first = once;
    CHECK(once == first);
  }
}

TEST_CASE("L10: a chain ends at its first gap, and what stood behind it is set aside") {  // L10.3, L10.4
  Survivors s;
  const auto chain = Chain(7, {"one", "two", "three", "four", "five"}, 3, 10);
  const auto headless = Chain(8, {"a", "b"}, 3, 20);
  s.Hold(s.mine, {chain[0], chain[1]});
  s.Hold(s.other, {chain[3], chain[4], headless[1]});
  s.Extent(s.other, {.last = At(3, 30), .lacks_after = Seq(0), .lacks_to = Seq(12)});
  REQUIRE(s.Run());
  CHECK(s.Records(s.mine).size() == 2);
  CHECK(s.said().set_aside() == 3);
  CHECK(s.said().from() == 1);
  CHECK(s.said().to() == 12);
  CHECK(s.meta().blocks == 1);
  CHECK(s.meta().lacks_to == Seq(12));  // it is known of this copy from now on
}

TEST_CASE("L10: what a delete covers on one copy goes, though another still has it") {  // L10.3
  Survivors s;
  const auto chain = Chain(7, {"one", "two"}, 3, 10);
  s.Hold(s.mine, Join(chain, std::vector{Chunk(1, "kept", At(3, 1))}));
  s.Hold(s.other, {Mark(RecordKind::kChainDelete, 7, At(5, 20))});
  s.Extent(s.other, {.last = At(5, 20)});
  REQUIRE(s.Run());
  CHECK(s.Records(s.mine).size() == 2);
  CHECK(s.meta().blocks == 1);
  Survivors zone;
  zone.Hold(zone.mine, Join(chain, std::vector{Chunk(1, "gone", At(3, 1))}));
  zone.Hold(zone.other, {Mark(RecordKind::kZoneDrop, 0, At(5, 20))});
  zone.Extent(zone.other, {.last = At(5, 20)});
  REQUIRE(zone.Run());
  CHECK(zone.Dropped());
  CHECK_FALSE(s.Dropped());
  CHECK(zone.Records(zone.mine).size() == 1);
  CHECK(zone.meta().blocks == 0);
}

TEST_CASE("L10: a zone that was dropped is being deleted, though a survivor has its registration from before that") {  // L10.3
  const Record before = Registration(false, At(3, 1));
  const Record going = Registration(true, At(3, 2));
  Survivors s;
  const bool dropped = GENERATE(true, false);
  const bool mine = GENERATE(true, false);
  if (dropped) s.Hold(mine ? s.other : s.mine, {Mark(RecordKind::kZoneDrop, 0, At(5, 20))});  // and purged it then
  s.Hold(mine ? s.mine : s.other, {before});
  s.Extent(mine ? s.other : s.mine, {.last = At(5, 21), .committed = Seq(21)});
  for (int again = 0; again < 2; ++again) {
    REQUIRE(s.Run());
    const auto records = s.Records(s.mine);
    CHECK(records.size() == (dropped ? 2 : 1));
    CHECK(records.at(EncodeKey(before.key)) == *(dropped ? going : before).value);
  }
}

TEST_CASE("L10: who merges begins once what was on its way to its disk is there") {  // L10.1
  OneSide side;
  side.Adopt(9, {cluster::Group{0, {0}, Term(9), {0, 1}, {0, 1}}});
  side.ctx.linked.insert(OneSide::kOther);
  PartitionReplica& replica = side.ctx.Replica(0);
  StoreBatch batch;
  SECTION("a write of its log") {
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_DROP_ZONE);
    write.set_zone(kZone.str());
    SetStamp(At(3, 1), write.mutable_stamp());
    write.set_hash(HashWrite(Digest{}, write).str());
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), {}, &batch));
  }
  SECTION("what it fetched as a learner") {
    const Record fetched = Chunk(1, "fetched", At(3, 1));
    replica.NoteRecord(fetched.key, fetched.header);
    batch.changes.push_back(StoreBatch::PutRecord{0, fetched.key, fetched.header, fetched.value});
  }
  side.ctx.Persist(std::move(batch), [&replica, applied = replica.applied()] { replica.DurableUpTo(applied); });
  SurvivorMerge merge(side.ctx, [](const wire::ChangeRequest&) {}, [](PartitionId) {});
  const auto asks = [&] {
    side.ctx.now += std::chrono::milliseconds(600);
    merge.Tick();
    return side.CountSaid([](const wire::Peer& m) { return m.has_list_request(); });
  };
  merge.StartTerm(0);
  CHECK(asks() == 0);
  side.SyncAll();
  CHECK(asks() == 1);
}

TEST_CASE("L10: a record that does not verify gives way to the survivor's good one, and never the other way") {  // L10.2
  Survivors s;
  s.Hold(s.mine, {Chunk(1, "good", At(3, 1)), Chunk(2, "good too", At(3, 2))});
  s.Hold(s.other, {Chunk(1, "good", At(3, 1)), Chunk(2, "good too", At(3, 2))});
  s.mine.DamageRecord(0, ChunkKey(1), MemoryStore::Part::kHeader);
  s.other.DamageRecord(0, ChunkKey(2), MemoryStore::Part::kValue);
  REQUIRE(s.Run());
  CHECK(s.Records(s.mine).at(EncodeKey(ChunkKey(1))) == "good");
  CHECK(s.Records(s.mine).at(EncodeKey(ChunkKey(2))) == "good too");
}

TEST_CASE("L10: a chunk that was deleted on one survivor stays deleted, though its bytes do not verify") {  // L10.2
  Survivors s;
  const bool here = GENERATE(true, false);
  MemoryStore& one = here ? s.mine : s.other;
  Record deleted = Chunk(1, "bytes", At(3, 1));
  deleted.header.deleted = true;
  deleted.header.deleted_by = At(3, 2);
  s.Hold(one, {deleted});
  s.Hold(here ? s.other : s.mine, {Chunk(1, "bytes", At(3, 1))});
  one.DamageRecord(0, ChunkKey(1), MemoryStore::Part::kValue);
  REQUIRE(s.Run());
  RecordHeader header;
  REQUIRE(s.mine.Lookup(0, ChunkKey(1), &header) == ReadOutcome::kFound);
  CHECK(header.deleted);
}

TEST_CASE("L10: nothing on any survivor is an empty partition, and said") {
  Survivors s;
  REQUIRE(s.Run());
  CHECK(s.said().nothing());
  CHECK(s.said().last() == 0);
}

}  // namespace
}  // namespace coffer::node
