#include "node/core/copy_check.h"

namespace coffer::node {
namespace {

// What a delete leaves behind goes a moment after it is committed, on each copy for itself: only a difference that stays counts.
constexpr int kTimesToCount = 3;
constexpr Duration kAgain = std::chrono::seconds(2);

}  // namespace

bool CopyCheck::AtRest(const wire::CopyDigestRequest& request) const {
  const PartitionId p = request.partition();
  const auto it = ctx_.replicas.find(p);
  if (!ctx_.layout || p >= ctx_.layout->partition_count() || it == ctx_.replicas.end()) return false;
  const PartitionReplica& replica = *it->second;
  return ctx_.group(p).term == Term(request.term()) && ctx_.group(p).InSync(ctx_.self_index) && replica.AllDurable() &&
         replica.committed() == replica.last() && replica.last() == Seq(request.last()) &&
         replica.meta().last_hash.view() == request.last_hash();
}

void CopyCheck::Begin(PartitionId partition) {
  if (checks_.contains(partition) || checks_.size() >= kAtOnce) return;
  Check check;
  Ask(partition, check);
  if (!check.open.empty()) checks_[partition] = std::move(check);
}

void CopyCheck::Ask(PartitionId partition, Check& check) {
  check.own.reset();
  check.theirs.clear();
  check.open.clear();
  const auto it = ctx_.replicas.find(partition);
  if (!ctx_.IsPrimary(partition) || it == ctx_.replicas.end()) return;
  check.request.set_partition(partition);
  check.request.set_term(ctx_.group(partition).term.value);
  check.request.set_last(it->second->last().value);
  check.request.set_last_hash(it->second->meta().last_hash.str());
  check.again = ctx_.now + kAgain;
  if (!AtRest(check.request)) return;
  for (const auto member : ctx_.group(partition).in_sync) {
    const NodeId& id = ctx_.IdOf(member);
    if (id == ctx_.self || !ctx_.linked.contains(id)) continue;
    check.open.insert(id);
    wire::Peer message;
    *message.mutable_copy_digest_request() = check.request;
    ctx_.Send(id, std::move(message));
  }
  if (!check.open.empty()) OnRequest(ctx_.self, check.request);
}

void CopyCheck::OnRequest(const NodeId& from, const wire::CopyDigestRequest& request) {
  if (!AtRest(request)) return;
  ReadTask task;
  task.reply_to = from;
  task.asked = ctx_.now;
  *task.request.mutable_copy_digest_request() = request;
  emit_(std::move(task));
}

void CopyCheck::OnReadDone(ReadResult result) {
  // A write that came meanwhile may be in it in part.
  if (!result.answer.header.has_copy_digest() || !AtRest(result.task.request.copy_digest_request())) return;
  const NodeId to = result.task.reply_to;
  if (to != ctx_.self) return ctx_.Send(to, std::move(result.answer.header));
  const auto& own = result.answer.header.copy_digest();
  auto it = checks_.find(own.partition());
  if (it == checks_.end() || it->second.request.last() != own.last()) return;
  it->second.own = own;
  Compare(own.partition());
}

void CopyCheck::OnDigest(const NodeId& from, const wire::CopyDigest& answer) {
  auto it = checks_.find(answer.partition());
  if (it == checks_.end() || !it->second.open.contains(from) || it->second.request.term() != answer.term() ||
      it->second.request.last() != answer.last()) {
    return;
  }
  it->second.theirs[from] = answer;
  Compare(answer.partition());
}

void CopyCheck::Compare(PartitionId partition) {
  Check& check = checks_.at(partition);
  if (!check.own) return;
  bool differs = false;
  for (const auto& [peer, theirs] : check.theirs) {
    if (theirs.digest() == check.own->digest()) {
      compared_ += check.open.erase(peer);
    } else if (check.differed + 1 < kTimesToCount) {
      differs = true;
    } else if (check.open.erase(peer) > 0) {
      ++compared_;
      ++differing_;
      ctx_.Event(NodeEvent::Level::kError,
                 "partition " + std::to_string(partition) + ": the copy of " + ctx_.NameOf(peer) + " (" + std::to_string(theirs.records()) +
                     " records) differs from this one (" + std::to_string(check.own->records()) + " records), though both verify. Nothing "
                     "was changed. Please report this with the logs of both nodes.");
    }
  }
  check.theirs.clear();
  if (differs) {
    ++check.differed;
    check.own.reset();
    check.again = ctx_.now + kAgain;
  } else if (check.open.empty()) {
    checks_.erase(partition);
  }
}

void CopyCheck::Tick() {
  for (auto it = checks_.begin(); it != checks_.end();) {
    auto& [partition, check] = *it;
    if (ctx_.now < check.again) {
      ++it;
      continue;
    }
    // Whoever kept silent was not at rest; a difference is looked at once more.
    const bool once_more = check.differed > 0;
    if (once_more) Ask(partition, check);
    it = once_more && !check.open.empty() ? std::next(it) : checks_.erase(it);
  }
}

}  // namespace coffer::node
