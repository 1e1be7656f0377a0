// Who is there: SWIM with Lifeguard's refinements, as a machine that is fed.
//
// Sources: Das, Gupta, Motivala, "SWIM" (DSN 2002); Dadgar, Phillips, Currey, "Lifeguard" (DSN-W 2018).
// What it says is a hint. It triggers layout proposals and orders proposers; it never decides who may accept a write.
//
// Probes: every interval a few members, round-robin over a shuffled list, are pinged; one that does not answer is probed
// through others. A failed probe makes it suspect, which everybody hears, the suspect too: it refutes by raising its
// incarnation, or is dead when the suspicion's time is over (suspicion.h).
// News rides on probes (gossip_queue.h) and is sent at once to a few members besides; whole tables are exchanged when a link
// comes up, and now and then with a random member. Which of two beliefs wins is one total order (member_view.h), so every
// order of arrival ends in the same table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/member_view.h"
#include "cluster/message.h"
#include "cluster/queue_fill.h"
#include "cluster/random.h"

namespace coffer::cluster {

// Every interval of failure detection. Defaults are for up to 32 members on one LAN; Membership lengthens them as members come
// (Scaled), and shortens them again as they go.
//
// Price, per member and second, whatever the size: (1 s / probe_interval) * probes_per_interval pings and as many answers,
// both ways, 50 to 150 bytes each and at most max_updates_per_message pieces of news of about 120 bytes; while nothing
// changes there is no news. A push-pull is about 120 bytes per member each way.
struct MembershipConfig {
  Duration probe_interval = std::chrono::milliseconds(200);  // shorter: faster detection, more messages
  int probes_per_interval = 4;           // members probed each time; up to 5 members everybody probes everybody
  Duration probe_timeout = std::chrono::milliseconds(150);   // for the direct answer, then as long again through others
  int indirect_probes = 3;               // members asked to probe on our behalf; also confirmations that end a suspicion early
  Duration suspicion_min = std::chrono::milliseconds(1000);
  Duration suspicion_max = std::chrono::milliseconds(4000);
  // Time to refute for a member whose address refuses connections while nobody asked can reach it: its process is gone.
  Duration suspicion_refused = std::chrono::milliseconds(500);
  Duration gossip_interval = std::chrono::milliseconds(50);  // between extra messages while there is news
  int gossip_fanout = 3;                 // members told each time
  Duration push_pull_interval = std::chrono::seconds(10);
  Duration dead_retry_interval = std::chrono::seconds(1);   // how often a dead or unknown peer's address is tried again
  Duration dead_retry_long = std::chrono::seconds(5);       // the same after a minute, and for one that left
  int retransmit_multiplier = 4;       // an update is piggybacked multiplier * ceil(log10(n + 1)) times
  int max_updates_per_message = 16;
  int awareness_max = 8;               // Lifeguard: upper end of the local health multiplier
  std::size_t max_members = 8192;      // news of more is dropped and counted; a record takes some 200 bytes beside what its member says of itself
  Duration router_memory = std::chrono::hours(1);  // dead routers are forgotten after this; others only by Forget

  // Whoever chose these times by hand gets them, whatever the size.
  bool suspicion_min_chosen = false;
  bool suspicion_max_chosen = false;

  // What these times are for up to 32 members, for a cluster of this size: suspicion lengthens with the logarithm (news takes longer),
  // push-pull in proportion (tables get longer). Never shorter.
  MembershipConfig Scaled(std::size_t members) const;
};

// Something that changed, for the owner.
struct MembershipChange {
  NodeId id;
  Liveness state;
  // False: only what the member says of itself changed (epoch, load, address); the state is as it was.
  bool state_changed = true;
  // The member runs with a new boot counter: its process was started again, perhaps before anybody missed it.
  bool restarted = false;
};

// Two processes run with one id, or a data folder was restored from a backup. Gossip follows the newest boot (equal boots: the
// highest incarnation); what becomes of the processes is the owner's to decide (rule R8).
struct DuplicateId {
  NodeId id;
  std::string address;        // of the process that is not believed; for our own id: of the other one
  Boot boot;                  // and its boot counter
  std::string known_address;  // of the one that is believed; for our own id: ours
  Boot known_boot;
};

// What happened and what was dropped, since the start.
struct MembershipCounters {
  std::uint64_t malformed = 0;        // messages or updates with fields missing, of a wrong size or out of range
  std::uint64_t misdirected = 0;      // pings meant for another member
  std::uint64_t stale = 0;            // answers to a probe that is over, or from somebody who was not asked
  std::uint64_t unanswered = 0;       // probes and table requests not answered because of SetAnswering(false)
  std::uint64_t overflow = 0;         // news of members, probes for others or peers beyond a bound
  std::uint64_t news_dropped = 0;     // from the full gossip queue
  std::uint64_t duplicates = 0;       // sightings of two processes with one id
  std::uint64_t probes = 0;           // started
  std::uint64_t probes_failed = 0;
  std::uint64_t probes_indirect = 0;  // that needed the help of others
  std::uint64_t suspicions = 0;       // raised by ourselves
  std::uint64_t deaths = 0;           // declared by ourselves
  std::uint64_t refutations = 0;      // of suspicions against us
  std::uint64_t stalls = 0;           // times we were called much too late
};

// Feeds on ticks and messages; says what to send. Single-threaded; owned by one driver. Moveable.
//
// The driver calls Tick no later than NextDeadline. A call that comes late by more than probe_timeout is taken for a pause of
// our own process: probes under way are abandoned and suspicions wait longer, so that a resumed process does not accuse others of
// its own absence. (A test that leaps over deadlines sees this too: step from deadline to deadline.)
class Membership {
 public:
  // `self` has id, name, address, role, boot; `incarnation` must be higher than any used before (the boot counter shifted left
  // 20 bits does).
  Membership(MembershipConfig config, wire::MemberFacts self, Incarnation incarnation, std::uint64_t seed, Instant now);

  struct Output {
    std::vector<Outgoing> send;                // to members by id, never to ourselves; lost without a link, and that is fine
    std::vector<std::string> dial;             // addresses to which a link should be (re)tried
    std::vector<MembershipChange> changes;
    std::vector<DuplicateId> duplicates;       // each process reported once
  };

  // Everything due by `now`.
  Output Tick(Instant now);
  // Ping, PingAck, PingRequest, PingNack or PushPull from a linked peer; anything else is counted as malformed.
  Output Receive(Instant now, const NodeId& from, const wire::Peer& message);
  // A link to the peer came up (also the first contact with it): a push-pull follows.
  Output LinkUp(Instant now, const NodeId& peer);
  // A link broke, or dialling the peer was refused: evidence that hastens suspicion (a killed process is known cluster-wide
  // within a second). The address is dialled again at once after a break. Refused means that nothing listens there; a dial
  // that timed out is not refused.
  Output LinkDown(Instant now, const NodeId& peer, bool refused);
  // As LinkDown for every member at this address that has no link; for owners that know only what they dialled.
  Output DialFailed(Instant now, const std::string& address, bool refused);
  // New facts about ourselves (load, epoch, fullness); spread with a raised incarnation only when `urgent` or when epoch,
  // address or a refusal of writes changed (otherwise they ride along with the next push-pull or refutation).
  Output UpdateSelf(Instant now, const wire::MemberFacts& facts, bool urgent);
  // Probes are answered only while this is true: a node whose disk hangs falls silent (rule R9). Nor does it refute, until the
  // first Tick after it is true again.
  void SetAnswering(bool answering);
  // Leaves: says so to everybody; `Tick` goes on until the owner stops. From then on nobody is probed or accused.
  Output Leave(Instant now);
  // Peers remembered from an earlier run: known, not alive; dialled until they answer. Facts without an id are addresses to
  // start from, tried until a member there is known (at most 256).
  Output Remember(Instant now, const std::vector<wire::MemberFacts>& peers);
  // Drops a member that was forgotten by the layout. Old news of it is ignored; it is a member again once it speaks with a
  // higher incarnation.
  void Forget(const NodeId& id);

  // When Tick has something to do.
  Instant NextDeadline() const;

  // All members including ourselves, by id. An immutable snapshot, safe to hand to other threads; made anew, which costs a copy of
  // the table, when it is asked for after a change.
  using View = std::map<NodeId, MemberView>;
  std::shared_ptr<const View> view() const;
  bool IsAlive(const NodeId& id) const;     // alive or ourselves
  bool IsSuspected(const NodeId& id) const; // suspect, dead, left or unknown
  // Lifeguard's local health multiplier: 0 is healthy.
  int awareness() const;
  MembershipCounters counters() const;
  void VisitQueues(const QueueVisitor& visit) const;

  Membership(Membership&&) noexcept;
  Membership& operator=(Membership&&) noexcept;
  ~Membership();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coffer::cluster
