#include "node/core/resync_tally.h"

namespace coffer::node {

void ResyncTally::Count(std::uint64_t records, std::uint64_t bytes, const NodeId& from, bool travelled) {
  blocks_done_ += records;
  bytes_done_ += bytes;
  // What is found present is done as well: of a node that comes back nearly all is, and the time left follows from this rate.
  LinkRate& link = rates_[from];
  if (link.window_start == Instant{}) link.window_start = ctx_.now;
  link.window_bytes += bytes;
  if (!travelled) return;
  blocks_sent_ += records;
  bytes_sent_ += bytes;
}

void ResyncTally::OnPlan(Epoch plan) {
  if (plan == plan_) return;
  plan_ = plan;
  blocks_done_ = bytes_done_ = bytes_sent_ = blocks_sent_ = 0;
}

void ResyncTally::Fill(wire::ResyncReport* report) const {
  report->set_plan(plan_.value);
  report->set_blocks_done(blocks_done_);
  report->set_bytes_done(bytes_done_);
  report->set_bytes_sent(bytes_sent_);
  report->set_blocks_sent(blocks_sent_);
  report->set_last_error(last_error_);
  for (const auto& [peer, rate] : rates_) {
    if (rate.bytes_per_second < 1) continue;
    auto* link = report->add_links();
    link->set_from(ctx_.NameOf(peer));
    link->set_to(ctx_.config.self.name());
    link->set_bytes_per_second(rate.bytes_per_second);
  }
}

void ResyncTally::Tick() {
  for (auto& [peer, link] : rates_) {
    const double span = std::chrono::duration<double>(ctx_.now - link.window_start).count();
    if (span < 1.0) continue;
    const double now = static_cast<double>(link.window_bytes) / span;
    link.bytes_per_second = link.bytes_per_second == 0 ? now : 0.6 * link.bytes_per_second + 0.4 * now;
    link.window_bytes = 0;
    link.window_start = ctx_.now;
  }
}

}  // namespace coffer::node
