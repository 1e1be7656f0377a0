// What a node keeps of its partitions, behind an interface: LevelDB in production, memory in simulation.
//
// A partition holds *records*: chunks, chain entries, deletion marks and zone registrations, each under a key that is unique
// within the partition and ordered as docs/formats.md says (zone, kind, id, position complemented). Beside them it keeps the
// *log* of its last writes (stamp, hash, what the write did: enough to undo it) and a *meta* line.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"

namespace coffer::node {

// What a record is; its value is part of the key, so the order matters.
enum class RecordKind : std::uint8_t {
  kZoneDrop = 1,     // everything of the zone in this partition is gone or going; key: zone
  kChunk = 2,        // key: zone, id
  kChainDelete = 3,  // the chain is deleted; key: zone, id
  kEntry = 4,        // key: zone, id, position
  kZone = 5,         // registration; key: zero zone, SHA-256(name)
};

// A record's key within its partition.
struct RecordKey {
  ZoneId zone;
  RecordKind kind = RecordKind::kChunk;
  BlockId id;                  // zeros for kZoneDrop
  std::uint64_t position = 0;  // kEntry only

  auto operator<=>(const RecordKey&) const = default;  // NOT the stored order for positions; see EncodeKey
};

// zone(16) || kind(1) || id(32) || ~position(8, big-endian; entries only). Newest entry first.
std::string EncodeKey(const RecordKey& key);
std::optional<RecordKey> DecodeKey(std::string_view bytes);

// The stored record without its value.
struct RecordHeader {
  Stamp stamp;                 // the write that made it
  Digest hash;                 // chunk: SHA-256 of the bytes; entry: hash(entry); zone: SHA-256 of the ZoneRecord
  std::uint64_t size = 0;      // bytes of the value
  bool deleted = false;        // chunk: a deletion mark; the bytes may still be there until the delete is committed
  bool value_gone = false;     // the deletion is committed and the bytes are gone
  Stamp deleted_by;            // the write that deleted it
  Digest predecessor;          // entry only
  std::string signature;       // entry only
};

// The bytes that travel in resync (FetchedRecord.header).
std::string EncodeHeader(const RecordHeader& header);
std::optional<RecordHeader> DecodeHeader(std::string_view bytes);
// What digests compare: SHA-256 over kind-independent state (hash, size, deleted, predecessor, signature); not the stamp.
Digest RecordHash(const RecordHeader& header);

// A partition's line of its own, written in the same batch as its data.
struct PartitionMeta {
  Stamp last;                  // the last write
  Digest last_hash;            // and the hash up to it
  Seq committed;               // known to be committed (may lag)
  Seq log_start;               // the log holds the writes after this one ...
  Digest log_start_hash;       // ... whose hash was this
  Term contact_term;           // highest (term, boot) of a primary that made contact: an older boot is refused (rule R2),
  Boot contact_boot;           // over our restarts too
  std::uint64_t blocks = 0;    // live chunks and chains
  std::uint64_t bytes = 0;     // their values
  Seq lacks_after;             // a learner that has not got all history: writes after this one ...
  Seq lacks_to;                // ... up to this one may be missing; both 0: none is
  bool operator==(const PartitionMeta&) const = default;
};

// A line of the log: the write as ordered (without bodies).
using LogRecord = wire::Write;

// Changes that become durable together. A plain list; executed in order.
struct StoreBatch {
  struct PutRecord { PartitionId partition; RecordKey key; RecordHeader header; Payload value; };       // value may be null (none)
  struct SetHeader { PartitionId partition; RecordKey key; RecordHeader header; };                       // keeps the value
  struct DropValue { PartitionId partition; RecordKey key; RecordHeader header; };                       // header stays, value goes
  struct EraseRecord { PartitionId partition; RecordKey key; };
  struct EraseRange { PartitionId partition; std::string from; std::string to; };  // encoded keys, [from, to); "" is the end
  struct PutLog {
    PutLog(PartitionId p, LogRecord r) : PutLog(p, std::make_shared<const LogRecord>(std::move(r))) {}
    PutLog(PartitionId p, std::shared_ptr<const LogRecord> r) : partition(p), record(std::move(r)) {}
    PartitionId partition;
    std::shared_ptr<const LogRecord> record;  // never null
  };
  struct EraseLog { PartitionId partition; Seq from; Seq to; };                    // inclusive
  struct PutMeta { PartitionId partition; PartitionMeta meta; };
  struct ErasePartition { PartitionId partition; };                                // records, log, meta
  using Change = std::variant<PutRecord, SetHeader, DropValue, EraseRecord, EraseRange, PutLog, EraseLog, PutMeta, ErasePartition>;
  std::vector<Change> changes;
  bool empty() const { return changes.empty(); }
};

// How a read ended.
enum class ReadOutcome : std::uint8_t {
  kFound,
  kAbsent,
  kDamaged,  // there, but its checksum or key binding does not verify
  kFailed,   // the disk answered with an error
};

// One record of a scan.
struct ScannedRecord {
  RecordKey key;
  RecordHeader header;
  bool damaged = false;  // its header does not verify: key only
};

// The value of an entry that is being visited. Its bytes are lent for the length of the visit.
class EntryValue {
 public:
  explicit EntryValue(std::string_view lent) : bytes_(lent), present_(true) {}
  explicit EntryValue(Payload shared) : shared_(std::move(shared)), present_(shared_ != nullptr) {
    if (shared_) bytes_ = *shared_;
  }
  bool present() const { return present_; }
  std::string_view bytes() const { return bytes_; }
  // The bytes for longer: copied, unless the store has a share to give. Null when there are none.
  Payload Share() const { return shared_ || !present_ ? shared_ : std::make_shared<const std::string>(bytes_); }

 private:
  Payload shared_;
  std::string_view bytes_;
  bool present_ = false;
};

// Reads. Thread-safe; every read verifies checksums. Sees everything whose Write has completed.
class StoreReader {
 public:
  virtual ~StoreReader() = default;

  // The header of a record.
  virtual ReadOutcome Lookup(PartitionId partition, const RecordKey& key, RecordHeader* header) const = 0;
  // Header and value.
  virtual ReadOutcome Read(PartitionId partition, const RecordKey& key, RecordHeader* header, Payload* value) const = 0;
  // Headers in stored order of all records with encoded key > `after` (exclusive; "" for the start) and <= `last`
  // (inclusive; "" for the end), until `visit` returns false. kFound when that was all of them; kFailed when the disk gave up,
  // or when a part of it is so damaged that the keys in it are not known: what was visited is then not all there is, and must
  // not be taken for it.
  virtual ReadOutcome Scan(PartitionId partition, std::string_view after, std::string_view last,
                           const std::function<bool(const ScannedRecord&)>& visit) const = 0;
  // The newest entry of a chain (kAbsent: none).
  virtual ReadOutcome LastEntry(PartitionId partition, const ZoneId& zone, const BlockId& chain, RecordKey* key,
                                RecordHeader* header) const = 0;
  // Entries of a chain with headers and values, positions [from, to), ascending or descending, until `visit` returns false.
  // The visitor sees by the positions whether some are missing. kDamaged or kFailed: it stopped where the disk could not be
  // read.
  using EntryVisitor = std::function<bool(ReadOutcome, const RecordKey&, const RecordHeader&, const EntryValue&)>;
  virtual ReadOutcome ReadEntries(PartitionId partition, const ZoneId& zone, const BlockId& chain, std::uint64_t from,
                                  std::uint64_t to, bool backwards, const EntryVisitor& visit) const = 0;
  // Log lines with seq in [from, to], ascending. kFound, also for none; else `records` holds those before the one that could
  // not be read.
  virtual ReadOutcome ReadLog(PartitionId partition, Seq from, Seq to, std::vector<LogRecord>* records) const = 0;
  // All partitions that have a meta line, with it. kDamaged: there are partitions whose state is not known, so this store must
  // not act for anybody; a store on disk checks this when it is opened.
  virtual ReadOutcome ReadMetas(const std::function<void(PartitionId, const PartitionMeta&)>& visit) const = 0;
};

// How the disk is.
struct StoreHealth {
  bool failed = false;           // a write or sync failed: nothing is acknowledged ever again by this process (rule R11)
  std::string failure;           // what failed, and what to do
  bool full = false;             // below the reserve: writes that add data are refused, deletes and reads go on
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t used_bytes = 0;  // by this store
  bool slow = false;             // its syncs take long (node/sync_watch.h): others had better lead (L11)
  Duration since_last_sync{};    // age of the last successful sync (a probe syncs when idle)
};

// A store that can be written. Thread-safe.
class Store : public StoreReader {
 public:
  // Queues a batch. Batches become durable in the order of the calls, several in one group commit (one write, one fdatasync).
  // `done(true)` runs on the store's writer thread once the batch is durable and visible to reads; `done(false)` when it
  // failed: from then on every batch fails, and the process must stop acknowledging.
  virtual void Write(StoreBatch batch, std::function<void(bool)> done) = 0;
  virtual StoreHealth Health() const = 0;
  // Runs `reads`, which read from this store on the calling thread, as far as they need not wait for the disk, nor read more than
  // `bytes` from it; what they read is taken off `bytes`. False: something would have waited, or was too much; what came of them
  // is void.
  virtual bool ReadPromptly(const std::function<void()>& reads, std::uint64_t* bytes) const = 0;
};

}  // namespace coffer::node
