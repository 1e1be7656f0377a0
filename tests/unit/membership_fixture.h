// One Membership, its time, and what it was told and said, for tests that drive it by hand.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/membership.h"

namespace coffer::cluster {

inline NodeId Peer(int n) {
  NodeId id;
  id.bytes[15] = static_cast<std::uint8_t>(n + 1);
  id.bytes[14] = static_cast<std::uint8_t>((n + 1) >> 8);
  return id;
}

inline wire::MemberFacts PeerFacts(int n, std::uint64_t boot = 1) {
  wire::MemberFacts facts;
  facts.set_id(Peer(n).str());
  facts.set_name("p" + std::to_string(n));
  facts.set_address("peer-" + std::to_string(n) + ":1");
  facts.set_role(1);
  facts.set_boot(boot);
  return facts;
}

inline wire::MemberUpdate Say(int of, Liveness state, std::uint64_t incarnation, int accuser = 9, std::uint64_t boot = 1) {
  MemberView view;
  view.facts = PeerFacts(of, boot);
  view.incarnation = Incarnation(incarnation);
  view.state = state;
  return WriteUpdate(view, Peer(accuser));
}

// Member 0, and everything around it. Never steps over a deadline.
class Driven {
 public:
  explicit Driven(MembershipConfig config = Quiet()) : m(config, PeerFacts(0), Incarnation(100), 1, now) {}

  // Probing, gossip and push-pull by themselves out of the way.
  static MembershipConfig Quiet() {
    MembershipConfig config;
    config.probe_interval = std::chrono::hours(10);
    config.push_pull_interval = std::chrono::hours(10);
    config.router_memory = std::chrono::hours(10);
    return config;
  }

  void Take(Membership::Output o) {
    for (auto& x : o.send) sent.push_back(std::move(x));
    for (auto& x : o.dial) dialled.push_back(std::move(x));
    for (auto& x : o.changes) changes.push_back(x);
    for (auto& x : o.duplicates) duplicates.push_back(std::move(x));
  }
  void Clear() {
    sent.clear();
    dialled.clear();
    changes.clear();
    duplicates.clear();
  }
  void RunFor(Duration d) {
    const Instant end = now + d;
    while (m.NextDeadline() <= end) {
      now = std::max(now, m.NextDeadline());
      Take(m.Tick(now));
    }
    now = end;
  }

  // News from a peer, in an answer that asks for nothing.
  void Hear(int from, const std::vector<wire::MemberUpdate>& news) {
    wire::Peer message;
    for (const auto& update : news) *message.mutable_ping_ack()->add_updates() = update;
    Take(m.Receive(now, Peer(from), message));
  }
  // Members 1 to `last`, alive and linked.
  void Meet(int last) {
    for (int n = 1; n <= last; ++n) {
      Take(m.LinkUp(now, Peer(n)));
      Hear(n, {Say(n, Liveness::kAlive, 1)});
    }
    RunFor(std::chrono::seconds(5));  // all news is told
    Clear();
  }
  void Ping(int from, std::uint64_t sequence, const NodeId& target, const std::vector<wire::MemberUpdate>& news = {}) {
    wire::Peer message;
    message.mutable_ping()->set_sequence(sequence);
    message.mutable_ping()->set_target(target.str());
    for (const auto& update : news) *message.mutable_ping()->add_updates() = update;
    Take(m.Receive(now, Peer(from), message));
  }
  void AskToProbe(int from, std::uint64_t sequence, int target) {
    wire::Peer message;
    message.mutable_ping_request()->set_sequence(sequence);
    message.mutable_ping_request()->set_target(Peer(target).str());
    message.mutable_ping_request()->set_target_address("peer-" + std::to_string(target) + ":1");
    Take(m.Receive(now, Peer(from), message));
  }
  void Ack(int from, std::uint64_t sequence) {
    wire::Peer message;
    message.mutable_ping_ack()->set_sequence(sequence);
    Take(m.Receive(now, Peer(from), message));
  }
  void Nack(int from, std::uint64_t sequence) {
    wire::Peer message;
    message.mutable_ping_nack()->set_sequence(sequence);
    Take(m.Receive(now, Peer(from), message));
  }

  // Messages of one kind that were sent to a peer (negative: to anybody).
  std::vector<wire::Peer> Sent(wire::Peer::KindCase kind, int to = -1) const {
    std::vector<wire::Peer> found;
    for (const Outgoing& o : sent) {
      if (o.message.header.kind_case() == kind && (to < 0 || o.to == Peer(to))) found.push_back(o.message.header);
    }
    return found;
  }
  // The newest update about a member in anything sent to `to` (negative: to anybody).
  std::optional<wire::MemberUpdate> Told(int about, int to = -1) const {
    std::optional<wire::MemberUpdate> last;
    for (const Outgoing& o : sent) {
      if (to >= 0 && o.to != Peer(to)) continue;
      const auto look = [&](const auto& updates) {
        for (const auto& u : updates) {
          if (u.facts().id() == Peer(about).str()) last = u;
        }
      };
      look(o.message.header.ping().updates());
      look(o.message.header.ping_ack().updates());
      look(o.message.header.ping_request().updates());
      look(o.message.header.push_pull().updates());
    }
    return last;
  }
  Liveness State(int of) const { return m.view()->at(Peer(of)).state; }
  std::uint64_t OwnIncarnation() const { return m.view()->at(Peer(0)).incarnation.value; }
  bool Knows(int n) const { return m.view()->count(Peer(n)) != 0; }

  Instant now = Instant(std::chrono::seconds(100));
  Membership m;
  std::vector<Outgoing> sent;
  std::vector<std::string> dialled;
  std::vector<MembershipChange> changes;
  std::vector<DuplicateId> duplicates;
};

}  // namespace coffer::cluster
