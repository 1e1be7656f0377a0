// What counts between a primary and the members of its group: only what is said under the partition's term, by who leads in it or to the
// process that asked, of the present choice of a learner, and after contact.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cluster/sha256.h"
#include "node/core/follower.h"
#include "node/core/primary.h"
#include "node/core/reads.h"
#include "node/core/writes.h"
#include "unit/node_sides.h"

namespace coffer::node {
namespace {

constexpr std::uint64_t kTerm = 2;  // the log is of term 1
const NodeId kThird = NodeId::Must("a-third-16-bytes");

std::vector<wire::Write> Lines(std::uint64_t count) {
  std::vector<wire::Write> lines;
  Digest hash;
  for (std::uint64_t seq = 1; seq <= count; ++seq) {
    wire::Write& write = lines.emplace_back();
    write.set_kind(wire::WRITE_KIND_DROP_ZONE);
    write.set_zone(ZoneId{}.str());
    SetStamp({Term(1), Boot(1), Seq(seq)}, write.mutable_stamp());
    hash = HashWrite(hash, write);
    write.set_hash(hash.str());
  }
  return lines;
}

// A node whose log has lines 1 to 3, none of them known to be committed.
class Logged : public OneSide {
 public:
  Logged() {
    PartitionReplica& replica = ctx.Replica(0);
    StoreBatch batch;
    for (const wire::Write& line : lines) REQUIRE(replica.Apply(std::make_shared<const wire::Write>(line), {}, &batch));
    store.Write(std::move(batch), nullptr);
    store.CompleteWrites();
    replica.DurableUpTo(replica.applied());
    ctx.linked.insert(kOther);
  }
  const wire::Write& last() const { return lines.back(); }

  const std::vector<wire::Write> lines = Lines(3);
};

class Following : public Logged {
 public:
  // `learner`: neither of in_sync nor wanted there.
  explicit Following(bool learner) {
    if (learner) Adopt(kTerm, {cluster::Group{1, {1}, Term(kTerm), {1}}});
    else Adopt(kTerm, {cluster::Group{1, {0, 1}, Term(kTerm), {1, 0}}});
  }
  // The beginning of the learner's log, said when it was chosen for that time.
  void Start(std::uint64_t choice, std::uint64_t base) {
    wire::Replicate start;
    start.set_term(kTerm);
    start.set_boot(1);
    start.set_learner_start(true);
    start.set_choice(choice);
    start.mutable_previous()->set_seq(base);
    start.mutable_previous()->set_hash(Sha256({"up to", std::to_string(base)}).str());
    followers.OnReplicate(kOther, start, {});
    SyncAll();
  }
  // Whether it discards the partition on this word.
  bool Discards(const NodeId& from, std::uint64_t term) {
    wire::Discard discard;
    discard.set_term(term);
    followers.OnDiscard(from, discard);
    SyncAll();
    return ctx.replicas.find(0) == ctx.replicas.end();
  }
  std::uint64_t LogStart() { return ctx.Replica(0).meta().log_start.value; }
  // Whether it takes the word that it is chosen, or not any more.
  bool Hears(std::uint64_t choice, bool chosen) {
    wire::LearnerRole role;
    role.set_term(kTerm);
    role.set_boot(1);
    role.set_choice(choice);
    role.set_chosen(chosen);
    heard_roles = 0;
    followers.OnLearnerRole(kOther, role);
    return heard_roles == 1;
  }

  int heard_roles = 0;
  Followers followers{ctx, {.newer_layout = [](const NodeId&, Epoch) {},
                            .learner_role = [this](const NodeId&, const wire::LearnerRole&) { ++heard_roles; }, .durable = [](PartitionId) {},
                            .advanced = [](PartitionId) {}}};
};

bool IsMismatch(const wire::Peer& message) { return message.has_replicate_ack() && message.replicate_ack().mismatch(); }

TEST_CASE("R1.1 who does not lead in the term is fenced, though he names it") {
  Following f(/*learner=*/false);
  wire::Contact contact;
  contact.set_term(kTerm);
  contact.set_boot(1);
  contact.set_last_hash(Digest{}.str());
  f.followers.OnContact(kThird, contact);
  f.SyncAll();
  const auto said = f.Said();
  REQUIRE(said.size() == 1);
  CHECK(said[0].has_fenced());
}

TEST_CASE("R4.2 R4.3 before contact nothing is taken, and nothing is reported as held") {
  Following f(/*learner=*/false);
  wire::Replicate replicate;
  replicate.set_term(kTerm);
  replicate.set_boot(1);
  replicate.mutable_previous()->set_seq(3);
  replicate.mutable_previous()->set_hash(f.last().hash());
  SECTION("a write that follows what is here") {
    wire::Write& write = *replicate.add_writes();
    write = f.last();
    SetStamp({Term(kTerm), Boot(1), Seq(4)}, write.mutable_stamp());
    write.set_hash(HashWrite(Digest::Must(f.last().hash()), write).str());
  }
  SECTION("a question") {
    replicate.mutable_previous()->set_seq(2);  // the primary's log ends there, the member's does not
    replicate.mutable_previous()->set_hash(f.lines[1].hash());
  }
  f.followers.OnReplicate(OneSide::kOther, replicate, {});
  f.SyncAll();
  CHECK(f.CountSaid(IsMismatch) == 1);
  CHECK(f.ctx.Replica(0).last() == Seq(3));
}

TEST_CASE("S2a the beginning of a log that was said of an earlier choice is not heard") {
  Following f(/*learner=*/true);
  f.Start(/*choice=*/2, 7);
  f.Said();
  f.Start(/*choice=*/1, 9);
  CHECK(f.LogStart() == 7);
  CHECK(f.Said().empty());
}

TEST_CASE("S2a that an earlier choice is withdrawn ends nothing once a later one has begun the log") {
  Following f(/*learner=*/true);
  f.Start(/*choice=*/1, 7);
  CHECK(f.followers.LearnsFor(0, 1));
  f.Start(/*choice=*/2, 9);
  CHECK_FALSE(f.Hears(/*choice=*/1, /*chosen=*/false));
  CHECK(f.followers.LearnsFor(0, 2));
  CHECK_FALSE(f.Hears(/*choice=*/1, /*chosen=*/true));
  CHECK(f.Hears(/*choice=*/2, /*chosen=*/true));
  CHECK(f.Hears(/*choice=*/2, /*chosen=*/false));
  CHECK_FALSE(f.followers.LearnsFor(0, 2));
}

TEST_CASE("R4.3 the beginning of a log that comes late takes nothing back") {
  Following f(/*learner=*/true);
  f.Start(/*choice=*/1, 7);
  f.Start(/*choice=*/1, 5);
  CHECK(f.LogStart() == 7);
  CHECK(f.ctx.Replica(0).durable() == Seq(7));
}

TEST_CASE("R7.4 S2a a log begins anew where a later choice says, also before it began") {
  Following f(/*learner=*/true);
  f.Start(/*choice=*/1, 7);
  f.Start(/*choice=*/2, 5);
  CHECK(f.LogStart() == 5);
  CHECK(f.ctx.Replica(0).durable() == Seq(5));
  f.Start(/*choice=*/3, 9);
  CHECK(f.LogStart() == 9);
}

TEST_CASE("R12 a copy is discarded on the word of its primary in this term, and only if no data came in it") {
  {
    Following f(/*learner=*/true);
    CHECK_FALSE(f.Discards(OneSide::kOther, kTerm - 1));
    CHECK_FALSE(f.Discards(kThird, kTerm));
    CHECK(f.Discards(OneSide::kOther, kTerm));
  }
  Following learner(/*learner=*/true);
  learner.Start(/*choice=*/1, 7);
  CHECK_FALSE(learner.Discards(OneSide::kOther, kTerm));
  Following member(/*learner=*/false);
  CHECK_FALSE(member.Discards(OneSide::kOther, kTerm));
}

class Leading : public Logged {
 public:
  Leading() {
    Adopt(kTerm, {cluster::Group{0, {0, 1}, Term(kTerm), {0, 1}}});
    primaries.StartTerm(0);
    Said();
  }
  // Whether the other member's answer makes contact.
  bool Contacts(std::uint64_t term, std::uint64_t boot) {
    wire::ContactAnswer answer;
    answer.set_term(term);
    answer.set_boot(boot);
    auto* mark = answer.add_log();
    mark->set_seq(3);
    mark->set_hash(last().hash());
    primaries.OnContactAnswer(kOther, answer);
    return CountSaid([](const wire::Peer& m) { return m.has_replicate(); }) == 1;
  }
  // Whether its word that it has everything makes the partition active.
  bool Activates(std::uint64_t term, std::uint64_t boot) {
    wire::ReplicateAck ack;
    ack.set_term(term);
    ack.set_boot(boot);
    ack.mutable_durable()->set_seq(3);
    primaries.OnAck(kOther, ack);
    return primaries.Active(0);
  }
  // Whether its answer confirms what waits.
  bool Confirms(std::uint64_t term, std::uint64_t boot, std::uint64_t round) {
    wire::ConfirmAnswer answer;
    answer.set_boot(boot);
    answer.set_round(round);
    answer.add_partitions()->set_term(term);
    reads.OnConfirmAnswer(kOther, answer);
    return confirmed;
  }
  void Wait() {
    reads.Confirm(0, ctx.now + std::chrono::seconds(5), [this](bool yes) { confirmed = yes; });
    reads.Flush();
  }

  bool confirmed = false;
  Primaries primaries{ctx, {.request_change = [](const wire::ChangeRequest&) {}, .committed = [](PartitionId, Seq) {},
                            .written = [](PartitionId) {}, .ended = [](PartitionId) {}, .repair = {}}};
  Reads reads{ctx, primaries, [](PartitionId) { return std::nullopt; }};
};

TEST_CASE("R4.1 contact and activation count under this term, and said to this process") {
  Leading l;
  CHECK_FALSE(l.Contacts(kTerm - 1, 1));
  CHECK_FALSE(l.Contacts(kTerm, 2));
  CHECK_FALSE(l.Activates(kTerm, 1));  // before contact
  CHECK(l.Contacts(kTerm, 1));
  CHECK_FALSE(l.Activates(kTerm - 1, 1));
  CHECK_FALSE(l.Activates(kTerm, 2));
  CHECK(l.Activates(kTerm, 1));
}

TEST_CASE("R5.1 a read is confirmed by the round that began after it came, under this term, for this process") {
  Leading l;
  l.Wait();
  CHECK(l.Said().empty());  // not before the partition is served
  CHECK_FALSE(l.confirmed);
  REQUIRE(l.Contacts(kTerm, 1));
  REQUIRE(l.Activates(kTerm, 1));
  l.reads.Tick();
  l.reads.Flush();
  const auto said = l.Said();
  REQUIRE(said.size() == 1);
  const std::uint64_t round = said[0].confirm().round();
  CHECK_FALSE(l.Confirms(kTerm, 1, round - 1));
  CHECK_FALSE(l.Confirms(kTerm, 2, round));
  CHECK_FALSE(l.Confirms(kTerm - 1, 1, round));
  CHECK(l.Confirms(kTerm, 1, round));
}

// What the primary answers from what it has, before and after it is confirmed.
class Answering : public Leading {
 public:
  Answering() {
    REQUIRE(Contacts(kTerm, 1));
    REQUIRE(Activates(kTerm, 1));
  }
  void Put(std::uint64_t call, const std::string& bytes) {
    wire::DataRequest request = Request(call);
    request.mutable_put_chunk()->set_id(kChunk.str());
    Handle(std::move(request), {std::make_shared<const std::string>(bytes)});
  }
  void Delete(std::uint64_t call) {
    wire::DataRequest request = Request(call);
    request.mutable_delete_chunk()->set_id(kChunk.str());
    Handle(std::move(request), {});
  }
  // Everything is on both disks.
  void Commit() {
    SyncAll();
    wire::ReplicateAck ack;
    ack.set_term(kTerm);
    ack.set_boot(1);
    ack.mutable_durable()->set_seq(ctx.Replica(0).last().value);
    primaries.OnAck(kOther, ack);
  }
  bool Answered(std::uint64_t call) {
    return CountSaid([&](const wire::Peer& m) {
      if (m.has_confirm()) round_ = m.confirm().round();
      return m.has_data_response() && m.data_response().call() == call;
    }) == 1;
  }
  bool AnsweredOnceConfirmed(std::uint64_t call) {
    if (Answered(call) || round_ == 0) return false;
    Confirms(kTerm, 1, std::exchange(round_, 0));
    return Answered(call);
  }

 private:
  static wire::DataRequest Request(std::uint64_t call) {
    wire::DataRequest request;
    request.set_call(call);
    request.set_zone(ZoneId::Must("zone-of-16-bytes").str());
    request.set_term(kTerm);
    request.set_deadline_ms(5000);
    return request;
  }
  void Handle(wire::DataRequest request, std::vector<Payload> bodies) {
    writes.Handle(kThird, std::move(request), std::move(bodies));
    reads.Flush();
  }

  static inline const BlockId kChunk = BlockId::Must("a chunk's id, which has 32 bytes");
  std::uint64_t round_ = 0;
  Writes writes{ctx, primaries, reads, {.repair = {}, .lost = [](PartitionId, const RecordKey&) { return false; }, .restored = {}, .zone_marked = {}, .zone_deleted = {}}};
};

TEST_CASE("R6.4 what is there, or is not, is said once another has not succeeded this primary") {
  Answering a;
  a.Delete(1);
  CHECK(a.AnsweredOnceConfirmed(1));  // nothing to delete
  a.Put(2, "bytes");
  a.Commit();
  CHECK(a.Answered(2));
  a.Put(3, "bytes");
  CHECK(a.AnsweredOnceConfirmed(3));  // it exists
  a.Put(4, "others");
  CHECK(a.AnsweredOnceConfirmed(4));  // with other bytes
}

TEST_CASE("R6.4 that an id is taken is said once what took it is committed") {
  Answering a;
  a.Put(1, "bytes");
  a.Put(2, "others");
  CHECK_FALSE(a.AnsweredOnceConfirmed(2));
  a.Commit();
  CHECK(a.Answered(2));
}

// The one member of its group, and another node that it may choose as its learner.
class LeadingAlone : public Logged {
 public:
  explicit LeadingAlone(std::uint32_t min_copies) {
    SetMinCopies(min_copies);
    primaries.StartTerm(0);
    REQUIRE(primaries.Active(0));
  }
  void SetMinCopies(std::uint32_t min_copies) {
    Adopt(++epoch_, {cluster::Group{0, {0}, Term(kTerm), {0, 1}}}, min_copies);
    primaries.Review(0);
  }
  void FindLearner() {
    Hear(kOther, "node-2");
    primaries.Review(0);
    REQUIRE(primaries.LearnerOf(0) == kOther);
  }
  void Write(Duration patience) {
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_DROP_ZONE);
    write.set_zone(ZoneId{}.str());
    REQUIRE_FALSE(primaries.Order(0, write, {}, {kThird, 1, ctx.now + patience}, [] {}));
  }
  void LearnerHolds(std::uint64_t seq) {
    wire::ReplicateAck ack;
    ack.set_term(kTerm);
    ack.set_boot(1);
    ack.set_choice(1);
    ack.mutable_durable()->set_seq(seq);
    primaries.OnAck(kOther, ack);
  }

  Primaries primaries{ctx, {.request_change = [](const wire::ChangeRequest&) {}, .committed = [](PartitionId, Seq) {},
                            .written = [](PartitionId) {}, .ended = [](PartitionId) {}, .repair = {}}};

 private:
  std::uint64_t epoch_ = kTerm;
};

TEST_CASE("R6.1 R7.4 a repeated write that a learner was not sent is ordered again") {
  LeadingAlone l(/*min_copies=*/2);
  CHECK(l.primaries.StandingOf(0, Seq(3)) == Primaries::Standing::kOrderAgain);
  l.FindLearner();
  CHECK(l.primaries.StandingOf(0, Seq(3)) == Primaries::Standing::kOrderAgain);
  CHECK(l.primaries.StandingOf(0, Seq(4)) == Primaries::Standing::kWillBe);
}

TEST_CASE("R2.5 who waits for a write that the learner was not sent has to ask again when min_copies rises") {
  LeadingAlone l(/*min_copies=*/1);
  l.Write(std::chrono::milliseconds(10));  // 4, whose asker gives up while the disk is slow
  l.ctx.now += std::chrono::seconds(1);
  l.primaries.Tick();
  l.FindLearner();
  REQUIRE(l.primaries.StandingOf(0, Seq(4)) == Primaries::Standing::kWillBe);
  bool acknowledged = false;
  l.primaries.WhenAcknowledged(0, Seq(4), {kThird, 2, l.ctx.now + std::chrono::seconds(5)}, [&] { acknowledged = true; });
  l.SetMinCopies(2);
  const auto asks_again = [](const wire::Peer& m) { return m.has_data_response() && m.data_response().fenced() && m.data_response().call() == 2; };
  CHECK(l.CountSaid(asks_again) == 1);
  l.Write(std::chrono::seconds(5));  // 5
  l.SyncAll();
  l.LearnerHolds(5);
  CHECK_FALSE(acknowledged);
}

wire::ZoneRecord GoingZone(char id) {
  wire::ZoneRecord zone;
  zone.set_id(std::string(ZoneId::kSize, id));
  zone.set_name("a name");
  zone.set_deleting(true);
  return zone;
}

// Purges a zone, the blocks of which are dropped, as `side` leads the registry, where one is registered by that name; whether that was ordered.
template <class Primary>
bool Purges(Primary& side, const wire::ZoneRecord& registered = GoingZone('z')) {
  const auto value = std::make_shared<const std::string>(registered.SerializeAsString());
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockId::Must(Sha256({registered.name()}).view()), 0};
  side.store.Write({{StoreBatch::PutRecord{0, key, {.hash = Sha256({*value}), .size = value->size()}, value}}}, nullptr);
  side.store.CompleteWrites();
  Reads reads(side.ctx, side.primaries, [](PartitionId) { return std::nullopt; });
  Writes writes(side.ctx, side.primaries, reads, {.repair = {}, .lost = {}, .restored = {}, .zone_marked = {}, .zone_deleted = {}});
  const Seq before = side.ctx.Replica(0).last();
  writes.PurgeZone(GoingZone('z'), {kThird, 1, side.ctx.now + std::chrono::seconds(5)}, [] {});
  side.SyncAll();
  return before < side.ctx.Replica(0).last();
}

TEST_CASE("R2 R4.1 the registration of a deleted zone, too, is purged only by a primary that is active, and can make min_copies copies") {
  Leading l;
  REQUIRE(l.Contacts(kTerm, 1));
  CHECK_FALSE(Purges(l));
  REQUIRE(l.Activates(kTerm, 1));
  CHECK(Purges(l));
  LeadingAlone alone(/*min_copies=*/2);
  CHECK_FALSE(Purges(alone));
  alone.FindLearner();
  CHECK(Purges(alone));
}

TEST_CASE("R6.3 the name of a zone that was deleted and purged may be that of a later one, which stays") {
  LeadingAlone l(/*min_copies=*/1);
  CHECK_FALSE(Purges(l, GoingZone('y')));
  CHECK(Purges(l));
}

}  // namespace
}  // namespace coffer::node
