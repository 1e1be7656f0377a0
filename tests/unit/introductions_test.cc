// How members come to hear each other: R8.2, R8.3, R8.5 and R8.7 of docs/protocol.md, on one side of a link.
#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "node/core/node_core.h"
#include "node/memory_store.h"
#include "test_support.h"

namespace coffer::node {
namespace {

using Kind = wire::Peer::KindCase;
using std::chrono::milliseconds;
using std::chrono::seconds;

const NodeId kSelf = NodeId::Must("node-one-16bytes");
const NodeId kPeer = NodeId::Must("node-two-16bytes");
const NodeId kThird = NodeId::Must("node-ten-16bytes");

cluster::FolderMark Mark(std::uint64_t boot, char nonce, std::uint64_t step = 0) {
  cluster::FolderMark mark;
  mark.boot = Boot(boot);
  mark.nonce.bytes.fill(static_cast<std::uint8_t>(nonce));
  mark.step = step;
  return mark;
}

void Set(const cluster::FolderMark& mark, wire::FolderMark* out) {
  out->set_boot(mark.boot.value);
  out->set_nonce(mark.nonce.str());
  out->set_step(mark.step);
}

PeerMessage Introduction(const cluster::Lineage& lineage, bool cleared) {
  PeerMessage message;
  for (const auto& mark : lineage) Set(mark, message.header.mutable_introduction()->add_lineage());
  message.header.mutable_introduction()->set_cleared(cleared);
  return message;
}

// The peer has noted this start of ours.
PeerMessage NotedUs(const cluster::FolderMark& mark) {
  PeerMessage message;
  Set(mark, message.header.mutable_introduction_answer()->mutable_mark());
  message.header.mutable_introduction_answer()->set_cleared(true);
  return message;
}

// News of a third member, as anything that a member says.
PeerMessage NewsOfThird() {
  PeerMessage message;
  auto* update = message.header.mutable_push_pull()->add_updates();
  update->mutable_facts()->set_id(kThird.str());
  update->mutable_facts()->set_name("node-3");
  update->mutable_facts()->set_address("node-3:7701");
  update->mutable_facts()->set_role(coffer::v1::MEMBER_ROLE_STORAGE);
  update->set_incarnation(1);
  update->set_state(1);
  return message;
}

// One node that forms a cluster, and peers that the test speaks for. What is persisted is durable only when the test says so.
class Node {
 public:
  explicit Node(cluster::Lineage lineage = {Mark(1, 'a')}) : own_(lineage.back()) {
    durable_.lineage = std::move(lineage);
    NodeCoreConfig config;
    config.boot = own_.boot;
    config.self.set_id(kSelf.str());
    config.self.set_name("node-1");
    config.self.set_address("node-1:7701");
    config.self.set_role(coffer::v1::MEMBER_ROLE_STORAGE);
    config.self.set_boot(own_.boot.value);
    config.self.set_weight(100);
    core_.emplace(config, durable_, std::vector<wire::MemberFacts>{}, store_, 1, now_);
    Carry(core_->Tick(now_));
    cluster::Settings settings;
    settings.partitions = 4;
    ClusterId cluster;
    cluster.bytes.fill(7);
    Carry(core_->Form(now_, cluster, "two", settings));
    Sync();
    REQUIRE(core_->layout());
  }

  void LinkUp(const NodeId& peer) { Carry(core_->LinkUp(now_, peer)); }
  void Hear(const NodeId& from, PeerMessage message) { Carry(core_->Receive(now_, from, std::move(message))); }
  void Run(Duration span) {
    for (const Instant end = now_ + span; now_ < end;) {
      now_ += milliseconds(50);
      Carry(core_->Tick(now_));
    }
  }
  // Everything that was persisted so far is durable.
  void Sync() {
    while (!waiting_.empty()) {
      auto what = std::move(waiting_.front());
      waiting_.pop_front();
      if (auto* batch = std::get_if<StoreBatch>(&what)) {
        store_.Write(std::move(*batch), nullptr);
        store_.CompleteWrites();
      } else {
        durable_ = std::move(std::get<NodeDurable>(what));
      }
      Carry(core_->Persisted(now_, next_ticket_++));
    }
  }
  // What it said to the peer since this was asked last.
  std::vector<wire::Peer> Said(const NodeId& peer) {
    std::vector<wire::Peer> said;
    for (auto& o : std::exchange(sent_, {})) {
      if (o.to == peer) said.push_back(std::move(o.message.header));
    }
    return said;
  }
  bool Knows(const NodeId& member) const {
    const auto view = core_->members();
    return view->find(member) != view->end();
  }
  const NodeDurable& durable() const { return durable_; }
  const cluster::FolderMark& own() const { return own_; }

 private:
  void Carry(NodeCore::Output output) {
    for (auto& persist : output.persist) waiting_.push_back(std::move(persist.what));
    for (Outgoing& o : output.send) sent_.push_back(std::move(o));
    CHECK_FALSE(output.retire);
  }

  const cluster::FolderMark own_;
  MemoryStore store_;
  NodeDurable durable_;
  std::optional<NodeCore> core_;
  Instant now_{seconds(1)};
  std::deque<std::variant<StoreBatch, NodeDurable>> waiting_;
  std::uint64_t next_ticket_ = 1;
  std::vector<Outgoing> sent_;
};

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
  Node node;
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
  Node node;
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
  Node node;
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
  Node node;
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

TEST_CASE("R8.1 what is malformed in an introduction is dropped: no start, a gap, no nonce, too many") {
  Node node;
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

TEST_CASE("R8.7 starts before the running one are dropped once every member of the layout has noted the running one") {
  Node alone({Mark(1, 'a', 4), Mark(2, 'b', 5), Mark(3, 'c')});
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
