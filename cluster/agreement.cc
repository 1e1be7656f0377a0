#include "cluster/agreement.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <utility>

#include "cluster/ballot_message.h"
#include "cluster/layout_delta.h"
#include "cluster/layout_spread.h"
#include "cluster/proposer.h"
#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"
#include "cluster/sha256.h"

namespace coffer::cluster {
namespace {

// Under way at once, from which on no vote is given and no proposal begun: each holds a copy of the state, and while the disk stands
// still others go on asking.
constexpr std::size_t kMostPersists = 64;
// What a proposal that is under way then may add, and what is learned.
constexpr std::size_t kPersistsBesides = 64;

PeerMessage Wrap(wire::Peer peer) { return {.header = std::move(peer)}; }

}  // namespace

// The composition. Every public call fills `out` through the handlers below and ends with Finish.
struct Agreement::Impl {
  const NodeId self;
  const Boot boot;
  Acceptor acceptor;
  Proposer proposer;
  std::shared_ptr<const Layout> wish;  // whose bytes are proposer.own(); null: none
  LayoutSpread spread;
  LayoutHistory history;
  AgreementCounters counters;
  Output out;
  std::vector<wire::Peer> to_self;               // answers of our acceptor to our proposer, made in this call
  std::deque<std::vector<wire::Peer>> persists;  // under way, oldest first: the answers to ourselves each will release

  Impl(NodeId self_id, Boot boot_counter, AgreementState recovered, Random seeds)
      : self(self_id),
        boot(boot_counter),
        acceptor(std::move(recovered)),
        proposer(seeds.Next()),
        spread(seeds.Next(), acceptor.epoch()) {}

  Epoch epoch() const { return acceptor.epoch(); }
  bool IsSelfVoter() const { return acceptor.layout() && acceptor.layout()->IsVoter(self); }

  void Dispatch(Instant now, const NodeId& from, const wire::Peer& message);
  void OnPrepare(Instant now, const NodeId& from, const wire::Prepare& m);
  void OnAccept(Instant now, const NodeId& from, const wire::Accept& m);
  void OnPromise(Instant now, const NodeId& from, const wire::Promise& m);
  void OnAccepted(Instant now, const NodeId& from, const wire::Accepted& m);
  void OnLayoutPush(Instant now, const NodeId& from, const wire::LayoutPush& m);
  void OnLayoutPull(Instant now, const NodeId& from, const wire::LayoutPull& m);

  bool IsOurInstance(Instant now, const NodeId& from, Epoch asked);
  bool IsPresentAttempt(std::uint64_t asked_epoch, const Ballot& ballot, std::uint64_t asked_boot) const;
  void DropStale();
  enum class Adoption { kAdopted, kNotNewer, kUnusable };
  Adoption Adopt(std::string_view bytes, std::shared_ptr<const Layout> read = nullptr);
  void Learn(Instant now, const NodeId& from, std::string_view bytes, std::shared_ptr<const Layout> read = nullptr);
  void LearnFrom(Instant now, const NodeId& from, const wire::LayoutDelta& delta);
  void Decided(Instant now);

  void Do(Instant now, Proposer::Step step);
  void AskForPromises(Instant now);
  void AskForAcceptance(Instant now);
  void EndProposal(bool as_proposed, std::string why);

  void Answer(const NodeId& to, wire::Peer message, const Acceptor::Answer& answer);
  void Push(Instant now, const NodeId& to, Epoch have, bool whole = false);
  void SendLayout(const NodeId& to, Epoch have, bool whole);
  void SayWhatWeHave(const NodeId& to, std::vector<Outgoing>* when, bool whole = false);
  template <class Send>
  void ForEachOtherVoter(Send send) const;
  Output Finish(Instant now);
};

// --- Voting -----------------------------------------------------------------------------------------------------------

// Whether we can vote on this epoch. Otherwise does what brings the two of us together.
bool Agreement::Impl::IsOurInstance(Instant now, const NodeId& from, Epoch asked) {
  if (asked <= epoch()) {
    RULE("A4");
    Push(now, from, Epoch(asked.value - 1));
    return false;
  }
  spread.Seen(now, from, Epoch(asked.value - 1));
  if (asked > epoch().Next()) {
    RULE("A3");
    ++counters.unknown_instance;
    return false;
  }
  if (!IsSelfVoter()) {
    ++counters.not_voter;
    return false;
  }
  return true;
}

void Agreement::Impl::OnPrepare(Instant now, const NodeId& from, const wire::Prepare& m) {
  const auto ballot = ReadBallot(m.ballot());
  if (!ballot || ballot->node != from || m.epoch() == 0) {
    ++counters.malformed;
    return;
  }
  const bool empty = Planted(Bug::kPrunedSaysEmpty) && Epoch(m.epoch()) <= epoch();
  if (!empty && !IsOurInstance(now, from, Epoch(m.epoch()))) return;
  const Acceptor::Answer answer = empty ? Acceptor::Answer{.granted = true} : acceptor.Prepare(*ballot);
  wire::Peer reply;
  wire::Promise& promise = *reply.mutable_promise();
  promise.set_epoch(m.epoch());
  *promise.mutable_ballot() = m.ballot();
  promise.set_boot(m.boot());
  promise.set_granted(answer.granted);
  WriteBallot(acceptor.state().promised, promise.mutable_promised());
  if (!empty && answer.granted && acceptor.state().accepted_ballot.counter != 0) {
    RULE("A5 accepted");
    WriteBallot(acceptor.state().accepted_ballot, promise.mutable_accepted_ballot());
    promise.set_accepted_layout(acceptor.state().accepted_layout);
  }
  Answer(from, std::move(reply), answer);
}

void Agreement::Impl::OnAccept(Instant now, const NodeId& from, const wire::Accept& m) {
  const auto ballot = ReadBallot(m.ballot());
  if (!ballot || ballot->node != from || m.epoch() == 0 || m.layout().empty()) {
    ++counters.malformed;
    return;
  }
  const bool empty = Planted(Bug::kPrunedSaysEmpty) && Epoch(m.epoch()) <= epoch();
  if (!empty && !IsOurInstance(now, from, Epoch(m.epoch()))) return;
  // What we wish for need not be read to be known.
  const bool own = from == self && wish && m.layout() == proposer.own() && m.layout().size() <= kMaxLayoutBytes;
  const auto read = own ? wish : nullptr;
  Acceptor::Answer answer = empty ? Acceptor::Answer{.granted = true} : acceptor.Accept(*ballot, m.layout(), read);
  wire::Peer reply;
  wire::Accepted& accepted = *reply.mutable_accepted();
  accepted.set_epoch(m.epoch());
  *accepted.mutable_ballot() = m.ballot();
  accepted.set_boot(m.boot());
  accepted.set_granted(answer.granted);
  if (acceptor.state().promised.counter != 0) WriteBallot(acceptor.state().promised, accepted.mutable_promised());
  accepted.set_refusal(answer.refusal);
  Answer(from, std::move(reply), answer);
}

// A granted answer leaves once the state behind it is durable; a refusal promises nothing and may go at once.
void Agreement::Impl::Answer(const NodeId& to, wire::Peer message, const Acceptor::Answer& answer) {
  if (answer.granted && (answer.changed || !persists.empty())) out.persist = true;
  if (to == self) {
    to_self.push_back(std::move(message));
  } else {
    const bool wait = answer.granted && out.persist;
    if (wait) RULE("A7");
    (wait ? out.after_persist : out.now).push_back({to, Wrap(std::move(message))});
  }
}

// --- Proposing --------------------------------------------------------------------------------------------------------

bool Agreement::Impl::IsPresentAttempt(std::uint64_t asked_epoch, const Ballot& ballot, std::uint64_t asked_boot) const {
  return proposer.active() && proposer.ballot().counter != 0 && Epoch(asked_epoch) == epoch().Next() &&
         ballot == proposer.ballot() && Boot(asked_boot) == boot;
}

void Agreement::Impl::OnPromise(Instant now, const NodeId& from, const wire::Promise& m) {
  const auto ballot = ReadBallot(m.ballot());
  const auto promised = ReadOptionalBallot(m.has_promised(), m.promised());
  const auto accepted = ReadOptionalBallot(m.has_accepted_ballot(), m.accepted_ballot());
  if (!ballot || !promised || !accepted || (accepted->counter == 0) != m.accepted_layout().empty()) {
    ++counters.malformed;
    return;
  }
  bool counts = IsPresentAttempt(m.epoch(), *ballot, m.boot());
  if (counts) {
    Do(now, proposer.OnPromise(now, from, {m.granted(), *promised, *accepted, m.accepted_layout()}, &counts));
  }
  if (!counts) DropStale();
}

void Agreement::Impl::OnAccepted(Instant now, const NodeId& from, const wire::Accepted& m) {
  const auto ballot = ReadBallot(m.ballot());
  const auto promised = ReadOptionalBallot(m.has_promised(), m.promised());
  if (!ballot || !promised) {
    ++counters.malformed;
    return;
  }
  bool counts = IsPresentAttempt(m.epoch(), *ballot, m.boot());
  if (counts) Do(now, proposer.OnAccepted(now, from, {m.granted(), *promised, m.refusal()}, &counts));
  if (!counts) DropStale();
}

void Agreement::Impl::DropStale() {
  RULE("A10");
  ++counters.stale;
}

void Agreement::Impl::Do(Instant now, Proposer::Step step) {
  switch (step.kind) {
    case Proposer::Step::Kind::kNothing: return;
    case Proposer::Step::Kind::kAttempt: return AskForPromises(now);
    case Proposer::Step::Kind::kAccept: return AskForAcceptance(now);
    case Proposer::Step::Kind::kDecided: return Decided(now);
    case Proposer::Step::Kind::kEnded: return EndProposal(false, std::move(step.why));
  }
}

template <class Send>
void Agreement::Impl::ForEachOtherVoter(Send send) const {
  const Layout& layout = *acceptor.layout();
  for (const MemberIndex v : layout.voters) {
    if (layout.members[v].id != self) send(layout.members[v].id);
  }
}

// The ballot's counter is durable before anybody sees it, so that no later start draws it again. Our own promise rides on
// the same persist.
void Agreement::Impl::AskForPromises(Instant now) {
  const Ballot ballot{acceptor.NextCounter(proposer.highest_seen()), self};
  proposer.Began(now, ballot);
  RULE("A9");
  out.persist = true;
  wire::Peer message;
  wire::Prepare& prepare = *message.mutable_prepare();
  prepare.set_epoch(epoch().Next().value);
  WriteBallot(ballot, prepare.mutable_ballot());
  prepare.set_boot(boot.value);
  ForEachOtherVoter([&](const NodeId& voter) { out.after_persist.push_back({voter, Wrap(message)}); });
  OnPrepare(now, self, prepare);
}

void Agreement::Impl::AskForAcceptance(Instant now) {
  wire::Peer message;
  wire::Accept& accept = *message.mutable_accept();
  accept.set_epoch(epoch().Next().value);
  WriteBallot(proposer.ballot(), accept.mutable_ballot());
  accept.set_boot(boot.value);
  accept.set_layout(proposer.value());
  ForEachOtherVoter([&](const NodeId& voter) { out.now.push_back({voter, Wrap(message)}); });
  OnAccept(now, self, accept);
}

// A quorum made the value durable: it is the layout of its epoch, whatever happens to us now.
void Agreement::Impl::Decided(Instant now) {
  RULE("A12");
  const std::string bytes = proposer.value();
  const std::shared_ptr<const Layout> before = acceptor.layout();
  if (Adopt(bytes) != Adoption::kAdopted) {
    return EndProposal(false, "the voters accepted a layout that this version of the program can't read; update this node");
  }
  std::vector<NodeId> everybody;
  for (const Layout* layout : {before.get(), acceptor.layout().get()}) {
    for (const Member& member : layout->members) {
      if (member.id != self) everybody.push_back(member.id);
    }
  }
  spread.Tell(now, everybody);
}

void Agreement::Impl::EndProposal(bool as_proposed, std::string why) {
  proposer.Stop();
  wish = nullptr;
  out.proposal_ended = as_proposed;
  out.why = std::move(why);
}

// --- Learning ---------------------------------------------------------------------------------------------------------

// Moves to a decided layout if it is newer than ours and of our cluster, and can be read; what is not is counted. `read`: what the bytes
// mean, where that is known.
Agreement::Impl::Adoption Agreement::Impl::Adopt(std::string_view bytes, std::shared_ptr<const Layout> read) {
  // A voter accepted most of what is decided, and read it then.
  std::shared_ptr<const Layout> decoded = read ? std::move(read) : acceptor.AcceptedAs(bytes);
  if (!decoded) decoded = ReadLayout(bytes, nullptr);
  if (!decoded || decoded->epoch == Epoch(0)) {
    ++counters.malformed;
    return Adoption::kUnusable;
  }
  if (acceptor.layout() && acceptor.layout()->cluster != decoded->cluster) {
    ++counters.foreign;
    return Adoption::kUnusable;
  }
  if (decoded->epoch <= epoch()) {
    RULE("A17 older");
    if (decoded->epoch == epoch() && bytes != acceptor.state().layout) ++counters.conflicting;
    return Adoption::kNotNewer;
  }
  if (proposer.active()) {
    const bool ours = bytes == proposer.own();
    if (!ours) RULE("A13");
    EndProposal(ours, ours ? "" : "overtaken: another layout was decided");
  }
  if (acceptor.layout() && decoded->epoch > epoch().Next()) RULE("A17 ahead");
  if (acceptor.layout()) history.Superseded(*acceptor.layout(), *decoded);
  acceptor.Adopt(std::move(decoded), bytes);
  spread.Adopted(epoch());
  out.persist = true;
  out.adopted = acceptor.layout();
  return Adoption::kAdopted;
}

void Agreement::Impl::OnLayoutPush(Instant now, const NodeId& from, const wire::LayoutPush& m) {
  if (m.has_delta()) {
    LearnFrom(now, from, m.delta());
  } else {
    Learn(now, from, m.layout());
  }
}

void Agreement::Impl::LearnFrom(Instant now, const NodeId& from, const wire::LayoutDelta& delta) {
  const bool ours = Epoch(delta.base_epoch()) == epoch();
  if (ours && acceptor.layout()) {
    // What we accepted need not be put together again.
    const std::string accepted = acceptor.state().accepted_layout;
    if (!accepted.empty() && Sha256({accepted}).str() == delta.sha256()) return Learn(now, from, accepted);
    if (auto next = ApplyLayoutDelta(*acceptor.layout(), delta)) {
      return Learn(now, from, next->bytes, std::make_shared<const Layout>(std::move(next->layout)));
    }
  }
  // Not from where we are; or, with `layout force`, from another layout of our epoch.
  RULE("A21");
  SayWhatWeHave(from, &out.now, /*whole=*/ours);
}

void Agreement::Impl::Learn(Instant now, const NodeId& from, std::string_view bytes, std::shared_ptr<const Layout> read) {
  switch (Adopt(bytes, std::move(read))) {
    case Adoption::kAdopted:
      spread.Seen(now, from, epoch());
      RULE("A16");
      return SayWhatWeHave(from, &out.after_persist);
    case Adoption::kNotNewer:
      if (epoch() != Epoch(0)) SayWhatWeHave(from, &out.now);
      return;
    // It would be sent again at once, and be no more use. Where it is our turn to ask, `spread` does, in its time (A18).
    case Adoption::kUnusable: return;
  }
}

void Agreement::Impl::OnLayoutPull(Instant now, const NodeId& from, const wire::LayoutPull& m) {
  if (m.have_epoch() > kMaxCounter) {
    ++counters.malformed;
    return;
  }
  spread.Seen(now, from, Epoch(m.have_epoch()));
  if (Epoch(m.have_epoch()) < epoch()) Push(now, from, Epoch(m.have_epoch()), m.whole());
}

void Agreement::Impl::Push(Instant now, const NodeId& to, Epoch have, bool whole) {
  spread.Pushed(now, to);
  SendLayout(to, have, whole);
}

void Agreement::Impl::SendLayout(const NodeId& to, Epoch have, bool whole) {
  const wire::LayoutDelta* delta = whole ? nullptr : history.From(have, *acceptor.layout(), acceptor.state().layout);
  wire::Peer message;
  if (delta != nullptr) {
    *message.mutable_layout_push()->mutable_delta() = *delta;
  } else {
    message.mutable_layout_push()->set_layout(acceptor.state().layout);
  }
  out.now.push_back({to, Wrap(std::move(message))});
}

// A LayoutPull: asks for anything newer, and thereby says that a push arrived.
void Agreement::Impl::SayWhatWeHave(const NodeId& to, std::vector<Outgoing>* when, bool whole) {
  wire::Peer message;
  message.mutable_layout_pull()->set_have_epoch(epoch().value);
  message.mutable_layout_pull()->set_whole(whole);
  when->push_back({to, Wrap(std::move(message))});
}

// --- Driving ----------------------------------------------------------------------------------------------------------

void Agreement::Impl::Dispatch(Instant now, const NodeId& from, const wire::Peer& message) {
  switch (message.kind_case()) {
    case wire::Peer::kPrepare: return OnPrepare(now, from, message.prepare());
    case wire::Peer::kPromise: return OnPromise(now, from, message.promise());
    case wire::Peer::kAccept: return OnAccept(now, from, message.accept());
    case wire::Peer::kAccepted: return OnAccepted(now, from, message.accepted());
    case wire::Peer::kLayoutPush: return OnLayoutPush(now, from, message.layout_push());
    case wire::Peer::kLayoutPull: return OnLayoutPull(now, from, message.layout_pull());
    default: ++counters.malformed;
  }
}

Agreement::Output Agreement::Impl::Finish(Instant now) {
  // With nothing to wait for, our own answers count at once. Ends: every round either decides, persists or ends the attempt.
  while (!to_self.empty() && !out.persist && persists.empty()) {
    for (const wire::Peer& message : std::exchange(to_self, {})) Dispatch(now, self, message);
  }
  if (!to_self.empty()) out.persist = true;
  const LayoutSpread::Due due = spread.Take(now);
  if (epoch() != Epoch(0)) {
    // Most have the layout before; who has not asks again.
    for (const NodeId& peer : due.push) SendLayout(peer, Epoch(epoch().value - 1), /*whole=*/false);
  }
  if (due.pull) SayWhatWeHave(*due.pull, &out.now);
  if (out.persist) persists.push_back(std::exchange(to_self, {}));
  return std::exchange(out, {});
}

Agreement::Agreement(NodeId self, Boot boot, AgreementState recovered, std::uint64_t seed)
    : impl_(std::make_unique<Impl>(self, boot, std::move(recovered), Random(seed))) {}
Agreement::~Agreement() = default;
Agreement::Agreement(Agreement&&) noexcept = default;
Agreement& Agreement::operator=(Agreement&&) noexcept = default;

Agreement::Output Agreement::Receive(Instant now, const NodeId& from, const wire::Peer& message) {
  if (from == impl_->self) {
    ++impl_->counters.malformed;
  } else if (impl_->persists.size() >= kMostPersists && (message.has_prepare() || message.has_accept())) {
    RULE("A22");
    ++impl_->counters.disk_behind;
  } else {
    impl_->Dispatch(now, from, message);
  }
  return impl_->Finish(now);
}

Agreement::Output Agreement::Persisted(Instant now) {
  if (impl_->persists.empty()) {
    std::fputs("a persist of the agreement's state was reported that was never asked for: a defect of this program\n", stderr);
    std::abort();
  }
  const std::vector<wire::Peer> released = std::move(impl_->persists.front());
  impl_->persists.pop_front();
  for (const wire::Peer& message : released) impl_->Dispatch(now, impl_->self, message);
  return impl_->Finish(now);
}

Agreement::Output Agreement::Propose(Instant now, const Layout& next) {
  if (!impl_->IsSelfVoter()) {
    impl_->EndProposal(false, "this node has no vote in the present layout");
    return impl_->Finish(now);
  }
  if (impl_->persists.size() >= kMostPersists) {
    impl_->EndProposal(false, "the disk does not answer");
    return impl_->Finish(now);
  }
  if (auto why = WhyIllegal(*impl_->acceptor.layout(), next)) {
    impl_->EndProposal(false, std::move(*why));
    return impl_->Finish(now);
  }
  impl_->wish = std::make_shared<const Layout>(next);
  impl_->Do(now, impl_->proposer.Start(now, impl_->acceptor.layout(), Encode(next)));
  return impl_->Finish(now);
}

Agreement::Output Agreement::Withdraw(Instant now) {
  if (impl_->proposer.active()) {
    RULE("A14 withdrawn");
    impl_->EndProposal(false, "nothing is to be changed any more");
  }
  return impl_->Finish(now);
}

Agreement::Output Agreement::Tick(Instant now) {
  impl_->Do(now, impl_->proposer.Tick(now));
  return impl_->Finish(now);
}

Agreement::Output Agreement::Adopt(Instant now, std::string_view layout_bytes) {
  impl_->Adopt(layout_bytes);
  return impl_->Finish(now);
}

Agreement::Output Agreement::PeerEpoch(Instant now, const NodeId& peer, Epoch epoch) {
  if (peer != impl_->self) impl_->spread.Seen(now, peer, epoch);
  return impl_->Finish(now);
}

bool Agreement::proposing() const { return impl_->proposer.active(); }

bool Agreement::accepting() const { return impl_->proposer.accepting(); }

Instant Agreement::NextDeadline() const { return std::min(impl_->proposer.deadline(), impl_->spread.NextDeadline()); }

const AgreementState& Agreement::state() const { return impl_->acceptor.state(); }

std::shared_ptr<const Layout> Agreement::layout() const { return impl_->acceptor.layout(); }

Epoch Agreement::epoch() const { return impl_->epoch(); }

const AgreementCounters& Agreement::counters() const { return impl_->counters; }

void Agreement::VisitQueues(const QueueVisitor& visit) const {
  visit({"states of the agreement that are to become durable", impl_->persists.size(), kMostPersists + kPersistsBesides});
  impl_->spread.VisitQueues(visit);
}

}  // namespace coffer::cluster
