// Layouts to agree on, and a member whose disk can be stopped, finished and lost.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/agreement.h"

namespace coffer::cluster {

inline NodeId Node(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}

// Epoch 1 with this many members, the given ones voting; one partition, two copies where there are two.
inline Layout FirstOf(int members, MemberList voters) {
  Layout layout;
  layout.cluster.bytes[0] = 0xc1;
  layout.cluster_name = "test";
  layout.epoch = Epoch(1);
  layout.voters = std::move(voters);
  for (int i = 0; i < members; ++i) {
    const std::string name = "node-" + std::to_string(i);
    layout.members.push_back({.id = Node(i), .name = name, .address = name + ":7701"});
  }
  layout.settings.partitions = 1;
  Group group{.primary = 0, .in_sync = {0}, .term = Term(1), .goal = {0}};
  if (members > 1) group.in_sync = group.goal = {0, 1};
  layout.partitions.push_back(group);
  return layout;
}

// A legal successor, told apart from others by its mark.
inline Layout After(const Layout& current, std::uint64_t mark) {
  Layout next = current;
  next.epoch = current.epoch.Next();
  next.settings.resync_limit_bytes_per_second = mark;
  return next;
}

// An Agreement and its disk. What it wants to send is collected; what waits for the disk waits until Sync.
class TestMember {
 public:
  TestMember(NodeId id, std::uint64_t seed, const Layout* first = nullptr) : id_(id), seed_(seed) {
    if (first != nullptr) disk_.layout = Encode(*first);
    Start();
  }

  // Executes an output as agreement.h demands.
  void Run(Agreement::Output out) {
    if (out.persist) writes_.push_back({agreement_->state(), std::move(out.after_persist)});
    else after_without_persist_ += out.after_persist.size();
    for (Outgoing& message : out.now) sent.push_back(std::move(message));
    if (out.proposal_ended) {
      ended = out.proposal_ended;
      why = out.why;
    }
    if (out.adopted) adopted = out.adopted;
  }

  void Receive(const NodeId& from, const wire::Peer& message) { Run(agreement_->Receive(now, from, message)); }
  void Propose(const Layout& next) { Run(agreement_->Propose(now, next)); }
  // Makes the oldest write durable; false when none is under way.
  bool Sync() {
    if (writes_.empty()) return false;
    Write write = std::move(writes_.front());
    writes_.pop_front();
    disk_ = std::move(write.state);
    for (Outgoing& message : write.after) sent.push_back(std::move(message));
    Run(agreement_->Persisted(now));
    return true;
  }
  void SyncAll() {
    while (Sync()) {
    }
  }
  void TickTo(Instant time) {
    now = time;
    Run(agreement_->Tick(now));
  }

  // The process dies: what was not sent is lost, and so are the writes under way but for the oldest `survive`.
  void Crash(std::size_t survive = 0) {
    if (survive > 0) disk_ = writes_.at(survive - 1).state;
    agreement_.reset();
    writes_.clear();
    sent.clear();
    ended.reset();
  }
  void Start() {
    ++boot_;
    agreement_.emplace(id_, Boot(boot_), disk_, seed_ * 1000 + boot_);
  }

  // Takes what was sent so far.
  std::vector<Outgoing> TakeSent() { return std::exchange(sent, {}); }
  // Takes the messages of one kind, and drops the others.
  std::vector<Outgoing> TakeSent(wire::Peer::KindCase kind) {
    std::vector<Outgoing> result;
    for (Outgoing& o : TakeSent()) {
      if (o.message.header.kind_case() == kind) result.push_back(std::move(o));
    }
    return result;
  }

  const NodeId& id() const { return id_; }
  std::uint64_t boot() const { return boot_; }
  bool up() const { return agreement_.has_value(); }
  Agreement& agreement() { return *agreement_; }
  const AgreementState& disk() const { return disk_; }
  std::size_t writes() const { return writes_.size(); }
  std::size_t after_without_persist() const { return after_without_persist_; }

  Instant now{};
  std::vector<Outgoing> sent;
  std::optional<bool> ended;
  std::string why;
  std::shared_ptr<const Layout> adopted;

 private:
  struct Write {
    AgreementState state;
    std::vector<Outgoing> after;
  };
  NodeId id_;
  std::uint64_t seed_;
  std::uint64_t boot_ = 0;
  AgreementState disk_;
  std::deque<Write> writes_;
  std::size_t after_without_persist_ = 0;
  std::optional<Agreement> agreement_;
};

}  // namespace coffer::cluster
