// Resync as one honest object: totals frozen per plan, done that never falls, and why it waits when it does.
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include "router/core/status.h"
#include "router/core/status_parts.h"

namespace coffer::router {
namespace {

// Rates are averages over about five seconds: before that they are far too low, and a time left far too long.
constexpr double kTellsNothing = 3;

// What is to be moved still: the copies the layout lacks, sized by what each primary said of its partition last. Layout and
// sizes outlive any one report, so a primary that changes hands, or a router that starts anew, takes nothing away.
struct Left {
  std::uint64_t blocks = 0, bytes = 0;
};

Left LeftToMove(const StatusInputs& inputs) {
  Left left;
  const auto& layout = *inputs.layout;
  for (PartitionId p = 0; p < layout.partition_count() && p < inputs.partitions.size(); ++p) {
    const cluster::Group& group = layout.group(p);
    const auto missing = static_cast<std::uint64_t>(
        std::count_if(group.goal.begin(), group.goal.end(), [&](cluster::MemberIndex m) { return !group.InSync(m); }));
    left.blocks += missing * inputs.partitions[p].blocks;
    left.bytes += missing * inputs.partitions[p].bytes;
  }
  return left;
}

// What the receivers say they compared or copied under this plan.
struct Sums {
  std::uint64_t blocks_done = 0, blocks_sent = 0;
  std::uint64_t bytes_done = 0, bytes_sent = 0;
  bool complete = true;  // every storage member that is up has reported under this plan
};

Sums SumReports(const StatusInputs& inputs, Epoch plan) {
  Sums sums;
  for (const cluster::Member& member : inputs.layout->members) {
    if (member.witness || !IsUp(inputs, member.id)) continue;
    const wire::NodeReport* report = FreshReport(inputs, member.id);
    if (!report || Epoch(report->resync().plan()) != plan) {
      sums.complete = false;
      continue;
    }
    const wire::ResyncReport& resync = report->resync();
    sums.blocks_done += resync.blocks_done();
    sums.blocks_sent += resync.blocks_sent();
    sums.bytes_done += resync.bytes_done();
    sums.bytes_sent += resync.bytes_sent();
  }
  return sums;
}

std::string CauseOf(const StatusInputs& inputs) {
  if (inputs.layout->plan && !inputs.layout->plan->cause.empty()) return inputs.layout->plan->cause;
  for (const cluster::Member& member : inputs.layout->members) {
    if (!member.witness && !IsUp(inputs, member.id)) return member.name + " down";
  }
  return "the layout changed";
}

// Done, by what is left of the frozen total: writes that arrive meanwhile can't make it run backwards or past the end.
std::uint64_t Done(std::uint64_t before, std::uint64_t total, std::uint64_t left) {
  return std::max(before, total - std::min(total, left));
}

bool IsInPlace(const StatusInputs& inputs, const cluster::Group& group) {
  return group.IsInPlace([&](cluster::MemberIndex m) { return HasSlowDisk(inputs, inputs.layout->members[m].id); });
}

// What stops the moves, for people; empty when nothing does.
std::string WhyBlocked(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  for (PartitionId p = 0; p < layout.partition_count(); ++p) {
    const cluster::Group& group = layout.group(p);
    if (IsInPlace(inputs, group)) continue;
    const bool any = std::any_of(group.in_sync.begin(), group.in_sync.end(),
                                 [&](cluster::MemberIndex m) { return IsUp(inputs, layout.members[m].id); });
    if (any) continue;
    std::string names;
    for (const cluster::MemberIndex m : group.in_sync) names += (names.empty() ? "" : ", ") + layout.members[m].name;
    return "partition " + std::to_string(p) + " has no up-to-date copy within reach; it is on " + names;
  }
  return {};
}

// Seconds until the end; nothing while too little was seen to tell. What was found present counts as done and is in no rate, so
// the average since the begin may be the higher of the two.
std::optional<std::uint64_t> TimeLeft(Instant now, const ResyncProgress& progress, double rate) {
  const double seen = std::chrono::duration<double>(now - progress.since).count();
  if (seen < kTellsNothing) return std::nullopt;
  const double speed = std::max(rate, static_cast<double>(progress.bytes_done - std::min(progress.bytes_done, progress.bytes_done_then)) / seen);
  if (speed < 1) return std::nullopt;
  return static_cast<std::uint64_t>(static_cast<double>(progress.bytes_total - progress.bytes_done) / speed) + 1;
}

// Whether all that is missing are members that do not answer and have not been given up yet.
bool OnlyWaits(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  bool waits = false;
  for (const cluster::Group& group : layout.partitions) {
    if (IsInPlace(inputs, group)) continue;
    for (const cluster::MemberIndex m : group.goal) {
      if (group.InSync(m)) continue;
      if (IsUp(inputs, layout.members[m].id)) return false;
      waits = true;
    }
  }
  return waits;
}

}  // namespace

ResyncProgress AdvanceResync(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  const auto moving = static_cast<std::uint64_t>(
      std::count_if(layout.partitions.begin(), layout.partitions.end(), [&](const auto& g) { return !IsInPlace(inputs, g); }));
  if (moving == 0) return {};
  const Epoch plan = layout.plan ? layout.plan->id : Epoch();
  ResyncProgress progress = inputs.resync;
  if (!progress.active || progress.plan != plan) {
    progress = {};
    progress.active = true;
    progress.plan = plan;
    progress.since = inputs.now;
    progress.cause = CauseOf(inputs);
    progress.partitions_total = layout.plan ? layout.plan->partitions_total : 0;
  }
  progress.partitions_total = std::max(progress.partitions_total, moving);
  progress.partitions_done = std::max(progress.partitions_done, progress.partitions_total - moving);
  const Sums sums = SumReports(inputs, plan);
  progress.blocks_sent = std::max(progress.blocks_sent, sums.blocks_sent);
  progress.bytes_sent = std::max(progress.bytes_sent, sums.bytes_sent);
  if (!sums.complete) return progress;
  const Left left = LeftToMove(inputs);
  if (progress.bytes_total == 0 && progress.blocks_total == 0) {
    // What the receivers did for partitions that are not settled yet is among what is left, so it counts once.
    const bool settled_some = progress.partitions_done > 0;
    progress.blocks_total = left.blocks + (settled_some ? sums.blocks_done : 0);
    progress.bytes_total = left.bytes + (settled_some ? sums.bytes_done : 0);
    progress.bytes_done_then = Done(0, progress.bytes_total, left.bytes);
  }
  progress.blocks_done = Done(progress.blocks_done, progress.blocks_total, left.blocks);
  progress.bytes_done = Done(progress.bytes_done, progress.bytes_total, left.bytes);
  return progress;
}

std::optional<v1::ResyncStatus> BuildResync(const StatusInputs& inputs) {
  const ResyncProgress progress = AdvanceResync(inputs);
  if (!progress.active) return std::nullopt;
  v1::ResyncStatus status;
  status.set_cause(progress.cause);
  status.set_partitions_done(progress.partitions_done);
  status.set_partitions_total(progress.partitions_total);
  status.set_blocks_done(progress.blocks_done);
  status.set_blocks_total(progress.blocks_total);
  status.set_blocks_sent(progress.blocks_sent);
  status.set_bytes_done(progress.bytes_done);
  status.set_bytes_total(progress.bytes_total);
  status.set_bytes_sent(progress.bytes_sent);
  status.set_limit_bytes_per_second(inputs.layout->settings.resync_limit_bytes_per_second);
  double rate = 0;
  std::uint64_t starts_in = 0;
  for (const auto& [id, seen] : inputs.reports) {
    if (!FreshReport(inputs, id) || !IsUp(inputs, id)) continue;
    const wire::ResyncReport& report = seen.report.resync();
    for (const v1::ResyncLink& link : report.links()) {
      *status.add_links() = link;
      rate += link.bytes_per_second();
    }
    starts_in = std::max(starts_in, report.starts_in_seconds());
    if (!report.last_error().empty()) status.set_last_error(report.last_error());
  }
  status.set_bytes_per_second(rate);
  const std::string blocked = WhyBlocked(inputs);
  if (!blocked.empty()) status.set_last_error(blocked);
  if (inputs.layout->settings.resync_paused) {
    status.set_state(v1::RESYNC_STATE_PAUSED);
  } else if (!blocked.empty() || (!status.last_error().empty() && rate < 1)) {
    status.set_state(v1::RESYNC_STATE_BLOCKED);
  } else if (OnlyWaits(inputs) || (rate < 1 && starts_in > 0)) {  // a rate may still fade out from before
    status.set_state(v1::RESYNC_STATE_WAITING);
    status.set_starts_in_seconds(starts_in);
  } else {
    status.set_state(v1::RESYNC_STATE_RUNNING);
    if (const auto left = TimeLeft(inputs.now, progress, rate)) status.set_eta_seconds(*left);
  }
  return status;
}

}  // namespace coffer::router
