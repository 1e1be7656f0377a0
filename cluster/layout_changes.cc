#include "cluster/layout_changes.h"

#include <algorithm>
#include <set>
#include <vector>

#include "cluster/join_tokens.h"

namespace coffer::cluster {
namespace {

constexpr std::size_t kNamed = 5;

std::string Count(std::uint64_t n, const std::string& one, const std::string& many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

// Parts of a sentence, and names under what happened to them.
class Words {
 public:
  void Say(std::string part) { parts_.push_back(std::move(part)); }

  void Say(const std::vector<std::string>& names, const std::string& happened) {
    if (names.empty()) return;
    if (names.size() > kNamed) return Say(Count(names.size(), "member ", "members ") + happened);
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    Say(all + " " + happened);
  }

  std::string Joined() const {
    std::string all;
    for (const std::string& part : parts_) all += (all.empty() ? "" : "; ") + part;
    return all.empty() ? "nothing of note" : all;
  }

 private:
  std::vector<std::string> parts_;
};

void SayMembers(const Layout& before, const Layout& after, Words* words) {
  std::vector<std::string> joined, left, renamed, down, returned, draining, kept, changed, retired;
  for (const Member& now : after.members) {
    const MemberIndex index = before.IndexOf(now.id);
    if (index == kNoMember) {
      joined.push_back(now.name);
      continue;
    }
    const Member& then = before.members[index];
    if (now.name != then.name) renamed.push_back(then.name + " is " + now.name);
    if (now.down != then.down) (now.down ? down : returned).push_back(now.name);
    if (now.draining != then.draining) (now.draining ? draining : kept).push_back(now.name);
    const bool facts = now.address != then.address || now.weight != then.weight ||
                       now.failure_domain != then.failure_domain || now.certificate_name != then.certificate_name;
    if (facts) changed.push_back(now.name);
  }
  for (const Member& then : before.members) {
    if (after.IndexOf(then.id) == kNoMember) (after.RetiredAt(then.id) ? retired : left).push_back(then.name);
  }
  words->Say(joined, "joined");
  words->Say(renamed, "now");
  words->Say(retired, "given up for good");
  words->Say(down, "given up");
  words->Say(returned, "returned");
  words->Say(draining, "being drained");
  words->Say(kept, "no longer drained");
  words->Say(changed, "with a new address, weight, domain or certificate");
  words->Say(left, "left");
}

// By number in `from`, the number in `to`.
std::vector<MemberIndex> Numbers(const Layout& from, const Layout& to) {
  std::vector<MemberIndex> numbers;
  for (const Member& member : from.members) numbers.push_back(to.IndexOf(member.id));
  return numbers;
}

// How many of `list` are not in `other`, once numbered as there.
std::uint64_t Missing(const MemberList& list, const std::vector<MemberIndex>& numbers,
                      const MemberList& other) {
  return static_cast<std::uint64_t>(std::count_if(list.begin(), list.end(), [&](MemberIndex m) {
    return std::find(other.begin(), other.end(), numbers[m]) == other.end();
  }));
}

void SayGroups(const Layout& before, const Layout& after, Words* words) {
  const std::vector<MemberIndex> to_after = Numbers(before, after);
  const std::vector<MemberIndex> to_before = Numbers(after, before);
  std::uint64_t added = 0, removed = 0, primaries = 0, renewed = 0, goals = 0, merging = 0, merged = 0;
  for (PartitionId p = 0; p < std::min(before.partition_count(), after.partition_count()); ++p) {
    const Group& then = before.group(p);
    const Group& now = after.group(p);
    const std::uint64_t comes = Missing(now.in_sync, to_before, then.in_sync);
    const std::uint64_t goes = Missing(then.in_sync, to_after, now.in_sync);
    const bool moved = to_after[then.primary] != now.primary;
    added += comes;
    removed += goes;
    primaries += moved;
    merging += then.survivors.empty() && !now.survivors.empty();
    merged += !then.survivors.empty() && now.survivors.empty();
    renewed += now.term != then.term && comes + goes == 0 && !moved;
    goals += !std::equal(then.goal.begin(), then.goal.end(), now.goal.begin(), now.goal.end(),
                         [&](MemberIndex a, MemberIndex b) { return to_after[a] == b; });
  }
  if (goals > 0) words->Say("new places for " + Count(goals, "partition", "partitions"));
  if (added > 0) words->Say(Count(added, "copy", "copies") + " complete");
  if (removed > 0) words->Say(Count(removed, "copy", "copies") + " no longer counted");
  if (primaries > 0) words->Say(Count(primaries, "primary", "primaries") + " moved");
  if (merging > 0) words->Say(Count(merging, "partition", "partitions") + " to be merged from survivors");
  if (merged > 0) words->Say(Count(merged, "partition", "partitions") + " merged from survivors");
  if (renewed > 0) words->Say(Count(renewed, "term", "terms") + " renewed");
}

void SaySettings(const Settings& then, const Settings& now, Words* words) {
  if (now.min_copies != then.min_copies) words->Say("writes need " + Count(now.min_copies, "copy", "copies"));
  if (now.resync_paused != then.resync_paused) words->Say(now.resync_paused ? "resync paused" : "resync resumed");
  if (now.scrub_paused != then.scrub_paused) words->Say(now.scrub_paused ? "scrub paused" : "scrub resumed");
  if (now.scrub_asked != then.scrub_asked) words->Say("a pass of scrub asked for");
  if (now.resync_limit_bytes_per_second != then.resync_limit_bytes_per_second) {
    words->Say("resync limit " + std::to_string(now.resync_limit_bytes_per_second) + " B/s");
  }
}

void SayTokens(const Layout& before, const Layout& after, Words* words) {
  const auto find = [](const Layout& in, const std::string& hash) -> const JoinToken* {
    const auto found = std::find_if(in.join_tokens.begin(), in.join_tokens.end(), [&](const JoinToken& t) { return t.hash == hash; });
    return found == in.join_tokens.end() ? nullptr : &*found;
  };
  for (const JoinToken& now : after.join_tokens) {
    const JoinToken* then = find(before, now.hash);
    if (!then) words->Say("join token " + ShortId(now) + " made");
    if (!now.used.empty() && (!then || then->used.empty())) words->Say("join token " + ShortId(now) + " used by " + now.used_by);
  }
  for (const JoinToken& then : before.join_tokens) {
    if (!find(after, then.hash)) words->Say("join token " + ShortId(then) + " ended");
  }
}

std::string Voters(const Layout& layout) {
  std::string names;
  for (MemberIndex v : layout.voters) names += (names.empty() ? "" : ", ") + layout.members[v].name;
  return names;
}

// By their ids: a member's place differs from layout to layout.
std::set<NodeId> VoterIds(const Layout& layout) {
  std::set<NodeId> ids;
  for (MemberIndex v : layout.voters) ids.insert(layout.members[v].id);
  return ids;
}

}  // namespace

std::string WhatChanged(const Layout& before, const Layout& after) {
  Words words;
  if (after.forced_epoch != before.forced_epoch) words.Say("forced by an operator");
  SayMembers(before, after, &words);
  SayGroups(before, after, &words);
  SaySettings(before.settings, after.settings, &words);
  SayTokens(before, after, &words);
  if (VoterIds(before) != VoterIds(after)) words.Say("voters are " + Voters(after));
  return words.Joined();
}

}  // namespace coffer::cluster
