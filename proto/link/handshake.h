// Who may link: both sides prove that they know the cluster's secret before anything else is said.
//
//   dialler                                   acceptor
//   LinkRequest{hello}              ->                                what it is, and 32 random bytes
//                                   <-  LinkResponse{hello}           only protocol and 32 random bytes, nothing about
//                                   itself
//   LinkRequest{proof}              ->                                HMAC over both hellos
//                                   <-  LinkResponse{hello, proof}    now what it is, and its own HMAC; or a refusal
//   LinkRequest{}                   ->                                the dialler agrees; envelopes follow both ways
//
// A probe goes no further than the second LinkResponse, or brings an errand and hears what became of it:
//
//   LinkRequest{errand}             ->                                with an HMAC over it and both hellos
//                                   <-  LinkResponse{errand_answer}
//
// A joiner knows a join token instead of the secret (join_token.h); both first hellos carry a key of an exchange:
//
//   LinkRequest{sealed}             ->                                the token, sealed under the exchange and the token's key
//                                   <-  LinkResponse{hello, sealed}   the cluster's secrets; or a refusal
//
// Pure state machines over the bytes of frames: no gRPC, no clock, no thread. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proto/link/join_token.h"
#include "proto/link/keyring.h"
#include "proto/link/link.h"
#include "proto/link/sealed_box.h"

namespace coffer::link {

// Version of the frames; N and N-1 understand each other.
inline constexpr std::uint32_t kProtocol = 1;
inline constexpr std::uint32_t kOldestProtocol = 1;
// A handshake frame above this size is malformed.
inline constexpr std::size_t kHandshakeFrameBytes = 16384;

// 32 bytes from the system's generator.
std::string RandomNonce();

// HMAC-SHA-256(secret, label || length and bytes of each hello).
std::string ProofOf(std::string_view secret, std::string_view label, std::string_view dialler_hello,
                    std::string_view acceptor_hello);

// Whether two members may be linked at all, as either of them judges it: an empty reason, FOREIGN_CLUSTER or
// OWN_ID.
RefusalInfo CheckIdentities(const Identity& self, const Identity& peer);

// The frame that answers an errand.
std::string ErrandFrame(const wire::ErrandAnswer& answer);

// A frame that refuses; sent by the acceptor instead of its next frame.
std::string RefusalFrame(const RefusalInfo& why);

// What a dialler asks for.
struct DialAim {
  std::string address;     // as dialled
  std::uint32_t lane = 0;  // 0 everything, 1 large values
  bool probe = false;      // only asks who is there
  NodeId expect;           // not sent: the link is of use only if this member answers; zero: anyone
  std::optional<JoinToken> token;       // of a probe: used up, for the cluster's secrets
  std::optional<wire::Errand> errand;   // of a probe: without its proof
};

// The dialling side.
class DiallerHandshake {
 public:
  // Without a secret only if the aim has a token.
  DiallerHandshake(Keyring keyring, const Identity& self, DialAim aim);

  // What to do after a frame. Exactly one member is set.
  struct Step {
    std::optional<std::string> send;  // go on
    std::optional<Identity> proven;   // the acceptor has proven the secret and accepts us; an errand is done
    RefusalInfo refusal;              // over
  };

  const std::string& first_frame() const { return first_frame_; }
  const std::string& nonce() const { return nonce_; }
  // By which both sides have proven themselves.
  const std::string& secret() const { return keyring_.first(); }
  Step OnFrame(std::string_view frame);

  // Once proven: what the token was given for, and what the errand was answered with.
  const std::optional<Keyring>& granted() const { return granted_; }
  const std::optional<wire::ErrandAnswer>& answer() const { return answer_; }

 private:
  Step OnChallenge(std::string_view hello);
  Step ShowToken(const wire::Hello& challenge, std::string_view hello);
  Step OnWelcome(std::string_view hello, std::string_view mac);
  Step OnGrant(std::string_view hello, std::string_view sealed);
  Step BringErrand(std::string_view hello);

  const Keyring keyring_;
  const DialAim aim_;
  const std::string nonce_;
  std::optional<Exchange> exchange_;   // with a token
  std::string grant_key_;              // with a token, once challenged
  std::optional<Identity> welcomed_;   // with an errand: who has it
  std::optional<Keyring> granted_;
  std::optional<wire::ErrandAnswer> answer_;
  std::string hello_;
  std::string first_frame_;
  std::string challenge_nonce_;
  bool challenged_ = false;
};

// The accepting side.
class AcceptorHandshake {
 public:
  explicit AcceptorHandshake(Keyring keyring);

  // What to do after a frame. Exactly one member is set.
  struct Step {
    std::optional<std::string> send;  // go on
    bool proven = false;              // the dialler knows the secret: judge peer(), then answer Welcome or RefusalFrame
    std::optional<ShownToken> token;     // the dialler holds this join token: judge it, then answer as for proven
    std::optional<wire::Errand> errand;  // see to it, then answer ErrandFrame
    RefusalInfo refusal;              // over: answer RefusalFrame
  };

  Step OnFrame(std::string_view frame);
  // The frame that accepts the dialler and says who we are; the holder of a token gets all secrets with it. Once.
  std::string Welcome(const Identity& self);
  // A frame after the welcome that is not empty: an errand, if the dialler only probes.
  Step OnErrandFrame(std::string_view frame) const;

  // What the dialler said; trustworthy once proven.
  const Identity& peer() const { return peer_; }
  const DialAim& aim() const { return aim_; }
  const std::string& peer_nonce() const { return peer_nonce_; }
  // Whether the dialler says that it holds a join token; known from its first frame on.
  bool joiner() const { return exchange_.has_value(); }
  // By which the dialler has proven itself, once it has.
  const std::string& secret() const { return secret_; }

 private:
  Step OnHello(std::string_view hello);
  Step OnProof(std::string_view mac);
  Step OnToken(std::string_view sealed);

  const Keyring keyring_;
  const std::string nonce_;
  std::string secret_;
  std::optional<Exchange> exchange_;
  std::string token_id_;
  std::string joiner_exchange_;
  std::string grant_key_;
  std::string welcome_hello_;
  std::string dialler_hello_;
  std::string challenge_hello_;
  Identity peer_;
  DialAim aim_;
  std::string peer_nonce_;
};

}  // namespace coffer::link
