// What resync did at a learner: counted for the status, by plan, and how fast it comes from each peer.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "node/core/context.h"

namespace coffer::node {

class ResyncTally {
 public:
  explicit ResyncTally(const Context& context) : ctx_(context) {}

  // Records that were found equal, or came from `from`: `travelled`.
  void Count(std::uint64_t records, std::uint64_t bytes, const NodeId& from, bool travelled);
  // What holds resync up, for people; empty: nothing does any more.
  void SetError(std::string what) { last_error_ = std::move(what); }
  // A new plan: counting begins anew.
  void OnPlan(Epoch plan);
  void OnLinkDown(const NodeId& peer) { rates_.erase(peer); }
  void Tick();
  void Fill(wire::ResyncReport* report) const;

 private:
  struct LinkRate {  // compared or copied from one peer
    double bytes_per_second = 0;
    std::uint64_t window_bytes = 0;
    Instant window_start{};
  };

  const Context& ctx_;
  Epoch plan_;
  std::uint64_t blocks_done_ = 0, bytes_done_ = 0, bytes_sent_ = 0, blocks_sent_ = 0;
  std::string last_error_;
  std::map<NodeId, LinkRate> rates_;
};

}  // namespace coffer::node
