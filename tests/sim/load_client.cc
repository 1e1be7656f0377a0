#include "sim/load_client.h"

#include <algorithm>

#include "client/rpc_status.h"
#include "cluster/placement.h"
#include "cluster/sha256.h"
#include "node/core/replica.h"
#include "sim/public_form.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;

constexpr Duration kAttempt = milliseconds(700);
constexpr Duration kNodeDeadline = milliseconds(2000);  // of one attempt, at most
constexpr Duration kPoll = milliseconds(10);

// Codes of google.rpc.Code that answers carry.
constexpr int kOk = 0, kNotFound = 5, kAlreadyExists = 6, kExhausted = 8, kFailedPrecondition = 9, kAborted = 10, kUnavailable = 14,
              kDataLoss = 15;
// In place of the code of a write that routers say did not happen and will not.
constexpr int kNotDone = 100;

Outcome OutcomeOf(int code) {
  switch (code) {
    case kOk: return Outcome::kOk;
    case kNotFound: return Outcome::kNotFound;
    case kAlreadyExists: return Outcome::kOtherValue;
    case kFailedPrecondition: return Outcome::kDeleted;
    case kNotDone: return Outcome::kNotDone;
    default: return Outcome::kUnknown;
  }
}

}  // namespace

LoadClient::LoadClient(SimCluster& cluster, Load& load, std::uint8_t number, Kind kind)
    : cluster_(cluster), load_(load), random_(cluster.random().Next()), name_("client-" + std::to_string(number)), only_reads_(kind == Kind::kOnlyReads) {
  self_.bytes.fill(number);
  if (kind == Kind::kRouted) routers_ = std::make_unique<PublicCaller>(cluster, self_, random_.Next());
  cluster_.clients[self_] = [this](const NodeId& by, PeerMessage m) { OnMessage(by, std::move(m)); };
}

PartitionId LoadClient::PartitionOfId(const std::string& id) const {
  return cluster::PartitionOf(load_.zone, BlockId::Must(id), cluster_.partitions());
}

void LoadClient::Go() {
  going_ = true;
  Poll();
}

std::string LoadClient::Describe() const {
  if (Idle()) return name_ + " is idle";
  if (!open_) return name_ + " waits for routers: " + routers_->Describe();
  return name_ + " waits for " + open_->request.ShortDebugString().substr(0, 200);
}

void LoadClient::ReadBack(std::vector<std::string> ids, std::vector<std::string> chains) {
  back_ids_ = std::move(ids);
  back_chains_ = std::move(chains);
  Poll();
}

Digest Load::HashOf(const std::string& chain, const std::vector<std::string>& entries) {
  Hashed& known = hashed[chain];
  const auto differs = std::mismatch(known.entries.begin(), known.entries.end(), entries.begin(), entries.end()).first;
  const auto same = static_cast<std::size_t>(differs - known.entries.begin());
  known.entries.resize(same);
  known.hashes.resize(same);
  for (std::size_t i = same; i < entries.size(); ++i) {
    const Digest before = i == 0 ? Digest() : known.hashes[i - 1];
    known.entries.push_back(entries[i]);
    known.hashes.push_back(node::EntryHash(BlockId::Must(chain), i, before, "", entries[i]));
  }
  return entries.empty() ? Digest() : known.hashes.back();
}

std::string Load::NewId() { return Sha256({"id", std::to_string(next_id++)}).str(); }

// --- Asking -------------------------------------------------------------------------------------------------------------

void LoadClient::Poll() {
  if (Idle() && !back_ids_.empty()) {
    const std::string id = std::move(back_ids_.back());
    back_ids_.pop_back();
    Get(id, false);
  } else if (Idle() && !back_chains_.empty()) {
    const std::string chain = std::move(back_chains_.back());
    back_chains_.pop_back();
    ReadChain(chain);
  } else if (Idle() && going_) {
    Act();
  }
  if (Idle() && !going_) return;
  const bool reading_back = !back_ids_.empty() || !back_chains_.empty();
  const Duration wait = !Idle() || reading_back ? kPoll : Duration(random_.Below(static_cast<std::uint64_t>(load_.think.count()) + 1));
  cluster_.At(wait, [this] {
    if (open_ && cluster_.now() >= open_->deadline) Finish(nullptr, {}, NodeId{});
    if (open_ && cluster_.now() >= open_->next_attempt) Attempt();
    Poll();
  });
}

void LoadClient::Begin(PartitionId partition, wire::DataRequest request, std::vector<Payload> bodies, Done done) {
  if (routers_) return AskRouters(std::move(request), std::move(bodies), std::move(done));
  request.set_zone(load_.zone.str());
  request.set_partition(partition);
  Open open;
  open.any_holder = request.has_get_chunk() && request.get_chunk().any_holder();
  open.request = std::move(request);
  open.bodies = std::move(bodies);
  open.deadline = cluster_.now() + load_.patience;
  open.done = std::move(done);
  open_ = std::move(open);
  Attempt();
}

void LoadClient::AskRouters(wire::DataRequest request, std::vector<Payload> bodies, Done done) {
  PublicCall call = ToPublic(load_.zone_name, request, bodies);
  const bool write = call.effect != client::Effect::kRead;
  routers_->Ask(std::move(call), load_.patience, [this, request = std::move(request), write, done = std::move(done)](const PublicAnswer& answer) {
    wire::DataResponse response;
    std::vector<Payload> found;
    if (!FromPublic(request, answer, &response, &found)) return Report("a router's answer can't be read: " + request.ShortDebugString());
    const int code = response.status().code();
    if (client::FromRpc(answer.status).reason.rfind("ZONE_", 0) == 0) return Report("the zone of the load is said not to be there");
    const bool known = code == kNotFound || code == kAlreadyExists || code == kFailedPrecondition || code == kAborted;
    const bool ok = answer.retry_class == client::RetryClass::kOk;
    if (!ok && !known && write && answer.Definite()) response.mutable_status()->set_code(kNotDone);
    const bool told = ok || (answer.Definite() && (known || write));
    ++(!told ? load_.unknown : ok ? load_.succeeded : load_.refused);
    done(told ? &response : nullptr, found, NodeId{});
  });
}

// As a router that asked some node: it may be behind, or stopped, without knowing.
void LoadClient::LearnLayout(PartitionId partition) {
  const std::size_t i = random_.Below(cluster_.size());
  if (!cluster_.Up(i)) return;
  auto layout = cluster_.node(i).core->layout();
  auto& known = LayoutFor(partition);
  if (layout && (!known || layout->epoch > known->epoch)) known = std::move(layout);
}

void LoadClient::Attempt() {
  Open& o = *open_;
  const PartitionId partition = o.request.partition();
  if (!LayoutFor(partition) || !o.attempts.empty()) LearnLayout(partition);
  o.next_attempt = cluster_.now() + kAttempt;
  const auto layout = LayoutFor(partition);
  if (!layout) return;
  const auto& group = layout->group(partition);
  auto to = cluster_.IndexOf(layout->members[group.primary].id);
  if (o.any_holder) to = random_.Below(cluster_.size());
  if (!to || !cluster_.Up(*to)) {
    o.next_attempt = cluster_.now() + milliseconds(20);
    if (o.attempts.empty()) o.attempts.emplace_back();  // so that the next attempt learns
    return;
  }
  o.attempts.push_back({next_call_++, group.term});
  o.request.set_call(o.attempts.back().call);
  o.request.set_term(group.term.value);
  o.request.set_deadline_ms(static_cast<std::uint32_t>(std::min<Duration>(kNodeDeadline, load_.patience) / milliseconds(1)));
  PeerMessage message;
  *message.header.mutable_data_request() = o.request;
  message.bodies = o.bodies;
  cluster_.SendAs(self_, *to, std::move(message));
}

// An answer to any of the attempts is an answer.
void LoadClient::OnMessage(const NodeId& by, PeerMessage message) {
  if (!open_ || !message.header.has_data_response()) return;
  const auto& response = message.header.data_response();
  const auto asked = std::find_if(open_->attempts.begin(), open_->attempts.end(), [&](const Open::Asked& a) { return a.call == response.call(); });
  if (asked == open_->attempts.end()) return;
  const int code = response.status().code();
  if (response.fenced() || code == kUnavailable || code == kExhausted) {
    if (response.call() == open_->attempts.back().call) open_->next_attempt = cluster_.now() + milliseconds(5 + random_.Below(40));
    return;
  }
  if (!open_->any_holder) Report(load_.primaries.Answered(open_->request.partition(), asked->term, by));
  Finish(&response, message.bodies, by);
}

void LoadClient::Finish(const wire::DataResponse* response, const std::vector<Payload>& bodies, const NodeId& by) {
  const Done done = std::move(open_->done);
  open_.reset();
  ++(!response ? load_.unknown : response->status().code() == kOk ? load_.succeeded : load_.refused);
  done(response, bodies, by);
}

// Whether who answered led the partition by a layout that is as new as any that somebody had when it was asked: then its disk has all
// that was acknowledged before, unless survivors of a force are still to be merged there. Among the living the newest may be an old one:
// that of a node which returned alone (R13.1).
bool LoadClient::ByPrimary(PartitionId partition, const NodeId& by, Epoch answered, Epoch asked) const {
  const auto layout = answered < asked ? nullptr : load_.layouts->Of(answered);
  return layout && layout->group(partition).survivors.empty() && layout->members[layout->group(partition).primary].id == by;
}

// --- Operations ---------------------------------------------------------------------------------------------------------

void LoadClient::Act() {
  const std::string& id = load_.ids[random_.Below(load_.ids.size())];
  const std::string& chain = load_.chains[random_.Below(load_.chains.size())];
  if (routers_ && random_.Chance(1, 8)) return Has(id);
  if (!only_reads_ && load_.deletes_per_mille > 0 && random_.Chance(load_.deletes_per_mille, 1000)) return Delete(id);
  // What writes goes from 0 to 1 and from 23 on.
  switch (only_reads_ ? 2 + random_.Below(21) : random_.Below(40)) {
    case 0: return Delete(id);
    case 1: return random_.Chance(1, 12) ? DeleteChain(chain) : Head(chain);
    case 2: case 3: return Head(chain);
    case 4: case 5: case 6: case 7: return Get(id, true);
    case 8: case 9: case 10: case 11: case 12: case 13: case 14: return Get(id, false);
    case 15: case 16: case 17: case 18: case 19: case 20: case 21: case 22: return ReadChain(chain);
    case 23: case 24: case 25: case 26: case 27: case 28: case 29: case 30: case 31: return Append(chain);
    default: return Put(id);
  }
}

void LoadClient::Put(const std::string& id) {
  // Mostly the value everybody puts there; sometimes another, which only one of them may win.
  const std::string value = Hex(id).substr(0, 16) + (random_.Chance(1, 8) ? " otherwise" : "");
  const auto token = load_.chunks.BeginPut(id, value);
  wire::DataRequest request;
  request.mutable_put_chunk()->set_id(id);
  Begin(PartitionOfId(id), request, {std::make_shared<const std::string>(value)}, [this, token](const auto* r, const auto&, const NodeId& by) {
    const Outcome outcome = r ? OutcomeOf(r->status().code()) : Outcome::kUnknown;
    Report(load_.chunks.EndPut(token, outcome));
    if (outcome == Outcome::kOk) load_.saw_chunk(token.id, by);
  });
}

void LoadClient::Get(const std::string& id, bool any_holder) {
  const auto token = load_.chunks.Begin(id);
  const Epoch asked = load_.layouts->newest() ? load_.layouts->newest()->epoch : Epoch(0);
  wire::DataRequest request;
  request.mutable_get_chunk()->set_id(id);
  request.mutable_get_chunk()->set_any_holder(any_holder);
  Begin(PartitionOfId(id), request, {}, [this, token, asked](const wire::DataResponse* r, const auto& bodies, const NodeId& by) {
    if (!r) return;
    bool not_mine = false;  // a holder that has not got it says nothing about whether it exists
    for (const auto& detail : r->status().details()) not_mine = not_mine || detail.value().find("NOT_MINE") != std::string::npos;
    if (not_mine) return;
    const Outcome outcome = OutcomeOf(r->status().code());
    Report(load_.chunks.EndGet(token, outcome, bodies.empty() ? "" : *bodies[0], ByPrimary(PartitionOfId(token.id), by, Epoch(r->epoch()), asked)));
  });
}

void LoadClient::Has(const std::string& id) {
  const auto token = load_.chunks.Begin(id);
  wire::DataRequest request;
  request.mutable_has_chunks()->add_ids(id);
  Begin(PartitionOfId(id), request, {}, [this, token](const wire::DataResponse* r, const auto&, const NodeId&) {
    if (!r || r->status().code() != kOk) return;
    if (r->presence().present_size() != 1) return Report("an answer about one chunk is about " + std::to_string(r->presence().present_size()));
    Report(load_.chunks.EndHas(token, r->presence().present(0)));
  });
}

void LoadClient::Delete(const std::string& id) {
  const auto token = load_.chunks.BeginDelete(id);
  wire::DataRequest request;
  request.mutable_delete_chunk()->set_id(id);
  Begin(PartitionOfId(id), request, {}, [this, token](const auto* r, const auto&, const NodeId& by) {
    if (!r) return;
    const Outcome outcome = OutcomeOf(r->status().code());
    Report(load_.chunks.EndDelete(token, outcome));
    if (outcome != Outcome::kOk) return;
    load_.saw_chunk(token.id, by);
    if (random_.Chance(1, 2)) std::replace(load_.ids.begin(), load_.ids.end(), token.id, load_.NewId());
  });
}

namespace {

// The bodies of the entries, packed or each by itself.
std::vector<std::string> EntriesOf(const wire::ChainResult& chain, const std::vector<Payload>& bodies) {
  std::vector<std::string> entries;
  if (chain.has_packed()) {
    coffer::v1::ReadResponse pack;
    if (!pack.ParseFromString(*bodies.at(0))) return {};
    for (auto& entry : *pack.mutable_entries()) entries.push_back(std::move(*entry.mutable_body()));
    return entries;
  }
  for (const Payload& body : bodies) entries.push_back(*body);
  return entries;
}

}  // namespace

void LoadClient::ReadChain(const std::string& chain) {
  const auto token = load_.chains_seen.Begin(chain);
  wire::DataRequest request;
  request.mutable_read_chain()->set_chain(chain);
  request.mutable_read_chain()->mutable_range()->set_from(0);
  request.mutable_read_chain()->set_max_bytes(1 << 24);
  request.mutable_read_chain()->set_packed(true);
  Begin(PartitionOfId(chain), request, {}, [this, token](const wire::DataResponse* r, const auto& bodies, const NodeId&) {
    if (!r) return;
    const Outcome outcome = OutcomeOf(r->status().code());
    if (outcome == Outcome::kNotFound) return Report(load_.chains_seen.EndGone(token, false));
    if (outcome != Outcome::kOk) return;
    const std::vector<std::string> entries = EntriesOf(r->chain(), bodies);
    heads_[token.chain] = {entries.size(), load_.HashOf(token.chain, entries)};
    Report(load_.chains_seen.EndRead(token, entries));
    load_.saw_chain(token.chain);
  });
}

void LoadClient::Append(const std::string& chain) {
  const auto [position, predecessor] = heads_[chain];
  std::vector<std::string> bodies;
  std::vector<Payload> payloads;
  Digest hash = predecessor;
  for (std::uint64_t i = 0, n = 1 + random_.Below(3); i < n; ++i) {
    bodies.push_back(name_ + "/" + std::to_string(next_body_++));
    payloads.push_back(std::make_shared<const std::string>(bodies.back()));
    hash = node::EntryHash(BlockId::Must(chain), position + i, hash, "", bodies.back());
  }
  const auto token = load_.chains_seen.BeginAppend(chain, position, bodies);
  wire::DataRequest request;
  request.mutable_append()->set_chain(chain);
  request.mutable_append()->set_position(position);
  request.mutable_append()->set_predecessor(predecessor.str());
  Begin(PartitionOfId(chain), request, payloads, [this, token, hash](const wire::DataResponse* r, const auto&, const NodeId&) {
    if (!r) {
      heads_.erase(token.chain);
      return;
    }
    const int code = r->status().code();
    if (code == kOk) {
      heads_[token.chain] = {token.position + token.bodies.size(), hash};
      Report(load_.chains_seen.EndAppend(token));
      load_.saw_chain(token.chain);
    } else if (code == kAborted) {
      const auto& head = r->head().head();
      heads_[token.chain] = {head.length(), Digest::Must(head.hash())};
      Report(load_.chains_seen.EndConflict(token, head.length()));
    } else if (code == kFailedPrecondition) {
      Report(load_.chains_seen.EndGone(token, true));
    } else if (code == kNotDone) {
      Report(load_.chains_seen.EndRefused(token));
    }
  });
}

void LoadClient::Head(const std::string& chain) {
  const auto token = load_.chains_seen.Begin(chain);
  wire::DataRequest request;
  request.mutable_head_chain()->set_chain(chain);
  Begin(PartitionOfId(chain), request, {}, [this, token](const wire::DataResponse* r, const auto&, const NodeId&) {
    if (!r) return;
    const Outcome outcome = OutcomeOf(r->status().code());
    if (outcome == Outcome::kNotFound) return Report(load_.chains_seen.EndGone(token, false));
    if (outcome != Outcome::kOk) return;
    if (r->head().head().length() == 0) return Report(load_.chains_seen.EndGone(token, false));  // of a deleted chain, too
    heads_[token.chain] = {r->head().head().length(), Digest::Must(r->head().head().hash())};
    Report(load_.chains_seen.EndHead(token, r->head().head().length()));
  });
}

void LoadClient::DeleteChain(const std::string& chain) {
  const auto token = load_.chains_seen.BeginDelete(chain);
  wire::DataRequest request;
  request.mutable_delete_chain()->set_chain(chain);
  Begin(PartitionOfId(chain), request, {}, [this, token](const wire::DataResponse* r, const auto&, const NodeId&) {
    if (r && r->status().code() == kOk) {
      load_.chains_seen.EndDelete(token);
      load_.saw_chain(token.chain);
      std::replace(load_.chains.begin(), load_.chains.end(), token.chain, load_.NewId());
    }
  });
}

}  // namespace coffer::sim
