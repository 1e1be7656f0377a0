// Routers as simulated processes: the shipping core, its links to nodes, and the calls of its clients.
#include <algorithm>

#include "router/core/methods.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t kClients = 1000;  // as in sim_network.cc

// Each way of a connection has a number of its own.
std::uint64_t Way(std::size_t from, std::size_t to) { return from << 32 | to; }

}  // namespace

std::size_t SimCluster::AddRouter() {
  auto r = std::make_unique<SimRouter>();
  r->name = "router-" + std::to_string(routers_.size() + 1);
  r->address = r->name + ":7702";
  routers_.push_back(std::move(r));
  return kFirstRouter + routers_.size() - 1;
}

void SimCluster::StartRouter(std::size_t i) {
  SimRouter& r = router(i);
  if (r.core) return;
  index_.erase(r.id);
  NewIdentity(r);
  index_[r.id] = i;
  ++r.life;
  router::RouterCoreConfig config;
  config.self.set_id(r.id.str());
  config.self.set_name(r.name);
  config.self.set_address(r.address);
  for (const auto& n : nodes_) config.seeds.push_back(n->address);
  config.dispatcher.patience = router_patience;
  Note(r.name + " starts, id " + Short(r.id));
  r.core = std::make_unique<router::RouterCore>(std::move(config), random_.Next(), NodeNow(r));
  CarryRouter(i, r.core->Tick(NodeNow(r)));
  for (const std::size_t j : PeersOf(i)) Rewire(i, j);
  ScheduleRouterTick(i);
}

void SimCluster::KillRouter(std::size_t i) {
  SimRouter& r = router(i);
  if (!r.core) return;
  Note(r.name + " is killed");
  r.core.reset();
  const std::uint64_t life = r.life++;
  r.paused = false;
  r.deferred.clear();
  r.callers.clear();
  BreakAll(i);
  for (const auto& [client, handler] : public_clients) {
    At(microseconds(200 + random_.Below(2000)), [this, client = client, i, life] { public_clients.at(client).on_lost(i, life); });
  }
}

void SimCluster::ScheduleRouterTick(std::size_t i) {
  SimRouter& r = router(i);
  const Instant now = NodeNow(r);
  const Duration wait = std::clamp<Duration>(std::max(r.core->NextDeadline(), now) - now, milliseconds(1), milliseconds(50));
  AtNode(i, now_ + wait, [this, i] {
    CarryRouter(i, router(i).core->Tick(NodeNow(router(i))));
    ScheduleRouterTick(i);
  });
}

// What can't be queued because the link is down is handed back, as the shell does.
void SimCluster::CarryRouter(std::size_t i, router::RouterCore::Output output) {
  for (Outgoing& o : output.send) {
    const auto peer = IndexOf(o.to);
    if (peer && Between(i, *peer).seen[i > *peer] != 0) {
      Deliver(router(i).id, o.to, std::move(o.message));
      continue;
    }
    AtNode(i, now_, [this, i, to = o.to, header = std::move(o.message.header)] {
      CarryRouter(i, router(i).core->NotSent(NodeNow(router(i)), to, header));
    });
  }
  for (auto& reply : output.replies) Reply(i, std::move(reply));
}

// A client's connection keeps its order whatever delays it.
Instant SimCluster::InOrder(std::uint64_t way) {
  const Instant at = ArrivalTime(way, Duration(0));
  return last_arrival_[way] = std::max(at, last_arrival_[way] + Duration(1));
}

// --- Calls --------------------------------------------------------------------------------------------------------------

bool SimCluster::Call(const NodeId& client, std::uint64_t connection, std::size_t i, const v1::Call& call) {
  if (!Up(i)) return false;
  const std::string bytes = call.SerializeAsString();
  Mix(bytes.size());
  const std::uint64_t way = Way(connection << 12 | (kClients + client.bytes[0]), i);
  if (faults.calls_late_per_mille > 0 && random_.Chance(static_cast<std::uint64_t>(faults.calls_late_per_mille), 1000)) {
    ++delayed_;
    last_arrival_[way] = std::max(last_arrival_[way], now_ + Duration(random_.Below(static_cast<std::uint64_t>(faults.long_delay.count()))));
  }
  AtNode(i, InOrder(way), [this, i, client, bytes] { Invoke(i, client, bytes); });
  return true;
}

void SimCluster::Invoke(std::size_t i, const NodeId& client, const std::string& bytes) {
  SimRouter& r = router(i);
  v1::Call call;
  if (!call.ParseFromString(bytes)) return Violate(r.name + " was sent a call that can't be read");
  if (call.has_cancel()) {
    for (const auto& [id, caller] : r.callers) {
      if (caller.client != client || caller.call != call.id()) continue;
      return CarryRouter(i, r.core->Cancel(NodeNow(r), id));
    }
    return;
  }
  const auto method = router::FindMethod(call.invocation().method());
  auto request = method ? router::ParseRequest(*method, call.invocation().request()) : std::nullopt;
  if (!request) return Violate(r.name + " was sent a request that can't be read: " + call.invocation().method());
  const router::CallId id = r.next_call++;
  r.callers[id] = {client, call.id()};
  const Instant deadline = NodeNow(r) + milliseconds(call.invocation().deadline_ms());
  CarryRouter(i, r.core->Invoke(NodeNow(r), id, std::move(*request), bytes.size(), deadline));
}

void SimCluster::Reply(std::size_t i, router::RouterCore::Reply reply) {
  SimRouter& r = router(i);
  const auto caller = r.callers.find(reply.call);
  if (caller == r.callers.end()) return Violate(r.name + " answered a call that had ended");
  v1::Reply out;
  out.set_id(caller->second.call);
  if (reply.end) {
    *out.mutable_status() = std::move(*reply.end);
  } else {
    out.set_has_response(true);
    out.set_response(reply.response.str());
  }
  const NodeId client = caller->second.client;
  if (out.has_status()) r.callers.erase(caller);
  const std::string bytes = out.SerializeAsString();
  Mix(bytes.size());
  Push(InOrder(Way(i, kClients + client.bytes[0])), [this, i, client, bytes, life = r.life] {
    v1::Reply read;
    const auto handler = public_clients.find(client);
    // What was on its way when the process died is lost with the connection.
    if (router(i).life == life && read.ParseFromString(bytes) && handler != public_clients.end()) handler->second.on_reply(i, std::move(read));
  });
}

}  // namespace coffer::sim
