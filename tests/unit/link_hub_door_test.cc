// What a hub answers to who only asks: a probe, a join token, an errand. None of them makes a link.
#include "link_test_support.h"
#include "proto/link/guess_limit.h"
#include "test_support.h"

namespace coffer::link {
namespace {

TEST_CASE("a probe tells who is there, and leaves no link") {
  Station b(Member(2, "node-2:7701"), {});
  const auto patience = std::chrono::seconds(10);
  const ProbeResult found = Probe(b.address(), "open sesame", {}, patience);
  REQUIRE(found.peer);
  CHECK(found.peer->id == NodeOf(2));
  CHECK(found.peer->address == "node-2:7701");
  CHECK(found.peer->cluster == ClusterOf(1));
  const ProbeResult wrong = Probe(b.address(), "guess", {}, patience);
  CHECK_FALSE(wrong.peer);
  CHECK(wrong.refusal.reason == "WRONG_SECRET");
  CHECK(b.recorder.admitted.empty());
  CHECK(b.recorder.ups.empty());
  const std::string address = b.address();
  b.hub->Stop();
  CHECK(Probe(address, "open sesame", {}, patience).refusal.reason == "REFUSED");
}

// A member that takes one token.
class Doorkeeper : public Recorder {
 public:
  void OnJoinToken(const Identity& joiner, const std::string& from, const ShownToken& token,
                   std::function<void(const RefusalInfo&)> answer) override {
    bool known = false;
    {
      std::lock_guard lock(mutex);
      joiners_.push_back(joiner.name + " from " + from.substr(0, from.rfind(':')));
      known = token.hash == awaited_;
      if (known) awaited_.clear();
    }
    known ? answer({}) : answer({"JOIN_TOKEN_UNKNOWN", "no such token"});
  }
  void OnErrand(const std::string&, const wire::Errand& errand, std::function<void(const wire::ErrandAnswer&)> answer) override {
    wire::ErrandAnswer reply;
    reply.add_join_tokens()->set_expires_ms(errand.lifetime_ms() + 1);
    answer(reply);
  }
  void OnWrongToken(const std::string&) override {
    std::lock_guard lock(mutex);
    ++wrong_;
  }

  void Await(const std::string& hash) {
    std::lock_guard lock(mutex);
    awaited_ = hash;
  }
  std::vector<std::string> joiners() {
    std::lock_guard lock(mutex);
    return joiners_;
  }
  int wrong() {
    std::lock_guard lock(mutex);
    return wrong_;
  }

 private:
  std::string awaited_;
  std::vector<std::string> joiners_;
  int wrong_ = 0;
};

JoinToken TokenUnder(const std::string& secret) {
  JoinToken token = NewJoinToken();
  token.key = JoinTokenKey(secret, token.Id());
  token.cluster = ClusterOf(1);
  return token;
}

struct Door {
  Door() {
    HubOptions options;
    options.listen = "127.0.0.1:0";
    options.keyring = "the secret of all";
    hub = Hub::Start(std::move(options), Member(2, "node-2:7701"), &keeper);
  }
  ~Door() { hub->Stop(); }
  GrantResult Show(const JoinToken& token) {
    Identity self;
    self.name = "node-9";
    return ShowJoinToken("127.0.0.1:" + std::to_string(hub->port()), token, self, {}, std::chrono::seconds(10));
  }
  Doorkeeper keeper;
  std::unique_ptr<Hub> hub;
};

TEST_CASE("a join token brings the secrets, and leaves no link") {
  Door door;
  const JoinToken token = TokenUnder("the secret of all");
  CHECK(door.Show(token).refusal.reason == "JOIN_TOKEN_UNKNOWN");
  door.keeper.Await(token.Hash());
  const GrantResult grant = door.Show(token);
  REQUIRE(grant.peer);
  CHECK(grant.peer->id == NodeOf(2));
  CHECK(grant.granted.first() == "the secret of all");
  CHECK(door.keeper.joiners() == std::vector<std::string>(2, "node-9 from ipv4:127.0.0.1"));
  CHECK(door.keeper.wrong() == 0);
  CHECK(door.keeper.ups.empty());
  // A process that is no storage node has no tokens.
  Station router(3);
  const JoinToken of_router = TokenUnder("open sesame");
  const GrantResult none = ShowJoinToken(router.address(), of_router, {}, {}, std::chrono::seconds(10));
  CHECK(none.refusal.reason == "NOT_A_NODE");
}

TEST_CASE("who guesses join tokens is told of, and soon not listened to any more") {  // J6
  Door door;
  std::string reason = "WRONG_TOKEN";
  int guesses = 0;
  // Ten at once, then one a second: that they end is a matter of speed, that nobody is let in is not.
  for (; guesses < 200 && reason == "WRONG_TOKEN"; ++guesses) {
    const GrantResult result = door.Show(TokenUnder("a guess at the secret"));
    CHECK_FALSE(result.peer);
    reason = result.refusal.reason;
  }
  CHECK(guesses > GuessLimit::kBurst);
  CHECK(door.keeper.wrong() >= GuessLimit::kBurst);
  CHECK(door.keeper.joiners().empty());
}

TEST_CASE("the limit of guesses comes back with time") {  // J6
  GuessLimit limit;
  const GuessLimit::Moment now{std::chrono::hours(1)};
  for (int i = 0; i < GuessLimit::kBurst; ++i) {
    CHECK(limit.MayGuess(now));
    limit.Wrong(now);
  }
  CHECK_FALSE(limit.MayGuess(now));
  CHECK(limit.MayGuess(now + GuessLimit::kOneEvery));
  limit.Wrong(now + GuessLimit::kOneEvery);
  CHECK_FALSE(limit.MayGuess(now + GuessLimit::kOneEvery));
  CHECK(limit.MayGuess(now + std::chrono::hours(1)));
}

TEST_CASE("an errand is answered, and leaves no link") {
  Door door;
  wire::Errand errand;
  errand.set_lifetime_ms(41);
  const std::string address = "127.0.0.1:" + std::to_string(door.hub->port());
  const ErrandResult result = RunErrand(address, "the secret of all", {}, errand, std::chrono::seconds(10));
  REQUIRE(result.peer);
  REQUIRE(result.answer.join_tokens_size() == 1);
  CHECK(result.answer.join_tokens(0).expires_ms() == 42);
  CHECK(door.keeper.ups.empty());
  CHECK(RunErrand(address, "a guess at the secret", {}, errand, std::chrono::seconds(10)).refusal.reason == "WRONG_SECRET");
}

}  // namespace
}  // namespace coffer::link
