#include "node/core/resync_source.h"

#include <algorithm>

#include "cluster/rule_mark.h"
#include "cluster/sha256.h"
#include "node/core/merge_rule.h"

namespace coffer::node {
namespace {

constexpr int kRecordsPerRange = 128;

}  // namespace

void RunDigest::Add(std::string_view key, const Digest& record_hash) {
  bytes_.push_back(static_cast<char>(key.size()));
  bytes_.append(key);
  bytes_.append(record_hash.view());
}

Digest RunDigest::Finish() {
  const Digest digest = Sha256({bytes_});
  bytes_.clear();
  return digest;
}

Digest ListedHash(const ScannedRecord& record) { return record.damaged ? Digest{} : RecordHash(record.header); }

bool ResyncSource::Serves(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot) const {
  if (!ctx_.layout || partition >= ctx_.layout->partition_count() || !ctx_.IsPrimary(partition)) return false;
  if (ctx_.group(partition).term != Term(term) || boot != ctx_.config.boot.value) {
    RULE("S1");
    return false;
  }
  const auto* progress = primaries_.Progress(partition);
  if (!progress || !progress->active() || progress->learner() != from) return false;
  // What the learner does not get live must be visible to the scan.
  return ctx_.replicas.at(partition)->durable() >= progress->learner_base();
}

// L10: the primary that merges survivors asks each of them. What is under way must be visible to the scan.
bool ResyncSource::Survives(const NodeId& from, PartitionId partition, std::uint64_t term) const {
  if (!ctx_.layout || partition >= ctx_.layout->partition_count() || ctx_.group(partition).term != Term(term)) return false;
  const auto& group = ctx_.group(partition);
  const bool asked = std::find(group.survivors.begin(), group.survivors.end(), ctx_.self_index) != group.survivors.end();
  return asked && ctx_.IdOf(group.primary) == from && ctx_.Replica(partition).Settled();
}

void ResyncSource::OnRangesRequest(const NodeId& from, const wire::RangesRequest& request) {
  if (!Serves(from, request.partition(), request.term(), request.boot())) return;
  const PartitionReplica& replica = ctx_.Replica(request.partition());
  wire::Peer message;
  auto* answer = message.mutable_ranges();
  answer->set_partition(request.partition());
  answer->set_term(request.term());
  answer->set_boot(request.boot());
  answer->set_after(request.after());
  answer->set_as_of(replica.durable().value);
  answer->set_total_blocks(replica.meta().blocks);
  answer->set_total_bytes(replica.meta().bytes);
  RunDigest digest;
  wire::RangeDigest range;
  bool more = false;
  auto close = [&] {
    range.set_digest(digest.Finish().str());
    *answer->add_ranges() = std::exchange(range, {});
  };
  const auto outcome = ctx_.store.Scan(request.partition(), request.after(), "", [&](const ScannedRecord& record) {
    if (answer->ranges_size() == kRangesPerAnswer) {
      RULE("S4 ranges cut");
      more = true;
      return false;
    }
    const std::string key = EncodeKey(record.key);
    digest.Add(key, ListedHash(record));
    range.set_last_key(key);
    range.set_records(range.records() + 1);
    range.set_bytes(range.bytes() + (record.header.value_gone ? 0 : record.header.size));
    if (record.damaged) repair_(request.partition(), record.key);
    if (range.records() == kRecordsPerRange) close();
    return true;
  });
  if (outcome == ReadOutcome::kFailed) return;  // the learner asks again; the store's failure is reported elsewhere
  if (range.records() > 0 || answer->ranges_size() == 0) close();
  answer->set_complete(!more);
  ctx_.Send(from, std::move(message));
}

void ResyncSource::OnListRequest(const NodeId& from, const wire::ListRequest& request) {
  const bool survives = Survives(from, request.partition(), request.term());
  if (!survives && !Serves(from, request.partition(), request.term(), request.boot())) return;
  const PartitionReplica& replica = ctx_.Replica(request.partition());
  wire::Peer message;
  auto* answer = message.mutable_listing();
  answer->set_partition(request.partition());
  answer->set_term(request.term());
  answer->set_boot(request.boot());
  answer->set_after(request.after());
  answer->set_last_key(request.last_key());
  answer->set_as_of(replica.durable().value);
  if (survives) {
    const CopyExtent extent = ExtentOf(replica.meta());
    SetStamp(extent.last, answer->mutable_copy()->mutable_last());
    answer->mutable_copy()->set_complete_to(extent.complete_to.value);
    answer->mutable_copy()->set_resumed_at(extent.resumed_at.value);
  }
  const auto outcome =
      ctx_.store.Scan(request.partition(), request.after(), request.last_key(), [&](const ScannedRecord& record) {
        if (answer->records_size() == kRecordsPerListing) {
          RULE("S4 listing cut");
          answer->set_last_key(answer->records(kRecordsPerListing - 1).key());
          return false;
        }
        auto* listed = answer->add_records();
        listed->set_key(EncodeKey(record.key));
        listed->set_hash(ListedHash(record).str());
        listed->set_size(record.header.value_gone ? 0 : record.header.size);
        return true;
      });
  if (outcome == ReadOutcome::kFailed) return;
  ctx_.Send(from, std::move(message));
}

void ResyncSource::OnFetchRequest(const NodeId& from, wire::FetchRequest request) {
  if (!ctx_.layout || request.partition() >= ctx_.layout->partition_count()) return;
  const bool merges = request.term() != 0 && Survives(from, request.partition(), request.term());
  if (request.term() != 0 && !merges &&
      !Serves(from, request.partition(), request.term(), request.boot())) {
    return;
  }
  ReadTask task;
  task.reply_to = from;
  task.asked = ctx_.now;
  task.for_merge = merges;
  if (request.term() == 0 && ctx_.group(request.partition()).InSync(ctx_.self_index)) {
    task.complete_term = ctx_.group(request.partition()).term;
    task.limit = ctx_.Replica(request.partition()).committed();
  }
  *task.request.mutable_fetch_request() = std::move(request);
  ctx_.out.reads.push_back(std::move(task));
}

void ResyncSource::OnFetchDone(ReadResult* result) const {
  auto* fetched = result->answer.header.mutable_fetched();
  // A term that ended meanwhile: the records may have been taken while this node was a learner.
  if (Term(fetched->complete_term()) != ctx_.group(fetched->partition()).term) fetched->set_complete_term(0);
  if (fetched->term() != 0) fetched->set_as_of(ctx_.Replica(fetched->partition()).last().value);  // 0: a repair, for which a holder is asked that may hold nothing
}

}  // namespace coffer::node
