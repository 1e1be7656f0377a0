// What becomes of a layout that a node proposes while it waits for the other voter's promise.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "node/core/planning.h"
#include "unit/agreement_messages.h"
#include "unit/node_sides.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;

// One of two voters; the other says what the test has it say.
class Planned : public OneSide {
 public:
  Planned() {
    ctx.layout = voter.agreement().layout();
    ctx.self_index = 0;
    Hear(kOther, "node-2");
    Pass(milliseconds(1000));
    REQUIRE_FALSE(Asked());  // nothing is to be planned
  }

  // Of a third node, which has not been in the cluster.
  void News(std::uint32_t weight, cluster::Liveness state = cluster::Liveness::kAlive) {
    Hear(kThird, "node-3", weight, state);
    planning.OnMembershipChange();
  }
  void Pass(Duration span) {
    for (const Instant end = ctx.now + span; ctx.now < end;) {
      ctx.now += milliseconds(50);
      voter.TickTo(ctx.now);
      Settle();
      planning.Tick();
    }
  }
  // The promise that the other voter was asked for last.
  std::optional<wire::Prepare> Asked() {
    const auto sent = voter.TakeSent(cluster::kPrepare);
    if (sent.empty()) return std::nullopt;
    return sent.back().message.header.prepare();
  }
  // It promises; what it is asked to accept then.
  wire::Accept Promised() {
    const auto asked = Asked();
    REQUIRE(asked);
    voter.Receive(kOther, cluster::Promise(*asked));
    Settle();
    const auto sent = voter.TakeSent(cluster::kAccept);
    REQUIRE(sent.size() == 1);
    return sent[0].message.header.accept();
  }
  void Accepts(const wire::Accept& asked) {
    voter.Receive(kOther, cluster::Accepted(asked));
    Settle();
  }
  static cluster::Layout LayoutOf(const wire::Accept& asked) {
    std::string why;
    const auto layout = cluster::DecodeLayout(asked.layout(), &why);
    INFO(why);
    REQUIRE(layout);
    return *layout;
  }

  static inline const NodeId kThird = NodeId::Must("node-three-bytes");
  cluster::TestMember voter{kSelf, 1, &First()};
  Planning planning{ctx, voter.agreement(), [this](cluster::Agreement::Output output) {
                      voter.Run(std::move(output));
                      Settle();
                    }};

 private:
  static const cluster::Layout& First() {
    static const cluster::Layout first = [] {
      cluster::Layout layout = cluster::FirstOf(2, {0, 1});
      layout.settings.min_copies = 2;
      layout.members[0].id = kSelf;
      layout.members[0].name = "node-1";
      layout.members[0].address = "node-1:7701";
      layout.members[1].id = kOther;
      layout.members[1].name = "node-2";
      layout.members[1].address = "node-2:7701";
      return layout;
    }();
    return first;
  }
  // As the node does once what the agreement wants is durable.
  void Settle() {
    voter.SyncAll();
    if (voter.adopted && voter.adopted != ctx.layout) {
      ctx.layout = voter.adopted;
      planning.OnLayout();
    }
    if (voter.ended) planning.OnProposalEnded(*std::exchange(voter.ended, {}), voter.why);
  }
};

TEST_CASE("L5 a node's own proposal follows what becomes of the members, until somebody is asked to accept it") {
  Planned p;
  p.News(50);
  p.Pass(milliseconds(1000));
  p.News(200);
  p.Pass(milliseconds(1000));
  const wire::Accept asked = p.Promised();
  const cluster::Layout next = Planned::LayoutOf(asked);
  REQUIRE(next.members.size() == 3);
  CHECK(next.members[next.IndexOf(Planned::kThird)].weight == 200);
  p.News(200, cluster::Liveness::kDead);
  p.Pass(milliseconds(300));
  CHECK_FALSE(p.Asked());
  p.Accepts(asked);
  CHECK(p.ctx.layout->epoch == next.epoch);
}

TEST_CASE("what an operator asked for stays as it was proposed whatever becomes of the members, and he is told of this very layout") {
  Planned p;
  wire::LayoutChangeRequest change;
  change.set_call(7);
  change.mutable_resync()->set_limit_bytes_per_second(5000);
  p.planning.OnLayoutChange(OneSide::kOther, change);
  p.Pass(milliseconds(100));
  p.News(100);  // the planner would have it in
  p.Pass(milliseconds(2000));
  CHECK(p.CountSaid([](const wire::Peer& m) { return m.has_layout_change_response(); }) == 0);
  const wire::Accept asked = p.Promised();
  const cluster::Layout next = Planned::LayoutOf(asked);
  CHECK(next.settings.resync_limit_bytes_per_second == 5000);
  CHECK(next.members.size() == 2);
  p.Accepts(asked);
  const auto said = p.Said();
  REQUIRE(said.size() == 1);
  const wire::LayoutChangeResponse& answer = said[0].layout_change_response();
  CHECK(answer.call() == 7);
  CHECK(answer.status().code() == 0);
  CHECK(answer.epoch() == next.epoch.value);
  // What the planner wants comes after it.
  p.Pass(milliseconds(500));
  CHECK(Planned::LayoutOf(p.Promised()).members.size() == 3);
}

TEST_CASE("L11.5 a member that says nothing of its disk is not taken for one whose disk is as it should be") {
  Planned p;
  p.News(100);
  CHECK(p.planning.Members().at(Planned::kThird).disk == cluster::DiskPace::kUnknown);
}

}  // namespace
}  // namespace coffer::node
