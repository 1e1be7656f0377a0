#include "sim/token_client.h"

#include "cluster/join_tokens.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kTokens = 6;
constexpr std::uint64_t kHourMs = 3'600'000;

}  // namespace

TokenClient::TokenClient(SimCluster& cluster, const LayoutChecker& layouts, std::int64_t joiners)
    : cluster_(cluster), layouts_(layouts), random_(cluster.random().Next()), joiners_(static_cast<std::uint64_t>(joiners)) {
  cluster_.on_token = [this](std::uint64_t ask, const google::rpc::Status& status) { OnAnswer(ask, status); };
}

void TokenClient::Go() {
  going_ = true;
  Poll();
}

void TokenClient::Poll() {
  Look();
  if (!going_) return;
  Act();
  cluster_.At(milliseconds(20 + random_.Below(300)), [this] { Poll(); });
}

// A token that ended is shown for a while, too: nobody is let in by it.
void TokenClient::Act() {
  if (hashes_.empty() || random_.Chance(1, 8)) return Make();
  const std::string hash = random_.Chance(1, 20) ? Draw(cluster::kJoinTokenHashBytes) : hashes_[random_.Below(hashes_.size())];
  random_.Chance(1, 20) ? Revoke(hash) : Show(hash);
}

void TokenClient::Make() {
  wire::JoinTokenChange change;
  auto* token = change.mutable_create();
  token->set_hash(Draw(cluster::kJoinTokenHashBytes));
  const std::uint64_t lives = random_.Chance(1, 3) ? 1000 : random_.Chance(1, 10) ? 2 * kHourMs : kHourMs / 2;
  token->set_expires_ms(NowMs() + lives);
  hashes_.push_back(token->hash());
  if (hashes_.size() > kTokens) hashes_.erase(hashes_.begin());
  Ask(change, {token->hash(), ""});
}

void TokenClient::Show(const std::string& hash) {
  const std::uint64_t joiner = random_.Below(joiners_);
  wire::JoinTokenChange change;
  auto* shown = change.mutable_redeem();
  shown->set_hash(hash);
  shown->set_used(hash.substr(0, cluster::kJoinAttemptBytes - 1) + static_cast<char>(joiner));  // of each joiner one for each token
  shown->set_used_by("joiner-" + std::to_string(joiner));
  Ask(change, {hash, shown->used()});
}

void TokenClient::Revoke(const std::string& hash) {
  wire::JoinTokenChange change;
  change.set_revoke(hash);
  Ask(change, {hash, ""});
}

void TokenClient::Ask(const wire::JoinTokenChange& change, Asked asked) {
  asked_[++last_ask_] = std::move(asked);
  wire::JoinTokenChange dated = change;
  dated.set_now_ms(NowMs());
  cluster_.ChangeJoinTokens(random_.Below(cluster_.size()), last_ask_, dated);
}

void TokenClient::OnAnswer(std::uint64_t ask, const google::rpc::Status& status) {
  const auto asked = asked_.find(ask);
  if (asked == asked_.end() || asked->second.attempt.empty()) return;
  const auto& [hash, attempt] = asked->second;
  bool taken = false;  // by another attempt, as the answer says
  for (const auto& detail : status.details()) taken = taken || detail.value().find("JOIN_TOKEN_USED") != std::string::npos;
  if (status.code() == 0) Won(hash, attempt);
  const auto winner = winners_.find(hash);
  if (taken && winner != winners_.end() && winner->second == attempt) cluster_.Violate("a join token's winner was told that another had used it (J3)");
  asked_.erase(asked);
}

void TokenClient::Look() {
  if (!layouts_.newest()) return;
  for (const auto& token : layouts_.newest()->join_tokens) {
    if (!token.used.empty()) Won(token.hash, token.used);
  }
}

void TokenClient::Won(const std::string& hash, const std::string& attempt) {
  const auto [winner, first] = winners_.emplace(hash, attempt);
  if (first) ++used_;
  if (winner->second != attempt) cluster_.Violate("a join token was used in two attempts (J3)");
}

std::string TokenClient::Draw(std::size_t bytes) {
  std::string drawn(bytes, '\0');
  for (char& byte : drawn) byte = static_cast<char>(random_.Below(256));
  return drawn;
}

std::uint64_t TokenClient::NowMs() const {
  return 1'700'000'000'000 + static_cast<std::uint64_t>(cluster_.now().time_since_epoch() / milliseconds(1));
}

}  // namespace coffer::sim
