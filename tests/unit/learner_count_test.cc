// When a learner may count what it holds, and say that it has everything: not before its log has come to what took away a record that it was
// to fetch (S5, I15), nor before all is durable (S7), and not for an earlier choice (S2a). And what it takes of what comes late (S5).
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/sha256.h"
#include "node/core/replica.h"
#include "node/core/resync_source.h"
#include "node/memory_store.h"
#include "test_support.h"
#include "unit/learner_words.h"
#include "unit/store_samples.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartition = 0;
const NodeId kPrimary = NodeId::Must("the-primary-16by");

// A learner of one partition, and its primary, for which the test speaks. What the learner writes is durable at once, unless the disk stands still.
class Learning {
 public:
  Learning() : ctx_(LearnerConfig(), store_, 1), learner_(ctx_, [this](PartitionId, std::uint64_t choice) { return choice == log_of; }) { Choose(1); }

  // The log begins where this choice says, unless that is yet to come.
  void Choose(std::uint64_t choice) {
    log_of = choice;
    ChooseOnly(choice);
  }
  void ChooseOnly(std::uint64_t choice, Seq base = {}) {
    wire::LearnerRole role = ChosenRole(kPartition, choice);
    role.set_base(base.value);
    learner_.OnRole(kPrimary, role);
  }

  // Long enough that whatever waits is tried again.
  void Wait() {
    for (int i = 0; i < 300; ++i) {
      ctx_.now += std::chrono::milliseconds(20);
      learner_.Tick();
      Take();
    }
  }
  // The primary's log had come to these writes when it looked.
  void OfferOneRecord(const std::string& key, Seq compared = {}, Seq listed = {}) { Offer(key, "", "", compared, listed); }
  // What is here as `header` says, the primary has, too, by their hashes.
  void OfferTheSame(const RecordKey& key, const RecordHeader& header, Seq as_of) {
    RunDigest digest;
    digest.Add(EncodeKey(key), RecordHash(header));
    Offer(EncodeKey(key), digest.Finish().str(), RecordHash(header).str(), as_of, as_of);
  }
  // All of it.
  void HasTheSame(const std::vector<std::pair<RecordKey, RecordHeader>>& records, Seq as_of) {
    RunDigest digest;
    for (const auto& [key, header] : records) {
      Has(key, header);
      digest.Add(EncodeKey(key), RecordHash(header));
    }
    auto ranges = OfThePrimary<wire::Ranges>();
    auto* range = ranges.add_ranges();
    range->set_last_key(EncodeKey(records.back().first));
    range->set_records(records.size());
    range->set_digest(digest.Finish().str());
    ranges.set_complete(true);
    ranges.set_as_of(as_of.value);
    learner_.OnRanges(kPrimary, std::move(ranges));
    Wait();
  }
  void AnswerGone(const std::string& key, Seq as_of) {
    wire::FetchedRecord gone;
    gone.set_key(key);
    Answer(gone, as_of, {});
  }
  void AnswerFound(const RecordKey& key, const RecordHeader& header, const std::string& value) {
    wire::FetchedRecord found;
    found.set_key(EncodeKey(key));
    found.set_header(EncodeHeader(header));
    found.set_found(true);
    Answer(found, Seq{}, {std::make_shared<const std::string>(value)});
  }
  // A live write puts this.
  void WritesLive(const RecordKey& key, RecordHeader header) {
    header.stamp = {Term(1), Boot(1), Seq(9)};
    Has(key, std::move(header));
  }
  // A live write removes the registration of a zone.
  void PurgesLive(const RecordKey& key) { AppliesLive(wire::WRITE_KIND_PURGE_ZONE, key, {}); }
  // One deletes a chunk.
  void DeletesLive(const RecordKey& key, const RecordHeader& header) { AppliesLive(wire::WRITE_KIND_DELETE_CHUNK, key, header); }
  // One puts a chunk.
  void PutsLive(const RecordKey& key, const std::string& value) {
    AppliesLive(wire::WRITE_KIND_PUT_CHUNK, key, {.hash = Sha256({value}), .size = value.size()}, {std::make_shared<const std::string>(value)});
  }
  void Damage(const RecordKey& key) { REQUIRE(store_.DamageRecord(kPartition, key, MemoryStore::Part::kHeader)); }
  ReadOutcome Finds(const RecordKey& key) const {
    RecordHeader header;
    return store_.Lookup(kPartition, key, &header);
  }
  void Commits(Seq seq) {
    StoreBatch batch;
    ctx_.Replica(kPartition).Commit(seq, &batch);
    ctx_.Persist(std::move(batch), [] {});
    Take();
  }
  void Has(const RecordKey& key, RecordHeader header) {
    StoreBatch batch;
    batch.changes.push_back(StoreBatch::PutRecord{kPartition, key, std::move(header), nullptr});
    ctx_.Persist(std::move(batch), [] {});
    Take();
  }
  // What is there: nothing if it is not.
  std::optional<RecordHeader> Held(const RecordKey& key) const {
    RecordHeader header;
    if (store_.Lookup(kPartition, key, &header) != ReadOutcome::kFound) return std::nullopt;
    return header;
  }
  void LogReaches(Seq seq) {
    StoreBatch batch;
    ctx_.Replica(kPartition).StartAt(seq, Digest{}, {Term(1), Boot(1), seq}, &batch);
    ctx_.Persist(std::move(batch), [this, applied = ctx_.Replica(kPartition).applied()] { ctx_.Replica(kPartition).DurableUpTo(applied); });
    Wait();
  }
  void LinkBreaks() { learner_.OnLinkDown(kPrimary); }
  // Whatever waits for the disk is durable, and nothing else happens.
  void DiskGoesOn() {
    disk_stands = false;
    Take();
  }
  // The next answer is to the fetch of this number.
  void AnswerCall(std::uint64_t call) { fetch_call_ = call; }
  bool fetching() const { return fetch_call_ != 0; }
  std::uint64_t fetch_call() const { return fetch_call_; }
  bool done() const { return done_; }
  int compared() const { return compared_; }
  // Writes before the log may be missing.
  bool lacks() const { return ctx_.replicas.at(kPartition)->meta().lacks_to != Seq{}; }

  bool disk_stands = false;
  std::uint64_t log_of = 0;  // the choice that it was begun for

 private:
  // Of the partition, in the term and by the process that asked for the learner.
  template <class Message>
  static Message OfThePrimary() {
    Message message;
    message.set_partition(kPartition);
    message.set_term(1);
    message.set_boot(1);
    return message;
  }
  void Offer(const std::string& key, const std::string& digest, const std::string& hash, Seq compared, Seq listed) {
    auto ranges = OfThePrimary<wire::Ranges>();
    auto* range = ranges.add_ranges();
    range->set_last_key(key);
    range->set_records(1);
    range->set_digest(digest);
    ranges.set_complete(true);
    ranges.set_as_of(compared.value);
    learner_.OnRanges(kPrimary, std::move(ranges));
    Take();
    auto listing = OfThePrimary<wire::Listing>();
    listing.add_records()->set_key(key);
    listing.mutable_records(0)->set_hash(hash);
    listing.set_as_of(listed.value);
    learner_.OnListing(kPrimary, std::move(listing));
    Wait();
  }
  void Answer(const wire::FetchedRecord& record, Seq as_of, const std::vector<Payload>& bodies) {
    auto fetched = OfThePrimary<wire::Fetched>();
    fetched.set_call(fetch_call_);
    *fetched.add_records() = record;
    fetched.set_as_of(as_of.value);
    learner_.OnFetched(kPrimary, fetched, bodies);
    Wait();
  }
  void AppliesLive(wire::WriteKind kind, const RecordKey& key, const RecordHeader& header, std::vector<Payload> bodies = {}) {
    PartitionReplica& replica = ctx_.Replica(kPartition);
    wire::Write write;
    write.set_kind(kind);
    write.set_zone(key.zone.str());
    write.set_id(key.id.str());
    write.add_items()->set_hash(header.hash.str());
    write.mutable_items(0)->set_size(header.size);
    SetStamp({Term(1), Boot(1), replica.last().Next()}, write.mutable_stamp());
    write.set_hash(HashWrite(replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), std::move(bodies), &batch));
    ctx_.Persist(std::move(batch), [this, applied = replica.applied()] { ctx_.Replica(kPartition).DurableUpTo(applied); });
    Take();
  }
  void Take() {
    Hear();
    while (!ctx_.continuations.empty() && !disk_stands) {
      for (auto& persist : std::exchange(ctx_.out.persist, {})) store_.Write(std::get<StoreBatch>(std::move(persist.what)), nullptr);
      store_.CompleteWrites();
      auto then = std::move(ctx_.continuations.front());
      ctx_.continuations.pop_front();
      then();
      Hear();
    }
  }
  void Hear() {
    for (const Outgoing& o : std::exchange(ctx_.out.send, {})) {
      const wire::Peer& said = o.message.header;
      if (said.has_fetch_request()) fetch_call_ = said.fetch_request().call();
      compared_ += said.has_ranges_request() ? 1 : 0;
      done_ = done_ || said.has_history_done();
    }
  }

  MemoryStore store_;
  Context ctx_;
  LearnerResync learner_;
  std::uint64_t fetch_call_ = 0;
  int compared_ = 0;  // how often it asked what to compare with
  bool done_ = false;
};

TEST_CASE("I15: what was gone when it was to be fetched is counted once the log has come to what took it away") {
  Learning l;
  const std::string key = EncodeKey(ChunkAt('a'));
  l.Wait();
  l.OfferOneRecord(key);
  REQUIRE(l.fetching());
  l.AnswerGone(key, Seq(7));
  CHECK_FALSE(l.done());
  l.LogReaches(Seq(6));
  CHECK_FALSE(l.done());
  l.LogReaches(Seq(7));
  CHECK(l.done());
}

TEST_CASE("S7: a learner says that it has everything once all that was written for it is durable") {
  Learning l;
  const std::string key = EncodeKey(ChunkAt('a'));
  l.Wait();
  l.OfferOneRecord(key);
  l.disk_stands = true;
  l.AnswerGone(key, Seq{});
  CHECK_FALSE(l.done());
  l.DiskGoesOn();
  CHECK(l.done());
}

TEST_CASE("S5: a learner compares with what its primary saw once its log has come to that, durably") {
  const bool listing = GENERATE(false, true);
  Learning l;
  const std::string key = EncodeKey(ChunkAt('a'));
  l.Wait();
  l.OfferOneRecord(key, listing ? Seq{} : Seq(5), listing ? Seq(5) : Seq{});
  CHECK_FALSE(l.fetching());
  l.disk_stands = true;
  l.LogReaches(Seq(5));
  CHECK_FALSE(l.fetching());
  l.DiskGoesOn();
  l.Wait();
  l.OfferOneRecord(key, Seq(5), Seq(5));  // a listing is asked for after the ranges
  CHECK(l.fetching());
}

TEST_CASE("S5: a copy that was fetched does not take the place of what was written, or what went, since it was listed") {
  const std::string value = "fetched";
  const bool entry = GENERATE(false, true);
  const RecordKey key = entry ? EntryAt('a', 0) : ChunkAt('a');
  RecordHeader header{.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()};
  if (entry) header.hash = EntryHash(key.id, key.position, header.predecessor, header.signature, value);
  Learning l;
  l.Wait();
  l.OfferOneRecord(EncodeKey(key));
  REQUIRE(l.fetching());
  SECTION("nothing of that kind") {
    l.AnswerFound(key, header, value);
    REQUIRE(l.Held(key).has_value());
    CHECK(l.Held(key)->hash == header.hash);
  }
  SECTION("deleted since") {
    RecordHeader deleted = header;
    deleted.deleted = deleted.value_gone = true;
    l.WritesLive(key, deleted);
    l.AnswerFound(key, header, value);
    REQUIRE(l.Held(key).has_value());
    CHECK(l.Held(key)->deleted);
  }
  SECTION("its zone was dropped") {
    l.WritesLive({key.zone, RecordKind::kZoneDrop, {}, 0}, {});
    l.AnswerFound(key, header, value);
    CHECK_FALSE(l.Held(key).has_value());
  }
  SECTION("its chain was deleted") {
    l.WritesLive({key.zone, RecordKind::kChainDelete, key.id, 0}, {});
    l.AnswerFound(key, header, value);
    CHECK(l.Held(key).has_value() == !entry);  // a chunk of that id is none of the chain's
  }
}

TEST_CASE("S5: a registration that was purged since it was listed is not taken, and whether it is there still is compared once more") {
  const std::string value = "a zone";
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockOf('a'), 0};
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()};
  Learning l;
  l.Wait();
  l.OfferOneRecord(EncodeKey(key));
  REQUIRE(l.fetching());
  SECTION("of another zone") {
    l.PurgesLive({ZoneId{}, RecordKind::kZone, BlockOf('b'), 0});
    l.AnswerFound(key, header, value);
    CHECK(l.Held(key).has_value());
    CHECK(l.done());
  }
  SECTION("of this zone") {
    l.PurgesLive(key);
    l.AnswerFound(key, header, value);
    CHECK_FALSE(l.Held(key).has_value());
    CHECK_FALSE(l.done());
    l.OfferOneRecord(EncodeKey(key), Seq(1), Seq(1));  // made anew, say
    l.AnswerFound(key, header, value);
    CHECK(l.Held(key).has_value());
    CHECK(l.done());
  }
}

TEST_CASE("R5.3 S6: what was written in a log that was given up is fetched, though the primary has the same, where readers would not be shown it") {
  const RecordKey key = EntryAt('a', 0);
  const Boot lost(7);  // of another process of the primary than asks for the learner
  RecordHeader header{.stamp = {Term(1), lost, Seq(50)}, .hash = Sha256({"entry"}), .size = 5};
  bool fetched = true;
  SECTION("its stamp is in the primary's log") { fetched = false; }
  SECTION("its stamp is beyond that") { header.stamp.seq = Seq(100); }
  SECTION("its delete's stamp is beyond that") {
    header.deleted = true;
    header.deleted_by = {Term(1), lost, Seq(100)};
  }
  SECTION("it was written live") {
    header.stamp = {Term(1), Boot(1), Seq(100)};
    fetched = false;
  }
  Learning l;
  l.Has(key, header);
  l.LogReaches(Seq(92));
  l.OfferTheSame(key, header, Seq(92));
  CHECK(l.fetching() == fetched);
}

TEST_CASE("S5: a record that does not verify, and was written since it was not listed, is left alone") {
  const bool since = GENERATE(true, false);
  const RecordKey key = ChunkAt('a');
  Learning l;
  l.LogReaches(Seq(5));
  l.PutsLive(key, "live");
  l.Damage(key);
  const Seq as_of(since ? 5 : 6);
  l.OfferOneRecord(EncodeKey(ChunkAt('b')), as_of, as_of);
  REQUIRE(l.fetching());
  CHECK(l.Finds(key) == (since ? ReadOutcome::kDamaged : ReadOutcome::kAbsent));
}

TEST_CASE("R10.2: entries go with what deleted their chain, and blocks with their zone, or once all is there if no log tells of that any more") {
  const RecordKey mark = GENERATE(RecordKey{ZoneOf('z'), RecordKind::kChainDelete, BlockOf('c'), 0}, RecordKey{ZoneOf('z'), RecordKind::kZoneDrop, BlockId{}, 0});
  const RecordKey entry = EntryAt('c', 0);
  const RecordHeader written{.stamp = {Term(1), Boot(1), Seq(1)}, .hash = Sha256({"an entry"}), .size = 8};
  Learning l;
  l.LogReaches(Seq(5));
  l.HasTheSame({{mark, {.stamp = {Term(1), Boot(1), Seq(3)}}}, {entry, written}}, Seq(5));
  REQUIRE(l.done());
  CHECK(l.Held(mark));
  CHECK_FALSE(l.Held(entry));
}

TEST_CASE("R10.2: the bytes of a chunk go with what deleted it, or once all is there if no log tells of that any more") {
  const RecordKey key = ChunkAt('a');
  RecordHeader header{.stamp = {Term(1), Boot(1), Seq(1)}, .hash = Sha256({"deleted"}), .size = 7};
  const RecordHeader live = header;
  header.deleted = true;
  Learning l;
  SECTION("deleted in an earlier choice's log, not committed then") {
    header.deleted_by = {Term(1), Boot(1), Seq(3)};
    l.Has(key, header);
    l.LogReaches(Seq(5));
    l.OfferTheSame(key, header, Seq(5));
    REQUIRE(l.done());
    CHECK(l.Held(key)->value_gone);
  }
  SECTION("deleted live") {
    l.Has(key, live);
    l.LogReaches(Seq(5));
    l.DeletesLive(key, live);
    l.OfferTheSame(key, header, Seq(6));
    REQUIRE(l.done());
    CHECK_FALSE(l.Held(key)->value_gone);
    l.Commits(Seq(6));
    CHECK(l.Held(key)->value_gone);
  }
}

TEST_CASE("S2a: a learner that is chosen anew while it waits for the disk to count does not say that it has everything") {
  Learning l;
  const std::string key = EncodeKey(ChunkAt('a'));
  l.Wait();
  l.OfferOneRecord(key);
  REQUIRE(l.fetching());
  l.disk_stands = true;
  l.LogReaches(Seq(5));
  l.AnswerGone(key, Seq(5));  // all was compared: it counts once its log is durable
  l.LinkBreaks();
  l.Choose(2);  // something may have been written in between that it lacks
  l.DiskGoesOn();
  CHECK_FALSE(l.done());
}

TEST_CASE("S2a L10.6: what a later choice's log lacks is not taken to be there by what was compared for an earlier one") {
  const bool chosen_anew = GENERATE(false, true);
  Learning l;
  const std::string key = EncodeKey(ChunkAt('a'));
  l.LogReaches(Seq(4));
  l.OfferOneRecord(key, Seq(4), Seq(4));
  REQUIRE(l.fetching());
  const auto starts = [&] {  // and the role is to come
    if (chosen_anew) l.log_of = 2;
  };
  SECTION("it began before all was compared") {
    starts();
    l.AnswerGone(key, Seq(4));
  }
  SECTION("it began while that waited for the disk") {
    l.disk_stands = true;
    l.LogReaches(Seq(5));
    l.AnswerGone(key, Seq(5));
    starts();
    l.DiskGoesOn();
  }
  CHECK(l.done() == !chosen_anew);
  CHECK(l.lacks() == chosen_anew);
}

TEST_CASE("S2a I15: nothing is compared before the log begins, though what was fetched for an earlier choice becomes durable") {
  const bool begun = GENERATE(false, true);
  const std::string value = "fetched";
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()};
  Learning l;
  l.Wait();
  l.OfferOneRecord(EncodeKey(ChunkAt('a')));
  REQUIRE(l.fetching());
  l.disk_stands = true;
  l.AnswerFound(ChunkAt('a'), header, value);
  const int before = l.compared();
  l.ChooseOnly(2);
  if (begun) l.log_of = 2;
  l.DiskGoesOn();
  CHECK(l.compared() - before == (begun ? 1 : 0));
}

TEST_CASE("S2a: what the primary saw before it chose is not compared with") {
  Learning l;
  const std::string key = EncodeKey(ChunkAt('a'));
  l.LogReaches(Seq(9));
  l.log_of = 2;
  l.ChooseOnly(2, Seq(7));
  l.Wait();
  SECTION("ranges") {
    l.OfferOneRecord(key, Seq(6), Seq(7));
    CHECK_FALSE(l.fetching());  // no listing was asked for
  }
  SECTION("a listing") {
    l.OfferOneRecord(key, Seq(7), Seq(6));
    CHECK_FALSE(l.fetching());
  }
  l.OfferOneRecord(key, Seq(7), Seq(7));
  CHECK(l.fetching());
}

TEST_CASE("S2a: what was fetched for an earlier choice is not taken") {
  const std::string value = "fetched";
  const RecordKey key = ChunkAt('a');
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()};
  Learning l;
  l.Wait();
  l.OfferOneRecord(EncodeKey(key));
  const std::uint64_t earlier = l.fetch_call();
  REQUIRE(earlier != 0);
  l.Choose(2);
  l.AnswerFound(key, header, value);
  CHECK_FALSE(l.Held(key).has_value());
  l.OfferOneRecord(EncodeKey(key));
  l.AnswerCall(earlier);
  l.AnswerFound(key, header, value);
  CHECK_FALSE(l.Held(key).has_value());
  l.AnswerFound(key, header, value);  // what is asked for again by now
  CHECK(l.Held(key).has_value());
}

}  // namespace
}  // namespace coffer::node
