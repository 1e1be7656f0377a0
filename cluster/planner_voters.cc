// Who votes on the next layout: few, living, odd in number, changed one at a time.
#include <algorithm>
#include <vector>

#include "cluster/planner_draft.h"

namespace coffer::cluster {
namespace {

// Order of preference; members that are neither voters nor candidates have none.
enum class Rank { kVoter, kCandidate, kDrainingVoter, kDrainingCandidate, kLastResort, kNone };

struct Census {
  std::size_t storage = 0;  // to be counted on: neither given up nor about to leave
  std::size_t all_storage = 0;
  bool witnesses_vote = false;  // they do where two storage members alone could not lose one
  bool has_witness = false;
};

Census Count(const Draft& draft) {
  Census census;
  for (const Member& member : draft.next.members) {
    census.all_storage += !member.witness;
    census.storage += !member.witness && !member.down && !member.draining;
    census.has_witness = census.has_witness || member.witness;
  }
  census.witnesses_vote = census.all_storage >= 2 && census.storage <= 2;
  return census;
}

std::size_t OddUpTo(std::size_t n) {
  return n % 2 == 1 ? n : n - 1;
}

// How many voters there should be.
std::size_t WantedVoters(const Census& census, std::size_t voters_wanted) {
  const std::size_t witness = census.witnesses_vote && census.has_witness ? 1 : 0;
  const std::size_t electors = census.storage + witness;
  const std::size_t at_least = census.all_storage + witness >= 3 ? 3 : 1;
  if (electors <= 2) return std::max(electors, at_least);
  if (electors <= 4) return 3;
  return std::min(OddUpTo(std::max<std::size_t>(voters_wanted, 3)), OddUpTo(electors));
}

class Election {
 public:
  explicit Election(Draft* draft) : draft_(*draft), voters_(draft->next.voters), census_(Count(*draft)) {
    wanted_ = std::max<std::size_t>(WantedVoters(census_, draft->next.settings.voters_wanted), 1);
    MemberList order;
    for (MemberIndex m = 0; m < draft_.member_count(); ++m) {
      if (RankOf(m) != Rank::kNone) order.push_back(m);
    }
    std::stable_sort(order.begin(), order.end(),
                     [this](MemberIndex a, MemberIndex b) { return RankOf(a) < RankOf(b); });
    if (order.size() > wanted_) order.resize(wanted_);
    elected_ = std::move(order);
  }

  // One voter comes and one goes at most, so that the new voters' majority always overlaps with those who already
  // decide.
  void Step() {
    const auto comes = std::find_if(elected_.begin(), elected_.end(), [this](MemberIndex m) { return !Votes(m); });
    if (comes != elected_.end()) {
      voters_.insert(std::lower_bound(voters_.begin(), voters_.end(), *comes), *comes);
      if (voters_.size() <= wanted_) return;
    }
    MemberIndex goes = kNoMember;  // the least wanted of those who are not elected
    for (MemberIndex m : voters_) {
      const bool elected = std::find(elected_.begin(), elected_.end(), m) != elected_.end();
      if (!elected && (goes == kNoMember || RankOf(goes) < RankOf(m))) goes = m;
    }
    if (goes != kNoMember && voters_.size() > 1) Remove(&voters_, goes);
  }

  // After a forced change only the living vote, at once.
  void TakeAllLiving() {
    RemoveIf(&voters_, [this](MemberIndex m) { return !draft_.Alive(m); });
    for (MemberIndex m : elected_) {
      if (draft_.Alive(m) && !Votes(m)) voters_.insert(std::lower_bound(voters_.begin(), voters_.end(), m), m);
    }
  }

 private:
  bool Votes(MemberIndex m) const { return std::binary_search(voters_.begin(), voters_.end(), m); }

  Rank RankOf(MemberIndex m) const {
    const Member& member = draft_.next.members[m];
    const bool eligible = !member.witness || census_.witnesses_vote;
    if (Votes(m)) {
      if (!eligible || draft_.Dead(m)) return Rank::kLastResort;
      return member.draining ? Rank::kDrainingVoter : Rank::kVoter;
    }
    if (!eligible || !draft_.Alive(m)) return Rank::kNone;
    return member.draining ? Rank::kDrainingCandidate : Rank::kCandidate;
  }

  const Draft& draft_;
  MemberList& voters_;
  const Census census_;
  std::size_t wanted_ = 1;
  MemberList elected_;
};

}  // namespace

bool VotersCanSpare(const Layout& layout, const std::map<NodeId, PlannerMember>& members, MemberIndex m) {
  if (layout.voters.size() > 3 || !layout.IsVoter(layout.members[m].id)) return true;
  std::size_t others = 0;
  for (const Member& other : layout.members) {
    if (other.witness || other.id == layout.members[m].id) continue;
    ++others;
    const auto found = members.find(other.id);
    if (found != members.end() && found->second.alive && !layout.IsVoter(other.id)) return true;
  }
  return others < 3;
}

void UpdateVoters(Draft* draft) {
  Election election(draft);
  if (draft->forced) {
    election.TakeAllLiving();
  } else {
    election.Step();
  }
}

}  // namespace coffer::cluster
