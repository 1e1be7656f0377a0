// Voting, sentence by sentence (docs/protocol.md, "Agreeing on a layout").
#include "agreement_messages.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

const Layout kFive = FirstOf(6, {0, 1, 2, 3, 4});

}  // namespace

TEST_CASE("A1: the acceptors of an epoch are the voters of the one before, and nobody else is asked") {
  TestMember m(Node(0), 1, &kFive);
  m.Propose(After(kFive, 7));
  m.SyncAll();
  CHECK(Receivers(m.TakeSent(kPrepare)) == std::set<NodeId>{Node(1), Node(2), Node(3), Node(4)});
}

TEST_CASE("A1: a member without a vote neither votes nor proposes") {
  TestMember m(Node(5), 1, &kFive);
  m.Receive(Node(0), Prepare(2, {1, Node(0)}));
  CHECK(m.writes() == 0);
  CHECK(m.sent.empty());
  CHECK(m.agreement().counters().not_voter == 1);
  m.Propose(After(kFive, 7));
  CHECK(m.ended == false);
  CHECK(m.why == "this node has no vote in the present layout");
}

TEST_CASE("A2: a quorum is a majority of all voters") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  m.Receive(Node(1), Promise(prepare));
  CHECK(m.TakeSent(kAccept).empty());  // two of five
  m.Receive(Node(2), Promise(prepare));
  CHECK(m.TakeSent(kAccept).size() == 4);  // three of five
}

TEST_CASE("A2: one voter of two is no quorum, one of one is") {
  const Layout two = FirstOf(2, {0, 1});
  TestMember a(Node(0), 1, &two);
  StartProposal(a, After(two, 7));
  a.SyncAll();
  CHECK(a.agreement().epoch() == Epoch(1));
  const Layout one = FirstOf(1, {0});
  TestMember b(Node(0), 1, &one);
  b.Propose(After(one, 7));
  b.SyncAll();
  CHECK(b.agreement().epoch() == Epoch(2));
  CHECK(b.ended == true);
  CHECK(b.disk().layout == Encode(After(one, 7)));
}

TEST_CASE("A3: asked about an instance whose layout it lacks, a member pulls the layout and answers nothing") {
  TestMember m(Node(1), 1, &kFive);
  m.Receive(Node(0), Prepare(3, {1, Node(0)}));
  CHECK(m.writes() == 0);
  CHECK(m.agreement().counters().unknown_instance == 1);
  const auto sent = m.TakeSent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].to == Node(0));
  CHECK(sent[0].message.header.layout_pull().have_epoch() == 1);
  // Once it has adopted it, durably, it answers.
  wire::Peer push;
  push.mutable_layout_push()->set_layout(Encode(After(kFive, 7)));
  m.Receive(Node(0), push);
  m.Receive(Node(0), Prepare(3, {1, Node(0)}));
  CHECK(m.TakeSent(kPromise).empty());
  m.SyncAll();
  CHECK(m.TakeSent(kPromise).size() == 1);
  CHECK(m.disk().layout == Encode(After(kFive, 7)));
}

TEST_CASE("A4: asked about an instance that is over, a voter answers with its layout, never with an empty promise") {
  const Layout second = After(kFive, 7);
  TestMember m(Node(1), 1, &second);
  for (const auto& asked : {Prepare(2, {9, Node(0)}), Prepare(1, {9, Node(0)}), Accept(2, {9, Node(0)}, Encode(After(kFive, 8)))}) {
    m.Receive(Node(0), asked);
    CHECK(m.writes() == 0);
    const auto sent = m.TakeSent();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].message.header.layout_push().layout() == Encode(second));
  }
}

TEST_CASE("A5: a promise is given only to a strictly higher ballot, and carries what was accepted") {
  TestMember m(Node(1), 1, &kFive);
  m.Receive(Node(2), Prepare(2, {5, Node(2)}));
  m.SyncAll();
  auto sent = m.TakeSent(kPromise);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].message.header.promise().granted());
  CHECK_FALSE(sent[0].message.header.promise().has_accepted_ballot());
  for (const auto& [from, ballot] : {std::pair(Node(2), Ballot{5, Node(2)}), std::pair(Node(0), Ballot{5, Node(0)}),
                                     std::pair(Node(3), Ballot{4, Node(3)})}) {
    m.Receive(from, Prepare(2, ballot));
    sent = m.TakeSent(kPromise);
    REQUIRE(sent.size() == 1);
    CHECK_FALSE(sent[0].message.header.promise().granted());
  }
  m.Receive(Node(2), Accept(2, {5, Node(2)}, Encode(After(kFive, 7))));
  m.Receive(Node(3), Prepare(2, {5, Node(3)}));  // same counter, higher node
  m.SyncAll();
  sent = m.TakeSent(kPromise);
  REQUIRE(sent.size() == 1);
  const wire::Promise& promise = sent[0].message.header.promise();
  CHECK(promise.granted());
  CHECK(promise.accepted_ballot().counter() == 5);
  CHECK(promise.accepted_ballot().node() == Node(2).str());
  CHECK(promise.accepted_layout() == Encode(After(kFive, 7)));
}

TEST_CASE("A6: a ballot not below the promise is accepted, a lower one refused") {
  TestMember m(Node(1), 1, &kFive);
  m.Receive(Node(2), Prepare(2, {5, Node(2)}));
  m.Receive(Node(0), Accept(2, {4, Node(0)}, Encode(After(kFive, 8))));
  m.SyncAll();
  auto sent = m.TakeSent(kAccepted);
  REQUIRE(sent.size() == 1);
  CHECK_FALSE(sent[0].message.header.accepted().granted());
  CHECK(m.disk().accepted_layout.empty());
  m.Receive(Node(2), Accept(2, {5, Node(2)}, Encode(After(kFive, 7))));
  m.Receive(Node(3), Accept(2, {6, Node(3)}, Encode(After(kFive, 9))));  // never promised here
  m.SyncAll();
  sent = m.TakeSent(kAccepted);
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].message.header.accepted().granted());
  CHECK(sent[1].message.header.accepted().granted());
  CHECK(m.disk().accepted_layout == Encode(After(kFive, 9)));
  CHECK(m.disk().promised == Ballot{6, Node(3)});
}

TEST_CASE("A6: an illegal successor is refused with the reason, by acceptor and proposer") {
  TestMember m(Node(1), 1, &kFive);
  Layout illegal = After(kFive, 7);
  illegal.partitions[0].in_sync = {2};
  illegal.partitions[0].primary = 2;
  illegal.partitions[0].term = Term(2);
  m.Receive(Node(0), Accept(2, {5, Node(0)}, Encode(illegal)));
  CHECK(m.writes() == 0);
  const auto sent = m.TakeSent(kAccepted);
  REQUIRE(sent.size() == 1);
  CHECK_FALSE(sent[0].message.header.accepted().granted());
  CHECK(sent[0].message.header.accepted().refusal().find("rule (a)") != std::string::npos);
  m.Propose(illegal);
  CHECK(m.ended == false);
  CHECK(m.why.find("rule (a)") != std::string::npos);
  CHECK_FALSE(m.agreement().proposing());
}

TEST_CASE("A7: no granted answer leaves before the state behind it is durable") {
  TestMember m(Node(1), 1, &kFive);
  m.Receive(Node(0), Prepare(2, {1, Node(0)}));
  CHECK(m.sent.empty());
  m.Sync();
  CHECK(m.TakeSent(kPromise).size() == 1);
  CHECK(m.disk().promised == Ballot{1, Node(0)});
  m.Receive(Node(0), Accept(2, {1, Node(0)}, Encode(After(kFive, 7))));
  // A repetition changes nothing, but what it says is not durable yet either.
  m.Receive(Node(0), Accept(2, {1, Node(0)}, Encode(After(kFive, 7))));
  CHECK(m.sent.empty());
  m.SyncAll();
  CHECK(m.TakeSent(kAccepted).size() == 2);
  CHECK(m.disk().accepted_ballot == Ballot{1, Node(0)});
  // Now it is, and a repetition is answered at once.
  m.Receive(Node(0), Accept(2, {1, Node(0)}, Encode(After(kFive, 7))));
  CHECK(m.writes() == 0);
  CHECK(m.TakeSent(kAccepted).size() == 1);
}

TEST_CASE("A22: while the disk stands still, no more votes are given than there is room for") {
  TestMember m(Node(1), 1, &kFive);
  for (std::uint64_t counter = 1; counter <= 1000; ++counter) m.Receive(Node(0), Prepare(2, {counter, Node(0)}));
  const std::size_t under_way = m.writes();
  CHECK(under_way == 64);
  CHECK(m.agreement().counters().disk_behind == 1000 - under_way);
  m.Propose(After(kFive, 7));
  CHECK(m.ended == false);
  CHECK(m.why == "the disk does not answer");
  m.SyncAll();
  CHECK(m.TakeSent(kPromise).size() == under_way);
  m.Receive(Node(0), Prepare(2, {1001, Node(0)}));
  m.SyncAll();
  CHECK(m.TakeSent(kPromise).size() == 1);
}

TEST_CASE("A7: our own vote counts once it is durable, not before") {
  const Layout three = FirstOf(3, {0, 1, 2});
  TestMember m(Node(0), 1, &three);
  const auto prepare = StartProposal(m, After(three, 7));
  m.Receive(Node(1), Promise(prepare));
  const auto accepts = m.TakeSent(kAccept);
  REQUIRE(accepts.size() == 2);
  REQUIRE(m.writes() == 1);  // our own acceptance
  m.Receive(Node(1), Accepted(accepts[0].message.header.accept()));
  CHECK(m.agreement().epoch() == Epoch(1));  // one durable vote of three
  m.Sync();
  CHECK(m.agreement().epoch() == Epoch(2));
}

TEST_CASE("A7: no message to ourselves leaves, and none waits for a disk without a write") {
  TestMember m(Node(0), 1, &kFive);
  const auto prepare = StartProposal(m, After(kFive, 7));
  m.Receive(Node(1), Promise(prepare));
  m.Receive(Node(2), Promise(prepare));
  m.SyncAll();
  for (const Outgoing& o : m.sent) CHECK(o.to != Node(0));
  m.Receive(Node(0), Promise(prepare));
  CHECK(m.agreement().counters().malformed == 1);
  CHECK(m.after_without_persist() == 0);
}

TEST_CASE("A8: a refusal carries the ballot promised") {
  TestMember m(Node(1), 1, &kFive);
  m.Receive(Node(3), Prepare(2, {8, Node(3)}));
  m.Receive(Node(0), Prepare(2, {2, Node(0)}));
  m.Receive(Node(0), Accept(2, {2, Node(0)}, Encode(After(kFive, 7))));
  const auto sent = m.TakeSent();
  REQUIRE(sent.size() == 2);  // refusals promise nothing and need not wait
  CHECK(sent[0].message.header.promise().promised().counter() == 8);
  CHECK(sent[0].message.header.promise().promised().node() == Node(3).str());
  CHECK(sent[1].message.header.accepted().promised().counter() == 8);
}

TEST_CASE("A19: what is malformed is counted and changes nothing") {
  TestMember m(Node(1), 1, &kFive);
  std::vector<wire::Peer> bad;
  bad.push_back(Prepare(2, {0, Node(0)}));                    // no counter
  bad.push_back(Prepare(2, {1, Node(3)}));                    // another's ballot
  bad.push_back(Prepare(0, {1, Node(0)}));                    // no epoch
  bad.push_back(Prepare(2, {~std::uint64_t{0}, Node(0)}));    // would use the counters up
  bad.push_back(Prepare(2, {1, Node(0)}));
  bad.back().mutable_prepare()->mutable_ballot()->set_node("short");
  bad.push_back(Accept(2, {1, Node(0)}, ""));                 // no layout
  bad.push_back(Accept(2, {1, Node(3)}, Encode(After(kFive, 7))));
  bad.push_back(Promise(Prepare(2, {1, Node(1)}).prepare(), true, {}, {1, Node(2)}, ""));  // accepted, but what?
  bad.push_back(Accept(2, {0, Node(0)}, Encode(After(kFive, 7))));  // no counter
  bad.push_back(Accept(0, {1, Node(0)}, Encode(After(kFive, 7))));  // no epoch
  bad.push_back(Promise(Prepare(2, {1, Node(1)}).prepare(), true, {}, {}, ""));
  bad.back().mutable_promise()->mutable_promised()->set_node("short");
  bad.push_back(Promise(Prepare(2, {1, Node(1)}).prepare(), true, {}, {}, "layout"));
  bad.back().mutable_promise()->mutable_accepted_ballot()->set_node("short");
  *bad.emplace_back().mutable_accepted()->mutable_ballot() = Prepare(2, {1, Node(1)}).prepare().ballot();
  bad.back().mutable_accepted()->mutable_promised()->set_node("short");
  bad.emplace_back().mutable_promise()->set_granted(true);
  bad.emplace_back().mutable_accepted()->set_granted(true);
  bad.emplace_back().mutable_layout_push()->set_layout("nonsense");
  bad.emplace_back().mutable_layout_pull()->set_have_epoch(~std::uint64_t{0});
  bad.emplace_back().mutable_ping();                          // not ours
  bad.emplace_back();                                         // nothing at all
  const AgreementState before = m.agreement().state();
  for (std::size_t i = 0; i < bad.size(); ++i) {
    INFO("message " << i);
    m.Receive(Node(0), bad[i]);
    CHECK(m.agreement().counters().malformed == i + 1);
  }
  CHECK(m.agreement().state() == before);
  CHECK(m.writes() == 0);
  for (const Outgoing& o : m.sent) CHECK(o.message.header.has_layout_pull());
}

TEST_CASE("A19: a layout that is no layout is refused by a voter with the reason") {
  TestMember m(Node(1), 1, &kFive);
  m.Receive(Node(0), Accept(2, {1, Node(0)}, "nonsense"));
  CHECK(m.writes() == 0);
  const auto sent = m.TakeSent(kAccepted);
  REQUIRE(sent.size() == 1);
  CHECK_FALSE(sent[0].message.header.accepted().granted());
  CHECK_FALSE(sent[0].message.header.accepted().refusal().empty());
}

TEST_CASE("A19: a layout with fields of a later version is refused by a voter, who says what to do") {
  TestMember m(Node(1), 1, &kFive);
  m.Receive(Node(0), Accept(2, {1, Node(0)}, Encode(After(kFive, 6)) + "\xc0\x3e\x01"));
  CHECK(m.writes() == 0);
  const auto sent = m.TakeSent(kAccepted);
  REQUIRE(sent.size() == 1);
  CHECK_FALSE(sent[0].message.header.accepted().granted());
  CHECK_THAT(sent[0].message.header.accepted().refusal(), Catch::Contains("update this node"));
}

TEST_CASE("A20: a stored state that can't be trusted stops the start, with what to do") {
  AgreementState unreadable;
  unreadable.layout = "nonsense";
  CHECK_THROWS_WITH(Agreement(Node(0), Boot(1), unreadable, 1), Catch::Contains("the stored layout can't be used"));
  AgreementState impossible;
  impossible.layout = Encode(kFive);
  impossible.accepted_ballot = {2, Node(0)};
  impossible.promised = {1, Node(0)};
  CHECK_THROWS_WITH(Agreement(Node(0), Boot(1), impossible, 1), Catch::Contains("above the one promised"));
}

}  // namespace coffer::cluster
