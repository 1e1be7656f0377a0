// The primary's or the follower's side of partitions alone, for which the test speaks for everybody else: what one of them says and
// writes, and when that is durable.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/membership.h"
#include "node/core/context.h"
#include "node/memory_store.h"
#include "test_support.h"

namespace coffer::node {

// A node's context over a store in memory, in a cluster of itself (member 0) and one other (member 1).
class OneSide {
 public:
  static inline const NodeId kSelf = NodeId::Must("node-one-16bytes");
  static inline const NodeId kOther = NodeId::Must("node-two-16bytes");

  OneSide() : ctx(Config(), store, 1), membership({}, ctx.config.self, Incarnation(1), 1, kBegin) {
    ctx.membership = &membership;
    ctx.started = ctx.now = kBegin;
  }

  // The layout of this epoch is effective. Nobody is told.
  void Adopt(std::uint64_t epoch, std::vector<cluster::Group> groups, std::uint32_t min_copies = 2) {
    auto layout = std::make_shared<cluster::Layout>();
    layout->epoch = Epoch(epoch);
    layout->voters = {0, 1};
    layout->members.resize(2);
    layout->members[0].id = kSelf;
    layout->members[1].id = kOther;
    layout->settings.min_copies = min_copies;
    layout->partitions = std::move(groups);
    ctx.layout = std::move(layout);
    ctx.self_index = 0;
  }

  // The link to the other member is up, and it has news of a storage node, which may be itself.
  void Hear(const NodeId& id, const std::string& name, std::uint32_t weight = 100, cluster::Liveness state = cluster::Liveness::kAlive) {
    ctx.linked.insert(kOther);
    membership.LinkUp(ctx.now, kOther);
    wire::Peer news;
    auto* node = news.mutable_push_pull()->add_updates();
    node->mutable_facts()->set_id(id.str());
    node->mutable_facts()->set_name(name);
    node->mutable_facts()->set_address(name + ":7701");
    node->mutable_facts()->set_role(coffer::v1::MEMBER_ROLE_STORAGE);
    node->mutable_facts()->set_weight(weight);
    node->set_incarnation(++incarnation_);
    node->set_state(static_cast<std::uint32_t>(state));
    membership.Receive(ctx.now, kOther, news);
    REQUIRE(membership.IsAlive(id) == (state == cluster::Liveness::kAlive));
  }

  // The oldest thing handed to the disk is durable; false: there is none.
  bool Sync() {
    Take();
    if (to_disk_.empty()) return false;
    if (auto* batch = std::get_if<StoreBatch>(&to_disk_.front())) {
      store.Write(std::move(*batch), nullptr);
      store.CompleteWrites();
    }
    to_disk_.pop_front();
    const auto then = std::move(ctx.continuations.front());
    ctx.continuations.pop_front();
    then();
    return true;
  }
  void SyncAll() {
    while (Sync()) {}
  }

  // What was said since the last call.
  std::vector<wire::Peer> Said() {
    Take();
    return std::exchange(said_, {});
  }
  template <class Is>
  std::size_t CountSaid(Is is) {
    std::size_t count = 0;
    for (const wire::Peer& message : Said()) count += is(message);
    return count;
  }

  MemoryStore store;
  Context ctx;
  cluster::Membership membership;

 private:
  static constexpr Instant kBegin{std::chrono::seconds(1)};

  static NodeCoreConfig Config() {
    NodeCoreConfig config;
    config.boot = Boot(1);
    config.self.set_id(kSelf.str());
    config.self.set_name("node-1");
    config.self.set_role(coffer::v1::MEMBER_ROLE_STORAGE);
    return config;
  }

  void Take() {
    for (auto& persist : std::exchange(ctx.out.persist, {})) to_disk_.push_back(std::move(persist.what));
    for (Outgoing& o : std::exchange(ctx.out.send, {})) said_.push_back(std::move(o.message.header));
  }

  std::deque<std::variant<StoreBatch, NodeDurable>> to_disk_;
  std::vector<wire::Peer> said_;
  std::uint64_t incarnation_ = 0;
};

}  // namespace coffer::node
