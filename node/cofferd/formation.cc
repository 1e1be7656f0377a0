#include "node/cofferd/formation.h"

#include <algorithm>

namespace coffer::server {
namespace {

constexpr std::uint32_t kStorage = 1;  // MemberFacts.role

std::string Listed(const std::vector<std::string>& items) {
  std::string list;
  for (const std::string& item : items) list += (list.empty() ? "" : ", ") + item;
  return list;
}

// Nobody is known to be there: it may come up yet, or not exist.
bool IsSilent(const link::RefusalInfo& refusal) {
  return refusal.reason == "UNREACHABLE" || refusal.reason == "REFUSED" || refusal.reason == "TIMEOUT" || refusal.reason == "BUSY";
}

}  // namespace

FormationVerdict JudgeFormation(const NodeId& self, const std::vector<Sighting>& sightings, bool patience_over) {
  std::vector<std::string> silent;
  const link::Identity* lowest = nullptr;
  for (const Sighting& seen : sightings) {
    const auto& peer = seen.answer.peer;
    if (peer && peer->id == self) continue;
    if (!peer && seen.answer.refusal.reason == "SELF") continue;
    if (peer && !peer->cluster.IsZero()) {
      return {FormationStep::kJoin, seen.address + " belongs to a cluster: joining it"};
    }
    if (!peer && IsSilent(seen.answer.refusal)) silent.push_back(seen.address);
    if (peer && peer->role == kStorage && peer->may_form && (!lowest || peer->id < lowest->id)) lowest = &*peer;
  }
  for (const Sighting& seen : sightings) {
    const auto& refusal = seen.answer.refusal;
    if (seen.answer.peer || refusal.reason == "SELF" || IsSilent(refusal)) continue;
    return {FormationStep::kWait, seen.address + " is there but refuses (" + refusal.reason + ": " + refusal.message +
                                      "); no cluster is formed until that is put right or the address is taken out of join"};
  }
  if (!silent.empty() && !patience_over) {
    return {FormationStep::kWait, "waiting for " + Listed(silent) + " before forming a cluster"};
  }
  if (lowest && lowest->id < self) {
    return {FormationStep::kWait, "waiting for " + lowest->name + " (" + lowest->address + ") to form the cluster: its id is lower"};
  }
  if (silent.empty()) return {FormationStep::kForm, "no address of join belongs to a cluster: forming one"};
  return {FormationStep::kForm, "forming a cluster without " + Listed(silent) +
                                    ", which did not answer within form_timeout; if one of them belongs to a cluster already, "
                                    "there are two now: stop this node, empty its data folder and start it again"};
}

}  // namespace coffer::server
