// When a primary proposes the learners that are filled: together, because each layout costs all members something.
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "node/core/primary.h"
#include "unit/node_sides.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A primary of some partitions whose copies the other member is to take.
class Proposing : public OneSide {
 public:
  explicit Proposing(PartitionId partitions) {
    Hear(kOther, "node-2");
    Adopt(1, std::vector<cluster::Group>(partitions, {0, {0}, Term(1), {0, 1}}), 1);
    for (PartitionId p = 0; p < partitions; ++p) primaries.StartTerm(p);
    Tick(milliseconds(100));
    // The learner has begun its log in each.
    for (const wire::Peer& message : Said()) {
      if (!message.has_learner_role() || !message.learner_role().chosen()) continue;
      const auto& role = message.learner_role();
      choices_[role.partition()] = role.choice();
      wire::ReplicateAck ack;
      ack.set_partition(role.partition());
      ack.set_term(1);
      ack.set_boot(1);
      ack.set_choice(role.choice());
      ack.mutable_durable()->set_seq(role.base());
      primaries.OnAck(kOther, ack);
    }
    REQUIRE(choices_.size() == partitions);
  }

  // The learner holds all history of the partitions from `first` on.
  void Filled(PartitionId first, PartitionId count) {
    for (PartitionId p = first; p < first + count; ++p) {
      wire::HistoryDone done;
      done.set_partition(p);
      done.set_term(1);
      done.set_boot(1);
      done.set_choice(choices_.at(p));
      primaries.OnHistoryDone(kOther, done);
    }
  }
  // The learner holds what was written up to here.
  void Acked(PartitionId partition, Seq seq) {
    wire::ReplicateAck ack;
    ack.set_partition(partition);
    ack.set_term(1);
    ack.set_boot(1);
    ack.set_choice(choices_.at(partition));
    ack.mutable_durable()->set_seq(seq.value);
    primaries.OnAck(kOther, ack);
  }
  void Write(PartitionId partition) {
    wire::Write write;
    write.set_kind(wire::WRITE_KIND_DROP_ZONE);
    write.set_zone(ZoneId{}.str());
    REQUIRE_FALSE(primaries.Order(partition, write, {}, {}, [] {}));
    SyncAll();
  }
  void Tick(Duration span) {
    for (const Instant end = ctx.now + span; ctx.now < end;) {
      ctx.now += milliseconds(100);
      primaries.Tick();
      Sync();
    }
  }

  std::set<PartitionId> asked;
  Primaries primaries{ctx, {.request_change = [this](const wire::ChangeRequest& r) { asked.insert(r.partition()); },
                            .committed = [](PartitionId, Seq) {}, .written = [](PartitionId) {}, .ended = [](PartitionId) {}, .repair = {}}};

 private:
  std::map<PartitionId, std::uint64_t> choices_;
};

TEST_CASE("R7.2 while learners are being filled those that are done wait for them, but not for long") {
  Proposing p(3);
  p.Filled(0, 2);
  p.Tick(milliseconds(1900));
  CHECK(p.asked.empty());
  CHECK_FALSE(p.primaries.Progress(0)->proposed());  // a mark would have writes wait for it
  p.Tick(milliseconds(300));
  CHECK(p.asked == std::set<PartitionId>{0, 1});
  CHECK(p.ctx.durable.adds.size() == 2);
  CHECK(p.primaries.Progress(0)->proposed() == OneSide::kOther);
  CHECK_FALSE(p.primaries.Progress(2)->proposed());
}

TEST_CASE("once the last one is filled, none waits") {
  Proposing p(3);
  p.Filled(0, 2);
  p.Tick(milliseconds(500));
  CHECK(p.asked.empty());
  p.Filled(2, 1);
  p.Tick(milliseconds(100));
  CHECK(p.asked.size() == 3);
}

TEST_CASE("enough of them are proposed at once") {
  Proposing p(300);
  p.Filled(0, 255);
  p.Tick(milliseconds(100));
  CHECK(p.asked.empty());
  p.Filled(255, 1);
  p.Tick(milliseconds(100));
  CHECK(p.asked.size() == 256);
}

TEST_CASE("R7.2 a learner that lacked the last write when it was to be proposed is proposed as soon as it has it") {
  Proposing p(1);
  p.Filled(0, 1);
  p.Write(0);
  p.Tick(milliseconds(100));
  CHECK_FALSE(p.primaries.Progress(0)->proposed());
  p.Acked(0, Seq(1));
  CHECK(p.primaries.Progress(0)->proposed() == OneSide::kOther);  // the next write may come before the next look
  p.Tick(milliseconds(100));
  CHECK(p.asked.size() == 1);
}

TEST_CASE("a learner that is lost while it waits is not proposed") {
  Proposing p(3);
  p.Filled(0, 2);
  p.Tick(milliseconds(500));
  p.ctx.linked.erase(OneSide::kOther);
  p.primaries.OnLinkDown(OneSide::kOther);
  p.Tick(seconds(3));
  CHECK(p.asked.empty());
  CHECK(p.ctx.durable.adds.empty());
}

}  // namespace
}  // namespace coffer::node
