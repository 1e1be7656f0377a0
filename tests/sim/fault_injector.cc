#include "sim/fault_injector.h"

#include <algorithm>

namespace coffer::sim {
namespace {

using std::chrono::microseconds;

// So long a change may be under way unseen: planned up to 0.5 s ago (A14), and asked for in a message that comes 5 s late.
constexpr Duration kUnderWay = std::chrono::seconds(6);

NodeId OperatorId() {
  NodeId id;
  id.bytes.fill(199);
  return id;
}

}  // namespace

void FaultInjector::Begin() {
  cluster_.clients[OperatorId()] = [](const NodeId&, PeerMessage) {};
  bool follows = false;
  for (const Fault& fault : scenario_.faults) {
    if (!fault.on.empty()) {
      follows = true;
      continue;
    }
    cluster_.At(microseconds(fault.at_us), [this, &fault] { Carry(fault, 0, 0); });
  }
  if (!follows) return;
  cluster_.on_send = [this](int kind, std::size_t from, std::size_t to) {
    const std::string name = KindName(kind);
    const std::uint64_t number = ++seen_[name];
    for (const Fault& fault : scenario_.faults) {
      if (fault.on == name && fault.count == number) cluster_.At(microseconds(fault.at_us), [this, &fault, from, to] { Carry(fault, from, to); });
    }
  };
}

void FaultInjector::Carry(const Fault& fault, std::size_t sender, std::size_t receiver) {
  if (over_) return;
  auto resolve = [&](std::size_t at) -> std::size_t {
    if (fault.arguments.size() <= at) return 0;
    const std::int64_t value = fault.arguments[at];
    if (value == kSender) return sender;
    if (value == kReceiver) return receiver;
    return static_cast<std::size_t>(value) % cluster_.size();
  };
  ++counts_[fault.what];
  const std::string& what = fault.what;
  const std::size_t n = resolve(0);
  if (what.ends_with("-router")) return Router(what, fault.arguments);
  cluster_.Note("FAULT " + what + (fault.arguments.empty() ? "" : " " + std::to_string(n)));
  Process(what, n, fault.arguments);
  Network(what, n, resolve(1), fault.arguments);
  if (SimCluster::IsRouter(n)) return;
  Disk(what, n, fault.arguments);
  Operator(what, n, fault.arguments);
}

void FaultInjector::Process(const std::string& what, std::size_t n, const std::vector<std::int64_t>& arguments) {
  if (what == "kill") Kill(n);
  if (what == "start") Start(n);
  if (what == "move" && cluster_.Up(n) && !SimCluster::IsRouter(n)) cluster_.node(n).address = cluster_.node(n).name + ":" + std::to_string(7800 + counts_[what]);
  if (what == "restart" || what == "move") {
    Kill(n);
    Start(n);
  }
  if (what == "leave" && !SimCluster::IsRouter(n)) cluster_.Leave(n);
  if (what == "pause") PauseFor(n, arguments[1]);
  if (what == "clock") cluster_.SetClock(n, microseconds(arguments[1]), arguments[2]);
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (what == "power") cluster_.Kill(i);
    if (what == "startall") Start(i);
  }
}

void FaultInjector::PauseFor(std::size_t n, std::int64_t microseconds_long) {
  cluster_.Pause(n);
  cluster_.At(microseconds(microseconds_long), [this, n, life = cluster_.process(n).life] {
    if (cluster_.process(n).life == life) cluster_.Resume(n);
  });
}

// Routers by their own numbers. Their clients reach them all the same.
void FaultInjector::Router(const std::string& what, const std::vector<std::int64_t>& arguments) {
  if (cluster_.routers() == 0) return;
  const std::size_t r = kFirstRouter + static_cast<std::size_t>(arguments[0]) % cluster_.routers();
  cluster_.Note("FAULT " + what + " " + std::to_string(arguments[0]));
  if (what == "kill-router" || what == "restart-router") Kill(r);
  if (what == "start-router" || what == "restart-router") Start(r);
  if (what == "pause-router") PauseFor(r, arguments[1]);
  const bool cut = what == "cut-router";
  if (cut || what == "mend-router") cluster_.Cut(r, static_cast<std::size_t>(arguments[1]) % cluster_.size(), cut);
  const bool isolate = what == "isolate-router";
  for (std::size_t i = 0; i < cluster_.size() && (isolate || what == "reconnect-router"); ++i) cluster_.Cut(r, i, isolate);
}

void FaultInjector::Network(const std::string& what, std::size_t n, std::size_t m, const std::vector<std::int64_t>& arguments) {
  if (what == "mute") cluster_.Mute(static_cast<int>(arguments[0]), cluster_.now() + microseconds(arguments[1]));
  if (what == "hold") cluster_.Hold(static_cast<int>(arguments[0]), cluster_.now() + microseconds(arguments[1]));
  if (what == "lose") cluster_.faults.lose_per_mille = static_cast<int>(arguments[0]);
  if (what == "heal") MendAll();
  if (SimCluster::IsRouter(n) && SimCluster::IsRouter(m)) return;  // both ends of what a router sent to a client
  if (what == "cut" && n != m) cluster_.Cut(n, m, true);
  if (what == "mend" && n != m) cluster_.Cut(n, m, false);
  if (what == "deafen" && n != m) cluster_.CutOneWay(n, m, true);
  if (what == "stall" && n != m) cluster_.Stall(n, m, cluster_.now() + microseconds(arguments[2]));
  if (what == "delay" && n != m) cluster_.SetDelay(n, m, microseconds(arguments[2]));
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (what == "isolate" && i != n) cluster_.Cut(n, i, true);
    if (what == "reconnect" && i != n) cluster_.Cut(n, i, false);
    for (std::size_t j = 0; what == "split" && j < i; ++j) {
      if ((arguments[0] >> i & 1) != (arguments[0] >> j & 1)) cluster_.Cut(i, j, true);
    }
  }
}

void FaultInjector::Disk(const std::string& what, std::size_t n, const std::vector<std::int64_t>& arguments) {
  DiskFaults& disk = cluster_.node(n).disk;
  if (what == "slow") disk.slower = static_cast<int>(arguments[1]);
  if (what == "hang") disk.hung_until = cluster_.now() + microseconds(arguments[1]);
  if (what == "full") cluster_.SetFull(n, static_cast<Fullness>(std::clamp<std::int64_t>(arguments[1], 0, 2)));
  if (what == "flip") Flip(n);
  if (what == "failsync") disk.fail_next = true;
  if (what == "wipe" && MayLose(n)) {
    NoteLoss();
    cluster_.Kill(n);
    cluster_.Wipe(n);
  }
  if (what == "copy") copies_.insert_or_assign(n, cluster_.CopyFolder(n));
  if (what == "restore") Restore(n);
}

// The data folder is put back as it was when it was copied, and its process started. Only if another node knows, on its disk, of a later
// start: what nobody has seen can't be told from what never was (R8.1).
void FaultInjector::Restore(std::size_t n) {
  const auto copy = copies_.find(n);
  if (copy == copies_.end() || copy->second.id != cluster_.node(n).id || copy->second.durable.lineage.empty() || !MayLose(n)) return;
  bool known = false;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    const auto& remembered = cluster_.node(i).durable.remembered;
    const auto seen = remembered.find(copy->second.id);
    known = known || (i != n && seen != remembered.end() && seen->second.boot > copy->second.durable.lineage.back().boot);
  }
  if (!known) return;
  NoteLoss();
  ++counts_["folders put back"];
  cluster_.Kill(n);
  cluster_.PutFolder(n, copy->second);
  cluster_.node(n).put_back = true;
  cluster_.Start(n);
}

bool FaultInjector::MayFail(std::size_t node) {
  if (over_ || !MayLose(node)) return false;
  NoteLoss();
  ++counts_["syncs that failed"];
  return true;
}

void FaultInjector::NoteLoss() {
  lost_disk_ = true;
  last_loss_ = cluster_.now();
}

void FaultInjector::Operator(const std::string& what, std::size_t n, const std::vector<std::int64_t>& arguments) {
  if (what == "add") return cluster_.Start(cluster_.AddNode());
  if (what == "force") {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (!cluster_.Up(i)) stated_off_.insert(i);
    }
    return Force(layouts_.newest() ? layouts_.newest()->forced_epoch : Epoch{}, counts_[what]);
  }
  PeerMessage message;
  auto* request = message.header.mutable_layout_change_request();
  request->set_call(counts_[what]);
  auto* change = request->mutable_change();
  const std::string& name = cluster_.node(n).name;
  if (what == "drain") change->set_drain(name);
  else if (what == "undrain") change->set_undrain(name);
  else if (what == "forget") change->set_forget(name);
  else if (what == "mincopies") change->set_min_copies(static_cast<std::uint32_t>(arguments[0]));
  else if (what == "reweight") {
    change->mutable_reweight()->set_node(name);
    change->mutable_reweight()->set_weight(static_cast<std::uint32_t>(arguments[1]));
  } else if (what == "pauseresync") request->mutable_resync()->set_pause(true);
  else if (what == "resumeresync") request->mutable_resync()->set_resume(true);
  else if (what == "limitresync") request->mutable_resync()->set_limit_bytes_per_second(static_cast<std::uint64_t>(arguments[0]));
  else return;
  Ask(std::move(message));
}

void FaultInjector::Ask(PeerMessage message) {
  std::vector<std::size_t> living;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (cluster_.Up(i)) living.push_back(i);
  }
  if (!living.empty()) cluster_.SendAs(OperatorId(), living[cluster_.random().Below(living.size())], std::move(message));
}

// Resync that an operator paused or limited goes on, whatever he asked for last and is still under way.
void FaultInjector::FreeResync(Instant until) {
  if (cluster_.now() >= until) return;
  cluster_.At(std::chrono::milliseconds(500), [this, until] { FreeResync(until); });
  if (!layouts_.newest()) return;
  const auto& settings = layouts_.newest()->settings;
  PeerMessage message;
  auto* request = message.header.mutable_layout_change_request();
  if (settings.resync_paused) request->mutable_resync()->set_resume(true);
  else if (settings.resync_limit_bytes_per_second != 0) request->mutable_resync()->set_limit_bytes_per_second(0);
  else return;
  Ask(std::move(message));
}

// What is stated to be off stays off until the heal.
void FaultInjector::Start(std::size_t n) {
  if (SimCluster::IsRouter(n)) return cluster_.StartRouter(n);
  if (!stated_off_.contains(n)) cluster_.Start(n);
}

void FaultInjector::Kill(std::size_t n) { SimCluster::IsRouter(n) ? cluster_.KillRouter(n) : cluster_.Kill(n); }

// An operator who looks first: who does not answer is off; and he asks, now this node, now that, until it is done.
void FaultInjector::Force(Epoch before, std::uint64_t call) {
  const auto& newest = layouts_.newest();
  if (over_ || !newest || newest->forced_epoch > before) return;
  cluster_.At(std::chrono::milliseconds(500), [this, before, call] { Force(before, call); });
  std::string names;
  for (const auto& member : newest->members) {
    const auto i = cluster_.IndexOf(member.id);
    if (!i || stated_off_.contains(*i)) names += (names.empty() ? "" : ", ") + member.name;
  }
  std::vector<std::size_t> living;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (cluster_.Up(i) && cluster_.node(i).role == 1) living.push_back(i);
  }
  if (names.empty() || living.empty()) return;
  lost_disk_ = true;
  PeerMessage message;
  auto* request = message.header.mutable_layout_change_request();
  request->set_call(call);
  request->mutable_change()->set_force("I am sure that " + names + " is off and will never return");
  cluster_.SendAs(OperatorId(), living[cluster_.random().Below(living.size())], std::move(message));
}

bool FaultInjector::AllReturned() const {
  for (const std::size_t i : stated_off_) {
    if (!cluster_.Up(i) || !layouts_.newest() || layouts_.newest()->IndexOf(cluster_.node(i).id) == cluster::kNoMember) return false;
  }
  return true;
}

bool FaultInjector::Intact(const NodeId& id, const std::set<std::size_t>& but) const {
  const auto i = cluster_.IndexOf(id);
  return i && !but.contains(*i) && !cluster_.node(*i).Lost();
}

bool FaultInjector::NeedsRest() const {
  const auto& newest = layouts_.newest();
  return !off_.empty() && newest && !(Carries(*newest, off_) && HasRoomForTwo(*newest, off_));
}

// Whether without these nodes there are two that take data, as an operator left it.
bool FaultInjector::HasRoomForTwo(const cluster::Layout& layout, const std::set<std::size_t>& without) const {
  return std::count_if(layout.members.begin(), layout.members.end(), [&](const cluster::Member& m) {
    return !m.witness && !m.draining && m.weight > 0 && Intact(m.id, without);
  }) >= 2;
}

// Whether without these nodes a layout has a quorum of voters, and every partition a member of in_sync.
bool FaultInjector::Carries(const cluster::Layout& layout, const std::set<std::size_t>& without) const {
  auto intact = [&](cluster::MemberIndex m) { return Intact(layout.members[m].id, without); };
  if (static_cast<std::size_t>(std::count_if(layout.voters.begin(), layout.voters.end(), intact)) < layout.Quorum()) return false;
  return std::all_of(layout.partitions.begin(), layout.partitions.end(),
                     [&](const cluster::Group& group) { return std::any_of(group.in_sync.begin(), group.in_sync.end(), intact); });
}

bool FaultInjector::MayLose(std::size_t node) const {
  const auto& newest = layouts_.newest();
  if (!newest || flipped_) return false;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    // What comes next may rest on this disk: accepted, or on its way to be. And whoever is away may be removed at any moment, in
    // favour of the node that is about to lose its disk.
    const auto accepted = [](const node::NodeDurable& state) { return state.agreement.accepted_ballot.counter != 0; };
    const SimNode& n = cluster_.node(i);
    if (accepted(n.durable)) return false;
    if (std::any_of(n.saves.begin(), n.saves.end(), [&](const auto& save) { return accepted(save.second); })) return false;
    const bool member = newest->IndexOf(n.id) != cluster::kNoMember;
    if (i != node && member && (!cluster_.Up(i) || n.paused || n.disk.hung_until > cluster_.now())) return false;
  }
  return Carries(*newest, {node});
}

void FaultInjector::LayoutDecided() {
  if (!lost_disk_ || Carries(*layouts_.newest(), {})) return;
  overtaken_ = overtaken_ || !stated_off_.empty() || cluster_.now() - last_loss_ <= kUnderWay;
}

bool FaultInjector::TooMuchLost() const { return overtaken_ && !Carries(*layouts_.newest(), {}); }

void FaultInjector::Flip(std::size_t node) {
  const auto& newest = layouts_.newest();
  if (!newest || lost_disk_ || (flipped_ && *flipped_ != node)) return;
  const auto self = newest->IndexOf(cluster_.node(node).id);
  const PartitionId p = static_cast<PartitionId>(cluster_.random().Below(newest->partition_count()));
  if (self == cluster::kNoMember || !newest->group(p).InSync(self) || newest->group(p).in_sync.size() < 2) return;
  switch (damage_.Below(4)) {
    case 0: return FlipLog(node, p, *newest);
    case 1: return FlipEnd(node, p);
    default: return FlipRecord(node, p, *newest);
  }
}

// A line of what is committed: nothing rests on it while another member of in_sync has it.
void FaultInjector::FlipLog(std::size_t node, PartitionId p, const cluster::Layout& newest) {
  SimNode& n = cluster_.node(node);
  const node::PartitionMeta* meta = n.store.MetaOf(p);
  if (!meta) return;
  std::vector<Seq> lines;
  n.store.VisitLog(p, meta->committed, [&](const node::LogRecord& write) { lines.emplace_back(write.stamp().seq()); });
  std::set<Seq> elsewhere;
  for (const auto m : newest.group(p).in_sync) {
    const auto other = cluster_.IndexOf(newest.members[m].id);
    if (!other || *other == node) continue;
    cluster_.node(*other).store.VisitLog(p, meta->committed, [&](const node::LogRecord& write) { elsewhere.emplace(write.stamp().seq()); });
  }
  std::erase_if(lines, [&](const Seq seq) { return !elsewhere.contains(seq); });
  if (lines.empty()) return;
  flipped_ = node;
  n.store.DamageLog(p, lines[damage_.Below(lines.size())]);
  ++counts_["flipped bits of logs"];
}

// The meta line, or the last line of a log whose end is not known to be committed: what this copy promised is not known any more. Only
// who starts reads them; he retires, and his disk is as lost as a wiped one.
void FaultInjector::FlipEnd(std::size_t node, PartitionId p) {
  if (!MayLose(node)) return;
  cluster_.Kill(node);
  SimNode& n = cluster_.node(node);
  const node::PartitionMeta* meta = n.store.MetaOf(p);
  const bool tail = meta && meta->committed < meta->last.seq && damage_.Chance(1, 2);
  const bool hit = tail ? n.store.DamageLog(p, meta->last.seq) : n.store.DamageMeta(p);
  if (hit) NoteLoss();
  cluster_.Start(node);
  if (!hit) return;
  ++counts_[tail ? "flipped bits of ends of logs" : "flipped bits of meta lines"];
  if (!n.retired) cluster_.Violate(n.name + " went on though what it promised of partition " + std::to_string(p) + " does not verify (R11)");
}

void FaultInjector::FlipRecord(std::size_t node, PartitionId p, const cluster::Layout& newest) {
  const auto self = newest.IndexOf(cluster_.node(node).id);
  auto elsewhere = [&](const node::RecordKey& key, const node::RecordHeader& header) {
    return std::any_of(newest.group(p).in_sync.begin(), newest.group(p).in_sync.end(), [&](const auto m) {
      const auto other = cluster_.IndexOf(newest.members[m].id);
      node::RecordHeader same;
      return m != self && other && cluster_.node(*other).store.Lookup(p, key, &same) == node::ReadOutcome::kFound &&
             node::RecordHash(same) == node::RecordHash(header);
    });
  };
  std::vector<node::RecordKey> keys;
  cluster_.node(node).store.Scan(p, "", "", [&](const node::ScannedRecord& r) {
    if (elsewhere(r.key, r.header)) keys.push_back(r.key);
    return true;
  });
  if (keys.empty()) return;
  flipped_ = node;
  damaged_.insert(p);
  using Part = node::MemoryStore::Part;
  cluster_.node(node).store.DamageRecord(p, keys[cluster_.random().Below(keys.size())], cluster_.random().Chance(1, 2) ? Part::kHeader : Part::kValue);
}

void FaultInjector::GiveBack() {
  const auto& newest = layouts_.newest();
  // Whoever was given up by force, or ran on an old copy of its folder, and retired because of it, is started once more.
  for (std::size_t i = 0; over_ && i < cluster_.size(); ++i) {
    if (cluster_.node(i).retired && (stated_off_.contains(i) || cluster_.node(i).put_back)) cluster_.Start(i);
  }
  if (!over_ || !flipped_ || !newest) return;
  const auto self = newest->IndexOf(cluster_.node(*flipped_).id);
  for (const PartitionId p : damaged_) {
    const auto& group = newest->group(p);
    if (group.in_sync.size() == 1 && group.InSync(self)) cluster_.node(*flipped_).store.RestoreHeaders(p);
  }
}

void FaultInjector::MendAll() {
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) cluster_.Cut(i, j, false);
    for (std::size_t r = 0; r < cluster_.routers(); ++r) cluster_.Cut(i, kFirstRouter + r, false);
  }
}

// Who stays off at the heal. Not where more than that is wrong: after `layout force`, with damaged records or a lost disk.
void FaultInjector::ChooseOff() {
  const auto& newest = layouts_.newest();
  if (!newest || lost_disk_ || flipped_ || !stated_off_.empty()) return;
  std::vector<cluster::Layout> layouts{*newest};
  const auto add = [&](const std::string& bytes) {
    std::string error;
    if (auto layout = cluster::DecodeLayout(bytes, &error); layout && layout->epoch > newest->epoch) layouts.push_back(std::move(*layout));
  };
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    add(cluster_.node(i).durable.agreement.accepted_layout);
    for (const auto& save : cluster_.node(i).saves) add(save.second.agreement.accepted_layout);
  }
  const auto core_without = [&](const std::set<std::size_t>& off) {
    bool adopted = false;
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      const SimNode& n = cluster_.node(i);
      if (off.contains(i) || n.retired || newest->IndexOf(n.id) == cluster::kNoMember) continue;
      std::string error;
      const auto known = cluster::DecodeLayout(n.durable.agreement.layout, &error);
      adopted = adopted || (known && known->epoch == newest->epoch);
    }
    return adopted && std::all_of(layouts.begin(), layouts.end(), [&](const auto& l) { return Carries(l, off) && HasRoomForTwo(l, off); });
  };
  const std::size_t first = cluster_.random().Below(cluster_.size());
  for (std::size_t k = 0; k < cluster_.size() && off_.size() < static_cast<std::size_t>(scenario_.knob("stay_off")); ++k) {
    std::set<std::size_t> off = off_;
    off.insert((first + k) % cluster_.size());
    if (core_without(off)) off_ = std::move(off);
  }
  for (const std::size_t i : off_) {
    cluster_.Note("FAULT " + cluster_.node(i).name + " stays off");
    cluster_.Kill(i);
    ++counts_["nodes that stay off at the heal"];
  }
}

bool FaultInjector::HealRest() {
  for (const std::size_t i : off_) cluster_.Start(i);
  return !std::exchange(off_, {}).empty();
}

void FaultInjector::Heal() {
  over_ = true;
  if (scenario_.knob("stay_off") > 0) ChooseOff();
  cluster_.on_send = nullptr;
  cluster_.faults = {};
  cluster_.Unmute();
  MendAll();
  if (counts_.contains("pauseresync") || counts_.contains("limitresync")) FreeResync(cluster_.now() + std::chrono::seconds(20));
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    SimNode& n = cluster_.node(i);
    n.disk.slower = 1;
    n.disk.hung_until = {};
    n.disk.fail_next = false;
    cluster_.SetFull(i, Fullness::kRoom);
    cluster_.Resume(i);
    if (n.leaving) cluster_.Kill(i);
    // A force that was asked for last may still be carried out: what it names is off until it no longer can be.
    if (stated_off_.contains(i)) {
      cluster_.At(std::chrono::seconds(10), [this, i] { cluster_.Start(i); });
    } else if (!off_.contains(i)) {
      cluster_.Start(i);
    }
    for (std::size_t j = 0; j < cluster_.size(); ++j) cluster_.SetDelay(i, j, Duration(0));
  }
  for (std::size_t r = kFirstRouter; r < kFirstRouter + cluster_.routers(); ++r) {
    cluster_.Resume(r);
    cluster_.StartRouter(r);
  }
}

}  // namespace coffer::sim
