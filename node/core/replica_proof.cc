// What the log proves about a record that can't be read, and about a copy of it from elsewhere.
#include "node/core/replica.h"

namespace coffer::node {
namespace {

bool Changes(const wire::Write& w, const RecordKey& key) {
  if (w.zone() != key.zone.view()) return false;
  const bool same = w.id() == key.id.view();
  switch (w.kind()) {
    case wire::WRITE_KIND_PUT_CHUNK:
    case wire::WRITE_KIND_DELETE_CHUNK:
      return same && key.kind == RecordKind::kChunk;
    case wire::WRITE_KIND_APPEND:
      return same && key.kind == RecordKind::kEntry && key.position >= w.position() &&
             key.position - w.position() < static_cast<std::uint64_t>(w.items_size());
    case wire::WRITE_KIND_DELETE_CHAIN:
      return same && (key.kind == RecordKind::kEntry || key.kind == RecordKind::kChainDelete);
    case wire::WRITE_KIND_CREATE_ZONE:
    case wire::WRITE_KIND_DELETE_ZONE:
    case wire::WRITE_KIND_PURGE_ZONE:
      return same && key.kind == RecordKind::kZone;
    default:
      return true;  // the whole zone
  }
}

}  // namespace

bool PartitionReplica::IsOurs(const RecordKey& key, const RecordHeader& header, Seq known) const {
  if (known < meta_.log_start) return false;  // what changed it since may be forgotten here
  auto made_by_ours = [&](const Stamp& stamp) {
    if (stamp.seq <= known) return true;
    const auto write = LogAt(stamp.seq);
    return write && StampOf(write->stamp()) == stamp;
  };
  if (!made_by_ours(header.stamp) || (header.deleted && !made_by_ours(header.deleted_by))) return false;
  for (Seq seq = known.Next(); seq <= meta_.last.seq; seq = seq.Next()) {
    const auto write = LogAt(seq);
    if (!write) return false;
    const Stamp stamp = StampOf(write->stamp());
    if (Changes(*write, key) && stamp != header.stamp && stamp != header.deleted_by) return false;
  }
  return true;
}

bool PartitionReplica::MayHaveChanged(const RecordKey& key, Seq seq) const {
  if (seq < meta_.log_start) return true;
  for (seq = seq.Next(); seq <= meta_.last.seq; seq = seq.Next()) {
    const auto write = LogAt(seq);
    if (!write || Changes(*write, key)) return true;
  }
  return false;
}

std::optional<RecordHeader> PartitionReplica::HeaderFromLog(const RecordKey& key) const {
  for (Seq seq = meta_.last.seq; seq > meta_.log_start; seq = Seq(seq.value - 1)) {
    const auto write = LogAt(seq);
    if (!write) return std::nullopt;
    if (!Changes(*write, key)) continue;
    const bool put = write->kind() == wire::WRITE_KIND_PUT_CHUNK;
    const bool append = write->kind() == wire::WRITE_KIND_APPEND;
    const bool deleted = write->kind() == wire::WRITE_KIND_DELETE_CHUNK;
    if (!put && !append && !deleted) return std::nullopt;
    const auto& item = write->items(append ? static_cast<int>(key.position - write->position()) : 0);
    RecordHeader header{.stamp = {}, .hash = Digest::Must(item.hash()), .size = item.size()};
    // A write ordered again found the record there: who undoes it must not take the record along.
    if (!deleted && !write->repeat()) header.stamp = StampOf(write->stamp());
    if (append) {
      header.predecessor = Digest::Must(item.predecessor());
      header.signature = item.signature();
    }
    if (deleted) {
      header.deleted = true;
      header.deleted_by = StampOf(write->stamp());
      header.value_gone = seq <= meta_.committed;
    }
    return header;
  }
  return std::nullopt;
}

}  // namespace coffer::node
