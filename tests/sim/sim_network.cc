// The simulated network: connections that break and are made anew, and what happens to messages on them.
#include <algorithm>

#include "sim/sim_cluster.h"

namespace coffer::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t kClients = 1000;  // endpoints of clients are numbered from here

PeerMessage FromTheWire(const std::string& header, const std::vector<Payload>& bodies) {
  PeerMessage message;
  message.header.ParseFromString(header);
  message.bodies = bodies;
  return message;
}

bool Fenced(int kind) {
  using K = coffer::internal::v1::Peer::KindCase;
  return kind == K::kReplicate || kind == K::kReplicateAck || kind == K::kCommitMarks || kind == K::kCommitMarksAck || kind == K::kContact || kind == K::kContactAnswer || kind == K::kConfirm ||
         kind == K::kConfirmAnswer || kind == K::kPromise || kind == K::kAccepted;
}

}  // namespace

SimCluster::Connection& SimCluster::Between(std::size_t a, std::size_t b) { return connections_[std::minmax(a, b)]; }

bool SimCluster::Desired(std::size_t a, std::size_t b) const {
  return Up(a) && Up(b) && !process(a).paused && !process(b).paused && !blocked_.contains({a, b}) && !blocked_.contains({b, a});
}

void SimCluster::Cut(std::size_t a, std::size_t b, bool cut) {
  CutOneWay(a, b, cut);
  CutOneWay(b, a, cut);
}

void SimCluster::CutOneWay(std::size_t from, std::size_t to, bool cut) {
  if (cut) blocked_.insert({from, to});
  else blocked_.erase({from, to});
  Rewire(from, to);
}

void SimCluster::SetDelay(std::size_t from, std::size_t to, Duration extra) { extra_delay_[{from, to}] = extra; }

// Makes the connection what it should be, in a while: a cut is not noticed at once, and what is sent meanwhile is lost.
void SimCluster::Rewire(std::size_t a, std::size_t b) {
  const bool desired = Desired(a, b);
  if (Between(a, b).up == desired) return;
  const Duration wait = desired                  ? Duration(microseconds(200 + random_.Below(2000)))
                        : random_.Chance(1, 2) ? Duration(microseconds(200 + random_.Below(2000)))
                                               : Duration(milliseconds(random_.Below(3000)));
  At(wait, [this, a, b] {
    Connection& c = Between(a, b);
    const bool now_desired = Desired(a, b);
    if (c.up == now_desired) return;
    if (!now_desired) {
      if (!process(a).paused && !process(b).paused) Break(a, b);
      return;
    }
    c.up = true;
    ++c.generation;
    See(a, b, c.generation, true, false);
    See(b, a, c.generation, true, false);
  });
}

void SimCluster::Break(std::size_t a, std::size_t b) {
  Connection& c = Between(a, b);
  c.up = false;
  See(a, b, c.generation, false, !Up(b));
  See(b, a, c.generation, false, !Up(a));
  if (Desired(a, b)) Rewire(a, b);
}

// The process is no more: it sees none of its connections, and the others see them end.
void SimCluster::BreakAll(std::size_t i) {
  for (const std::size_t j : PeersOf(i)) {
    Between(i, j).seen[i > j] = 0;
    if (Between(i, j).up) Break(i, j);
  }
}

std::vector<std::size_t> SimCluster::PeersOf(std::size_t i) const {
  std::vector<std::size_t> peers;
  for (std::size_t j = 0; j < nodes_.size(); ++j) {
    if (j != i) peers.push_back(j);
  }
  for (std::size_t r = 0; !IsRouter(i) && r < routers_.size(); ++r) peers.push_back(kFirstRouter + r);
  return peers;
}

void SimCluster::TellLink(std::size_t self, std::size_t peer, bool up, bool refused) {
  NodeId& id = Between(self, peer).peer[self > peer];
  if (up) id = process(peer).id;
  if (IsRouter(self)) {
    SimRouter& r = router(self);
    return CarryRouter(self, up ? r.core->LinkUp(NodeNow(r), id) : r.core->LinkDown(NodeNow(r), id));
  }
  SimNode& n = *nodes_[self];
  Carry(self, up ? n.core->LinkUp(NodeNow(n), id, !IsRouter(peer)) : n.core->LinkDown(NodeNow(n), id, refused));
}

void SimCluster::See(std::size_t self, std::size_t peer, std::uint64_t generation, bool up, bool refused) {
  if (!Up(self)) {
    Between(self, peer).seen[self > peer] = 0;
    return;
  }
  AtNode(self, now_ + microseconds(50 + random_.Below(1000)), [this, self, peer, generation, up, refused] {
    Connection& c = Between(self, peer);
    std::uint64_t& seen = c.seen[self > peer];
    if (up && seen < generation && c.up && c.generation == generation) {
      if (seen != 0) TellLink(self, peer, false, false);
      seen = generation;
      TellLink(self, peer, true, false);
    } else if (!up && seen == generation) {
      seen = 0;
      TellLink(self, peer, false, refused);
    }
  });
}

void SimCluster::SendAs(const NodeId& client, std::size_t node, PeerMessage message) {
  Deliver(client, nodes_[node]->id, std::move(message));
}

// A link keeps its order; only the faults break it.
Instant SimCluster::ArrivalTime(std::uint64_t link, Duration extra) {
  const auto spread = static_cast<std::uint64_t>((faults.max_delay - faults.min_delay).count()) + 1;
  const Instant usual = now_ + extra + faults.min_delay + Duration(random_.Below(spread));
  if (faults.delay_long_per_mille > 0 && random_.Chance(static_cast<std::uint64_t>(faults.delay_long_per_mille), 1000)) {
    ++delayed_;
    return usual + Duration(random_.Below(static_cast<std::uint64_t>(faults.long_delay.count())));
  }
  Instant& last = last_arrival_[link];
  last = std::max(usual, last + Duration(1));
  return last;
}

void SimCluster::Deliver(const NodeId& from, const NodeId& to, PeerMessage message) {
  const auto a = IndexOf(from);
  const auto b = IndexOf(to);
  if (!b && !clients.contains(to)) return;
  if (on_message) on_message(from, to, message);
  if (a && on_send) on_send(message.header.kind_case(), *a, b.value_or(*a));
  std::uint64_t generation = 0;
  if (a && b) {
    generation = Between(*a, *b).seen[*a > *b];
    if (generation == 0 || blocked_.contains({*a, *b})) return;
    if (!muted_.empty()) {
      const auto muted = muted_.find(message.header.kind_case());
      if (muted != muted_.end() && now_ < muted->second) return;
    }
    const auto held = held_.find(message.header.kind_case());
    if (held != held_.end() && now_ < held->second) {
      return AtNode(*b, held->second, [this, a = *a, b = *b, generation, copy = FromTheWire(message.header.SerializeAsString(), message.bodies)]() mutable {
        Arrive(a, b, generation, std::move(copy));
      });
    }
    const auto stalled = stalled_.find({*a, *b});
    if (stalled != stalled_.end() && now_ < stalled->second && Fenced(message.header.kind_case())) {
      return Push(stalled->second, [this, a = *a, to, copy = FromTheWire(message.header.SerializeAsString(), message.bodies)]() mutable {
        ArriveLate(a, to, std::move(copy));
      });
    }
  }
  if (faults.lose_per_mille > 0 && random_.Chance(static_cast<std::uint64_t>(faults.lose_per_mille), 1000)) {
    ++lost_;
    return;
  }
  int times = 1;
  // A link never repeats; nodes must bear it, but what a router is told of an attempt holds for its one message.
  const bool once = a && IsRouter(*a) && message.header.has_data_request();
  if (!once && faults.repeat_per_mille > 0 && random_.Chance(static_cast<std::uint64_t>(faults.repeat_per_mille), 1000)) {
    ++repeated_;
    times = 2;
  }
  const std::size_t x = a ? *a : kClients + from.bytes[0];
  const std::size_t y = b ? *b : kClients + to.bytes[0];
  Duration extra{};
  if (!extra_delay_.empty()) {
    if (const auto it = extra_delay_.find({x, y}); it != extra_delay_.end()) extra = it->second;
  }
  const bool outlives = a && b && faults.outlive_per_mille > 0 && Fenced(message.header.kind_case()) &&
                        random_.Chance(static_cast<std::uint64_t>(faults.outlive_per_mille), 1000);
  const std::string wire = message.header.SerializeAsString();
  for (int t = 0; t < times; ++t) {
    const Instant at = ArrivalTime(x << 32 | y, extra);
    Mix(static_cast<std::uint64_t>(message.header.kind_case()) << 32 | wire.size());
    if (!b) {
      Push(at, [this, from, to, copy = FromTheWire(wire, message.bodies)]() mutable {
        NoteMessage(from, to, copy);
        if (const auto it = clients.find(to); it != clients.end()) it->second(from, std::move(copy));
      });
    } else if (!a) {
      AtNode(*b, at, [this, from, b = *b, copy = FromTheWire(wire, message.bodies)]() mutable {
        Receive(b, from, std::move(copy));
      });
    } else {
      AtNode(*b, at, [this, a = *a, b = *b, generation, copy = FromTheWire(wire, message.bodies)]() mutable {
        Arrive(a, b, generation, std::move(copy));
      });
    }
  }
  if (outlives) {
    const auto late = Duration(random_.Below(static_cast<std::uint64_t>(faults.long_delay.count())));
    Push(now_ + late, [this, a = *a, to, copy = FromTheWire(wire, message.bodies)]() mutable { ArriveLate(a, to, std::move(copy)); });
  }
}

void SimCluster::Receive(std::size_t node, const NodeId& from, PeerMessage message) {
  if (IsRouter(node)) {
    SimRouter& r = router(node);
    NoteMessage(from, r.id, message);
    return CarryRouter(node, r.core->Receive(NodeNow(r), from, std::move(message)));
  }
  SimNode& n = *nodes_[node];
  NoteMessage(from, n.id, message);
  Carry(node, n.core->Receive(NodeNow(n), from, std::move(message)));
}

// Delivered as long as the receiver holds this connection to be up, though the sender may be dead by now.
void SimCluster::Arrive(std::size_t from, std::size_t to, std::uint64_t generation, PeerMessage message) {
  Connection& c = Between(from, to);
  std::uint64_t& seen = c.seen[to > from];
  if (blocked_.contains({from, to})) return;
  if (seen < generation && c.up && c.generation == generation) {
    if (seen != 0) TellLink(to, from, false, false);
    seen = generation;
    TellLink(to, from, true, false);
  }
  if (seen != generation || !Up(to)) return;
  Receive(to, c.peer[to > from], std::move(message));
}

// Whatever became of the connection and of both processes: it arrives if the two are connected now.
void SimCluster::ArriveLate(std::size_t from, const NodeId& to, PeerMessage message) {
  const auto b = IndexOf(to);
  if (!b || !Up(*b) || blocked_.contains({from, *b})) return;
  AtNode(*b, now_, [this, from, b = *b, message = std::move(message)]() mutable {
    if (Between(from, b).seen[b > from] != 0) Receive(b, nodes_[from]->id, std::move(message));
  });
}

}  // namespace coffer::sim
