#include "sim/check_layouts.h"

namespace coffer::sim {

LayoutChecker::Complaint LayoutChecker::Known(const std::string& bytes, const std::string& by) {
  if (newest_ && history_.at(newest_->epoch.value) == bytes) return std::nullopt;
  std::string error;
  const auto decoded = cluster::DecodeLayout(bytes, &error);
  if (!decoded) return by + " keeps a layout that can't be read: " + error;
  const std::uint64_t epoch = decoded->epoch.value;
  const auto [it, fresh] = history_.emplace(epoch, bytes);
  if (!fresh) {
    if (it->second != bytes) return "epoch " + std::to_string(epoch) + " has two layouts; the other one is at " + by + " (I1)";
    return std::nullopt;
  }
  layouts_[epoch] = std::make_shared<const cluster::Layout>(*decoded);
  if (!newest_ || newest_->epoch.value < epoch) newest_ = layouts_[epoch];
  for (const std::uint64_t first : {epoch - 1, epoch}) {
    const auto a = layouts_.find(first);
    const auto b = layouts_.find(first + 1);
    if (a == layouts_.end() || b == layouts_.end()) continue;
    if (auto why = WhyIllegal(*a->second, *b->second)) return "epoch " + std::to_string(first + 1) + " does not follow legally: " + *why + " (I11)";
  }
  return std::nullopt;
}

// A value that a quorum of the voters holds accepted under one ballot is decided, whether anybody noticed or not (A12).
LayoutChecker::Complaint LayoutChecker::Decided(const SimCluster& cluster, std::size_t node) {
  const cluster::AgreementState& state = cluster.node(node).durable.agreement;
  if (state.accepted_ballot.counter == 0) return std::nullopt;
  std::string error;
  const auto current = cluster::DecodeLayout(state.layout, &error);
  if (!current) return std::nullopt;
  std::size_t votes = 0;
  for (const auto voter : current->voters) {
    const auto i = cluster.IndexOf(current->members[voter].id);
    if (!i) continue;
    const auto& other = cluster.node(*i).durable.agreement;
    if (other.accepted_ballot == state.accepted_ballot && other.accepted_layout == state.accepted_layout) ++votes;
  }
  if (votes < current->Quorum()) return std::nullopt;
  return Known(state.accepted_layout, "a quorum of the voters");
}

LayoutChecker::Complaint LayoutChecker::Changed(const SimCluster& cluster, std::size_t node, const node::NodeDurable& before) {
  const SimNode& n = cluster.node(node);
  const cluster::AgreementState& now = n.durable.agreement;
  const cluster::AgreementState& was = before.agreement;
  if (now.layout != was.layout) {
    if (auto why = Known(now.layout, n.name)) return why;
    std::string error;
    const auto old = cluster::DecodeLayout(was.layout, &error);
    const auto next = cluster::DecodeLayout(now.layout, &error);
    on_disk_[node] = next ? next->epoch : Epoch(0);
    if (old && next && next->epoch <= old->epoch) return "the epoch of " + n.name + " fell (I2)";
  } else if (now.promised < was.promised) {
    return "the promise of " + n.name + " fell within an instance (I2)";
  }
  if (now.ballot_counter < was.ballot_counter) return "the ballot counter of " + n.name + " fell (I2)";
  if (now.accepted_ballot > now.promised) return n.name + " accepted above its promise (I3)";
  return Decided(cluster, node);
}

LayoutChecker::Complaint LayoutChecker::Effective(const SimCluster& cluster, std::size_t node) const {
  const SimNode& n = cluster.node(node);
  if (!n.core || !n.core->layout()) return std::nullopt;
  const auto on_disk = on_disk_.find(node);
  if (on_disk == on_disk_.end() || on_disk->second < n.core->layout()->epoch) {
    return n.name + " acts by epoch " + std::to_string(n.core->layout()->epoch.value) + ", which is not on its disk (R1.2)";
  }
  return std::nullopt;
}

}  // namespace coffer::sim
