// Which addresses to dial: seeds until a storage member is linked, then every member that stores or votes and has no link.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/membership.h"

namespace coffer::router {

// Single-threaded; owned by RouterCore. Members that are given up are membership's to dial.
class LinkKeeper {
 public:
  LinkKeeper(std::vector<std::string> seeds, std::string own_address)
      : seeds_(std::move(seeds)), own_address_(std::move(own_address)) {}

  void LinkUp(const NodeId& peer) { links_.insert(peer); }
  void LinkDown(const NodeId& peer) { links_.erase(peer); }
  bool Linked(const NodeId& peer) const { return links_.count(peer) > 0; }
  const std::set<NodeId>& links() const { return links_; }

  // Addresses to dial now; `wanted` are members an operation waits for. `layout` may be null.
  std::vector<std::string> Due(Instant now, const cluster::Layout* layout, const cluster::Membership::View& view,
                               const std::set<NodeId>& wanted);

 private:
  static constexpr Duration kSeedInterval = std::chrono::seconds(1);
  static constexpr Duration kMemberInterval = std::chrono::milliseconds(500);
  static constexpr Duration kWantedInterval = std::chrono::milliseconds(100);

  void Dial(Instant now, const std::string& address, Duration interval, std::vector<std::string>* due);

  const std::vector<std::string> seeds_;
  const std::string own_address_;
  std::set<NodeId> links_;
  std::map<std::string, Instant> dialled_;  // when last; only addresses seen in the last look
};

}  // namespace coffer::router
