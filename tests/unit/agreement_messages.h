// Messages as a proposer or voter on the other side would send them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "agreement_fixture.h"
#include "test_support.h"

namespace coffer::cluster {

inline constexpr auto kPrepare = wire::Peer::kPrepare;
inline constexpr auto kPromise = wire::Peer::kPromise;
inline constexpr auto kAccept = wire::Peer::kAccept;
inline constexpr auto kAccepted = wire::Peer::kAccepted;

inline void Fill(const Ballot& ballot, wire::Ballot* wire) {
  wire->set_counter(ballot.counter);
  wire->set_node(ballot.node.str());
}

inline wire::Peer Prepare(std::uint64_t epoch, const Ballot& ballot, std::uint64_t boot = 1) {
  wire::Peer m;
  m.mutable_prepare()->set_epoch(epoch);
  Fill(ballot, m.mutable_prepare()->mutable_ballot());
  m.mutable_prepare()->set_boot(boot);
  return m;
}

inline wire::Peer Accept(std::uint64_t epoch, const Ballot& ballot, const std::string& layout, std::uint64_t boot = 1) {
  wire::Peer m;
  m.mutable_accept()->set_epoch(epoch);
  Fill(ballot, m.mutable_accept()->mutable_ballot());
  m.mutable_accept()->set_boot(boot);
  m.mutable_accept()->set_layout(layout);
  return m;
}

// A voter's promise in answer to what the proposer under test sent.
inline wire::Peer Promise(const wire::Prepare& asked, bool granted = true, const Ballot& promised = {},
                   const Ballot& accepted = {}, const std::string& layout = {}) {
  wire::Peer m;
  wire::Promise& p = *m.mutable_promise();
  p.set_epoch(asked.epoch());
  *p.mutable_ballot() = asked.ballot();
  p.set_boot(asked.boot());
  p.set_granted(granted);
  *p.mutable_promised() = asked.ballot();
  if (promised.counter != 0) Fill(promised, p.mutable_promised());
  if (accepted.counter != 0) {
    Fill(accepted, p.mutable_accepted_ballot());
    p.set_accepted_layout(layout);
  }
  return m;
}

inline wire::Peer Accepted(const wire::Accept& asked, bool granted = true, const std::string& refusal = {}) {
  wire::Peer m;
  wire::Accepted& a = *m.mutable_accepted();
  a.set_epoch(asked.epoch());
  *a.mutable_ballot() = asked.ballot();
  a.set_boot(asked.boot());
  a.set_granted(granted);
  *a.mutable_promised() = asked.ballot();
  a.set_refusal(refusal);
  return m;
}

// Starts a proposal and returns the Prepare it sends, its own promise being durable.
inline wire::Prepare StartProposal(TestMember& m, const Layout& next) {
  m.Propose(next);
  m.SyncAll();
  const auto sent = m.TakeSent(kPrepare);
  REQUIRE_FALSE(sent.empty());
  return sent[0].message.header.prepare();
}

// The receivers of a list of messages.
inline std::set<NodeId> Receivers(const std::vector<Outgoing>& messages) {
  std::set<NodeId> to;
  for (const Outgoing& o : messages) to.insert(o.to);
  return to;
}

}  // namespace coffer::cluster
