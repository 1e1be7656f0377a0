// The part of a node that has to do with join tokens: joiners show them, operators make, list and revoke them.
#include <openssl/rand.h>

#include <algorithm>
#include <stdexcept>

#include "cluster/join_tokens.h"
#include "google/rpc/error_details.pb.h"
#include "node/node_process.h"
#include "proto/link/caller_text.h"
#include "proto/link/join_token.h"

namespace coffer::node {
namespace {

using std::chrono::seconds;

// Wrong tokens are told of at most this often.
constexpr seconds kTellWrong{10};

std::string ReasonOf(const google::rpc::Status& status) {
  google::rpc::ErrorInfo info;
  for (const auto& detail : status.details()) {
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return "REFUSED_TOKEN";
}

std::string IdOf(const std::string& hash) { return Hex(std::string_view(hash).substr(0, cluster::kShortJoinTokenIdBytes)); }

}  // namespace

void NodeProcess::ChangeJoinTokens(wire::JoinTokenChange change, TokenDone done) {
  change.set_now_ms(UnixMilliseconds());
  std::uint64_t ask = 0;
  {
    MutexLock lock(mutex_);
    ask = next_token_ask_++;
    token_asks_[ask] = std::move(done);
  }
  driver_->Post([ask, change = std::move(change)](NodeCore& core, Instant now) { return core.ChangeJoinTokens(now, ask, change); });
}

void NodeProcess::OnJoinTokenAnswer(const JoinTokenAnswer& answer) {
  TokenDone done;
  {
    MutexLock lock(mutex_);
    const auto found = token_asks_.find(answer.ask);
    if (found == token_asks_.end()) return;
    done = std::move(found->second);
    token_asks_.erase(found);
  }
  done(answer.status);
}

void NodeProcess::OnJoinToken(const link::Identity& joiner, const std::string& from, const link::ShownToken& token,
                              std::function<void(const link::RefusalInfo&)> answer) {
  const std::string who = link::Printable(joiner.name) + " (" + link::Printable(joiner.address.empty() ? from : joiner.address) + ")";
  const std::string hash = token.hash;
  std::string attempt = token.attempt;
  // A joiner that named none can't ask again: every showing of its token is an attempt of its own.
  if (attempt.empty()) attempt.assign(cluster::kJoinAttemptBytes, '\0');
  if (token.attempt.empty() && RAND_bytes(reinterpret_cast<unsigned char*>(attempt.data()), static_cast<int>(attempt.size())) != 1) {
    return answer({"BUSY", "the system gives no random bytes; the join token was not used"});
  }
  wire::JoinTokenChange change;
  change.mutable_redeem()->set_hash(hash);
  change.mutable_redeem()->set_used(attempt);
  change.mutable_redeem()->set_used_by(link::Printable(joiner.name));
  ChangeJoinTokens(std::move(change), [this, who, hash, answer = std::move(answer)](const google::rpc::Status& status) {
    if (status.code() == 0) {
      Say(NodeEvent::Level::kInfo, "join token " + IdOf(hash) + ": " + who + " used it and was given the cluster's secret");
      return answer({});
    }
    Say(NodeEvent::Level::kWarning, "join token " + IdOf(hash) + ": " + who + " was refused: " + status.message());
    answer({ReasonOf(status), status.message()});
  });
}

void NodeProcess::OnErrand(const std::string& from, const wire::Errand& errand,
                           std::function<void(const wire::ErrandAnswer&)> answer) {
  const auto finish = [this, answer = std::move(answer)](const google::rpc::Status& status) {
    wire::ErrandAnswer reply;
    *reply.mutable_status() = status;
    if (const auto known = layout()) {
      for (const cluster::JoinToken& token : known->join_tokens) {
        auto* listed = reply.add_join_tokens();
        listed->set_hash(token.hash);
        listed->set_expires_ms(token.expires_ms);
        listed->set_used(token.used);
        listed->set_used_by(token.used_by);
      }
    }
    answer(reply);
  };
  wire::JoinTokenChange change = errand.join_token();
  if (change.kind_case() == wire::JoinTokenChange::KIND_NOT_SET) return finish({});
  // How long a token lives is counted by our clock, not by the asker's.
  if (change.has_create()) change.mutable_create()->set_expires_ms(UnixMilliseconds() + errand.lifetime_ms());
  const std::string what = change.has_create() ? "made" : change.has_revoke() ? "revoked" : "";
  if (what.empty()) return finish({});
  const std::string id = IdOf(change.has_create() ? change.create().hash() : change.revoke());
  ChangeJoinTokens(std::move(change), [this, what, id, from, finish](const google::rpc::Status& status) {
    if (status.code() == 0) Say(NodeEvent::Level::kInfo, "join token " + id + " was " + what + ", asked for from " + link::Printable(from));
    finish(status);
  });
}

void NodeProcess::OnWrongToken(const std::string& from) {
  std::uint64_t count = 0;
  {
    MutexLock lock(mutex_);
    ++wrong_tokens_;
    const auto now = std::chrono::steady_clock::now();
    if (now - wrong_token_told_ < kTellWrong) return;
    wrong_token_told_ = now;
    count = std::exchange(wrong_tokens_, 0);
  }
  Say(NodeEvent::Level::kWarning, "a wrong join token was shown" + (count > 1 ? " " + std::to_string(count) + " times" : std::string()) +
                                      ", lastly from " + link::Printable(from) + "; it was refused");
}

}  // namespace coffer::node
