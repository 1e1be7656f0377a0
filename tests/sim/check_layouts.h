// Checks what members keep of the agreement: epochs are one history with the same bytes, every step legal, counters never fall,
// no promise below what was accepted, nothing effective that is not durable (I1, I2, I3, I11, A2, R1.2).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "sim/sim_cluster.h"

namespace coffer::sim {

class LayoutChecker {
 public:
  using Complaint = std::optional<std::string>;
  // A member's agreement file changed.
  Complaint Changed(const SimCluster& cluster, std::size_t node, const node::NodeDurable& before);
  // No member acts by a layout that is not on its disk.
  Complaint Effective(const SimCluster& cluster, std::size_t node) const;
  // The newest layout that anybody adopted; null before the first.
  const std::shared_ptr<const cluster::Layout>& newest() const { return newest_; }
  // That of an epoch; null if nobody is known to have had it.
  std::shared_ptr<const cluster::Layout> Of(Epoch epoch) const {
    const auto it = layouts_.find(epoch.value);
    return it == layouts_.end() ? nullptr : it->second;
  }
  std::size_t epochs() const { return history_.size(); }

 private:
  Complaint Known(const std::string& bytes, const std::string& by);
  Complaint Decided(const SimCluster& cluster, std::size_t node);

  std::map<std::size_t, Epoch> on_disk_;                                   // by node
  std::map<std::uint64_t, std::string> history_;                           // bytes by epoch
  std::map<std::uint64_t, std::shared_ptr<const cluster::Layout>> layouts_;  // the same, read
  std::shared_ptr<const cluster::Layout> newest_;
};

}  // namespace coffer::sim
