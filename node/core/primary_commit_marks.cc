// How a primary tells the others what is committed once nobody writes any more (R10.2).
#include <algorithm>
#include <chrono>
#include <utility>

#include "cluster/rule_mark.h"
#include "node/core/primary.h"

namespace coffer::node {
namespace {

constexpr Duration kTellAgain = std::chrono::seconds(1);

}  // namespace

// Nobody wrote since: tells the others that the last writes are committed, so that deletes free their bytes there. At first together
// with other partitions, for of writes spread over thousands of them nearly all lead to this; then alone, until they say that they know.
void Primaries::TellCommitted(PartitionId partition, Lead& lead) {
  const Seq committed = lead.progress.committed();
  const bool again = lead.told_committed == committed;
  if (again && ctx_.now - lead.told_at < kTellAgain) return;
  lead.told_committed = committed;
  lead.told_at = ctx_.now;
  const PartitionReplica& replica = ctx_.Replica(partition);
  for (const NodeId& peer : lead.progress.Receivers()) {
    if (!lead.progress.HasContact(peer) || lead.knows_committed[peer] >= committed) continue;
    if (again || lead.chosen == peer) {  // what a learner answers is void once it is chosen anew
      RULE("R10.2 said again");
      SendFrom(partition, lead, peer, replica.last(), replica.meta().last_hash, false, false);
      continue;
    }
    RULE("R10.2 said without a write");
    auto* mark = marks_[peer].add_marks();
    mark->set_partition(partition);
    mark->set_term(lead.term.value);
    mark->set_committed(committed.value);
  }
}

void Primaries::SendMarks() {
  for (auto& [peer, marks] : std::exchange(marks_, {})) {
    wire::Peer message;
    marks.set_boot(ctx_.config.boot.value);
    *message.mutable_commit_marks() = std::move(marks);
    ctx_.Send(peer, std::move(message));
  }
}

// Whatever is missing here is told again.
void Primaries::OnMarksAck(const NodeId& from, const wire::CommitMarksAck& ack) {
  if (ack.boot() != ctx_.config.boot.value) return;
  for (const auto& mark : ack.marks()) {
    const auto it = leads_.find(mark.partition());
    if (it == leads_.end() || it->second->term != Term(mark.term()) || !it->second->progress.HasContact(from)) continue;
    Seq& knows = it->second->knows_committed[from];
    knows = std::max(knows, Seq(mark.committed()));
  }
}

}  // namespace coffer::node
