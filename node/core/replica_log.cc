// What the log of a partition tells: hashes, marks, and writes to be sent again with their bodies.
#include "node/core/replica.h"
#include "node/core/write_keys.h"

namespace coffer::node {

std::optional<wire::Write> PartitionReplica::LogAt(Seq seq) const {
  if (!window_.empty()) {
    const std::uint64_t first = window_.front().write->stamp().seq();
    if (seq.value >= first && seq.value - first < window_.size()) return *window_[seq.value - first].write;
  }
  std::vector<LogRecord> one;
  if (store_.ReadLog(id_, seq, seq, &one) == ReadOutcome::kFailed || one.empty()) return std::nullopt;
  return one[0];
}

std::optional<Digest> PartitionReplica::HashAt(Seq seq) const {
  if (seq == meta_.last.seq) return meta_.last_hash;
  if (seq == meta_.log_start) return meta_.log_start_hash;
  if (seq < meta_.log_start || seq > meta_.last.seq) return std::nullopt;
  const auto write = LogAt(seq);
  if (!write) return std::nullopt;
  return Digest::Must(write->hash());
}

ReadOutcome PartitionReplica::ReadTail(std::vector<LogRecord>* tail) const {
  return store_.ReadLog(id_, meta_.committed.Next(), durable_, tail);
}

bool PartitionReplica::Holds(Seq seq, std::string_view hash) const {
  if (const auto own = HashAt(seq)) return own->view() == hash;
  if (seq < meta_.log_start || seq > meta_.last.seq) return false;
  const auto theirs = Digest::From(hash);
  const auto next = LogAt(seq.Next());
  return theirs && next && HashWrite(*theirs, *next).view() == next->hash();
}

std::vector<wire::LogMark> PartitionReplica::Marks() const {
  std::vector<wire::LogMark> marks(1);
  marks[0].set_seq(meta_.log_start.value);
  marks[0].set_hash(meta_.log_start_hash.str());
  std::vector<LogRecord> log;
  const auto name = [&marks](Seq seq, std::string_view hash) {
    auto& mark = marks.emplace_back();
    mark.set_seq(seq.value);
    mark.set_hash(std::string(hash));
  };
  (void)store_.ReadLog(id_, meta_.log_start.Next(), durable_, &log);
  for (const auto& write : log) name(Seq(write.stamp().seq()), write.hash());
  // A line that can't be read is not named, but those behind it are: a log that seemed to end there would have to be cut, and what is
  // committed is not (R4.6).
  for (Seq seq = Seq(marks.back().seq()).Next(); seq <= durable_; seq = seq.Next()) {
    if (const auto hash = HashAt(seq)) name(seq, hash->view());
  }
  return marks;
}

std::vector<Payload> PartitionReplica::BodiesOf(const wire::Write& write, std::optional<RecordKey>* damaged) const {
  std::vector<Payload> bodies;
  if (!HasBodies(write)) return bodies;
  const ZoneId zone = ZoneId::Must(write.zone());
  for (int i = 0; i < write.items_size(); ++i) {
    const RecordKey key = write.kind() == wire::WRITE_KIND_PUT_CHUNK
                              ? ChunkKey(write)
                              : EntryKey(zone, BlockId::Must(write.id()), write.position() + static_cast<std::uint64_t>(i));
    RecordHeader header;
    Payload value;
    const ReadOutcome outcome = store_.Read(id_, key, &header, &value);
    if (outcome == ReadOutcome::kDamaged || outcome == ReadOutcome::kFailed) *damaged = key;
    if (outcome != ReadOutcome::kFound || !value) value = std::make_shared<const std::string>();
    bodies.push_back(std::move(value));
  }
  return bodies;
}

std::optional<std::vector<PartitionReplica::WriteWithBodies>> PartitionReplica::WritesAfter(Seq from,
                                                                                          std::uint64_t max_bytes,
                                                                                          std::optional<RecordKey>* damaged) const {
  if (from < meta_.log_start) return std::nullopt;
  std::vector<WriteWithBodies> out;
  std::uint64_t bytes = 0;
  auto full = [&] { return !out.empty() && bytes >= max_bytes; };
  auto add = [&](WriteWithBodies w) {
    for (const auto& body : w.bodies) bytes += body ? body->size() : 0;
    bytes += 256;
    out.push_back(std::move(w));
  };
  for (Seq seq = from.Next(); seq <= durable_ && !full(); seq = seq.Next()) {
    std::vector<LogRecord> one;
    if (store_.ReadLog(id_, seq, seq, &one) == ReadOutcome::kFailed || one.empty()) return std::nullopt;
    auto bodies = BodiesOf(one[0], damaged);
    if (*damaged) return std::nullopt;
    add({std::make_shared<const wire::Write>(std::move(one[0])), std::move(bodies)});
  }
  if (full()) return out;
  for (const auto& pending : window_) {
    if (full()) break;
    if (Seq(pending.write->stamp().seq()) > from) add(pending);
  }
  return out;
}

}  // namespace coffer::node
