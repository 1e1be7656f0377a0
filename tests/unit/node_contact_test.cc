// First contact where a line of a log does not verify: the other member's log ends at that line, or goes on behind it.
#include <chrono>
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

constexpr std::uint64_t kTerm = 2;  // the lines are of term 1

wire::Write Line(std::uint64_t seq, const Digest& previous) {
  wire::Write write;
  write.set_kind(wire::WRITE_KIND_DROP_ZONE);
  write.set_zone(ZoneId{}.str());
  SetStamp({Term(1), Boot(1), Seq(seq)}, write.mutable_stamp());
  write.set_hash(HashWrite(previous, write).str());
  return write;
}

std::vector<wire::Write> Lines(std::uint64_t count) {
  std::vector<wire::Write> lines;
  Digest hash;
  for (std::uint64_t seq = 1; seq <= count; ++seq) {
    lines.push_back(Line(seq, hash));
    hash = Digest::Must(lines.back().hash());
  }
  return lines;
}

void SetMark(const wire::Write& line, wire::LogMark* mark) {
  mark->set_seq(line.stamp().seq());
  mark->set_hash(line.hash());
}

bool IsContact(const wire::Peer& message) { return message.has_contact(); }

// A node whose log has lines 1 to 4, of which it knows some to be committed, before anybody makes contact with it in its term.
class Logged : public OneSide {
 public:
  explicit Logged(std::uint64_t committed) {
    PartitionReplica& replica = ctx.Replica(0);
    StoreBatch batch;
    for (const wire::Write& line : lines) REQUIRE(replica.Apply(std::make_shared<const wire::Write>(line), {}, &batch));
    replica.Commit(Seq(committed), &batch);
    store.Write(std::move(batch), nullptr);
    store.CompleteWrites();
    replica.DurableUpTo(replica.applied());
    ctx.linked.insert(kOther);
  }
  const wire::Write& line(std::uint64_t seq) const { return lines[seq - 1]; }
  void Damage(std::uint64_t seq) { REQUIRE(store.DamageLog(0, Seq(seq))); }
  std::string LastEvent() const { return ctx.out.events.empty() ? "" : ctx.out.events.back().text; }

  const std::vector<wire::Write> lines = Lines(4);
};

class Following : public Logged {
 public:
  explicit Following(std::uint64_t committed) : Logged(committed) { Adopt(kTerm, {cluster::Group{1, {0, 1}, Term(kTerm), {1, 0}}}); }

  // What it answers to a primary whose log ends there.
  wire::ContactAnswer Contact(std::uint64_t last) {
    wire::Contact contact;
    contact.set_term(kTerm);
    contact.set_boot(1);
    *contact.mutable_last() = line(last).stamp();
    contact.set_last_hash(line(last).hash());
    followers.OnContact(kOther, contact);
    SyncAll();
    const auto said = Said();
    REQUIRE(said.size() == 1);
    REQUIRE(said[0].has_contact_answer());
    return said[0].contact_answer();
  }
  // What it answers to that primary, which found the fork there.
  wire::ReplicateAck Replace(std::uint64_t fork, std::uint64_t last) {
    wire::Replicate replicate;
    replicate.set_term(kTerm);
    replicate.set_boot(1);
    replicate.set_replace(true);
    SetMark(line(fork), replicate.mutable_previous());
    for (std::uint64_t seq = fork + 1; seq <= last; ++seq) *replicate.add_writes() = line(seq);
    followers.OnReplicate(kOther, replicate, {});
    SyncAll();
    const auto said = Said();
    REQUIRE(said.size() == 1);
    REQUIRE(said[0].has_replicate_ack());
    return said[0].replicate_ack();
  }

  Followers followers{ctx, {.newer_layout = [](const NodeId&, Epoch) {}, .learner_role = {}, .durable = [](PartitionId) {},
                            .advanced = [](PartitionId) {}}};
};

class Leading : public Logged {
 public:
  explicit Leading(std::uint64_t committed) : Logged(committed) {
    Adopt(kTerm, {cluster::Group{0, {0, 1}, Term(kTerm), {0, 1}}});
    primaries.StartTerm(0);
    REQUIRE(CountSaid(IsContact) == 1);
  }

  // What it sends to a member whose log ends there.
  std::vector<wire::Peer> Answer(std::uint64_t last) {
    wire::ContactAnswer answer;
    answer.set_term(kTerm);
    answer.set_boot(1);
    for (std::uint64_t seq = 1; seq <= last; ++seq) SetMark(line(seq), answer.add_log());
    primaries.OnContactAnswer(kOther, answer);
    return Said();
  }
  void Mismatch() {
    wire::ReplicateAck ack;
    ack.set_term(kTerm);
    ack.set_boot(1);
    ack.set_mismatch(true);
    primaries.OnAck(kOther, ack);
  }
  void Tick(Duration span) {
    ctx.now += span;
    primaries.Tick();
  }

  Primaries primaries{ctx, {.request_change = [](const wire::ChangeRequest&) {}, .committed = [](PartitionId, Seq) {},
                            .written = [](PartitionId) {}, .ended = [](PartitionId) {}, .repair = {}}};
};

}  // namespace

TEST_CASE("R4.5: a primary whose line does not verify where a member's log ends sends what follows it") {
  Leading l(2);
  l.Damage(2);
  const auto said = l.Answer(2);
  REQUIRE(said.size() == 1);
  REQUIRE(said[0].has_replicate());
  CHECK(said[0].replicate().previous().seq() == 2);
  CHECK(said[0].replicate().previous().hash() == l.line(2).hash());
  REQUIRE(said[0].replicate().writes_size() == 2);
  CHECK(said[0].replicate().writes(0).stamp().seq() == 3);
  CHECK(l.ctx.out.events.empty());
}

TEST_CASE("R4.5: a member whose line does not verify where its primary's log ends cuts off what follows it") {
  Following f(2);
  f.Damage(2);
  const wire::ContactAnswer answer = f.Contact(2);
  REQUIRE(answer.log_size() == 1);
  CHECK(answer.log(0).seq() == 2);
  CHECK(answer.log(0).hash() == f.line(2).hash());
  const wire::ReplicateAck ack = f.Replace(2, 2);
  CHECK_FALSE(ack.mismatch());
  CHECK(ack.durable().seq() == 2);
  CHECK(ack.durable().hash() == f.line(2).hash());
  CHECK(f.ctx.Replica(0).last() == Seq(2));
  CHECK(f.ctx.out.quarantine.size() == 2);
}

TEST_CASE("R4.6: whether a member's line does not verify or its primary lacks it is told apart") {
  Following f(3);
  SECTION("the primary has it") {
    f.Damage(2);
    f.Damage(3);
    f.Contact(3);
    CHECK(f.Replace(1, 3).mismatch());
    CHECK(f.LastEvent().find("line 2 of its log does not verify here") != std::string::npos);
  }
  SECTION("the primary's log ends before it") {
    f.Damage(2);
    f.Contact(1);
    CHECK(f.Replace(1, 1).mismatch());
    CHECK(f.LastEvent().find("lacks committed writes and is refused") != std::string::npos);
  }
  CHECK(f.ctx.Replica(0).last() == Seq(4));
}

TEST_CASE("R11: a primary whose log has an end that does not verify stops when it has to send it to a member of in_sync") {
  Leading l(2);
  l.Damage(3);
  CHECK(l.Answer(2).empty());
  REQUIRE(l.ctx.out.stop);
  CHECK(l.ctx.out.stop->find("the end of the log of partition 0") != std::string::npos);
}

TEST_CASE("contact that ended as soon as it was made is made anew after a while, one that lasted at once") {
  Leading l(2);
  REQUIRE(l.Answer(2).size() == 1);
  SECTION("it ended at once") {
    l.Mismatch();
    CHECK(l.CountSaid(IsContact) == 0);
    l.Tick(std::chrono::milliseconds(200));
    CHECK(l.CountSaid(IsContact) == 0);
    l.Tick(std::chrono::milliseconds(100));
    CHECK(l.CountSaid(IsContact) == 1);
  }
  SECTION("it lasted") {
    l.ctx.now += std::chrono::milliseconds(300);
    l.Mismatch();
    CHECK(l.CountSaid(IsContact) == 1);
  }
}

}  // namespace coffer::node
