// Internal to membership*.cc: what Membership remembers, and how its parts call each other.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/gossip_queue.h"
#include "cluster/id_map.h"
#include "cluster/member_record.h"
#include "cluster/membership.h"
#include "cluster/probe_order.h"
#include "cluster/retry_schedule.h"
#include "cluster/suspicion_set.h"

namespace coffer::cluster {

// Every public call of Membership enters by Enter, fills `out` through the methods below, and leaves by Exit.
struct Membership::State {
  // Bounds.
  static constexpr std::size_t kMaxQueued = 8192;     // pieces of news, of about 120 bytes each
  static constexpr std::size_t kMaxRelays = 1024;     // probes under way for others
  static constexpr std::size_t kMaxSeeds = 256;
  static constexpr std::size_t kMaxForgotten = 1024;
  static constexpr std::size_t kMaxReported = 1024;   // duplicates
  static constexpr std::size_t kRetryBatch = 32;
  static constexpr std::size_t kLarge = 64;                  // from so many members on, what costs in proportion to them is avoided
  static constexpr Duration kRetryGap = std::chrono::milliseconds(100);
  static constexpr Duration kLongDead = std::chrono::minutes(1);

  // A probe of ours. At most one per target.
  struct Probe {
    NodeId target;
    Instant ask_others{};         // kNever once they were asked
    Instant deadline{};           // then it has failed
    std::set<NodeId> helpers;     // asked
    std::set<NodeId> nacked;      // of those: answered that they can't reach it either
  };
  // A probe for another member, under the number of our own ping.
  struct Relay {
    NodeId requester;
    std::uint64_t requester_sequence = 0;
    NodeId target;
    Instant nack{};               // kNever once it was sent
    Instant deadline{};
  };
  // What we know of the way to a peer; gossip does not carry it.
  static constexpr Instant kNotSent = Instant::min();
  struct Path {
    bool linked = false;
    bool refused = false;         // the last dial was refused, and no link came up since
    Instant table_sent = kNotSent;
  };

  const MembershipConfig chosen;         // by the owner
  MembershipConfig config;               // the same for the present size
  std::size_t scaled_for = 1;
  NodeId self;
  Random random;

  const std::shared_ptr<FactsPool> pool = FactsPool::OfScope();  // may be null
  IdMap<MemberRecord> members;             // with ourselves
  SuspicionSet suspicions;               // one per suspect member; none while we leave
  IdMap<Path> paths;                     // of members and linked peers
  std::map<NodeId, MemberRecord> forgotten;
  std::set<std::string> seeds;
  ProbeOrder order;                      // alive and suspect members but ourselves
  std::map<std::uint64_t, Probe> probes;
  std::map<std::uint64_t, Relay> relays;
  GossipQueue queue{kMaxQueued};
  RetrySchedule retries{kRetryBatch, kRetryGap};  // peers that are not alive or not linked
  std::set<std::string> reported;        // duplicates, by id, boot and address
  MembershipCounters counts;

  std::uint64_t last_sequence = 0;
  int awareness = 0;
  bool answering = true;
  bool facts_changed = false;            // ours differ from what others were told under this incarnation
  std::optional<Incarnation> accused_at; // of us, not refuted yet because we do not answer
  bool leaving = false;
  bool quiet = false;                    // what is learned now is no news to others

  Instant called{};                      // time of the last call
  Instant next_probe{};
  Instant next_push_pull{};
  Duration drawn_for{};                  // the interval for which it was drawn at random last
  Instant next_gossip = kNever;          // kNever: no news, or nobody to tell
  Instant next_seed_dial = kNever;
  Instant last_gossip{};
  Instant next_reaping{};

  Output out;
  bool dirty = true;                     // `view` is older than `members`, or not there yet
  std::shared_ptr<const View> view;

  State(MembershipConfig c, wire::MemberFacts facts, Incarnation incarnation, std::uint64_t seed, Instant now);

  // membership.cc
  void Enter(Instant now);
  Output Exit(Instant now);
  void Rescale(Instant now);
  Instant NextTimer() const;
  Instant NextDeadline() const;
  MemberRecord& Own() { return members.at(self); }
  const MemberRecord* Find(const NodeId& id) const;
  bool IsMemberAlive(const NodeId& id) const;
  bool IsLinked(const NodeId& id) const;
  static bool Counts(Liveness state) { return state == Liveness::kAlive || state == Liveness::kSuspect; }
  std::size_t Size() const { return order.size() + 1; }  // members that count: alive, suspect, ourselves
  void Send(const NodeId& to, wire::Peer message);
  void Dial(const std::string& address);
  std::vector<NodeId> PickLinked(std::size_t count, const NodeId& except, bool also_suspects);
  std::vector<NodeId> DrawLinked(std::size_t count, const NodeId& except, bool also_suspects);

  // membership_probing.cc
  void TickProbes(Instant now);
  void StartProbe(Instant now, const NodeId& target);
  Probe* FindProbe(const NodeId& target, std::uint64_t* sequence);
  void SendPing(const NodeId& target, std::uint64_t sequence);
  void AskOthers(Instant now, std::uint64_t sequence, Probe* probe);
  void ConcludeIfHopeless(Instant now, const NodeId& target);
  void FailProbe(Instant now, std::uint64_t sequence);
  void OnPing(Instant now, const NodeId& from, const wire::Ping& m);
  void OnPingRequest(Instant now, const NodeId& from, const wire::PingRequest& m);
  void OnPingAck(Instant now, const NodeId& from, const wire::PingAck& m);
  void OnPingNack(Instant now, const NodeId& from, const wire::PingNack& m);
  void Nack(Relay* relay);
  void PathOpened(const NodeId& peer);
  void PathClosed(Instant now, const NodeId& peer);

  // membership_news.cc
  void Merge(Instant now, const NodeId& from, const wire::MemberUpdate& wire, bool whole_table);
  void MergeOwn(Instant now, const NodeId& from, const MemberNews& update);
  void Introduce(Instant now, const MemberNews& update);
  void Adopt(Instant now, const MemberNews& update, bool whole_table);
  void StateChanged(Instant now, const NodeId& id, const NodeId& accuser, bool counted);
  void Correct(const NodeId& to, const NodeId& id);
  void Suspect(Instant now, const NodeId& id, const NodeId& accuser);
  void Confirm(Instant now, const NodeId& id, const NodeId& accuser);
  void DeclareDead(Instant now, const NodeId& id);
  void Refute(Instant now, Incarnation accused);
  void RaiseIncarnation();
  void News(Instant now, const NodeId& id);
  void TickGossip(Instant now);
  int TransmitLimit() const;
  NodeId AccuserOf(const NodeId& id) const;
  wire::MemberUpdate UpdateOf(const NodeId& id) const;
  template <class Message>
  void Piggyback(Message* message);
  void TickSuspicions(Instant now);
  void ReportDuplicate(const NodeId& id, const MemberRecord& other, const MemberRecord& known);
  void Reap(Instant now);

  // membership_links.cc
  void SendTable(Instant now, const NodeId& to, bool answer);
  void OnPushPull(Instant now, const NodeId& from, const wire::PushPull& m);
  void TickPushPull(Instant now);
  void TickRetries(Instant now);
  void Retry(Instant now, const NodeId& peer);
  void ScheduleRetry(Instant now, const NodeId& peer, bool at_once);
  bool IsReachedElsewhere(const NodeId& id, const std::string& address) const;
  void DialSeeds(Instant now);
};

template <class Message>
void Membership::State::Piggyback(Message* message) {
  if (queue.empty()) return;
  for (const MemberNews& news : queue.Take(static_cast<std::size_t>(config.max_updates_per_message), TransmitLimit())) {
    *message->add_updates() = WriteUpdate(news.record, news.accuser);
  }
}

}  // namespace coffer::cluster
