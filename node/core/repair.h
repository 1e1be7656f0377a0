// A record that does not verify is fetched from another node that has it, verified, and written anew. Two copies never vote:
// the one that verifies wins; if none does, the record is lost, which is said by name and never covered up.
//
// A sound header, or the log, says what the value must be: any holder's will do. Else the header may have said "deleted": a copy
// takes its place only from a member of in_sync, and only if our log shows that nothing changed the record since (S9).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/core/context.h"
#include "node/core/requests.h"

namespace coffer::node {

class Repairs {
 public:
  // `read_again` hands a task out again once its records are mended.
  // `gave_up`: such a task is answered instead, of this partition.
  Repairs(Context& context, std::function<void(ReadTask)> read_again, std::function<void(PartitionId)> gave_up)
      : ctx_(context), read_again_(std::move(read_again)), gave_up_(std::move(gave_up)) {}

  // Starts the repair of one record, unless it is under way.
  void Start(PartitionId partition, const RecordKey& key);
  // A read that met damage: repeated when all is mended, answered DATA_LOSS when it cannot be.
  void OnDamagedRead(ReadResult result);
  void OnFetched(const NodeId& from, const wire::Fetched& fetched, const std::vector<Payload>& bodies);
  // True if the answer belongs to a repair.
  bool Owns(const wire::Fetched& fetched) const { return fetched.term() == 0; }
  // Whether the record was found damaged on every copy that answers, and is so as far as is known.
  bool Lost(PartitionId partition, const RecordKey& key) const { return lost_.contains({partition, EncodeKey(key)}); }
  // Sound bytes were written over it.
  void Restored(PartitionId partition, const RecordKey& key) { lost_.erase({partition, EncodeKey(key)}); }
  // Lost chunks and entries of partitions we are primary of.
  std::uint64_t CountLost() const;
  void Tick();
  Instant NextDeadline() const;
  void VisitQueues(const QueueVisitor& visit) const;

 private:
  struct Repair {
    PartitionId partition;
    RecordKey key;
    std::uint64_t call = 0;
    std::deque<NodeId> candidates;  // not asked yet
    bool reachable_denied = true;   // every one asked so far answered
    Instant asked{};
    std::vector<ReadTask> readers;
  };
  using Id = std::pair<PartitionId, std::string>;
  void AskNext(Repair& repair);
  // The header the record has, or must have had; nothing: it can't be known here.
  std::optional<RecordHeader> Own(const Repair& repair) const;
  // The header the record should have, if this copy shows it.
  std::optional<RecordHeader> Proven(const Repair& repair, const NodeId& from, const wire::Fetched& fetched, const Payload& value) const;
  void Mend(const Id& id, Repair& repair, RecordHeader header, const Payload& value);
  // A committed delete has erased the record meanwhile: written behind that it would be there for good, and it is not lost either.
  bool CloseErased(const Id& id);
  void GiveUp(const Id& id);

  Context& ctx_;
  void AnswerUnmended(const ReadTask& reader, const std::string& name, bool lost);

  const std::function<void(ReadTask)> read_again_;
  const std::function<void(PartitionId)> gave_up_;
  void LookAgain();

  std::map<Id, Repair> repairs_;  // at most kMostAtOnce
  std::map<Id, RecordKey> lost_;  // at most kMostLost
  Instant look_again_ = kNever;
  Id looked_;                     // last of them that was looked at again
  std::uint64_t next_call_ = 1;
};

}  // namespace coffer::node
