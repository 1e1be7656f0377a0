// The handshake as two state machines, without a network: what each side says, and what it refuses.
#include "coffer/internal/v1/peer.pb.h"
#include "link_test_support.h"
#include "proto/link/handshake.h"
#include "proto/link/join_attempt.h"
#include "test_support.h"

namespace coffer::link {
namespace {

using Catch::Matchers::Contains;

wire::LinkResponse Response(const std::string& bytes) {
  wire::LinkResponse frame;
  REQUIRE(frame.ParseFromString(bytes));
  return frame;
}

wire::LinkRequest RequestFrame(const std::string& bytes) {
  wire::LinkRequest frame;
  REQUIRE(frame.ParseFromString(bytes));
  return frame;
}

// The first frame of a dialler, changed before it arrives.
AcceptorHandshake::Step AnswerTo(const std::function<void(wire::Hello*)>& change) {
  DiallerHandshake dialler("secret", Member(1), {.address = "there"});
  auto frame = RequestFrame(dialler.first_frame());
  change(frame.mutable_hello());
  AcceptorHandshake acceptor("secret");
  return acceptor.OnFrame(frame.SerializeAsString());
}

TEST_CASE("both sides learn who the other is once both have proven the secret") {
  DiallerHandshake dialler("secret", Member(1, "node-1:7701"), {.address = "node-2:7701", .lane = 1});
  AcceptorHandshake acceptor("secret");
  const auto challenge = acceptor.OnFrame(dialler.first_frame());
  REQUIRE(challenge.send);
  const auto proof = dialler.OnFrame(*challenge.send);
  REQUIRE(proof.send);
  REQUIRE(acceptor.OnFrame(*proof.send).proven);
  CHECK(acceptor.peer().id == NodeOf(1));
  CHECK(acceptor.peer().address == "node-1:7701");
  CHECK(acceptor.peer().boot == Boot(1));
  CHECK(acceptor.aim().address == "node-2:7701");
  CHECK(acceptor.aim().lane == 1);
  CHECK(acceptor.peer_nonce() == dialler.nonce());
  const auto end = dialler.OnFrame(acceptor.Welcome(Member(2)));
  REQUIRE(end.proven);
  CHECK(end.proven->id == NodeOf(2));
  CHECK(end.proven->cluster == ClusterOf(1));
}

TEST_CASE("a caller that has proven nothing learns nothing but the protocol") {
  DiallerHandshake dialler("guess", Member(1), {.address = "there"});
  AcceptorHandshake acceptor("secret");
  const auto challenge = acceptor.OnFrame(dialler.first_frame());
  wire::Hello hello = Response(*challenge.send).hello();
  CHECK(hello.nonce().size() == 32);
  hello.clear_nonce();
  hello.clear_protocol();
  CHECK(hello.ByteSizeLong() == 0);
  CHECK_FALSE(Response(*challenge.send).has_proof());

  const auto verdict = acceptor.OnFrame(*dialler.OnFrame(*challenge.send).send);
  CHECK(verdict.refusal.reason == "WRONG_SECRET");
  CHECK_FALSE(verdict.proven);
  const auto told = dialler.OnFrame(RefusalFrame(verdict.refusal));
  CHECK(told.refusal.reason == "WRONG_SECRET");
  CHECK_THAT(told.refusal.message, Contains("secret file"));
}

TEST_CASE("an acceptor that does not know the secret is not believed") {
  DiallerHandshake dialler("secret", Member(1), {.address = "there"});
  AcceptorHandshake impostor("guess");
  REQUIRE(dialler.OnFrame(*impostor.OnFrame(dialler.first_frame()).send).send);
  const auto step = dialler.OnFrame(impostor.Welcome(Member(2)));
  CHECK_FALSE(step.proven);
  CHECK(step.refusal.reason == "WRONG_SECRET");
}

TEST_CASE("a dialler's proof can't be sent back to it as the acceptor's") {
  DiallerHandshake dialler("secret", Member(1), {.address = "there"});
  AcceptorHandshake mirror("guess");
  const auto challenge = mirror.OnFrame(dialler.first_frame());
  const auto proof = dialler.OnFrame(*challenge.send);
  wire::LinkResponse echo = Response(*challenge.send);
  echo.mutable_proof()->set_mac(RequestFrame(*proof.send).proof().mac());
  CHECK(dialler.OnFrame(echo.SerializeAsString()).refusal.reason == "WRONG_SECRET");
}

TEST_CASE("what was said can't be changed on the way") {
  DiallerHandshake dialler("secret", Member(1), {.address = "there"});
  AcceptorHandshake acceptor("secret");
  auto frame = RequestFrame(dialler.first_frame());
  frame.mutable_hello()->set_member_id(NodeOf(3).str());
  const auto challenge = acceptor.OnFrame(frame.SerializeAsString());
  CHECK(acceptor.OnFrame(*dialler.OnFrame(*challenge.send).send).refusal.reason == "WRONG_SECRET");

  DiallerHandshake other("secret", Member(1), {.address = "there"});
  AcceptorHandshake honest("secret");
  REQUIRE(honest.OnFrame(*other.OnFrame(*honest.OnFrame(other.first_frame()).send).send).proven);
  auto welcome = Response(honest.Welcome(Member(2)));
  welcome.mutable_hello()->set_member_id(NodeOf(3).str());
  CHECK(other.OnFrame(welcome.SerializeAsString()).refusal.reason == "WRONG_SECRET");
}

TEST_CASE("fields that a newer version added are covered by the proof") {
  DiallerHandshake dialler("secret", Member(1), {.address = "there"});
  AcceptorHandshake acceptor("secret");
  auto frame = RequestFrame(dialler.first_frame());
  UnknownFields(frame.mutable_hello())->AddVarint(1000, 1);
  const auto challenge = acceptor.OnFrame(frame.SerializeAsString());
  CHECK(acceptor.OnFrame(*dialler.OnFrame(*challenge.send).send).refusal.reason == "WRONG_SECRET");
}

TEST_CASE("a hello that can't be right is refused at once") {
  CHECK(AnswerTo([](wire::Hello*) {}).send);
  CHECK(AnswerTo([](wire::Hello* h) { h->set_protocol(0); }).refusal.reason == "OLD_PROTOCOL");
  CHECK(AnswerTo([](wire::Hello* h) { h->set_nonce("short"); }).refusal.reason == "MALFORMED");
  CHECK(AnswerTo([](wire::Hello* h) { h->set_member_id("short"); }).refusal.reason == "MALFORMED");
  CHECK(AnswerTo([](wire::Hello* h) { h->clear_member_id(); }).refusal.reason == "MALFORMED");
  CHECK(AnswerTo([](wire::Hello* h) { h->set_cluster_id("short"); }).refusal.reason == "MALFORMED");
  CHECK(AnswerTo([](wire::Hello* h) { h->set_name(std::string(300, 'n')); }).refusal.reason == "MALFORMED");
  CHECK(AnswerTo([](wire::Hello* h) { h->set_address(std::string(8000, 'n')); }).refusal.reason == "MALFORMED");
  CHECK(AnswerTo([](wire::Hello* h) { h->set_lane(2); }).refusal.reason == "MALFORMED");
  AcceptorHandshake acceptor("secret");
  CHECK(acceptor.OnFrame("GET / HTTP/1.1").refusal.reason == "MALFORMED");
  CHECK(acceptor.OnFrame("").refusal.reason == "MALFORMED");
  DiallerHandshake dialler("secret", Member(1), {.address = "there"});
  CHECK(dialler.OnFrame("HTTP/1.1 400").refusal.reason == "MALFORMED");
}

TEST_CASE("a dialler without an id may only ask") {
  CHECK(AnswerTo([](wire::Hello* h) {
          h->clear_member_id();
          h->set_probe(true);
        }).send);
}

TEST_CASE("the proof is HMAC-SHA-256 over label and both hellos") {
  // echo -n 'L\0\0\0\1a\0\0\0\2bc' | openssl dgst -sha256 -hmac key
  CHECK(Hex(ProofOf("key", "L", "a", "bc")) == "1070c7d8e70624dc1e218ee5fc779585d67896e4a16152623fe76f097b65c714");
  CHECK(ProofOf("key", "L", "ab", "c") != ProofOf("key", "L", "a", "bc"));
  CHECK(ProofOf("", "L", "a", "bc").size() == 32);
}

TEST_CASE("members of two clusters are not linked, a member without a cluster is") {
  Identity a = Member(1), b = Member(2);
  CHECK(CheckIdentities(a, b).reason.empty());
  b.cluster = ClusterOf(2);
  CHECK(CheckIdentities(a, b).reason == "FOREIGN_CLUSTER");
  b.cluster = ClusterId();
  CHECK(CheckIdentities(a, b).reason.empty());
  CHECK(CheckIdentities(b, a).reason.empty());
  b.id = a.id;
  CHECK(CheckIdentities(a, b).reason == "OWN_ID");
}

// ---- Several secrets

TEST_CASE("an acceptor takes each of its secrets, and proves the one it was shown") {
  const Keyring both = Keyring::Parse("the newer secret\nthe older secret\n", "the test");
  for (const char* known : {"the newer secret", "the older secret"}) {
    DiallerHandshake dialler(known, Member(1), {.address = "there"});
    AcceptorHandshake acceptor(both);
    REQUIRE(acceptor.OnFrame(*dialler.OnFrame(*acceptor.OnFrame(dialler.first_frame()).send).send).proven);
    CHECK(acceptor.secret() == known);
    CHECK(dialler.OnFrame(acceptor.Welcome(Member(2))).proven);
  }
  DiallerHandshake dialler(both, Member(1), {.address = "there"});
  CHECK(dialler.secret() == "the newer secret");
}

// ---- Join tokens

JoinToken TokenOf(const std::string& secret) {
  JoinToken token = NewJoinToken();
  token.key = JoinTokenKey(secret, token.Id());
  token.cluster = ClusterOf(1);
  return token;
}

struct Joining {
  explicit Joining(const JoinToken& token, Keyring keyring = "the secret of all")
      : joiner({}, Identity{}, {.address = "there", .probe = true, .token = token}), acceptor(std::move(keyring)) {}
  // Until the acceptor has judged.
  AcceptorHandshake::Step Shown() {
    const auto challenge = acceptor.OnFrame(joiner.first_frame());
    REQUIRE(challenge.send);
    CHECK(acceptor.joiner());
    const auto sealed = joiner.OnFrame(*challenge.send);
    REQUIRE(sealed.send);
    return acceptor.OnFrame(*sealed.send);
  }
  DiallerHandshake joiner;
  AcceptorHandshake acceptor;
};

TEST_CASE("a join token is taken for the secrets, and neither is to be seen on the way") {  // J4, I17
  const JoinToken token = TokenOf("the secret of all");
  Joining joining(token, Keyring::Parse("another, a newer secret\nthe secret of all\n", "the test"));
  const auto shown = joining.Shown();
  REQUIRE(shown.token);
  CHECK(shown.token->hash == token.Hash());
  CHECK(shown.token->attempt.empty());
  CHECK_FALSE(shown.proven);
  const std::string welcome = joining.acceptor.Welcome(Member(2));
  CHECK(welcome.find("secret of all") == std::string::npos);
  CHECK(joining.joiner.first_frame().find(token.random) == std::string::npos);
  const auto step = joining.joiner.OnFrame(welcome);
  REQUIRE(step.proven);
  REQUIRE(joining.joiner.granted());
  CHECK(joining.joiner.granted()->all() == std::vector<std::string>{"another, a newer secret", "the secret of all"});
}

TEST_CASE("J7 a joiner's attempt comes with its token, as the hash that the cluster notes") {
  JoinToken token = TokenOf("the secret of all");
  token.attempt.assign(JoinToken::kAttemptBytes, 'a');
  const auto first = Joining(token).Shown();
  const auto again = Joining(token).Shown();
  REQUIRE(first.token);
  REQUIRE(again.token);
  CHECK(first.token->hash == token.Hash());
  CHECK(first.token->attempt == NotedAttempt(token.attempt));
  CHECK(first.token->attempt != token.attempt);
  CHECK(again.token->attempt == first.token->attempt);
  token.attempt.back() = 'b';
  const auto other = Joining(token).Shown();
  REQUIRE(other.token);
  CHECK(other.token->attempt != first.token->attempt);
  token.attempt = "short";
  CHECK_FALSE(Joining(token).Shown().token);
}

TEST_CASE("a join token that was guessed, or is of another cluster, is refused") {
  CHECK(Joining(TokenOf("some other secret")).Shown().refusal.reason == "WRONG_TOKEN");
  JoinToken guessed = NewJoinToken();
  guessed.key = NewJoinToken().random;
  guessed.cluster = ClusterOf(1);
  CHECK(Joining(guessed).Shown().refusal.reason == "WRONG_TOKEN");
}

TEST_CASE("who does not know the secret can't take a token's holder in") {
  const JoinToken token = TokenOf("the secret of all");
  DiallerHandshake joiner({}, Identity{}, {.address = "there", .probe = true, .token = token});
  AcceptorHandshake impostor("a guess at the secret");
  const auto challenge = impostor.OnFrame(joiner.first_frame());
  const auto sealed = joiner.OnFrame(*challenge.send);
  REQUIRE(sealed.send);
  CHECK_FALSE(impostor.OnFrame(*sealed.send).token);
  wire::LinkResponse welcome;
  welcome.mutable_hello()->set_protocol(kProtocol);
  welcome.mutable_hello()->set_nonce(Response(*challenge.send).hello().nonce());
  welcome.mutable_hello()->set_member_id(NodeOf(2).str());
  welcome.mutable_hello()->set_cluster_id(token.cluster.str());
  welcome.set_sealed(std::string(64, 's'));
  const auto step = joiner.OnFrame(welcome.SerializeAsString());
  CHECK(step.refusal.reason == "WRONG_TOKEN");
  CHECK_FALSE(joiner.granted());

  // A member of another cluster that has the same secret.
  Joining joining(token);
  REQUIRE(joining.Shown().token);
  Identity foreigner = Member(2);
  foreigner.cluster = ClusterOf(9);
  CHECK(joining.joiner.OnFrame(joining.acceptor.Welcome(foreigner)).refusal.reason == "FOREIGN_CLUSTER");
}

TEST_CASE("what a joiner and a member say can't be changed on the way") {  // J4
  const JoinToken token = TokenOf("the secret of all");
  Joining joining(token);
  auto hello = RequestFrame(joining.joiner.first_frame());
  hello.mutable_hello()->set_name("somebody else");
  const auto sealed = joining.joiner.OnFrame(*joining.acceptor.OnFrame(hello.SerializeAsString()).send);
  CHECK(joining.acceptor.OnFrame(*sealed.send).refusal.reason == "WRONG_TOKEN");

  Joining other(token);
  REQUIRE(other.Shown().token);
  auto welcome = Response(other.acceptor.Welcome(Member(2)));
  welcome.mutable_hello()->set_address("elsewhere:7701");
  CHECK(other.joiner.OnFrame(welcome.SerializeAsString()).refusal.reason == "WRONG_TOKEN");
}

TEST_CASE("a key of an exchange that can't be right is refused") {
  for (const std::string& key : {std::string(32, '\0'), std::string("short")}) {
    Joining joining(TokenOf("the secret of all"));
    auto hello = RequestFrame(joining.joiner.first_frame());
    hello.mutable_hello()->set_exchange(key);
    auto step = joining.acceptor.OnFrame(hello.SerializeAsString());
    if (step.send) step = joining.acceptor.OnFrame(*joining.joiner.OnFrame(*step.send).send);
    CHECK(step.refusal.reason == "MALFORMED");
  }
}

TEST_CASE("the text of a join token is read back, and nothing else is taken for one") {
  JoinToken token = TokenOf("the secret of all");
  for (const std::string& authority : {std::string(), std::string(32, 'a')}) {
    token.authority = authority;
    const auto read = ParseJoinToken("\n " + FormatJoinToken(token) + "\n");
    REQUIRE(read);
    CHECK(read->random == token.random);
    CHECK(read->key == token.key);
    CHECK(read->cluster == token.cluster);
    CHECK(read->authority == authority);
    CHECK_FALSE(ParseJoinToken(FormatJoinToken(token) + "0"));
    CHECK_FALSE(ParseJoinToken(FormatJoinToken(token).substr(1)));
  }
  CHECK_FALSE(ParseJoinToken(""));
  CHECK_FALSE(ParseJoinToken("coffer-join-1-00ff"));
  CHECK(NewJoinToken().random != NewJoinToken().random);
}

// ---- Errands

TEST_CASE("an errand is believed only from whom the handshake was with") {  // J5
  wire::Errand errand;
  errand.set_lifetime_ms(5);
  const auto begin = [&](DiallerHandshake& dialler, AcceptorHandshake& acceptor) {
    REQUIRE(acceptor.OnFrame(*dialler.OnFrame(*acceptor.OnFrame(dialler.first_frame()).send).send).proven);
    const auto brought = dialler.OnFrame(acceptor.Welcome(Member(2)));
    REQUIRE(brought.send);
    return *brought.send;
  };
  const DialAim aim{.address = "there", .probe = true, .errand = errand};
  DiallerHandshake dialler("the secret of all", Identity{}, aim);
  AcceptorHandshake acceptor("the secret of all");
  const std::string brought = begin(dialler, acceptor);
  const auto step = acceptor.OnErrandFrame(brought);
  REQUIRE(step.errand);
  CHECK(step.errand->lifetime_ms() == 5);
  auto changed = RequestFrame(brought);
  changed.mutable_errand()->set_lifetime_ms(6);
  CHECK(acceptor.OnErrandFrame(changed.SerializeAsString()).refusal.reason == "WRONG_SECRET");
  CHECK(acceptor.OnErrandFrame("").refusal.reason == "MALFORMED");
  // Another time.
  DiallerHandshake again("the secret of all", Identity{}, aim);
  AcceptorHandshake later("the secret of all");
  begin(again, later);
  CHECK(later.OnErrandFrame(brought).refusal.reason == "WRONG_SECRET");

  wire::ErrandAnswer answer;
  answer.mutable_status()->set_message("so it is");
  const auto done = dialler.OnFrame(ErrandFrame(answer));
  REQUIRE(done.proven);
  CHECK(dialler.answer()->status().message() == "so it is");
  CHECK(again.OnFrame(later.Welcome(Member(2))).refusal.reason == "MALFORMED");
}

}  // namespace
}  // namespace coffer::link
