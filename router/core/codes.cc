#include "router/core/codes.h"

namespace coffer::router {
namespace {

// The most urgent first: the status carries the first that applies.
constexpr CodeText kStatusCodes[] = {
    {"NO_QUORUM",
     "Fewer than a majority of the voters answer, so the layout can't change: nothing fails over, no node "
     "joins or leaves. Partitions whose copies all answer go on being read and written.",
     "Start the voters that are off. If they will never return, see `coffer layout force`."},
    {"SURVIVORS_MERGING",
     "`coffer layout force` was used, and the primaries of some partitions take in what the survivors hold. "
     "These partitions are not served until that is done.",
     "Wait. If a survivor does not answer, start it; only if it is gone for good, force the layout once more without it."},
    {"PARTITIONS_UNAVAILABLE",
     "Some partitions can't be read, or can't be written, now. Nothing acknowledged is lost: it waits on "
     "the copies that are out of reach.",
     "If a node has just gone, wait a few seconds: another copy takes over. If it stays, start the nodes "
     "that are off."},
    {"BLOCKS_LOST",
     "Some blocks were found damaged on every copy that answers: reading them answers DATA_LOSS, and no wrong byte is ever returned. All other data "
     "is as it should be.",
     "Put the same bytes again from a backup, which mends every copy, or delete the blocks; the node's log names them. Look at the disks."},
    {"DISK_FAILED",
     "A storage node refuses writes because its disk failed. Its data has another copy.",
     "Replace the disk, start the node with an empty data folder (it gets a new id), and forget the old "
     "one; or drain the node."},
    {"DISK_FULL",
     "A storage node's disk is full up to its reserve. Writes to its partitions are refused; reads and "
     "deletes go on.",
     "Free space on that disk, delete data, or add a storage node."},
    {"DISK_SLOW",
     "A storage node's disk takes long to sync, and has for seconds. Other members that are up to date lead its partitions while they can; its copies "
     "stay, and every write of theirs waits for that disk. If most disks are slow nobody gives way.",
     "Find what keeps the disk busy. If it stays slow, replace the disk, or drain the node. Half a minute after it is well the node leads again."},
    {"NODE_DOWN",
     "A member does not answer and was given up until it answers again. Its partitions are served by other"
     " copies; after resync.delay (10 s) they get new second copies.",
     "Start the node, or wait for it. Only if it is gone for good: `coffer forget NODE` once resync has ended."},
    {"NODE_SUSPECT",
     "A member has not answered for a moment and was not given up yet.",
     "Wait a moment."},
    {"RESYNC_BLOCKED",
     "Partitions have to move but can't: a source is out of reach, a target refuses, or an error repeats. "
     "The error is in the status.",
     "Read the error; start the node it names, or free its disk."},
    {"RESYNC_PAUSED",
     "An operator paused resync. New writes still get all their copies; old blocks are not copied.",
     "`coffer resync resume` when it may go on."},
    {"RESYNC_WAITING",
     "A member left a moment ago; resync waits for it to come back, because a restart is not a loss.",
     "Nothing."},
    {"RESYNC_RUNNING",
     "Blocks are being copied to where they should be.",
     "Nothing. `coffer resync limit` slows it down, `coffer resync pause` stops it."},
    {"ONE_COPY",
     "Some blocks have one living copy only, and nothing is under way to change that.",
     "Add a storage node, or start one that is off."},
    {"EPOCH_LAG",
     "A member that answers has not learned the newest layout yet.",
     "Wait a moment; if it stays, read that member's log."},
    {"SINGLE_NODE",
     "The cluster has one storage node, so every block has one copy. This is healthy for one node: the "
     "verdict stays HEALTHY.",
     "Add a second storage node to have two copies."},
};

// Alphabetical.
constexpr CodeText kErrorReasons[] = {
    {"APPEND_CONFLICT",
     "ABORTED: another entry stands at that position, or the chain is shorter. The head is in the details."
     " Nothing was written.",
     "Read the head, then append after it."},
    {"BAD_ANSWER",
     "INTERNAL: a node gave an answer that can't be one.",
     "Check that all members run the same version; report it."},
    {"BAD_REQUEST",
     "INVALID_ARGUMENT: a field breaks a rule; BadRequest names the field and the limit. Nothing was done.",
     "Correct the request."},
    {"CANCELLED",
     "CANCELLED: the caller cancelled. A write may have happened.",
     "Nothing."},
    {"CHAIN_DELETED",
     "The chain was deleted (NOT_FOUND for reads, FAILED_PRECONDITION for appends); its id can't be used "
     "again.",
     "Use another id."},
    {"CHAIN_ENDS_EARLY",
     "UNAVAILABLE: entries that were there when a read began are not there: a copy that is behind answered, or `coffer layout force` gave them up. What came is right.",
     "Read again."},
    {"CHAIN_NOT_FOUND",
     "NOT_FOUND: no such chain in this zone.",
     "Check the id and the zone."},
    {"CHAIN_REWRITTEN",
     "DATA_LOSS: a watched chain does not continue what was delivered; happens only after `coffer layout "
     "force`.",
     "Read the chain from its start."},
    {"CHANGE_REFUSED",
     "FAILED_PRECONDITION: the change of the layout can't be carried out now; the text says why.",
     "Do what the text says."},
    {"CHUNK_DELETED",
     "FAILED_PRECONDITION: the chunk was deleted; its id can't be used again.",
     "Use another id."},
    {"CHUNK_EXISTS",
     "ALREADY_EXISTS: other bytes stand under the id. Nothing was written.",
     "Use another id: chunks are never modified."},
    {"CHUNK_NOT_FOUND",
     "NOT_FOUND: no such chunk, said by a primary that confirmed its authority.",
     "Check the id and the zone."},
    {"DATA_LOSS",
     "DATA_LOSS: every copy of the block is damaged. No wrong byte was returned.",
     "Put the same bytes again from a backup, which mends every copy; look at the disks."},
    {"DEADLINE",
     "DEADLINE_EXCEEDED: a read was not answered in time.",
     "Read again; look at `coffer status`."},
    {"DEADLINE_REQUIRED",
     "INVALID_ARGUMENT: the call has no deadline, or it had passed when the call arrived. Only Watch and WatchStatus go on without one.",
     "Set one, 10 s for instance."},
    {"DISK_FAILED",
     "UNAVAILABLE: the node's disk failed.",
     "Retry; another node takes over. See `coffer status`."},
    {"DISK_FULL",
     "RESOURCE_EXHAUSTED: a disk is full up to its reserve. Nothing was written.",
     "Free space or add a node."},
    {"DISK_READ_FAILED",
     "UNAVAILABLE: a part of the partition can't be read on its primary's disk, so it is not known what is there. Nothing was done.",
     "Look at that node's log and disk; stop it, or drain it, and another copy takes over."},
    {"LAYOUT_CHANGED",
     "ABORTED: the plan was made for an older epoch. Nothing was changed.",
     "Plan again."},
    {"NOT_A_VOTER",
     "UNAVAILABLE: this member has no vote; routers ask another by themselves.",
     "Nothing."},
    {"NOT_MINE",
     "A holder that was asked for a chunk does not hold it; never reaches a client.",
     "Nothing."},
    {"NOT_SENT",
     "UNAVAILABLE: the deadline passed before the request could be sent to anybody. Definite: nothing has "
     "changed.",
     "Try again; look at `coffer status`."},
    {"NO_LAYOUT",
     "UNAVAILABLE: the router or node has not heard of a cluster yet.",
     "Check --join and that a storage node is up."},
    {"NO_QUORUM",
     "UNAVAILABLE: no majority of voters agreed in time; the change may still be decided.",
     "Look at the status, then ask again."},
    {"OUTCOME_UNKNOWN",
     "DEADLINE_EXCEEDED: a write was sent and its answer never came. It may or may not have happened.",
     "Send the same again: every operation is repeat-safe."},
    {"OUT_OF_RANGE",
     "OUT_OF_RANGE: the range begins at or past the end of the chunk.",
     "Ask within total_size."},
    {"PARTITION_ACTIVATING",
     "UNAVAILABLE: the partition is taking over. Nothing was written.",
     "Try again in a moment."},
    {"PLAN_STALE",
     "ABORTED: the plan was made for another epoch. Nothing was changed.",
     "Plan again."},
    {"QUEUE_FULL",
     "RESOURCE_EXHAUSTED: too much waits at a node: requests or writes of one partition, bytes of writes, or changes of the cluster; the "
     "limit is in the text. Nothing was done.",
     "Slow down and try again."},
    {"REPAIRING",
     "UNAVAILABLE: a damaged record is being fetched from the other copy. Nothing was written.",
     "Try again in a moment."},
    {"REPAIR_WAITS",
     "UNAVAILABLE: the record is damaged here, and no node that is known to have the present copy has answered.",
     "Start that node; it is repaired then."},
    {"STOPPING",
     "UNAVAILABLE: the router is stopping.",
     "Ask another router, or again in a moment."},
    {"TOO_FEW_COPIES",
     "UNAVAILABLE: too few nodes answer to make the promised copies. Nothing was written.",
     "Start a second storage node."},
    {"TOO_MANY_BYTES",
     "RESOURCE_EXHAUSTED: the router's bound of queued bytes is reached; the limit is in the text. Nothing"
     " was done.",
     "Try again after the delay in RetryInfo, or ask another router."},
    {"TOO_MANY_CALLS",
     "RESOURCE_EXHAUSTED: the router's bound of calls under way is reached; the limit is in the text. "
     "Nothing was done.",
     "Try again after the delay in RetryInfo, or ask another router."},
    {"UNKNOWN_METHOD",
     "UNIMPLEMENTED: there is no such method.",
     "Check the name and the version."},
    {"ZONE_DELETED",
     "NOT_FOUND: the zone was deleted; a request that names it by its id is told so also when another has its name, and so is a read "
     "of chains that met it on its way. Nothing was written.",
     "Create it again, or use another; resolve the name again if the id was given; read again."},
    {"ZONE_EXISTS",
     "ALREADY_EXISTS: the name is taken.",
     "Use the zone that is there, or another name."},
    {"ZONE_UNKNOWN",
     "NOT_FOUND: there is no such zone.",
     "Create it: `coffer zone create NAME`."},
};

}  // namespace

std::span<const CodeText> StatusCodes() { return kStatusCodes; }
std::span<const CodeText> ErrorReasons() { return kErrorReasons; }

const CodeText* Explain(std::string_view code) {
  for (const CodeText& text : kStatusCodes) {
    if (text.code == code) return &text;
  }
  for (const CodeText& text : kErrorReasons) {
    if (text.code == code) return &text;
  }
  return nullptr;
}

}  // namespace coffer::router
