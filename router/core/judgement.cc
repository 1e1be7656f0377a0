// One verdict, one reason, one next action.
#include <algorithm>
#include <string>
#include <vector>

#include "router/core/status.h"
#include "router/core/status_parts.h"

namespace coffer::router {
namespace {

// What the judgement rests on, by name.
struct Facts {
  std::vector<std::string> down, suspect, full, failed, slow, behind, drained;
  std::vector<std::string> with_losses;  // primaries of blocks that are damaged on every copy
  std::uint64_t lost = 0;                // of these blocks
  std::uint64_t down_seconds = 0;  // the longest
  std::size_t storage = 0;         // members that take data
  std::size_t voters_alive = 0;
};

Facts Gather(const StatusInputs& inputs, const v1::Status& status) {
  Facts facts;
  for (const auto& member : status.members()) {
    if (member.role() == v1::MEMBER_ROLE_ROUTER) continue;
    facts.lost += member.lost_blocks();
    if (member.lost_blocks() > 0) facts.with_losses.push_back(member.name());
    switch (member.state()) {
      case v1::MEMBER_STATE_DOWN:
        facts.down.push_back(member.name());
        facts.down_seconds = std::max(facts.down_seconds, member.state_seconds());
        continue;
      case v1::MEMBER_STATE_SUSPECT: facts.suspect.push_back(member.name()); continue;
      case v1::MEMBER_STATE_DRAINED: facts.drained.push_back(member.name()); continue;
      default: break;
    }
    if (member.read_only()) {
      (member.read_only_reason() == v1::READ_ONLY_REASON_DISK_FAILED ? facts.failed : facts.full).push_back(member.name());
    }
    if (member.disk_slow()) facts.slow.push_back(member.name());
    if (member.epoch() < status.epoch() && inputs.now - inputs.layout_since >= kLayoutSpreads) facts.behind.push_back(member.name());
  }
  for (const auto& member : inputs.layout->members) facts.storage += member.TakesData();
  for (const auto voter : inputs.layout->voters) facts.voters_alive += IsUp(inputs, inputs.layout->members[voter].id);
  return facts;
}

std::string Are(const std::vector<std::string>& names) { return Listed(names) + (names.size() == 1 ? " is " : " are "); }

std::string OfPartitions(const v1::Status& status, std::uint32_t count) {
  return Grouped(count) + " of " + std::to_string(status.partitions()) + " partitions";
}

// Whether the data can be used, in one sentence.
std::string Service(const v1::Status& status) {
  if (status.partitions_readable() < status.partitions()) {
    return OfPartitions(status, status.partitions() - status.partitions_readable()) + " can't be read or written.";
  }
  if (status.partitions_writable() < status.partitions()) {
    return "All data readable; " + OfPartitions(status, status.partitions() - status.partitions_writable()) +
           " can't be written.";
  }
  return "All data readable and writable.";
}

std::string ResyncSentence(const v1::Status& status) {
  if (!status.has_resync()) return "Nothing to do.";
  switch (status.resync().state()) {
    case v1::RESYNC_STATE_WAITING: return "Resync waits for it to come back; nothing to do.";
    case v1::RESYNC_STATE_PAUSED: return "Resync is paused; `coffer resync resume` lets it go on.";
    case v1::RESYNC_STATE_BLOCKED: return "Resync can't go on: " + status.resync().last_error() + ".";
    default: return "Resync is running; nothing to do.";
  }
}

std::string Unreachable(const Facts& facts) {
  return Are(facts.down) + "unreachable for " + Grouped(facts.down_seconds) + " s.";
}

// Sets code, reason and action by the first thing that is wrong, the most urgent first.
void Explain(const StatusInputs& inputs, const Facts& facts, v1::Status* status) {
  auto say = [&](const char* code, std::string reason, std::string action) {
    status->set_code(code);
    status->set_reason(std::move(reason));
    status->set_next_action(std::move(action));
  };
  auto disk_failed = [&] {
    say("DISK_FAILED", Are(facts.failed) + "read-only: a disk failed. " + Service(*status),
        "Replace the disk of " + Listed(facts.failed) + ", or drain it.");
  };
  auto disk_full = [&] {
    say("DISK_FULL", "The disk of " + Are(facts.full) + "full. " + Service(*status),
        "Free space on " + Listed(facts.full) + ", or add a storage node.");
  };
  const auto& layout = *inputs.layout;
  const std::string missing = facts.down.empty() ? (facts.suspect.empty() ? "" : Are(facts.suspect) + "not answering. ")
                                                 : Unreachable(facts) + " ";
  if (facts.voters_alive < layout.Quorum()) {
    std::vector<std::string> off;
    for (const auto voter : layout.voters) {
      if (!IsUp(inputs, layout.members[voter].id)) off.push_back(layout.members[voter].name);
    }
    return say("NO_QUORUM",
               std::to_string(facts.voters_alive) + " of " + std::to_string(layout.voters.size()) +
                   " voters answer, too few to change the layout. " + Service(*status),
               "Start " + Listed(off) + " again.");
  }
  if (status->force().merging() > 0) {
    const std::vector<std::string> silent(status->force().waits_for().begin(), status->force().waits_for().end());
    return say("SURVIVORS_MERGING",
               missing + OfPartitions(*status, status->force().merging()) + " are being merged from what survived. " + Service(*status),
               silent.empty() ? "Wait until it is done; then look at `coffer layout losses`."
                              : "Start " + Listed(silent) + " again: what survived there is needed.");
  }
  if (status->partitions_readable() < status->partitions()) {
    return say("PARTITIONS_UNAVAILABLE", missing + Service(*status),
               "Start " + (facts.down.empty() ? Listed(facts.suspect) : Listed(facts.down)) +
                   " again: the only up-to-date copies are there.");
  }
  if (status->partitions_writable() < status->partitions()) {
    std::size_t living = 0;
    for (const auto& member : layout.members) living += member.TakesData() && IsUp(inputs, member.id);
    const bool too_few = living < layout.settings.min_copies;
    if (!facts.full.empty()) return disk_full();
    if (!facts.failed.empty() && facts.down.empty()) return disk_failed();
    return say("PARTITIONS_UNAVAILABLE", missing + Service(*status),
               too_few ? "Start a second storage node: an acknowledged write needs " +
                             std::to_string(layout.settings.min_copies) + " copies."
                       : "Other copies take over within seconds; nothing to do unless this stays.");
  }
  if (facts.lost > 0) {
    return say("BLOCKS_LOST", Grouped(facts.lost) + (facts.lost == 1 ? " block is" : " blocks are") + " damaged on every copy that answers.",
               (facts.down.empty() ? "Put" : "Start " + Listed(facts.down) + " again, or put") +
                   std::string(" the same bytes again, or delete them; the log of ") + Listed(facts.with_losses) + " names them.");
  }
  if (!facts.failed.empty()) return disk_failed();
  if (!facts.full.empty()) return disk_full();
  if (!facts.down.empty()) {
    std::string action = ResyncSentence(*status);
    if (!status->has_resync()) action = "All data has its copies again. Start " + Listed(facts.down) + " again; only what is gone for good: `coffer forget " + facts.down.front() + "`.";
    return say("NODE_DOWN", Unreachable(facts) + " " + Service(*status), action);
  }
  if (!facts.suspect.empty()) {
    return say("NODE_SUSPECT", Are(facts.suspect) + "not answering. " + Service(*status), "Wait a moment: it is being looked after.");
  }
  if (!facts.slow.empty()) {
    const bool one = facts.slow.size() == 1;
    return say("DISK_SLOW", std::string(one ? "The disk of " : "The disks of ") + Are(facts.slow) + "slow: what has a copy there is written slowly. " + Service(*status),
               "Find what keeps " + std::string(one ? "it" : "them") + " busy; if it stays, replace the disk, or drain " + facts.slow.front() + ".");
  }
  if (status->has_resync()) {
    static constexpr const char* kCodes[] = {"RESYNC_RUNNING", "RESYNC_WAITING", "RESYNC_RUNNING", "RESYNC_PAUSED", "RESYNC_BLOCKED"};
    const auto state = static_cast<std::size_t>(status->resync().state());
    return say(kCodes[std::min<std::size_t>(state, 4)], "Data is moving: " + status->resync().cause() + ". " + Service(*status),
               ResyncSentence(*status));
  }
  if (status->copies().one() > 0 && layout.settings.min_copies > 1) {
    return say("ONE_COPY", Grouped(status->copies().one()) + " blocks have one copy only. " + Service(*status),
               "Add a storage node, or start one that is off.");
  }
  if (!facts.behind.empty()) {
    return say("EPOCH_LAG", Are(facts.behind) + "not yet on epoch " + std::to_string(status->epoch()) + ". " + Service(*status),
               "Wait a moment; if it stays, look at the log of " + Listed(facts.behind) + ".");
  }
  if (facts.storage == 1) {
    return say("SINGLE_NODE", "One storage node: every block has one copy. " + Service(*status),
               "Add a second storage node to have two copies.");
  }
  if (!facts.drained.empty()) {
    return say("", "All data has all its copies. " + Are(facts.drained) + "drained and may be off.",
               "`coffer forget " + facts.drained.front() + "` takes it out; `coffer apply undrain " + facts.drained.front() + "` keeps it.");
  }
  say("", "All data has all its copies, and every member is up.", "Nothing to do.");
}

}  // namespace

void Judge(const StatusInputs& inputs, v1::Status* status) {
  Explain(inputs, Gather(inputs, *status), status);
  const bool served = status->partitions_readable() == status->partitions() &&
                      status->partitions_writable() == status->partitions();
  const bool healthy = status->code().empty() || status->code() == "SINGLE_NODE";
  status->set_verdict(!served ? v1::VERDICT_UNAVAILABLE : healthy ? v1::VERDICT_HEALTHY : v1::VERDICT_DEGRADED);
}

std::string Grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(' ');
    text.push_back(digits[i]);
  }
  return text;
}

std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

}  // namespace coffer::router
