// What this node holds of one partition: the store's records, and over them the writes that are on their way to the disk.
//
// It applies writes in order, undoes them from the end (rule R4), and finishes committed ones (the bytes of a delete go only
// then, rule R10). It knows nothing of roles, peers or time; every durable change is added to a batch the caller persists.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"
#include "cluster/planted_bug.h"
#include "node/core/node_core.h"
#include "node/store.h"

namespace coffer::node {

// Hash over all writes of a partition up to `write` (its stamp is set, its hash not yet).
Digest HashWrite(const Digest& previous, const wire::Write& write);
Stamp StampOf(const wire::Stamp& stamp);
void SetStamp(const Stamp& stamp, wire::Stamp* out);

// hash(entry) as coffer.v1.Chains defines it.
Digest EntryHash(const BlockId& chain, std::uint64_t position, const Digest& predecessor, std::string_view signature,
                 std::string_view body);

// The end of a chain, uncommitted entries included.
struct ChainEnd {
  std::uint64_t length = 0;
  Digest hash;
  bool deleted = false;
};

// What took a record away, and may not have done so yet: its zone's drop, its chain's delete. The stamp of a mark that does not verify is zero.
struct Covered {
  std::optional<Stamp> by_zone;
  std::optional<Stamp> by_chain;  // of an entry
};

// What a replica had applied when something was handed to the disk. Once that is durable, so is all this: the disk takes everything in
// order. It says nothing of a log that was begun, or cut, later, though that may have the same numbers.
struct Applied {
  std::uint64_t incarnation = 0;  // of the replica: one is made anew when its partition was discarded
  std::uint64_t beginning = 0;    // how often its log was begun anew, or cut
  Seq last;                       // its last write
  std::uint64_t changes = 0;      // how many changes of records, by writes or beside them
};

class PartitionReplica {
 public:
  // `meta` as recovered; everything in it is durable. Writes after meta.committed are finished again once committed. `incarnation`: no
  // other replica of the partition in this process has the same.
  PartitionReplica(PartitionId id, const StoreReader& store, PartitionMeta meta, std::uint64_t log_keep, std::uint64_t incarnation = 0);

  PartitionId id() const { return id_; }
  // Whether the writes after meta.committed could be read when this was made. If not, what they did to the records is not
  // known here, and this copy must not be used (R11).
  ReadOutcome tail() const { return tail_; }
  const PartitionMeta& meta() const { return meta_; }   // ahead of the disk by what is being written
  Seq last() const { return meta_.last.seq; }
  // The log is durable up to here; 0 while it was begun anew and that is not durable.
  Seq durable() const { return durable_; }
  // Every write, and the log's beginning or cut.
  bool AllDurable() const { return durable_ == meta_.last.seq && (begun_durable_ == begun_ || Planted(Bug::kLogBeginCounts)); }
  // Likewise, and what was fetched, dropped or taken away beside the log: a scan of the store shows all that is here.
  bool Settled() const { return AllDurable() && records_.empty(); }
  Applied applied() const { return {incarnation_, begun_, meta_.last.seq, changes_}; }
  // What was applied then is durable and visible in the store. What an earlier incarnation applied is nothing to this one.
  void DurableUpTo(const Applied& applied);

  // Look-ups through the writes under way. kDamaged and kFailed as the store says.
  ReadOutcome Find(const RecordKey& key, RecordHeader* header) const;
  ReadOutcome FindEnd(const ZoneId& zone, const BlockId& chain, ChainEnd* end) const;
  // The registration of a zone under `key`, with the record as it stands.
  ReadOutcome FindZone(const RecordKey& key, RecordHeader* header, wire::ZoneRecord* zone) const;
  // Headers of all records with `after` < key <= `last` in stored order ("": no bound), as they will be once everything
  // under way is durable. A damaged record is shown with an empty header.
  ReadOutcome Scan(std::string_view after, std::string_view last,
                   const std::function<void(const RecordKey&, const RecordHeader&)>& visit) const;
  // The live chunks and chains among them, and the bytes of their values: what the counters should say (I15). `each` sees all records on the
  // way, with the writes by which marks that came before cover them.
  ReadOutcome CountLive(std::string_view after, std::string_view last, std::uint64_t* blocks, std::uint64_t* bytes,
                        const std::function<void(const RecordKey&, const RecordHeader&, const Covered&)>& each = nullptr) const;
  // Whether a committed delete of the record's chain or zone, later than `after`, has erased it, or is doing so.
  bool Erased(const RecordKey& key, Seq after = {}) const;
  // The last such delete since this was made.
  Seq last_erasure() const { return last_erasure_; }
  // Whether the zone's blocks are dropped here.
  ReadOutcome ZoneDropped(const ZoneId& zone, bool* dropped) const;
  // That they are not is known without asking the store. False: they may be, or not.
  bool KnownLive(const ZoneId& zone) const { return zone == live_zone_; }
  // The records as they are; nothing: the store does not show all of them yet.
  std::optional<RecordsMark> InStore() const;
  // The store, looked at after InStore() was `since`, had no drop of the zone. Counts only if nothing was changed since: the look may have
  // come before the change.
  void NoteNoDrop(const ZoneId& zone, const RecordsMark& since);

  // Applies the next write: stamp.seq is last() + 1 and its hash is set. False when the disk can't be read.
  bool Apply(std::shared_ptr<const wire::Write> write, std::vector<Payload> bodies, StoreBatch* batch);
  // Cuts off everything after `fork`, which must be in the log, and reports what was cut. Only while AllDurable(), which it is again
  // once the batch is durable. `hash`: the one up to there (Holds), which the line itself may not tell any more.
  bool CutTo(Seq fork, const Digest& hash, StoreBatch* batch, std::vector<QuarantinedWrite>* cut);
  // Everything up to `committed` is committed: finishes deletes, prunes the log. Never moves back.
  void Commit(Seq committed, StoreBatch* batch);
  Seq committed() const { return meta_.committed; }
  // Whether the delete of this stamp is finished so: it is in our log, and not committed yet.
  bool WillFinish(const Stamp& by) const;
  // Makes the mark durable by itself, unless a write has done so: who lacks what is committed is known by it, over restarts too (R4.6).
  void KeepCommitted(StoreBatch* batch);
  // Becomes a learner whose log starts at `base`, whatever the partition held before. Only while AllDurable(), which it is
  // again once the batch is durable. What lies before may be missing from now on, as far as this copy did not know it to be committed.
  void StartAt(Seq base, const Digest& hash, const Stamp& stamp, StoreBatch* batch);
  // Which writes up to the log's start may be missing: those after `after` up to `to`; to == 0: none.
  void SetLacking(Seq after, Seq to);
  // Remembers the primary's boot that made contact; `batch` may be null when the caller changes the meta anyway.
  void NoteContact(Term term, Boot boot, StoreBatch* batch);
  // Adjusts the counters after records were fetched or dropped by resync.
  void Count(std::int64_t blocks, std::int64_t bytes, StoreBatch* batch);
  // Chunks and chains the counters describe, set from a recount.
  void SetCounts(std::uint64_t blocks, std::uint64_t bytes, StoreBatch* batch);
  // Notes a record that resync wrote or erased, so that look-ups see it before it is durable.
  void NoteRecord(const RecordKey& key, std::optional<RecordHeader> header);
  // A record is being written that was not ordered here: what is remembered of the partition's chains may be wrong.
  void ForgetEnd() { known_end_.reset(); }

  // The hash up to `seq`: known for the log's range and its start.
  std::optional<Digest> HashAt(Seq seq) const;
  // Whether the hash up to `seq` is this one. Where that line does not verify the next one tells, whose hash goes on from it.
  bool Holds(Seq seq, std::string_view hash) const;
  // What is on the disk and not known to be committed.
  ReadOutcome ReadTail(std::vector<LogRecord>* tail) const;
  // Marks of the whole log, oldest (its start) first.
  std::vector<wire::LogMark> Marks() const;
  // Consecutive writes after `from` with their bodies, up to about `max_bytes` (at least one). Nothing when the log does not
  // reach back to `from` or can't be read, or when the record of a body does not verify, which is named in `damaged`: its bytes
  // must not be taken for deleted.
  struct WriteWithBodies {
    std::shared_ptr<const wire::Write> write;
    std::vector<Payload> bodies;
  };
  std::optional<std::vector<WriteWithBodies>> WritesAfter(Seq from, std::uint64_t max_bytes, std::optional<RecordKey>* damaged) const;
  // Whether a record with this header, from a member that held all of this partition and knew everything up to `known` to be
  // committed, is what our own log leaves of it: every write that made it is ours, and no other one changed it since (S9).
  bool IsOurs(const RecordKey& key, const RecordHeader& header, Seq known) const;
  // False: no write of our log after `seq` changed the record.
  bool MayHaveChanged(const RecordKey& key, Seq seq) const;
  // The header of a chunk or an entry that the last write to it left, as the log tells; nothing: the log does not reach back to it.
  std::optional<RecordHeader> HeaderFromLog(const RecordKey& key) const;

 private:
  struct Overlaid {
    std::uint64_t change = 0;            // its number: shown until that is durable
    std::optional<RecordHeader> header;  // nothing: erased
  };
  struct OverlaidEnd {
    Seq seq;
    ChainEnd end;
  };
  struct KnownEnd {
    ZoneId zone;
    BlockId chain;
    ChainEnd end;
  };
  void Overlay(const RecordKey& key, std::optional<RecordHeader> header);
  bool Store(const RecordKey& key, RecordHeader header, Payload value, bool only_if_absent, StoreBatch* batch);
  bool ApplyRecords(const wire::Write& write, const std::vector<Payload>& bodies, StoreBatch* batch);
  bool ApplyAppend(const wire::Write& write, const std::vector<Payload>& bodies, StoreBatch* batch);
  bool ApplyDeleteChunk(const wire::Write& write, StoreBatch* batch);
  void ApplyZone(const wire::Write& write, StoreBatch* batch);
  bool Undo(const wire::Write& write, const Stamp& kept, StoreBatch* batch);
  void Finish(const wire::Write& write, StoreBatch* batch);
  void Prune(StoreBatch* batch);
  std::optional<wire::Write> LogAt(Seq seq) const;
  std::vector<Payload> BodiesOf(const wire::Write& write, std::optional<RecordKey>* damaged) const;
  void PutMeta(StoreBatch* batch);

  const PartitionId id_;
  const StoreReader& store_;
  const std::uint64_t log_keep_;
  const std::uint64_t incarnation_;
  PartitionMeta meta_;
  ReadOutcome tail_ = ReadOutcome::kFound;
  // Of one log only: the same number may be another write's in the log that was cut, or in the one before the last beginning.
  Seq durable_;
  std::uint64_t begun_ = 0;          // beginnings and cuts
  std::uint64_t begun_durable_ = 0;  // of them; durable_ speaks of the present log once they are the same
  Seq kept_committed_;  // as the meta last handed to the store says
  Seq last_erasure_;
  // A node has thousands of replicas, most of them at rest: vectors, since an empty deque of libstdc++ already takes 600 bytes.
  std::vector<WriteWithBodies> window_;           // applied, not yet durable; ascending
  std::map<std::string, Overlaid> records_;       // by encoded key; changed, and not durable yet
  std::uint64_t changes_ = 0;                     // of records_, since this was made
  std::map<std::string, OverlaidEnd> ends_;       // by zone || chain
  // The end of the chain appended to last: who appends to a chain does so again, and the store would have to look for a delete and for
  // the last entry each time. Null: not known.
  std::unique_ptr<KnownEnd> known_end_;
  mutable std::optional<ZoneId> live_zone_;       // the zone last seen not to be dropped: nearly every request asks
  std::vector<wire::Write> unfinished_;           // deletes that are applied but not committed; ascending
};

}  // namespace coffer::node
