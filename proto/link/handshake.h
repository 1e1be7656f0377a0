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
// Pure state machines over the bytes of frames: no gRPC, no clock, no thread. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proto/link/link.h"

namespace coffer::link {

// Version of the frames; N and N-1 understand each other.
inline constexpr std::uint32_t kProtocol = 1;
inline constexpr std::uint32_t kOldestProtocol = 1;
// A handshake frame above this size is malformed.
inline constexpr std::size_t kHandshakeFrameBytes = 4096;

// 32 bytes from the system's generator.
std::string RandomNonce();

// HMAC-SHA-256(secret, label || length and bytes of each hello).
std::string ProofOf(std::string_view secret, std::string_view label, std::string_view dialler_hello,
                    std::string_view acceptor_hello);

// Whether two members may be linked at all, as either of them judges it: an empty reason, FOREIGN_CLUSTER or
// OWN_ID.
RefusalInfo CheckIdentities(const Identity& self, const Identity& peer);

// A frame that refuses; sent by the acceptor instead of its next frame.
std::string RefusalFrame(const RefusalInfo& why);

// What a dialler asks for.
struct DialAim {
  std::string address;     // as dialled
  std::uint32_t lane = 0;  // 0 everything, 1 large values
  bool probe = false;      // only asks who is there
  NodeId expect;           // not sent: the link is of use only if this member answers; zero: anyone
};

// The dialling side.
class DiallerHandshake {
 public:
  DiallerHandshake(std::string secret, const Identity& self, DialAim aim);

  // What to do after a frame. Exactly one member is set.
  struct Step {
    std::optional<std::string> send;  // go on
    std::optional<Identity> proven;   // the acceptor has proven the secret and accepts us
    RefusalInfo refusal;              // over
  };

  const std::string& first_frame() const { return first_frame_; }
  const std::string& nonce() const { return nonce_; }
  Step OnFrame(std::string_view frame);

 private:
  Step OnChallenge(std::string_view hello);
  Step OnWelcome(std::string_view hello, std::string_view mac);

  const std::string secret_;
  const DialAim aim_;
  const std::string nonce_;
  std::string hello_;
  std::string first_frame_;
  std::string challenge_nonce_;
  bool challenged_ = false;
};

// The accepting side.
class AcceptorHandshake {
 public:
  explicit AcceptorHandshake(std::string secret);

  // What to do after a frame. Exactly one member is set.
  struct Step {
    std::optional<std::string> send;  // go on
    bool proven = false;              // the dialler knows the secret: judge peer(), then answer Welcome or RefusalFrame
    RefusalInfo refusal;              // over: answer RefusalFrame
  };

  Step OnFrame(std::string_view frame);
  // The frame that accepts the dialler and says who we are.
  std::string Welcome(const Identity& self) const;

  // What the dialler said; trustworthy once proven.
  const Identity& peer() const { return peer_; }
  const DialAim& aim() const { return aim_; }
  const std::string& peer_nonce() const { return peer_nonce_; }

 private:
  Step OnHello(std::string_view hello);
  Step OnProof(std::string_view mac);

  const std::string secret_;
  const std::string nonce_;
  std::string dialler_hello_;
  std::string challenge_hello_;
  Identity peer_;
  DialAim aim_;
  std::string peer_nonce_;
};

}  // namespace coffer::link
