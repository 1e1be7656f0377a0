// A node core that forms a cluster, and peers that a test speaks for: for tests of what a member says to whom, and when.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "node/core/node_core.h"
#include "node/memory_store.h"
#include "test_support.h"

namespace coffer::node {

inline const NodeId kSelf = NodeId::Must("node-one-16bytes");
inline const NodeId kPeer = NodeId::Must("node-two-16bytes");
inline const NodeId kThird = NodeId::Must("node-ten-16bytes");

inline cluster::FolderMark Mark(std::uint64_t boot, char nonce, std::uint64_t step = 0) {
  cluster::FolderMark mark;
  mark.boot = Boot(boot);
  mark.nonce.bytes.fill(static_cast<std::uint8_t>(nonce));
  mark.step = step;
  return mark;
}

inline void Set(const cluster::FolderMark& mark, wire::FolderMark* out) {
  out->set_boot(mark.boot.value);
  out->set_nonce(mark.nonce.str());
  out->set_step(mark.step);
}

inline PeerMessage Introduction(const cluster::Lineage& lineage, bool cleared) {
  PeerMessage message;
  for (const auto& mark : lineage) Set(mark, message.header.mutable_introduction()->add_lineage());
  message.header.mutable_introduction()->set_cleared(cleared);
  return message;
}

// The peer has noted this start of ours.
inline PeerMessage NotedUs(const cluster::FolderMark& mark) {
  PeerMessage message;
  Set(mark, message.header.mutable_introduction_answer()->mutable_mark());
  message.header.mutable_introduction_answer()->set_cleared(true);
  return message;
}

// A member's facts, as it says them itself.
inline PeerMessage NewsOf(const NodeId& id, const std::string& name) {
  PeerMessage message;
  auto* update = message.header.mutable_push_pull()->add_updates();
  update->mutable_facts()->set_id(id.str());
  update->mutable_facts()->set_name(name);
  update->mutable_facts()->set_address(name + ":7701");
  update->mutable_facts()->set_role(coffer::v1::MEMBER_ROLE_STORAGE);
  update->mutable_facts()->set_boot(1);
  update->mutable_facts()->set_weight(100);
  update->set_incarnation(1);
  update->set_state(1);
  return message;
}

// One node that forms a cluster, and peers that the test speaks for. What is persisted is durable only when the test says so.
class SpokenTo {
 public:
  explicit SpokenTo(cluster::Lineage lineage = {Mark(1, 'a')}) : own_(lineage.back()) {
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

  // A router has no data folder.
  // How full that queue is.
  std::uint64_t Fill(const std::string& what) const {
    std::uint64_t size = 0;
    core_->VisitQueues([&](const QueueFill& queue) {
      if (queue.what == what) size = queue.size;
    });
    return size;
  }
  void LinkUp(const NodeId& peer, bool has_folder = true) { Carry(core_->LinkUp(now_, peer, has_folder)); }
  void Hear(const NodeId& from, PeerMessage message) { Carry(core_->Receive(now_, from, std::move(message))); }
  void Run(Duration span) {
    for (const Instant end = now_ + span; now_ < end;) {
      now_ += std::chrono::milliseconds(50);
      Carry(core_->Tick(now_));
      if (answers_pings_) AnswerPings();
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
  // The peer is a member that lives: each side has noted the other, and from now on it answers pings, and all is durable at once.
  void Befriend(const NodeId& peer, const std::string& name) {
    LinkUp(peer);
    Hear(peer, Introduction({Mark(1, 'p')}, /*cleared=*/true));
    Hear(peer, NotedUs(own_));
    Sync();
    Hear(peer, NewsOf(peer, name));
    answers_pings_ = true;
  }
  // A router's request and its answer; all is durable at once.
  wire::DataResponse Ask(const NodeId& router, wire::DataRequest request, std::vector<Payload> bodies) {
    request.set_call(++call_);
    request.set_term(layout()->group(request.partition()).term.value);
    request.set_deadline_ms(5000);
    PeerMessage message;
    *message.header.mutable_data_request() = std::move(request);
    message.bodies = std::move(bodies);
    Hear(router, std::move(message));
    for (int i = 0; i < 100 && !answers_.contains(call_); ++i) {
      Sync();
      Run(std::chrono::milliseconds(50));
    }
    REQUIRE(answers_.contains(call_));
    return answers_.at(call_);
  }
  std::shared_ptr<const cluster::Layout> layout() const { return core_->layout(); }
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
    for (Outgoing& o : output.send) {
      if (o.message.header.has_data_response()) answers_[o.message.header.data_response().call()] = o.message.header.data_response();
      sent_.push_back(std::move(o));
    }
    CHECK_FALSE(output.retire);
    CHECK_FALSE(output.stop);
    for (ReadTask& task : output.reads) Carry(core_->ReadDone(now_, RunRead(store_, std::move(task))));
  }
  void AnswerPings() {
    Sync();
    std::vector<std::pair<NodeId, std::uint64_t>> pings;
    for (const Outgoing& o : sent_) {
      if (o.message.header.has_ping() && o.message.header.ping().sequence() > answered_) pings.emplace_back(o.to, o.message.header.ping().sequence());
    }
    for (const auto& [from, sequence] : pings) {
      answered_ = std::max(answered_, sequence);
      PeerMessage ack;
      ack.header.mutable_ping_ack()->set_sequence(sequence);
      Hear(from, std::move(ack));
    }
    Sync();
  }

  const cluster::FolderMark own_;
  MemoryStore store_;
  NodeDurable durable_;
  std::optional<NodeCore> core_;
  Instant now_{std::chrono::seconds(1)};
  std::deque<std::variant<StoreBatch, NodeDurable>> waiting_;
  std::uint64_t next_ticket_ = 1;
  std::vector<Outgoing> sent_;
  bool answers_pings_ = false;
  std::uint64_t answered_ = 0;
  std::uint64_t call_ = 0;
  std::map<std::uint64_t, wire::DataResponse> answers_;
};

}  // namespace coffer::node
