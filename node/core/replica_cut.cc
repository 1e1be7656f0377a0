// Cutting off what was never committed (R4): each write is undone, from the end.
#include <algorithm>

#include "node/core/replica.h"
#include "node/core/write_keys.h"

namespace coffer::node {

bool PartitionReplica::CutTo(Seq fork, const Digest& hash, StoreBatch* batch, std::vector<QuarantinedWrite>* cut) {
  ForgetEnd();
  if (fork == meta_.last.seq) return true;
  if (fork < meta_.log_start || fork > meta_.last.seq) return false;
  std::vector<LogRecord> tail;
  if (store_.ReadLog(id_, fork.Next(), meta_.last.seq, &tail) == ReadOutcome::kFailed) return false;
  if (tail.size() != meta_.last.seq.value - fork.value) return false;
  const auto at_fork = LogAt(fork);
  const Stamp kept = at_fork ? StampOf(at_fork->stamp()) : Stamp{meta_.last.term, meta_.last.boot, fork};
  for (auto it = tail.rbegin(); it != tail.rend(); ++it) {
    std::optional<RecordKey> damaged;  // set aside without its bytes
    cut->push_back({id_, *it, BodiesOf(*it, &damaged)});
    if (!Undo(*it, kept, batch)) return false;
  }
  std::erase_if(unfinished_, [&](const wire::Write& w) { return Seq(w.stamp().seq()) > fork; });
  batch->changes.push_back(StoreBatch::EraseLog{id_, fork.Next(), meta_.last.seq});
  meta_.last = kept;
  meta_.last.seq = fork;
  meta_.last_hash = hash;
  meta_.committed = std::min(meta_.committed, fork);
  ++begun_;
  durable_ = fork;  // cut or not, the disk has it
  PutMeta(batch);
  return true;
}

bool PartitionReplica::Undo(const wire::Write& write, const Stamp& kept, StoreBatch* batch) {
  const Stamp stamp = StampOf(write.stamp());
  const ZoneId zone = ZoneId::Must(write.zone());
  auto erase_if_ours = [&](const RecordKey& key) {
    RecordHeader header;
    if (Find(key, &header) != ReadOutcome::kFound || header.stamp != stamp) return false;
    Overlay(key, std::nullopt);
    batch->changes.push_back(StoreBatch::EraseRecord{id_, key});
    return true;
  };
  switch (write.kind()) {
    case wire::WRITE_KIND_PUT_CHUNK:
      erase_if_ours(ChunkKey(write));
      break;
    case wire::WRITE_KIND_APPEND:
      for (int i = 0; i < write.items_size(); ++i) {
        erase_if_ours(EntryKey(zone, BlockId::Must(write.id()), write.position() + static_cast<std::uint64_t>(i)));
      }
      // The store still shows the entries until this is durable.
      if (!write.repeat()) {
        ends_[EndKey(zone, BlockId::Must(write.id()))] = {meta_.last.seq, {write.position(), Digest::Must(write.items(0).predecessor()), false}};
      }
      break;
    case wire::WRITE_KIND_DELETE_CHUNK: {
      RecordHeader header;
      const RecordKey key = ChunkKey(write);
      if (Find(key, &header) == ReadOutcome::kFound && header.deleted && header.deleted_by == stamp) {
        if (header.stamp == stamp) {
          erase_if_ours(key);
          break;
        }
        header.deleted = header.value_gone = false;
        header.deleted_by = {};
        Overlay(key, header);
        batch->changes.push_back(StoreBatch::SetHeader{id_, key, header});
      }
      break;
    }
    case wire::WRITE_KIND_DELETE_CHAIN:
      erase_if_ours(ChainDeleteKey(zone, BlockId::Must(write.id())));
      ends_.erase(EndKey(zone, BlockId::Must(write.id())));
      break;
    case wire::WRITE_KIND_DROP_ZONE:
      erase_if_ours(DropKey(zone));
      break;
    case wire::WRITE_KIND_CREATE_ZONE:
      erase_if_ours(ZoneKey(write));
      break;
    case wire::WRITE_KIND_DELETE_ZONE:
    case wire::WRITE_KIND_PURGE_ZONE: {
      wire::Write before = write;
      before.mutable_zone_record()->set_deleting(write.kind() == wire::WRITE_KIND_PURGE_ZONE);
      before.set_kind(wire::WRITE_KIND_CREATE_ZONE);
      SetStamp(kept, before.mutable_stamp());  // what wrote it is not known any more; that it is not beyond the fork is
      ApplyZone(before, batch);
      break;
    }
    default:
      return false;
  }
  if (!write.repeat()) {
    if (HasBodies(write)) {
      for (const auto& item : write.items()) meta_.bytes -= std::min(meta_.bytes, item.size());
      if (write.kind() == wire::WRITE_KIND_PUT_CHUNK || write.position() == 0) meta_.blocks -= std::min<std::uint64_t>(meta_.blocks, 1);
    }
    meta_.blocks += write.removed_blocks();
    meta_.bytes += write.removed_bytes();
  }
  return true;
}

}  // namespace coffer::node
