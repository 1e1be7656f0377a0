#include "node/core/reads.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include "node/core/refusal.h"
#include "node/core/write_keys.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
constexpr Duration kRoundRetry = milliseconds(300);

Waiter WaiterOf(const Context& ctx, const NodeId& from, const wire::DataRequest& request) {
  return {from, request.call(), ctx.now + milliseconds(request.deadline_ms())};
}

bool IsLocal(const wire::DataRequest& r) {
  return (r.has_read_chain() && r.read_chain().local()) || (r.has_head_chain() && r.head_chain().local());
}

// Reads that may try without confirmation first: a chunk found is found (R13).
bool FoundIsEnough(const wire::DataRequest& r) { return r.has_get_chunk() || r.has_has_chunks(); }

// The entries of a chain from a position on, at most so many, up to its end.
struct WantedEnd {
  ChainTails::Chain chain;
  std::uint64_t from = 0;
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();
};

// What such a read wants; nothing: it asks for something else.
std::optional<WantedEnd> EndWanted(const wire::DataRequest& request) {
  if (!request.has_read_chain()) return std::nullopt;
  const auto& op = request.read_chain();
  const bool to_the_end = op.has_last() || (op.has_range() && op.range().to() == 0);
  if (!to_the_end || !op.packed() || op.backwards() || op.wait_ms() > 0) return std::nullopt;
  WantedEnd wanted{{request.partition(), ZoneId::Must(request.zone()), BlockId::Must(op.chain())}};
  if (op.has_last()) wanted.count = op.last();
  if (op.has_range()) wanted.from = op.range().from();
  return wanted;
}

}  // namespace

void Reads::Handle(const NodeId& from, wire::DataRequest request) {
  const PartitionId p = request.partition();
  ++ctx_.counters.reads;
  if (request.has_get_chunk() && request.get_chunk().any_holder()) return Dispatch(from, std::move(request), false, Seq{});
  if (IsLocal(request)) return Dispatch(from, std::move(request), false, ctx_.Replica(p).committed());
  if (!ctx_.LeadsIn(Term(request.term()), p)) {
    return AnswerFenced(ctx_, WaiterOf(ctx_, from, request));
  }
  if (FoundIsEnough(request)) return Dispatch(from, std::move(request), false, Seq{});
  const Instant deadline = ctx_.now + milliseconds(request.deadline_ms());
  auto held = std::make_shared<wire::DataRequest>(std::move(request));
  Confirm(p, deadline, [this, from, held](bool confirmed) {
    if (!confirmed) return AnswerFenced(ctx_, WaiterOf(ctx_, from, *held));
    if (held->has_read_chain() && held->read_chain().wait_ms() > 0) return ReadChain(from, std::move(*held));
    const Seq limit = primaries_.Progress(held->partition())->committed();
    if (!FromTail(from, *held, limit)) Dispatch(from, std::move(*held), true, limit);
  });
}

bool Reads::FromTail(const NodeId& from, const wire::DataRequest& request, Seq limit) {
  const auto wanted = EndWanted(request);
  const auto found = wanted ? ctx_.tails.Find(wanted->chain, wanted->from, wanted->count, limit) : std::nullopt;
  const std::uint64_t most = request.read_chain().max_bytes();
  if (!found || (most != 0 && found->packed->size() > most)) return false;
  wire::DataResponse response = AnswerTo(ctx_, WaiterOf(ctx_, from, request));
  auto* chain = response.mutable_chain();
  chain->mutable_head()->set_length(found->length);
  chain->mutable_head()->set_hash(found->hash.str());
  chain->set_complete(true);
  const auto& op = request.read_chain();
  if (op.has_last() && op.has_known() && op.known().length() == found->length && op.known().hash() == found->hash.view()) {
    chain->set_unchanged(true);
    Answer(ctx_, WaiterOf(ctx_, from, request), std::move(response));
    return true;
  }
  chain->mutable_packed()->set_count(found->length - found->first);
  chain->mutable_packed()->set_first(found->first);
  Answer(ctx_, WaiterOf(ctx_, from, request), std::move(response), {found->packed});
  return true;
}

void Reads::Dispatch(const NodeId& from, wire::DataRequest request, bool confirmed, Seq limit) {
  ++out_[request.partition()];
  ReadTask task;
  task.reply_to = from;
  task.limit = limit;
  task.committed = ctx_.Replica(request.partition()).committed();
  task.confirmed = confirmed;
  task.asked = ctx_.now;
  task.epoch = ctx_.layout->epoch;
  if (IsLocal(request) && !ctx_.IsPrimary(request.partition())) {
    const auto heard = last_heard_(request.partition());
    task.staleness_ms = heard ? static_cast<std::uint64_t>((ctx_.now - *heard) / milliseconds(1)) + 1 : ~std::uint64_t{0} >> 1;
  }
  // Worth keeping only if all there is may be shown.
  if (const auto wanted = EndWanted(request); wanted && confirmed && limit == ctx_.Replica(request.partition()).last()) {
    task.tail_ticket = ctx_.tails.Expect(wanted->chain);
  }
  if (ctx_.IsPrimary(request.partition())) {
    const PartitionReplica& replica = ctx_.Replica(request.partition());
    task.zone_live = replica.KnownLive(ZoneId::Must(request.zone()));
    if (!task.zone_live) task.in_store = replica.InStore();
  }
  *task.request.mutable_data_request() = std::move(request);
  ctx_.out.reads.push_back(std::move(task));
}

void Reads::ReadChain(const NodeId& from, wire::DataRequest request) {
  const PartitionId p = request.partition();
  const auto& op = request.read_chain();
  const std::uint64_t position = op.has_range() ? op.range().from() : 0;
  ChainEnd end;
  const ReadOutcome outcome =
      ctx_.Replica(p).FindEnd(ZoneId::Must(request.zone()), BlockId::Must(op.chain()), &end);
  const Seq limit = primaries_.Progress(p)->committed();
  const bool nothing_yet = (outcome == ReadOutcome::kAbsent || outcome == ReadOutcome::kFound) && !end.deleted && end.length <= position;
  if (!nothing_yet) {
    // Entries beyond the committed prefix are not shown; if they are all there is, wait for them like for new ones.
    if (end.deleted || ctx_.Replica(p).last() == limit) return Dispatch(from, std::move(request), true, limit);
  }
  const Instant until = ctx_.now + milliseconds(std::min(op.wait_ms(), request.deadline_ms()));
  if (!nothing_yet) primaries_.WhenCommitted(p, ctx_.Replica(p).last(), WaiterOf(ctx_, from, request), [] {});
  watchers_[p].push_back({std::move(request), from, position, until});
}

void Reads::OnCommitted(PartitionId partition, Seq committed) {
  auto it = watchers_.find(partition);
  if (it == watchers_.end()) return;
  auto& list = it->second;
  std::vector<Watcher> ready;
  std::erase_if(list, [&](Watcher& w) {
    ChainEnd end;
    const auto outcome = ctx_.Replica(partition).FindEnd(ZoneId::Must(w.request.zone()),
                                                         BlockId::Must(w.request.read_chain().chain()), &end);
    if (outcome == ReadOutcome::kFound && !end.deleted && end.length <= w.position) return false;
    if (outcome == ReadOutcome::kAbsent) return false;
    ready.push_back(std::move(w));
    return true;
  });
  if (list.empty()) watchers_.erase(it);
  for (Watcher& w : ready) Dispatch(w.from, std::move(w.request), true, committed);
}

void Reads::Confirm(PartitionId partition, Instant deadline, Then then) {
  Round& round = rounds_[partition];
  round.next.push_back({deadline, std::move(then)});
  if (round.number == 0) gathering_.insert(partition);
}

void Reads::Flush() {
  std::map<NodeId, wire::Confirm> asks;
  for (const PartitionId p : std::exchange(gathering_, {})) {
    auto it = rounds_.find(p);
    if (it == rounds_.end() || it->second.number != 0 || it->second.next.empty()) continue;
    Round& round = it->second;
    const auto* progress = primaries_.Progress(p);
    if (!progress) {
      round.now = std::exchange(round.next, {});
      Complete(p, round, false);
      continue;
    }
    if (!progress->active()) continue;  // asked again by Tick, until it is or authority ends
    round.now = std::exchange(round.next, {});
    round.missing.clear();
    for (const NodeId& id : progress->ackset()) {
      const bool left_out = id == progress->proposed() && Planted(Bug::kAddNotInConfirmations);
      if (id != ctx_.self && !left_out) round.missing.insert(id);
    }
    if (round.missing.empty() || Planted(Bug::kUnconfirmedRead)) {
      Complete(p, round, true);
      continue;
    }
    round.number = next_round_++;
    round.sent = ctx_.now;
    for (const NodeId& id : round.missing) {
      auto* asked = asks[id].add_partitions();
      asked->set_partition(p);
      asked->set_term(ctx_.group(p).term.value);
    }
  }
  for (auto& [peer, ask] : asks) {
    wire::Peer message;
    ask.set_round(next_round_ - 1);
    ask.set_boot(ctx_.config.boot.value);
    *message.mutable_confirm() = std::move(ask);
    ctx_.Send(peer, std::move(message));
  }
}

void Reads::OnConfirmAnswer(const NodeId& from, const wire::ConfirmAnswer& answer) {
  if (answer.boot() != ctx_.config.boot.value) return;
  for (const auto& confirmed : answer.partitions()) {
    auto it = rounds_.find(confirmed.partition());
    if (it == rounds_.end() || it->second.number == 0 || it->second.number > answer.round()) continue;
    const auto* progress = primaries_.Progress(confirmed.partition());
    if (!progress || Term(confirmed.term()) != ctx_.group(confirmed.partition()).term) continue;
    Round& round = it->second;
    round.missing.erase(from);
    if (!round.missing.empty()) continue;
    RULE("R5.1");
    Complete(confirmed.partition(), round, true);
  }
}

void Reads::Complete(PartitionId partition, Round& round, bool confirmed) {
  round.number = 0;
  auto done = std::exchange(round.now, {});
  if (!round.next.empty()) gathering_.insert(partition);
  for (Waiting& w : done) w.then(confirmed);
}

void Reads::OnEnded(PartitionId partition) {
  auto it = rounds_.find(partition);
  if (it != rounds_.end()) {
    Round round = std::move(it->second);
    rounds_.erase(it);
    for (Waiting& w : round.now) w.then(false);
    for (Waiting& w : round.next) w.then(false);
  }
  auto watching = watchers_.find(partition);
  if (watching == watchers_.end()) return;
  for (const Watcher& w : std::exchange(watching->second, {})) AnswerFenced(ctx_, WaiterOf(ctx_, w.from, w.request));
  watchers_.erase(watching);
}

std::size_t Reads::CountWaiting(PartitionId partition) const {
  std::size_t waiting = 0;
  if (const auto it = rounds_.find(partition); it != rounds_.end()) waiting += it->second.now.size() + it->second.next.size();
  if (const auto it = out_.find(partition); it != out_.end()) waiting += it->second;
  return waiting;
}

std::size_t Reads::CountWatching(PartitionId partition) const {
  const auto it = watchers_.find(partition);
  return it == watchers_.end() ? 0 : it->second.size();
}

void Reads::OnReadDone(ReadResult result) {
  if (result.task.request.has_data_request()) {
    const wire::DataRequest& asked = result.task.request.data_request();
    --out_[asked.partition()];
    // The partition may have gone meanwhile.
    const auto replica = ctx_.replicas.find(asked.partition());
    if (result.no_drop && result.task.in_store && replica != ctx_.replicas.end()) {
      replica->second->NoteNoDrop(ZoneId::Must(asked.zone()), *result.task.in_store);
    }
  }
  if (result.needs_confirmation) {
    RULE("R13.2 confirmed first");
    wire::DataRequest request = std::move(*result.task.request.mutable_data_request());
    const NodeId from = result.task.reply_to;
    if (!ctx_.LeadsIn(Term(request.term()), request.partition())) {
      return AnswerFenced(ctx_, WaiterOf(ctx_, from, request));
    }
    const Instant deadline = result.task.asked + milliseconds(request.deadline_ms());
    const PartitionId p = request.partition();
    Confirm(p, deadline, [this, from, held = std::make_shared<wire::DataRequest>(std::move(request))](bool confirmed) {
      if (!confirmed) return AnswerFenced(ctx_, WaiterOf(ctx_, from, *held));
      const Seq limit = primaries_.Progress(held->partition())->committed();
      Dispatch(from, std::move(*held), true, limit);
    });
    return;
  }
  Keep(result);
  ctx_.out.send.push_back({result.task.reply_to, std::move(result.answer)});
}

bool Reads::ReadAnew(ReadResult& result) {
  const wire::DataRequest& request = result.task.request.data_request();
  if (!request.has_read_chain() && !request.has_head_chain()) return false;
  const PartitionReplica& replica = ctx_.Replica(request.partition());
  if (replica.last_erasure() <= result.task.limit) return false;
  const std::string& chain = request.has_read_chain() ? request.read_chain().chain() : request.head_chain().chain();
  if (!replica.Erased(EntryKey(ZoneId::Must(request.zone()), BlockId::Must(chain), 0), result.task.limit)) return false;
  // What is committed now is for the primary of that term to say (R5).
  if (!ctx_.LeadsIn(Term(request.term()), request.partition())) {
    --out_[request.partition()];
    AnswerFenced(ctx_, WaiterOf(ctx_, result.task.reply_to, request));
    return true;
  }
  result.task.limit = result.task.committed = replica.committed();
  result.task.tail_ticket = 0;
  Emit(std::move(result.task));
  return true;
}

void Reads::Keep(ReadResult& result) {
  if (result.task.tail_ticket == 0) return;
  const auto& answer = result.answer.header.data_response().chain();
  const bool whole = answer.has_packed() && answer.complete() && result.answer.bodies.size() == 1;
  const auto wanted = EndWanted(result.task.request.data_request());
  ctx_.tails.Fill(wanted->chain, result.task.tail_ticket, answer.packed().first(), whole ? result.answer.bodies[0] : nullptr, std::move(result.marks));
}

void Reads::Tick() {
  for (auto it = rounds_.begin(); it != rounds_.end();) {
    auto& [partition, round] = *it;
    auto expired = [&](const Waiting& w) { return w.deadline <= ctx_.now; };
    std::erase_if(round.now, expired);
    std::erase_if(round.next, expired);
    if (round.number != 0) {
      for (const NodeId& peer : round.missing) ctx_.WaitsFor(peer);
    }
    if (round.number != 0 && ctx_.now - round.sent >= kRoundRetry) {
      // Ask again, together with whoever came since; the old round's answers no longer count.
      round.number = 0;
      std::move(round.now.begin(), round.now.end(), std::back_inserter(round.next));
      round.now.clear();
    }
    if (round.number == 0 && !round.next.empty()) gathering_.insert(partition);
    it = round.number == 0 && round.next.empty() ? rounds_.erase(it) : std::next(it);
  }
  for (auto it = watchers_.begin(); it != watchers_.end();) {
    std::vector<Watcher> over;
    std::erase_if(it->second, [&](Watcher& w) {
      if (w.until > ctx_.now) return false;
      over.push_back(std::move(w));
      return true;
    });
    it = it->second.empty() ? watchers_.erase(it) : std::next(it);
    for (Watcher& w : over) {
      w.request.mutable_read_chain()->set_wait_ms(0);
      Handle(w.from, std::move(w.request));
    }
  }
}

Instant Reads::NextDeadline() const {
  return rounds_.empty() && watchers_.empty() ? kNever : ctx_.now + milliseconds(20);
}

}  // namespace coffer::node
