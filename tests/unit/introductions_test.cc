// How members come to hear each other: R8.2, R8.3, R8.5 and R8.7 of docs/protocol.md, on one side of a link.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "spoken_to.h"
#include "test_support.h"

namespace coffer::node {
namespace {

using Kind = wire::Peer::KindCase;
using std::chrono::seconds;

// News of a third member, as anything that a member says.
PeerMessage NewsOfThird() { return NewsOf(kThird, "node-3"); }

bool IsIntroduction(const wire::Peer& message) {
  return message.kind_case() == Kind::kIntroduction || message.kind_case() == Kind::kIntroductionAnswer;
}

std::vector<wire::IntroductionAnswer> Answers(const std::vector<wire::Peer>& said) {
  std::vector<wire::IntroductionAnswer> answers;
  for (const auto& message : said) {
    if (message.has_introduction_answer()) answers.push_back(message.introduction_answer());
  }
  return answers;
}

}  // namespace

TEST_CASE("R8.2 a new link begins with an introduction, and nothing else is heard before that is cleared and durable") {
  SpokenTo node;
  node.LinkUp(kPeer);
  const auto first = node.Said(kPeer);
  REQUIRE(first.size() == 1);
  REQUIRE(first[0].has_introduction());
  CHECK(first[0].introduction().cleared());
  CHECK(first[0].introduction().lineage_size() == 1);
  node.Hear(kPeer, NewsOfThird());
  CHECK_FALSE(node.Knows(kThird));
  node.Hear(kPeer, Introduction({Mark(1, 'p')}, /*cleared=*/false));
  node.Sync();
  node.Hear(kPeer, NewsOfThird());
  CHECK_FALSE(node.Knows(kThird));  // it is not cleared
  node.Said(kPeer);
  node.Hear(kPeer, Introduction({Mark(1, 'p')}, /*cleared=*/true));
  node.Hear(kPeer, NewsOfThird());
  CHECK_FALSE(node.Knows(kThird));  // its mark is not durable
  CHECK(Answers(node.Said(kPeer)).empty());
  node.Sync();
  CHECK(node.durable().remembered.at(kPeer) == Mark(1, 'p'));
  const auto answers = Answers(node.Said(kPeer));
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].cleared());
  node.Hear(kPeer, NewsOfThird());
  CHECK(node.Knows(kThird));
}

TEST_CASE("R8.3 a link counts once each side has noted the other's mark") {
  SpokenTo node;
  node.LinkUp(kPeer);
  node.Hear(kPeer, Introduction({Mark(1, 'p')}, /*cleared=*/true));
  node.Sync();
  node.Run(seconds(2));
  for (const auto& message : node.Said(kPeer)) CHECK(IsIntroduction(message));  // it has not noted ours
  PeerMessage of_another_start = NotedUs(Mark(1, 'z'));
  node.Hear(kPeer, std::move(of_another_start));
  node.Run(seconds(2));
  for (const auto& message : node.Said(kPeer)) CHECK(IsIntroduction(message));
  node.Hear(kPeer, NotedUs(node.own()));
  const auto said = node.Said(kPeer);
  CHECK(std::any_of(said.begin(), said.end(), [](const wire::Peer& message) { return message.has_push_pull(); }));
}

TEST_CASE("R8.3 the other way round: noted by the peer, which is not noted here yet") {
  SpokenTo node;
  node.LinkUp(kPeer);
  node.Hear(kPeer, NotedUs(node.own()));
  node.Run(seconds(2));
  for (const auto& message : node.Said(kPeer)) CHECK(IsIntroduction(message));
  node.Hear(kPeer, Introduction({Mark(1, 'p')}, /*cleared=*/true));
  CHECK(Answers(node.Said(kPeer)).empty());
  node.Sync();
  const auto said = node.Said(kPeer);
  CHECK(std::any_of(said.begin(), said.end(), [](const wire::Peer& message) { return message.has_push_pull(); }));
}

TEST_CASE("R8.5 the introduction of a member that is not cleared leaves no trace") {
  SpokenTo node;
  const NodeDurable before = node.durable();
  node.LinkUp(kPeer);
  node.Hear(kPeer, Introduction({Mark(1, 'p'), Mark(2, 'q', 7)}, /*cleared=*/false));
  node.Sync();
  CHECK(node.durable() == before);
  const auto answers = Answers(node.Said(kPeer));
  REQUIRE(answers.size() == 1);
  CHECK_FALSE(answers[0].cleared());
  CHECK_FALSE(answers[0].has_remembered());
  // So another folder of that id is no older copy of it.
  node.Hear(kPeer, Introduction({Mark(1, 'x')}, /*cleared=*/true));
  node.Sync();
  CHECK(node.durable().remembered.at(kPeer) == Mark(1, 'x'));
}

TEST_CASE("I18: while the disk stands still, a member that introduces itself again and again is noted once") {
  SpokenTo node;
  node.LinkUp(kPeer);
  for (int i = 0; i < 5; ++i) node.Hear(kPeer, Introduction({Mark(1, 'p')}, /*cleared=*/true));
  CHECK(node.Fill("folders of members that are to be remembered") == 1);  // beside the one on its way
  node.Hear(kPeer, Introduction({Mark(1, 'p', 3)}, /*cleared=*/true));
  CHECK(node.Fill("folders of members that are to be remembered") == 1);
  node.Sync();
  CHECK(node.Fill("folders of members that are to be remembered") == 0);
  CHECK(node.durable().remembered.at(kPeer) == Mark(1, 'p', 3));
}

TEST_CASE("R8.1 what is malformed in an introduction is dropped: no start, a gap, no nonce, too many") {
  SpokenTo node;
  node.LinkUp(kPeer);
  node.Said(kPeer);
  const NodeDurable before = node.durable();
  std::vector<PeerMessage> wrong;
  wrong.push_back(Introduction({}, true));
  wrong.push_back(Introduction({Mark(1, 'p'), Mark(3, 'q')}, true));
  wrong.push_back(Introduction({Mark(0, 'p')}, true));
  wrong.push_back(Introduction({Mark(1, 'p')}, true));
  wrong.back().header.mutable_introduction()->mutable_lineage(0)->set_nonce("short");
  cluster::Lineage long_one;
  for (std::uint64_t boot = 1; boot <= cluster::kMaxLineage + 1; ++boot) long_one.push_back(Mark(boot, 'p'));
  wrong.push_back(Introduction(long_one, true));
  for (auto& message : wrong) node.Hear(kPeer, std::move(message));
  node.Sync();
  CHECK(Answers(node.Said(kPeer)).empty());
  CHECK(node.durable() == before);
}

TEST_CASE("R8.9 whoever a forced layout gives up is heard no longer, though its link stands, and told why when it introduces itself") {
  SpokenTo node;
  node.LinkUp(kPeer);
  node.Hear(kPeer, Introduction({Mark(1, 'p')}, /*cleared=*/true));
  node.Hear(kPeer, NotedUs(node.own()));
  node.Sync();
  cluster::Layout forced = *node.layout();
  forced.epoch = forced.forced_epoch = forced.epoch.Next();
  forced.retired.push_back({kPeer, "node-2", forced.epoch});
  PeerMessage push;
  push.header.mutable_layout_push()->set_layout(cluster::Encode(forced));
  node.Hear(kPeer, std::move(push));
  node.Sync();
  REQUIRE(node.layout()->RetiredAt(kPeer) == forced.epoch);
  node.Said(kPeer);
  node.Hear(kPeer, NewsOfThird());
  CHECK_FALSE(node.Knows(kThird));
  node.Hear(kPeer, Introduction({Mark(1, 'p')}, /*cleared=*/true));
  const auto answers = Answers(node.Said(kPeer));
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].forced_out() == forced.epoch.value);
  node.Hear(kPeer, NewsOfThird());
  CHECK_FALSE(node.Knows(kThird));
}

TEST_CASE("R8.7 starts before the running one are dropped once every member of the layout has noted the running one") {
  SpokenTo alone({Mark(1, 'a', 4), Mark(2, 'b', 5), Mark(3, 'c')});
  CHECK(alone.durable().lineage.size() == 3);
  alone.LinkUp(kPeer);
  alone.Hear(kPeer, NotedUs(Mark(2, 'b')));  // of an earlier start: it says nothing of this one
  alone.Sync();
  CHECK(alone.durable().lineage.size() == 3);
  alone.Hear(kPeer, NotedUs(alone.own()));  // all others of the layout, for there are none
  alone.Sync();
  CHECK(alone.durable().lineage.size() == 1);
  CHECK(alone.durable().lineage.back().boot == Boot(3));
}

}  // namespace coffer::node
