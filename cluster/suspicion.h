// How long a suspected member has to refute: the more members accuse it independently, the shorter (Lifeguard's dogpile).
#pragma once

#include <vector>

#include "cluster/ids.h"

namespace coffer::cluster {

// The bounds of a suspicion.
struct SuspicionTimes {
  Duration min{};      // with `expected` confirmations or more
  Duration max{};      // with none
  Duration refused{};  // when its address refuses connections and others can't reach it either
};

// One suspicion of one incarnation of a member. A single-threaded value.
class Suspicion {
 public:
  Suspicion() = default;  // of nobody
  // `expected`: confirmations by others after which the shortest time applies; 0 when there is nobody to confirm.
  Suspicion(Instant start, const SuspicionTimes& times, int expected, const NodeId& accuser);

  // Another member accuses. False if it did before, or if enough did: then it is no news to pass on.
  bool Accuse(const NodeId& accuser);
  // The process is gone by all evidence: only the time to be corrected by others is left.
  void Hasten() { hastened_ = true; }
  // Somebody reached it after all.
  void Calm() { hastened_ = false; }
  // The clock stood still for us, not for the suspect.
  void Postpone(Duration by) { start_ += by; }

  // When it is declared dead: max - (max - min) * log(C + 1) / log(expected + 1) after the start, C confirmations.
  Instant Deadline() const;
  const std::vector<NodeId>& accusers() const { return accusers_; }
  bool hastened() const { return hastened_; }

 private:
  Instant start_{};
  SuspicionTimes times_;
  int expected_ = 0;
  std::vector<NodeId> accusers_;  // at least one, at most expected_ + 1, each once
  bool hastened_ = false;
};

}  // namespace coffer::cluster
