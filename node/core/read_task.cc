#include "node/core/read_task.h"

#include <algorithm>

#include "cluster/rule_mark.h"
#include "cluster/sha256.h"
#include "node/core/entry_pack.h"
#include "node/core/merge_rule.h"
#include "node/core/record_check.h"
#include "node/core/refusal.h"
#include "cluster/planted_bug.h"

namespace coffer::node {
namespace {

// One read under way.
class Reader {
 public:
  Reader(const StoreReader& store, ReadTask task) : store_(store) { result_.task = std::move(task); }

  ReadResult Run() {
    if (request().has_fetch_request()) {
      Fetch();
      return std::move(result_);
    }
    if (request().has_copy_digest_request()) {
      DigestCopy();
      return std::move(result_);
    }
    response_.set_call(data().call());
    response_.set_epoch(result_.task.epoch.value);
    response_.mutable_status();
    if (!Dropped()) Dispatch();
    *result_.answer.header.mutable_data_response() = std::move(response_);
    return std::move(result_);
  }

 private:
  const wire::Peer& request() const { return result_.task.request; }
  const wire::DataRequest& data() const { return request().data_request(); }
  PartitionId partition() const { return data().partition(); }
  ZoneId zone() const { return ZoneId::Must(data().zone()); }
  bool Shown(Seq seq) const {
    const bool unlimited = !result_.task.confirmed && result_.task.limit == Seq{};
    if (unlimited || seq <= result_.task.limit) return true;
    RULE("R5.3");
    return false;
  }

  void Fail(Code code, std::string_view reason, std::string message) {
    *response_.mutable_status() = Refuse(code, reason, std::move(message));
  }

  // Notes damage or failure; true when the read cannot go on.
  bool Troubled(ReadOutcome outcome, const RecordKey& key) {
    if (outcome == ReadOutcome::kDamaged) result_.damaged.push_back({partition(), key});
    if (outcome == ReadOutcome::kFailed) {
      // LevelDB reports a damaged table block as a failed read; the record is fetched from the other copy like any bad one.
      result_.damaged.push_back({partition(), key});
      result_.disk_failed = true;
    }
    return outcome == ReadOutcome::kDamaged || outcome == ReadOutcome::kFailed;
  }

  // "Absent" is said only by one who has confirmed; true when it may be said.
  bool MayDeny() {
    if (result_.task.confirmed) return true;
    if (data().has_get_chunk() && data().get_chunk().any_holder()) {
      if (Planted(Bug::kNotFoundWhileFilling)) return true;
      RULE("R13.2 not said");
      Fail(Code::kNotFound, "NOT_MINE", "not held here; only the primary can say that it does not exist");
      return false;
    }
    result_.needs_confirmation = true;
    return false;
  }

  bool Dropped() {
    if (zone().IsZero() || result_.task.zone_live) return false;
    RecordHeader mark;
    const RecordKey key{zone(), RecordKind::kZoneDrop, BlockId{}, 0};
    const auto outcome = store_.Lookup(partition(), key, &mark);
    if (Troubled(outcome, key)) return true;
    result_.no_drop = outcome == ReadOutcome::kAbsent;
    if (result_.no_drop || !Shown(mark.stamp.seq)) return false;
    if (MayDeny()) Fail(Code::kNotFound, "ZONE_DELETED", "the zone was deleted");
    return true;
  }

  void Dispatch() {
    switch (data().op_case()) {
      case wire::DataRequest::kGetChunk: return GetChunk();
      case wire::DataRequest::kHasChunks: return HasChunks();
      case wire::DataRequest::kReadChain: return ReadChain();
      case wire::DataRequest::kHeadChain: return HeadChain();
      case wire::DataRequest::kGetZone: return GetZone();
      case wire::DataRequest::kListZones: return ListZones();
      default: return Fail(Code::kInvalidArgument, "BAD_REQUEST", "not a read");
    }
  }

  // A chunk that is there for this reader: deletions beyond the committed prefix have not happened yet.
  bool Live(const RecordHeader& h) const { return !h.deleted || (!h.value_gone && result_.task.confirmed && !Shown(h.deleted_by.seq)); }

  void GetChunk() {
    const auto& op = data().get_chunk();
    const RecordKey key{zone(), RecordKind::kChunk, BlockId::Must(op.id()), 0};
    RecordHeader header;
    Payload value;
    const auto outcome = store_.Read(partition(), key, &header, &value);
    if (Troubled(outcome, key)) return;
    if (outcome == ReadOutcome::kAbsent || !Live(header)) {
      if (MayDeny()) Fail(Code::kNotFound, "CHUNK_NOT_FOUND", "no chunk " + Hex(op.id()) + " in this zone");
      return;
    }
    // Its checksum, which the store has verified, is bound to the hash that the bytes had when they were put.
    if (!value) {
      result_.damaged.push_back({partition(), key});
      return;
    }
    if (op.offset() > value->size() || (op.offset() == value->size() && op.length() > 0)) {
      return Fail(Code::kOutOfRange, "RANGE_PAST_END",
                  "the chunk has " + std::to_string(value->size()) + " bytes; byte " + std::to_string(op.offset()) + " is past its end");
    }
    response_.set_total_size(value->size());
    if (header.stamp.seq > result_.task.committed) RULE("R13.1");
    response_.set_settled(header.stamp.seq <= result_.task.committed);
    result_.bytes_read = value->size();
    const std::uint64_t rest = value->size() - op.offset();
    const std::uint64_t length = op.length() == 0 ? rest : std::min(rest, op.length());
    if (length != value->size()) value = std::make_shared<const std::string>(value->substr(op.offset(), length));
    result_.answer.bodies.push_back(std::move(value));
  }

  void HasChunks() {
    auto* presence = response_.mutable_presence();
    for (const auto& id : data().has_chunks().ids()) {
      const RecordKey key{zone(), RecordKind::kChunk, BlockId::Must(id), 0};
      RecordHeader header;
      const auto outcome = store_.Lookup(partition(), key, &header);
      if (Troubled(outcome, key)) return;
      const bool present = outcome == ReadOutcome::kFound && Live(header);
      if (!present && !MayDeny()) return;
      presence->add_present(present);
    }
  }

  // The head within what may be shown: the newest entry whose write is committed. Nothing: trouble was noted.
  std::optional<coffer::v1::ChainHead> Head(const BlockId& chain) {
    coffer::v1::ChainHead head;
    head.set_hash(std::string(Digest::kSize, '\0'));
    RecordHeader mark;
    const RecordKey mark_key{zone(), RecordKind::kChainDelete, chain, 0};
    const auto deleted = store_.Lookup(partition(), mark_key, &mark);
    if (Troubled(deleted, mark_key)) return std::nullopt;
    if (deleted == ReadOutcome::kFound && Shown(mark.stamp.seq)) {
      deleted_ = true;
      return head;
    }
    RecordKey key;
    RecordHeader header;
    auto outcome = store_.LastEntry(partition(), zone(), chain, &key, &header);
    while (outcome == ReadOutcome::kFound && !Shown(header.stamp.seq) && key.position > 0) {
      --key.position;
      outcome = store_.Lookup(partition(), key, &header);
    }
    if (Troubled(outcome, key)) return std::nullopt;
    if (outcome == ReadOutcome::kFound && Shown(header.stamp.seq)) {
      head.set_length(key.position + 1);
      head.set_hash(header.hash.str());
    }
    return head;
  }

  void HeadChain() {
    const auto head = Head(BlockId::Must(data().head_chain().chain()));
    if (!head) return;
    *response_.mutable_head()->mutable_head() = *head;
    response_.mutable_head()->set_staleness_ms(result_.task.staleness_ms);
  }

  void ReadChain() {
    const auto& op = data().read_chain();
    const BlockId chain = BlockId::Must(op.chain());
    const auto head = Head(chain);
    if (!head) return;
    if (deleted_) return Fail(Code::kNotFound, "CHAIN_DELETED", "chain " + Hex(op.chain()) + " was deleted");
    if (head->length() == 0 && op.wait_ms() == 0 && !(op.has_range() && op.range().from() > 0)) {
      return Fail(Code::kNotFound, "CHAIN_NOT_FOUND", "no chain " + Hex(op.chain()) + " in this zone");
    }
    std::uint64_t from = 0;
    std::uint64_t to = head->length();
    if (op.has_first()) to = std::min(to, op.first());
    if (op.has_last()) from = to - std::min(to, op.last());
    if (op.has_range()) {
      from = op.range().from();
      if (op.range().to() != 0) to = std::min(to, op.range().to());
    }
    auto* result = response_.mutable_chain();
    *result->mutable_head() = *head;
    result->set_staleness_ms(result_.task.staleness_ms);
    result->set_complete(true);
    if (from >= to) return;
    const std::uint64_t bound = op.max_bytes() == 0 ? 1u << 20 : op.max_bytes();
    std::uint64_t next = op.backwards() ? to : from;
    pack_.Expect(to - from);
    if (result_.task.tail_ticket != 0) pack_.KeepMarks();
    store_.ReadEntries(partition(), zone(), chain, from, to, op.backwards(),
                       [&](ReadOutcome outcome, const RecordKey& key, const RecordHeader& header, const EntryValue& value) {
                         return Entry(outcome, key, header, value, bound, op.backwards(), &next, chain);
                       });
    if (pack_.count() > 0) {
      result->mutable_packed()->set_count(pack_.count());
      result->mutable_packed()->set_first(op.backwards() ? to - 1 : from);
      result_.answer.bodies.push_back(std::make_shared<const std::string>(pack_.Take()));
      result_.marks = pack_.TakeMarks();
    }
    const std::uint64_t wanted = op.backwards() ? from : to;
    if (result_.damaged.empty() && result->complete() && next != wanted) {
      // An entry is missing in the middle: as damaged as one that does not verify.
      result_.damaged.push_back({partition(), {zone(), RecordKind::kEntry, chain, op.backwards() ? next - 1 : next}});
    }
  }

  bool Entry(ReadOutcome outcome, const RecordKey& key, const RecordHeader& header, const EntryValue& value, std::uint64_t bound,
             bool backwards, std::uint64_t* next, const BlockId& chain) {
    if (Troubled(outcome, key)) return false;
    if (key.position != (backwards ? *next - 1 : *next)) return false;
    auto* result = response_.mutable_chain();
    const bool first = result->entries_size() == 0 && pack_.count() == 0;
    if (!first && result_.bytes_read + value.bytes().size() > bound) {
      result->set_complete(false);
      return false;
    }
    if (!value.present() || header.size != value.bytes().size()) {
      result_.damaged.push_back({partition(), {zone(), RecordKind::kEntry, chain, key.position}});
      return false;
    }
    result_.bytes_read += value.bytes().size() + 128;
    *next = backwards ? key.position : key.position + 1;
    if (pack_.count() > 0 || (first && data().read_chain().packed() && header.size <= kPackedEntry)) {
      pack_.Add(key.position, header, value.bytes());
      return true;
    }
    auto* entry = result->add_entries();
    entry->set_position(key.position);
    entry->set_signature(header.signature);
    entry->set_predecessor(header.predecessor.str());
    entry->set_hash(header.hash.str());
    result_.answer.bodies.push_back(value.Share());
    return true;
  }

  void GetZone() {
    const std::string& name = data().get_zone().name();
    const RecordKey key{ZoneId{}, RecordKind::kZone, BlockId::Must(Sha256({name}).view()), 0};
    RecordHeader header;
    Payload value;
    const auto outcome = store_.Read(partition(), key, &header, &value);
    if (Troubled(outcome, key)) return;
    wire::ZoneRecord zone;
    if (outcome == ReadOutcome::kFound && (!value || !zone.ParseFromString(*value))) return result_.damaged.push_back({partition(), key});
    if (outcome == ReadOutcome::kAbsent || !ShownZone(header, &zone)) {
      if (MayDeny()) Fail(Code::kNotFound, "ZONE_UNKNOWN", "no zone is named \"" + name + "\"");
      return;
    }
    *response_.mutable_zones()->add_zones() = std::move(zone);
  }

  // As it is for this reader: a deletion beyond the committed prefix has not happened yet.
  bool ShownZone(const RecordHeader& header, wire::ZoneRecord* zone) const {
    if (Shown(header.stamp.seq)) return true;
    if (!zone->deleting()) return false;
    zone->set_deleting(false);
    return true;
  }

  void ListZones() {
    const auto& op = data().list_zones();
    std::vector<wire::ZoneRecord> all;
    const auto scan = store_.Scan(partition(), "", std::string(16, '\0') + std::string(64, '\xff'), [&](const ScannedRecord& record) {
      if (record.key.kind != RecordKind::kZone) return true;
      RecordHeader header;
      Payload value;
      if (Troubled(store_.Read(partition(), record.key, &header, &value), record.key)) return false;
      wire::ZoneRecord zone;
      if (!value || !zone.ParseFromString(*value)) {
        result_.damaged.push_back({partition(), record.key});
        return false;
      }
      if (ShownZone(header, &zone) && zone.name() > op.after()) all.push_back(std::move(zone));
      return true;
    });
    if (!result_.damaged.empty()) return;
    if (scan != ReadOutcome::kFound) {
      *response_.mutable_status() = RefuseUnreadable(partition());
      return;
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name() < b.name(); });
    const std::size_t limit = op.limit() == 0 ? 1000 : op.limit();
    response_.mutable_zones()->set_more(all.size() > limit);
    for (std::size_t i = 0; i < std::min(limit, all.size()); ++i) *response_.mutable_zones()->add_zones() = all[i];
  }

  void Fetch() {
    const auto& fetch = request().fetch_request();
    auto* fetched = result_.answer.header.mutable_fetched();
    fetched->set_partition(fetch.partition());
    fetched->set_term(fetch.term());
    fetched->set_boot(fetch.boot());
    fetched->set_call(fetch.call());
    if (fetch.term() == 0) {
      fetched->set_complete_term(result_.task.complete_term.value);
      fetched->set_complete_to(result_.task.limit.value);
    }
    for (const auto& bytes : fetch.keys()) {
      auto* record = fetched->add_records();
      record->set_key(bytes);
      const auto key = DecodeKey(bytes);
      RecordHeader header;
      Payload value;
      auto outcome = ReadOutcome::kAbsent;
      if (key) {
        // Not for a learner: its primary's delete may be undone yet.
        outcome = result_.task.for_merge ? ReadForMerge(store_, fetch.partition(), *key, &header, &value)
                                         : store_.Read(fetch.partition(), *key, &header, &value);
      }
      record->set_damaged(outcome == ReadOutcome::kDamaged || outcome == ReadOutcome::kFailed);
      if (record->damaged()) RULE("S8 damaged");
      if (outcome != ReadOutcome::kFound) continue;
      record->set_found(true);
      record->set_header(EncodeHeader(header));
      record->mutable_stamp()->set_term(header.stamp.term.value);
      record->mutable_stamp()->set_boot(header.stamp.boot.value);
      record->mutable_stamp()->set_seq(header.stamp.seq.value);
      if (!value) value = std::make_shared<const std::string>();
      record->set_checksum(FetchedChecksum(fetch.partition(), bytes, record->header(), *value));
      result_.bytes_read += value->size();
      result_.answer.bodies.push_back(std::move(value));
    }
  }

  // No answer where a part can't be read, or does not verify: that is scrub's and repair's to mend first.
  void DigestCopy() {
    const auto& asked = request().copy_digest_request();
    Sha256Hasher digest;
    std::uint64_t records = 0;
    bool sound = true;
    const auto scan = store_.Scan(asked.partition(), "", "", [&](const ScannedRecord& record) {
      sound = !record.damaged;
      const std::string key = EncodeKey(record.key);
      digest.Update(std::string(1, static_cast<char>(key.size()))).Update(key).Update(RecordHash(record.header).view());
      ++records;
      return sound;
    });
    if (!sound || scan != ReadOutcome::kFound) return;
    auto* answer = result_.answer.header.mutable_copy_digest();
    answer->set_partition(asked.partition());
    answer->set_term(asked.term());
    answer->set_last(asked.last());
    answer->set_digest(digest.Finish().str());
    answer->set_records(records);
  }

  const StoreReader& store_;
  ReadResult result_;
  wire::DataResponse response_;
  EntryPack pack_;
  bool deleted_ = false;
};

}  // namespace

bool IsBrief(const ReadTask& task) {
  constexpr int kFew = 64;
  const wire::DataRequest& data = task.request.data_request();
  switch (data.op_case()) {
    case wire::DataRequest::kGetChunk:
    case wire::DataRequest::kGetZone: return true;
    case wire::DataRequest::kHasChunks: return data.has_chunks().ids_size() <= kFew;
    default: return false;
  }
}

ReadResult RunRead(const StoreReader& store, ReadTask task) { return Reader(store, std::move(task)).Run(); }

}  // namespace coffer::node
