#include "gossip_harness.h"

#include <algorithm>

namespace coffer::cluster {
namespace {

// A process resumed in the very moment its time was over is dead for as long as its refutation travels.
constexpr Duration kTimeToSpeak = std::chrono::milliseconds(50);

}  // namespace

NodeId IdOf(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>((n + 1) * 37);  // not in the order of the numbers
  id.bytes[1] = static_cast<std::uint8_t>(n + 1);
  return id;
}

wire::MemberFacts FactsOf(int n, std::uint64_t boot) {
  wire::MemberFacts facts;
  facts.set_id(IdOf(n).str());
  facts.set_name("n" + std::to_string(n));
  facts.set_address("host-" + std::to_string(n) + ":1");
  facts.set_role(1);
  facts.set_boot(boot);
  return facts;
}

GossipWorld::GossipWorld(int count, std::uint64_t seed, MembershipConfig config) : config_(config), random_(seed) {
  processes.resize(static_cast<std::size_t>(count));
  for (int n = 0; n < count; ++n) {
    P(n).number = n;
    numbers_[IdOf(n)] = n;
  }
}

Duration GossipWorld::Delay() {
  const auto range = static_cast<std::uint64_t>((delay_max - delay_min).count()) + 1;
  return delay_min + Duration(static_cast<Duration::rep>(random_.Below(range)));
}

void GossipWorld::After(Duration d, std::function<void()> event) { events_[{now + d, ++event_count_}] = std::move(event); }

GossipWorld::Cut GossipWorld::CutOf(int a, int b) const {
  const auto it = cuts_.find(Ordered(a, b));
  return it == cuts_.end() ? Cut::kNone : it->second;
}

void GossipWorld::OnProcess(int n, std::function<Membership::Output(Membership&)> call) {
  const std::uint64_t boot = P(n).boot;
  const auto run = [this, n, boot, call = std::move(call)] {
    Process& p = P(n);
    if (!p.machine || p.boot != boot) return;
    Do(n, call(*p.machine));
  };
  if (P(n).paused) P(n).waiting.push_back(run);
  else if (P(n).slowness > Duration::zero()) After(P(n).slowness, run);
  else run();
}

void GossipWorld::Do(int n, Membership::Output out) {
  for (const Outgoing& message : out.send) Transmit(n, message);
  for (const std::string& address : out.dial) DialFrom(n, address);
  for (const MembershipChange& change : out.changes) {
    const auto of = numbers_.find(change.id);
    if (of == numbers_.end()) continue;
    seen.push_back({now, n, of->second, change.state, change.state_changed, change.restarted});
    const Process& p = P(of->second);
    const bool runs = p.machine && !p.paused && now - p.running_since > kTimeToSpeak;
    if (change.state == Liveness::kDead && change.state_changed && runs) ++false_deaths;
  }
  for (const DuplicateId& duplicate : out.duplicates) duplicates.push_back({n, duplicate});
  Check(n);
}

// What must hold after every step.
void GossipWorld::Check(int n) {
  Process& p = P(n);
  p.deadline = p.machine->NextDeadline();
  for (const auto& [id, member] : *p.machine->view()) {
    std::uint64_t& highest = p.incarnations[{id, member.facts.boot()}];
    if (member.incarnation.value < highest) broken_ = "an incarnation fell";
    highest = member.incarnation.value;
  }
  p.worst_awareness = std::max(p.worst_awareness, p.machine->awareness());
  const MembershipCounters counters = p.machine->counters();
  if (counters.malformed > 0) broken_ = "a malformed message";
  if (counters.overflow > 0) broken_ = "a bound was hit";
}

void GossipWorld::Transmit(int from, const Outgoing& message) {
  const auto to = numbers_.find(message.to);
  if (to == numbers_.end() || to->second == from) {
    broken_ = "a message to nobody or to itself";
    return;
  }
  const int peer = to->second;
  const std::string bytes = message.message.header.SerializeAsString();
  P(from).bytes += bytes.size();
  ++P(from).messages;
  if (links_.count(Ordered(from, peer)) == 0 || CutOf(from, peer) != Cut::kNone || one_way_.count({from, peer}) != 0) return;
  if (random_.Chance(static_cast<std::uint64_t>(loss_permille), 1000)) return;
  Instant& last = last_arrival_[{from, peer}];
  last = std::max(last, now + Delay());
  const std::uint64_t boot = P(peer).boot;
  After(last - now, [this, from, peer, boot, bytes] {
    if (P(peer).boot != boot) return;
    OnProcess(peer, [this, from, bytes](Membership& m) {
      wire::Peer parsed;
      if (!parsed.ParseFromString(bytes)) broken_ = "unreadable bytes";
      return m.Receive(now, IdOf(from), parsed);
    });
  });
}

void GossipWorld::DialFrom(int n, const std::string& address) {
  const auto failed = [this, n, address](bool refused) {
    OnProcess(n, [this, address, refused](Membership& m) { return m.DialFailed(now, address, refused); });
  };
  After(Delay(), [this, n, address, failed] {
    const auto there = addresses_.find(address);
    const bool vacant = there == addresses_.end() || !P(there->second).machine;
    const Cut cut = vacant ? Cut::kNone : CutOf(n, there->second);
    if (vacant ? vacant_refuses : cut == Cut::kRefused) return failed(true);
    if (vacant || cut == Cut::kSilent || P(there->second).paused) {
      return After(std::chrono::seconds(1), [failed] { failed(false); });
    }
    const int peer = there->second;
    if (peer == n || !P(n).machine || !links_.insert(Ordered(n, peer)).second) return;
    OnProcess(n, [this, peer](Membership& m) { return m.LinkUp(now, IdOf(peer)); });
    OnProcess(peer, [this, n](Membership& m) { return m.LinkUp(now, IdOf(n)); });
  });
}

void GossipWorld::BreakLink(int a, int b, bool tell_a, bool tell_b) {
  if (links_.erase(Ordered(a, b)) == 0) return;
  const auto tell = [this](int who, int of) {
    After(Delay(), [this, who, of] {
      OnProcess(who, [this, who, of](Membership& m) {
        if (links_.count(Ordered(who, of)) != 0) return Membership::Output{};  // up again already
        return m.LinkDown(now, IdOf(of), false);
      });
    });
  };
  if (tell_a) tell(a, b);
  if (tell_b) tell(b, a);
}

void GossipWorld::Start(int n, int seed_of, const std::string& address) {
  Process& p = P(n);
  ++p.boot;
  wire::MemberFacts facts = FactsOf(n, p.boot);
  if (!address.empty()) facts.set_address(address);
  else if (!p.address.empty()) facts.set_address(p.address);
  p.address = facts.address();
  addresses_[p.address] = n;
  p.waiting.clear();
  p.incarnations.clear();
  p.paused = false;
  p.running_since = now;
  p.machine.emplace(config_, facts, Incarnation(p.boot << 20), random_.Next(), now);
  std::vector<wire::MemberFacts> peers = p.disk;
  if (seed_of >= 0) peers.emplace_back().set_address("host-" + std::to_string(seed_of) + ":1");
  Do(n, p.machine->Remember(now, peers));
}

bool GossipWorld::StartAll() {
  for (int n = 0; n < static_cast<int>(processes.size()); ++n) Start(n, n == 0 ? -1 : 0);
  return RunUntil(now + std::chrono::seconds(20), [this] { return AllSeeAllAlive(); });
}

void GossipWorld::Kill(int n) {
  Process& p = P(n);
  p.disk.clear();
  for (const auto& [id, member] : *p.machine->view()) {
    if (id != IdOf(n)) p.disk.push_back(member.facts);
  }
  p.machine.reset();
  p.deadline = kNever;
  const auto it = addresses_.find(p.address);
  if (it != addresses_.end() && it->second == n) addresses_.erase(it);
  for (int other = 0; other < static_cast<int>(processes.size()); ++other) BreakLink(other, n, true, false);
}

void GossipWorld::Pause(int n) {
  P(n).paused = true;
  P(n).deadline = kNever;
}

void GossipWorld::Resume(int n) {
  Process& p = P(n);
  p.paused = false;
  p.running_since = now;
  p.deadline = p.machine->NextDeadline();
  for (const auto& call : std::exchange(p.waiting, {})) call();
}

void GossipWorld::SetCut(int a, int b, Cut cut) {
  cuts_[Ordered(a, b)] = cut;
  if (cut == Cut::kRefused) BreakLink(a, b, true, true);
}

bool GossipWorld::RunUntil(Instant limit, const std::function<bool()>& done) {
  while (true) {
    if (done()) return true;
    Process* next = nullptr;
    for (Process& p : processes) {
      if (p.machine && !p.paused && (next == nullptr || p.deadline < next->deadline)) next = &p;
    }
    const Instant event = events_.empty() ? kNever : events_.begin()->first.first;
    const Instant tick = next == nullptr ? kNever : next->deadline;
    if (std::min(event, tick) > limit) {
      now = limit;
      return done();
    }
    if (event <= tick) {
      now = std::max(now, event);
      const auto call = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      call();
    } else {
      now = std::max(now, tick);
      Do(next->number, next->machine->Tick(now));
      if (next->deadline <= now) broken_ = "a deadline in the past after a Tick";
    }
  }
}

Liveness GossipWorld::StateOf(int by, int of) {
  const auto view = At(by).view();
  const auto it = view->find(IdOf(of));
  return it == view->end() ? Liveness::kLeft : it->second.state;
}

bool GossipWorld::AllSeeAllAlive() {
  for (const Process& p : processes) {
    if (p.machine && !AllSee(p.number, Liveness::kAlive)) return false;
  }
  return true;
}

bool GossipWorld::AllSee(int of, Liveness state) {
  for (const Process& p : processes) {
    if (p.number == of || !p.machine || p.paused) continue;
    const auto view = p.machine->view();
    const auto it = view->find(IdOf(of));
    if (it == view->end() || it->second.state != state) return false;
  }
  return true;
}

}  // namespace coffer::cluster
