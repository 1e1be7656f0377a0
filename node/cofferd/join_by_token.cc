#include "node/cofferd/join_by_token.h"

#include <stdexcept>
#include <thread>

namespace coffer::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAskEvery{500};
// A handshake that waits for an agreement.
constexpr milliseconds kAskPatience{10'000};
// A member that has not heard of the token yet: it was made a moment ago.
constexpr milliseconds kUnknownPatience{3'000};

// Nothing was used, and another member or another moment may do better.
bool IsPassing(const std::string& reason) {
  for (const char* passing : {"UNREACHABLE", "REFUSED", "TIMEOUT", "BUSY", "NOT_A_NODE", "SELF"}) {
    if (reason == passing) return true;
  }
  return false;
}

}  // namespace

link::GrantResult UseJoinToken(const link::JoinToken& token, const JoinByToken& how) {
  const auto began = steady_clock::now();
  std::string last;
  while (true) {
    const auto waited = steady_clock::now() - began;
    for (const std::string& address : how.addresses) {
      link::GrantResult result = link::ShowJoinToken(address, token, how.self, how.tls, kAskPatience);
      if (result.peer) return result;
      last = address + ": " + result.refusal.message;
      const bool unknown = result.refusal.reason == "JOIN_TOKEN_UNKNOWN" && waited < kUnknownPatience;
      if (!IsPassing(result.refusal.reason) && !unknown) throw std::runtime_error("the join token was refused by " + last);
    }
    if (waited >= how.patience) {
      throw std::runtime_error("no member took the join token; lastly " + last + ". Start this process again when a member answers");
    }
    if (how.waits && waited < kAskEvery) how.waits(last);
    std::this_thread::sleep_for(kAskEvery);
  }
}

}  // namespace coffer::server
