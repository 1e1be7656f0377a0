// What a node says of itself: in gossip, and in the report that status and metrics are made of.
#include <algorithm>

#include "node/core/node_state.h"

namespace coffer::node {
namespace {

using cluster::Group;
using std::chrono::milliseconds;
using std::chrono::seconds;

coffer::v1::ReadOnlyReason WhyReadOnly(const StoreHealth& health) {
  if (health.failed) return coffer::v1::READ_ONLY_REASON_DISK_FAILED;
  return health.full ? coffer::v1::READ_ONLY_REASON_DISK_FULL : coffer::v1::READ_ONLY_REASON_UNSPECIFIED;
}

}  // namespace

void NodeCore::State::RefreshFacts(bool urgent) {
  wire::MemberFacts facts = ctx.config.self;
  facts.set_epoch(ctx.layout ? ctx.layout->epoch.value : 0);
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  for (const auto& [partition, replica] : ctx.replicas) {
    blocks += replica->meta().blocks;
    bytes += replica->meta().bytes;
  }
  facts.set_blocks(blocks);
  facts.set_data_bytes(bytes);
  facts.set_read_only(ctx.health.full || ctx.health.failed);
  facts.set_read_only_reason(WhyReadOnly(ctx.health));
  if (ctx.health.total_bytes > 0) {
    const double used = 1.0 - static_cast<double>(ctx.health.free_bytes) / static_cast<double>(ctx.health.total_bytes);
    facts.set_disk_used_permille(static_cast<std::uint32_t>(used * 1000));
  }
  facts.set_disk_pace(ctx.health.slow ? wire::DISK_PACE_SLOW : wire::DISK_PACE_USUAL);
  facts.set_leaving(leaving);
  Execute(membership.UpdateSelf(ctx.now, facts, urgent));
}

void NodeCore::State::FillScrub(coffer::v1::MemberStatus* self) const {
  if (!scrub) return;
  auto& status = *self->mutable_scrub() = *scrub;
  status.set_copies_compared(copies.compared());
  status.set_copies_differing(copies.differing());
  if (status.bytes_per_second() < 1 || self->data_bytes() <= status.bytes_done()) return;
  status.set_eta_seconds(static_cast<std::uint64_t>(static_cast<double>(self->data_bytes() - status.bytes_done()) / status.bytes_per_second()));
}

wire::NodeReport NodeCore::State::Report(Instant now) const {
  wire::NodeReport report;
  auto* self = report.mutable_self();
  self->set_name(ctx.config.self.name());
  self->set_id(ctx.self.str());
  self->set_address(ctx.config.self.address());
  self->set_role(static_cast<coffer::v1::MemberRole>(ctx.config.self.role()));
  self->set_version(ctx.config.self.version());
  self->set_weight(ctx.config.self.weight());
  self->set_failure_domain(ctx.config.self.failure_domain());
  self->set_up_seconds(static_cast<std::uint64_t>((now - started) / seconds(1)));
  self->set_gets_per_second(load.gets_per_second());
  self->set_puts_per_second(load.puts_per_second());
  self->set_p99_seconds(load.p99_seconds());
  self->set_bad_blocks(ctx.counters.bad_blocks);
  self->set_repaired_blocks(ctx.counters.repaired_blocks);
  self->set_quarantined_writes(ctx.counters.quarantined);
  self->set_lost_blocks(repairs.CountLost());
  self->set_read_only(ctx.health.full || ctx.health.failed);
  self->set_read_only_reason(WhyReadOnly(ctx.health));
  self->set_disk_slow(ctx.health.slow);
  self->set_last_error(ctx.health.failure);
  if (ctx.health.total_bytes > 0) {
    self->set_disk_used(1.0 - static_cast<double>(ctx.health.free_bytes) / static_cast<double>(ctx.health.total_bytes));
  }
  for (const auto& [partition, replica] : ctx.replicas) {
    self->set_blocks(self->blocks() + replica->meta().blocks);
    self->set_data_bytes(self->data_bytes() + replica->meta().bytes);
  }
  self->set_learners(static_cast<std::uint32_t>(learner.running()));
  FillScrub(self);
  learner.tally().Fill(report.mutable_resync());
  if (!ctx.layout) return report;
  report.set_epoch(ctx.layout->epoch.value);
  for (const auto& [id, member] : planning.Members()) {
    const auto index = ctx.layout->IndexOf(id);
    if (member.alive || index == cluster::kNoMember || ctx.layout->members[index].down) continue;
    const Duration left = std::max(ctx.config.planner.resync_delay - member.dead_for, Duration(0));
    const auto left_seconds = static_cast<std::uint64_t>((left + milliseconds(999)) / seconds(1));
    report.mutable_resync()->set_starts_in_seconds(std::max(report.resync().starts_in_seconds(), left_seconds));
  }
  self->set_epoch(ctx.layout->epoch.value);
  for (PartitionId p = 0; p < ctx.layout->partition_count(); ++p) {
    if (!ctx.IsPrimary(p)) continue;
    const auto replica = ctx.replicas.find(p);
    auto* line = report.add_primaries();
    line->set_partition(p);
    line->set_writable(primaries.Writable(p));
    if (replica == ctx.replicas.end()) continue;
    const PartitionMeta& meta = replica->second->meta();
    line->set_blocks(meta.blocks);
    line->set_bytes(meta.bytes);
    // What is left of the plan is known best where it comes from, also before the receivers have asked.
    const Group& group = ctx.group(p);
    const auto missing = static_cast<std::uint64_t>(
        std::count_if(group.goal.begin(), group.goal.end(), [&](cluster::MemberIndex m) { return !group.InSync(m); }));
    report.mutable_resync()->set_blocks_left(report.resync().blocks_left() + missing * meta.blocks);
    report.mutable_resync()->set_bytes_left(report.resync().bytes_left() + missing * meta.bytes);
  }
  return report;
}

}  // namespace coffer::node
