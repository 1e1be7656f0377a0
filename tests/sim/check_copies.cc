#include "sim/check_copies.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "cluster/placement.h"
#include "cluster/sha256.h"
#include "node/core/record_check.h"

namespace coffer::sim {
namespace {

using node::ReadOutcome;
using node::RecordKey;
using node::RecordKind;

}  // namespace

const SimNode* CopyChecker::DiskOf(const cluster::Layout& layout, cluster::MemberIndex member) const {
  const auto i = cluster_.IndexOf(layout.members[member].id);
  return i && !cluster_.node(*i).Lost() ? &cluster_.node(*i) : nullptr;
}

CopyChecker::ChunkLooks& CopyChecker::LooksAt(const std::string& id, std::uint32_t partitions) const {
  const auto [looks, first] = chunk_looks_.try_emplace(id);
  if (first) looks->second.partition = cluster::PartitionOf(zone_, BlockId::Must(id), partitions);
  return looks->second;
}

const char* CopyChecker::ChunkOn(const SimNode& n, ChunkLooks& looks, const std::string& id, const ChunkChecker::Known& known) const {
  const PartitionId p = looks.partition;
  Seen now;
  now.life = n.life;
  now.records = n.store.Changes(p, RecordKind::kChunk);
  now.hash = known.hash;
  now.acknowledged = known.acknowledged.has_value();
  now.delete_begun = known.delete_begun;
  now.deleted = known.deleted;
  now.damaged = damaged_.contains(p);
  const auto [look, first] = looks.disks.try_emplace(&n);
  if (first || look->second.seen != now) look->second = {now, ChunkOnAnew(n, p, id, known)};
  return look->second.wrong;
}

const char* CopyChecker::ChunkOnAnew(const SimNode& n, PartitionId p, const std::string& id, const ChunkChecker::Known& known) const {
  node::RecordHeader header;
  const RecordKey key{zone_, RecordKind::kChunk, BlockId::Must(id), 0};
  const auto outcome = n.store.Lookup(p, key, &header);
  if (outcome == ReadOutcome::kDamaged) return nullptr;
  if (known.deleted) return outcome == ReadOutcome::kFound && header.deleted ? nullptr : "its acknowledged delete is missing";
  if (!known.acknowledged) return nullptr;
  if (outcome != ReadOutcome::kFound) return "acknowledged, and missing";
  if (header.deleted && !known.delete_begun) return "deleted; nobody deleted it";
  if (!header.deleted && header.hash != known.hash) return "other bytes than those acknowledged";
  if (!header.deleted && !damaged_.contains(p) && !n.store.HasValue(p, key)) return "its bytes are gone";
  return nullptr;
}

CopyChecker::Complaint CopyChecker::ChainOn(const SimNode& n, PartitionId p, const std::string& chain, const ChainChecker::Known& known) const {
  Seen now;
  now.life = n.life;
  now.records = n.store.Changes(p, RecordKind::kEntry);
  now.deletes = n.store.Changes(p, RecordKind::kChainDelete);
  now.known = known.changes;
  now.delete_begun = known.delete_begun;
  now.deleted = known.deleted;
  auto& looks = sound_chains_[chain];
  const auto before = looks.find(&n);
  if (before != looks.end() && before->second == now) return std::nullopt;
  auto why = ChainOnAnew(n, p, chain, known);
  if (!why) looks[&n] = now;
  return why;
}

CopyChecker::Complaint CopyChecker::ChainOnAnew(const SimNode& n, PartitionId p, const std::string& chain, const ChainChecker::Known& known) const {
  if (known.delete_begun && !known.deleted) return std::nullopt;
  const BlockId id = BlockId::Must(chain);
  const auto complain = [&](const std::string& what) {
    return "chain " + Hex(chain).substr(0, 8) + " (partition " + std::to_string(p) + ") on in_sync member " + n.name + ": " + what + " (I4)";
  };
  if (known.deleted) {
    node::RecordHeader header;
    const auto outcome = n.store.Lookup(p, {zone_, RecordKind::kChainDelete, id, 0}, &header);
    if (outcome == ReadOutcome::kAbsent) return complain("its acknowledged delete is missing");
    return std::nullopt;
  }
  std::vector<bool> good(known.entries.size());
  (void)n.store.ReadEntries(p, zone_, id, 0, known.entries.size(), false,
                            [&](ReadOutcome outcome, const RecordKey& key, const node::RecordHeader&, const node::EntryValue& value) {
                              good[key.position] = outcome == ReadOutcome::kDamaged || (value.present() && value.bytes() == known.entries[key.position]);
                              return true;
                            });
  for (std::uint64_t position = 0; position < good.size(); ++position) {
    if (!good[position] && !known.entries[position].empty()) return complain("entry " + std::to_string(position) + " is missing or another");
  }
  return std::nullopt;
}

CopyChecker::Complaint CopyChecker::Chunk(const cluster::Layout& newest, const std::string& id, std::uint32_t copies) const {
  ChunkLooks& looks = LooksAt(id, newest.partition_count());
  const PartitionId p = looks.partition;
  const auto chunk = chunks_.all().find(id);
  if (chunk == chunks_.all().end()) return std::nullopt;
  const ChunkChecker::Known& known = chunk->second.known;
  if (!newest.group(p).survivors.empty()) return std::nullopt;  // nobody vouches for anything yet (L10)
  for (const auto m : newest.group(p).in_sync) {
    const SimNode* n = DiskOf(newest, m);
    if (!n) continue;
    if (const char* wrong = ChunkOn(*n, looks, id, known)) {
      return "chunk " + Hex(id).substr(0, 8) + " (partition " + std::to_string(p) + ") on in_sync member " + n->name + ": " + wrong + " (I4)";
    }
  }
  if (copies == 0 || known.delete_begun || !known.acknowledged) return std::nullopt;
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.node(i).Lost() && !ChunkOn(cluster_.node(i), looks, id, known)) ++found;
  }
  if (found >= copies) return std::nullopt;
  return "chunk " + Hex(id).substr(0, 8) + " (partition " + std::to_string(p) + ") is acknowledged and has " + std::to_string(found) + " of " +
         std::to_string(copies) + " copies (I5)";
}

CopyChecker::Complaint CopyChecker::Chain(const cluster::Layout& newest, const std::string& chain) const {
  const PartitionId p = cluster::PartitionOf(zone_, BlockId::Must(chain), newest.partition_count());
  const auto known = chains_.Facts().find(chain);
  if (known == chains_.Facts().end() || !newest.group(p).survivors.empty()) return std::nullopt;
  for (const auto m : newest.group(p).in_sync) {
    const SimNode* n = DiskOf(newest, m);
    if (!n) continue;
    if (auto why = ChainOn(*n, p, chain, known->second)) return why;
  }
  return std::nullopt;
}

bool CopyChecker::Survives(const cluster::Layout& forced, bool stale, PartitionId p, const std::function<bool(const SimNode&)>& has) const {
  const auto on = [&](const auto m) {
    const SimNode* n = DiskOf(forced, m);
    return n && has(*n);
  };
  const auto& group = forced.group(p);
  if (!group.survivors.empty()) return std::any_of(group.survivors.begin(), group.survivors.end(), on);
  return !stale || std::all_of(group.in_sync.begin(), group.in_sync.end(), on);
}

std::vector<std::string> CopyChecker::LostChunks(const cluster::Layout& forced, bool stale) const {
  std::vector<std::string> lost;
  for (const auto& one : chunks_.all()) {  // named, not bound: what follows captures them
    const auto& id = one.first;
    const auto& chunk = one.second;
    ChunkLooks& looks = LooksAt(id, forced.partition_count());
    const bool promised = chunk.known.acknowledged || chunk.known.deleted;
    const bool held = Survives(forced, stale, looks.partition, [&](const SimNode& n) { return promised && !ChunkOn(n, looks, id, chunk.known); });
    if (!held) lost.push_back(id);
  }
  return lost;
}

std::vector<CopyChecker::LostChain> CopyChecker::LostChains(const cluster::Layout& forced, bool stale) const {
  std::vector<LostChain> lost;
  for (const auto& one : chains_.Facts()) {
    const auto& chain = one.first;
    const auto& known = one.second;
    const PartitionId p = cluster::PartitionOf(zone_, BlockId::Must(chain), forced.partition_count());
    node::RecordHeader header;
    const bool deleted = Survives(forced, stale, p, [&](const SimNode& n) {
      return n.store.Lookup(p, {zone_, RecordKind::kChainDelete, BlockId::Must(chain), 0}, &header) == ReadOutcome::kFound;
    });
    std::uint64_t length = 0;
    for (; length < chains_.LengthOf(chain); ++length) {
      const bool seen = length < known.entries.size() && !known.entries[length].empty();
      const bool there = Survives(forced, stale, p, [&](const SimNode& n) {
        Payload value;
        const auto outcome = n.store.Read(p, {zone_, RecordKind::kEntry, BlockId::Must(chain), length}, &header, &value);
        return outcome == ReadOutcome::kFound && value && (!seen || *value == known.entries[length]);
      });
      if (!there) break;
    }
    const bool delete_lost = known.deleted && !deleted;
    if (delete_lost || length < chains_.LengthOf(chain)) lost.push_back({chain, length, delete_lost});
  }
  return lost;
}

CopyChecker::Complaint CopyChecker::All(const cluster::Layout& newest, const std::set<PartitionId>* partitions, std::uint32_t copies) const {
  auto wanted = [&](const std::string& id) {
    return !partitions || partitions->contains(cluster::PartitionOf(zone_, BlockId::Must(id), newest.partition_count()));
  };
  for (const auto& [id, chunk] : chunks_.all()) {
    if (!wanted(id)) continue;
    if (auto why = Chunk(newest, id, copies)) return why;
  }
  for (const auto& [chain, known] : chains_.Facts()) {
    if (!wanted(chain)) continue;
    if (auto why = Chain(newest, chain)) return why;
  }
  return std::nullopt;
}

CopyChecker::Complaint CopyChecker::Prefixes(const cluster::Layout& newest) const {
  for (PartitionId p = 0; p < newest.partition_count(); ++p) {
    struct Held {
      std::string_view hash;
      const SimNode* by = nullptr;
    };
    std::unordered_map<std::uint64_t, Held> held;  // by position
    Complaint fork;
    for (const auto m : newest.group(p).in_sync) {
      const SimNode* n = DiskOf(newest, m);
      const node::PartitionMeta* meta = n ? n->store.MetaOf(p) : nullptr;
      if (!meta) continue;
      n->store.VisitLog(p, meta->committed, [&](const node::LogRecord& write) {
        const auto [it, fresh] = held.emplace(write.stamp().seq(), Held{write.hash(), n});
        if (fork || fresh || it->second.hash == write.hash()) return;
        fork = "partition " + std::to_string(p) + ": " + it->second.by->name + " and " + n->name + " committed different writes at " +
               std::to_string(write.stamp().seq()) + " (I6)";
      });
      if (fork) return fork;
    }
  }
  return std::nullopt;
}

CopyChecker::Complaint CopyChecker::Dropped(const cluster::Layout& newest, const std::set<ZoneId>& zones) const {
  for (PartitionId p = 0; p < newest.partition_count(); ++p) {
    for (const auto m : newest.group(p).in_sync) {
      const SimNode* n = DiskOf(newest, m);
      Complaint left;
      if (!n || damaged_.contains(p)) continue;
      n->store.Scan(p, "", "", [&](const node::ScannedRecord& r) {
        if (r.key.kind == RecordKind::kZoneDrop || !zones.contains(r.key.zone)) return true;
        left = "partition " + std::to_string(p) + " on " + n->name + " has a record of a zone that was deleted (I10)";
        return false;
      });
      if (left) return left;
    }
  }
  return std::nullopt;
}

CopyChecker::Complaint CopyChecker::AtRest(const cluster::Layout& newest) const {
  for (PartitionId p = 0; p < newest.partition_count(); ++p) {
    if (damaged_.contains(p)) continue;
    std::map<std::string, std::string> first;
    std::string first_name;
    for (const auto m : newest.group(p).in_sync) {
      const SimNode* n = DiskOf(newest, m);
      if (!n) return "partition " + std::to_string(p) + ": an in_sync member has lost its disk";
      const std::string what = "partition " + std::to_string(p) + " on " + n->name + ": ";
      std::map<std::string, std::string> records;
      std::uint64_t blocks = 0, bytes = 0;
      Complaint bad;
      n->store.Scan(p, "", "", [&](const node::ScannedRecord& r) {
        const bool chunk = r.key.kind == RecordKind::kChunk && !r.header.deleted;
        const bool entry = r.key.kind == RecordKind::kEntry;
        blocks += chunk || (entry && r.key.position == 0) ? 1 : 0;
        bytes += chunk || entry ? r.header.size : 0;
        records[EncodeKey(r.key)] = node::RecordHash(r.header).str();
        node::RecordHeader header;
        Payload value;
        const bool whole = n->store.Read(p, r.key, &header, &value) == ReadOutcome::kFound;
        if ((chunk || entry) && (!whole || !value || !node::RecordVerifies(r.key, header, *value))) bad = what + "a record does not verify (I14)";
        return true;
      });
      if (bad) return bad;
      node::PartitionMeta meta;
      n->store.ReadMetas([&](PartitionId id, const node::PartitionMeta& found) {
        if (id == p) meta = found;
      });
      if (meta.blocks != blocks || meta.bytes != bytes) {
        return what + "counts " + std::to_string(meta.blocks) + " blocks, " + std::to_string(meta.bytes) + " bytes; there are " +
               std::to_string(blocks) + " and " + std::to_string(bytes) + " (I15)";
      }
      if (first_name.empty()) {
        first = std::move(records);
        first_name = n->name;
      } else if (first != records) {
        return what + "holds other records than " + first_name + " (I20)";
      }
    }
  }
  return std::nullopt;
}

}  // namespace coffer::sim
