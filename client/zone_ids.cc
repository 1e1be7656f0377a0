#include "client/zone_ids.h"

#include "coffer/v1/chains.pb.h"
#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/zones.pb.h"

namespace coffer::client {
namespace {

// Every request that names a zone's id has it in the same field, so that it can be put behind a serialised one.
constexpr int kField = v1::PutRequest::kZoneIdFieldNumber;
static_assert(kField == v1::PutManyRequest::kZoneIdFieldNumber && kField == v1::DeleteRequest::kZoneIdFieldNumber &&
              kField == v1::AppendRequest::kZoneIdFieldNumber && kField == v1::ChainsDeleteRequest::kZoneIdFieldNumber);
static_assert(kField < 16, "the tag is one byte");

bool ZoneIsGone(const Status& status) { return status.reason == "ZONE_DELETED" || status.reason == "ZONE_UNKNOWN"; }

}  // namespace

std::string ZoneIds::Find(const std::string& name) const {
  const auto it = ids_.find(name);
  return it == ids_.end() ? std::string() : it->second;
}

void ZoneIds::Remember(const std::string& name, const std::string& id) {
  if (ids_.size() >= kMost && !ids_.contains(name)) ids_.erase(ids_.begin());
  ids_[name] = id;
}

void ZoneIds::Forget(const std::string& name, const std::string& id) {
  const auto it = ids_.find(name);
  if (it != ids_.end() && it->second == id) ids_.erase(it);
}

void ZoneStages::Begin(const ZoneIds& known, std::string* request) {
  resolving_ = false;
  if (zone_.empty()) return;
  if (!bare_) bare_ = request->size();
  request->resize(*bare_);
  id_ = unnamed_ ? std::string() : known.Find(zone_);
  if (unnamed_) return;
  resolving_ = id_.empty();
  if (resolving_) return;
  request->push_back(static_cast<char>(kField << 3 | 2));
  request->push_back(static_cast<char>(id_.size()));
  request->append(id_);
}

std::string ZoneStages::ResolveRequest() const {
  v1::ZonesResolveRequest request;
  request.set_zone(zone_);
  return request.SerializeAsString();
}

bool ZoneStages::Next(End* end, ZoneIds* known) {
  const bool another = resolving_ ? Resolved(end, known) : !id_.empty() && ZoneIsGone(end->error) && end->retry_class != RetryClass::kOk;
  if (another && !resolving_) {
    known->Forget(zone_, id_);
    in_doubt_ = in_doubt_ || end->retry_class == RetryClass::kOutcomeUnknown;
  }
  if (another && !end->timed_out) return true;
  if (in_doubt_ && end->retry_class != RetryClass::kOk) end->retry_class = RetryClass::kOutcomeUnknown;
  return false;
}

bool ZoneStages::Resolved(End* end, ZoneIds* known) {
  if (end->retry_class != RetryClass::kOk) {
    unnamed_ = end->error.code == Code::kUnimplemented;
    return unnamed_;
  }
  v1::ZonesResolveResponse response;
  if (end->responses->size() == 1 && response.ParseFromString(end->responses->front()) && response.id().size() == ZoneId::kSize) {
    known->Remember(zone_, response.id());
    return true;
  }
  end->retry_class = RetryClass::kFailed;
  end->error = Status::Failed(Code::kInternal, "the router's answer to Zones/Resolve can't be parsed", "BAD_ANSWER");
  return false;
}

}  // namespace coffer::client
