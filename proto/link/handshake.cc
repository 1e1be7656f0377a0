#include "proto/link/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <stdexcept>

#include "coffer/internal/v1/peer.pb.h"
#include "proto/link/join_attempt.h"

namespace coffer::link {
namespace {

constexpr std::string_view kDiallerLabel = "coffer link 1 dialler";
constexpr std::string_view kAcceptorLabel = "coffer link 1 acceptor";
constexpr std::string_view kErrandLabel = "coffer errand 1";
constexpr std::string_view kTokenLabel = "coffer join 1 token";
constexpr std::string_view kGrantLabel = "coffer join 1 secrets";
constexpr std::size_t kTokenIdBytes = 16;
constexpr std::size_t kNonceBytes = 32;
constexpr std::size_t kNameBytes = 255;

void AppendSized(std::string* out, std::string_view part) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(part.size() >> shift));
  out->append(part);
}

bool SameMac(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

wire::Hello HelloOf(const Identity& self, const std::string& nonce) {
  wire::Hello hello;
  hello.set_protocol(kProtocol);
  if (!self.cluster.IsZero()) hello.set_cluster_id(self.cluster.str());
  if (!self.id.IsZero()) hello.set_member_id(self.id.str());
  hello.set_name(self.name);
  hello.set_address(self.address);
  hello.set_role(self.role);
  hello.set_boot(self.boot.value);
  if (!self.boot_nonce.IsZero()) hello.set_boot_nonce(self.boot_nonce.str());
  hello.set_may_form(self.may_form);
  hello.set_pulse(self.pulse);
  hello.set_nonce(nonce);
  return hello;
}

RefusalInfo Malformed(const std::string& what) {
  return {"MALFORMED", "the other side does not speak this protocol (" + what + "); is it a peer port of Coffer?"};
}

RefusalInfo TooOld(std::uint32_t theirs) {
  return {"OLD_PROTOCOL", "link protocol " + std::to_string(theirs) + " is too old, at least " +
                              std::to_string(kOldestProtocol) + " is needed; upgrade the older member"};
}

// Nothing when the hello's fields have the right sizes.
std::optional<RefusalInfo> Fault(const wire::Hello& hello) {
  if (hello.protocol() < kOldestProtocol) return TooOld(hello.protocol());
  if (hello.nonce().size() != kNonceBytes) return Malformed("nonce");
  return std::nullopt;
}

std::optional<Identity> IdentityOf(const wire::Hello& hello) {
  Identity identity;
  if (!hello.cluster_id().empty()) {
    auto cluster = ClusterId::From(hello.cluster_id());
    if (!cluster) return std::nullopt;
    identity.cluster = *cluster;
  }
  if (!hello.member_id().empty()) {
    auto id = NodeId::From(hello.member_id());
    if (!id) return std::nullopt;
    identity.id = *id;
  }
  if (identity.id.IsZero() && !hello.probe()) return std::nullopt;
  if (hello.name().size() > kNameBytes || hello.address().size() > kNameBytes) return std::nullopt;
  identity.name = hello.name();
  identity.address = hello.address();
  identity.role = hello.role();
  identity.boot = Boot(hello.boot());
  if (!hello.boot_nonce().empty()) {
    auto nonce = cluster::BootNonce::From(hello.boot_nonce());
    if (!nonce) return std::nullopt;
    identity.boot_nonce = *nonce;
  }
  identity.may_form = hello.may_form();
  identity.pulse = hello.pulse();
  return identity;
}

// What an errand's proof is over, beside the dialler's hello: the acceptor's, and the errand itself.
std::string ErrandText(std::string_view acceptor_hello, wire::Errand errand) {
  errand.clear_mac();
  std::string text;
  AppendSized(&text, acceptor_hello);
  AppendSized(&text, errand.SerializeAsString());
  return text;
}

std::string Both(std::string_view dialler_hello, std::string_view acceptor_hello) {
  std::string text;
  AppendSized(&text, dialler_hello);
  AppendSized(&text, acceptor_hello);
  return text;
}

RefusalInfo WrongToken() {
  return {"WRONG_TOKEN", "this is no join token of this cluster, or it was made under a secret that has been removed since; make one with: "
                         "coffer join-token create"};
}

std::string Who(const Identity& member) {
  return (member.name.empty() ? Short(member.id) : member.name) +
         (member.address.empty() ? std::string() : " (" + member.address + ")");
}

}  // namespace

std::string RandomNonce() {
  std::array<unsigned char, kNonceBytes> nonce;
  if (RAND_bytes(nonce.data(), nonce.size()) != 1) throw std::runtime_error("the system's random generator failed");
  return std::string(nonce.begin(), nonce.end());
}

std::string ProofOf(std::string_view secret, std::string_view label, std::string_view dialler_hello,
                    std::string_view acceptor_hello) {
  std::string text(label);
  AppendSized(&text, dialler_hello);
  AppendSized(&text, acceptor_hello);
  std::array<unsigned char, 32> mac;
  unsigned int size = mac.size();
  // An empty view may hold a null pointer, which HMAC would take for "the key of the last call".
  const char* key = secret.empty() ? "" : secret.data();
  if (HMAC(EVP_sha256(), key, static_cast<int>(secret.size()), reinterpret_cast<const unsigned char*>(text.data()),
           text.size(), mac.data(), &size) == nullptr) {
    throw std::runtime_error("HMAC-SHA-256 is not available");
  }
  return std::string(mac.begin(), mac.end());
}

RefusalInfo CheckIdentities(const Identity& self, const Identity& peer) {
  if (!self.cluster.IsZero() && !peer.cluster.IsZero() && self.cluster != peer.cluster) {
    return {"FOREIGN_CLUSTER", Who(peer) + " belongs to cluster " + Short(peer.cluster) + ", " + Who(self) + " to " +
                                   Short(self.cluster) +
                                   "; correct the seed addresses, or give the newcomer an empty data folder"};
  }
  if (!peer.id.IsZero() && peer.id == self.id) {
    return {"OWN_ID", Who(peer) + " runs under the same member id " + Short(peer.id) + " as " + Who(self) +
                          "; a data folder was copied: start the copy with an empty one"};
  }
  return {};
}

std::string RefusalFrame(const RefusalInfo& why) {
  wire::LinkResponse frame;
  frame.mutable_refusal()->set_reason(why.reason);
  frame.mutable_refusal()->set_message(why.message);
  return frame.SerializeAsString();
}

std::string ErrandFrame(const wire::ErrandAnswer& answer) {
  wire::LinkResponse frame;
  *frame.mutable_errand_answer() = answer;
  return frame.SerializeAsString();
}

// ---- Dialler

DiallerHandshake::DiallerHandshake(Keyring keyring, const Identity& self, DialAim aim)
    : keyring_(std::move(keyring)), aim_(std::move(aim)), nonce_(RandomNonce()) {
  wire::LinkRequest frame;
  *frame.mutable_hello() = HelloOf(self, nonce_);
  frame.mutable_hello()->set_lane(aim_.lane);
  frame.mutable_hello()->set_dialled(aim_.address);
  frame.mutable_hello()->set_probe(aim_.probe);
  if (aim_.token) {
    exchange_.emplace();
    frame.mutable_hello()->set_join_token(aim_.token->Id());
    frame.mutable_hello()->set_exchange(exchange_->public_key());
  }
  hello_ = frame.hello().SerializeAsString();
  first_frame_ = frame.SerializeAsString();
}

DiallerHandshake::Step DiallerHandshake::OnFrame(std::string_view bytes) {
  wire::LinkResponse frame;
  if (bytes.size() > kHandshakeFrameBytes || !frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return {.refusal = Malformed("handshake")};
  }
  if (frame.has_refusal()) {
    const auto& refusal = frame.refusal();
    return {.refusal = {refusal.reason().empty() ? "REFUSED" : refusal.reason(), refusal.message()}};
  }
  if (welcomed_ && frame.has_errand_answer()) {
    answer_ = std::move(*frame.mutable_errand_answer());
    return {.proven = std::move(welcomed_)};
  }
  if (welcomed_ || !frame.has_hello()) return {.refusal = Malformed(welcomed_ ? "no answer to the errand" : "no hello")};
  if (auto fault = Fault(frame.hello())) return {.refusal = *fault};
  const std::string hello = frame.hello().SerializeAsString();
  if (!challenged_) return OnChallenge(hello);
  return aim_.token ? OnGrant(hello, frame.sealed()) : OnWelcome(hello, frame.proof().mac());
}

DiallerHandshake::Step DiallerHandshake::OnChallenge(std::string_view hello) {
  wire::Hello challenge;
  challenge.ParseFromArray(hello.data(), static_cast<int>(hello.size()));
  challenged_ = true;
  challenge_nonce_ = challenge.nonce();
  if (aim_.token) return ShowToken(challenge, hello);
  wire::LinkRequest answer;
  answer.mutable_proof()->set_mac(ProofOf(keyring_.first(), kDiallerLabel, hello_, hello));
  return {.send = answer.SerializeAsString()};
}

// Whoever does not have the token's key can't open it, so it may be sent before the acceptor has proven anything.
DiallerHandshake::Step DiallerHandshake::ShowToken(const wire::Hello& challenge, std::string_view hello) {
  if (challenge.exchange().empty()) {
    return {.refusal = {"OLD_PROTOCOL", "the member at " + aim_.address + " does not know join tokens; upgrade it, or join with the secret"}};
  }
  const auto key = exchange_->Agree(challenge.exchange(), aim_.token->key, kTokenLabel, hello_, hello);
  const auto grant_key = exchange_->Agree(challenge.exchange(), aim_.token->key, kGrantLabel, hello_, hello);
  if (!key || !grant_key) return {.refusal = Malformed("exchange")};
  grant_key_ = *grant_key;
  wire::LinkRequest answer;
  std::string shown = aim_.token->random + aim_.token->attempt;
  answer.set_sealed(Seal(*key, shown, Both(hello_, hello)));
  Wipe(&shown);
  return {.send = answer.SerializeAsString()};
}

DiallerHandshake::Step DiallerHandshake::OnGrant(std::string_view hello, std::string_view sealed) {
  wire::Hello welcome;
  welcome.ParseFromArray(hello.data(), static_cast<int>(hello.size()));
  auto text = Open(grant_key_, sealed, Both(hello_, hello));
  Wipe(&grant_key_);
  if (!text || welcome.nonce() != challenge_nonce_) {
    return {.refusal = {"WRONG_TOKEN", "the process at " + aim_.address + " could not prove that the join token is of its cluster; it is not a member"}};
  }
  auto identity = IdentityOf(welcome);
  if (!identity || identity->cluster != aim_.token->cluster) {
    return {.refusal = {"FOREIGN_CLUSTER", "the member at " + aim_.address + " belongs to another cluster than the join token; correct the address"}};
  }
  try {
    granted_ = Keyring::Parse(*text, "the answer of " + aim_.address);
  } catch (const std::exception&) {
    return {.refusal = Malformed("secrets")};
  }
  Wipe(&*text);
  return {.proven = std::move(identity)};
}

DiallerHandshake::Step DiallerHandshake::BringErrand(std::string_view hello) {
  wire::LinkRequest frame;
  *frame.mutable_errand() = *aim_.errand;
  frame.mutable_errand()->set_mac(ProofOf(keyring_.first(), kErrandLabel, hello_, ErrandText(hello, *aim_.errand)));
  return {.send = frame.SerializeAsString()};
}

DiallerHandshake::Step DiallerHandshake::OnWelcome(std::string_view hello, std::string_view mac) {
  wire::Hello welcome;
  welcome.ParseFromArray(hello.data(), static_cast<int>(hello.size()));
  if (welcome.nonce() != challenge_nonce_ || !SameMac(mac, ProofOf(keyring_.first(), kAcceptorLabel, hello_, hello))) {
    return {.refusal = {"WRONG_SECRET", "the process at " + aim_.address +
                                            " could not prove that it knows the cluster's secret; it is not a member"}};
  }
  auto identity = IdentityOf(welcome);
  if (!identity) return {.refusal = Malformed("identity")};
  if (!aim_.errand) return {.proven = std::move(identity)};
  welcomed_ = std::move(identity);
  return BringErrand(hello);
}

// ---- Acceptor

AcceptorHandshake::AcceptorHandshake(Keyring keyring) : keyring_(std::move(keyring)), nonce_(RandomNonce()) {}

AcceptorHandshake::Step AcceptorHandshake::OnFrame(std::string_view bytes) {
  wire::LinkRequest frame;
  if (bytes.size() > kHandshakeFrameBytes || !frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return {.refusal = Malformed("handshake")};
  }
  if (dialler_hello_.empty()) {
    if (!frame.has_hello()) return {.refusal = Malformed("no hello")};
    return OnHello(frame.hello().SerializeAsString());
  }
  if (joiner()) return frame.sealed().empty() ? Step{.refusal = Malformed("no token")} : OnToken(frame.sealed());
  if (!frame.has_proof()) return {.refusal = Malformed("no proof")};
  return OnProof(frame.proof().mac());
}

AcceptorHandshake::Step AcceptorHandshake::OnHello(std::string_view bytes) {
  wire::Hello hello;
  hello.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (auto fault = Fault(hello)) return {.refusal = *fault};
  auto identity = IdentityOf(hello);
  if (!identity || hello.lane() > 1) return {.refusal = Malformed("identity")};
  dialler_hello_ = bytes;
  peer_ = *identity;
  aim_ = {.address = hello.dialled(), .lane = hello.lane(), .probe = hello.probe()};
  peer_nonce_ = hello.nonce();
  // Nothing about ourselves yet: the caller has proven nothing.
  wire::LinkResponse challenge;
  challenge.mutable_hello()->set_protocol(kProtocol);
  challenge.mutable_hello()->set_nonce(nonce_);
  if (!hello.join_token().empty()) {
    if (hello.join_token().size() != kTokenIdBytes || hello.exchange().size() != kExchangeBytes || !hello.probe()) {
      return {.refusal = Malformed("join token")};
    }
    token_id_ = hello.join_token();
    joiner_exchange_ = hello.exchange();
    exchange_.emplace();
    challenge.mutable_hello()->set_exchange(exchange_->public_key());
  }
  challenge_hello_ = challenge.hello().SerializeAsString();
  return {.send = challenge.SerializeAsString()};
}

AcceptorHandshake::Step AcceptorHandshake::OnProof(std::string_view mac) {
  for (const std::string& secret : keyring_.all()) {
    if (!SameMac(mac, ProofOf(secret, kDiallerLabel, dialler_hello_, challenge_hello_))) continue;
    secret_ = secret;
    return {.proven = true};
  }
  return {.refusal = {"WRONG_SECRET",
                      "the cluster's secret is another one here; give both members the same secret file"}};
}

AcceptorHandshake::Step AcceptorHandshake::OnToken(std::string_view sealed) {
  for (const std::string& secret : keyring_.all()) {
    const std::string token_key = JoinTokenKey(secret, token_id_);
    const auto key = exchange_->Agree(joiner_exchange_, token_key, kTokenLabel, dialler_hello_, challenge_hello_);
    const auto grant_key = exchange_->Agree(joiner_exchange_, token_key, kGrantLabel, dialler_hello_, challenge_hello_);
    if (!key || !grant_key) return {.refusal = Malformed("exchange")};
    auto opened = Open(*key, sealed, Both(dialler_hello_, challenge_hello_));
    if (!opened) continue;
    const bool attempt = opened->size() == JoinToken::kRandomBytes + JoinToken::kAttemptBytes;
    if (!attempt && opened->size() != JoinToken::kRandomBytes) break;
    ShownToken shown{JoinTokenHash(std::string_view(*opened).substr(0, JoinToken::kRandomBytes)), {}};
    if (attempt) shown.attempt = NotedAttempt(opened->substr(JoinToken::kRandomBytes));
    Wipe(&*opened);
    if (!shown.hash.starts_with(token_id_)) break;
    grant_key_ = *grant_key;
    return {.token = std::move(shown)};
  }
  return {.refusal = WrongToken()};
}

std::string AcceptorHandshake::Welcome(const Identity& self) {
  wire::LinkResponse welcome;
  *welcome.mutable_hello() = HelloOf(self, nonce_);
  welcome_hello_ = welcome.hello().SerializeAsString();
  if (joiner()) {
    std::string text = keyring_.Text();
    welcome.set_sealed(Seal(grant_key_, text, Both(dialler_hello_, welcome_hello_)));
    Wipe(&text);
    Wipe(&grant_key_);
  } else {
    welcome.mutable_proof()->set_mac(ProofOf(secret_, kAcceptorLabel, dialler_hello_, welcome_hello_));
  }
  return welcome.SerializeAsString();
}

AcceptorHandshake::Step AcceptorHandshake::OnErrandFrame(std::string_view bytes) const {
  wire::LinkRequest frame;
  if (bytes.size() > kHandshakeFrameBytes || !frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !frame.has_errand() ||
      !aim_.probe || joiner()) {
    return {.refusal = Malformed("errand")};
  }
  if (!SameMac(frame.errand().mac(), ProofOf(secret_, kErrandLabel, dialler_hello_, ErrandText(welcome_hello_, frame.errand())))) {
    return {.refusal = {"WRONG_SECRET", "what was asked does not come from whom the handshake was with; nothing was changed"}};
  }
  return {.errand = frame.errand()};
}

}  // namespace coffer::link
