#include "node/core/introductions.h"

#include <algorithm>
#include <utility>

#include "cluster/rule_mark.h"

namespace coffer::node {
namespace {

using cluster::FolderMark;

constexpr Duration kLook = std::chrono::milliseconds(250);
constexpr Duration kAskAgain = std::chrono::milliseconds(500);
constexpr Duration kAnswerWanted = std::chrono::milliseconds(100);
// Members that were seen; those of the layout are never dropped for others.
constexpr std::size_t kMaxRemembered = 8192;

void SetMark(const FolderMark& mark, wire::FolderMark* out) {
  out->set_boot(mark.boot.value);
  out->set_nonce(mark.nonce.str());
  out->set_step(mark.step);
}

std::optional<FolderMark> ReadMark(const wire::FolderMark& wire) {
  const auto nonce = cluster::BootNonce::From(wire.nonce());
  if (!nonce || wire.boot() == 0) return std::nullopt;
  return FolderMark{Boot(wire.boot()), *nonce, wire.step()};
}

// Nothing if it is empty, too long, or has a gap.
std::optional<cluster::Lineage> ReadLineage(const wire::Introduction& introduction) {
  cluster::Lineage lineage;
  if (introduction.lineage().empty() || introduction.lineage_size() > static_cast<int>(cluster::kMaxLineage)) return std::nullopt;
  for (const auto& entry : introduction.lineage()) {
    const auto mark = ReadMark(entry);
    if (!mark || (!lineage.empty() && mark->boot != lineage.back().boot.Next())) return std::nullopt;
    lineage.push_back(*mark);
  }
  return lineage;
}

// What a router may say, too.
bool IsForAnyone(wire::Peer::KindCase kind) {
  using K = wire::Peer::KindCase;
  switch (kind) {
    case K::kPing: case K::kPingAck: case K::kPingRequest: case K::kPingNack: case K::kPushPull:
    case K::kLayoutPush: case K::kLayoutPull:
    case K::kDataRequest: case K::kNodeReportRequest: case K::kLayoutChangeRequest:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Introductions::Start(std::set<NodeId> judges) {
  judges_ = std::move(judges);
  durable_step_ = ctx_.durable.lineage.back().step;
  patience_ends_ = ctx_.now + kPatience;
  next_step_ = ctx_.now + kStep;
  if (judges_.empty()) Clear();
}

// Of each member once.
void Introductions::VisitQueues(const QueueVisitor& visit) const {
  visit({"folders of members that are remembered", ctx_.durable.remembered.size(), kMaxRemembered});
  visit({"folders of members that are to be remembered", notes_waiting_.size(), ctx_.durable.remembered.size()});
  visit({"starts of this folder", ctx_.durable.lineage.size(), cluster::kMaxLineage});
}

bool Introductions::Admits(const NodeId& from, wire::Peer::KindCase kind) const {
  using K = wire::Peer::KindCase;
  if (kind == K::kIntroduction || kind == K::kIntroductionAnswer) return true;
  if (!cleared_ && kind == K::kLayoutPush) {
    RULE("R8.4 no layout");
    return false;
  }
  const auto it = peers_.find(from);
  if (it == peers_.end() || !it->second.has_folder) return IsForAnyone(kind);
  return cleared_ && it->second.noted;
}

// ---- Ourselves

void Introductions::OnLinkUp(const NodeId& peer, bool has_folder) {
  Peer& p = peers_[peer];
  p.linked = true;
  p.has_folder = has_folder;
  if (!has_folder) return hooks_.established(peer);
  Introduce(peer, /*wanted=*/false);
  Establish(peer);
}

void Introductions::Ask(const NodeId& peer) {
  if (peers_.contains(peer)) Introduce(peer, /*wanted=*/false);
}

void Introductions::Introduce(const NodeId& to, bool wanted) {
  wire::Peer message;
  auto* introduction = message.mutable_introduction();
  for (const FolderMark& mark : ctx_.durable.lineage) SetMark(mark, introduction->add_lineage());
  // A mark is told only once it is durable: else a crash would make us older than what we told.
  introduction->mutable_lineage()->rbegin()->set_step(durable_step_);
  introduction->set_cleared(cleared_);
  introduction->set_wanted(wanted);
  peers_[to].asked = ctx_.now;
  ctx_.Send(to, std::move(message));
}

void Introductions::OnAnswer(const NodeId& from, const wire::IntroductionAnswer& answer) {
  const auto mark = ReadMark(answer.mark());
  const auto it = peers_.find(from);
  if (it == peers_.end() || !mark || mark->boot != Own().boot || mark->nonce != Own().nonce) {
    ++ctx_.counters.dropped;
    return;
  }
  if (answer.forced_out() != 0) return ctx_.Retire(cluster::WhyRetired(Epoch(answer.forced_out())));
  if (answer.has_remembered()) {
    return ctx_.Retire("The data folder of this node is an old copy: " + hooks_.name_of(from) + " refuses it (" + answer.refusal() +
                       "). What it may have forgotten is on the other nodes; nothing was served from it.");
  }
  judges_.erase(from);
  if (answer.cleared()) {
    it->second.knows_us = true;
    knowing_.insert(from);
    Prune();
  }
  if (!cleared_ && judges_.empty()) return Clear();
  Establish(from);
}

void Introductions::Clear() {
  if (!judges_.empty()) {
    RULE("R8.4 after 5 s");
    std::string silent;
    for (const NodeId& id : judges_) silent += (silent.empty() ? "" : ", ") + hooks_.name_of(id);
    ctx_.Info("goes on without " + silent + ", which did not answer since the start");
  }
  cleared_ = true;
  judges_.clear();
  hooks_.cleared();
  for (const auto& [id, peer] : peers_) {
    if (peer.linked && peer.has_folder) Introduce(id, /*wanted=*/!peer.noted);
  }
}

void Introductions::RaiseStep() {
  if (!cleared_ || ctx_.now < next_step_ || ctx_.promises == promises_seen_) return;
  promises_seen_ = ctx_.promises;
  next_step_ = ctx_.now + kStep;
  RULE("R8.6");
  ++ctx_.durable.lineage.back().step;
  ctx_.PersistQuietly([this, step = ctx_.durable.lineage.back().step] {
    durable_step_ = step;
    for (const auto& [id, peer] : peers_) {
      if (peer.linked && peer.has_folder) Introduce(id, /*wanted=*/false);
    }
  });
}

// Once everybody remembers the running start, nobody asks about an older one.
void Introductions::Prune() {
  if (ctx_.durable.lineage.size() == 1 || !ctx_.layout) return;
  for (const auto& member : ctx_.layout->members) {
    if (member.id != ctx_.self && !knowing_.contains(member.id)) return;
  }
  RULE("R8.7");
  ctx_.durable.lineage.erase(ctx_.durable.lineage.begin(), ctx_.durable.lineage.end() - 1);
  ctx_.PersistQuietly([] {});
}

void Introductions::Tick() {
  if (ctx_.now < next_look_) return;
  next_look_ = ctx_.now + kLook;
  if (!cleared_ && ctx_.now >= patience_ends_) Clear();
  for (const auto& [id, peer] : peers_) {
    const bool done = peer.established || !peer.linked || !peer.has_folder;
    if (!done && ctx_.now - peer.asked >= kAskAgain) Introduce(id, /*wanted=*/!peer.noted);
  }
  RaiseStep();
}

// ---- Others

void Introductions::OnIntroduction(const NodeId& from, const wire::Introduction& introduction) {
  const auto lineage = ReadLineage(introduction);
  if (!lineage) {
    ++ctx_.counters.dropped;
    return;
  }
  Peer& peer = peers_[from];
  FolderMark mark = lineage->back();
  if (const auto forced = ctx_.layout ? ctx_.layout->RetiredAt(from) : std::nullopt) return RefuseForcedOut(from, mark, *forced);
  const auto seen = ctx_.durable.remembered.find(from);
  if (seen != ctx_.durable.remembered.end()) {
    if (const auto why = cluster::WhyNotContinued(*lineage, seen->second)) return Refuse(from, mark, seen->second, *why);
  }
  if (seen != ctx_.durable.remembered.end() && seen->second.boot == mark.boot) mark.step = std::max(mark.step, seen->second.step);
  if (introduction.wanted() && ctx_.now - peer.asked >= kAnswerWanted) Introduce(from, /*wanted=*/false);
  if (!introduction.cleared()) {
    RULE("R8.5");
    return Answer(from, mark, false);
  }
  Note(from, mark);
}

void Introductions::Refuse(const NodeId& from, const FolderMark& mark, const FolderMark& remembered, const std::string& why) {
  RULE("R8.1");
  peers_[from].noted = false;
  ctx_.Event(NodeEvent::Level::kError, hooks_.name_of(from) + " runs on an old copy of its data folder and is refused: " + why +
                                           ". It comes back under a new id and is filled from the others.");
  wire::Peer message;
  auto* answer = message.mutable_introduction_answer();
  SetMark(mark, answer->mutable_mark());
  SetMark(remembered, answer->mutable_remembered());
  answer->set_refusal(why);
  ctx_.Send(from, std::move(message));
}

void Introductions::RefuseForcedOut(const NodeId& from, const FolderMark& mark, Epoch epoch) {
  RULE("R8.9");
  peers_[from].noted = false;
  ctx_.Event(NodeEvent::Level::kError, Short(from) + " was given up by `layout force` with epoch " + std::to_string(epoch.value) +
                                           " and is refused. It comes back under a new id and is filled from the others.");
  wire::Peer message;
  auto* answer = message.mutable_introduction_answer();
  SetMark(mark, answer->mutable_mark());
  answer->set_forced_out(epoch.value);
  answer->set_refusal(cluster::WhyRetired(epoch));
  ctx_.Send(from, std::move(message));
}

// Whoever was given up while its link stood is heard no longer, and told when it introduces itself.
void Introductions::OnLayout() {
  for (auto& [id, peer] : peers_) {
    if (!peer.has_folder || !ctx_.layout->RetiredAt(id)) continue;
    peer.noted = peer.established = false;
    Introduce(id, /*wanted=*/true);
  }
}

void Introductions::Note(const NodeId& from, const FolderMark& mark) {
  auto& remembered = ctx_.durable.remembered;
  const auto seen = remembered.find(from);
  const auto waiting = std::find_if(notes_waiting_.begin(), notes_waiting_.end(), [&](const auto& n) { return n.first == from; });
  if (seen != remembered.end() && seen->second == mark && waiting == notes_waiting_.end() && !notes_in_flight_) return Noted(from, mark);
  if (seen == remembered.end() && remembered.size() >= kMaxRemembered) {
    const auto stranger = std::find_if(remembered.begin(), remembered.end(), [&](const auto& entry) {
      return !ctx_.layout || ctx_.layout->IndexOf(entry.first) == cluster::kNoMember;
    });
    if (stranger == remembered.end()) return;
    remembered.erase(stranger);
  }
  remembered[from] = mark;
  // One of each: while the disk stands still a peer may introduce itself again and again.
  if (waiting != notes_waiting_.end()) waiting->second = mark;
  else notes_waiting_.emplace_back(from, mark);
  FlushNotes();
}

// One durable step for all that came meanwhile.
void Introductions::FlushNotes() {
  if (notes_in_flight_ || notes_waiting_.empty()) return;
  notes_in_flight_ = true;
  ctx_.PersistQuietly([this, notes = std::exchange(notes_waiting_, {})] {
    notes_in_flight_ = false;
    for (const auto& [peer, mark] : notes) Noted(peer, mark);
    FlushNotes();
  });
}

void Introductions::Noted(const NodeId& from, const FolderMark& mark) {
  const auto it = peers_.find(from);
  if (it == peers_.end()) return;
  // Another start of it may have introduced itself since.
  const auto latest = ctx_.durable.remembered.find(from);
  if (latest == ctx_.durable.remembered.end() || latest->second.nonce != mark.nonce) return;
  it->second.noted = true;
  Answer(from, mark, true);
  Establish(from);
}

void Introductions::Answer(const NodeId& to, const FolderMark& mark, bool cleared) {
  wire::Peer message;
  auto* answer = message.mutable_introduction_answer();
  SetMark(mark, answer->mutable_mark());
  answer->set_cleared(cleared);
  ctx_.Send(to, std::move(message));
}

void Introductions::Establish(const NodeId& peer) {
  Peer& p = peers_[peer];
  if (p.established || !cleared_ || !p.linked || !p.noted || !p.knows_us) return;
  RULE("R8.3");
  p.established = true;
  hooks_.established(peer);
}

}  // namespace coffer::node
