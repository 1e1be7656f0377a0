// Who is in the layout: joining, being given up, returning, being replaced under the same name, being forgotten.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cluster/planner_draft.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

// The end of the name that a member gets when a new one takes over its name; how a superseded member is recognised
// later.
std::string OldSuffix(const NodeId& id) {
  return " (old " + Short(id) + ")";
}

bool IsSuperseded(const Member& member) {
  return member.name.ends_with(OldSuffix(member.id));
}

bool FitsLayout(const PlannerMember& facts) {
  return !facts.id.IsZero() && !facts.name.empty() && facts.name.size() <= kMaxTextBytes &&
         facts.address.size() <= kMaxTextBytes && facts.failure_domain.size() <= kMaxTextBytes &&
         facts.certificate_name.size() <= kMaxTextBytes && facts.weight <= kMaxWeight;
}

Member ToMember(const PlannerMember& facts) {
  Member member;
  member.id = facts.id;
  member.name = facts.name;
  member.address = facts.address;
  member.weight = facts.witness ? 0 : facts.weight;
  member.failure_domain = facts.failure_domain;
  member.certificate_name = facts.certificate_name;
  member.witness = facts.witness;
  return member;
}

// At most so many bytes of a UTF-8 text, no character cut in two: a layout with a broken text could not be decoded.
std::string Cut(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

// Renames the dead member that has the name; it will not come back: a node keeps its id as long as it keeps its data.
void Supersede(Draft* draft, MemberIndex old) {
  Member& member = draft->next.members[old];
  const std::string suffix = OldSuffix(member.id);
  member.name = Cut(member.name, kMaxTextBytes - suffix.size()) + suffix;
  if (member.witness || member.down) return;
  draft->MarkDown(old);
  draft->ChangeGoals(member.name + " is replaced");
}

// Takes a new member in, unless its name is that of a member that is not known to be dead.
void Join(Draft* draft, const PlannerMember& facts) {
  if (!FitsLayout(facts) || draft->member_count() >= kMaxMembers) return;
  const MemberIndex namesake = draft->next.IndexOfName(facts.name);
  if (namesake != kNoMember && !draft->Dead(namesake)) return;
  if (namesake != kNoMember) Supersede(draft, namesake);
  draft->Add(ToMember(facts), &facts);
  if (draft->next.members.back().TakesData()) draft->ChangeGoals(facts.name + " joined");
}

bool NamedInSync(const Layout& layout, MemberIndex m) {
  return std::any_of(layout.partitions.begin(), layout.partitions.end(), [m](const Group& g) {
    return g.InSync(m) || std::find(g.survivors.begin(), g.survivors.end(), m) != g.survivors.end();
  });
}

bool NamedInGoal(const Layout& layout, MemberIndex m) {
  return std::any_of(layout.partitions.begin(), layout.partitions.end(), [m](const Group& g) { return g.InGoal(m); });
}

// What every member is called after the removal; kNoMember for the removed.
std::vector<MemberIndex> NewNumbers(const std::vector<bool>& removed) {
  std::vector<MemberIndex> numbers(removed.size(), kNoMember);
  MemberIndex count = 0;
  for (std::size_t m = 0; m < removed.size(); ++m) {
    if (!removed[m]) numbers[m] = count++;
  }
  return numbers;
}

// Order-preserving, so ascending lists stay ascending.
void Renumber(const std::vector<MemberIndex>& numbers, MemberList* list) {
  for (MemberIndex& m : *list) m = numbers[m];
  Remove(list, kNoMember);
}

template <class T>
void Erase(const std::vector<bool>& removed, std::vector<T>* list) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < list->size(); ++i) {
    if (!removed[i]) std::swap((*list)[kept++], (*list)[i]);
  }
  list->erase(list->begin() + static_cast<std::ptrdiff_t>(kept), list->end());
}

}  // namespace

void JoinNewMembers(Draft* draft) {
  for (const auto& [id, facts] : draft->members) {
    if (facts.alive && draft->next.IndexOf(id) == kNoMember && !draft->next.RetiredAt(id)) Join(draft, facts);
  }
}

std::optional<std::string> WhyNotJoining(const Layout& current, const std::map<NodeId, PlannerMember>& members,
                                         const NodeId& id) {
  const auto found = members.find(id);
  if (found == members.end() || current.IndexOf(id) != kNoMember) return std::nullopt;
  const PlannerMember& facts = found->second;
  if (!facts.alive) return "it does not answer";
  if (const auto epoch = current.RetiredAt(id)) {
    return "`layout force` gave it up with epoch " + std::to_string(epoch->value) +
           "; its id never acts again. Start it once more: it sets its data aside and joins as a new node";
  }
  if (!FitsLayout(facts))
    return "its name, address, failure domain or weight is missing or too large: correct its configuration";
  if (current.members.size() >= kMaxMembers)
    return "the cluster has " + std::to_string(kMaxMembers) + " members, the most it can have";
  const MemberIndex namesake = current.IndexOfName(facts.name);
  if (namesake == kNoMember) return std::nullopt;
  const auto other = members.find(current.members[namesake].id);
  if (other != members.end() && !other->second.alive && !other->second.suspect) return std::nullopt;
  return "member " + Short(current.members[namesake].id) + " has the name " + facts.name +
         " and is not known to be dead: choose another name, or stop the other one";
}

void TakeOverFailureDomains(Draft* draft) {
  for (MemberIndex m = 0; m < draft->member_count(); ++m) {
    Member& member = draft->next.members[m];
    if (!draft->Alive(m) || !FitsLayout(*draft->seen[m]) || member.failure_domain == draft->seen[m]->failure_domain)
      continue;
    member.failure_domain = draft->seen[m]->failure_domain;
    if (member.TakesData()) draft->ChangeGoals(member.name + " changed its failure domain");
  }
}

void MarkDownAndReturned(Draft* draft) {
  for (MemberIndex m = 0; m < draft->member_count(); ++m) {
    Member& member = draft->next.members[m];
    if (member.witness) continue;
    if (member.down && draft->Alive(m)) {
      member.down = false;  // `former` is cleared once the goals have been made with it
      if (member.TakesData()) draft->ChangeGoals(member.name + " returned");
    } else if (!member.down && draft->DeadForLong(m) && draft->CountLivingTakers() > 0) {
      const bool took_data = member.TakesData();
      draft->MarkDown(m);
      if (took_data) draft->ChangeGoals(member.name + " down");
    }
  }
}

void FindSuperseded(Draft* draft) {
  for (MemberIndex m = 0; m < draft->member_count(); ++m) {
    if (IsSuperseded(draft->next.members[m]) && draft->DeadForLong(m)) draft->forget[m] = true;
  }
}

void RemoveForgotten(Draft* draft) {
  Layout& next = draft->next;
  std::vector<bool>& removed = draft->forget;
  for (MemberIndex m = 0; m < removed.size(); ++m) {
    // Legality wants it gone from every in_sync one epoch before: the removal of a holder is a decision of its own.
    if (!removed[m] || draft->forced) continue;  // force names nobody any more whom it gave up
    removed[m] = !NamedInSync(draft->current, m) && !NamedInSync(next, m) && !NamedInGoal(next, m) &&
                 VotersCanSpare(next, draft->members, m);
    if (!removed[m]) RULE("L8");
  }
  if (std::find(removed.begin(), removed.end(), true) == removed.end()) return;
  const std::vector<MemberIndex> numbers = NewNumbers(removed);
  for (Group& group : next.partitions) {
    group.primary = numbers[group.primary];
    Renumber(numbers, &group.in_sync);
    Renumber(numbers, &group.goal);
    Renumber(numbers, &group.survivors);
  }
  Renumber(numbers, &next.voters);
  Erase(removed, &next.members);
  Erase(removed, &draft->seen);
  removed.assign(next.members.size(), false);
}

void TakeOverFacts(Draft* draft) {
  for (MemberIndex m = 0; m < draft->member_count(); ++m) {
    if (!draft->Alive(m) || !FitsLayout(*draft->seen[m])) continue;
    draft->next.members[m].address = draft->seen[m]->address;
    draft->next.members[m].certificate_name = draft->seen[m]->certificate_name;
  }
}

}  // namespace coffer::cluster
