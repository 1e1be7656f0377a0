#include "sim/check_acks.h"

#include <algorithm>

namespace coffer::sim {
namespace {

using node::ReadOutcome;
using node::RecordKey;
using node::RecordKind;

// So long a primary may count on a disk that is gone: until it has seen the links of its process end.
constexpr Duration kUnmissed = std::chrono::seconds(5);

}  // namespace

AckChecker::Complaint AckChecker::Judge(const Acknowledgement& a) {
  const std::string what = a.what + " was acknowledged by " + a.by;
  if (!a.decided) return what + " under a layout that was not decided (I12)";
  if (a.copies >= a.min_copies && (a.copies >= 2 || a.in_sync == 1)) return std::nullopt;
  return what + " with " + std::to_string(a.copies) + " copies; in_sync has " + std::to_string(a.in_sync) + " members, and min_copies is " +
         std::to_string(a.min_copies) + " (I12)";
}

std::optional<AckChecker::Write> AckChecker::WriteOf(const PeerMessage& message) {
  const auto& request = message.header.data_request();
  const ZoneId zone = ZoneId::Must(request.zone());
  Write write;
  write.partition = request.partition();
  if (request.has_put_chunk()) write.key = {zone, RecordKind::kChunk, BlockId::Must(request.put_chunk().id()), 0};
  else if (request.has_delete_chunk()) write.key = {zone, RecordKind::kChunk, BlockId::Must(request.delete_chunk().id()), 0};
  else if (request.has_delete_chain()) write.key = {zone, RecordKind::kChainDelete, BlockId::Must(request.delete_chain().chain()), 0};
  else if (request.has_append()) {
    const auto& append = request.append();
    write.key = {zone, RecordKind::kEntry, BlockId::Must(append.chain()), append.position() + message.bodies.size() - 1};
  } else {
    return std::nullopt;
  }
  write.deletes = request.has_delete_chunk();
  return write;
}

// A damaged record is one that was there. What was deleted since, with its chain or its zone, is held by the mark of that.
bool AckChecker::Holds(const SimNode& n, const Write& write, const std::optional<Digest>& hash) const {
  node::RecordHeader header;
  const auto outcome = n.store.Lookup(write.partition, write.key, &header);
  if (outcome == ReadOutcome::kDamaged) return true;
  if (outcome == ReadOutcome::kFound && (!hash || header.hash == *hash) && (header.deleted || !write.deletes)) return true;
  RecordKey cover{write.key.zone, RecordKind::kZoneDrop, BlockId{}, 0};
  if (n.store.Lookup(write.partition, cover, &header) == ReadOutcome::kFound) return true;
  if (write.key.kind != RecordKind::kEntry) return false;
  cover = {write.key.zone, RecordKind::kChainDelete, write.key.id, 0};
  return n.store.Lookup(write.partition, cover, &header) == ReadOutcome::kFound;
}

std::uint32_t AckChecker::Copies(const cluster::Layout& layout, const SimNode& primary, const Write& write, std::uint32_t enough) const {
  // Once what covers it is committed the primary has let go of an entry, and others may have it still.
  node::RecordHeader own;
  std::optional<Digest> hash;
  if (primary.store.Lookup(write.partition, write.key, &own) == ReadOutcome::kFound) hash = own.hash;
  const auto& group = layout.group(write.partition);
  std::uint32_t copies = 0;
  for (const auto m : group.in_sync) {
    const auto i = cluster_.IndexOf(layout.members[m].id);
    if (i && !cluster_.node(*i).Lost() && Holds(cluster_.node(*i), write, hash)) ++copies;
  }
  for (std::size_t i = 0; i < cluster_.size() && copies < enough; ++i) {
    const SimNode& n = cluster_.node(i);
    const auto member = layout.IndexOf(n.id);
    if (n.Lost() || (member != cluster::kNoMember && group.InSync(member))) continue;  // those were counted
    if (Holds(n, write, hash)) ++copies;
  }
  return copies;
}

AckChecker::Complaint AckChecker::Sent(const NodeId& from, const NodeId& to, const PeerMessage& message) {
  if (message.header.has_data_request()) {
    if (auto write = WriteOf(message)) {
      write->sent = cluster_.now();
      asked_[{to, from, message.header.data_request().call()}] = *write;
    }
    return std::nullopt;
  }
  if (!message.header.has_data_response()) return std::nullopt;
  const auto& response = message.header.data_response();
  if (response.fenced() || response.status().code() != 0) return std::nullopt;
  const auto asked = asked_.find({from, to, response.call()});
  const auto i = cluster_.IndexOf(from);
  if (asked == asked_.end() || !i) return std::nullopt;
  const SimNode& by = cluster_.node(*i);
  const auto layout = by.core ? by.core->layout() : nullptr;
  if (!layout) return std::nullopt;
  const Write& write = asked->second;
  Acknowledgement a;
  a.what = "a write to " + Hex(write.key.id.view()).substr(0, 8) + " (partition " + std::to_string(write.partition) + ")";
  a.by = by.name;
  a.decided = layouts_.Of(layout->epoch) != nullptr;
  a.in_sync = layout->group(write.partition).in_sync.size();
  a.min_copies = layout->settings.min_copies;
  const std::uint32_t enough = std::max<std::uint32_t>(2, a.min_copies);
  const bool may_miss = lost_at_ && write.sent <= *lost_at_ + kUnmissed;
  a.copies = may_miss ? enough : Copies(*layout, by, write, enough);
  return Judge(a);
}

}  // namespace coffer::sim
