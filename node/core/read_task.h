// Reading values, apart from the core: it decides what may be read and up to where, any thread carries it out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"
#include "node/core/entry_pack.h"
#include "node/store.h"

namespace coffer::node {

// What a replica's records were: between two marks that are equal none was written or taken away.
struct RecordsMark {
  std::uint64_t incarnation = 0;  // of the replica
  std::uint64_t changes = 0;
  friend bool operator==(const RecordsMark&, const RecordsMark&) = default;
};

// A read the core has allowed.
struct ReadTask {
  NodeId reply_to;            // who asked
  wire::Peer request;         // a DataRequest, FetchRequest or CopyDigestRequest
  Seq limit;                  // chain reads: entries of later writes are not shown; 0: all
  Seq committed;              // chunk reads: a put up to here is known to be committed
  bool confirmed = false;     // the primary has confirmed its authority: "absent" may be said
  Instant asked{};            // when the request arrived
  std::uint64_t staleness_ms = 0;
  Epoch epoch;                // for the response
  std::uint64_t tail_ticket = 0;  // chain reads: the core wants to keep what is read (ChainTails::Expect)
  Term complete_term;         // fetches for a repair: the term in which all of the partition is here; 0: it may not be
  bool for_merge = false;     // fetches: who asks merges the survivors of a force
  bool zone_live = false;     // no drop of the zone had been applied when this was handed out: there is none up to the limit (R5.3)
  std::optional<RecordsMark> in_store;  // the records when this was handed out, if the store showed all of them
};

// A record that did not verify.
struct DamagedRecord {
  PartitionId partition = 0;
  RecordKey key;
};

// How it ended: an answer to send, unless something damaged was met, which the core repairs before it reads again.
struct ReadResult {
  ReadTask task;
  PeerMessage answer;                  // valid when damaged is empty
  std::vector<DamagedRecord> damaged;
  bool needs_confirmation = false;     // "absent" was about to be said by one who has not confirmed: confirm, then read again
  bool disk_failed = false;
  bool no_drop = false;                // the store has no drop of the zone
  std::uint64_t bytes_read = 0;
  std::vector<EntryMark> marks;        // of the packed entries, if the task has a ticket
};

// Look-ups of a few records: a thread that must not stand still may carry them out, if they need not wait for the disk. Chains are read through
// LevelDB's iterators, which step over every block that would have waited until they meet one that need not.
bool IsBrief(const ReadTask& task);

// Carries a read out. Thread-safe; touches nothing but the store.
ReadResult RunRead(const StoreReader& store, ReadTask task);

}  // namespace coffer::node
