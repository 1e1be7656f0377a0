#include "sim/check_identities.h"

namespace coffer::sim {

IdentityChecker::Complaint IdentityChecker::Boot(const NodeId& id, const std::string& name, std::uint64_t boot) {
  std::uint64_t& highest = boots_[id];
  if (boot < highest) return "the boot counter of " + name + " fell from " + std::to_string(highest) + " to " + std::to_string(boot) + " (I2)";
  highest = boot;
  return std::nullopt;
}

IdentityChecker::Complaint IdentityChecker::Runs(const NodeId& id, const std::string& name) {
  if (over_.contains(id)) return name + " runs under id " + Short(id) + ", which was over (I13)";
  const auto [other, first] = running_.emplace(id, name);
  if (!first && other->second != name) return other->second + " and " + name + " both run under id " + Short(id) + " (I13)";
  return std::nullopt;
}

void IdentityChecker::Ends(const NodeId& id, const std::string& name) {
  const auto running = running_.find(id);
  if (running != running_.end() && running->second == name) running_.erase(running);
}

IdentityChecker::Complaint IdentityChecker::Believes(const NodeId& by, std::uint64_t life, const NodeId& member, const std::string& name,
                                                     Incarnation incarnation) {
  auto& [seen_in, highest] = believed_[{member, by}];
  if (by != member && seen_in != life) highest = Incarnation{};
  seen_in = life;
  if (incarnation < highest) {
    return "the incarnation of " + name + " fell from " + std::to_string(highest.value) + " to " + std::to_string(incarnation.value) + " (I19)";
  }
  highest = incarnation;
  return std::nullopt;
}

IdentityChecker::Complaint IdentityChecker::Look(const SimCluster& cluster, std::size_t node) {
  const SimNode& n = cluster.node(node);
  // A folder that was put back counts from where the copy was made, until the others refuse it (R8.1).
  if (!n.durable.lineage.empty() && !n.put_back) {
    if (auto why = Boot(n.id, n.name, n.durable.lineage.back().boot.value)) return why;
  }
  if (!n.core) {
    Ends(n.id, n.name);
    return std::nullopt;
  }
  // Who retires says so in the last step of its process, which ends a moment later.
  if (!n.retired) {
    if (auto why = Runs(n.id, n.name)) return why;
  }
  for (const auto& [id, member] : *n.core->members()) {
    if (id == n.id && n.put_back) continue;
    if (auto why = Believes(n.id, n.life, id, member.facts.name(), member.incarnation)) return why;
  }
  return std::nullopt;
}

}  // namespace coffer::sim
