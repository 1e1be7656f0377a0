// What the next layout should be: a pure function of the present one and of what membership says.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/join_tokens.h"
#include "cluster/layout.h"

namespace coffer::cluster {

// What a member says of its disk (L11).
enum class DiskPace { kUnknown, kUsual, kSlow };

// A member as gossip has it, reduced to what planning needs.
struct PlannerMember {
  NodeId id;
  std::string name;
  std::string address;
  std::uint32_t weight = 100;
  std::string failure_domain;
  std::string certificate_name;
  bool witness = false;
  bool alive = false;    // answers now
  bool suspect = false;  // does not answer, not given up
  Duration dead_for{};   // how long it has been dead; 0 while alive or suspect
  std::uint64_t blocks = 0;
  DiskPace disk = DiskPace::kUsual;
};

// A primary has merged the survivors of a forced layout (L10). `loss.epoch` is filled in by the planner.
struct MergedSurvivors {
  Term term;
  Loss loss;
};

// A primary gets no answer from this member of its group, though others may (L5.1).
struct Removal {
  Term term;
  NodeId member;
};

// Requests handed in by primaries, keyed by partition; stale terms are ignored.
struct PlannerRequests {
  std::map<PartitionId, ProposedAdd> adds;
  std::map<PartitionId, Term> renewals;
  std::map<PartitionId, Removal> removals;
  std::map<PartitionId, MergedSurvivors> merged;
};

// A change an operator asked for.
struct OperatorChange {
  enum class Kind {
    kNone,
    kDrain,
    kUndrain,
    kForget,
    kReweight,
    kFresh,
    kMinCopies,
    kPauseResync,
    kResumeResync,
    kLimitResync,
    kForce,
    kStartScrub,
    kPauseScrub,
    kResumeScrub,
    kJoinToken
  };
  Kind kind = Kind::kNone;
  std::string node;          // drain, undrain, forget, reweight: its name; force: the operator's statement
  std::uint64_t number = 0;  // reweight: weight; min copies: 1 or 2; limit: bytes per second; force: epochs to skip
  JoinTokenChange token;     // join token
};

struct PlannerConfig {
  // How long a dead member keeps its place in the goals: a restart is not a loss.
  Duration resync_delay = std::chrono::seconds(10);
};

// The successor layout, or nothing when all is as it should be. All changes are batched into one successor:
//  1. members that answer and are not in the layout join (storage and witness; the former is given its share of the goals).
//     One whose name belongs to a dead member takes the name: the dead one becomes "name (old 1a2b3c4d)", is given up, and is
//     forgotten once no in_sync names it and it has been dead for resync_delay. One whose name belongs to a member that is not
//     known to be dead waits (WhyNotJoining);
//  2. dead members leave in_sync wherever at least one living in_sync member stays; a living one becomes primary
//     (the goal's primary if it is in_sync and alive, else the first in goal order) -- never a change that leaves only
//     suspected members. A member of the layout that `members` lacks counts as suspected. Whom a primary asks to remove leaves
//     too, if that primary is alive and stays;
//  3. adds handed in by primaries, if term and legality allow; renewals. An add that is not wanted any more, or whose learner
//     is dead, is answered by a renewal, so that the primary is rid of it;
//  4. groups whose every goal member is in_sync and alive drop the in_sync members outside the goal, and hand over to the goal's
//     primary (in the epoch after it was added, because of rule (a));
//  5. members dead for resync_delay are marked down and leave the goals (Rebalance), their partitions noted in
//     `former`; a down member that answers again returns (Rebalance prefers what it held). While nobody holds a block:
//     FreshGoals instead. `plan` names the cause and the frozen total whenever goals change, or when more partitions are away
//     from their goal than it counts; it goes when all are at their goal. Goals are made before 2 to 4 look at them;
//  6. min_copies becomes 2 once two storage nodes take data and all groups reached two (unless an operator chose it);
//  7. voters: storage members (and a witness when there are only two storage members), alive ones first, present voters
//     preferred; 1, 2 -> that many; 3 and 4 -> 3; more -> voters_wanted, odd; a dead voter is replaced when a live
//     candidate exists; never below 3 once 3 exist. One comes and one goes per successor at most;
//  8. the operator's change, unless WhyRefused. kForce takes everybody who does not answer out for good (Layout::retired), makes
//     the living voters and holders, renews every term, and lowers min_copies to 1 if only one node is left to take data. A group
//     without a living in_sync member goes to one of its survivors, to merge what all of them hold (Group::survivors); it stays as
//     it is until that one hands in that it has.
//  9. whoever would lead by 2 or 4, or leads now, and has a slow disk gives way to an in_sync member that lives and has none, the goal's
//     members first (L11). The goals stay, so the primaries return by 4. While more than half of the living storage members are slow
//     nobody gives way or returns; while a living voter does not say how its disk is, slowness counts for nothing.
// Repeated with the same inputs it comes to rest after a few epochs. Addresses and certificate names that gossip knows better ride
// along with other changes. Takes about a third of a millisecond per 5040 partitions (tests/bench/micro/layout_bench.cc).
std::optional<Layout> PlanNext(const Layout& current, const std::map<NodeId, PlannerMember>& members,
                               const PlannerRequests& requests, const OperatorChange& change,
                               const PlannerConfig& config);

// Whether the successor must not be held back to gather more changes: it takes the dead out of groups (writes wait for that),
// removes whom a primary does not reach, or renews a term that a primary wants to be rid of or has merged the survivors for. Joins, adds, hand-overs and voters can wait a moment.
bool CannotWait(const Layout& current, const Layout& next, const std::map<NodeId, PlannerMember>& members,
                const PlannerRequests& requests);

// Why a member that gossip knows is kept out of the layout, in a sentence for people; nothing if it is in, or joins
// with the next successor.
std::optional<std::string> WhyNotJoining(const Layout& current, const std::map<NodeId, PlannerMember>& members,
                                         const NodeId& id);

// The names in the statement that kForce asks for, "I am sure that A, B is off and will never return"; nothing if it is another.
std::optional<std::vector<std::string>> NamesGivenUp(const std::string& statement);

// Why the operator's change cannot be carried out now, in a sentence that says what to do instead; nothing if it can.
std::optional<std::string> WhyRefused(const Layout& current, const std::map<NodeId, PlannerMember>& members,
                                      const OperatorChange& change);

// Whether a drained member holds nothing that anybody needs: it is in no in_sync and in no goal.
bool IsDrained(const Layout& layout, MemberIndex member);

// The layout of a cluster that is formed now with this one member.
Layout FirstLayout(const ClusterId& cluster, const std::string& cluster_name, const PlannerMember& self,
                   const Settings& settings);

}  // namespace coffer::cluster
