// How members learn what is committed when nobody writes any more: many partitions at once, then one by one until they say so (R10.2).
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/core/follower.h"
#include "node/core/primary.h"
#include "unit/node_sides.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;

constexpr PartitionId kPartitions = 3;
constexpr std::uint64_t kTerm = 4;

wire::Write DropZone() {
  wire::Write write;
  write.set_kind(wire::WRITE_KIND_DROP_ZONE);
  write.set_zone(ZoneId{}.str());
  return write;
}

bool IsMarks(const wire::Peer& m) { return m.has_commit_marks(); }
bool IsAlone(const wire::Peer& m) { return m.has_replicate() && m.replicate().writes().empty(); }
bool IsMarksAck(const wire::Peer& m) { return m.has_commit_marks_ack(); }

// Leads partitions of which the other member holds everything.
class Leading : public OneSide {
 public:
  Leading() {
    ctx.linked.insert(kOther);
    Adopt(kTerm, std::vector<cluster::Group>(kPartitions, {0, {0, 1}, Term(kTerm), {0, 1}}));
    for (PartitionId p = 0; p < kPartitions; ++p) {
      primaries.StartTerm(p);
      wire::ContactAnswer answer;
      answer.set_partition(p);
      answer.set_term(kTerm);
      answer.set_boot(1);
      answer.add_log()->set_hash(ctx.Replica(p).meta().last_hash.str());
      primaries.OnContactAnswer(kOther, answer);
      Hold(p, 0);
    }
    for (int i = 0; i < 20; ++i) Tick();
    Said();
  }
  void Hold(PartitionId p, std::uint64_t committed) {
    wire::ReplicateAck ack;
    ack.set_partition(p);
    ack.set_term(kTerm);
    ack.set_boot(1);
    ack.set_committed(committed);
    ack.mutable_durable()->set_seq(ctx.Replica(p).last().value);
    primaries.OnAck(kOther, ack);
  }
  void WriteAll() {
    for (PartitionId p = 0; p < kPartitions; ++p) {
      REQUIRE_FALSE(primaries.Order(p, DropZone(), {}, {}, [] {}));
      SyncAll();
      Hold(p, 0);
      REQUIRE(ctx.Replica(p).committed() == Seq(1));
    }
    Said();
  }
  void Tick() {
    ctx.now += milliseconds(100);
    primaries.Tick();
    SyncAll();
  }

  Primaries primaries{ctx, {.request_change = [](const wire::ChangeRequest&) {}, .committed = [](PartitionId, Seq) {},
                            .written = [](PartitionId) {}, .ended = [](PartitionId) {}, .repair = {}}};
};

TEST_CASE("marks of many partitions travel together, and alone only to who does not say that he knows") {
  Leading l;
  l.WriteAll();
  l.Tick();
  const std::vector<wire::Peer> said = l.Said();
  REQUIRE(said.size() == 1);
  REQUIRE(said[0].commit_marks().marks_size() == kPartitions);
  CHECK(said[0].commit_marks().boot() == 1);
  for (const auto& mark : said[0].commit_marks().marks()) {
    CHECK(mark.term() == kTerm);
    CHECK(mark.committed() == 1);
  }
  wire::CommitMarksAck ack;
  ack.set_boot(1);
  for (const auto& mark : said[0].commit_marks().marks()) *ack.add_marks() = mark;
  std::size_t told_alone = kPartitions;
  SECTION("nothing is answered") {}
  SECTION("one is left out") {
    ack.mutable_marks()->RemoveLast();
    told_alone = 1;
    l.primaries.OnMarksAck(OneSide::kOther, ack);
  }
  SECTION("one is known in part") {
    ack.mutable_marks(0)->set_committed(0);
    told_alone = 1;
    l.primaries.OnMarksAck(OneSide::kOther, ack);
  }
  SECTION("of another term") {
    ack.mutable_marks(0)->set_term(kTerm - 1);
    told_alone = 1;
    l.primaries.OnMarksAck(OneSide::kOther, ack);
  }
  SECTION("to another boot") {
    ack.set_boot(2);
    l.primaries.OnMarksAck(OneSide::kOther, ack);
  }
  SECTION("all are known") {
    told_alone = 0;
    l.primaries.OnMarksAck(OneSide::kOther, ack);
  }
  std::size_t alone = 0;
  for (int i = 0; i < 12; ++i) {
    l.Tick();
    for (const wire::Peer& message : l.Said()) {
      CHECK_FALSE(IsMarks(message));
      alone += IsAlone(message);
    }
  }
  CHECK(alone == told_alone);
}

// Copies partitions of which it holds `kHeld` writes that it does not know to be committed.
class Following : public OneSide {
 public:
  static constexpr std::uint64_t kHeld = 2;
  static constexpr PartitionId kErasing = 0;  // commits lead to something
  static constexpr PartitionId kPlain = 1;
  static constexpr PartitionId kNoContact = 2;  // its tail was not yet replaced
  Following() {
    Adopt(kTerm, std::vector<cluster::Group>(kPartitions, {1, {0, 1}, Term(kTerm), {1, 0}}));
    for (PartitionId p = 0; p < kPartitions; ++p) {
      wire::Contact contact;
      contact.set_partition(p);
      contact.set_term(kTerm);
      contact.set_boot(1);
      contact.set_last_hash(Digest{}.str());
      followers.OnContact(kOther, contact);
      if (p == kNoContact) continue;
      wire::Replicate r;
      std::vector<Payload> bodies;
      r.set_partition(p);
      r.set_term(kTerm);
      r.set_boot(1);
      r.set_replace(true);
      Digest hash;
      r.mutable_previous()->set_hash(hash.str());
      for (std::uint64_t seq = 1; seq <= kHeld; ++seq) {
        wire::Write& write = *r.add_writes() = DropZone();
        if (p == kPlain) {
          write.set_kind(wire::WRITE_KIND_PUT_CHUNK);
          write.set_id(BlockId{}.str());
          write.add_items()->set_hash(Digest{}.str());
          bodies.push_back(std::make_shared<const std::string>());
        }
        SetStamp({Term(kTerm), Boot(1), Seq(seq)}, write.mutable_stamp());
        hash = HashWrite(hash, write);
        write.set_hash(hash.str());
      }
      followers.OnReplicate(kOther, std::move(r), std::move(bodies));
    }
    SyncAll();
    Said();
  }
  void Mark(PartitionId p, std::uint64_t committed, std::uint64_t term = kTerm) {
    auto* mark = marks.add_marks();
    mark->set_partition(p);
    mark->set_term(term);
    mark->set_committed(committed);
  }
  void Tell() {
    marks.set_boot(1);
    followers.OnCommitMarks(kOther, std::exchange(marks, {}));
  }

  wire::CommitMarks marks;
  Followers followers{ctx, {.newer_layout = [](const NodeId&, Epoch) {}, .learner_role = {}, .durable = [this](PartitionId p) { ctx.Replica(p); },
                            .advanced = [](PartitionId) {}}};
};

TEST_CASE("what is held of the marks is committed and said at once, and no more") {
  Following f;
  SECTION("all of it") {
    f.Mark(Following::kPlain, Following::kHeld);
    f.Tell();
  }
  SECTION("a mark beyond what is held") {
    f.Mark(Following::kPlain, Following::kHeld + 5);
    f.Tell();
  }
  const std::vector<wire::Peer> said = f.Said();
  REQUIRE(said.size() == 1);
  REQUIRE(said[0].commit_marks_ack().marks_size() == 1);
  CHECK(said[0].commit_marks_ack().boot() == 1);
  CHECK(said[0].commit_marks_ack().marks(0).committed() == Following::kHeld);
  CHECK(f.ctx.Replica(Following::kPlain).committed() == Seq(Following::kHeld));
}

TEST_CASE("a commit that leads to something is said once that is durable") {
  Following f;
  f.Mark(Following::kErasing, Following::kHeld);
  f.Mark(Following::kPlain, 1);
  f.Tell();
  std::vector<wire::Peer> said = f.Said();
  REQUIRE(said.size() == 1);
  REQUIRE(said[0].commit_marks_ack().marks_size() == 1);
  CHECK(said[0].commit_marks_ack().marks(0).partition() == Following::kPlain);
  f.SyncAll();
  said = f.Said();
  REQUIRE(said.size() == 1);
  CHECK(said[0].replicate_ack().partition() == Following::kErasing);
  CHECK(said[0].replicate_ack().committed() == Following::kHeld);
}

TEST_CASE("a mark of another term, of a lower boot, or before contact commits nothing (R1.1, R2.2)") {
  Following f;
  SECTION("of an older term") { f.Mark(Following::kPlain, 1, kTerm - 1); }
  SECTION("of a newer term") { f.Mark(Following::kPlain, 1, kTerm + 1); }
  SECTION("before contact") { f.Mark(Following::kNoContact, 1); }
  SECTION("of a lower boot") {
    wire::Contact later;
    later.set_partition(Following::kPlain);
    later.set_term(kTerm);
    later.set_boot(2);
    later.set_last_hash(Digest{}.str());
    f.followers.OnContact(OneSide::kOther, later);
    f.SyncAll();
    f.Said();
    f.Mark(Following::kPlain, 1);
  }
  f.Tell();
  CHECK(f.CountSaid(IsMarksAck) == 0);
  for (PartitionId p = 0; p < kPartitions; ++p) CHECK(f.ctx.Replica(p).committed() == Seq(0));
}

}  // namespace
}  // namespace coffer::node
