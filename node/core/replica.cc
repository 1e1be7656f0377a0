#include "node/core/replica.h"

#include <algorithm>

#include "cluster/sha256.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"
#include "node/byte_codec.h"
#include "node/core/erasure.h"
#include "node/core/write_keys.h"

namespace coffer::node {

// In one piece, for it is reckoned of every write on every copy: piece by piece it took half as long again.
Digest HashWrite(const Digest& previous, const wire::Write& write) {
  constexpr std::size_t kNumbers = 7 * 8;
  const std::size_t hashes = Digest::kSize * (1 + static_cast<std::size_t>(write.items_size()));
  ByteWriter all(hashes + kNumbers + write.zone().size() + write.id().size());
  all.Raw(previous.view()).U64(write.stamp().term()).U64(write.stamp().boot()).U64(write.stamp().seq());
  all.U64(static_cast<std::uint64_t>(write.kind()));
  all.U64(write.zone().size()).Raw(write.zone());
  all.U64(write.id().size()).Raw(write.id());
  all.U64(write.position());
  for (const auto& item : write.items()) all.Raw(item.hash());
  return Sha256({all.bytes()});
}

Stamp StampOf(const wire::Stamp& s) { return {Term(s.term()), Boot(s.boot()), Seq(s.seq())}; }

void SetStamp(const Stamp& stamp, wire::Stamp* out) {
  out->set_term(stamp.term.value);
  out->set_boot(stamp.boot.value);
  out->set_seq(stamp.seq.value);
}

Digest EntryHash(const BlockId& chain, std::uint64_t position, const Digest& predecessor, std::string_view signature,
                 std::string_view body) {
  const std::string at = ByteWriter().U64(position).Take();
  const std::string length = ByteWriter().U32(static_cast<std::uint32_t>(signature.size())).Take();
  return Sha256({"coffer.entry.v1", chain.view(), at, predecessor.view(), length, signature, body});
}

PartitionReplica::PartitionReplica(PartitionId id, const StoreReader& store, PartitionMeta meta, std::uint64_t log_keep, std::uint64_t incarnation)
    : id_(id), store_(store), log_keep_(log_keep), incarnation_(incarnation), meta_(meta), durable_(meta.last.seq), kept_committed_(meta.committed) {
  if (meta_.committed < meta_.last.seq) {
    std::vector<LogRecord> tail;
    tail_ = ReadTail(&tail);
    for (auto& w : tail) {
      if (IsDelete(w)) unfinished_.push_back(std::move(w));
    }
  }
}

void PartitionReplica::DurableUpTo(const Applied& applied) {
  if (applied.incarnation != incarnation_) return;
  begun_durable_ = std::max(begun_durable_, applied.beginning);
  if (Planted(Bug::kLogBeginCounts)) {
    durable_ = std::max(durable_, std::min(applied.last, meta_.last.seq));
  } else if (applied.beginning == begun_) {
    durable_ = std::max(durable_, applied.last);
  }
  const auto under_way = std::find_if(window_.begin(), window_.end(),
                                      [&](const WriteWithBodies& w) { return Seq(w.write->stamp().seq()) > durable_; });
  window_.erase(window_.begin(), under_way);
  // Resync and commits change records beside the log: that the log is durable says nothing of those.
  std::erase_if(records_, [&](const auto& e) { return e.second.change <= applied.changes; });
  if (AllDurable()) return ends_.clear();
  std::erase_if(ends_, [&](const auto& e) { return e.second.seq <= durable_; });
}

ReadOutcome PartitionReplica::Find(const RecordKey& key, RecordHeader* header) const {
  if (!records_.empty()) {
    auto it = records_.find(EncodeKey(key));
    if (it != records_.end()) {
      if (!it->second.header) return ReadOutcome::kAbsent;
      *header = *it->second.header;
      return ReadOutcome::kFound;
    }
  }
  return store_.Lookup(id_, key, header);
}

ReadOutcome PartitionReplica::FindEnd(const ZoneId& zone, const BlockId& chain, ChainEnd* end) const {
  auto it = ends_.find(EndKey(zone, chain));
  if (it != ends_.end()) {
    *end = it->second.end;
    return end->length > 0 || end->deleted ? ReadOutcome::kFound : ReadOutcome::kAbsent;
  }
  if (known_end_ && known_end_->zone == zone && known_end_->chain == chain) {
    *end = known_end_->end;
    return ReadOutcome::kFound;
  }
  *end = {};
  RecordHeader mark;
  const ReadOutcome deleted = Find(ChainDeleteKey(zone, chain), &mark);
  if (deleted == ReadOutcome::kDamaged || deleted == ReadOutcome::kFailed) return deleted;
  if (deleted == ReadOutcome::kFound) {
    end->deleted = true;
    return ReadOutcome::kFound;
  }
  RecordKey key;
  RecordHeader header;
  const ReadOutcome last = store_.LastEntry(id_, zone, chain, &key, &header);
  if (last == ReadOutcome::kFound) {
    end->length = key.position + 1;
    end->hash = header.hash;
  }
  return last;
}

ReadOutcome PartitionReplica::FindZone(const RecordKey& key, RecordHeader* header, wire::ZoneRecord* zone) const {
  const ReadOutcome outcome = Find(key, header);
  if (outcome != ReadOutcome::kFound) return outcome;
  for (const WriteWithBodies& under_way : window_) {
    if (StampOf(under_way.write->stamp()) != header->stamp) continue;
    *zone = under_way.write->zone_record();
    return ReadOutcome::kFound;
  }
  RecordHeader stored;
  Payload value;
  const ReadOutcome read = store_.Read(id_, key, &stored, &value);
  if (read != ReadOutcome::kFound) return read;
  return value && zone->ParseFromString(*value) ? ReadOutcome::kFound : ReadOutcome::kDamaged;
}

ReadOutcome PartitionReplica::ZoneDropped(const ZoneId& zone, bool* dropped) const {
  *dropped = false;
  if (zone == live_zone_) return ReadOutcome::kAbsent;
  RecordHeader header;
  const ReadOutcome outcome = Find(DropKey(zone), &header);
  *dropped = outcome == ReadOutcome::kFound;
  if (outcome == ReadOutcome::kAbsent) live_zone_ = zone;
  return outcome;
}

std::optional<RecordsMark> PartitionReplica::InStore() const {
  if (!records_.empty()) return std::nullopt;
  return RecordsMark{incarnation_, changes_};
}

void PartitionReplica::NoteNoDrop(const ZoneId& zone, const RecordsMark& since) {
  if (since == RecordsMark{incarnation_, changes_}) live_zone_ = zone;
}

bool PartitionReplica::Erased(const RecordKey& key, Seq after) const {
  const auto committed = [this, after](const RecordKey& mark) {
    RecordHeader header;
    return Find(mark, &header) == ReadOutcome::kFound && header.stamp.seq > after && header.stamp.seq <= meta_.committed;
  };
  if (key.zone.IsZero() || key.kind == RecordKind::kZoneDrop) return false;
  return committed(DropKey(key.zone)) || (key.kind == RecordKind::kEntry && committed(ChainDeleteKey(key.zone, key.id)));
}

void PartitionReplica::Overlay(const RecordKey& key, std::optional<RecordHeader> header) {
  if (key.kind == RecordKind::kZoneDrop) live_zone_.reset();
  if (key.kind == RecordKind::kEntry || key.kind == RecordKind::kChainDelete || key.kind == RecordKind::kZoneDrop) ForgetEnd();
  records_[EncodeKey(key)] = {++changes_, std::move(header)};
}

void PartitionReplica::NoteRecord(const RecordKey& key, std::optional<RecordHeader> header) {
  Overlay(key, std::move(header));
}

bool PartitionReplica::Store(const RecordKey& key, RecordHeader header, Payload value, bool only_if_absent,
                             StoreBatch* batch) {
  if (only_if_absent) {
    RecordHeader present;
    const ReadOutcome outcome = Find(key, &present);
    if (outcome == ReadOutcome::kFailed) return false;
    if (outcome == ReadOutcome::kFound && present.hash == header.hash && !present.deleted) {
      // Its bytes may be damaged here: sound ones take their place.
      if (value) batch->changes.push_back(StoreBatch::PutRecord{id_, key, std::move(present), std::move(value)});
      return true;
    }
  }
  Overlay(key, header);
  batch->changes.push_back(StoreBatch::PutRecord{id_, key, std::move(header), std::move(value)});
  return true;
}

bool PartitionReplica::Apply(std::shared_ptr<const wire::Write> ordered, std::vector<Payload> bodies, StoreBatch* batch) {
  const wire::Write& write = *ordered;
  // Its records, or a mark, the log's line and the meta line: a change is large, and is not to be moved again and again.
  if (batch->changes.empty()) batch->changes.reserve(static_cast<std::size_t>(write.items_size()) + 3);
  if (!ApplyRecords(write, bodies, batch)) return false;
  if (!write.repeat()) {
    if (write.kind() == wire::WRITE_KIND_PUT_CHUNK || (write.kind() == wire::WRITE_KIND_APPEND && write.position() == 0)) {
      ++meta_.blocks;
    }
    if (HasBodies(write)) {
      for (const auto& item : write.items()) meta_.bytes += item.size();
    }
    meta_.blocks -= std::min(meta_.blocks, write.removed_blocks());
    meta_.bytes -= std::min(meta_.bytes, write.removed_bytes());
  }
  meta_.last = StampOf(write.stamp());
  meta_.last_hash = Digest::Must(write.hash());
  if (IsDelete(write)) unfinished_.push_back(write);
  batch->changes.push_back(StoreBatch::PutLog{id_, ordered});
  window_.push_back({std::move(ordered), std::move(bodies)});
  PutMeta(batch);
  return true;
}

bool PartitionReplica::ApplyRecords(const wire::Write& write, const std::vector<Payload>& bodies, StoreBatch* batch) {
  const Stamp stamp = StampOf(write.stamp());
  bool ok = true;
  switch (write.kind()) {
    case wire::WRITE_KIND_PUT_CHUNK: {
      RecordHeader header{.stamp = stamp, .hash = Digest::Must(write.items(0).hash()), .size = write.items(0).size()};
      Payload body = bodies.empty() ? nullptr : bodies[0];
      if (!body || body->size() != header.size) {
        // Ordered again or re-sent after its bytes were deleted by a later, committed write: only the mark is left.
        header.deleted = header.value_gone = true;
        header.deleted_by = stamp;
        body = nullptr;
      }
      ok = Store(ChunkKey(write), header, body, write.repeat(), batch);
      break;
    }
    case wire::WRITE_KIND_DELETE_CHUNK:
      ok = ApplyDeleteChunk(write, batch);
      break;
    case wire::WRITE_KIND_APPEND:
      ok = ApplyAppend(write, bodies, batch);
      break;
    case wire::WRITE_KIND_DELETE_CHAIN: {
      const ZoneId zone = ZoneId::Must(write.zone());
      const BlockId chain = BlockId::Must(write.id());
      ok = Store(ChainDeleteKey(zone, chain), {.stamp = stamp}, nullptr, write.repeat(), batch);
      ends_[EndKey(zone, chain)] = {stamp.seq, {0, Digest{}, true}};
      break;
    }
    case wire::WRITE_KIND_CREATE_ZONE:
    case wire::WRITE_KIND_DELETE_ZONE:
    case wire::WRITE_KIND_PURGE_ZONE:
      ApplyZone(write, batch);
      break;
    case wire::WRITE_KIND_DROP_ZONE:
      ok = Store(DropKey(ZoneId::Must(write.zone())), {.stamp = stamp}, nullptr, write.repeat(), batch);
      break;
    default:
      return false;
  }
  return ok;
}

bool PartitionReplica::ApplyDeleteChunk(const wire::Write& write, StoreBatch* batch) {
  const Stamp stamp = StampOf(write.stamp());
  const RecordKey key = ChunkKey(write);
  RecordHeader header;
  const ReadOutcome outcome = Find(key, &header);
  if (outcome == ReadOutcome::kFailed) return false;
  const bool same = outcome == ReadOutcome::kFound && header.hash.view() == write.items(0).hash();
  if (same && header.deleted && write.repeat()) return true;
  if (same && !header.deleted) {
    header.deleted = true;
    header.deleted_by = stamp;
    header.value_gone = Planted(Bug::kDeleteFreesEarly);
    Overlay(key, header);
    batch->changes.push_back(StoreBatch::SetHeader{id_, key, header});
    if (header.value_gone) batch->changes.push_back(StoreBatch::DropValue{id_, key, header});
    return true;
  }
  // A learner that has not got the chunk yet, or has other bytes of an earlier term, or whose copy is damaged: the mark alone keeps an
  // old copy out, and names what was deleted.
  header = {.stamp = stamp, .hash = Digest::Must(write.items(0).hash()), .size = write.items(0).size()};
  if (outcome == ReadOutcome::kDamaged) header.stamp = {};  // should the delete be undone, the chunk is there, its value to be fetched
  header.deleted = header.value_gone = true;
  header.deleted_by = stamp;
  return Store(key, header, nullptr, false, batch);
}

bool PartitionReplica::ApplyAppend(const wire::Write& write, const std::vector<Payload>& bodies, StoreBatch* batch) {
  const ZoneId zone = ZoneId::Must(write.zone());
  const BlockId chain = BlockId::Must(write.id());
  std::uint64_t position = write.position();
  Digest hash;
  for (int i = 0; i < write.items_size(); ++i, ++position) {
    const auto& item = write.items(i);
    hash = Digest::Must(item.hash());
    RecordHeader header{.stamp = StampOf(write.stamp()), .hash = hash, .size = item.size()};
    header.predecessor = Digest::Must(item.predecessor());
    header.signature = item.signature();
    Payload body = static_cast<std::size_t>(i) < bodies.size() ? bodies[static_cast<std::size_t>(i)] : nullptr;
    if (!Store(EntryKey(zone, chain, position), std::move(header), std::move(body), write.repeat(), batch)) return false;
  }
  if (write.repeat()) return true;
  const ChainEnd end{position, hash, false};
  ends_[EndKey(zone, chain)] = {Seq(write.stamp().seq()), end};
  known_end_ = std::make_unique<KnownEnd>(KnownEnd{zone, chain, end});
  return true;
}

void PartitionReplica::ApplyZone(const wire::Write& write, StoreBatch* batch) {
  const RecordKey key = ZoneKey(write);
  RecordHeader present;
  if (write.repeat() && Find(key, &present) == ReadOutcome::kFound) return;
  if (write.kind() == wire::WRITE_KIND_PURGE_ZONE) {
    Overlay(key, std::nullopt);
    batch->changes.push_back(StoreBatch::EraseRecord{id_, key});
    return;
  }
  auto value = std::make_shared<const std::string>(write.zone_record().SerializeAsString());
  RecordHeader header{.stamp = StampOf(write.stamp()), .hash = Sha256({*value}), .size = value->size()};
  Overlay(key, header);
  batch->changes.push_back(StoreBatch::PutRecord{id_, key, header, value});
}

void PartitionReplica::Commit(Seq committed, StoreBatch* batch) {
  committed = std::min(committed, meta_.last.seq);
  if (committed <= meta_.committed) return;
  meta_.committed = committed;
  const auto begin = static_cast<std::ptrdiff_t>(batch->changes.size());
  auto next = unfinished_.begin();
  for (; next != unfinished_.end() && Seq(next->stamp().seq()) <= committed; ++next) Finish(*next, batch);
  // At last: a long range is erased bit by bit if nothing of the batch is written behind it. What comes before a range now is of no record in
  // it: nothing is deleted in a zone after its drop.
  std::stable_partition(batch->changes.begin() + begin, batch->changes.end(),
                        [](const auto& change) { return !std::holds_alternative<StoreBatch::EraseRange>(change); });
  bool finished = next != unfinished_.begin();
  unfinished_.erase(unfinished_.begin(), next);
  if (committed.value - std::min(committed.value, meta_.log_start.value) > 2 * log_keep_) {
    Prune(batch);
    finished = true;
  }
  if (finished) PutMeta(batch);
}

bool PartitionReplica::WillFinish(const Stamp& by) const {
  if (by.seq <= meta_.committed) return false;
  return std::any_of(unfinished_.begin(), unfinished_.end(), [&](const wire::Write& w) { return StampOf(w.stamp()) == by; });
}

void PartitionReplica::Finish(const wire::Write& write, StoreBatch* batch) {
  const ZoneId zone = ZoneId::Must(write.zone());
  switch (write.kind()) {
    case wire::WRITE_KIND_DELETE_CHUNK: {
      RecordHeader header;
      const RecordKey key = ChunkKey(write);
      if (Find(key, &header) == ReadOutcome::kFound && header.deleted && !header.value_gone) {
        RULE("R10.2 bytes go");
        if (Planted(Bug::kTombstoneEarly)) {
          Overlay(key, std::nullopt);
          batch->changes.push_back(StoreBatch::EraseRecord{id_, key});
          break;
        }
        header.value_gone = true;
        Overlay(key, header);
        batch->changes.push_back(StoreBatch::DropValue{id_, key, header});
      }
      break;
    }
    case wire::WRITE_KIND_DELETE_CHAIN:
      last_erasure_ = Seq(write.stamp().seq());
      batch->changes.push_back(EntriesOf(id_, zone, BlockId::Must(write.id())));
      break;
    case wire::WRITE_KIND_DROP_ZONE:
      last_erasure_ = Seq(write.stamp().seq());
      batch->changes.push_back(BlocksOf(id_, zone));
      break;
    default:
      break;
  }
}

void PartitionReplica::Prune(StoreBatch* batch) {
  const Seq start(meta_.committed.value - log_keep_);
  const auto hash = HashAt(start);
  if (!hash) return;
  batch->changes.push_back(StoreBatch::EraseLog{id_, meta_.log_start.Next(), start});
  meta_.log_start = start;
  meta_.log_start_hash = *hash;
}

void PartitionReplica::StartAt(Seq base, const Digest& hash, const Stamp& stamp, StoreBatch* batch) {
  ForgetEnd();
  // Exactly the rows there are: a store that had to look for them would wade through all that was erased behind them.
  if (meta_.log_start < meta_.last.seq) batch->changes.push_back(StoreBatch::EraseLog{id_, meta_.log_start.Next(), meta_.last.seq});
  SetLacking(meta_.lacks_to == Seq{} ? meta_.committed : meta_.lacks_after, base);
  meta_.last = {stamp.term, stamp.boot, base};
  meta_.last_hash = hash;
  meta_.committed = base;
  meta_.log_start = base;
  meta_.log_start_hash = hash;
  ++begun_;
  durable_ = Planted(Bug::kLogBeginCounts) ? base : Seq{};
  unfinished_.clear();
  PutMeta(batch);
}

void PartitionReplica::SetLacking(Seq after, Seq to) {
  const bool none = after >= to;
  if (!none) RULE("L10.6 noted");
  meta_.lacks_after = none ? Seq{} : after;
  meta_.lacks_to = none ? Seq{} : to;
}

void PartitionReplica::NoteContact(Term term, Boot boot, StoreBatch* batch) {
  meta_.contact_term = term;
  meta_.contact_boot = boot;
  if (batch) PutMeta(batch);
}

void PartitionReplica::Count(std::int64_t blocks, std::int64_t bytes, StoreBatch* batch) {
  auto add = [](std::uint64_t value, std::int64_t delta) {
    if (delta >= 0) return value + static_cast<std::uint64_t>(delta);
    return value - std::min(value, static_cast<std::uint64_t>(-delta));
  };
  meta_.blocks = add(meta_.blocks, blocks);
  meta_.bytes = add(meta_.bytes, bytes);
  PutMeta(batch);
}

void PartitionReplica::SetCounts(std::uint64_t blocks, std::uint64_t bytes, StoreBatch* batch) {
  meta_.blocks = blocks;
  meta_.bytes = bytes;
  PutMeta(batch);
}

void PartitionReplica::KeepCommitted(StoreBatch* batch) {
  if (kept_committed_ < meta_.committed) PutMeta(batch);
}

void PartitionReplica::PutMeta(StoreBatch* batch) {
  kept_committed_ = meta_.committed;
  batch->changes.push_back(StoreBatch::PutMeta{id_, meta_});
}

}  // namespace coffer::node
