// When a learner may count what it holds, and say that it has everything: not before its log has come to what took away a record that it was
// to fetch (S5, I15), nor before all is durable (S7). And what it takes of what comes late (S5).
#include <string>
#include <utility>

#include "unit/learning.h"

namespace coffer::node {
namespace {

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

TEST_CASE("S5: a registration that may have been purged since it was listed is taken, and goes if it is not listed once more") {
  const std::string value = "a zone";
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockOf('a'), 0};
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()};
  const std::pair listed{EncodeKey(key), RecordHash(header).str()};
  Learning l;
  l.LogReaches(Seq(5));
  l.OfferOneRecord(listed.first, Seq(5), Seq(5));
  REQUIRE(l.fetching());
  const bool purged = GENERATE(false, true);
  const bool told = GENERATE(false, true);
  if (told) {  // by the log
    l.PurgesLive(purged ? key : RecordKey{ZoneId{}, RecordKind::kZone, BlockOf('b'), 0});
  } else {
    l.LogReaches(Seq(6));
  }
  const std::uint64_t fetch = l.fetch_call();
  l.AnswerFound(key, header, value);
  CHECK(l.Held(key));
  CHECK(l.done() == (told && !purged));
  if (l.done()) return;
  l.LogReaches(Seq(9));
  l.List({listed}, Seq(5));  // said before the purge
  CHECK_FALSE(l.done());
  l.List(purged ? std::vector<std::pair<std::string, std::string>>{} : std::vector{listed}, Seq(6));
  CHECK(l.done());
  CHECK(l.fetch_call() == fetch);  // nothing is asked for twice
  CHECK(l.Held(key).has_value() == !purged);
}

TEST_CASE("S5: a registration that may have been purged is looked for once it is on the disk") {
  const std::string value = "a zone";
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockOf('a'), 0};
  Learning l;
  l.LogReaches(Seq(5));
  l.OfferOneRecord(EncodeKey(key), Seq(5), Seq(5));
  l.LogReaches(Seq(6));
  l.disk_stands = true;
  l.AnswerFound(key, {.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()}, value);
  const int before = l.listed();
  l.Wait();
  CHECK(l.listed() == before);
  l.DiskGoesOn();
  CHECK(l.listed() == before + 1);
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

}  // namespace
}  // namespace coffer::node
