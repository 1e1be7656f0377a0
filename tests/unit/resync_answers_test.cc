// What a holder says of its records while writes are on their way to the disk, and about a repair: never more than the scan showed (S5, L10.1), nor
// that all is there where it may not be (S9).
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cluster/sha256.h"
#include "node/core/primary.h"
#include "node/core/resync_source.h"
#include "unit/node_sides.h"
#include "unit/store_samples.h"

namespace coffer::node {
namespace {

constexpr std::uint64_t kTerm = 2;

class Holder : public OneSide {
 public:
  Holder() { ctx.linked.insert(kOther); }

  static wire::Write Put(const std::string& value) {
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_PUT_CHUNK);
    write.set_zone(std::string(ZoneId::kSize, 'z'));
    write.set_id(Sha256({value}).str());
    write.add_items()->set_hash(Sha256({value}).str());
    write.mutable_items(0)->set_size(value.size());
    return write;
  }
  // The other member asks for all there is; nothing if that is not answered.
  std::optional<wire::Listing> AskListing() { return Ask(&ResyncSource::OnListRequest, &wire::Peer::has_listing, &wire::Peer::listing); }
  std::optional<wire::Ranges> AskRanges() { return Ask(&ResyncSource::OnRangesRequest, &wire::Peer::has_ranges, &wire::Peer::ranges); }

  Primaries primaries{ctx, {.request_change = [](const wire::ChangeRequest&) {}, .committed = [](PartitionId, Seq) {},
                            .written = [](PartitionId) {}, .ended = [](PartitionId) {}, .repair = {}}};
  ResyncSource source{ctx, primaries, [](PartitionId, const RecordKey&) {}};

 private:
  template <class Request, class Answer>
  std::optional<Answer> Ask(void (ResyncSource::*ask)(const NodeId&, const Request&), bool (wire::Peer::*is)() const,
                            const Answer& (wire::Peer::*answer)() const) {
    Request request;
    request.set_term(kTerm);
    request.set_boot(1);
    (source.*ask)(kOther, request);
    for (const wire::Peer& said : Said()) {
      if ((said.*is)()) return (said.*answer)();
    }
    return std::nullopt;
  }
};

// The one member of its group, and the other as its learner.
class Leading : public Holder {
 public:
  Leading() {
    Adopt(kTerm, {cluster::Group{0, {0}, Term(kTerm), {0, 1}}}, /*min_copies=*/1);
    primaries.StartTerm(0);
    REQUIRE(primaries.Active(0));
  }
  void ChooseLearner() {
    Hear(kOther, "node-2");
    primaries.Review(0);
    REQUIRE(primaries.LearnerOf(0) == kOther);
  }
  void Write(std::string value) {
    const wire::Write write = Put(value);
    const auto body = std::make_shared<const std::string>(std::move(value));
    REQUIRE_FALSE(primaries.Order(0, write, {body}, {kOther, 1, ctx.now + std::chrono::milliseconds(10)}, [] {}));
  }
};

TEST_CASE("S5: an answer names the last write that is visible to the scan, not what is on its way to the disk") {
  Leading l;
  l.ChooseLearner();
  l.Write("value");
  REQUIRE(l.ctx.Replica(0).last() == Seq(1));
  for (const std::uint64_t durable : {0, 1}) {
    const auto ranges = l.AskRanges();
    const auto listing = l.AskListing();
    REQUIRE(ranges);
    REQUIRE(listing);
    CHECK(ranges->as_of() == durable);
    CHECK(ranges->ranges(0).records() == durable);
    CHECK(listing->as_of() == durable);
    CHECK(listing->records_size() == static_cast<int>(durable));
    l.SyncAll();
  }
}

TEST_CASE("S3: a learner is answered once what it does not get live is visible to the scan") {
  Leading l;
  l.Write("value");
  l.ctx.now += std::chrono::seconds(1);
  l.primaries.Tick();  // nobody waits for it any more
  l.ChooseLearner();
  CHECK_FALSE(l.AskRanges());
  CHECK_FALSE(l.AskListing());
  l.SyncAll();
  CHECK(l.AskRanges());
  CHECK(l.AskListing());
}

TEST_CASE("L10.1: a survivor lists what it has once all of that is visible to the scan, and its log's end with it") {
  const bool fetched = GENERATE(false, true);  // by a learner, beside its log
  Holder h;
  const std::string value = "value";
  wire::Write write = Holder::Put(value);
  SetStamp({Term(1), Boot(1), Seq(1)}, write.mutable_stamp());
  write.set_hash(HashWrite(Digest{}, write).str());
  StoreBatch batch;
  PartitionReplica& replica = h.ctx.Replica(0);
  REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), {std::make_shared<const std::string>(value)}, &batch));
  const auto persist = [&] { h.ctx.Persist(std::exchange(batch, {}), [&replica, applied = replica.applied()] { replica.DurableUpTo(applied); }); };
  persist();
  h.Adopt(kTerm, {cluster::Group{1, {1}, Term(kTerm), {1}, {0, 1}}});
  CHECK_FALSE(h.AskListing());
  if (fetched) {
    const RecordHeader header{.stamp = {Term(1), Boot(1), Seq(1)}, .hash = Sha256({value}), .size = value.size()};
    replica.NoteRecord(ChunkAt('f'), header);
    batch.changes.push_back(StoreBatch::PutRecord{0, ChunkAt('f'), header, std::make_shared<const std::string>(value)});
    persist();
    REQUIRE(h.Sync());
    CHECK_FALSE(h.AskListing());  // of the log all is durable
  }
  h.SyncAll();
  const auto listing = h.AskListing();
  REQUIRE(listing);
  CHECK(listing->copy().last().seq() == 1);
  CHECK(listing->records_size() == (fetched ? 2 : 1));
}

TEST_CASE("L10.2: a survivor's deletes are told to a merge whatever became of the bytes, to a learner they are not") {
  wire::FetchRequest request;
  request.set_term(kTerm);
  request.set_boot(1);
  request.add_keys(EncodeKey(ChunkAt('f')));
  SECTION("a merge") {
    Holder h;
    h.Adopt(kTerm, {cluster::Group{1, {1}, Term(kTerm), {1}, {0, 1}}});
    h.source.OnFetchRequest(OneSide::kOther, request);
    REQUIRE(h.ctx.out.reads.size() == 1);
    CHECK(h.ctx.out.reads[0].for_merge);
  }
  SECTION("a learner") {
    Leading h;
    h.ChooseLearner();
    h.source.OnFetchRequest(OneSide::kOther, request);
    REQUIRE(h.ctx.out.reads.size() == 1);
    CHECK_FALSE(h.ctx.out.reads[0].for_merge);
  }
}

TEST_CASE("S9: for a repair it is said in which term all was here when the record was read, and only by a member of in_sync, as long as that lasts") {
  const auto group = [](cluster::MemberIndex primary, std::uint64_t term) { return cluster::Group{primary, {primary}, Term(term), {0, 1}}; };
  const bool member = GENERATE(true, false);
  Holder h;
  h.Adopt(kTerm, {group(member ? 0 : 1, kTerm)});
  h.source.OnFetchRequest(OneSide::kOther, {});
  REQUIRE(h.ctx.out.reads.size() == 1);
  std::optional<std::uint64_t> later;  // than the record was asked for
  std::uint64_t said = member ? kTerm : 0;
  SECTION("nothing changes") {}
  SECTION("the term ended while the record was read") { later = kTerm + 1, said = 0; }
  if (later) h.Adopt(*later, {group(0, *later)});
  ReadResult result = RunRead(h.store, std::move(h.ctx.out.reads.front()));
  h.source.OnFetchDone(&result);
  CHECK(result.answer.header.fetched().complete_term() == said);
}

}  // namespace
}  // namespace coffer::node
