// What a primary tells its learner, and when it takes it for complete: S1 to S5 and S7 of docs/protocol.md, seen from the learner.
#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "spoken_to.h"
#include "test_support.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const NodeId kRouter = NodeId::Must("a-router-16bytes");
constexpr PartitionId kPartition = 2;
constexpr int kChunks = 5;

// A node with a few chunks in one partition, and a second member that it chose as its learner.
class Learning {
 public:
  Learning() {
    zone_.bytes.fill(3);
    node.LinkUp(kRouter, /*has_folder=*/false);
    for (int i = 0; i < kChunks; ++i) Put();
    node.Befriend(kPeer, "node-2");
    node.Run(seconds(3));
    REQUIRE(node.layout()->members.size() == 2);
    for (const auto& message : node.Said(kPeer)) {
      if (message.has_learner_role() && message.learner_role().partition() == kPartition) role = message.learner_role();
      // The others are filled, so that nothing is waited for on their account.
      if (message.has_learner_role() && message.learner_role().partition() != kPartition) TellHistoryDone(message.learner_role());
      if (message.has_replicate() && message.replicate().partition() == kPartition && message.replicate().learner_start()) begin = message.replicate();
    }
    REQUIRE(role);
    REQUIRE(begin);
  }

  void Put() {
    BlockId id;
    do {
      ++id_;
      for (int i = 0; i < 4; ++i) id.bytes[i] = static_cast<std::uint8_t>(id_ >> (8 * i));
    } while (cluster::PartitionOf(zone_, id, 4) != kPartition);
    wire::DataRequest request;
    request.set_zone(zone_.str());
    request.set_partition(kPartition);
    request.mutable_put_chunk()->set_id(id.str());
    node.Ask(kRouter, std::move(request), {std::make_shared<const std::string>("value")});
  }

  // The answer to a question of the learner's; nothing if there is none.
  template <class Fill>
  std::optional<wire::Peer> Answer(Fill fill) {
    PeerMessage message;
    fill(&message.header);
    node.Said(kPeer);
    node.Hear(kPeer, std::move(message));
    for (wire::Peer& said : node.Said(kPeer)) {
      if (said.has_ranges() || said.has_listing() || said.has_fetched()) return said;
    }
    return std::nullopt;
  }
  std::optional<wire::Peer> AskRanges(std::uint64_t term, std::uint64_t boot, PartitionId partition = kPartition) {
    return Answer([&](wire::Peer* m) {
      auto* request = m->mutable_ranges_request();
      request->set_partition(partition);
      request->set_term(term);
      request->set_boot(boot);
    });
  }
  std::optional<wire::Peer> AskRanges() { return AskRanges(role->term(), role->boot()); }

  void TellHistoryDone(const wire::LearnerRole& of) {
    PeerMessage message;
    auto* done = message.header.mutable_history_done();
    done->set_partition(of.partition());
    done->set_term(of.term());
    done->set_boot(of.boot());
    done->set_choice(of.choice());
    node.Hear(kPeer, std::move(message));
  }
  void TellHistoryDone(std::uint64_t choice) {
    wire::LearnerRole of = *role;
    of.set_choice(choice);
    TellHistoryDone(of);
  }
  // It holds what it was sent: its log begins where it was told.
  void TellHeld() { TellHeld(begin->choice()); }
  void TellHeld(std::uint64_t choice) {
    PeerMessage message;
    auto* ack = message.header.mutable_replicate_ack();
    ack->set_partition(kPartition);
    ack->set_term(role->term());
    ack->set_boot(role->boot());
    *ack->mutable_durable() = begin->previous();
    ack->set_choice(choice);
    node.Hear(kPeer, std::move(message));
  }
  bool Proposed() {
    node.Run(milliseconds(200));
    node.Sync();
    const auto& adds = node.durable().adds;
    return std::any_of(adds.begin(), adds.end(), [](const auto& add) { return add.partition == kPartition && add.learner == kPeer; });
  }

  SpokenTo node;
  std::optional<wire::LearnerRole> role;
  std::optional<wire::Replicate> begin;

 private:
  ZoneId zone_;
  std::uint32_t id_ = 0;
};

}  // namespace

TEST_CASE("S2 S3 a learner is told that it is chosen, that it may ask for history, and where its log begins") {
  Learning l;
  CHECK(l.role->chosen());
  CHECK(l.role->history());
  CHECK(l.role->boot() == 1);
  CHECK(l.role->choice() == l.begin->choice());
  CHECK(l.role->base() == kChunks);
  CHECK(l.begin->previous().seq() == kChunks);
  CHECK(l.begin->writes_size() == 0);  // all of it is history
}

TEST_CASE("S1 what is asked under another term or start, of another partition, or by nobody's learner, is not answered") {
  Learning l;
  REQUIRE(l.AskRanges());
  CHECK_FALSE(l.AskRanges(l.role->term() + 1, l.role->boot()));
  CHECK_FALSE(l.AskRanges(l.role->term(), l.role->boot() + 1));
  CHECK_FALSE(l.AskRanges(l.role->term(), l.role->boot(), 99));
  const auto lists = [&](std::uint64_t term, std::uint64_t boot) {
    return l.Answer([&](wire::Peer* m) {
      m->mutable_list_request()->set_partition(kPartition);
      m->mutable_list_request()->set_term(term);
      m->mutable_list_request()->set_boot(boot);
    }).has_value();
  };
  CHECK(lists(l.role->term(), l.role->boot()));
  CHECK_FALSE(lists(l.role->term() + 1, l.role->boot()));
  CHECK_FALSE(lists(l.role->term(), l.role->boot() + 1));
  const auto answer = l.AskRanges()->ranges();
  CHECK(answer.term() == l.role->term());
  CHECK(answer.boot() == l.role->boot());
}

TEST_CASE("S4 digests of runs, the list of one that differs, and then its records") {
  Learning l;
  const auto ranges = l.AskRanges()->ranges();
  REQUIRE(ranges.ranges_size() == 1);
  CHECK(ranges.complete());
  CHECK(ranges.ranges(0).records() == kChunks);
  CHECK(ranges.ranges(0).bytes() == kChunks * 5);
  const auto listing = l.Answer([&](wire::Peer* m) {
    auto* request = m->mutable_list_request();
    request->set_partition(kPartition);
    request->set_term(l.role->term());
    request->set_boot(l.role->boot());
    request->set_last_key(ranges.ranges(0).last_key());
  });
  REQUIRE(listing);
  REQUIRE(listing->listing().records_size() == kChunks);
  CHECK(listing->listing().records(kChunks - 1).key() == ranges.ranges(0).last_key());
  const auto fetched = l.Answer([&](wire::Peer* m) {
    auto* request = m->mutable_fetch_request();
    request->set_partition(kPartition);
    request->set_term(l.role->term());
    request->set_boot(l.role->boot());
    request->set_call(7);
    for (const auto& record : listing->listing().records()) request->add_keys(record.key());
  });
  REQUIRE(fetched);
  CHECK(fetched->fetched().call() == 7);
  CHECK(fetched->fetched().records_size() == kChunks);
  for (const auto& record : fetched->fetched().records()) CHECK(record.has_checksum());
}

TEST_CASE("S5 an answer names the last write that the primary had when it looked; what comes later arrives live") {
  Learning l;
  CHECK(l.AskRanges()->ranges().as_of() == kChunks);
  l.node.Said(kPeer);
  l.TellHeld();
  l.Put();
  const auto said = l.node.Said(kPeer);
  CHECK(std::any_of(said.begin(), said.end(), [](const wire::Peer& m) {
    return m.has_replicate() && m.replicate().partition() == kPartition && m.replicate().writes_size() == 1;
  }));
  CHECK(l.AskRanges()->ranges().as_of() == kChunks + 1);
}

TEST_CASE("S7 the learner's word that its history is complete makes it eligible, and nothing else") {
  Learning l;
  l.TellHeld();
  CHECK_FALSE(l.Proposed());
  l.TellHistoryDone(l.role->choice());
  CHECK(l.Proposed());
  Learning silent;  // it has said so, but never that its log has begun (S3)
  silent.TellHistoryDone(silent.role->choice());
  CHECK_FALSE(silent.Proposed());
  silent.TellHeld();
  CHECK(silent.Proposed());
}

TEST_CASE("S2a what a learner says of an earlier choice counts for nothing") {
  Learning l;
  l.TellHeld();
  l.TellHistoryDone(l.role->choice() - 1);
  l.TellHistoryDone(l.role->choice() + 1);
  CHECK_FALSE(l.Proposed());
  l.TellHistoryDone(l.role->choice());
  CHECK(l.Proposed());
  Learning chosen_anew;
  chosen_anew.TellHistoryDone(chosen_anew.role->choice());
  chosen_anew.TellHeld(chosen_anew.role->choice() - 1);
  CHECK_FALSE(chosen_anew.Proposed());
  chosen_anew.TellHeld();
  CHECK(chosen_anew.Proposed());
}

TEST_CASE("S7 that the history is complete counts only as said to this process, whose choices are numbered from one again") {
  Learning l;
  l.TellHeld();
  wire::LearnerRole earlier = *l.role;
  earlier.set_boot(l.role->boot() + 1);
  l.TellHistoryDone(earlier);
  CHECK_FALSE(l.Proposed());
  l.TellHistoryDone(l.role->choice());
  CHECK(l.Proposed());
}

}  // namespace coffer::node
