// The versioned table partition -> group that a majority of voters agreed on, and what makes a successor legal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "cluster/ids.h"

namespace coffer::cluster {

// Index into Layout::members.
using MemberIndex = std::uint16_t;
inline constexpr MemberIndex kNoMember = 0xffff;
// Of one partition, or the voters. As large as a std::vector, with room for those it usually names: a layout has 10 000 such lists.
using MemberList = absl::InlinedVector<MemberIndex, 8>;
static_assert(sizeof(MemberList) == sizeof(std::vector<MemberIndex>));
// As std::erase_if and std::erase.
template <class Goes>
void RemoveIf(MemberList* list, const Goes& goes) {
  list->erase(std::remove_if(list->begin(), list->end(), goes), list->end());
}
inline void Remove(MemberList* list, MemberIndex m) { list->erase(std::remove(list->begin(), list->end(), m), list->end()); }

// Bounds of a layout; a larger one is malformed. They bound memory and messages, not ambition.
inline constexpr std::size_t kMaxMembers = 1024;
inline constexpr std::size_t kMaxPartitions = 1u << 16;
inline constexpr std::size_t kMaxVoters = 7;
inline constexpr std::size_t kMaxGroupMembers = 3;  // two copies, and the third while one is exchanged
inline constexpr std::size_t kMaxTextBytes = 512;   // names, addresses, failure domains, causes
inline constexpr std::size_t kMaxSurvivors = 64;    // of one partition, that a forced layout has merged
inline constexpr std::size_t kMaxRetired = 4096;    // members given up by force
// Epochs that a layout skips which is forced without a majority of voters: those who are gone may have decided some that nobody who
// is left has heard of, and no epoch has two layouts.
inline constexpr std::uint64_t kForcedEpochs = 1000;
inline constexpr std::uint32_t kMaxWeight = 1'000'000;
inline constexpr std::size_t kMaxLayoutBytes = 16u << 20;

// A member with a place in the layout.
struct Member {
  NodeId id;
  std::string name;              // unique within the layout
  std::string address;           // advertised at the time of joining; gossip may know a newer one
  std::uint32_t weight = 100;    // share of the placement
  std::string failure_domain;    // may be empty
  std::string certificate_name;  // empty without TLS
  bool witness = false;          // votes, never holds data
  bool draining = false;         // excluded from goals; still holds data
  bool down = false;             // given up: excluded from goals until it answers again
  std::string former;            // bit field of the partitions whose goal it was part of when given up; may be empty

  // Whether goals may name it.
  bool TakesData() const { return !witness && !draining && !down && weight > 0; }
  // Whether `former` has the partition.
  bool Held(PartitionId p) const {
    return p / 8 < former.size() && (static_cast<unsigned char>(former[p / 8]) >> (p % 8) & 1) != 0;
  }
  bool operator==(const Member&) const = default;
};

// Cluster settings; changed only by a decided layout.
struct Settings {
  std::uint32_t partitions = 5040;
  std::uint32_t min_copies = 1;
  bool min_copies_chosen = false;
  bool resync_paused = false;
  std::uint64_t resync_limit_bytes_per_second = 0;
  std::uint64_t chunk_limit_bytes = 4u << 20;
  std::uint32_t voters_wanted = 5;
  bool scrub_paused = false;
  Epoch scrub_asked;  // at which a pass of scrub was last asked for
  bool operator==(const Settings&) const = default;
};

// Why partitions move.
struct MovePlan {
  Epoch id;                            // epoch at which the goals last changed
  std::string cause;                   // for people
  std::uint32_t partitions_total = 0;  // frozen when made
  bool operator==(const MovePlan&) const = default;
};

// What a partition may lack that a forced layout gave to survivors outside in_sync; coffer.internal.v1.LayoutLoss.
struct Loss {
  Epoch epoch;                  // the forced one
  bool nothing = false;         // no survivor held anything
  Seq from;                     // first write up to `last` that no survivor is known to hold; 0: there is none
  Seq to;                       // last such write
  Seq last;                     // the last write found
  std::uint64_t set_aside = 0;  // records in the quarantine file of the primary
  bool operator==(const Loss&) const = default;
};

// A token that lets one node join (join_tokens.h). Nothing of it is of use to whoever wants to join.
struct JoinToken {
  std::string hash;              // 32 bytes: SHA-256 of its random part
  std::uint64_t expires_ms = 0;  // since 1970 UTC
  std::string used;              // 16 random bytes of the attempt that used it; empty: it was not used
  std::string used_by;           // name of the node that used it
  bool operator==(const JoinToken&) const = default;
};

// A partition's group. Member lists are short (1 to 3; the goal is empty where nobody takes data), sorted ascending except
// `goal`.
struct Group {
  MemberIndex primary = kNoMember;  // one of in_sync
  MemberList in_sync; // everybody that holds everything acknowledged
  Term term;                        // epoch of the last change of primary or in_sync, or of the last renewal
  MemberList goal;    // where the partition should be, primary first; no safety rests on it
  // After a forced layout: whose copies the primary takes in before it serves (L10), itself among them. Usually empty; else
  // in_sync is the primary alone, which need not hold everything.
  MemberList survivors{};
  std::optional<Loss> loss{};       // what the merge of survivors did not find, when there was one

  bool InSync(MemberIndex m) const;
  bool InGoal(MemberIndex m) const;
  // Whether no copy is left to be made or given up: in_sync is exactly the goal, whoever of it leads.
  bool HoldsGoal() const;
  // Whether nothing is left to move: in_sync is exactly the goal, under the goal's primary.
  bool AtGoal() const;
  // Whether it is where it is to be: led by whom the goal names, too, unless slow disks decide that (L11). `slow`: whether a member's is.
  template <class Slow>
  bool IsInPlace(const Slow& slow) const {
    return AtGoal() || (HoldsGoal() && std::any_of(goal.begin(), goal.end(), slow));
  }
  bool operator==(const Group&) const = default;
};

// A member given up by force: its id never acts again.
struct Retired {
  NodeId id;
  std::string name;  // at that time
  Epoch epoch;       // that gave it up
  bool operator==(const Retired&) const = default;
};

// A layout. A value; immutable once decided. Equality is equality of meaning; agreement compares encoded bytes.
struct Layout {
  ClusterId cluster;
  std::string cluster_name;
  Epoch epoch;
  MemberList voters;  // acceptors of epoch + 1, ascending
  std::vector<Member> members;
  Settings settings;
  std::optional<MovePlan> plan;
  std::vector<Group> partitions;
  Epoch forced_epoch;            // 0: never forced
  std::vector<Retired> retired;  // oldest first
  std::vector<JoinToken> join_tokens;  // by hash, ascending; the used ones until they expire

  MemberIndex IndexOf(const NodeId& id) const;          // kNoMember if absent
  MemberIndex IndexOfName(std::string_view name) const; // kNoMember if absent
  const Group& group(PartitionId p) const { return partitions[p]; }
  std::uint32_t partition_count() const { return static_cast<std::uint32_t>(partitions.size()); }
  bool IsVoter(const NodeId& id) const;
  // The epoch whose forced layout gave this id up; nothing if none did.
  std::optional<Epoch> RetiredAt(const NodeId& id) const;
  // Number of voters that make a quorum: a majority of all, dead or not.
  std::size_t Quorum() const { return voters.size() / 2 + 1; }
  bool operator==(const Layout&) const = default;
};

// What a process is told whose id was given up by force.
std::string WhyRetired(Epoch epoch);

// The bytes of a layout (coffer.internal.v1.Layout), deterministic.
std::string Encode(const Layout& layout);

// Why a layout is malformed whatever came before it (index out of range, primary outside in_sync, a name twice, a bound
// exceeded); nothing if it is well formed. Decoding and legality both ask it.
std::optional<std::string> WhyMalformed(const Layout& layout);

// Nothing, and why in `error`, when the bytes are malformed, of an unknown format, or carry unknown fields (those are
// refused, not dropped), or are malformed (WhyMalformed), or are not the very bytes Encode makes of what they mean: agreement
// compares bytes, so one meaning must have one encoding.
std::optional<Layout> DecodeLayout(std::string_view bytes, std::string* error);
// The same, to be kept by several; null for nothing.
std::shared_ptr<const Layout> ReadLayout(std::string_view bytes, std::string* error);

// An add a primary vouches for: `learner` holds everything committed of the partition in this term.
struct ProposedAdd {
  PartitionId partition = 0;
  Term term;
  NodeId learner;
  bool operator==(const ProposedAdd&) const = default;
};

// Why `next` is not a legal successor of `current`; nothing if it is. Rules (a) to (e) of the protocol, and: epoch + 1, same
// cluster and number of partitions, every changed or renewed group carries the new epoch as term, every other group is
// untouched but for its goal. Members are compared by id, so a successor may number them anew; a member leaves the layout only
// after it has left every in_sync. Voters exist and are 1 to 7.
// A forced layout (forced_epoch == epoch) is exempt from (a) and (b) and may drop any member. What only its proposer can know,
// (c) and (d), is not visible in two layouts: the planner obeys it.
std::optional<std::string> WhyIllegal(const Layout& current, const Layout& next);

}  // namespace coffer::cluster
