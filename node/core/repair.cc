#include "node/core/repair.h"

#include <algorithm>
#include <utility>

#include "cluster/rule_mark.h"
#include "node/core/record_check.h"
#include "node/core/refusal.h"

namespace coffer::node {
namespace {

constexpr Duration kAskNext = std::chrono::seconds(2);
// What is lost is looked for again, one record at a time: a copy may return, or have been put again at the other member.
constexpr Duration kLookForLost = std::chrono::seconds(10);
constexpr std::size_t kMostLost = 10'000;
// More damage than this is met again: by the next read, the next attempt at contact, the next scrub.
constexpr std::size_t kMostAtOnce = 10'000;

std::string NameRecord(PartitionId partition, const RecordKey& key) {
  std::string text = key.kind == RecordKind::kChunk ? "chunk " : key.kind == RecordKind::kEntry ? "an entry of chain " : "record ";
  text += Hex(key.id.view());
  if (key.kind == RecordKind::kEntry) text += " at position " + std::to_string(key.position);
  return text + " (partition " + std::to_string(partition) + ")";
}

}  // namespace

void Repairs::Start(PartitionId partition, const RecordKey& key) {
  const Id id{partition, EncodeKey(key)};
  if (repairs_.size() >= kMostAtOnce && !repairs_.contains(id)) return;
  auto [it, fresh] = repairs_.try_emplace(id, Repair{partition, key});
  if (!fresh) return;
  if (!lost_.contains(id)) {
    ++ctx_.counters.bad_blocks;
    ctx_.Warn(NameRecord(partition, key) + " does not verify; fetching it from another copy");
  }
  // First the members of the group, then everybody else who may still hold an old copy.
  Repair& repair = it->second;
  if (ctx_.layout) {
    const auto& group = ctx_.group(partition);
    for (const auto m : group.in_sync) repair.candidates.push_back(ctx_.IdOf(m));
    for (cluster::MemberIndex m = 0; m < ctx_.layout->members.size(); ++m) {
      if (!group.InSync(m) && !ctx_.layout->members[m].witness) repair.candidates.push_back(ctx_.IdOf(m));
    }
  }
  std::erase_if(repair.candidates, [&](const NodeId& n) { return n == ctx_.self; });
  const auto own = Own(repair);
  if (own && own->value_gone) return Mend(it->first, repair, *own, nullptr);
  AskNext(repair);
}

void Repairs::AskNext(Repair& repair) {
  repair.asked = ctx_.now;
  while (!repair.candidates.empty()) {
    const NodeId peer = repair.candidates.front();
    repair.candidates.pop_front();
    if (!ctx_.linked.contains(peer)) {
      if (ctx_.layout->group(repair.partition).InSync(ctx_.layout->IndexOf(peer))) repair.reachable_denied = false;
      continue;
    }
    repair.call = next_call_++;
    wire::Peer message;
    auto* fetch = message.mutable_fetch_request();
    fetch->set_partition(repair.partition);
    fetch->set_call(repair.call);
    fetch->add_keys(EncodeKey(repair.key));
    ctx_.Send(peer, std::move(message));
    return;
  }
  repair.call = 0;  // nobody left: GiveUp at the next tick
}

void Repairs::OnDamagedRead(ReadResult result) {
  if (result.task.request.has_fetch_request()) {
    read_again_(std::move(result.task));
    return;
  }
  // One reader waits on one record; the next damaged one is found when it reads again.
  const DamagedRecord& bad = result.damaged.front();
  Start(bad.partition, bad.key);
  auto it = repairs_.find({bad.partition, EncodeKey(bad.key)});
  if (it == repairs_.end()) return AnswerUnmended(result.task, NameRecord(bad.partition, bad.key), false);
  it->second.readers.push_back(std::move(result.task));
}

void Repairs::VisitQueues(const QueueVisitor& visit) const {
  visit({"repairs under way", repairs_.size(), kMostAtOnce});
  visit({"records that are lost", lost_.size(), kMostLost});
}

void Repairs::OnFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies) {
  if (fetched.records_size() != 1) return;
  const auto& record = fetched.records(0);
  auto it = repairs_.find({fetched.partition(), record.key()});
  if (it == repairs_.end() || it->second.call != fetched.call()) return;
  Repair& repair = it->second;
  if (record.found() && bodies.size() == 1 && bodies[0]) {
    if (auto header = Proven(repair, from, fetched, bodies[0])) return Mend(it->first, repair, std::move(*header), bodies[0]);
    repair.reachable_denied = false;  // it has one, which is not known to be the present one
  }
  AskNext(repair);
}

std::optional<RecordHeader> Repairs::Own(const Repair& repair) const {
  const PartitionReplica& replica = ctx_.Replica(repair.partition);
  RecordHeader own;
  if (replica.Find(repair.key, &own) == ReadOutcome::kFound) return own;
  if (!ctx_.group(repair.partition).InSync(ctx_.self_index)) return std::nullopt;  // the log may not be the partition's any more
  return replica.HeaderFromLog(repair.key);
}

std::optional<RecordHeader> Repairs::Proven(const Repair& repair, const NodeId& from, const wire::Fetched& fetched,
                                            const Payload& value) const {
  auto theirs = DecodeHeader(fetched.records(0).header());
  if (!theirs || !RecordVerifies(repair.key, *theirs, *value)) return std::nullopt;
  if (auto own = Own(repair)) {
    RULE("S9 own word");
    if (!own->value_gone && (theirs->value_gone || theirs->hash != own->hash || theirs->size != own->size)) return std::nullopt;
    return own;
  }
  const PartitionReplica& replica = ctx_.Replica(repair.partition);
  const auto& group = ctx_.group(repair.partition);
  const bool both_complete = group.InSync(ctx_.self_index) && group.InSync(ctx_.layout->IndexOf(from));
  if (!both_complete || Term(fetched.complete_term()) != group.term) return std::nullopt;
  if (!replica.IsOurs(repair.key, *theirs, Seq(fetched.complete_to()))) return std::nullopt;
  RULE("S9 header");
  // What a committed delete frees was not freed here while the header could not be read.
  if (theirs->deleted && theirs->deleted_by.seq <= replica.committed()) theirs->value_gone = true;
  return theirs;
}

void Repairs::Mend(const Id& id, Repair& repair, RecordHeader header, const Payload& value) {
  if (CloseErased(id)) return;
  StoreBatch batch;
  const Payload kept = header.value_gone ? nullptr : value;
  PartitionReplica& replica = ctx_.Replica(repair.partition);
  replica.NoteRecord(repair.key, header);  // a merge after a force waits for it (L10.1)
  batch.changes.push_back(StoreBatch::PutRecord{repair.partition, repair.key, std::move(header), kept});
  ctx_.Persist(std::move(batch), [this, id, applied = replica.applied()] {
    ctx_.Replica(id.first).DurableUpTo(applied);
    auto it = repairs_.find(id);
    if (it == repairs_.end()) return;
    ++ctx_.counters.repaired_blocks;
    lost_.erase(id);
    ctx_.Info(NameRecord(it->second.partition, it->second.key) + " was repaired from another copy");
    auto readers = std::move(it->second.readers);
    repairs_.erase(it);
    for (ReadTask& task : readers) read_again_(std::move(task));
  });
  repair.call = ~std::uint64_t{0};  // nothing to ask any more
}

bool Repairs::CloseErased(const Id& id) {
  auto it = repairs_.find(id);
  if (!ctx_.Replica(it->second.partition).Erased(it->second.key)) return false;
  RULE("S9 erased");
  lost_.erase(id);
  auto readers = std::move(it->second.readers);
  repairs_.erase(it);
  for (ReadTask& task : readers) read_again_(std::move(task));
  return true;
}

void Repairs::GiveUp(const Id& id) {
  if (CloseErased(id)) return;
  auto it = repairs_.find(id);
  Repair repair = std::move(it->second);
  repairs_.erase(it);
  RULE("S9 waits");
  const std::string name = NameRecord(repair.partition, repair.key);
  const bool lost = repair.reachable_denied;
  if (lost_.size() < kMostLost && lost_.try_emplace(id, repair.key).second) {
    if (look_again_ == kNever) look_again_ = ctx_.now + kLookForLost;
    ctx_.Event(NodeEvent::Level::kError,
               name + (lost ? " is damaged on every copy: it is lost. Put the same bytes again from a backup, or delete it."
                            : " is damaged here, and nobody who answers is known to have the present copy. Start the nodes that are off, or "
                              "put the same bytes again from a backup."));
  }
  for (const ReadTask& task : repair.readers) AnswerUnmended(task, name, lost);
}

void Repairs::AnswerUnmended(const ReadTask& reader, const std::string& name, bool lost) {
  const auto& request = reader.request.data_request();
  gave_up_(request.partition());
  AnswerRefusal(ctx_, {reader.reply_to, request.call()},
                lost ? Refuse(Code::kDataLoss, "DATA_LOSS", name + " is damaged on every copy; no wrong byte was returned")
                     : Refuse(Code::kUnavailable, "REPAIR_WAITS", name + " is damaged here, and no node that is known to have the present copy has answered; "
                              "it will be repaired when one does", std::chrono::milliseconds(500)));
}

std::uint64_t Repairs::CountLost() const {
  return static_cast<std::uint64_t>(std::count_if(lost_.begin(), lost_.end(), [this](const auto& entry) { return ctx_.IsPrimary(entry.first.first); }));
}

// A record that is gone, or was deleted with its bytes, is no loss any more.
void Repairs::LookAgain() {
  auto next = lost_.upper_bound(looked_);
  if (next == lost_.end()) next = lost_.begin();
  if (next == lost_.end()) {
    look_again_ = kNever;
    return;
  }
  look_again_ = ctx_.now + kLookForLost;
  looked_ = next->first;
  RecordHeader header;
  const auto outcome = ctx_.Replica(next->first.first).Find(next->second, &header);
  if (outcome == ReadOutcome::kAbsent || (outcome == ReadOutcome::kFound && header.value_gone)) {
    lost_.erase(next);
    return;
  }
  Start(next->first.first, next->second);
}

Instant Repairs::NextDeadline() const {
  return repairs_.empty() ? look_again_ : std::min(look_again_, ctx_.now + std::chrono::milliseconds(100));
}

void Repairs::Tick() {
  if (ctx_.now >= look_again_) LookAgain();
  std::vector<Id> over;
  for (auto& [id, repair] : repairs_) {
    if (repair.call == 0) over.push_back(id);
    else if (repair.call != ~std::uint64_t{0} && ctx_.now - repair.asked >= kAskNext) {
      repair.reachable_denied = false;
      AskNext(repair);
    }
  }
  for (const Id& id : over) GiveUp(id);
}

}  // namespace coffer::node
