#include "sim/sim_client.h"

#include "cluster/placement.h"
#include "cluster/sha256.h"
#include "node/core/replica.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;
constexpr Duration kAttempt = milliseconds(400);
constexpr Duration kDeadline = milliseconds(3000);

}  // namespace

SimClient::SimClient(SimCluster& cluster, std::uint64_t number) : cluster_(cluster), random_(cluster.random().Next()) {
  id_.bytes.fill(static_cast<std::uint8_t>(200 + number));
  zone_.bytes.fill(static_cast<std::uint8_t>(1 + number));
  cluster_.clients[id_] = [this](const NodeId&, PeerMessage m) { OnMessage(std::move(m)); };
}

void SimClient::Begin(wire::DataRequest request, std::vector<Payload> bodies,
                      std::function<void(const wire::DataResponse*, const std::vector<Payload>&)> done) {
  Open open;
  open.request = std::move(request);
  open.request.set_zone(zone_.str());
  open.bodies = std::move(bodies);
  open.deadline = cluster_.now() + kDeadline;
  open.done = std::move(done);
  open_ = std::move(open);
  Attempt();
  Poll();
}

void SimClient::Attempt() {
  Open& o = *open_;
  o.sent = cluster_.now();
  o.call = next_call_++;
  // The layout of any living node: it may be old.
  std::vector<std::size_t> living;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (cluster_.Up(i) && cluster_.node(i).core->layout()) living.push_back(i);
  }
  if (living.empty()) return;
  const auto layout = cluster_.node(living[random_.Below(living.size())]).core->layout();
  const auto& group = layout->group(o.request.partition());
  for (const std::size_t i : living) {
    if (cluster_.node(i).id != layout->members[group.primary].id) continue;
    o.request.set_call(o.call);
    o.request.set_term(group.term.value);
    o.request.set_deadline_ms(2000);
    PeerMessage message;
    *message.header.mutable_data_request() = o.request;
    message.bodies = o.bodies;
    o.ever_sent = true;
    cluster_.SendAs(id_, i, std::move(message));
  }
}

void SimClient::Poll() {
  cluster_.At(milliseconds(20), [this] {
    if (!open_) return;
    if (cluster_.now() >= open_->deadline) {
      auto done = std::move(open_->done);
      open_.reset();
      ++unknown_;
      done(nullptr, {});
      return;
    }
    if (cluster_.now() - open_->sent >= kAttempt) Attempt();
    Poll();
  });
}

void SimClient::OnMessage(PeerMessage message) {
  if (!open_ || !message.header.has_data_response() || message.header.data_response().call() != open_->call) return;
  const auto& response = message.header.data_response();
  const int code = response.status().code();
  if (response.fenced() || code == 14 || code == 8) {
    open_->sent = cluster_.now() - kAttempt + milliseconds(10 + random_.Below(30));
    return;
  }
  auto done = std::move(open_->done);
  open_.reset();
  ++acknowledged_;
  done(&response, message.bodies);
}

void SimClient::Act() {
  if (open_) return;
  if (verifying_) {
    if (verify_queue_.empty()) return;
    const auto [kind, id] = verify_queue_.back();
    verify_queue_.pop_back();
    return kind == 'c' ? Get(id) : ReadChain(id);
  }
  auto some = [&](auto& map) { return std::next(map.begin(), static_cast<std::ptrdiff_t>(random_.Below(map.size())))->first; };
  switch (random_.Below(10)) {
    case 0: case 1: case 2: return Put();
    case 3: case 4: if (!chunks_.empty()) return Get(some(chunks_)); return Put();
    case 5: if (chunks_.size() > 5) return Delete(some(chunks_)); return Put();
    case 6: if (!chains_.empty()) return ReadChain(some(chains_)); [[fallthrough]];
    default: {
      std::string chain = chains_.size() < 3 ? Sha256({"chain", std::to_string(next_id_++), zone_.view()}).str() : some(chains_);
      return Append(chain);
    }
  }
}

void SimClient::StartVerifying() {
  verifying_ = true;
  for (const auto& [id, record] : chunks_) verify_queue_.push_back({'c', id});
  for (const auto& [id, record] : chains_) verify_queue_.push_back({'e', id});
}

void SimClient::Put() {
  const std::string id = Sha256({"chunk", std::to_string(next_id_++), zone_.view()}).str();
  ChunkRecord& record = chunks_[id];
  record.value = std::string(random_.Below(300), static_cast<char>('a' + random_.Below(26)));
  record.partition = cluster::PartitionOf(zone_, BlockId::Must(id), cluster_.partitions());
  wire::DataRequest request;
  request.set_partition(record.partition);
  request.mutable_put_chunk()->set_id(id);
  Begin(request, {std::make_shared<const std::string>(record.value)}, [this, id](const wire::DataResponse* r, const auto&) {
    if (!r) return;
    if (r->status().code() != 0) return Break("a put of new bytes under a new id was refused: " + r->status().message());
    chunks_[id].put_acknowledged = true;
  });
}

void SimClient::Get(const std::string& id) {
  wire::DataRequest request;
  request.set_partition(chunks_[id].partition);
  request.mutable_get_chunk()->set_id(id);
  Begin(request, {}, [this, id](const wire::DataResponse* r, const std::vector<Payload>& bodies) {
    if (!r) return;
    ChunkRecord& record = chunks_[id];
    if (r->status().code() == 0) {
      if (bodies.size() != 1 || *bodies[0] != record.value) Break("chunk " + Hex(id) + " came back with other bytes");
      // Found is said without a confirming round (R13.1): a primary of an earlier layout may not know of the delete.
      if (record.deleted_in && Epoch(r->epoch()) >= *record.deleted_in) Break("chunk " + Hex(id) + " came back after its delete was acknowledged");
    } else if (r->status().code() == 5) {
      if (record.put_acknowledged && !record.delete_started) Break("acknowledged chunk " + Hex(id) + " is NOT_FOUND");
      // A confirmed "not there" of a put that is not under way any more: it can't appear later, unless it was never settled.
    } else {
      Break("a read answered " + std::to_string(r->status().code()) + ": " + r->status().message());
    }
  });
}

void SimClient::Delete(const std::string& id) {
  chunks_[id].delete_started = true;
  wire::DataRequest request;
  request.set_partition(chunks_[id].partition);
  request.mutable_delete_chunk()->set_id(id);
  Begin(request, {}, [this, id](const wire::DataResponse* r, const auto&) {
    if (!r) return;
    ChunkRecord& record = chunks_[id];
    if (r->status().code() == 0) record.deleted_in = Epoch(r->epoch());
    else if (r->status().code() == 5 && !record.put_acknowledged) return;
    else Break("a delete answered " + std::to_string(r->status().code()) + ": " + r->status().message());
  });
}

void SimClient::Append(const std::string& chain) {
  ChainRecord& record = chains_[chain];
  record.partition = cluster::PartitionOf(zone_, BlockId::Must(chain), cluster_.partitions());
  if (!record.unknown.empty() && random_.Chance(1, 2)) return ReadChain(chain);
  const std::uint64_t position = record.acknowledged.size();
  Digest predecessor;
  for (std::uint64_t i = 0; i < position; ++i) {
    predecessor = node::EntryHash(BlockId::Must(chain), i, predecessor, "", record.acknowledged[i]);
  }
  wire::DataRequest request;
  request.set_partition(record.partition);
  auto* op = request.mutable_append();
  op->set_chain(chain);
  op->set_position(position);
  op->set_predecessor(predecessor.str());
  auto bodies = std::make_shared<std::vector<std::string>>(record.unknown);
  for (std::uint64_t i = 0, n = bodies->empty() ? 1 + random_.Below(3) : 0; i < n; ++i) {
    bodies->push_back(Short(id_) + "/" + std::to_string(position + i) + "/" + std::to_string(next_id_++));
  }
  std::vector<Payload> payloads;
  for (const std::string& body : *bodies) payloads.push_back(std::make_shared<const std::string>(body));
  Begin(request, payloads, [this, chain, bodies](const wire::DataResponse* r, const auto&) {
    ChainRecord& c = chains_[chain];
    c.unknown = *bodies;
    if (!r) return;
    if (r->status().code() != 0) return Break("an append at the head of an unshared chain was refused: " + r->status().message());
    c.acknowledged.insert(c.acknowledged.end(), bodies->begin(), bodies->end());
    c.unknown.clear();
  });
}

void SimClient::ReadChain(const std::string& chain) {
  wire::DataRequest request;
  request.set_partition(chains_[chain].partition);
  request.mutable_read_chain()->set_chain(chain);
  request.mutable_read_chain()->mutable_range()->set_from(0);
  request.mutable_read_chain()->set_max_bytes(1 << 24);
  Begin(request, {}, [this, chain](const wire::DataResponse* r, const std::vector<Payload>& bodies) {
    if (!r) return;
    ChainRecord& c = chains_[chain];
    if (r->status().code() == 5) {
      if (!c.acknowledged.empty()) Break("an acknowledged chain is NOT_FOUND");
      return;
    }
    if (r->status().code() != 0) return Break("a chain read answered " + r->status().message());
    if (bodies.size() < c.acknowledged.size()) {
      return Break("a chain lost entries: " + std::to_string(c.acknowledged.size()) + " acknowledged, " + std::to_string(bodies.size()) + " read");
    }
    for (std::size_t i = 0; i < c.acknowledged.size(); ++i) {
      if (*bodies[i] != c.acknowledged[i]) return Break("entry " + std::to_string(i) + " of a chain changed");
    }
    if (bodies.size() == c.acknowledged.size()) return;  // what is unknown may come to be later
    std::vector<std::string> more;
    for (std::size_t i = c.acknowledged.size(); i < bodies.size(); ++i) more.push_back(*bodies[i]);
    if (more != c.unknown) return Break("a chain grew by itself");
    // What a confirmed read returned is there for good (I9).
    c.acknowledged.insert(c.acknowledged.end(), more.begin(), more.end());
    c.unknown.clear();
  });
}

}  // namespace coffer::sim
