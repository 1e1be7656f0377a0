#include "sim/sim_cluster.h"

#include <algorithm>
#include <cstdio>

#include "cluster/planted_bug.h"

namespace coffer::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kUsualSync = microseconds(800);

bool BringsValues(const node::StoreBatch& batch) {
  return std::any_of(batch.changes.begin(), batch.changes.end(), [](const auto& change) {
    const auto* put = std::get_if<node::StoreBatch::PutRecord>(&change);
    return put && put->value;
  });
}

}  // namespace

SimCluster::SimCluster(std::uint64_t seed, std::uint32_t partitions) : random_(seed), partitions_(partitions) {}

// --- Time ---------------------------------------------------------------------------------------------------------------

void SimCluster::Push(Instant at, std::function<void()> event) {
  events_.push_back({at, order_++, std::move(event)});
  std::push_heap(events_.begin(), events_.end(), Later);
}

void SimCluster::At(Duration after, std::function<void()> event) { Push(now_ + after, std::move(event)); }

void SimCluster::AtNode(std::size_t i, Instant at, std::function<void()> event) {
  Push(at, [this, i, life = process(i).life, event = std::move(event)]() mutable {
    SimProcess& n = process(i);
    if (!Up(i) || n.life != life) return;
    if (n.paused) return n.deferred.push_back(std::move(event));
    Mix(i);
    event();
  });
}

Instant SimCluster::NodeNow(const SimProcess& n) const {
  const auto since = (now_ - n.clock_anchor).count();
  return now_ + n.clock_offset + Duration(since / 1'000'000 * n.clock_drift_ppm);
}

void SimCluster::SetClock(std::size_t i, Duration jump, std::int64_t drift_ppm) {
  SimProcess& n = process(i);
  n.clock_offset = NodeNow(n) - now_ + std::max(jump, Duration(0));
  n.clock_drift_ppm = drift_ppm;
  n.clock_anchor = now_;
}

bool SimCluster::RunUntil(const std::function<bool()>& until, Duration at_most) {
  const Instant end = now_ + at_most;
  while (!events_.empty() && events_.front().at <= end) {
    std::pop_heap(events_.begin(), events_.end(), Later);
    Event event = std::move(events_.back());
    events_.pop_back();
    now_ = event.at;
    ++steps_;
    Mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    event.run();
    if (check && !violation_) violation_ = check();
    if (violation_ || until()) return !violation_;
  }
  now_ = end;
  return until();
}

void SimCluster::Note(const std::string& text) {
  if (!timeline) return;
  char when[32];
  std::snprintf(when, sizeof when, "%11.6f ", std::chrono::duration<double>(now_.time_since_epoch()).count());
  log.push_back(when + text);
}

// --- Processes ----------------------------------------------------------------------------------------------------------

void SimCluster::NewIdentity(SimProcess& n) {
  for (auto& byte : n.id.bytes) byte = static_cast<std::uint8_t>(random_.Next());
}

std::size_t SimCluster::AddNode(std::uint32_t role) {
  auto n = std::make_unique<SimNode>();
  n->name = "node-" + std::to_string(nodes_.size() + 1);
  n->address = n->name + ":7701";
  n->role = role;
  NewIdentity(*n);
  index_[n->id] = nodes_.size();
  nodes_.push_back(std::move(n));
  return nodes_.size() - 1;
}

std::optional<std::size_t> SimCluster::IndexOf(const NodeId& id) const {
  const auto it = index_.find(id);
  if (it == index_.end()) return std::nullopt;
  return it->second;
}

void SimCluster::Start(std::size_t i) {
  SimNode& n = *nodes_[i];
  if (n.core) return;
  if (n.retired) {
    index_.erase(n.id);
    NewIdentity(n);
    index_[n.id] = i;
    n.retired.reset();
    n.put_back = false;
    const auto remembered = std::move(n.durable.remembered);
    n.durable = {};
    n.durable.remembered = remembered;
    n.store.Wipe();
  }
  cluster::BootNonce nonce;
  for (auto& byte : nonce.bytes) byte = static_cast<std::uint8_t>(random_.Next());
  cluster::AddStart(&n.durable.lineage, nonce);
  n.boot = n.durable.lineage.back().boot.value;
  ++n.life;
  n.stopped.reset();
  n.leaving = false;
  n.disk.fail_next = false;
  n.last_sync = now_;
  n.syncs = NewSyncWatch();
  node::NodeCoreConfig config;
  config.boot = Boot(n.boot);
  config.self.set_id(n.id.str());
  config.self.set_name(n.name);
  config.self.set_address(n.address);
  config.self.set_role(n.role);
  config.self.set_boot(n.boot);
  config.self.set_weight(100);
  config.planner.resync_delay = resync_delay;
  config.log_keep = log_keep;
  config.max_waiting_per_partition = max_waiting;
  std::vector<wire::MemberFacts> remembered;
  for (std::size_t j = 0; j < nodes_.size(); ++j) {
    if (j == i || nodes_[j]->boot == 0) continue;
    wire::MemberFacts facts;
    facts.set_id(nodes_[j]->id.str());
    facts.set_name(nodes_[j]->name);
    facts.set_address(nodes_[j]->address);
    facts.set_role(nodes_[j]->role);
    remembered.push_back(facts);
  }
  Note(n.name + " starts, boot " + std::to_string(n.boot) + ", id " + Short(n.id));
  n.core = std::make_unique<node::NodeCore>(config, n.durable, remembered, n.store, random_.Next(), NodeNow(n));
  n.next_ticket = 1;
  if (on_start) on_start(i);
  Carry(i, n.core->Tick(NodeNow(n)));
  for (const std::size_t j : PeersOf(i)) Rewire(i, j);
  TellHealth(i);
  ScheduleTick(i);
}

void SimCluster::Kill(std::size_t i) {
  SimNode& n = *nodes_[i];
  if (!n.core) return;
  Note(n.name + " is killed");
  n.core.reset();
  ++n.life;
  n.paused = false;
  n.deferred.clear();
  LoseUnsynced(i);
  BreakAll(i);
}

void SimCluster::Leave(std::size_t i) {
  SimNode& n = *nodes_[i];
  if (!n.core) return;
  Note(n.name + " leaves");
  n.leaving = true;
  Carry(i, n.core->Leave(NodeNow(n)));
  AwaitLeft(i, now_ + seconds(5));
}

void SimCluster::AwaitLeft(std::size_t i, Instant until) {
  AtNode(i, now_ + milliseconds(50), [this, i, until] { now_ >= until || nodes_[i]->core->Left() ? Kill(i) : AwaitLeft(i, until); });
}

SimFolder SimCluster::CopyFolder(std::size_t i) const {
  SimFolder copy{nodes_[i]->id, nodes_[i]->store, nodes_[i]->durable};
  copy.store.Crash();
  return copy;
}

void SimCluster::PutFolder(std::size_t i, const SimFolder& folder) {
  SimNode& n = *nodes_[i];
  index_.erase(n.id);
  n.id = folder.id;
  index_[n.id] = i;
  n.store = folder.store;
  ++n.life;  // for whoever remembers what was on its disk
  n.durable = folder.durable;
  n.boot = n.durable.lineage.back().boot.value;
  if (on_folder_put) on_folder_put();
}

void SimCluster::Wipe(std::size_t i) {
  SimNode& n = *nodes_[i];
  if (n.core) return;
  Note("the disk of " + n.name + " is lost");
  n.store.Wipe();
  n.durable = {};
  if (on_id_over) on_id_over(n.id);
  if (!Planted(Bug::kWipedKeepsId)) n.retired = "its disk is lost";
}

void SimCluster::Pause(std::size_t i) {
  SimProcess& n = process(i);
  if (!Up(i) || n.paused) return;
  Note(n.name + " is paused");
  n.paused = true;
  for (const std::size_t j : PeersOf(i)) {
    At(milliseconds(2000 + random_.Below(3000)), [this, i, j, life = n.life] {
      if (process(i).life == life && process(i).paused && Between(i, j).up) Break(i, j);
    });
  }
}

void SimCluster::Resume(std::size_t i) {
  SimProcess& n = process(i);
  if (!Up(i) || !n.paused) return;
  Note(n.name + " goes on");
  n.paused = false;
  for (auto& event : std::exchange(n.deferred, {})) AtNode(i, now_, std::move(event));
  for (const std::size_t j : PeersOf(i)) Rewire(i, j);
}

void SimCluster::Form(std::size_t i, std::uint32_t min_copies) {
  cluster::Settings settings;
  settings.partitions = partitions_;
  settings.min_copies = min_copies;
  settings.voters_wanted = voters_wanted;
  ClusterId cluster;
  cluster.bytes.fill(7);
  Carry(i, nodes_[i]->core->Form(NodeNow(*nodes_[i]), cluster, "sim", settings));
}

void SimCluster::ChangeJoinTokens(std::size_t i, std::uint64_t ask, const wire::JoinTokenChange& change) {
  SimNode& n = *nodes_[i];
  if (n.core && !n.paused) Carry(i, n.core->ChangeJoinTokens(NodeNow(n), ask, change));
}

void SimCluster::ScheduleTick(std::size_t i) {
  SimNode& n = *nodes_[i];
  const Instant now = NodeNow(n);
  const Duration wait = std::clamp<Duration>(std::max(n.core->NextDeadline(), now) - now, milliseconds(1), milliseconds(50));
  AtNode(i, now_ + wait, [this, i] {
    SimNode& node = *nodes_[i];
    const std::uint64_t life = node.life;
    Carry(i, node.core->Tick(NodeNow(node)));
    if (node.core && node.life == life) ScheduleTick(i);
  });
}

void SimCluster::TellHealth(std::size_t i) {
  SimNode& n = *nodes_[i];
  node::StoreHealth health;
  health.full = n.disk.full != Fullness::kRoom;
  health.total_bytes = 1ull << 40;
  health.free_bytes = health.full ? 0 : health.total_bytes;
  // Who waits for room is not hung: it tries the disk with other bytes.
  health.since_last_sync = Fitting(n) == 0 && n.saves.empty() ? Duration(0) : now_ - n.last_sync;
  // The probe of an idle disk. It draws nothing, so that a disk that is looked at is written to as before.
  if (!n.batch_sync && n.disk.hung_until <= now_) n.syncs.Note(now_, kUsualSync * n.disk.slower, 0);
  health.slow = n.syncs.slow(now_);
  Carry(i, n.core->SetHealth(NodeNow(n), health));
  AtNode(i, now_ + seconds(1), [this, i] { TellHealth(i); });
}

// --- Disk ---------------------------------------------------------------------------------------------------------------

Duration SimCluster::SyncTime(const SimNode& n) {
  const Duration usual = microseconds(50 + random_.Below(1500)) * n.disk.slower;  // kUsualSync on average
  return std::max<Duration>(usual, n.disk.hung_until - now_);
}

// One sync at a time and stream; it covers what was handed over before it began.
void SimCluster::SyncBatches(std::size_t i) {
  SimNode& n = *nodes_[i];
  const std::size_t fitting = Fitting(n);
  if (n.batch_sync || fitting == 0) return;
  n.batch_sync = true;
  const Duration takes = SyncTime(n);
  At(takes, [this, i, life = n.life, count = fitting, takes] {
    SimNode& node = *nodes_[i];
    if (node.life != life) return;
    node.batch_sync = false;
    if (Fails(i)) return FailSync(i);
    node.syncs.Note(now_, takes, 0);
    node.store.CompleteWrites(count);
    for (std::size_t k = 0; k < count; ++k) {
      node.durable_tickets.insert(node.batches.front().ticket);
      node.batches.pop_front();
    }
    if (on_batches) on_batches(i);
    Durable(i);
    SyncBatches(i);
  });
}

// Batches keep their order, so one that finds no room holds up those behind it, as in node/leveldb_writer.h.
std::size_t SimCluster::Fitting(const SimNode& n) const {
  if (n.disk.full != Fullness::kFloor) return n.batches.size();
  const auto first = std::find_if(n.batches.begin(), n.batches.end(), [](const SimNode::Batch& batch) { return batch.brings_values; });
  return static_cast<std::size_t>(first - n.batches.begin());
}

void SimCluster::SetFull(std::size_t i, Fullness full) {
  nodes_[i]->disk.full = full;
  SyncBatches(i);
}

// Only the newest state is written; whoever waits for an older one is served by it too.
void SimCluster::SyncSaves(std::size_t i) {
  SimNode& n = *nodes_[i];
  if (n.save_sync || n.saves.empty()) return;
  n.save_sync = true;
  At(SyncTime(n), [this, i, life = n.life, count = n.saves.size()] {
    SimNode& node = *nodes_[i];
    if (node.life != life) return;
    node.save_sync = false;
    if (Fails(i)) return FailSync(i);
    const auto before = std::exchange(node.durable, std::move(node.saves[count - 1].second));
    for (std::size_t k = 0; k < count; ++k) node.durable_tickets.insert(node.saves[k].first);
    node.saves.erase(node.saves.begin(), node.saves.begin() + static_cast<std::ptrdiff_t>(count));
    if (on_durable) on_durable(i, before);
    Durable(i);
    SyncSaves(i);
  });
}

// Tells the core, in order of the tickets.
void SimCluster::Durable(std::size_t i) {
  SimNode& n = *nodes_[i];
  n.last_sync = now_;
  while (!n.durable_tickets.empty() && *n.durable_tickets.begin() == n.next_ticket) {
    n.durable_tickets.erase(n.durable_tickets.begin());
    AtNode(i, now_, [this, i, ticket = n.next_ticket++] {
      Carry(i, nodes_[i]->core->Persisted(NodeNow(*nodes_[i]), ticket));
    });
  }
}

// What the batches left behind is never read again: the next start is somebody else's.
void SimCluster::FailSync(std::size_t i) {
  Note("a sync of " + nodes_[i]->name + " fails");
  Kill(i);
  Wipe(i);
}

void SimCluster::Carry(std::size_t i, node::NodeCore::Output output) {
  SimNode& n = *nodes_[i];
  if (!n.core) return;
  for (auto& persist : output.persist) {
    if (auto* batch = std::get_if<node::StoreBatch>(&persist.what)) {
      n.batches.push_back({persist.ticket, BringsValues(*batch)});
      n.store.Write(std::move(*batch), nullptr);
    } else {
      n.saves.emplace_back(persist.ticket, std::move(std::get<node::NodeDurable>(persist.what)));
    }
  }
  SyncBatches(i);
  SyncSaves(i);
  for (Outgoing& o : output.send) Deliver(n.id, o.to, std::move(o.message));
  for (auto& task : output.reads) {
    AtNode(i, now_ + microseconds(20 + random_.Below(300)), [this, i, task = std::move(task)]() mutable {
      SimNode& node = *nodes_[i];
      Carry(i, node.core->ReadDone(NodeNow(node), node::RunRead(node.store, std::move(task))));
    });
  }
  for (const auto& event : output.events) Note(n.name + ": " + event.text);
  for (const auto& answer : output.token_answers) {
    if (on_token) on_token(answer.ask, answer.status);
  }
  if (output.retire && !n.retired) {
    n.retired = *output.retire;
    if (on_id_over) on_id_over(n.id);
    Note(n.name + " RETIRES: " + *output.retire);
    At(Duration(0), [this, i, life = n.life] {
      if (nodes_[i]->life == life) Kill(i);
    });
  }
  if (output.stop && !n.stopped) {
    n.stopped = *output.stop;
    Note(n.name + " STOPS: " + *output.stop);
    At(Duration(0), [this, i, life = n.life] {
      if (nodes_[i]->life == life) Kill(i);
    });
  }
}

}  // namespace coffer::sim
