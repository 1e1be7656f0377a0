// What a learner makes of a disk that can't be read for a moment, and of records that do not verify: what is there is not taken for all there is,
// nor for what it was before (S5, S6).
#include <string>

#include "node/core/record_check.h"
#include "unit/learning.h"

namespace coffer::node {
namespace {

const RecordHeader kOld{.stamp = {Term(1), Boot(1), Seq(1)}, .hash = Sha256({"old"}), .size = 3};

TEST_CASE("S6: a partition that can't be read is not equal to one that has nothing") {
  const bool fails = GENERATE(false, true);
  const RecordKey key = ChunkAt('a');
  Learning l;
  if (fails) l.Has(key, kOld);
  l.LogReaches(Seq(5));
  if (fails) l.DiskFails();
  l.OfferNothing(Seq(5));
  l.DiskIsWell();
  l.Wait();
  CHECK(l.done() != fails);
  l.List({}, Seq(5));
  CHECK_FALSE(l.Held(key));
  CHECK(l.done());
}

TEST_CASE("S6: where the disk gives up while a listing is compared, the partition is compared anew before anything is fetched") {
  const RecordKey entry = EntryAt('c', 0);
  const RecordKey mark{entry.zone, RecordKind::kChainDelete, entry.id, 0};  // the primary lacks it
  const std::string body = "an entry";
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq(2)}, .hash = EntryHash(entry.id, 0, Digest{}, "", body), .size = body.size()};
  bool fails = true;
  std::size_t sound = 0;
  SECTION("at once") {}
  SECTION("when it tells what the record is by now") { sound = 2; }  // after both scans
  SECTION("never") { fails = false; }
  Learning l;
  l.Has(mark, kOld);
  l.LogReaches(Seq(5));
  const int before = l.compared();
  if (fails) l.DiskFails(sound);
  l.OfferOneRecord(EncodeKey(entry), Seq(5), Seq(5));
  CHECK(l.fetching() != fails);
  CHECK((l.compared() > before) == fails);
  CHECK(l.error().empty() != fails);
  l.DiskIsWell();
  if (fails) l.OfferOneRecord(EncodeKey(entry), Seq(5), Seq(5));
  l.AnswerFound(entry, header, body);
  CHECK_FALSE(l.Held(mark));
  CHECK(l.Held(entry));
  CHECK(l.done());
}

TEST_CASE("S6: that the disk gave up is not said any more once all is there, though nothing was to be fetched") {
  Learning l;
  l.LogReaches(Seq(5));
  l.DiskFails();
  l.OfferOneRecord(EncodeKey(ChunkAt('a')), Seq(5), Seq(5));
  CHECK_FALSE(l.error().empty());
  l.DiskIsWell();
  l.OfferNothing(Seq(5));
  l.Wait();
  CHECK(l.done());
  CHECK(l.error().empty());
}

TEST_CASE("S5: what was fetched waits for a disk that can tell whether it was written, deleted or dropped since") {
  const std::string value = "fetched";
  const bool entry = GENERATE(false, true);
  const RecordKey key = entry ? EntryAt('a', 0) : ChunkAt('a');
  const Digest hash = entry ? EntryHash(key.id, 0, Digest{}, "", value) : Sha256({value});
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq{}}, .hash = hash, .size = value.size()};
  std::size_t sound = 0;
  Learning l;
  l.Wait();
  l.OfferOneRecord(EncodeKey(key));
  REQUIRE(l.fetching());
  const std::uint64_t first = l.fetch_call();
  bool since = true;
  SECTION("nothing of that kind") { since = false; }
  SECTION("written") { l.WritesLive(key, kOld); }
  SECTION("its zone was dropped") {
    l.WritesLive({key.zone, RecordKind::kZoneDrop, {}, 0}, {});
    sound = 1;
  }
  SECTION("its chain was deleted") {
    if (!entry) return;
    l.WritesLive({key.zone, RecordKind::kChainDelete, key.id, 0}, {});
    sound = 2;
  }
  const auto before = l.Held(key);
  l.DiskFails(sound);
  l.AnswerFound(key, header, value);
  l.DiskIsWell();
  CHECK(l.Held(key).has_value() == before.has_value());
  CHECK_FALSE(l.done());
  CHECK(l.fetch_call() > first);  // it is asked for again
  l.AnswerFound(key, header, value);
  REQUIRE(l.Held(key).has_value() == (!since || before.has_value()));
  if (l.Held(key)) CHECK(l.Held(key)->hash == (since ? kOld : header).hash);
}

TEST_CASE("S5: a record that does not verify, and may have been written since it was listed, is left alone until a later listing tells") {
  const RecordKey key = ChunkAt('a');
  const bool listed = GENERATE(false, true);
  Learning l;
  l.LogReaches(Seq(5));
  l.PutsLive(key, "live");
  Seq as_of(6), later(6);
  SECTION("it was not") {}
  SECTION("it was") { as_of = Seq(5); }
  SECTION("the log does not tell any more") {
    later = Seq(7);
    l.LogReaches(later);
  }
  const bool told = as_of == later;
  l.Damage(key);
  const std::string first = EncodeKey(listed ? key : ChunkAt('b'));
  l.OfferOneRecord(first, as_of, as_of);
  CHECK(l.fetching() == told);
  CHECK(l.Finds(key) == (told && !listed ? ReadOutcome::kAbsent : ReadOutcome::kDamaged));
  if (!told) l.OfferOneRecord(first, later, later);
  CHECK(l.fetching());
  CHECK(l.Finds(key) == (listed ? ReadOutcome::kDamaged : ReadOutcome::kAbsent));
}

TEST_CASE("S8: a fetched record is taken as its source's store gave it, or as its hash says where the source sends no checksum") {
  const std::string value = "fetched", other = "fetch'd";
  const RecordKey key = ChunkAt('a');
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()};
  const auto sum_of = [](const RecordKey& k, const RecordHeader& h, const std::string& v) {
    return FetchedChecksum(kPartition, EncodeKey(k), EncodeHeader(h), v);
  };
  bool taken = false;
  Learning l;
  l.Wait();
  l.OfferOneRecord(EncodeKey(key));
  REQUIRE(l.fetching());
  SECTION("as it is, with a checksum") {
    taken = true;
    l.AnswerFound(key, header, value, sum_of(key, header, value));
  }
  SECTION("as it is, without one") {
    taken = true;
    l.AnswerFound(key, header, value);
  }
  SECTION("with another's value") { l.AnswerFound(key, header, other, sum_of(key, header, value)); }
  SECTION("with another's value, without a checksum") { l.AnswerFound(key, header, other); }
  SECTION("with another's header") {
    RecordHeader later = header;
    later.stamp.seq = Seq(1);
    l.AnswerFound(key, header, value, sum_of(key, later, value));
  }
  SECTION("under another's key") { l.AnswerFound(key, header, value, sum_of(ChunkAt('b'), header, value)); }
  SECTION("of another length than it says") { l.AnswerFound(key, header, value + "!", sum_of(key, header, value + "!")); }
  CHECK(l.Held(key).has_value() == taken);
  CHECK(l.done() == taken);
  CHECK(l.error().empty() == taken);
}

}  // namespace
}  // namespace coffer::node
