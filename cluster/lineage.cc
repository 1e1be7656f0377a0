#include "cluster/lineage.h"

namespace coffer::cluster {

void AddStart(Lineage* lineage, const BootNonce& nonce) {
  const Boot boot = lineage->empty() ? Boot(1) : lineage->back().boot.Next();
  if (lineage->size() >= kMaxLineage) lineage->erase(lineage->begin());
  lineage->push_back({boot, nonce, 0});
}

std::optional<std::string> WhyNotContinued(const Lineage& lineage, const FolderMark& remembered) {
  if (lineage.empty() || remembered.boot < lineage.front().boot) return std::nullopt;
  const std::string seen = "start " + std::to_string(remembered.boot.value);
  if (remembered.boot > lineage.back().boot) {
    return "its last start is number " + std::to_string(lineage.back().boot.value) + ", but " + seen + " was seen";
  }
  const FolderMark& own = lineage[static_cast<std::size_t>(remembered.boot.value - lineage.front().boot.value)];
  if (own.nonce != remembered.nonce) return "its " + seen + " is another than the one that was seen";
  // The running start tells its steps in any order; only of one that is over the number is final.
  if (own.boot != lineage.back().boot && own.step < remembered.step) {
    return "of its " + seen + " it knows the first " + std::to_string(own.step) + " steps, but step " +
           std::to_string(remembered.step) + " was seen";
  }
  return std::nullopt;
}

}  // namespace coffer::cluster
