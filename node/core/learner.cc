#include "node/core/learner.h"

#include <algorithm>
#include <utility>

#include "node/core/erasure.h"
#include "node/core/resync_source.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;

constexpr Duration kAskAgain = milliseconds(2000);
constexpr std::size_t kKeysPerFetch = 64;
constexpr std::uint64_t kBytesPerFetch = 256u << 10;
constexpr std::uint64_t kTellingFetch = kBytesPerFetch / 2;  // a smaller one is quick without saying how long the queues are

std::uint64_t BytesOf(const wire::ListedRecord& r) { return r.size(); }

}  // namespace

void LearnerResync::OnRole(const NodeId& primary, const wire::LearnerRole& role) {
  if (!role.chosen()) {
    RULE("S2");
    return End(role.partition());
  }
  auto it = jobs_.find(role.partition());
  if (it == jobs_.end() || it->second.primary != primary || it->second.term != Term(role.term()) ||
      it->second.boot != Boot(role.boot()) || it->second.choice != role.choice()) {
    End(role.partition());
    jobs_[role.partition()] = Job{.primary = primary, .term = Term(role.term()), .boot = Boot(role.boot()), .choice = role.choice(),
                                  .number = ++jobs_made_, .base = role.base()};
    it = jobs_.find(role.partition());
  }
  it->second.history = role.history();
  if (role.history() && !it->second.begun) unbegun_.insert(role.partition());
}

LearnerResync::Job* LearnerResync::Going(PartitionId partition) {
  const auto it = jobs_.find(partition);
  if (it == jobs_.end()) return nullptr;
  Job& job = it->second;
  const bool started = log_started_(partition, job.choice) || Planted(Bug::kEarlierChoiceTaken);
  return job.history && !job.done && started ? &job : nullptr;
}

LearnerResync::Job* LearnerResync::JobOf(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot) {
  Job* const job = Going(partition);
  return job && job->primary == from && job->term == Term(term) && job->boot == Boot(boot) ? job : nullptr;
}

void LearnerResync::End(PartitionId partition) {
  const auto it = jobs_.find(partition);
  if (it == jobs_.end()) return;
  NothingAsked(it->second);
  LeavePlace(it->second);
  unbegun_.erase(partition);
  jobs_.erase(it);
}

void LearnerResync::NothingAsked(Job& job) {
  if (job.asked_bytes > 0) sources_[job.primary].asked -= job.asked_bytes;
  job.asked_bytes = 0;
  job.call = 0;
}

void LearnerResync::LeavePlace(Job& job) {
  if (job.place > 0) sources_[job.primary].waiting.erase(std::exchange(job.place, 0));
}

LearnerResync::Source* LearnerResync::FirstWithRoom() {
  Source* first = nullptr;
  for (auto& [id, source] : sources_) {
    if (source.waiting.empty() || Full(source)) continue;
    if (!first || source.waiting.begin()->first < first->waiting.begin()->first) first = &source;
  }
  return first;
}

void LearnerResync::AskWaiting() {
  while (writing_ < FillWindow::kMost) {
    const Source* const source = FirstWithRoom();
    if (!source) return;
    const PartitionId partition = source->waiting.begin()->second;
    LeavePlace(jobs_.at(partition));
    if (Job* const job = Going(partition)) Continue(partition, *job);
  }
}

void LearnerResync::BeginNext(PartitionId partition) {
  for (auto it = unbegun_.upper_bound(partition); it != unbegun_.end(); ++it) {
    if (Job* const job = Going(*it)) return Continue(*it, *job);
  }
}

void LearnerResync::VisitQueues(const QueueVisitor& visit) const {
  const std::uint64_t partitions = ctx_.layout ? ctx_.layout->partition_count() : 0;
  visit({"partitions to be filled", jobs_.size(), partitions});
  visit({"partitions that have not begun", unbegun_.size(), partitions});
  visit({"partitions with batches under way", unsettled_.size(), partitions});
  for (const auto& [partition, job] : jobs_) {
    visit({"ranges that differ", job.todo.size(), kRangesPerAnswer});
    visit({"records to be fetched", job.fetch.size(), kRecordsPerListing});
  }
  // A fetch is begun while there is any room in its source's window.
  std::uint64_t asked = writing_;
  for (const auto& [id, source] : sources_) {
    asked += source.asked;
    visit({"partitions that wait for room in the window", source.waiting.size(), partitions});
  }
  const std::uint64_t fetch = ctx_.layout ? std::max(kBytesPerFetch, ctx_.layout->settings.chunk_limit_bytes) : 0;
  visit({"bytes asked for and not durable", asked, (sources_.size() + 1) * (FillWindow::kMost + fetch)});
}

void LearnerResync::OnLinkDown(const NodeId& peer) {
  std::erase_if(jobs_, [&](const auto& e) {
    if (e.second.primary != peer) return false;
    unbegun_.erase(e.first);
    return true;
  });
  sources_.erase(peer);
  tally_.OnLinkDown(peer);
}

std::uint64_t LearnerResync::Rate() const {
  std::uint64_t rate = ctx_.config.resync_bytes_per_second;
  const std::uint64_t limit = ctx_.layout ? ctx_.layout->settings.resync_limit_bytes_per_second : 0;
  if (limit != 0) rate = rate == 0 ? limit : std::min(rate, limit);
  return rate;
}

void LearnerResync::Tick() {
  const std::uint64_t rate = Rate();
  const double seconds = std::min(1.0, std::chrono::duration<double>(ctx_.now - refilled_).count());
  refilled_ = ctx_.now;
  // A quarter of a second may be spent at once.
  budget_ = rate == 0 ? 1e18 : std::min(budget_ + seconds * static_cast<double>(rate), static_cast<double>(rate) / 4);
  int running = 0;
  for (auto& [partition, job] : jobs_) {
    if (job.done && ctx_.now - job.asked >= kAskAgain) {
      if (job.counted) SayDone(partition, job);
      job.asked = ctx_.now;
    }
    if (!Going(partition)) continue;
    if (++running > ctx_.config.resync_partitions_at_once) break;
    if (job.started && ctx_.now - job.asked >= kAskAgain && !job.ranges && !job.listing) {
      NothingAsked(job);
      job.started = false;
    }
    Continue(partition, job);
  }
  AskWaiting();
  tally_.Tick();
}

// One step of a job that goes on: whatever comes next and is not waiting for an answer. `started`: an answer is awaited.
void LearnerResync::Continue(PartitionId partition, Job& job) {
  if (!std::exchange(job.begun, true)) unbegun_.erase(partition);
  if (job.ranges || job.listing) return OnAdvanced(partition);
  if (job.started) return;
  if (!job.fetch.empty()) return AskFetch(partition, job);
  if (!job.todo.empty()) return AskListing(partition, job);
  if (!job.complete && !job.after.empty()) return AskRanges(partition, job);
  // What is on its way to the disk no scan shows. It may have been fetched, or dropped, for an earlier choice or term, of which our log's begin,
  // behind it on the way, does not make sure where the primary's log is empty: as_of is 0 then, and so is durable().
  if (unsettled_.contains(partition) && (job.complete || !Planted(Bug::kEarlierChoiceTaken))) return;
  if (!job.complete) return AskRanges(partition, job);
  if (job.doubted > 0) return ListRegistrations(partition, job);
  Finish(partition, job);
}

// Those that were taken though they may be purged go if the primary lacks them by then. The rest is here, so that this comes to an end.
void LearnerResync::ListRegistrations(PartitionId partition, Job& job) {
  RULE("S5 registrations");
  job.base = std::max(job.base, std::exchange(job.doubted, 0));
  job.todo.push_back({.after = "", .last_key = ZoneId{}.str() + std::string(64, '\xff')});
  AskListing(partition, job);
}

void LearnerResync::AskRanges(PartitionId partition, Job& job) {
  wire::Peer message;
  auto* ask = message.mutable_ranges_request();
  ask->set_partition(partition);
  ask->set_term(job.term.value);
  ask->set_boot(job.boot.value);
  ask->set_after(job.after);
  job.started = true;
  job.asked = ctx_.now;
  ctx_.Send(job.primary, std::move(message));
}

void LearnerResync::AskListing(PartitionId partition, Job& job) {
  wire::Peer message;
  auto* ask = message.mutable_list_request();
  ask->set_partition(partition);
  ask->set_term(job.term.value);
  ask->set_boot(job.boot.value);
  ask->set_after(job.todo.front().after);
  ask->set_last_key(job.todo.front().last_key);
  job.started = true;
  job.asked = ctx_.now;
  ctx_.Send(job.primary, std::move(message));
}

void LearnerResync::AskFetch(PartitionId partition, Job& job) {
  if (budget_ <= 0) {
    RULE("S10 paced");
    return;
  }
  Source& source = sources_[job.primary];
  if (Full(source)) {
    if (job.place > 0) return;
    job.place = ++last_place_;
    source.waiting.emplace(job.place, partition);
    return;
  }
  LeavePlace(job);
  wire::Peer message;
  auto* ask = message.mutable_fetch_request();
  ask->set_partition(partition);
  ask->set_term(job.term.value);
  ask->set_boot(job.boot.value);
  std::uint64_t bytes = 0;
  for (const auto& record : job.fetch) {
    if (static_cast<std::size_t>(ask->keys_size()) == kKeysPerFetch) break;
    if (ask->keys_size() > 0 && bytes + BytesOf(record) > kBytesPerFetch) break;
    ask->add_keys(record.key());
    bytes += BytesOf(record);
  }
  budget_ -= static_cast<double>(bytes);
  job.call = next_call_++;
  job.asked_bytes = bytes;
  source.asked += bytes;
  ask->set_call(job.call);
  job.started = true;
  job.asked = ctx_.now;
  ctx_.Send(job.primary, std::move(message));
}

void LearnerResync::OnRanges(const NodeId& from, wire::Ranges ranges) {
  Job* job = JobOf(from, ranges.partition(), ranges.term(), ranges.boot());
  if (!job || ranges.as_of() < job->base || ranges.after() != job->after || job->ranges || job->complete || !job->todo.empty()) return;
  const PartitionId partition = ranges.partition();
  job->ranges = std::move(ranges);
  OnAdvanced(partition);
}

void LearnerResync::OnListing(const NodeId& from, wire::Listing listing) {
  Job* job = JobOf(from, listing.partition(), listing.term(), listing.boot());
  if (!job || listing.as_of() < job->base || job->todo.empty() || job->listing || !job->fetch.empty() || listing.after() != job->todo.front().after) return;
  const PartitionId partition = listing.partition();
  job->listing = std::move(listing);
  OnAdvanced(partition);
}

void LearnerResync::OnAdvanced(PartitionId partition) {
  Job* const job = Going(partition);
  if (!job) return;
  const PartitionReplica& replica = ctx_.Replica(partition);
  // A listing is compared only with a copy that has every live write the primary had when it looked.
  if (job->ranges && replica.durable().value >= job->ranges->as_of()) Compare(partition, *job);
  else if (job->listing && replica.durable().value >= job->listing->as_of()) Merge(partition, *job);
}

void LearnerResync::OnFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies) {
  Job* job = JobOf(from, fetched.partition(), fetched.term(), fetched.boot());
  if (!job || fetched.call() != job->call || job->call == 0) return;
  NothingAsked(*job);
  StoreBatch batch;
  std::size_t body = 0;
  std::uint64_t bytes = 0;
  bool sound = true;
  for (const auto& record : fetched.records()) {
    if (job->fetch.empty() || job->fetch.front().key() != record.key()) break;
    if (record.damaged()) {
      tally_.SetError("a record of partition " + std::to_string(fetched.partition()) + " is damaged on " + ctx_.NameOf(from));
      sound = false;
      break;
    }
    if (record.found()) {
      if (!Accept(fetched.partition(), *job, record, body < bodies.size() ? bodies[body] : nullptr, &batch)) {
        sound = false;
        break;
      }
      bytes += bodies[body]->size();
      tally_.Count(1, bodies[body]->size(), from, /*travelled=*/true);
      ++body;
    } else {
      job->gone_as_of = fetched.as_of();
    }
    job->fetch.pop_front();
  }
  // After damage the asking pauses for a while (`asked` stands): the source repairs from another copy meanwhile. So it does where our disk gave up.
  job->started = !sound;
  if (sound) tally_.SetError({});
  const PartitionId partition = fetched.partition();
  if (!batch.empty()) Persist(partition, std::move(batch), from, bytes, job->asked);
  // The next is on its way while this is written.
  if (sound) Continue(partition, *job);
}

void LearnerResync::Persist(PartitionId partition, StoreBatch batch, const NodeId& source, std::uint64_t bytes, Instant asked) {
  ++unsettled_[partition];
  writing_ += bytes;
  ctx_.Persist(std::move(batch), [this, partition, source, bytes, asked, applied = ctx_.Replica(partition).applied()] {
    ctx_.Replica(partition).DurableUpTo(applied);
    if (--unsettled_[partition] == 0) unsettled_.erase(partition);
    writing_ -= bytes;
    const auto from = sources_.find(source);
    if (bytes >= kTellingFetch && from != sources_.end()) from->second.window.Took(ctx_.now, ctx_.now - asked);
    if (Job* const job = Going(partition)) Continue(partition, *job);
    AskWaiting();
  });
}

// Everything was compared and fetched, durably. Counted once the live writes are durable, too, so that the counters say what is
// there (I15).
void LearnerResync::Finish(PartitionId partition, Job& job) {
  if (ctx_.Replica(partition).AllDurable()) return CountUp(partition, job);
  StoreBatch batch;
  ctx_.Replica(partition).Count(0, 0, &batch);
  job.started = true;
  job.asked = ctx_.now;
  ctx_.Persist(std::move(batch), [this, partition, number = job.number] {
    const auto it = jobs_.find(partition);
    if (it != jobs_.end() && Planted(Bug::kEarlierChoiceCounts)) return CountUp(partition, it->second);
    Job* const job = Going(partition);
    if (!job || job->number != number) return;  // chosen anew meanwhile: nothing is compared yet (S2a)
    if (job->complete && job->todo.empty() && job->fetch.empty()) CountUp(partition, *job);
  });
}

void LearnerResync::CountUp(PartitionId partition, Job& job) {
  const PartitionReplica& replica = ctx_.Replica(partition);
  // Whether the records here are those of writes that our log has not come to: it was begun anew before them, or they were fetched, or
  // found gone, before they came. The log will count them, and what they took away.
  bool ahead = replica.last().value < job.gone_as_of;
  const auto later = [&](const Stamp& s) { return s.term == job.term && s.boot == job.boot && s.seq > replica.last(); };
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  LeftOver left_over(replica);
  const auto counted = replica.CountLive("", "", &blocks, &bytes, [&](const RecordKey& key, const RecordHeader& header, const Covered& covered) {
    ahead = ahead || later(header.stamp) || (header.deleted && later(header.deleted_by));
    left_over.See(key, header, covered);
  });
  if (counted == ReadOutcome::kFailed) return CompareAnew(partition, job);  // never "done" over records that can't be read
  if (ahead) {
    job.started = true;  // again in a while
    job.asked = ctx_.now;
    return;
  }
  tally_.SetError({});
  StoreBatch batch;
  ctx_.Replica(partition).SetLacking(Seq{}, Seq{});
  ctx_.Replica(partition).SetCounts(blocks, bytes, &batch);
  // Before we count for anything those deletes are committed (R7.2). Should one be undone after all, we get what it took like all we lack.
  left_over.TakeAway(&ctx_.Replica(partition), &batch);
  job.done = true;
  // In order after everything that was fetched: when this is durable, all of it is.
  ctx_.Persist(std::move(batch), [this, partition, number = job.number, applied = replica.applied()] {
    ctx_.Replica(partition).DurableUpTo(applied);
    const auto it = jobs_.find(partition);
    if (it == jobs_.end() || it->second.number != number || !it->second.done) return;
    it->second.counted = true;
    SayDone(partition, it->second);
  });
  BeginNext(partition);
}

void LearnerResync::SayDone(PartitionId partition, const Job& job) {
  wire::Peer message;
  auto* done = message.mutable_history_done();
  done->set_partition(partition);
  done->set_term(job.term.value);
  done->set_boot(job.boot.value);
  done->set_choice(job.choice);
  ctx_.Send(job.primary, std::move(message));
}

}  // namespace coffer::node
