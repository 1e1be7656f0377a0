// How layouts are agreed: one single-decree Paxos instance per epoch, whose acceptors are the voters of the epoch before.
//
// Lamport, "Paxos Made Simple" (2001); reconfiguration by naming the next instance's acceptors in the value decided.
// Section "Agreeing on a layout" of docs/protocol.md (A1 ...). No I/O: what must be durable before an answer leaves is said
// in the output. Three machines make it up: the voter (acceptor.h), the proposer (proposer.h), and who is told of a
// decided layout or asked for one (layout_spread.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/acceptor.h"
#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/message.h"
#include "cluster/queue_fill.h"

namespace coffer::cluster {

// What was dropped, since the start, and why.
struct AgreementCounters {
  std::uint64_t malformed = 0;           // fields missing, of a wrong size or out of range; layouts that can't be read
  std::uint64_t stale = 0;               // answers to another ballot, boot or instance than the present attempt
  std::uint64_t foreign = 0;             // layouts of another cluster
  std::uint64_t not_voter = 0;           // asked for a vote we do not have, or answered by one who has none
  std::uint64_t unknown_instance = 0;    // asked about an epoch whose predecessor we do not know yet: we pull it instead
  std::uint64_t disk_behind = 0;         // asked for a vote while as many votes as there is room for wait for the disk
  std::uint64_t conflicting = 0;         // a layout of our epoch with other bytes than ours: only `layout force` can make one
};

// The voter and the proposer of one member. Single-threaded; owned by one driver. Moveable.
//
// How to drive it. After every call, in this order:
//  1. if `persist`: take a copy of state() as it is now and start to make it durable. Persists may overlap but must become
//     durable in order; when one is durable, send its `after_persist`, make its `adopted` effective, and call Persisted()
//     exactly once, whose output is handled like any other;
//  2. send `now` at once; look at `proposal_ended`.
// A persist that fails is a fail-stop: nothing of its `after_persist` may ever be sent.
// Messages to ourselves never appear in an output: our own vote counts from the Persisted() that made it durable.
class Agreement {
 public:
  struct Output {
    bool persist = false;
    std::vector<Outgoing> after_persist;  // empty unless `persist`
    std::vector<Outgoing> now;
    // A layout was learned to be decided and is adopted: effective for the owner only once `persist`, then true, is done.
    std::shared_ptr<const Layout> adopted;
    // Our own proposal ended: decided as proposed (true), or overtaken / refused / timed out (false, with why).
    std::optional<bool> proposal_ended;
    std::string why;  // for people
  };

  // `self` may be outside the layout; then it learns but neither votes nor proposes. `boot` marks our messages.
  // Throws std::runtime_error, with what to do, if the recovered layout can't be read.
  Agreement(NodeId self, Boot boot, AgreementState recovered, std::uint64_t seed);
  ~Agreement();
  Agreement(Agreement&&) noexcept;
  Agreement& operator=(Agreement&&) noexcept;

  // Prepare, Promise, Accept, Accepted, LayoutPush, LayoutPull; anything else and anything malformed is counted and dropped.
  Output Receive(Instant now, const NodeId& from, const wire::Peer& message);
  // The oldest persist that was asked for and not yet reported is durable.
  Output Persisted(Instant now);
  // Starts to propose `next` as the successor of the current layout. One proposal at a time: a later call with another
  // layout replaces an unfinished one (whose end is then not reported; it may still be decided, and is then adopted), the
  // same layout again changes nothing. Ends at once (proposal_ended = false) when it is illegal or we are no voter.
  Output Propose(Instant now, const Layout& next);
  // Gives up the proposal under way, if there is one: its wish is out of date (proposal_ended = false). It may still be decided.
  Output Withdraw(Instant now);
  // Retries and time-outs; due at NextDeadline(), harmless at any other time.
  Output Tick(Instant now);
  // Adopts a layout known to be decided, or the first layout of a cluster that is being formed (which the owner announces
  // to nobody before it is durable). Nothing happens unless it is newer than ours and of our cluster.
  Output Adopt(Instant now, std::string_view layout_bytes);
  // A peer's epoch, seen in gossip or in a refusal. If higher, pulls; if lower, pushes ours after a short random wait in
  // which others may have been faster. Call it at every sighting: repeats cost nothing, and are how we learn that a
  // peer has what it was told.
  Output PeerEpoch(Instant now, const NodeId& peer, Epoch epoch);

  bool proposing() const;
  // Whether the present attempt asks for acceptance, so that what it proposes can't be replaced any more.
  bool accepting() const;
  Instant NextDeadline() const;
  // What has to be durable; includes changes whose persist is still under way.
  const AgreementState& state() const;
  // The highest layout adopted, effective or not; null before the first.
  std::shared_ptr<const Layout> layout() const;
  // 0 before the first layout.
  Epoch epoch() const;
  const AgreementCounters& counters() const;
  void VisitQueues(const QueueVisitor& visit) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coffer::cluster
