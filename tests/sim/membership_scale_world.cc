#include "sim/membership_scale_world.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "cluster/facts.h"

namespace coffer::cluster {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

NodeId IdOf(std::uint32_t n) {
  NodeId id;
  Random random(n + 1);  // not in the order of the numbers
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(random.Next());
  std::memcpy(id.bytes.data() + 12, &n, 4);
  return id;
}
std::uint32_t NumberOf(const NodeId& id) {
  std::uint32_t n;
  std::memcpy(&n, id.bytes.data() + 12, 4);
  return n;
}
std::string AddressOf(std::uint32_t n) { return "10.0." + std::to_string(n / 250) + "." + std::to_string(n % 250) + ":7701"; }

wire::MemberFacts FactsOf(std::uint32_t n) {
  wire::MemberFacts facts;
  facts.set_id(IdOf(n).str());
  facts.set_name("node-" + std::to_string(n));
  facts.set_address(AddressOf(n));
  facts.set_role(1);
  facts.set_boot(1);
  return facts;
}

}  // namespace

World::World(std::uint32_t size, std::uint64_t seed) : random_(seed), members_(size) {
  const MembershipConfig config;  // a member finds out by itself how many there are
  const FactsPool::Scope pool;  // each would keep facts of its own of all others
  for (std::uint32_t n = 0; n < size; ++n) ids_.push_back(IdOf(n));
  wire::Peer table;  // by id, as every table
  table.mutable_push_pull()->set_answer(true);
  std::vector<NodeId> sorted = ids_;
  std::sort(sorted.begin(), sorted.end());
  for (const NodeId& id : sorted) {
    MemberView view{.facts = FactsOf(NumberOf(id)), .incarnation = Incarnation(1 << 20), .state = Liveness::kAlive};
    *table.mutable_push_pull()->add_updates() = WriteUpdate(view, {});
  }
  for (std::uint32_t n = 0; n < size; ++n) {
    Member& member = members_[n];
    member.machine = std::make_unique<Membership>(config, FactsOf(n), Incarnation(1 << 20), random_.Next(), now_);
    for (const NodeId& peer : sorted) {
      if (peer != ids_[n]) (void)member.machine->LinkUp(now_, peer);  // knows nobody yet: what it says is worth nothing
    }
    (void)member.machine->Receive(now_, ids_[(n + 1) % size], table);
    Reschedule(n);
  }
  Settle();
}

void World::Kill(std::uint32_t n, bool refused) {
  members_[n].machine.reset();
  if (!refused) return;
  refusing_.emplace(AddressOf(n), n);
  for (std::uint32_t peer = 0; peer < members_.size(); ++peer) {
    if (peer != n) At(now_ + Delay(), {Event::kLinkDown, peer, n});
  }
}

void World::Hiccup(std::uint32_t n, Duration stop, Duration run) {
  members_[n].slow = true;
  stop_ = stop;
  run_ = run;
  const auto cycle = static_cast<std::uint64_t>((stop + run).count());
  At(now_ + Duration(static_cast<Duration::rep>(random_.Below(cycle))), {Event::kStop, n, n});
}

std::uint32_t World::alive() const {
  return static_cast<std::uint32_t>(std::count_if(members_.begin(), members_.end(), [](const auto& m) { return m.machine != nullptr; }));
}

void World::Await(std::uint32_t victim) {
  deaths.clear();
  awaited_ = victim;
  told_ = 0;
}

bool World::AllAlive() const {
  for (const Member& member : members_) {
    if (!member.machine) continue;
    for (std::uint32_t n = 0; n < size(); ++n) {
      if (!member.machine->IsAlive(ids_[n])) return false;
    }
  }
  return true;
}

Duration World::Delay() { return microseconds(200 + random_.Below(1800)); }

void World::At(Instant at, Event event) {
  event.at = at;
  event.order = ++order_;
  events_.push(event);
}

void World::Reschedule(std::uint32_t n) {
  Member& member = members_[n];
  const Instant due = member.machine->NextDeadline();
  if (due == member.due || due == kNever) return;
  member.due = due;
  At(std::max(due, now_), {Event::kTick, n, n});
}

void World::Settle() {
  std::uint64_t before = 0;
  do {
    before = bytes;
    RunFor(seconds(2));
  } while (bytes - before > 2 * 12'000ull * size());
  deaths.clear();
}

void World::Happen(const Event& event) {
  Member& member = members_[event.to];
  if (!member.machine) return Drop(event);
  if (event.kind == Event::kStop) {
    member.stopped = true;
    return At(now_ + stop_, {Event::kGo, event.to, event.to});
  }
  if (event.kind == Event::kGo) {
    member.stopped = false;
    At(now_ + run_, {Event::kStop, event.to, event.to});
    for (const Event& late : std::exchange(member.waiting, {})) Happen(late);
    return;
  }
  if (member.stopped) return member.waiting.push_back(event);
  if (event.kind == Event::kTick && event.at < member.due && member.due != kNever && now_ < member.due) return;
  Carry(event.to, Call(*member.machine, event));
  Reschedule(event.to);
}

Membership::Output World::Call(Membership& machine, const Event& event) {
  switch (event.kind) {
    case Event::kMessage: {
      auto* message = google::protobuf::Arena::CreateMessage<wire::Peer>(&arena_);
      message->ParseFromString(texts_[event.message]);
      Drop(event);
      Membership::Output out = machine.Receive(now_, ids_[event.from], *message);
      arena_.Reset();
      return out;
    }
    case Event::kLinkDown: return machine.LinkDown(now_, ids_[event.from], false);
    case Event::kDialRefused: return machine.DialFailed(now_, AddressOf(event.from), true);
    default: members_[event.to].due = kNever; return machine.Tick(now_);
  }
}

void World::Drop(const Event& event) {
  if (event.kind == Event::kMessage) free_texts_.push_back(event.message);
}

std::uint32_t World::Encode(const wire::Peer& message) {
  std::uint32_t text = static_cast<std::uint32_t>(texts_.size());
  if (free_texts_.empty()) {
    texts_.emplace_back();
  } else {
    text = free_texts_.back();
    free_texts_.pop_back();
  }
  message.SerializeToString(&texts_[text]);
  return text;
}

void World::Carry(std::uint32_t from, const Membership::Output& out) {
  for (const Outgoing& sent : out.send) {
    const std::uint32_t to = NumberOf(sent.to);
    ++messages;
    const bool cut = halved && (from < size() / 2) != (to < size() / 2);
    if (cut || random_.Below(1000) < static_cast<std::uint64_t>(loss_permille)) {
      bytes += sent.message.header.ByteSizeLong();
      continue;
    }
    const std::uint32_t text = Encode(sent.message.header);
    bytes += texts_[text].size();
    At(now_ + Delay(), {Event::kMessage, to, from, text});
  }
  for (const std::string& address : out.dial) {
    if (const auto it = refusing_.find(address); it != refusing_.end()) At(now_ + Delay(), {Event::kDialRefused, from, it->second});
  }
  for (const MembershipChange& change : out.changes) {
    if (change.state == Liveness::kDead && change.state_changed) {
      deaths.push_back({now_, from, NumberOf(change.id)});
      told_ += NumberOf(change.id) == awaited_;
    }
  }
}

}  // namespace coffer::cluster
