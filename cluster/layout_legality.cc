// What may follow a layout. Asked by the proposer and, independently, by every acceptor.
#include <algorithm>
#include <string>
#include <vector>

#include "cluster/layout.h"

#include "cluster/planted_bug.h"

namespace coffer::cluster {
namespace {

using Complaint = std::optional<std::string>;

// Compares two layouts whose members may be numbered differently: all questions are put in the numbers of `current`.
class Successor {
 public:
  Successor(const Layout& current, const Layout& next) : current_(current), next_(next) {
    for (const Member& member : next.members) old_index_.push_back(current.IndexOf(member.id));
  }

  Complaint WhyIllegal() const {
    if (auto why = WhyHeaderIllegal()) return why;
    if (auto why = WhyMembersIllegal()) return why;
    for (PartitionId p = 0; p < current_.partition_count(); ++p) {
      if (auto why = WhyGroupIllegal(p)) return why;
    }
    return std::nullopt;
  }

 private:
  bool forced() const { return next_.forced_epoch == next_.epoch; }

  Complaint WhyHeaderIllegal() const {
    const std::uint64_t skipped = forced() && next_.epoch > current_.epoch ? next_.epoch.value - current_.epoch.value - 1 : 0;
    if (next_.epoch != current_.epoch.Next() && skipped != kForcedEpochs) {
      return "epoch " + std::to_string(next_.epoch.value) + " does not follow epoch " +
             std::to_string(current_.epoch.value);
    }
    if (next_.cluster != current_.cluster) return "it belongs to another cluster";
    if (next_.partition_count() != current_.partition_count()) return "the number of partitions can't change";
    if (!forced() && next_.forced_epoch != current_.forced_epoch) return "it rewrites when the layout was last forced";
    if (next_.retired.size() < current_.retired.size() || (!forced() && next_.retired.size() != current_.retired.size()) ||
        !std::equal(current_.retired.begin(), current_.retired.end(), next_.retired.begin())) {
      return "it rewrites who was given up by force";
    }
    return std::nullopt;
  }

  Complaint WhyMembersIllegal() const {
    if (forced()) return std::nullopt;
    std::vector<bool> stays(current_.members.size(), false);
    for (MemberIndex old : old_index_) {
      if (old != kNoMember) stays[old] = true;
    }
    for (PartitionId p = 0; p < current_.partition_count(); ++p) {
      for (MemberIndex m : current_.group(p).in_sync) {
        if (!stays[m])
          return Say(p, "member " + current_.members[m].name + " is removed from the layout while in_sync");
      }
      for (MemberIndex m : current_.group(p).survivors) {
        if (!stays[m])
          return Say(p, "member " + current_.members[m].name + " is removed from the layout while its copy is to be merged");
      }
    }
    return std::nullopt;
  }

  // In the numbers of `current`, ascending; a member that is new to the layout becomes kNoMember.
  MemberList OldIndices(const MemberList& list) const {
    MemberList old;
    for (MemberIndex m : list) old.push_back(old_index_[m]);
    std::sort(old.begin(), old.end());
    return old;
  }

  // L10: what a forced layout says of survivors stands until the primary has merged them, which is a change of the term.
  Complaint WhySurvivorsIllegal(PartitionId p) const {
    const Group& before = current_.group(p);
    const Group& after = next_.group(p);
    if (forced() || (before.survivors == OldIndices(after.survivors) && before.loss == after.loss)) return std::nullopt;
    if (before.survivors.empty()) return Say(p, "only a forced layout names survivors, and what was lost");
    if (!after.survivors.empty()) return Say(p, "the survivors that are to be merged are others");
    if (after.term.value != next_.epoch.value) return Say(p, "survivors count as merged, but the term is not the new epoch");
    return std::nullopt;
  }

  Complaint WhyGroupIllegal(PartitionId p) const {
    if (auto why = WhySurvivorsIllegal(p)) return why;
    const Group& before = current_.group(p);
    const Group& after = next_.group(p);
    const MemberList in_sync = OldIndices(after.in_sync);
    const MemberIndex primary = old_index_[after.primary];
    if (in_sync == before.in_sync && primary == before.primary) return WhyTermIllegal(p);
    if (after.term.value != next_.epoch.value) return Say(p, "the group changed but its term is not the new epoch");
    if (forced() || Planted(Bug::kAnyoneIsPromoted)) return std::nullopt;
    if (!before.InSync(primary))
      return Say(p, "rule (a): the new primary " + NewName(after.primary) + " was not in_sync");
    return WhyInSyncIllegal(p, in_sync);
  }

  // A group that did not change keeps its term or is renewed (rule (e)).
  Complaint WhyTermIllegal(PartitionId p) const {
    const Term after = next_.group(p).term;
    if (after == current_.group(p).term || after.value == next_.epoch.value) return std::nullopt;
    return Say(p, "rule (e): the term of an unchanged group may only stay or become the new epoch");
  }

  // That an old member stays follows from (a): the primary is one.
  Complaint WhyInSyncIllegal(PartitionId p, const MemberList& in_sync) const {
    const Group& before = current_.group(p);
    const auto kept = std::count_if(in_sync.begin(), in_sync.end(), [&](MemberIndex m) { return before.InSync(m); });
    const auto added = static_cast<std::ptrdiff_t>(in_sync.size()) - kept;
    if (added > 1) return Say(p, "rule (b): " + std::to_string(added) + " members are added to in_sync, one may be");
    return std::nullopt;
  }

  static std::string Say(PartitionId p, const std::string& what) {
    return "partition " + std::to_string(p) + ": " + what;
  }
  const std::string& NewName(MemberIndex m) const { return next_.members[m].name; }

  const Layout& current_;
  const Layout& next_;
  std::vector<MemberIndex> old_index_;  // by index in next; kNoMember: new to the layout
};

}  // namespace

std::optional<std::string> WhyIllegal(const Layout& current, const Layout& next) {
  if (auto why = WhyMalformed(next)) return "malformed: " + *why;
  return Successor(current, next).WhyIllegal();
}

}  // namespace coffer::cluster
