// What an operator may ask for: whether it can be done, and what it changes in the successor.
#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/planner_draft.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

using Kind = OperatorChange::Kind;
using Refusal = std::optional<std::string>;
using Members = std::map<NodeId, PlannerMember>;

bool IsAlive(const Members& members, const Member& member) {
  const auto found = members.find(member.id);
  return found != members.end() && found->second.alive;
}

bool IsDead(const Members& members, const Member& member) {
  const auto found = members.find(member.id);
  return found != members.end() && !found->second.alive && !found->second.suspect;
}

std::size_t CountTakers(const Layout& layout) {
  return std::count_if(layout.members.begin(), layout.members.end(), [](const Member& m) { return m.TakesData(); });
}

Refusal WhyUnknown(const Layout& layout, const std::string& name) {
  if (layout.IndexOfName(name) != kNoMember) return std::nullopt;
  std::string known;
  for (const Member& member : layout.members) known += (known.empty() ? "" : ", ") + member.name;
  return "There is no member named \"" + name + "\"; the members are " + known + ".";
}

Refusal WhyNoDrain(const Layout& layout, const Member& member) {
  if (member.witness) return member.name + " is a witness and holds no data: stop it, then forget it.";
  if (member.draining) return std::nullopt;
  // One that is given up takes no data now, and would not when it returns.
  const std::size_t left = CountTakers(layout) - (member.TakesData() ? 1 : 0);
  if (left == 0) return member.name + " is the only node that takes data: add another node first.";
  if (left == 1 && layout.settings.min_copies > 1) {
    return "Without " + member.name +
           " only one node would take data, and writes need 2 copies: add another node first, or set "
           "min copies to 1.";
  }
  return std::nullopt;
}

Refusal WhyNoForget(const Layout& layout, const Members& members, MemberIndex index) {
  const Member& member = layout.members[index];
  if (IsAlive(members, member)) return member.name + " is running and would join again: " + (member.draining ? "" : "drain it and ") + "stop it first.";
  if (!IsDead(members, member)) return member.name + " is not known to be dead: wait a few seconds and try again.";
  if (std::any_of(layout.partitions.begin(), layout.partitions.end(), [index](const Group& g) {
        return std::find(g.survivors.begin(), g.survivors.end(), index) != g.survivors.end();
      })) {
    return member.name + " holds what is to be merged since the layout was forced: start it again, or force the layout once more if it is lost.";
  }
  if (layout.members.size() == 1) return member.name + " is the only member: a cluster without members does not exist.";
  if (!VotersCanSpare(layout, members, index)) {
    return member.name +
           " is one of three voters and no other node that answers can take its place: start another node first.";
  }
  const auto count = std::count_if(layout.partitions.begin(), layout.partitions.end(),
                                   [index](const Group& g) { return g.InSync(index); });
  if (count == 0) return std::nullopt;
  const auto only = std::count_if(layout.partitions.begin(), layout.partitions.end(), [&](const Group& g) {
    return g.InSync(index) && std::none_of(g.in_sync.begin(), g.in_sync.end(),
                                           [&](MemberIndex m) { return IsAlive(members, layout.members[m]); });
  });
  if (only > 0) {
    return member.name + " holds data of " + std::to_string(only) +
           " partitions that no running member has in full: start it again, or force the layout if it is lost.";
  }
  return member.name + " is still listed as a holder of " + std::to_string(count) +
         " partitions and is being removed from them: try again in a moment.";
}

Refusal WhyNoReweight(const Member& member, std::uint64_t weight) {
  if (member.witness) return member.name + " is a witness and holds no data: it has no weight.";
  if (weight == 0) return "A weight of 0 is not possible: use drain to empty " + member.name + ".";
  if (weight > kMaxWeight) return "A weight is at most " + std::to_string(kMaxWeight) + ".";
  return std::nullopt;
}

Refusal WhyNoMinCopies(const Layout& layout, std::uint64_t copies) {
  if (copies != 1 && copies != 2) return "Min copies is 1 or 2.";
  if (copies == 2 && CountTakers(layout) < 2)
    return "Only one node takes data, so nothing could be written with 2 copies: add another node first.";
  return std::nullopt;
}

// Whether the statement names exactly those who do not answer.
Refusal WhyWrongStatement(const Layout& layout, const Members& members, const std::string& statement) {
  const auto names = NamesGivenUp(statement);
  if (!names) return "The statement must be \"I am sure that NAME[, NAME...] is off and will never return\".";
  for (const std::string& name : *names) {
    if (auto why = WhyUnknown(layout, name)) return why;
    if (IsAlive(members, layout.members[layout.IndexOfName(name)])) {
      return name + " answers: only what is off for good can be given up. Stop it first if it is not to be part of the cluster.";
    }
  }
  for (const Member& member : layout.members) {
    if (IsAlive(members, member) || std::find(names->begin(), names->end(), member.name) != names->end()) continue;
    return member.name + " does not answer either: start it, or name it as well if it is off for good.";
  }
  if (layout.retired.size() + names->size() > kMaxRetired) {
    return "Too many members were given up by force since the cluster was formed: form a new one and copy the data.";
  }
  return std::nullopt;
}

Refusal WhyNoForce(const Layout& layout, const Members& members, const std::string& statement) {
  const auto alive = [&](MemberIndex m) { return IsAlive(members, layout.members[m]); };
  const auto voters = static_cast<std::size_t>(std::count_if(layout.voters.begin(), layout.voters.end(), alive));
  const bool all_held = std::all_of(layout.partitions.begin(), layout.partitions.end(), [&](const Group& g) {
    return std::any_of(g.in_sync.begin(), g.in_sync.end(), alive) &&
           std::all_of(g.survivors.begin(), g.survivors.end(), alive);
  });
  if (voters >= layout.Quorum() && all_held) {
    return "A majority of voters answers and every partition has a running member that holds all of it: nothing has to "
           "be forced.";
  }
  for (MemberIndex m = 0; m < layout.members.size(); ++m) {
    if (alive(m) && !layout.members[m].witness) return WhyWrongStatement(layout, members, statement);
  }
  return "No storage node answers: start one first.";
}

// Everybody who does not answer is given up for good: the operator stated that they are off.
void ApplyForce(Draft* draft, std::uint64_t skip) {
  draft->forced = true;
  draft->next.epoch = Epoch(draft->next.epoch.value + skip);
  draft->next.forced_epoch = draft->next.epoch;
  for (MemberIndex m = 0; m < draft->member_count(); ++m) {
    Member& member = draft->next.members[m];
    if (draft->Alive(m)) continue;
    RULE("L9 given up");
    draft->forget[m] = true;
    draft->next.retired.push_back({member.id, member.name, draft->next.epoch});
    if (member.witness || member.down) continue;
    const bool took_data = member.TakesData();
    draft->MarkDown(m);
    if (took_data) draft->ChangeGoals(member.name + " given up by force");
  }
  // One node alone can't make two copies; the setting rises by itself again when there are two.
  if (draft->CountTakers() > 1) return;
  draft->next.settings.min_copies = 1;
  draft->next.settings.min_copies_chosen = false;
}

void ApplyToMember(Draft* draft, const OperatorChange& change) {
  // By its name in the present layout: in the successor somebody who joins may have taken it over.
  const MemberIndex m = draft->current.IndexOfName(change.node);
  Member& member = draft->next.members[m];
  const Member before = member;
  if (change.kind == Kind::kDrain) member.draining = true;
  if (change.kind == Kind::kUndrain) member.draining = false;
  if (change.kind == Kind::kReweight) member.weight = static_cast<std::uint32_t>(change.number);
  if (change.kind == Kind::kForget) draft->forget[m] = true;
  if (change.kind == Kind::kForget && !member.witness && !member.down) draft->MarkDown(m);
  if (member.TakesData() == before.TakesData() && member.weight == before.weight) return;
  switch (change.kind) {
    case Kind::kDrain:
      return draft->ChangeGoals(member.name + " drains");
    case Kind::kUndrain:
      return draft->ChangeGoals(member.name + " takes data again");
    case Kind::kForget:
      return draft->ChangeGoals(member.name + " forgotten");
    default:
      return draft->ChangeGoals(member.name + " weighs " + std::to_string(member.weight));
  }
}

}  // namespace

std::optional<std::vector<std::string>> NamesGivenUp(const std::string& statement) {
  static constexpr std::string_view kBefore = "I am sure that ";
  static constexpr std::string_view kAfter = " is off and will never return";
  if (!statement.starts_with(kBefore) || !statement.ends_with(kAfter) || statement.size() <= kBefore.size() + kAfter.size()) {
    return std::nullopt;
  }
  std::string list = statement.substr(kBefore.size(), statement.size() - kBefore.size() - kAfter.size()) + ", ";
  std::vector<std::string> names;
  for (std::size_t begin = 0, end; (end = list.find(", ", begin)) != std::string::npos; begin = end + 2) {
    if (end == begin) return std::nullopt;
    names.push_back(list.substr(begin, end - begin));
  }
  return names;
}

std::optional<std::string> WhyRefused(const Layout& current, const std::map<NodeId, PlannerMember>& members,
                                      const OperatorChange& change) {
  const bool names_node = change.kind == Kind::kDrain || change.kind == Kind::kUndrain ||
                          change.kind == Kind::kForget || change.kind == Kind::kReweight;
  const MemberIndex m = names_node ? current.IndexOfName(change.node) : kNoMember;
  if (names_node && m == kNoMember) return WhyUnknown(current, change.node);
  switch (change.kind) {
    case Kind::kDrain:
      return WhyNoDrain(current, current.members[m]);
    case Kind::kUndrain:
      if (!current.members[m].draining) return change.node + " is not being drained.";
      return std::nullopt;
    case Kind::kForget:
      return WhyNoForget(current, members, m);
    case Kind::kReweight:
      return WhyNoReweight(current.members[m], change.number);
    case Kind::kFresh:
      if (CountTakers(current) == 0) return "No node takes data: there is nothing to lay out.";
      return std::nullopt;
    case Kind::kMinCopies:
      return WhyNoMinCopies(current, change.number);
    case Kind::kForce:
      return WhyNoForce(current, members, change.node);
    case Kind::kJoinToken:
      if (const auto refusal = WhyRefused(current, change.token)) return refusal->message;
      return std::nullopt;
    case Kind::kNone:
    case Kind::kPauseResync:
    case Kind::kResumeResync:
    case Kind::kLimitResync:
    case Kind::kStartScrub:
    case Kind::kPauseScrub:
    case Kind::kResumeScrub:
      return std::nullopt;
  }
  return "This version does not know the change.";
}

void ApplyOperatorChange(Draft* draft, const OperatorChange& change) {
  if (change.kind == Kind::kNone || WhyRefused(draft->current, draft->members, change)) return;
  Settings& settings = draft->next.settings;
  switch (change.kind) {
    case Kind::kDrain:
    case Kind::kUndrain:
    case Kind::kForget:
    case Kind::kReweight:
      return ApplyToMember(draft, change);
    case Kind::kFresh:
      draft->fresh = true;
      return draft->ChangeGoals("fresh layout");
    case Kind::kMinCopies:
      settings.min_copies = static_cast<std::uint32_t>(change.number);
      settings.min_copies_chosen = true;
      return;
    case Kind::kPauseResync:
      settings.resync_paused = true;
      return;
    case Kind::kResumeResync:
      settings.resync_paused = false;
      return;
    case Kind::kLimitResync:
      settings.resync_limit_bytes_per_second = change.number;
      return;
    case Kind::kStartScrub:
      settings.scrub_paused = false;
      settings.scrub_asked = draft->current.epoch.Next();
      return;
    case Kind::kPauseScrub:
      settings.scrub_paused = true;
      return;
    case Kind::kResumeScrub:
      settings.scrub_paused = false;
      return;
    case Kind::kForce:
      return ApplyForce(draft, change.number);
    case Kind::kJoinToken:
      return Apply(change.token, &draft->next);
    case Kind::kNone:
      return;
  }
}

}  // namespace coffer::cluster
