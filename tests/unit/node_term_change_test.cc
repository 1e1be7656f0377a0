// The moment in which a partition's term changes: what comes before its layout, what waits for the disk, and writes that come before
// the partition is served again.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/sha256.h"
#include "google/rpc/error_details.pb.h"
#include "node/core/follower.h"
#include "node/core/primary.h"
#include "node/core/writes.h"
#include "unit/node_sides.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;

cluster::Group LedByOther(std::uint64_t term) { return {1, {0, 1}, Term(term), {1, 0}}; }
cluster::Group LedBySelf(std::uint64_t term) { return {0, {0, 1}, Term(term), {0, 1}}; }

wire::Contact ContactIn(std::uint64_t term) {
  wire::Contact contact;
  contact.set_term(term);
  contact.set_boot(1);
  contact.set_last_hash(Digest{}.str());
  return contact;
}

bool AnswersContact(const wire::Peer& message) { return message.has_contact_answer(); }

class Following : public OneSide {
 public:
  Following() { Adopt(1, {LedByOther(1)}); }
  // As the node does when a layout takes effect.
  void Begin(std::uint64_t term) {
    Adopt(term, {LedByOther(term)});
    followers.EndTerm(0);
    followers.OnLayout();
  }

  int newer = 0;  // layouts asked for
  Followers followers{ctx, {.newer_layout = [this](const NodeId&, Epoch) { ++newer; }, .learner_role = {},
                            .durable = [](PartitionId) {}, .advanced = [](PartitionId) {}}};
};

TEST_CASE("a contact of a term that has not begun here is answered as soon as its layout is effective") {
  Following f;
  f.followers.OnContact(OneSide::kOther, ContactIn(2));
  f.SyncAll();
  CHECK(f.newer == 1);
  CHECK(f.CountSaid(AnswersContact) == 0);
  f.Begin(2);
  f.SyncAll();
  CHECK(f.CountSaid(AnswersContact) == 1);
  f.Begin(3);
  f.SyncAll();
  CHECK(f.CountSaid(AnswersContact) == 0);  // once
}

TEST_CASE("a contact that is early still when the next layout is effective waits for the one after it; a late one is fenced") {
  Following f;
  f.followers.OnContact(OneSide::kOther, ContactIn(2));
  f.followers.OnContact(OneSide::kOther, ContactIn(4));
  f.Begin(3);
  f.SyncAll();
  CHECK(f.CountSaid([](const wire::Peer& m) { return m.has_fenced() || m.has_contact_answer(); }) == 1);
  f.Begin(4);
  f.SyncAll();
  CHECK(f.CountSaid(AnswersContact) == 1);
}

TEST_CASE("a contact that is repeated is not answered before the boot it names is durable (R2.2)") {
  Following f;
  f.followers.OnContact(OneSide::kOther, ContactIn(1));
  f.followers.OnContact(OneSide::kOther, ContactIn(1));
  CHECK(f.CountSaid(AnswersContact) == 0);
  f.SyncAll();
  CHECK(f.CountSaid(AnswersContact) == 2);
  f.followers.OnContact(OneSide::kOther, ContactIn(1));
  CHECK(f.CountSaid(AnswersContact) == 1);  // at once
}

TEST_CASE("what comes early and is too much to keep is dropped") {
  Following f;
  wire::Replicate replicate;
  replicate.set_term(2);
  replicate.set_boot(1);
  const auto value = std::make_shared<const std::string>(3 << 20, 'v');
  f.followers.OnReplicate(OneSide::kOther, replicate, {value});
  f.followers.OnReplicate(OneSide::kOther, replicate, {value});
  CHECK(value.use_count() == 2);
  f.Begin(2);
  CHECK(value.use_count() == 1);
}

TEST_CASE("many small messages that come early are bounded too: each takes memory beside what it carries") {
  Following f;
  for (const std::uint64_t term : {2, 3}) {  // there is room again once the layout is effective
    for (int i = 0; i < 10000; ++i) f.followers.OnContact(OneSide::kOther, ContactIn(term));
    f.Begin(term);
    f.SyncAll();
    const std::size_t answered = f.CountSaid(AnswersContact);
    CHECK(answered > 6000);
    CHECK(answered <= (4u << 20) / 512);  // what they carry would leave room for all of them
  }
}

// The begin of contact in term 1, by which the partition's first write comes.
wire::Replicate BringFirstWrite() {
  wire::Replicate replicate;
  replicate.set_term(1);
  replicate.set_boot(1);
  replicate.set_replace(true);
  replicate.mutable_previous()->set_hash(Digest{}.str());
  wire::Write& write = *replicate.add_writes();
  write.set_kind(wire::WRITE_KIND_DROP_ZONE);
  write.set_zone(ZoneId{}.str());
  SetStamp({Term(1), Boot(1), Seq(1)}, write.mutable_stamp());
  write.set_hash(HashWrite(Digest{}, write).str());
  return replicate;
}

TEST_CASE("a contact waits for what was written in the term before, and no longer") {
  Following f;
  SECTION("copied from its primary") {
    f.followers.OnContact(OneSide::kOther, ContactIn(1));
    f.SyncAll();
    f.followers.OnReplicate(OneSide::kOther, BringFirstWrite(), {});
    f.Said();
    f.Begin(2);
    f.followers.OnContact(OneSide::kOther, ContactIn(2));
    CHECK(f.CountSaid(AnswersContact) == 0);
    f.SyncAll();
    CHECK(f.CountSaid(AnswersContact) == 1);
  }
  SECTION("ordered by this node") {
    StoreBatch batch;
    REQUIRE(f.ctx.Replica(0).Apply(std::make_shared<const wire::Write>(BringFirstWrite().writes(0)), {}, &batch));
    f.Begin(2);
    f.followers.OnContact(OneSide::kOther, ContactIn(2));
    f.SyncAll();
    CHECK(f.CountSaid(AnswersContact) == 0);
    f.ctx.Replica(0).DurableUpTo(f.ctx.Replica(0).applied());
    f.followers.OnWritten(0);
    f.SyncAll();
    CHECK(f.CountSaid(AnswersContact) == 1);
  }
}

TEST_CASE("R4.6 what is known to be committed is not cut for a later primary that lacks it; what is not, is") {
  Following f;
  const bool committed = GENERATE(true, false);
  f.followers.OnContact(OneSide::kOther, ContactIn(1));
  f.SyncAll();
  wire::Replicate first = BringFirstWrite();
  first.set_committed(committed ? 1 : 0);
  f.followers.OnReplicate(OneSide::kOther, first, {});
  f.SyncAll();
  f.Begin(2);
  f.followers.OnContact(OneSide::kOther, ContactIn(2));
  f.SyncAll();
  f.Said();
  wire::Replicate empty = first;
  empty.set_term(2);
  empty.set_committed(0);
  empty.clear_writes();
  f.followers.OnReplicate(OneSide::kOther, empty, {});
  f.SyncAll();
  CHECK(f.ctx.Replica(0).last() == Seq(committed ? 1 : 0));
  const auto refuses = [](const wire::Peer& m) { return m.has_replicate_ack() && m.replicate_ack().mismatch(); };
  CHECK(f.CountSaid(refuses) == (committed ? 1 : 0));
}

// The beginning of a learner's log, with writes of the term that follow on it.
wire::Replicate StartIn(std::uint64_t term, std::uint64_t base, int writes) {
  wire::Replicate start;
  start.set_term(term);
  start.set_boot(1);
  start.set_learner_start(true);
  start.set_choice(term);
  start.mutable_previous()->set_seq(base);
  Digest hash = Sha256({"up to", std::to_string(base)});
  start.mutable_previous()->set_hash(hash.str());
  for (int i = 0; i < writes; ++i) {
    wire::Write* const write = start.add_writes();
    write->set_kind(wire::WRITE_KIND_DROP_ZONE);
    write->set_zone(ZoneId{}.str());
    SetStamp({Term(term), Boot(1), Seq(base + static_cast<std::uint64_t>(i) + 1)}, write->mutable_stamp());
    hash = HashWrite(hash, *write);
    write->set_hash(hash.str());
  }
  return start;
}

// A message without writes, by which the primary asks how far the log is durable.
wire::Replicate AskAfter(const wire::Replicate& start) {
  wire::Replicate ask;
  ask.set_term(start.term());
  ask.set_boot(1);
  const wire::Write& last = *start.writes().rbegin();
  ask.mutable_previous()->set_seq(last.stamp().seq());
  ask.mutable_previous()->set_hash(last.hash());
  return ask;
}

// The highest write that an answer of this term calls durable.
std::uint64_t SaidDurable(Following& f, std::uint64_t term) {
  std::uint64_t most = 0;
  for (const wire::Peer& message : f.Said()) {
    if (message.has_replicate_ack() && message.replicate_ack().term() == term) most = std::max(most, message.replicate_ack().durable().seq());
  }
  return most;
}

TEST_CASE("a message with many small writes that comes early is bounded by what they take, not by what they carry") {
  Following f;
  const bool kept = GENERATE(true, false);
  const wire::Replicate start = StartIn(2, 4, kept ? 5000 : 9000);
  REQUIRE(start.ByteSizeLong() < (1u << 20));
  f.followers.OnReplicate(OneSide::kOther, start, {});
  f.Begin(2);
  f.SyncAll();
  CHECK(f.ctx.Replica(0).last().value == (kept ? 5004u : 0u));
}

TEST_CASE("a log that is begun anew at a change of term is not durable when the one begun before it is (R4.3)") {
  Following f;
  f.followers.OnReplicate(OneSide::kOther, StartIn(1, 7, 0), {});
  f.Begin(2);
  const wire::Replicate start = StartIn(2, 4, 3);
  f.followers.OnReplicate(OneSide::kOther, start, {});
  REQUIRE(f.Sync());  // what term 1 began
  f.followers.OnReplicate(OneSide::kOther, AskAfter(start), {});
  CHECK(SaidDurable(f, 2) == 0);
  CHECK(f.ctx.Replica(0).meta().log_start == Seq(4));
  f.SyncAll();
  CHECK(SaidDurable(f, 2) == 7);
}

TEST_CASE("a learner's log begins as soon as what an earlier term wrote is durable") {
  Following f;
  f.followers.OnReplicate(OneSide::kOther, StartIn(1, 7, 2), {});
  f.Begin(2);
  f.followers.OnReplicate(OneSide::kOther, StartIn(2, 9, 1), {});
  CHECK(f.ctx.Replica(0).meta().log_start == Seq(7));
  REQUIRE(f.Sync());
  CHECK(f.ctx.Replica(0).meta().log_start == Seq(9));
  CHECK(SaidDurable(f, 2) == 0);
  f.SyncAll();
  CHECK(SaidDurable(f, 2) == 10);
}

TEST_CASE("what was taken before a write that does not follow is written, as is the beginning of the log before it (R4.3)") {
  Following f;
  wire::Replicate start = StartIn(1, 4, 3);
  SECTION("its hash is another") {
    start.mutable_writes(2)->set_hash(Digest{}.str());
    f.followers.OnReplicate(OneSide::kOther, start, {});
    CHECK(f.CountSaid([](const wire::Peer& m) { return m.has_replicate_ack() && m.replicate_ack().mismatch(); }) == 1);
  }
  SECTION("its bytes are not there") {
    start.mutable_writes(2)->set_kind(wire::WRITE_KIND_PUT_CHUNK);
    start.mutable_writes(2)->add_items();
    f.followers.OnReplicate(OneSide::kOther, start, {});
    CHECK(f.ctx.counters.dropped == 1);
  }
  f.SyncAll();
  CHECK(f.ctx.Replica(0).AllDurable());
  CHECK(f.ctx.Replica(0).last() == Seq(6));
  std::vector<LogRecord> log;
  REQUIRE(f.store.ReadLog(0, Seq(5), Seq(7), &log) == ReadOutcome::kFound);
  CHECK(log.size() == 2);
}

class Leading : public OneSide {
 public:
  Leading() {
    ctx.linked.insert(kOther);
    Begin();
  }
  void Begin() {
    ++term;
    Adopt(term, {LedBySelf(term)});
    primaries.EndTerm(0, true);
    primaries.StartTerm(0);
  }
  // The other member answers the contact and holds the tail.
  void Activate() {
    wire::ContactAnswer answer;
    answer.set_term(term);
    answer.set_boot(1);
    auto* mark = answer.add_log();
    mark->set_seq(ctx.Replica(0).last().value);
    mark->set_hash(ctx.Replica(0).meta().last_hash.str());
    primaries.OnContactAnswer(kOther, answer);
    wire::ReplicateAck ack;
    ack.set_term(term);
    ack.set_boot(1);
    ack.mutable_durable()->set_seq(ctx.Replica(0).last().value);
    primaries.OnAck(kOther, ack);
  }
  bool Await() {
    return primaries.WhenActive(0, {kRouter, 7, ctx.now + std::chrono::seconds(5)}, [this] { ++again; }, [this] { ++refused; });
  }
  void Tick(Duration span) {
    ctx.now += span;
    primaries.Tick();
  }

  static inline const NodeId kRouter = NodeId::Must("a-router-16bytes");
  std::uint64_t term = 0;
  int again = 0, refused = 0, written = 0;
  Primaries primaries{ctx, {.request_change = [](const wire::ChangeRequest&) {}, .committed = [](PartitionId, Seq) {},
                            .written = [this](PartitionId) { ++written; }, .ended = [](PartitionId) {}, .repair = {}}};
};

TEST_CASE("a write that comes before the partition is served waits for that") {
  Leading l;
  REQUIRE(l.Await());
  REQUIRE(l.Await());
  l.Tick(milliseconds(100));
  CHECK(l.again == 0);
  l.Activate();
  CHECK(l.again == 2);
  CHECK(l.refused == 0);
  CHECK_FALSE(l.Await());  // it is served
}

TEST_CASE("a write does not wait for long, nor for a partition that is long in coming") {
  Leading l;
  REQUIRE(l.Await());
  l.Tick(milliseconds(200));
  CHECK(l.refused == 0);
  l.Tick(milliseconds(200));
  CHECK(l.refused == 1);
  CHECK_FALSE(l.Await());
  l.Activate();
  CHECK(l.again == 0);
}

TEST_CASE("a write whose time was over when its partition came to be served is refused, not ordered") {
  Leading l;
  REQUIRE(l.Await());
  l.ctx.now += milliseconds(400);  // nobody has looked since
  l.Activate();
  CHECK(l.again == 0);
  CHECK(l.refused == 1);
}

TEST_CASE("a write that waits when the term ends is told so") {
  Leading l;
  REQUIRE(l.Await());
  l.Said();
  l.Begin();
  CHECK(l.CountSaid([](const wire::Peer& m) { return m.has_data_response() && m.data_response().fenced(); }) == 1);
  l.Activate();
  CHECK(l.again == 0);
  CHECK(l.refused == 0);
}

// With what decides about a router's writes.
class Serving : public Leading {
 public:
  void Put(std::uint64_t call) {
    wire::DataRequest request;
    request.set_call(call);
    request.set_zone(kZone.str());
    request.set_term(term);
    request.set_deadline_ms(5000);
    request.mutable_put_chunk()->set_id(kChunk.str());
    writes.Handle(kRouter, std::move(request), {std::make_shared<const std::string>("bytes")});
  }
  // What became of each put that was answered: the reason it was refused for, or nothing.
  std::map<std::uint64_t, std::string> Answers() {
    std::map<std::uint64_t, std::string> answers;
    for (const wire::Peer& message : Said()) {
      if (!message.has_data_response()) continue;
      google::rpc::ErrorInfo info;
      const auto& status = message.data_response().status();
      if (status.details_size() > 0) status.details(0).UnpackTo(&info);
      CHECK(status.code() == (info.reason().empty() ? 0 : 14));
      CHECK(answers.emplace(message.data_response().call(), info.reason()).second);
    }
    return answers;
  }
  std::string Stored() const {
    RecordHeader header;
    Payload value;
    const RecordKey key{kZone, RecordKind::kChunk, kChunk, 0};
    return store.Read(0, key, &header, &value) == ReadOutcome::kFound ? *value : "";
  }

  static inline const ZoneId kZone = ZoneId::Must("zone-of-16-bytes");
  static inline const BlockId kChunk = BlockId::Must("a chunk's id, which has 32 bytes");
  Reads reads{ctx, primaries, [](PartitionId) { return std::nullopt; }};
  Writes writes{ctx, primaries, reads, {.repair = {}, .lost = {}, .restored = {}, .zone_marked = {}, .zone_deleted = {}}};
};

using Answered = std::map<std::uint64_t, std::string>;

TEST_CASE("a put that comes at the beginning of a term is carried out, as it came, when its partition is served") {
  Serving s;
  s.Put(1);
  s.Tick(milliseconds(100));
  s.SyncAll();
  CHECK(s.Answers().empty());
  CHECK(s.Stored().empty());
  s.Activate();
  s.SyncAll();
  s.Activate();  // the other member holds what was written, too
  CHECK(s.Answers() == Answered{{1, ""}});
  CHECK(s.Stored() == "bytes");
}

TEST_CASE("a put whose partition is long in coming is refused with the reason, and so is the next, at once") {
  Serving s;
  s.Put(1);
  s.Tick(milliseconds(400));
  CHECK(s.Answers() == Answered{{1, "PARTITION_ACTIVATING"}});
  s.Put(2);
  CHECK(s.Answers() == Answered{{2, "PARTITION_ACTIVATING"}});
  s.Activate();
  s.SyncAll();
  CHECK(s.Answers().empty());  // refused is refused
  CHECK(s.Stored().empty());
}

TEST_CASE("a write that is durable only when another leads is told to who waits for it") {
  Leading l;
  l.Activate();
  wire::Write write;
  write.set_kind(wire::WRITE_KIND_DROP_ZONE);
  write.set_zone(ZoneId{}.str());
  REQUIRE_FALSE(l.primaries.Order(0, write, {}, {Leading::kRouter, 1}, [] {}));
  l.Adopt(9, {LedByOther(9)});
  l.primaries.EndTerm(0, false);
  CHECK(l.written == 0);
  l.SyncAll();
  CHECK(l.written == 1);
}

}  // namespace
}  // namespace coffer::node
