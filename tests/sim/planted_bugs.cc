#include "sim/planted_bugs.h"

#include <utility>

#include "cluster/planted_bug.h"

namespace coffer::sim {
namespace {

// Beside each the sentences of docs/protocol.md that it breaks.
const std::vector<std::pair<std::string, Bug>> kBugs{
    {"primary-acks-alone", Bug::kPrimaryAcksAlone},  // R2.1
    {"replica-ignores-term", Bug::kReplicaIgnoresTerm},  // R1.1, R5.2
    {"unconfirmed-read", Bug::kUnconfirmedRead},  // R5.1
    {"anyone-is-promoted", Bug::kAnyoneIsPromoted},  // L2
    {"add-not-in-acks", Bug::kAddNotInAcks},  // R7.3
    {"add-not-in-activation", Bug::kAddNotInActivation},  // R4.1, R7.3
    {"add-not-in-confirmations", Bug::kAddNotInConfirmations},  // R5.1, R7.3
    {"add-forgotten-at-restart", Bug::kAddForgottenAtRestart},  // R7.3
    {"add-withdrawn", Bug::kAddWithdrawn},  // R7.5
    {"add-cleared-by-other-epoch", Bug::kAddClearedByOtherEpoch},  // R1.3
    {"old-term-add-accepted", Bug::kOldTermAddAccepted},  // L4
    {"add-names-primary", Bug::kAddNamesPrimary},  // L4
    {"add-before-history", Bug::kAddBeforeHistory},  // R7.2
    {"removal-before-decided", Bug::kRemovalBeforeDecided},  // R3
    {"acceptor-forgets", Bug::kAcceptorForgets},  // A7
    {"adoption-not-durable", Bug::kAdoptionNotDurable},  // R1.2
    {"ballot-reused", Bug::kBallotReused},  // A9
    {"pruned-says-empty", Bug::kPrunedSaysEmpty},  // A4
    {"wiped-keeps-id", Bug::kWipedKeepsId},  // R8
    {"ack-before-sync", Bug::kAckBeforeSync},  // R2.1
    {"torn-batch-skipped", Bug::kTornBatchSkipped},  // I4
    {"other-boot-counted", Bug::kOtherBootCounted},  // R2.2
    {"log-begin-counts", Bug::kLogBeginCounts},  // R4.3
    {"earlier-choice-counts", Bug::kEarlierChoiceCounts},  // S2a
    {"earlier-choice-taken", Bug::kEarlierChoiceTaken},  // S2a
    {"progress-kept", Bug::kProgressKept},  // R4.2, R4.3
    {"highest-over-gap", Bug::kHighestOverGap},  // R4.3, R4.4
    {"contact-only-extends", Bug::kContactOnlyExtends},  // R4.2
    {"gossip-decides", Bug::kGossipDecides},  // A12, M1
    {"majority-of-living", Bug::kMajorityOfLiving},  // A2
    {"repeat-unacknowledged", Bug::kRepeatUnacknowledged},  // R6.1
    {"min-copies-ignored", Bug::kMinCopiesIgnored},  // R2.4, I12
    {"delete-frees-early", Bug::kDeleteFreesEarly},  // R10.2
    {"tombstone-early", Bug::kTombstoneEarly},  // R10.3
    {"merged-back", Bug::kMergedBack},  // R10.4, S6
    {"not-found-while-filling", Bug::kNotFoundWhileFilling},  // R13.2
    {"discard-unasked", Bug::kDiscardUnasked},  // R12
    {"client-forgets-doubt", Bug::kClientForgetsDoubt},  // R2.3
    {"router-forgets-doubt", Bug::kRouterForgetsDoubt},  // R2.3
    {"zone-gone-early", Bug::kZoneGoneEarly},  // R10
    {"zone-drop-ignored", Bug::kZoneDropIgnored},  // R10
    {"zone-id-ignored", Bug::kZoneIdIgnored},  // R6.6
    {"nothing-is-shed", Bug::kNothingIsShed},  // I18
};

}  // namespace

bool PlantBug(const std::string& name) {
  for (const auto& [known, bug] : kBugs) {
    if (known != name) continue;
    planted_bug = bug;
    return true;
  }
  return false;
}

std::vector<std::string> BugNames() {
  std::vector<std::string> names;
  for (const auto& [name, bug] : kBugs) names.push_back(name);
  return names;
}

}  // namespace coffer::sim
