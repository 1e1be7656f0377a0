#include "sim/planted_bugs.h"

#include <utility>

#include "cluster/planted_bug.h"

namespace coffer::sim {
namespace {

const std::vector<std::pair<std::string, Bug>> kBugs{
    {"primary-acks-alone", Bug::kPrimaryAcksAlone},
    {"replica-ignores-term", Bug::kReplicaIgnoresTerm},
    {"unconfirmed-read", Bug::kUnconfirmedRead},
    {"anyone-is-promoted", Bug::kAnyoneIsPromoted},
    {"add-not-in-acks", Bug::kAddNotInAcks},
    {"add-not-in-activation", Bug::kAddNotInActivation},
    {"add-not-in-confirmations", Bug::kAddNotInConfirmations},
    {"add-forgotten-at-restart", Bug::kAddForgottenAtRestart},
    {"add-withdrawn", Bug::kAddWithdrawn},
    {"add-cleared-by-other-epoch", Bug::kAddClearedByOtherEpoch},
    {"old-term-add-accepted", Bug::kOldTermAddAccepted},
    {"add-names-primary", Bug::kAddNamesPrimary},
    {"add-before-history", Bug::kAddBeforeHistory},
    {"removal-before-decided", Bug::kRemovalBeforeDecided},
    {"acceptor-forgets", Bug::kAcceptorForgets},
    {"adoption-not-durable", Bug::kAdoptionNotDurable},
    {"ballot-reused", Bug::kBallotReused},
    {"pruned-says-empty", Bug::kPrunedSaysEmpty},
    {"wiped-keeps-id", Bug::kWipedKeepsId},
    {"ack-before-sync", Bug::kAckBeforeSync},
    {"other-boot-counted", Bug::kOtherBootCounted},
    {"progress-kept", Bug::kProgressKept},
    {"highest-over-gap", Bug::kHighestOverGap},
    {"contact-only-extends", Bug::kContactOnlyExtends},
    {"gossip-decides", Bug::kGossipDecides},
    {"majority-of-living", Bug::kMajorityOfLiving},
    {"repeat-unacknowledged", Bug::kRepeatUnacknowledged},
    {"min-copies-ignored", Bug::kMinCopiesIgnored},
    {"delete-frees-early", Bug::kDeleteFreesEarly},
    {"tombstone-early", Bug::kTombstoneEarly},
    {"merged-back", Bug::kMergedBack},
    {"not-found-while-filling", Bug::kNotFoundWhileFilling},
    {"discard-unasked", Bug::kDiscardUnasked},
    {"client-forgets-doubt", Bug::kClientForgetsDoubt},
    {"zone-gone-early", Bug::kZoneGoneEarly},
    {"zone-drop-ignored", Bug::kZoneDropIgnored},
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
