#include "sim/zone_client.h"

#include "client/rpc_status.h"
#include "coffer/v1/chains.pb.h"
#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/zones.pb.h"
#include "sim/public_form.h"

namespace coffer::sim {
namespace {

using client::Code;
using client::RetryClass;
using std::chrono::milliseconds;

constexpr Duration kDeadline = milliseconds(4000);
constexpr Duration kLookAgain = milliseconds(10);

NodeId IdOf(std::uint8_t number) {
  NodeId id;
  id.bytes.fill(number);
  return id;
}

std::string ChunkKey(const std::string& id) { return "c" + id; }
std::string ChainKey(const std::string& id) { return "e" + id; }

Outcome OutcomeOf(const PublicAnswer& answer) {
  if (answer.retry_class == RetryClass::kOk) return Outcome::kOk;
  if (!answer.Definite()) return Outcome::kUnknown;
  return static_cast<Code>(answer.status.code()) == Code::kNotFound ? Outcome::kNotFound : Outcome::kNotDone;
}

}  // namespace

ZoneClient::ZoneClient(SimCluster& cluster, ZoneLoad& load, std::uint8_t number, std::size_t owner, std::size_t owners)
    : cluster_(cluster),
      load_(load),
      random_(cluster.random().Next()),
      name_("client-" + std::to_string(number)),
      self_(IdOf(number)),
      caller_(cluster, self_, random_.Next()) {
  for (std::size_t i = owner; i < load.names.size(); i += owners) owned_[load.names[i]];
}

void ZoneClient::Go() {
  going_ = true;
  Poll();
}

void ZoneClient::ReadBack() {
  back_ = load_.zones.Blocks();
  Poll();
}

bool ZoneClient::Settled() const {
  for (const auto& [name, owned] : owned_) {
    if (owned.stage == Stage::kCreating || owned.stage == Stage::kDeleting) return false;
  }
  return true;
}

void ZoneClient::Poll() {
  if (caller_.Idle() && !back_.empty()) {
    const auto [zone, block] = std::move(back_.back());
    back_.pop_back();
    block[0] == 'c' ? Has(zone, block.substr(1)) : Read(zone, block.substr(1));
  } else if (caller_.Idle()) {
    Act();
  }
  if (!going_ && Idle() && back_.empty()) return;
  const Duration wait = caller_.Idle() && back_.empty() ? Duration(random_.Below(static_cast<std::uint64_t>(load_.think.count()) + 1)) : kLookAgain;
  cluster_.At(wait, [this] { Poll(); });
}

void ZoneClient::Act() {
  if (!owned_.empty() && random_.Chance(1, 12)) {
    const auto owned = std::next(owned_.begin(), static_cast<std::ptrdiff_t>(random_.Below(owned_.size())));
    return Step(owned->first);
  }
  if (!going_) {
    for (const auto& [name, owned] : owned_) {
      if (owned.stage == Stage::kCreating || owned.stage == Stage::kDeleting) return Step(name);
    }
    return;
  }
  const std::string& zone = load_.names[random_.Below(load_.names.size())];
  const std::string& id = load_.ids[random_.Below(load_.ids.size())];
  switch (random_.Below(8)) {
    case 0: case 1: case 2: return Put(zone, id);
    case 3: return Has(zone, id);
    case 4: case 5: return Get(zone, id);
    case 6: return Append(zone, id);
    default: return Read(zone, id);
  }
}

void ZoneClient::Ask(PublicCall call, Answered done) {
  caller_.Ask(std::move(call), kDeadline, [this, done = std::move(done)](const PublicAnswer& answer) {
    ++(answer.retry_class == RetryClass::kOk ? load_.succeeded : answer.Definite() ? load_.refused : load_.unknown);
    done(answer);
  });
}

// --- Zones --------------------------------------------------------------------------------------------------------------

void ZoneClient::Step(const std::string& name) {
  Owned& owned = owned_.at(name);
  if (owned.stage == Stage::kAbsent && !going_) return;
  if (owned.stage == Stage::kAbsent) {
    for (auto& byte : owned.id.bytes) byte = static_cast<std::uint8_t>(random_.Next());
    owned.stage = Stage::kCreating;
  } else if (owned.stage == Stage::kThere) {
    if (!going_) return;
    owned.stage = Stage::kDeleting;
  }
  owned.stage == Stage::kCreating ? Create(name, owned) : Delete(name, owned);
}

void ZoneClient::Create(const std::string& name, Owned& owned) {
  load_.zones.BeginCreate(name, owned.id);
  v1::ZonesCreateRequest request;
  request.set_name(name);
  request.set_id(owned.id.str());
  Ask({"coffer.v1.Zones/Create", request.SerializeAsString(), client::Effect::kRepeatSafe, {}, {}}, [this, name, &owned](const PublicAnswer& answer) {
    if (answer.retry_class != RetryClass::kOk) return;  // the last zone of this name may be being deleted still
    v1::ZonesCreateResponse response;
    if (!response.ParseFromString(answer.responses.at(0)) || response.zone().id() != owned.id.str()) return Report("zone " + name + " was made with another id");
    load_.zones.EndCreate(name);
    ++load_.created;
    owned.stage = Stage::kThere;
  });
}

void ZoneClient::Delete(const std::string& name, Owned& owned) {
  load_.zones.BeginDelete(name);
  v1::ZonesDeleteRequest request;
  request.set_name(name);
  request.set_id(owned.id.str());
  Ask({"coffer.v1.Zones/Delete", request.SerializeAsString(), client::Effect::kRepeatSafe, {}, {}}, [this, name, &owned](const PublicAnswer& answer) {
    if (answer.Definite() && static_cast<Code>(answer.status.code()) == Code::kNotFound) return Report(load_.zones.DeleteFoundNothing(name));
    if (answer.retry_class != RetryClass::kOk) return;
    load_.zones.EndDelete(name);
    ++load_.deleted;
    owned.stage = Stage::kAbsent;
  });
}

// --- Blocks -------------------------------------------------------------------------------------------------------------

void ZoneClient::Put(const std::string& zone, const std::string& id) {
  const std::string value = zone + "/" + std::to_string(load_.next_value++);
  const auto token = load_.zones.BeginPut(zone, ChunkKey(id), value);
  wire::DataRequest request;
  request.mutable_put_chunk()->set_id(id);
  Ask(ToPublic(zone, request, {std::make_shared<const std::string>(value)}),
      [this, token](const PublicAnswer& answer) { Report(load_.zones.EndPut(token, OutcomeOf(answer))); });
}

// The first entry of a chain: a put into a chain that is not there.
void ZoneClient::Append(const std::string& zone, const std::string& id) {
  const std::string value = zone + "/" + std::to_string(load_.next_value++);
  const auto token = load_.zones.BeginPut(zone, ChainKey(id), value);
  wire::DataRequest request;
  request.mutable_append()->set_chain(id);
  Ask(ToPublic(zone, request, {std::make_shared<const std::string>(value)}),
      [this, token](const PublicAnswer& answer) { Report(load_.zones.EndPut(token, OutcomeOf(answer))); });
}

void ZoneClient::Found(const ZoneChecker::Token& token, const PublicAnswer& answer, const std::optional<std::string>& value, bool anywhere) {
  if (answer.retry_class == RetryClass::kOk) return Report(anywhere ? load_.zones.EndFoundAnywhere(token, *value) : load_.zones.EndFound(token, value));
  if (!answer.Definite() || static_cast<Code>(answer.status.code()) != Code::kNotFound) return;
  Report(load_.zones.EndAbsent(token, client::FromRpc(answer.status).reason.rfind("ZONE_", 0) == 0));
}

void ZoneClient::Get(const std::string& zone, const std::string& id) {
  const auto token = load_.zones.Begin(zone, ChunkKey(id));
  wire::DataRequest request;
  request.mutable_get_chunk()->set_id(id);
  Ask(ToPublic(zone, request, {}), [this, token, request](const PublicAnswer& answer) {
    wire::DataResponse response;
    std::vector<Payload> bodies;
    if (!FromPublic(request, answer, &response, &bodies)) return Report("a chunk's answer can't be read");
    Found(token, answer, bodies.empty() ? "" : *bodies[0], /*anywhere=*/true);
  });
}

void ZoneClient::Has(const std::string& zone, const std::string& id) {
  const auto token = load_.zones.Begin(zone, ChunkKey(id));
  wire::DataRequest request;
  request.mutable_has_chunks()->add_ids(id);
  Ask(ToPublic(zone, request, {}), [this, token, request](const PublicAnswer& answer) {
    wire::DataResponse response;
    std::vector<Payload> bodies;
    if (!FromPublic(request, answer, &response, &bodies)) return Report("an answer about a chunk can't be read");
    const bool absent = answer.retry_class == RetryClass::kOk && response.presence().present_size() == 1 && !response.presence().present(0);
    if (absent) return Report(load_.zones.EndAbsent(token, false));
    Found(token, answer, std::nullopt, false);
  });
}

void ZoneClient::Read(const std::string& zone, const std::string& id) {
  const auto token = load_.zones.Begin(zone, ChainKey(id));
  wire::DataRequest request;
  request.mutable_read_chain()->set_chain(id);
  request.mutable_read_chain()->mutable_range()->set_from(0);
  Ask(ToPublic(zone, request, {}), [this, token, request](const PublicAnswer& answer) {
    wire::DataResponse response;
    std::vector<Payload> bodies;
    if (!FromPublic(request, answer, &response, &bodies)) return Report("a chain's answer can't be read");
    if (answer.retry_class != RetryClass::kOk) return Found(token, answer, std::nullopt, false);
    const auto code = static_cast<Code>(response.status().code());
    if (code == Code::kNotFound) return Report(load_.zones.EndAbsent(token, false));
    if (code != Code::kOk) return;
    if (bodies.size() != 1) return Report("a chain of one entry has " + std::to_string(bodies.size()));
    Report(load_.zones.EndFound(token, *bodies[0]));
  });
}

}  // namespace coffer::sim
