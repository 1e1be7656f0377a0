// Bugs that the simulator plants in the real code, one per run, to prove that it would find them (docs/testing.md).
//
// Compiled only into the simulator's copy of the cores (tests/sim): in every program that ships Planted() is the constant false.
#pragma once

namespace coffer {

enum class Bug {
  kNone,
  kPrimaryAcksAlone,        // the primary acknowledges without a replica it has no contact with (R2.1)
  kReplicaIgnoresTerm,      // a replica takes writes and confirms under an older term (R1.1)
  kUnconfirmedRead,         // the primary reads without its confirming round (R5.1)
  kAnyoneIsPromoted,        // any living node becomes primary (L2)
  kAddNotInAcks,            // a proposed learner does not count for acknowledgements (R7.3)
  kAddNotInActivation,      // ... for activation
  kAddNotInConfirmations,   // ... for confirmations
  kAddForgottenAtRestart,   // the mark *proposed* does not survive a restart (R7.3)
  kAddWithdrawn,            // the mark is taken back when the learner falls silent (R7.5)
  kAddClearedByOtherEpoch,  // the mark goes with an epoch that left the term alone (R1.3)
  kOldTermAddAccepted,      // an add requested in an older term is granted (L4)
  kAddNamesPrimary,         // a request stays good while the primary is the same, whatever the term (L4)
  kAddBeforeHistory,        // an add is proposed before the history is complete (R7.2)
  kRemovalBeforeDecided,    // a removal counts when it is accepted, not when it is decided (R3)
  kAcceptorForgets,         // promise and acceptance do not survive a restart (A7)
  kAdoptionNotDurable,      // an adopted layout does not survive a restart (R1.2)
  kBallotReused,            // the ballot counter does not survive a restart (A9)
  kPrunedSaysEmpty,         // a voter asked about an instance that is over says "nothing accepted" (A4)
  kWipedKeepsId,            // a node with an empty data folder comes back under its id (R8)
  kAckBeforeSync,           // a replica acknowledges what it has not synced (R2.1)
  kTornBatchSkipped,        // a store reads on behind a batch that was torn (I4)
  kOtherBootCounted,        // answers to another boot of the primary are counted (R2.2)
  kLogBeginCounts,          // a log that is begun anew, or cut, counts as durable before that is so (R4.3)
  kEarlierChoiceCounts,     // what a learner handed to the disk for one choice says "done" for the next (S2a)
  kEarlierChoiceTaken,      // what a learner was sent for one choice is compared, and taken, beside the log of the next (S2a)
  kProgressKept,            // a member goes on from its contact of an earlier term, and reports what it held then (R4.2, R4.3)
  kHighestOverGap,          // a replica names its highest position, over a gap (R4.3)
  kContactOnlyExtends,      // first contact never cuts a member's tail (R4.2)
  kGossipDecides,           // a proposer takes its own wish for decided (A12, M1)
  kMajorityOfLiving,        // a majority of those who answer is a quorum (A2)
  kRepeatUnacknowledged,    // a repeat is answered while the first is not acknowledged (R6.1)
  kMinCopiesIgnored,        // min_copies is not looked at
  kDeleteFreesEarly,        // a delete frees the bytes before it is committed (R10)
  kTombstoneEarly,          // a tombstone goes with the bytes (R10)
  kMergedBack,              // a learner keeps what its primary lacks (R10)
  kNotFoundWhileFilling,    // a node that is no confirmed primary says NOT_FOUND (R13)
  kDiscardUnasked,          // a removed node discards by its own judgement (R12)
  kClientForgetsDoubt,      // a client takes a lost connection for a write that did not happen (R2.3)
  kZoneGoneEarly,           // a zone is said to be deleted when the first partition has dropped it
  kZoneDropIgnored,         // writes into a zone that was dropped are taken
  kRouterForgetsDoubt,      // a router goes by the last refusal of a write, though an earlier attempt may have happened (R2.3)
  kNothingIsShed,           // a node takes every request, however many wait (I18)
  kZoneIdIgnored,           // a router writes into whichever zone has the name (R6.6)
};

#ifdef COFFER_PLANTED_BUGS
inline Bug planted_bug = Bug::kNone;
inline bool Planted(Bug bug) { return planted_bug == bug; }
#else
consteval bool Planted(Bug) { return false; }  // before the program runs: no branch is left of it
#endif

}  // namespace coffer
