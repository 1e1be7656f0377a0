// Which of our peers run on the data folder we remember of them, and whether our own is the one they remember (rule R8).
//
// A member that starts is *cleared* once every other member of the layout it recovered has accepted its lineage, or did not
// answer in time; until then it makes no promise and no layout takes effect. A peer's word counts once the peer is cleared and
// its mark is *noted*: durable here. So whoever took part in anything a member did remembers a mark from that time, and an
// older copy of its folder is refused by him.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/lineage.h"
#include "node/core/context.h"

namespace coffer::node {

class Introductions {
 public:
  // How long a starting member waits for those who have not answered: R8.4.
  static constexpr Duration kPatience = std::chrono::seconds(5);
  // How often the mark rises while promises are made: R8.6.
  static constexpr Duration kStep = std::chrono::seconds(10);

  struct Hooks {
    // We may act from now on. Called once.
    std::function<void()> cleared;
    // The link to a peer counts from now on: each side has noted the other.
    std::function<void(const NodeId&)> established;
    // Name of a member of the recovered layout, which is not effective yet.
    std::function<std::string(const NodeId&)> name_of;
  };
  Introductions(Context& context, Hooks hooks) : ctx_(context), hooks_(std::move(hooks)) {}

  // `judges`: the other members of the layout that was recovered; none: cleared at once.
  void Start(std::set<NodeId> judges);
  // `has_folder`: false for a router, which promises nothing.
  void OnLinkUp(const NodeId& peer, bool has_folder);
  void OnLinkDown(const NodeId& peer) { peers_.erase(peer); }
  void OnIntroduction(const NodeId& from, const wire::Introduction& introduction);
  void OnAnswer(const NodeId& from, const wire::IntroductionAnswer& answer);
  // Says again who we are: a process that lives answers. For a peer whose life is in doubt.
  void Ask(const NodeId& peer);
  // A layout is effective: whom it gave up is refused.
  void OnLayout();
  void Tick();
  Instant NextDeadline() const { return next_look_; }

  // Whether a message of this kind may be heard, coming from this peer now.
  bool Admits(const NodeId& from, wire::Peer::KindCase kind) const;
  bool cleared() const { return cleared_; }
  void VisitQueues(const QueueVisitor& visit) const;

 private:
  struct Peer {
    bool linked = false;
    bool has_folder = true;
    bool noted = false;        // cleared, and its mark is durable here
    bool knows_us = false;     // has noted our running start
    bool established = false;  // said so
    Instant asked{};
  };
  void Introduce(const NodeId& to, bool wanted);
  void Note(const NodeId& peer, const cluster::FolderMark& mark);
  void FlushNotes();
  void Noted(const NodeId& peer, const cluster::FolderMark& mark);
  void Answer(const NodeId& to, const cluster::FolderMark& mark, bool cleared);
  void Refuse(const NodeId& peer, const cluster::FolderMark& mark, const cluster::FolderMark& remembered, const std::string& why);
  void RefuseForcedOut(const NodeId& peer, const cluster::FolderMark& mark, Epoch epoch);
  void Establish(const NodeId& peer);
  void Clear();
  void RaiseStep();
  void Prune();
  const cluster::FolderMark& Own() const { return ctx_.durable.lineage.back(); }

  Context& ctx_;
  const Hooks hooks_;
  std::map<NodeId, Peer> peers_;
  std::set<NodeId> judges_;             // have not accepted us yet
  std::set<NodeId> knowing_;            // have noted our running start
  std::vector<std::pair<NodeId, cluster::FolderMark>> notes_waiting_;  // in memory, not yet durable
  bool notes_in_flight_ = false;
  bool cleared_ = false;
  Instant patience_ends_ = kNever;
  Instant next_look_{};
  Instant next_step_{};
  std::uint64_t promises_seen_ = 0;     // ctx_.promises when the step last rose
  std::uint64_t durable_step_ = 0;  // of the running start: the step that others may be told
};

}  // namespace coffer::node
