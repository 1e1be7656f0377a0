#include "client/router_choice.h"

#include <algorithm>

namespace coffer::client {
namespace {

// What speaks against a router, added up.
constexpr int kNotUp = 1;
constexpr int kInUse = 2;  // by an attempt of this operation, or by its last one
constexpr int kAvoided = 4;
constexpr int kFailed = 8;

}  // namespace

RouterChoice::RouterChoice(std::size_t routers, const RouterPolicy& policy) : policy_(policy), routers_(routers) {}

void RouterChoice::OnLost(std::size_t router, Instant now) {
  Router& r = routers_[router];
  r.avoided_until = now + policy_.penalty;
  r.silent_seen = {};  // was the silence of the connection that ended
}

std::vector<std::size_t> RouterChoice::Judge(Instant now, std::span<const OpenTry> open) {
  std::vector<std::size_t> dead;
  for (const OpenTry& t : open) {
    Router& r = routers_[t.router];
    if (r.settled > t.since || now - t.since < policy_.patience) continue;
    r.avoided_until = now + policy_.penalty;
    if (t.bulk) continue;
    // Attempts that nobody waits for any more count too, so that a router is found out whose calls are always answered elsewhere
    // in the end; but not once from long ago: nothing was asked since, so nothing could be said.
    const bool goes_on = r.silent_seen > r.settled && now - r.silent_seen <= policy_.dead_after;
    r.silent_from = goes_on ? std::min(r.silent_from, t.since) : t.since;
    r.silent_seen = now;
    if (now - r.silent_from < policy_.dead_after) continue;
    r.settled = now;
    dead.push_back(t.router);
  }
  return dead;
}

std::size_t RouterChoice::Choose(Instant now, std::span<const RouterState> states, std::span<const OpenTry> open,
                                 std::optional<std::size_t> last, bool elsewhere) const {
  const auto faults = [&](std::size_t r) {
    int sum = 0;
    if (states[r] == RouterState::kFailed) sum += kFailed;
    if (states[r] != RouterState::kUp) sum += kNotUp;
    if (routers_[r].avoided_until > now) sum += kAvoided;
    if (elsewhere && last == r) sum += kInUse;
    for (const OpenTry& t : open) sum += t.router == r ? kInUse : 0;
    return sum;
  };
  std::size_t best = 0;
  int least = faults(0);
  for (std::size_t r = 1; r < routers_.size(); ++r) {
    const int sum = faults(r);
    if (sum < least) best = r, least = sum;
  }
  // When nothing is known to work, take them in turn.
  if (least >= kFailed && last) return (*last + 1) % routers_.size();
  return best;
}

}  // namespace coffer::client
