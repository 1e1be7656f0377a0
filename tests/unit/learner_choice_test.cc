// What belongs to an earlier choice of a learner counts for nothing in a later one (S2a).
#include <string>
#include <utility>

#include "unit/learning.h"

namespace coffer::node {
namespace {

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

TEST_CASE("S2a I4: what came for an earlier choice is not compared with a later one's log, nor taken beside it") {
  const bool chosen_anew = GENERATE(false, true);
  const RecordKey key = ChunkAt('a');
  const std::string value = "fetched";
  const RecordHeader header{.stamp = {Term(1), Boot(1), Seq(1)}, .hash = Sha256({value}), .size = value.size()};
  Learning l;
  const auto begins = [&] {  // where a later choice says, and the role is to come
    if (chosen_anew) l.log_of = 2;
    l.LogReaches(Seq(10));
    l.Advances();
  };
  SECTION("a listing without a record that is here") {
    l.Has(key, header);
    l.LogReaches(Seq(4));
    l.OfferOneRecord(EncodeKey(ChunkAt('b')), Seq(4), Seq(9));
    REQUIRE_FALSE(l.fetching());
    begins();
    CHECK(l.Held(key).has_value() == chosen_anew);
  }
  SECTION("a record that was asked for") {
    l.LogReaches(Seq(4));
    l.OfferOneRecord(EncodeKey(key), Seq(4), Seq(4));
    REQUIRE(l.fetching());
    begins();
    l.AnswerFound(key, header, value);
    CHECK(l.Held(key).has_value() == !chosen_anew);
  }
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

TEST_CASE("S2a S6: nothing is compared while what was fetched for an earlier choice is on its way to the disk, though the primary's log is empty") {
  const std::string value = "fetched";
  const RecordKey key = ChunkAt('a');
  Learning l;
  l.Wait();
  l.OfferOneRecord(EncodeKey(key));
  REQUIRE(l.fetching());
  l.disk_stands = true;
  l.AnswerFound(key, {.stamp = {Term(1), Boot(1), Seq{}}, .hash = Sha256({value}), .size = value.size()}, value);
  l.Choose(2);
  const int before = l.compared();
  l.Wait();
  CHECK(l.compared() == before);
  l.DiskGoesOn();
  CHECK(l.compared() == before + 1);
  l.OfferNothing(Seq{});  // what had come was of a write that was given up
  l.List({}, Seq{});
  CHECK(l.done());
  CHECK_FALSE(l.Held(key).has_value());
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
