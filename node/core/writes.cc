#include "node/core/writes.h"

#include "cluster/placement.h"
#include "cluster/sha256.h"
#include "node/core/forget.h"
#include "node/core/refusal.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;

wire::Write NewWrite(wire::WriteKind kind, const ZoneId& zone, std::string_view id) {
  wire::Write write;
  write.set_kind(kind);
  write.set_zone(zone.str());
  write.set_id(std::string(id));
  return write;
}

void FillHead(std::uint64_t length, const Digest& hash, coffer::v1::ChainHead* head) {
  head->set_length(length);
  head->set_hash(hash.str());
}

}  // namespace

bool Writes::Takes(const wire::DataRequest& r) {
  return r.has_put_chunk() || r.has_delete_chunk() || r.has_append() || r.has_delete_chain() || r.has_create_zone() ||
         r.has_delete_zone() || r.has_drop_zone();
}

void Writes::Handle(const NodeId& from, wire::DataRequest request, std::vector<Payload> bodies) {
  Request r{request.partition(), ZoneId::Must(request.zone()),
            Waiter{from, request.call(), ctx_.now + milliseconds(request.deadline_ms()), ctx_.Hold(bodies)}, std::move(request), std::move(bodies)};
  Decide(std::move(r));
}

void Writes::Decide(Request r) {
  if (!ctx_.LeadsIn(Term(r.wire.term()), r.partition)) return AnswerFenced(ctx_, r.waiter);
  const bool adds = r.wire.has_put_chunk() || r.wire.has_append() || r.wire.has_create_zone();
  if (auto refusal = primaries_.WhyNoWrites(r.partition, adds)) {
    return RefuseOrAwait(std::move(r), *refusal);
  }
  if (!r.zone.IsZero() && !r.wire.has_drop_zone()) {
    bool dropped = false;
    const auto outcome = ctx_.Replica(r.partition).ZoneDropped(r.zone, &dropped);
    if (Troubled(r, outcome, {r.zone, RecordKind::kZoneDrop, BlockId{}, 0})) return;
    if (dropped && !Planted(Bug::kZoneDropIgnored)) return AnswerRefusal(ctx_, r.waiter, Refuse(Code::kNotFound, "ZONE_DELETED", "the zone was deleted; nothing was written"));
  }
  if (r.wire.has_put_chunk()) return PutChunk(std::move(r));
  if (r.wire.has_delete_chunk()) return DeleteChunk(std::move(r));
  if (r.wire.has_append()) return Append(std::move(r));
  if (r.wire.has_delete_chain()) return DeleteChain(std::move(r));
  if (r.wire.has_create_zone()) return CreateZone(std::move(r));
  if (r.wire.has_delete_zone()) return DeleteZone(std::move(r));
  DropZone(std::move(r));
}

// A partition whose term has just begun is served in a moment: sooner than the asker would ask again.
void Writes::RefuseOrAwait(Request r, const google::rpc::Status& refusal) {
  const auto held = std::make_shared<Request>(std::move(r));
  const bool waits = primaries_.WhenActive(held->partition, held->waiter, [this, held] { Decide(std::move(*held)); },
                                           [this, held, refusal] { AnswerRefusal(ctx_, held->waiter, refusal); });
  if (!waits) AnswerRefusal(ctx_, held->waiter, refusal);
}

Primaries::Done Writes::Answering(const Request& r, wire::DataResponse response) {
  return [this, waiter = r.waiter, response = std::move(response)]() mutable { Answer(ctx_, waiter, std::move(response)); };
}

void Writes::Order(Request& r, wire::Write write, std::vector<Payload> bodies, Primaries::Done done) {
  const auto refusal = primaries_.Order(r.partition, std::move(write), std::move(bodies), r.waiter, std::move(done));
  if (refusal) AnswerRefusal(ctx_, r.waiter, *refusal);
}

void Writes::Repeat(Request& r, Seq seq, wire::Write write, std::vector<Payload> bodies, Primaries::Done done) {
  if (primaries_.StandingOf(r.partition, seq) == Primaries::Standing::kOrderAgain) {
    write.set_repeat(true);
    return Order(r, std::move(write), std::move(bodies), std::move(done));
  }
  RULE("R6.1 waits");
  if (Planted(Bug::kRepeatUnacknowledged)) return done();
  primaries_.WhenAcknowledged(r.partition, seq, r.waiter, std::move(done));
}

void Writes::AnswerCommitted(Request& r, Seq seq, wire::DataResponse response) {
  primaries_.WhenCommitted(r.partition, seq, r.waiter, Answering(r, std::move(response)));
}

bool Writes::Unconfirmed(Request& r) {
  if (r.confirmed) return false;
  RULE("R6.4");
  reads_.Confirm(r.partition, r.waiter.deadline, [this, request = r](bool confirmed) mutable {
    if (!confirmed) return AnswerFenced(ctx_, request.waiter);
    request.confirmed = true;
    Decide(std::move(request));
  });
  return true;
}

void Writes::AnswerAbsent(Request& r, google::rpc::Status status) {
  reads_.Confirm(r.partition, r.waiter.deadline, [this, waiter = r.waiter, status = std::move(status)](bool confirmed) {
    confirmed ? AnswerRefusal(ctx_, waiter, status) : AnswerFenced(ctx_, waiter);
  });
}

bool Writes::Troubled(Request& r, ReadOutcome outcome, const RecordKey& key) {
  if (outcome == ReadOutcome::kFound || outcome == ReadOutcome::kAbsent) return false;
  hooks_.repair(r.partition, key);
  AnswerRefusal(ctx_, r.waiter,
                Refuse(Code::kUnavailable, "REPAIRING", "a damaged record is being fetched from the other copy; nothing was written",
                       milliseconds(50)));
  return true;
}

bool Writes::Unreadable(Request& r, ReadOutcome scan) {
  if (scan == ReadOutcome::kFound) return false;
  AnswerRefusal(ctx_, r.waiter, RefuseUnreadable(r.partition));
  return true;
}

void Writes::PutChunk(Request r) {
  const auto id = BlockId::From(r.wire.put_chunk().id());
  const std::uint64_t limit = ctx_.layout->settings.chunk_limit_bytes;
  if (!id || r.bodies.size() != 1 || !r.bodies[0] || r.bodies[0]->size() > limit) {
    return AnswerRefusal(ctx_, r.waiter,
                         Refuse(Code::kInvalidArgument, "BAD_REQUEST",
                                "a chunk has a 32-byte id and at most " + std::to_string(limit) + " bytes; nothing was written"));
  }
  const RecordKey key{r.zone, RecordKind::kChunk, *id, 0};
  RecordHeader header;
  const ReadOutcome outcome = ctx_.Replica(r.partition).Find(key, &header);
  if (Troubled(r, outcome, key)) return;
  const Digest hash = Sha256({*r.bodies[0]});
  wire::Write write = NewWrite(wire::WRITE_KIND_PUT_CHUNK, r.zone, id->view());
  auto* item = write.add_items();
  item->set_hash(hash.str());
  item->set_size(r.bodies[0]->size());
  wire::DataResponse response = Response(r);
  if (outcome == ReadOutcome::kAbsent) {
    response.set_already_existed(false);
    return Order(r, std::move(write), r.bodies, Answering(r, std::move(response)));
  }
  if (header.deleted) {
    *response.mutable_status() = Refuse(Code::kFailedPrecondition, "CHUNK_DELETED",
                                        "chunk " + Hex(id->view()) + " was deleted; its id can't be used again. Nothing was written.");
    return AnswerCommitted(r, header.deleted_by.seq, std::move(response));
  }
  if (Unconfirmed(r)) return;
  if (header.hash != hash) {
    *response.mutable_status() = Refuse(Code::kAlreadyExists, "CHUNK_EXISTS",
                                        "chunk " + Hex(id->view()) + " exists with other bytes; nothing was written");
    return AnswerCommitted(r, header.stamp.seq, std::move(response));
  }
  response.set_already_existed(true);
  if (hooks_.lost(r.partition, key)) return Restore(r, key, std::move(write), std::move(response));
  Repeat(r, header.stamp.seq, std::move(write), r.bodies, Answering(r, std::move(response)));
}

// The bytes were just shown to be those that no copy has any more: written again everywhere, as a repeated write is.
void Writes::Restore(Request& r, const RecordKey& key, wire::Write write, wire::DataResponse response) {
  RULE("R6.5");
  write.set_repeat(true);
  Order(r, std::move(write), r.bodies, [this, waiter = r.waiter, response = std::move(response), partition = r.partition, key]() mutable {
    hooks_.restored(partition, key);
    Answer(ctx_, waiter, std::move(response));
  });
}

void Writes::DeleteChunk(Request r) {
  const auto id = BlockId::From(r.wire.delete_chunk().id());
  if (!id) return AnswerRefusal(ctx_, r.waiter, Refuse(Code::kInvalidArgument, "BAD_REQUEST", "a chunk id has 32 bytes"));
  const RecordKey key{r.zone, RecordKind::kChunk, *id, 0};
  RecordHeader header;
  const ReadOutcome outcome = ctx_.Replica(r.partition).Find(key, &header);
  if (Troubled(r, outcome, key)) return;
  if (outcome == ReadOutcome::kAbsent) {
    return AnswerAbsent(r, Refuse(Code::kNotFound, "CHUNK_NOT_FOUND", "no chunk " + Hex(id->view()) + " in this zone"));
  }
  wire::Write write = NewWrite(wire::WRITE_KIND_DELETE_CHUNK, r.zone, id->view());
  auto* item = write.add_items();
  item->set_hash(header.hash.str());
  item->set_size(header.size);
  // Repeated or not: who asked first may have gone before it was acknowledged, and then nobody was told.
  Primaries::Done done = [this, waiter = r.waiter, response = Response(r), zone = r.zone, chunk = *id]() mutable {
    TellRouters(ctx_, zone, chunk);
    Answer(ctx_, waiter, std::move(response));
  };
  if (header.deleted) return Repeat(r, header.deleted_by.seq, std::move(write), {}, std::move(done));
  write.set_removed_blocks(1);
  write.set_removed_bytes(header.size);
  Order(r, std::move(write), {}, std::move(done));
}

void Writes::Conflict(Request& r, const ChainEnd& end) {
  RULE("R6.2 conflict");
  wire::DataResponse response = Response(r);
  *response.mutable_status() =
      Refuse(Code::kAborted, "APPEND_CONFLICT",
             "the chain has " + std::to_string(end.length) + " entries and another last hash; nothing was appended. Read the head, "
             "then append to it.");
  coffer::v1::AppendConflict conflict;
  FillHead(end.length, end.hash, conflict.mutable_head());
  response.mutable_status()->add_details()->PackFrom(conflict);
  FillHead(end.length, end.hash, response.mutable_head()->mutable_head());
  AnswerCommitted(r, ctx_.Replica(r.partition).last(), std::move(response));
}

void Writes::Append(Request r) {
  const auto& op = r.wire.append();
  const auto chain = BlockId::From(op.chain());
  const std::string zeros(Digest::kSize, '\0');
  const auto predecessor = Digest::From(op.predecessor().empty() ? zeros : op.predecessor());
  const std::uint64_t limit = ctx_.layout->settings.chunk_limit_bytes;
  std::uint64_t bytes = 0;
  for (const Payload& body : r.bodies) bytes += body ? body->size() : 0;
  if (!chain || !predecessor || r.bodies.empty() || r.bodies.size() > 1000 || bytes > limit ||
      static_cast<std::size_t>(op.signatures_size()) > r.bodies.size()) {
    return AnswerRefusal(ctx_, r.waiter,
                         Refuse(Code::kInvalidArgument, "BAD_REQUEST",
                                "an append has a 32-byte chain and predecessor and 1 to 1000 entries of together at most " +
                                    std::to_string(limit) + " bytes; nothing was written"));
  }
  PartitionReplica& replica = ctx_.Replica(r.partition);
  ChainEnd end;
  const ReadOutcome outcome = replica.FindEnd(r.zone, *chain, &end);
  if (Troubled(r, outcome, {r.zone, RecordKind::kEntry, *chain, end.length ? end.length - 1 : 0})) return;
  wire::DataResponse response = Response(r);
  if (end.deleted) {
    *response.mutable_status() = Refuse(Code::kFailedPrecondition, "CHAIN_DELETED",
                                        "chain " + Hex(chain->view()) + " was deleted; its id can't be used again. Nothing was written.");
    return AnswerCommitted(r, replica.last(), std::move(response));
  }
  wire::Write write = NewWrite(wire::WRITE_KIND_APPEND, r.zone, chain->view());
  write.set_position(op.position());
  Digest previous = *predecessor;
  for (std::size_t i = 0; i < r.bodies.size(); ++i) {
    auto* item = write.add_items();
    const int index = static_cast<int>(i);
    if (index < op.signatures_size()) item->set_signature(op.signatures(index));
    item->set_predecessor(previous.str());
    previous = EntryHash(*chain, op.position() + i, previous, item->signature(), *r.bodies[i]);
    item->set_hash(previous.str());
    item->set_size(r.bodies[i]->size());
  }
  FillHead(op.position() + r.bodies.size(), previous, response.mutable_head()->mutable_head());
  if (end.length == op.position() && end.hash == *predecessor) return Order(r, std::move(write), r.bodies, Answering(r, std::move(response)));
  if (Unconfirmed(r)) return;
  if (op.position() + r.bodies.size() > end.length) return Conflict(r, end);
  // A repeat finds its own entries in place: the hash of the last one names all before it.
  const RecordKey last{r.zone, RecordKind::kEntry, *chain, op.position() + r.bodies.size() - 1};
  RecordHeader header;
  const ReadOutcome found = replica.Find(last, &header);
  if (found != ReadOutcome::kAbsent && Troubled(r, found, last)) return;
  if (found == ReadOutcome::kAbsent || header.hash != previous) return Conflict(r, end);
  RULE("R6.2 own entry");
  response.mutable_head()->set_already_existed(true);
  Repeat(r, header.stamp.seq, std::move(write), r.bodies, Answering(r, std::move(response)));
}

void Writes::DeleteChain(Request r) {
  const auto chain = BlockId::From(r.wire.delete_chain().chain());
  if (!chain) return AnswerRefusal(ctx_, r.waiter, Refuse(Code::kInvalidArgument, "BAD_REQUEST", "a chain id has 32 bytes"));
  PartitionReplica& replica = ctx_.Replica(r.partition);
  ChainEnd end;
  const ReadOutcome outcome = replica.FindEnd(r.zone, *chain, &end);
  if (Troubled(r, outcome, {r.zone, RecordKind::kEntry, *chain, 0})) return;
  if (outcome == ReadOutcome::kAbsent) {
    return AnswerAbsent(r, Refuse(Code::kNotFound, "CHAIN_NOT_FOUND", "no chain " + Hex(chain->view()) + " in this zone"));
  }
  wire::Write write = NewWrite(wire::WRITE_KIND_DELETE_CHAIN, r.zone, chain->view());
  if (end.deleted) {
    RecordHeader mark;
    const RecordKey mark_key{r.zone, RecordKind::kChainDelete, *chain, 0};
    if (Troubled(r, replica.Find(mark_key, &mark), mark_key)) return;
    return Repeat(r, mark.stamp.seq, std::move(write), {}, Answering(r, Response(r)));
  }
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  std::string after = EncodeKey({r.zone, RecordKind::kEntry, *chain, ~std::uint64_t{0}});
  after.resize(after.size() - 8);
  const std::string last = EncodeKey({r.zone, RecordKind::kEntry, *chain, 0});
  if (Unreadable(r, replica.CountLive(after, last, &blocks, &bytes))) return;
  write.set_removed_blocks(1);
  write.set_removed_bytes(bytes);
  Order(r, std::move(write), {}, Answering(r, Response(r)));
}

bool Writes::ZoneGone(Request& r, const ZoneId& zone, bool* gone) {
  const auto outcome = ctx_.Replica(r.partition).ZoneDropped(zone, gone);
  return !Troubled(r, outcome, {zone, RecordKind::kZoneDrop, BlockId{}, 0});
}

void Writes::CreateZone(Request r) {
  const auto& zone = r.wire.create_zone().zone();
  const auto id = ZoneId::From(zone.id());
  const Digest name = Sha256({zone.name()});
  if (!id || id->IsZero() || zone.name().empty() || r.partition != cluster::RegistryPartition(ctx_.layout->partition_count())) {
    return AnswerRefusal(ctx_, r.waiter, Refuse(Code::kInvalidArgument, "BAD_REQUEST", "not a zone record; nothing was written"));
  }
  PartitionReplica& replica = ctx_.Replica(r.partition);
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockId::Must(name.view()), 0};
  bool gone = false;
  if (!ZoneGone(r, *id, &gone)) return;
  RecordHeader header;
  wire::ZoneRecord present;
  const ReadOutcome outcome = replica.FindZone(key, &header, &present);
  if (Troubled(r, outcome, key)) return;
  wire::Write write = NewWrite(wire::WRITE_KIND_CREATE_ZONE, ZoneId{}, name.view());
  *write.mutable_zone_record() = zone;
  write.mutable_zone_record()->set_deleting(false);
  wire::DataResponse response = Response(r);
  const bool same = outcome == ReadOutcome::kFound && present.id() == zone.id();
  if (gone || (same && present.deleting())) {
    RULE("R6.3 deleted since");
    // The registration may be purged by now: what says so is everything up to here.
    *response.mutable_status() = Refuse(Code::kNotFound, "ZONE_DELETED", "this zone was created and deleted since; nothing was created");
    return AnswerCommitted(r, replica.last(), std::move(response));
  }
  if (outcome == ReadOutcome::kFound && Unconfirmed(r)) return;
  if (same) *write.mutable_zone_record() = present;
  write.add_items()->set_hash(Sha256({write.zone_record().SerializeAsString()}).str());
  *response.mutable_zones()->add_zones() = write.zone_record();
  if (same) {
    RULE("R6.3 made again");
    return Repeat(r, header.stamp.seq, std::move(write), {}, Answering(r, std::move(response)));
  }
  if (outcome == ReadOutcome::kAbsent) return Order(r, std::move(write), {}, Answering(r, std::move(response)));
  response.clear_result();
  *response.mutable_status() = Refuse(Code::kAlreadyExists, "ZONE_EXISTS",
                                      "a zone named \"" + zone.name() + "\" exists, or is being deleted still; nothing was created");
  AnswerCommitted(r, header.stamp.seq, std::move(response));
}

void Writes::DeleteZone(Request r) {
  const std::string& name = r.wire.delete_zone().name();
  const std::string& wanted = r.wire.delete_zone().zone();
  PartitionReplica& replica = ctx_.Replica(r.partition);
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockId::Must(Sha256({name}).view()), 0};
  RecordHeader header;
  wire::Write write = NewWrite(wire::WRITE_KIND_DELETE_ZONE, ZoneId{}, key.id.view());
  wire::ZoneRecord& record = *write.mutable_zone_record();
  const ReadOutcome outcome = replica.FindZone(key, &header, &record);
  if (Troubled(r, outcome, key)) return;
  if (outcome == ReadOutcome::kAbsent || record.id() != wanted) {
    bool gone = false;
    if (!ZoneGone(r, ZoneId::Must(wanted), &gone)) return;
    // A registration is purged only once the zone is dropped everywhere.
    if (gone) return AnswerCommitted(r, replica.last(), Response(r));
    return AnswerAbsent(r, Refuse(Code::kNotFound, "ZONE_UNKNOWN", "no zone \"" + name + "\" of this id"));
  }
  const bool ordered = record.deleting();
  record.set_deleting(true);
  auto drop = [this, waiter = r.waiter, zone = record] { hooks_.zone_deleted(zone, waiter); };
  // Blocks are dropped only for a deletion that can't be cut off any more.
  if (ordered) return primaries_.WhenCommitted(r.partition, header.stamp.seq, r.waiter, std::move(drop));
  const auto refusal = primaries_.Order(r.partition, write, {}, r.waiter, std::move(drop));
  if (refusal) return AnswerRefusal(ctx_, r.waiter, *refusal);
  hooks_.zone_marked();
}

void Writes::DropZone(Request r) {
  PartitionReplica& replica = ctx_.Replica(r.partition);
  wire::Write write = NewWrite(wire::WRITE_KIND_DROP_ZONE, r.zone, "");
  const RecordKey key{r.zone, RecordKind::kZoneDrop, BlockId{}, 0};
  RecordHeader mark;
  const ReadOutcome outcome = replica.Find(key, &mark);
  if (Troubled(r, outcome, key)) return;
  if (outcome == ReadOutcome::kFound) return Repeat(r, mark.stamp.seq, std::move(write), {}, Answering(r, Response(r)));
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  if (Unreadable(r, replica.CountLive(r.zone.view(), r.zone.str() + std::string(64, '\xff'), &blocks, &bytes))) return;
  write.set_removed_blocks(blocks);
  write.set_removed_bytes(bytes);
  Order(r, std::move(write), {}, Answering(r, Response(r)));
}

void Writes::PurgeZone(const wire::ZoneRecord& zone, const Waiter& waiter, Primaries::Done done) {
  const PartitionId registry = cluster::RegistryPartition(ctx_.layout->partition_count());
  if (primaries_.WhyNoWrites(registry, /*adds_data=*/false)) return;  // asked for again
  wire::Write write = NewWrite(wire::WRITE_KIND_PURGE_ZONE, ZoneId{}, Sha256({zone.name()}).view());
  const RecordKey key{ZoneId{}, RecordKind::kZone, BlockId::Must(Sha256({zone.name()}).view()), 0};
  RecordHeader header;
  wire::ZoneRecord present;
  const ReadOutcome outcome = ctx_.Replica(registry).FindZone(key, &header, &present);
  // Another primary has purged it meanwhile, and the name may be that of a later zone.
  if (outcome == ReadOutcome::kAbsent || (outcome == ReadOutcome::kFound && present.id() != zone.id())) return done();
  if (outcome != ReadOutcome::kFound) return;
  *write.mutable_zone_record() = zone;
  (void)primaries_.Order(registry, std::move(write), {}, waiter, std::move(done));
}

}  // namespace coffer::node
