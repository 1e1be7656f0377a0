#include "router_world.h"

#include <algorithm>
#include <stdexcept>

#include "cluster/placement.h"
#include "router/core/errors.h"

namespace coffer::router {
namespace {

NodeId NodeIdOf(std::size_t i) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(i + 1);
  return id;
}

cluster::Layout FirstLayoutOf(int nodes, std::uint32_t partitions) {
  cluster::Layout layout;
  layout.cluster.bytes[0] = 7;
  layout.cluster_name = "demo";
  layout.epoch = Epoch(10);
  layout.settings.partitions = partitions;
  layout.settings.min_copies = nodes > 1 ? 2 : 1;
  layout.settings.chunk_limit_bytes = 4096;
  for (int i = 0; i < nodes; ++i) {
    cluster::Member member;
    member.id = NodeIdOf(static_cast<std::size_t>(i));
    member.name = "node-" + std::to_string(i + 1);
    member.address = member.name + ":7701";
    layout.members.push_back(member);
    layout.voters.push_back(static_cast<cluster::MemberIndex>(i));
  }
  for (const cluster::Goal& goal : cluster::FreshGoals(layout.members, partitions)) {
    cluster::Group group;
    group.primary = goal[0];
    group.goal = goal;
    group.in_sync = goal;
    std::sort(group.in_sync.begin(), group.in_sync.end());
    group.term = Term(3);
    layout.partitions.push_back(group);
  }
  return layout;
}

}  // namespace

RouterWorld::RouterWorld(int nodes, std::uint32_t partitions, std::uint64_t seed, RouterCoreConfig config)
    : now_(Instant(seconds(1000))) {
  cluster::Layout layout = FirstLayoutOf(nodes, partitions);
  newest_ = layout.epoch.value;
  for (const auto& member : layout.members) {
    auto node = std::make_unique<FakeNode>();
    node->id = member.id;
    node->name = member.name;
    node->address = member.address;
    node->epoch = newest_;
    nodes_.push_back(std::move(node));
  }
  layouts_[newest_] = std::move(layout);
  NodeId self;
  self.bytes[0] = 200;
  config.self.set_id(self.str());
  config.self.set_name("router-1");
  config.self.set_address("router-1:7702");
  config.seeds = {nodes_[0]->address};
  config.writable = [this](CallId) { return writable; };
  core_ = std::make_unique<RouterCore>(std::move(config), seed, now_);
  Take(core_->Tick(now_));
}

// ---- The cluster ------------------------------------------------------------------------------------------------------

FakeNode& RouterWorld::ById(const NodeId& id) {
  for (auto& node : nodes_) {
    if (node->id == id) return *node;
  }
  throw std::logic_error("no such node");
}

FakeNode* RouterWorld::ByAddress(const std::string& address) {
  for (auto& node : nodes_) {
    if (node->address == address) return node.get();
  }
  return nullptr;
}

FakeNode& RouterWorld::PrimaryOf(PartitionId p) { return NodeOf(layout().group(p).primary); }

void RouterWorld::Decide(const std::function<void(cluster::Layout&)>& change) {
  cluster::Layout next = layout();
  next.epoch = next.epoch.Next();
  change(next);
  for (PartitionId p = 0; p < next.partition_count(); ++p) {
    const auto& before = layout().group(p);
    auto& group = next.partitions[p];
    if (group.primary != before.primary || group.in_sync != before.in_sync) group.term = Term(next.epoch.value);
  }
  newest_ = next.epoch.value;
  layouts_[newest_] = std::move(next);
  for (auto& node : nodes_) {
    if (node->up) node->epoch = newest_;
  }
}

void RouterWorld::FailOver(std::size_t i) {
  Decide([&](cluster::Layout& next) {
    const auto gone = static_cast<cluster::MemberIndex>(i);
    for (auto& group : next.partitions) {
      if (!group.InSync(gone) || group.in_sync.size() < 2) continue;
      cluster::Remove(&group.in_sync, gone);
      if (group.primary == gone) group.primary = group.in_sync[0];
    }
  });
}

void RouterWorld::Kill(std::size_t i) {
  FakeNode& node = *nodes_[i];
  node.up = false;
  if (links_.erase(node.id)) {
    ++link_number_[node.id];
    Take(core_->LinkDown(now_, node.id));
  }
}

void RouterWorld::Start(std::size_t i) {
  nodes_[i]->up = true;
  nodes_[i]->epoch = newest_;
}

ZoneId RouterWorld::AddZone(const std::string& name) {
  static std::uint8_t next = 1;
  ZoneId id;
  id.bytes[15] = next++;
  wire::ZoneRecord record;
  record.set_name(name);
  record.set_id(id.str());
  truth_.zones[name] = record;
  return id;
}

// ---- Time and messages ------------------------------------------------------------------------------------------------

void RouterWorld::At(Instant when, std::function<void()> what) { events_.emplace(when, std::move(what)); }

void RouterWorld::Take(RouterCore::Output output) {
  for (const std::string& address : output.dial) Dial(address);
  if (!output.disk_writes.empty() || !output.disk_reads.empty()) on_disk(std::move(output.disk_writes), std::move(output.disk_reads));
  for (auto& reply : output.replies) {
    Result& result = results_[reply.call];
    if (!reply.end) {
      if (result.end) throw std::logic_error("an answer after the end");
      result.responses.push_back(reply.response.str());
      continue;
    }
    ++result.ends;
    result.end = std::move(reply.end);
  }
  for (auto& out : output.send) {
    const bool data = out.message.header.has_data_request();
    auto receipt = out.message.header;
    if (!links_.count(out.to) || (data && refuse_sends > 0)) {
      if (data && links_.count(out.to)) --refuse_sends;
      At(now_, [this, to = out.to, receipt] { Take(core_->NotSent(now_, to, receipt)); });
      continue;
    }
    FakeNode& node = ById(out.to);
    const auto number = link_number_[node.id];
    auto message = std::make_shared<PeerMessage>(std::move(out.message));
    At(now_ + std::chrono::microseconds(300), [this, &node, number, message] {
      if (node.up && number == link_number_[node.id]) Deliver(node, std::move(*message));
    });
  }
}

void RouterWorld::Dial(const std::string& address) {
  FakeNode* node = ByAddress(address);
  At(now_ + milliseconds(1), [this, node, address] {
    if (!node || !node->up) return Take(core_->DialFailed(now_, address, true));
    if (!links_.insert(node->id).second) return;
    Take(core_->LinkUp(now_, node->id));
  });
}

void RouterWorld::ToRouter(FakeNode& node, wire::Peer header, std::vector<Payload> bodies, Duration delay) {
  const auto number = link_number_[node.id];
  auto message = std::make_shared<PeerMessage>(PeerMessage{std::move(header), std::move(bodies)});
  At(now_ + delay, [this, &node, number, message] {
    if (node.up && Linked(node) && number == link_number_[node.id]) {
      Take(core_->Receive(now_, node.id, std::move(*message)));
    }
  });
}

void RouterWorld::Deliver(FakeNode& node, PeerMessage message) {
  wire::Peer answer;
  const wire::Peer& header = message.header;
  if (header.has_data_request()) {
    node.got.push_back(header.data_request());
    if (node.silent) return;
    if (node.intercept && node.intercept(node, header.data_request(), message.bodies)) return;
    return OnData(node, header.data_request(), message.bodies);
  }
  if (node.silent) return;
  if (header.has_ping()) {
    answer.mutable_ping_ack()->set_sequence(header.ping().sequence());
  } else if (header.has_push_pull()) {
    if (header.push_pull().answer()) return;
    answer.mutable_push_pull()->set_answer(true);
    for (const auto& other : nodes_) {
      if (!other->up) continue;
      auto* update = answer.mutable_push_pull()->add_updates();
      update->set_incarnation(1);
      update->set_state(1);
      auto* facts = update->mutable_facts();
      facts->set_id(other->id.str());
      facts->set_name(other->name);
      facts->set_address(other->address);
      facts->set_role(1);
      facts->set_epoch(other->epoch);
    }
  } else if (header.has_layout_pull()) {
    if (header.layout_pull().have_epoch() >= node.epoch) return;
    answer.mutable_layout_push()->set_layout(Encode(layouts_.at(node.epoch)));
  } else if (header.has_node_report_request()) {
    on_report(node);
    if (!node.report) return;
    *answer.mutable_node_report() = *node.report;
    answer.mutable_node_report()->set_call(header.node_report_request().call());
  } else if (header.has_layout_change_request()) {
    node.changes_got.push_back(header.layout_change_request());
    return;
  } else {
    return;
  }
  ToRouter(node, std::move(answer));
}

void RouterWorld::Answer(FakeNode& node, wire::DataResponse response, std::vector<Payload> bodies) {
  response.set_epoch(node.epoch);
  wire::Peer header;
  *header.mutable_data_response() = std::move(response);
  ToRouter(node, std::move(header), std::move(bodies), node.delay);
}

void RouterWorld::AnswerError(FakeNode& node, const wire::DataRequest& request, Code code, const std::string& reason,
                              const std::string& message) {
  wire::DataResponse response;
  response.set_call(request.call());
  *response.mutable_status() = MakeError(code, reason, message);
  Answer(node, std::move(response));
}

void RouterWorld::OnData(FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>& bodies) {
  const cluster::Layout& known = layouts_.at(node.epoch);
  const cluster::Group& group = known.group(request.partition());
  const bool primary = known.members[group.primary].id == node.id;
  const bool any = request.has_get_chunk() && request.get_chunk().any_holder();
  const bool local = (request.has_read_chain() && request.read_chain().local()) ||
                     (request.has_head_chain() && request.head_chain().local());
  if (!any && !local && (!primary || Term(request.term()) != group.term)) {
    wire::DataResponse response;
    response.set_call(request.call());
    response.set_fenced(true);
    return Answer(node, std::move(response));
  }
  if (request.has_read_chain() && request.read_chain().wait_ms() > 0) {
    return Watch(node, request, now_ + milliseconds(request.read_chain().wait_ms()));
  }
  Serve(node, request, bodies);
}

void RouterWorld::AnswerChainReads(const wire::ChainResult& result, const std::vector<Payload>& bodies) {
  for (auto& node : nodes_) {
    node->intercept = [this, result, bodies](FakeNode& from, const wire::DataRequest& request, const std::vector<Payload>&) {
      if (!request.has_read_chain()) return false;
      wire::DataResponse response;
      response.set_call(request.call());
      *response.mutable_chain() = result;
      Answer(from, std::move(response), bodies);
      return true;
    };
  }
}

void RouterWorld::Serve(FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>& bodies) {
  std::vector<Payload> out;
  wire::DataResponse response = Execute(truth_, request, bodies, &out);
  response.set_call(request.call());
  Answer(node, std::move(response), std::move(out));
}

// Keeps a question at the end of a chain until there is an entry, the time is up, or the node is no primary any more.
void RouterWorld::Watch(FakeNode& node, const wire::DataRequest& request, Instant until) {
  const auto number = link_number_[node.id];
  if (!node.up || number != link_number_[node.id]) return;
  const std::pair key(request.zone(), request.read_chain().chain());
  auto it = truth_.chains.find(key);
  const std::uint64_t length = it == truth_.chains.end() ? 0 : it->second.size();
  const bool over = truth_.deleted_chains.count(key) || truth_.deleted_zones.count(request.zone());
  const cluster::Group& group = layouts_.at(node.epoch).group(request.partition());
  if (Term(request.term()) != group.term) return OnData(node, request, {});
  if (over || length > request.read_chain().range().from() || now_ >= until) return Serve(node, request, {});
  At(now_ + milliseconds(2), [this, &node, request, until, number] {
    if (node.up && number == link_number_[node.id] && !node.silent) Watch(node, request, until);
  });
}

bool RouterWorld::Step(Instant limit) {
  const Instant event = events_.empty() ? kNever : events_.begin()->first;
  const Instant next = std::min(event, core_->NextDeadline());
  if (next > limit) {
    now_ = limit;
    return false;
  }
  now_ = std::max(now_, next);
  if (event <= now_) {
    auto what = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    what();
  } else {
    Take(core_->Tick(now_));
  }
  return true;
}

void RouterWorld::Run(Duration time) {
  const Instant limit = now_ + time;
  while (Step(limit)) {
  }
}

void RouterWorld::RunUntil(const std::function<bool()>& done, Duration most) {
  const Instant limit = now_ + most;
  while (!done() && Step(limit)) {
  }
}

void RouterWorld::Settle() {
  RunUntil([this] {
    if (!core_->layout() || core_->layout()->epoch.value != newest_) return false;
    return std::all_of(nodes_.begin(), nodes_.end(), [this](const auto& n) { return !n->up || Linked(*n); });
  });
  Run(milliseconds(10));
}

CallId RouterWorld::Call(Request request, Duration deadline) {
  const CallId id = next_call_++;
  Take(core_->Invoke(now_, id, std::move(request), 100, now_ + deadline));
  return id;
}

RouterWorld::Result& RouterWorld::Finish(CallId id) {
  RunUntil([&] { return ended(id); });
  return results_[id];
}

// ---- Requests ---------------------------------------------------------------------------------------------------------

BlockId Id(int n) {
  BlockId id;
  id.bytes[0] = static_cast<std::uint8_t>(n);
  id.bytes[1] = static_cast<std::uint8_t>(n >> 8);
  id.bytes[31] = 1;
  return id;
}

v1::PutRequest Put(const std::string& zone, const BlockId& id, const std::string& data) {
  v1::PutRequest request;
  request.set_zone(zone);
  request.set_id(id.str());
  request.set_data(data);
  return request;
}

v1::GetRequest Get(const std::string& zone, const BlockId& id, std::uint64_t offset, std::uint64_t length) {
  v1::GetRequest request;
  request.set_zone(zone);
  request.set_id(id.str());
  request.set_offset(offset);
  request.set_length(length);
  return request;
}

v1::AppendRequest Append(const std::string& zone, const BlockId& chain, std::uint64_t position,
                         const std::vector<std::string>& bodies, const std::string& predecessor) {
  v1::AppendRequest request;
  request.set_zone(zone);
  request.set_chain(chain.str());
  request.set_position(position);
  request.set_predecessor(predecessor);
  for (const auto& body : bodies) request.add_entries()->set_body(body);
  return request;
}

int Gets(const FakeNode& node) {
  int n = 0;
  for (const auto& request : node.got) n += request.has_get_chunk();
  return n;
}

}  // namespace coffer::router
