// The receiving side of resync: compares a partition with its primary's range by range, fetches what differs, drops what the
// primary lacks, and says when it is done (rules R7, R8, R10: it adopts, it never merges back).
//
// Writes ordered after the primary looked (`as_of`) arrive live; a record that carries such a stamp is newer than any
// listing and is left alone.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/core/context.h"
#include "node/core/fill_window.h"
#include "node/core/resync_tally.h"

namespace coffer::node {

class LearnerResync {
 public:
  // `log_started`: whether this node's log of the partition was begun for that choice.
  LearnerResync(Context& context, std::function<bool(PartitionId, std::uint64_t choice)> log_started)
      : ctx_(context), log_started_(std::move(log_started)) {}

  void OnRole(const NodeId& primary, const wire::LearnerRole& role);
  void OnRanges(const NodeId& from, wire::Ranges ranges);
  void OnListing(const NodeId& from, wire::Listing listing);
  void OnFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies);
  // Live writes became durable: an answer may have waited for them.
  void OnAdvanced(PartitionId partition);
  void EndTerm(PartitionId partition) { End(partition); }
  void OnLinkDown(const NodeId& peer);
  void Tick();
  Instant NextDeadline() const { return jobs_.empty() ? kNever : ctx_.now + std::chrono::milliseconds(20); }

  std::size_t running() const { return jobs_.size(); }
  void VisitQueues(const QueueVisitor& visit) const;
  ResyncTally& tally() { return tally_; }
  const ResyncTally& tally() const { return tally_; }

 private:
  struct Range {
    std::string after;
    std::string last_key;  // inclusive; empty: open
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
  };
  struct Job {
    NodeId primary;
    Term term;
    Boot boot;
    std::uint64_t choice = 0;
    std::uint64_t number = 0;  // of all jobs here: what was handed to the disk for one says nothing of the next
    std::uint64_t base = 0;  // what the primary saw before this write is no answer to us
    bool history = false;
    bool started = false;
    bool done = false;
    bool counted = false;                    // done, and that is durable: it may be said, and again
    std::string after;                       // ranges are compared up to here
    bool complete = false;                   // the last ranges were the partition's last
    std::deque<Range> todo;                  // differing ranges, to be listed
    std::optional<wire::Ranges> ranges;      // waiting for live writes up to as_of
    std::optional<wire::Listing> listing;    // likewise
    std::deque<wire::ListedRecord> fetch;    // to be fetched
    std::uint64_t doubted = 0;               // registrations were taken that may have been purged by a write up to this one; 0: none were
    std::uint64_t as_of = 0;                 // of the listing the fetches belong to
    std::uint64_t gone_as_of = 0;            // by this write records that were listed were gone when they were to be fetched
    std::uint64_t call = 0;                  // fetch under way; 0: none
    std::uint64_t asked_bytes = 0;           // of it
    bool begun = false;
    std::uint64_t place = 0;                 // among those that wait for room in their source's window; 0: it does not
    Instant asked{};
  };

  // The job of a partition, if it goes on: not before our log begins, since live writes would be counted twice that were copied before (I15), nor
  // after it was begun for a later choice, of which nothing but that has come: what that log lacks is not known to be here (L10.6).
  Job* Going(PartitionId partition);
  // The one that this answers.
  Job* JobOf(const NodeId& from, PartitionId partition, std::uint64_t term, std::uint64_t boot);
  void Continue(PartitionId partition, Job& job);
  static bool OfLostLog(const Job& job, const ScannedRecord& own, std::uint64_t as_of);
  void Compare(PartitionId partition, Job& job);
  void Merge(PartitionId partition, Job& job);
  void CompareAnew(PartitionId partition, Job& job);
  void AskRanges(PartitionId partition, Job& job);
  void ListRegistrations(PartitionId partition, Job& job);
  void AskListing(PartitionId partition, Job& job);
  void AskFetch(PartitionId partition, Job& job);
  // Writes what was fetched from a source, `bytes` of values asked for at `asked`, or what the primary lacks; goes on when it is durable.
  void Persist(PartitionId partition, StoreBatch batch, const NodeId& source, std::uint64_t bytes = 0, Instant asked = {});
  void End(PartitionId partition);
  // What was asked for came, or is not waited for any more.
  void NothingAsked(Job& job);
  // It waits for room no longer.
  void LeavePlace(Job& job);
  // One partition is done: the next one behind it begins.
  void BeginNext(PartitionId partition);
  // False: it does not verify, or the disk here gave up, and was said to. `value` may be null.
  bool Accept(PartitionId partition, Job& job, const wire::FetchedRecord& record, const Payload& value, StoreBatch* batch);
  std::optional<bool> Superseded(PartitionId partition, const Job& job, const RecordKey& key) const;
  bool MayBePurged(PartitionId partition, const Job& job, const RecordKey& key) const;
  bool Live(const Job& job, const RecordHeader& header) const;
  std::optional<bool> ChangedLive(PartitionId partition, const Job& job, const RecordKey& key) const;
  void Finish(PartitionId partition, Job& job);
  void CountUp(PartitionId partition, Job& job);
  void SayDone(PartitionId partition, const Job& job);
  std::uint64_t Rate() const;

  Context& ctx_;
  const std::function<bool(PartitionId, std::uint64_t choice)> log_started_;
  std::map<PartitionId, Job> jobs_;
  std::uint64_t jobs_made_ = 0;
  std::uint64_t next_call_ = 1;
  double budget_ = 0;          // bytes that may be asked for now
  // By source, so that one that is far, or keeps silent, holds up nobody else: what was asked for and has not come, and how much of it
  // there may be, with what has come and is not durable, of whichever source.
  struct Source {
    FillWindow window;
    std::uint64_t asked = 0;
    std::map<std::uint64_t, PartitionId> waiting;  // for room in it, by place
  };
  bool Full(const Source& source) const { return writing_ + source.asked >= source.window.bytes(); }
  // Of all that wait for room and whose source has some, the first. A look at each source, however many wait.
  Source* FirstWithRoom();
  // Asks for those that waited for room in the window.
  void AskWaiting();
  std::map<NodeId, Source> sources_;
  std::uint64_t writing_ = 0;
  std::uint64_t last_place_ = 0;
  std::set<PartitionId> unbegun_;                // jobs that have not begun, and whose history may be asked for
  std::map<PartitionId, std::size_t> unsettled_; // batches on their way to the disk
  Instant refilled_{};
  ResyncTally tally_{ctx_};
};

}  // namespace coffer::node
