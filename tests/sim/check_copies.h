// Looks at the disks: what was acknowledged or read by a confirmed read is durable on every in_sync member of the newest layout, now
// (I4); it has min_copies copies while no disk was lost (I5); committed prefixes are prefixes of each other (I6); at rest all copies
// hold the same, whole, and are counted right (I15, I20).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/check_chains.h"
#include "sim/check_chunks.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

class CopyChecker {
 public:
  using Complaint = std::optional<std::string>;
  CopyChecker(const SimCluster& cluster, ZoneId zone, const ChunkChecker& chunks, const ChainChecker& chains,
              const std::set<PartitionId>& damaged)
      : cluster_(cluster), zone_(zone), chunks_(chunks), chains_(chains), damaged_(damaged) {}

  // One id that was just acknowledged, read or deleted; `copies`: how many it must have besides (0: not known).
  Complaint Chunk(const cluster::Layout& newest, const std::string& id, std::uint32_t copies) const;
  Complaint Chain(const cluster::Layout& newest, const std::string& chain) const;
  // Of what is known, what no survivor of this forced layout has on its disk: no more than that may be lost. Chunks of which nothing
  // is known are among them, for another value than the one that was refused may be lost. `stale`: it was forced from a layout that
  // was not the newest, because nobody left knew of that one; then what its in_sync members lack is lost as well.
  std::vector<std::string> LostChunks(const cluster::Layout& forced, bool stale) const;
  struct LostChain {
    std::string chain;
    std::uint64_t length = 0;  // its entries up to here are there
    bool delete_lost = false;
  };
  std::vector<LostChain> LostChains(const cluster::Layout& forced, bool stale) const;
  // Everything in these partitions; in all of them if `partitions` is null. `copies`: how many each chunk must have besides, on members
  // or not (0: not known).
  Complaint All(const cluster::Layout& newest, const std::set<PartitionId>* partitions, std::uint32_t copies = 0) const;
  // I6 over the logs of in_sync members.
  Complaint Prefixes(const cluster::Layout& newest) const;
  // At rest nothing of these zones is left but the mark that they are gone.
  Complaint Dropped(const cluster::Layout& newest, const std::set<ZoneId>& zones) const;
  // When nobody writes and everybody is there.
  Complaint AtRest(const cluster::Layout& newest) const;

 private:
  // The disk of a member; null when it is lost.
  const SimNode* DiskOf(const cluster::Layout& layout, cluster::MemberIndex member) const;
  bool Survives(const cluster::Layout& forced, bool stale, PartitionId p, const std::function<bool(const SimNode&)>& has) const;
  // All that a look at one disk depends on. While none of it is another, the look is not repeated: it would find the same.
  struct Seen {
    std::uint64_t life = 0;     // of the node, for its disk may be another after a start
    std::uint64_t records = 0;  // MemoryStore::Changes
    std::uint64_t deletes = 0;  // the same, of marks of deleted chains
    std::uint64_t known = 0;    // of a chain: ChainChecker::Known::changes
    Digest hash;                // of a chunk
    bool acknowledged = false, delete_begun = false, deleted = false, damaged = false;
    friend bool operator==(const Seen&, const Seen&) = default;
  };
  struct ChunkLook {
    Seen seen;
    const char* wrong = nullptr;  // what was found
  };
  struct ChunkLooks {
    PartitionId partition = 0;
    std::map<const SimNode*, ChunkLook> disks;
  };
  ChunkLooks& LooksAt(const std::string& id, std::uint32_t partitions) const;
  // What is wrong with it on this disk; null: nothing.
  const char* ChunkOn(const SimNode& n, ChunkLooks& looks, const std::string& id, const ChunkChecker::Known& known) const;
  const char* ChunkOnAnew(const SimNode& n, PartitionId p, const std::string& id, const ChunkChecker::Known& known) const;
  Complaint ChainOn(const SimNode& n, PartitionId p, const std::string& chain, const ChainChecker::Known& known) const;
  Complaint ChainOnAnew(const SimNode& n, PartitionId p, const std::string& chain, const ChainChecker::Known& known) const;

  mutable std::unordered_map<std::string, ChunkLooks> chunk_looks_;                       // by id
  mutable std::unordered_map<std::string, std::map<const SimNode*, Seen>> sound_chains_;  // by id; where nothing was wrong
  const SimCluster& cluster_;
  const ZoneId zone_;
  const ChunkChecker& chunks_;
  const ChainChecker& chains_;
  const std::set<PartitionId>& damaged_;  // in these records were damaged on purpose
};

}  // namespace coffer::sim
