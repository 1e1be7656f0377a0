// What a primary concludes from who holds what: section R of docs/protocol.md, over positions alone.
#include "cluster/replication.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "cluster/random.h"
#include "layout_fixtures.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

const NodeId kSelf = TestId(0);
const NodeId kA = TestId(1);
const NodeId kB = TestId(2);
const NodeId kStranger = TestId(9);

// A primary with these replicas, all in contact, whose tail up to `tail` everybody holds.
PrimaryProgress Active(std::vector<NodeId> replicas, std::uint32_t min_copies = 2, Seq tail = Seq(10)) {
  std::vector<NodeId> in_sync = replicas;
  in_sync.push_back(kSelf);
  PrimaryProgress progress(kSelf, in_sync, std::nullopt, min_copies, tail);
  progress.LocalDurable(tail);
  for (const NodeId& id : replicas) {
    progress.Contacted(id);
    progress.Acked(id, tail);
  }
  REQUIRE(progress.active());
  return progress;
}

// The same with a learner that said its history is complete, one step before it is proposed.
PrimaryProgress WithLearner(std::vector<NodeId> replicas, Seq base = Seq(10)) {
  PrimaryProgress progress = Active(std::move(replicas));
  progress.StartLearner(kB, base);
  progress.LearnerComplete(Seq(10));
  return progress;
}

const NodeId kLearner = TestId(5);

PrimaryProgress Drawn(Random* random, std::uint32_t min_copies, Seq tail) {
  std::vector<NodeId> in_sync = {kSelf};
  const std::uint64_t replicas = random->Below(3);
  for (std::uint32_t n = 1; n <= replicas; ++n) in_sync.push_back(TestId(n));
  const auto proposed = random->Chance(1, 4) ? std::optional(TestId(4)) : std::nullopt;
  return PrimaryProgress(kSelf, in_sync, proposed, min_copies, tail);
}

// Any course of events, and beside it what each member was ever heard to hold while in contact.
struct Course {
  explicit Course(std::uint64_t seed)
      : random(seed), min_copies(1 + static_cast<std::uint32_t>(random.Below(2))), tail(random.Below(4)),
        progress(Drawn(&random, min_copies, tail)), last(tail) {}

  void Step() {
    const NodeId peer = TestId(1 + static_cast<std::uint32_t>(random.Below(6)));  // the last two are no replicas
    switch (random.Below(10)) {
      case 0: return progress.Contacted(peer);
      case 1: return random.Chance(1, 4) ? progress.LoseContact(peer) : Answer(peer);
      case 2: last = last.Next(); return;
      case 3: return LocalDurable();
      case 4: return StartLearner();
      case 5: return progress.LearnerComplete(last);
      case 6: return Propose();
      case 7: return random.Chance(1, 8) ? progress.WithdrawLearner() : Answer(kLearner);
      case 8: return random.Chance(1, 8) ? ChangeMinCopies() : Answer(peer);
      default: return Answer(peer);
    }
  }

  void Answer(const NodeId& peer) {
    const Seq seq(last.value - std::min(last.value, random.Below(3)));
    progress.Acked(peer, seq);
    if (progress.HasContact(peer)) held[peer] = std::max(held[peer], seq);
  }
  void LocalDurable() {
    progress.LocalDurable(last);
    held[kSelf] = last;
  }
  void StartLearner() {
    if (progress.learner() || progress.InAckset(kLearner)) return;
    progress.StartLearner(kLearner, last);
    held[kLearner] = last;  // what was before, it holds once its history is complete
  }
  void Propose() {
    if (!progress.MayPropose()) return;
    REQUIRE(progress.AckedBy(kLearner) >= progress.committed());
    progress.MarkProposed();
  }
  void ChangeMinCopies() {
    min_copies = 3 - min_copies;
    progress.SetMinCopies(min_copies);
    acknowledged = {};
  }
  void EverybodyAnswers() {
    LocalDurable();
    for (const NodeId& id : progress.Receivers()) {
      progress.Contacted(id);
      progress.Acked(id, last);
      held[id] = last;
    }
  }

  void Check() {
    for (const NodeId& id : progress.Receivers()) {
      if (progress.HasContact(id)) contacted.insert(id);
    }
    for (const NodeId& id : progress.ackset()) {
      REQUIRE(held[id] >= progress.committed());
      if (progress.active()) REQUIRE((id == kSelf || contacted.contains(id)));
      if (progress.active()) REQUIRE(held[id] >= tail);
    }
    REQUIRE(progress.acknowledged() <= progress.committed());
    REQUIRE(progress.committed() >= committed);
    REQUIRE(progress.acknowledged() >= acknowledged);
    REQUIRE((progress.active() || (!active && committed == Seq{})));
    if (progress.acknowledged() > acknowledged) {
      const bool by_learner = progress.learner() && progress.AckedBy(kLearner) > progress.learner_base() &&
                              progress.AckedBy(kLearner) >= progress.acknowledged();
      REQUIRE(progress.ackset().size() + (by_learner ? 1 : 0) >= min_copies);
    }
    active = progress.active();
    committed = progress.committed();
    acknowledged = progress.acknowledged();
  }

  Random random;
  std::uint32_t min_copies;
  Seq tail;
  PrimaryProgress progress;
  Seq last;
  std::map<NodeId, Seq> held;
  std::set<NodeId> contacted;
  bool active = false;
  Seq committed, acknowledged;
};

}  // namespace

TEST_CASE("R2.1 a write is acknowledged once every member of the ackset holds it, and not before") {
  PrimaryProgress progress = Active({kA, kB});
  CHECK(progress.acknowledged() == Seq(10));
  progress.Acked(kA, Seq(11));
  CHECK(progress.acknowledged() == Seq(10));
  progress.Acked(kB, Seq(12));  // our own disk is the last
  CHECK(progress.acknowledged() == Seq(10));
  CHECK(progress.committed() == Seq(10));
  progress.LocalDurable(Seq(12));
  CHECK(progress.committed() == Seq(11));
  CHECK(progress.acknowledged() == Seq(11));
}

TEST_CASE("R2.1 R2.2 who is no member, or has not made contact, holds nothing that counts") {
  PrimaryProgress progress = Active({kA});
  progress.LocalDurable(Seq(12));
  progress.Contacted(kStranger);
  progress.Acked(kStranger, Seq(12));
  progress.LoseContact(kStranger);
  CHECK(progress.AckedBy(kStranger) == Seq{});
  CHECK_FALSE(progress.HasContact(kStranger));
  CHECK_FALSE(progress.InAckset(kStranger));
  progress.LoseContact(kA);
  CHECK_FALSE(progress.HasContact(kA));
  progress.Acked(kA, Seq(12));
  CHECK(progress.committed() == Seq(10));
  progress.Contacted(kA);
  CHECK(progress.HasContact(kA));
  CHECK(progress.AckedBy(kA) == Seq{});  // it names anew what it holds
  progress.Acked(kA, Seq(12));
  CHECK(progress.committed() == Seq(12));
}

TEST_CASE("R4.3 what a member said it holds is never taken back by an older answer") {
  PrimaryProgress progress = Active({kA});
  progress.LocalDurable(Seq(20));
  progress.Acked(kA, Seq(15));
  progress.Acked(kA, Seq(12));
  CHECK(progress.AckedBy(kA) == Seq(15));
  progress.LocalDurable(Seq(13));
  progress.Acked(kA, Seq(18));
  CHECK(progress.committed() == Seq(18));
}

TEST_CASE("R2.4 alone it acknowledges only where one copy is enough") {
  PrimaryProgress one = Active({}, 1);
  CHECK(one.MayWrite());
  CHECK(one.OldWritesHaveCopies());
  one.LocalDurable(Seq(11));
  CHECK(one.acknowledged() == Seq(11));
  PrimaryProgress two = Active({}, 2);
  CHECK_FALSE(two.MayWrite());
  CHECK_FALSE(two.OldWritesHaveCopies());
  two.LocalDurable(Seq(11));
  CHECK(two.committed() == Seq(11));
  CHECK(two.acknowledged() == Seq{});
}

TEST_CASE("R2.5 where the number of copies rises, what has fewer is not acknowledged again before it has them") {
  PrimaryProgress progress = Active({}, 1);
  progress.LocalDurable(Seq(15));
  progress.SetMinCopies(1);
  CHECK(progress.acknowledged() == Seq(15));
  progress.SetMinCopies(2);
  CHECK(progress.acknowledged() == Seq{});
  CHECK(progress.committed() == Seq(15));
  progress.SetMinCopies(1);
  CHECK(progress.acknowledged() == Seq(15));
  PrimaryProgress copies = Active({kA}, 1);
  copies.SetMinCopies(2);
  CHECK(copies.acknowledged() == Seq(10));  // they were there all the time
}

TEST_CASE("R4.1 nothing is served until every member of in_sync and a proposed learner holds the whole tail") {
  PrimaryProgress progress(kSelf, {kSelf, kA}, kB, 2, Seq(10));
  CHECK(progress.ackset() == std::vector<NodeId>{kSelf, kA, kB});
  CHECK(progress.Receivers().size() == 2);
  progress.LocalDurable(Seq(10));
  progress.Contacted(kA);
  progress.Acked(kA, Seq(10));
  CHECK_FALSE(progress.active());
  progress.Contacted(kB);
  progress.Acked(kB, Seq(9));
  CHECK_FALSE(progress.active());
  CHECK_FALSE(progress.MayWrite());
  progress.Acked(kB, Seq(10));
  CHECK(progress.active());
  CHECK(progress.committed() == Seq(10));
  progress.LoseContact(kB);  // once true, true for the term
  progress.LocalDurable(Seq(11));
  CHECK(progress.active());
  CHECK(progress.committed() == Seq(10));
}

TEST_CASE("R4.1 a tail without a write needs contact all the same") {
  PrimaryProgress progress(kSelf, {kSelf, kA}, std::nullopt, 2, Seq{});
  progress.LocalDurable(Seq{});
  CHECK_FALSE(progress.active());
  progress.Contacted(kA);
  progress.Acked(kA, Seq{});
  CHECK(progress.active());
}

TEST_CASE("R7.3 a learner that is proposed and in_sync already counts once") {
  PrimaryProgress progress(kSelf, {kSelf, kA}, kA, 2, Seq{});
  CHECK(progress.ackset() == std::vector<NodeId>{kSelf, kA});
  CHECK(progress.proposed() == kA);
}

TEST_CASE("R7.1 a streaming learner gets live writes, commits nothing, and may be withdrawn for another") {
  PrimaryProgress progress = Active({kA});
  progress.StartLearner(kB, Seq(10));
  CHECK(progress.learner() == kB);
  CHECK(progress.learner_base() == Seq(10));
  CHECK(std::ranges::equal(progress.Receivers(), std::vector<NodeId>{kA, kB}));
  CHECK_FALSE(progress.InAckset(kB));
  progress.LocalDurable(Seq(12));
  progress.Acked(kA, Seq(12));
  CHECK(progress.committed() == Seq(12));  // without the learner
  progress.LearnerComplete(Seq(12));
  progress.StartLearner(kStranger, Seq(12));
  CHECK(std::ranges::equal(progress.Receivers(), std::vector<NodeId>{kA, kStranger}));
  CHECK_FALSE(progress.learner_complete());  // that was the other's history
  CHECK(progress.AckedBy(kB) == Seq{});
  progress.WithdrawLearner();
  progress.WithdrawLearner();
  CHECK_FALSE(progress.learner());
  CHECK(std::ranges::equal(progress.Receivers(), std::vector<NodeId>{kA}));
  CHECK_FALSE(progress.MayPropose());
}

TEST_CASE("R7.1 R7.2 a learner may stream before activation, and is not proposed then") {
  PrimaryProgress progress(kSelf, {kSelf, kA}, std::nullopt, 2, Seq{});  // without a write there is nothing that it could lack
  progress.LocalDurable(Seq{});
  progress.StartLearner(kB, Seq{});
  progress.LearnerComplete(Seq{});
  CHECK_FALSE(progress.MayPropose());
  progress.Contacted(kA);
  progress.Acked(kA, Seq{});
  CHECK(progress.MayPropose());
}

TEST_CASE("R7.2 an add is proposed when the learner has its history and everything committed") {
  PrimaryProgress ready = WithLearner({kA});
  CHECK(ready.learner_complete());
  CHECK(ready.MayPropose());

  PrimaryProgress no_history = Active({kA});
  CHECK_FALSE(no_history.MayPropose());  // no learner at all
  no_history.StartLearner(kB, Seq(10));
  CHECK_FALSE(no_history.MayPropose());

  PrimaryProgress out_of_contact = WithLearner({kA});
  out_of_contact.LoseContact(kB);
  CHECK_FALSE(out_of_contact.MayPropose());

  PrimaryProgress behind = WithLearner({kA});
  behind.LocalDurable(Seq(11));
  behind.Acked(kA, Seq(11));
  CHECK_FALSE(behind.MayPropose());
  behind.Acked(kB, Seq(11));
  CHECK(behind.MayPropose());
}

TEST_CASE("R7.2 what was ordered until its history was complete is committed first, and so is where its log begins") {
  PrimaryProgress late = Active({kA});
  late.StartLearner(kB, Seq(10));
  late.LearnerComplete(Seq(13));  // writes 11 to 13 were under way
  late.LearnerComplete(Seq(20));  // said again: the first time counts
  late.LocalDurable(Seq(13));
  late.Acked(kB, Seq(13));
  late.Acked(kA, Seq(12));
  CHECK_FALSE(late.MayPropose());
  late.Acked(kA, Seq(13));
  CHECK(late.MayPropose());

  PrimaryProgress base = WithLearner({kA}, Seq(12));
  CHECK_FALSE(base.MayPropose());
  base.LocalDurable(Seq(12));
  base.Acked(kA, Seq(12));
  CHECK(base.MayPropose());
}

TEST_CASE("R3 R7.3 once proposed the learner counts for acknowledgements, and no other add is proposed") {
  PrimaryProgress progress = WithLearner({kA});
  progress.MarkProposed();
  CHECK(progress.proposed() == kB);
  CHECK_FALSE(progress.learner());
  CHECK(progress.InAckset(kB));
  CHECK(progress.ackset().size() == 3);
  CHECK(progress.acknowledged() == Seq(10));  // never taken back
  progress.LocalDurable(Seq(11));
  progress.Acked(kA, Seq(11));
  CHECK(progress.committed() == Seq(10));
  progress.LoseContact(kB);
  CHECK(progress.committed() == Seq(10));  // it counts when it is silent, too
  progress.Contacted(kB);
  progress.Acked(kB, Seq(11));
  CHECK(progress.committed() == Seq(11));
  progress.StartLearner(kStranger, Seq(11));
  progress.LearnerComplete(Seq(11));
  CHECK_FALSE(progress.MayPropose());
}

TEST_CASE("R7.4 a streaming learner is the second copy of what it was sent, and of nothing older") {
  PrimaryProgress progress = Active({}, 2);
  CHECK_FALSE(progress.MayWrite());
  progress.StartLearner(kB, Seq(10));
  CHECK(progress.MayWrite());
  CHECK(progress.acknowledged() == Seq{});  // it has not been sent a write yet
  progress.LocalDurable(Seq(12));
  progress.Acked(kB, Seq(10));
  CHECK(progress.acknowledged() == Seq{});
  progress.Acked(kB, Seq(11));
  CHECK(progress.acknowledged() == Seq(11));
  CHECK(progress.committed() == Seq(12));
  progress.Acked(kB, Seq(14));
  CHECK(progress.acknowledged() == Seq(12));  // never more than is committed
  progress.WithdrawLearner();
  progress.LocalDurable(Seq(13));
  CHECK(progress.acknowledged() == Seq(12));
  CHECK_FALSE(progress.MayWrite());
}

TEST_CASE("R2.1 R4.1 R7.3 R7.4 in any order of events: committed and acknowledged never exceed what is held, and do not fall") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    Course course(seed);
    for (int step = 0; step < 200; ++step) {
      course.Step();
      course.Check();
    }
    course.EverybodyAnswers();
    course.Check();
    CHECK(course.progress.active());
    CHECK(course.progress.committed() == course.last);
    const bool enough = course.progress.ackset().size() >= course.min_copies;
    if (enough) CHECK(course.progress.acknowledged() == course.last);
  }
}

}  // namespace coffer::cluster
