// Long-lived streams between members: one queue each way, whatever is queued while a frame is written goes into the
// next.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/lineage.h"
#include "cluster/message.h"
#include "proto/link/join_token.h"
#include "proto/link/keyring.h"

namespace coffer::link {

// Three file names; all empty: cleartext.
struct TlsFiles {
  std::string certificate;
  std::string key;
  std::string ca;
  bool enabled() const { return !certificate.empty(); }
};

// Who we are, as said in the handshake. cluster may be zero (not yet in one).
struct Identity {
  ClusterId cluster;
  NodeId id;
  std::string name;
  std::string address;  // advertised host:port
  std::uint32_t role = 1;
  Boot boot;
  cluster::BootNonce boot_nonce;  // tells two processes with one id apart; zeros: not told
  bool may_form = false;          // a cluster, by itself
  bool pulse = false;             // numbers its frames, and sends one every HubOptions::pulse at least; the hub sets its own
};

// The router within a node's process is a member of its own, named after the node; both have one certificate.
inline constexpr char kRouterWithin[] = "-router";

// Why a peer is refused or refuses us; empty reason: accepted.
struct RefusalInfo {
  // WRONG_SECRET, WRONG_TOKEN, JOIN_TOKEN_USED and the like (join_tokens.h), FOREIGN_CLUSTER, OWN_ID (the other side has our id), DUPLICATE_ID (a third does, and lives),
  // DUPLICATE_PEER (we see two with one id, and keep to the first), EARLIER_START (the same, and whether it lives is being looked at: dial again), OLD_PROTOCOL, CERTIFICATE_MISMATCH, MALFORMED (not a peer
  // port), SELF (the address is our own: nothing is wrong), BUSY, UNREACHABLE, REFUSED (nothing listens), TIMEOUT; or
  // what Admit said.
  std::string reason;
  std::string message;  // for people: what happened, what to do
};

// Called on the thread that polls (HubOptions::owner_polls), OnDialFailed also on another; must not block.
class Handler {
 public:
  virtual ~Handler() = default;
  // Whether a peer that has proven the secret may link (identity rules beyond the hub's own).
  virtual RefusalInfo Admit(const Identity& peer, const std::string& certificate_name) = 0;
  // Another process asks for a link under the id of a linked peer. If the peer sends anything soon, it lives, and the other
  // is refused.
  virtual void OnContested(const NodeId&) {}
  // A peer that passed the handshake; the first of its links is up.
  virtual void OnUp(const Identity& peer) = 0;
  // The last link to the peer is gone.
  virtual void OnDown(const NodeId& peer, const std::string& why) = 0;
  // Dialling an address ended without a link.
  virtual void OnDialFailed(const std::string& address, const RefusalInfo& why) = 0;
  // We refused the one who dialled us from there; `name` is what it says it is, and may be empty or anything.
  virtual void OnRefused(const std::string& from, const std::string& name, const RefusalInfo& why);
  // A joiner holds this join token, which only this cluster can have made; `from`: where its connection comes from. The
  // token is to be used up by agreement: with an empty reason the joiner gets the secrets. `answer` is called once, on the thread that
  // polls, also after this returned.
  virtual void OnJoinToken(const Identity& joiner, const std::string& from, const ShownToken& token,
                           std::function<void(const RefusalInfo&)> answer);
  // Somebody who knows the secret asks for something without being a member. `answer` as above.
  virtual void OnErrand(const std::string& from, const wire::Errand& errand, std::function<void(const wire::ErrandAnswer&)> answer);
  // A token was shown that is none of this cluster.
  virtual void OnWrongToken(const std::string& from) { static_cast<void>(from); }
  // What came in one frame, in its order; at least one.
  virtual void OnMessages(const NodeId& from, std::vector<PeerMessage> messages) = 0;
};

struct HubOptions {
  std::string listen;  // host:port of the peer port; empty: does not accept
  Keyring keyring;     // the cluster's secrets
  TlsFiles tls;
  std::uint64_t queue_bytes = 64u << 20;               // bound of one peer's queue
  std::uint64_t message_bytes = 24u << 20;             // largest envelope accepted; a larger one ends the link
  std::uint64_t large_bytes = 64u << 10;               // messages with this much body take the second stream
  std::uint64_t frame_bytes = 1u << 20;                // a frame closes at this size
  std::chrono::milliseconds dial_timeout{1000};        // until a connection stands (name, TCP, TLS)
  std::chrono::milliseconds handshake_timeout{10000};  // until a stream is a link
  // The owner calls Hub::Poll, from one thread, which then runs the handler's calls too; otherwise the hub has a thread of its own.
  bool owner_polls = false;
  std::chrono::milliseconds keepalive{2000};  // a silent connection is asked after this, and given up after as long again
  // On each stream of a link something is said this often. A stream on which nothing came for as many beats as make `deaf_after` is
  // ended, though its connection lives. A frame that is still on its way is nothing yet: the stream of large values has four times as
  // long (5 MiB in a minute are 90 KB/s).
  std::chrono::milliseconds pulse{2000};
  std::chrono::milliseconds deaf_after{15000};
};

// What a hub has counted since its start; totals over all peers.
struct HubStats {
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_received = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bulk_messages_sent = 0;  // of these, on second streams
  std::uint64_t dropped_unlinked = 0;    // Send without a link
  std::uint64_t dropped_full = 0;        // Send to a full queue
  std::uint64_t dropped_oversize = 0;    // Send of more than message_bytes
  std::uint64_t dropped_at_end = 0;      // queued when the last link ended
  std::uint64_t oversize_received = 0;   // links ended for it
  std::uint64_t malformed_received = 0;  // links ended for it
  std::uint64_t broken_off = 0;          // links ended because a frame was missing, or none came any more
  std::uint64_t handshakes_refused = 0;  // by us, as acceptor or dialler
  std::uint64_t links = 0;               // now: first streams that are up
  std::uint64_t queued_bytes = 0;        // now: waiting or being written, all peers
};

class Poller;

// All links of a process. Thread-safe.
class Hub {
 public:
  // Binds and listens; throws std::runtime_error with a message for the operator (port in use, bad certificate, ...).
  static std::unique_ptr<Hub> Start(HubOptions options, Identity self, Handler* handler);
  virtual ~Hub() = default;

  // Connects to an address unless a dial to it is under way or a link to the member behind it is up. The name is
  // resolved anew at every dial. Ends in Handler::OnUp or OnDialFailed.
  virtual void Dial(const std::string& address) = 0;
  // Queues a message to a linked peer. False: no link, or its queue is full (the message is dropped and counted).
  virtual bool Send(const NodeId& to, PeerMessage message) = 0;
  // As Send, but the message may wait for the next Flush: all that one thread has to say at once leaves in one frame per
  // peer. Whoever queues must flush.
  virtual bool Queue(const NodeId& to, PeerMessage message) = 0;
  virtual void Flush() = 0;
  // With owner_polls, on the owner's one thread until Stop: runs what has happened on the links; waits at most until `until` for
  // the first of it, or for Wake.
  virtual void Poll(std::chrono::steady_clock::time_point until) = 0;
  // Ends a Poll that waits, or the next one.
  virtual void Wake() = 0;
  // What Poll polls, for others of the process that want their events on the same thread; theirs must be over before Stop.
  virtual Poller* poller() = 0;
  virtual bool Linked(const NodeId& peer) const = 0;
  // Ends all links to the peer.
  virtual void Drop(const NodeId& peer, const std::string& why) = 0;
  // Our identity changed (joined a cluster).
  virtual void SetIdentity(Identity self) = 0;
  // The secrets changed. Links that were made by one that is gone are made anew, and ended once that is done or after a moment.
  virtual void SetSecrets(Keyring keyring) = 0;
  // Port actually bound (listen may say port 0).
  virtual int port() const = 0;
  // Stops accepting, ends all links, joins its threads; no call of the handler afterwards. Not from a handler's call, and not
  // while the owner polls.
  virtual void Stop() = 0;
  virtual HubStats stats() const { return {}; }
};

// Who answers at an address, or why nobody does.
struct ProbeResult {
  std::optional<Identity> peer;
  RefusalInfo refusal;
};

// Asks who is at an address: a handshake and no more. Blocks for at most about `timeout`; not from a handler's call.
// The process may ask itself: compare the id. Throws std::runtime_error when our own TLS files are no good.
ProbeResult Probe(const std::string& address, const Keyring& keyring, const TlsFiles& tls, std::chrono::milliseconds timeout);

// As Probe, and has the member do something.
struct ErrandResult : ProbeResult {
  wire::ErrandAnswer answer;  // with a peer
};
ErrandResult RunErrand(const std::string& address, const Keyring& keyring, const TlsFiles& tls, const wire::Errand& errand,
                       std::chrono::milliseconds timeout);

// As Probe, but by a join token, which is used up by it: the cluster's secrets, or why not. `self`: name and address are told.
struct GrantResult : ProbeResult {
  Keyring granted;  // with a peer
};
GrantResult ShowJoinToken(const std::string& address, const JoinToken& token, const Identity& self, const TlsFiles& tls,
                          std::chrono::milliseconds timeout);

}  // namespace coffer::link
