// The zone that is used when none is named exists from the formation of a cluster on. Its id follows from the cluster's, so that
// whoever is the registry's primary makes the same one, and one that an operator deleted does not come back.
#pragma once

#include <functional>

#include "node/core/context.h"

namespace coffer::node {

class DefaultZone {
 public:
  // `to_self` handles a DataRequest addressed to this node.
  DefaultZone(Context& context, std::function<void(wire::DataRequest)> to_self) : ctx_(context), to_self_(std::move(to_self)) {}

  static ZoneId IdIn(const ClusterId& cluster);

  void OnRegistryActive() { look_at_ = ctx_.config.default_zone ? ctx_.now : kNever; }
  void OnRegistryEnded() { look_at_ = kNever; }
  void Tick();
  Instant NextDeadline() const { return look_at_; }

 private:
  Context& ctx_;
  const std::function<void(wire::DataRequest)> to_self_;
  Instant look_at_ = kNever;  // when to see whether it is there; never once it is
};

}  // namespace coffer::node
