// coffer.v1.Zones: each method as a Call. All go to the primary of the registry partition, but a look at what is remembered.
#include "cluster/placement.h"
#include "router/core/call.h"
#include "router/core/validate.h"

namespace coffer::router {
namespace {

OpSpec RegistrySpec(CallHost& host, bool write) {
  OpSpec spec;
  spec.partition = cluster::RegistryPartition(host.layout()->partition_count());
  spec.request.set_zone(ZoneId().str());
  spec.write = write;
  return spec;
}

void ToPublic(const wire::ZoneRecord& record, v1::Zone* zone) {
  zone->set_name(record.name());
  zone->set_id(record.id());
  zone->set_created_ms(record.created_ms());
  zone->set_state(record.deleting() ? v1::ZONE_STATE_DELETING : v1::ZONE_STATE_ACTIVE);
}

class CreateZoneCall final : public Call {
 public:
  CreateZoneCall(CallId id, Instant deadline, CallHost& host, const v1::ZonesCreateRequest& request)
      : Call(id, deadline, host) {
    record_.set_name(request.name());
    record_.set_id(request.id());
  }

  // The id is drawn once, by the client if it knows how, so that sending the record again can't make a second zone.
  void Start() override {
    if (record_.id().empty()) record_.set_id(DrawId().str());
    record_.set_created_ms(host().wall_ms());
    OpSpec spec = RegistrySpec(host(), /*write=*/true);
    *spec.request.mutable_create_zone()->mutable_zone() = record_;
    Ask(0, std::move(spec));
  }
  void OpDone(Slot, OpResult result) override {
    if (!IsOk(result.status)) return End(std::move(result.status));
    // As it was stored by an earlier request, if this one is a repetition.
    if (result.response.zones().zones_size() == 1) record_ = result.response.zones().zones(0);
    host().RememberZone(record_.name(), ZoneId::Must(record_.id()));
    v1::ZonesCreateResponse response;
    ToPublic(record_, response.mutable_zone());
    Succeed(response);
  }

 private:
  ZoneId DrawId() {
    ZoneId zone;
    while (zone.IsZero()) {
      for (auto& byte : zone.bytes) byte = static_cast<std::uint8_t>(host().random().Below(256));
    }
    return zone;
  }

  wire::ZoneRecord record_;
};

class ListZonesCall final : public Call {
 public:
  ListZonesCall(CallId id, Instant deadline, CallHost& host, const v1::ZonesListRequest& request)
      : Call(id, deadline, host),
        name_(request.name()),
        after_(FromPageToken(request.page_token()).value_or("")),
        limit_(request.page_size() == 0 ? static_cast<std::uint32_t>(kMaxPageSize) : request.page_size()) {}

  void Start() override {
    OpSpec spec = RegistrySpec(host(), /*write=*/false);
    if (name_.empty()) {
      spec.request.mutable_list_zones()->set_after(after_);
      spec.request.mutable_list_zones()->set_limit(limit_);
    } else {
      spec.request.mutable_get_zone()->set_name(name_);
    }
    Ask(0, std::move(spec));
  }
  void OpDone(Slot, OpResult result) override {
    v1::ZonesListResponse response;
    if (!name_.empty() && CodeOf(result.status) == Code::kNotFound) return Succeed(response);
    if (!IsOk(result.status)) return End(std::move(result.status));
    const auto& zones = result.response.zones();
    for (const auto& record : zones.zones()) ToPublic(record, response.add_zones());
    if (zones.more() && zones.zones_size() > 0) response.set_next_page_token(PageToken(zones.zones().rbegin()->name()));
    Succeed(response);
  }

 private:
  const std::string name_;
  const std::string after_;
  const std::uint32_t limit_;
};

class ResolveZoneCall final : public ZonedCall {
 public:
  ResolveZoneCall(CallId id, Instant deadline, CallHost& host, const v1::ZonesResolveRequest& request)
      : ZonedCall(id, deadline, host, request.zone()) {}

  void Run() override {
    v1::ZonesResolveResponse response;
    response.set_id(zone().str());
    Succeed(response);
  }
  void Answered(Slot, OpResult) override {}
  void Reissue(Slot) override {}
};

// A deletion is of one zone, by its id: sent again by name alone it could delete a zone made since. A client that names no id
// means the zone that has the name now.
class DeleteZoneCall final : public Call {
 public:
  DeleteZoneCall(CallId id, Instant deadline, CallHost& host, const v1::ZonesDeleteRequest& request)
      : Call(id, deadline, host), name_(request.name()), zone_(request.id()) {}

  void Start() override {
    if (!zone_.empty()) return Delete();
    OpSpec spec = RegistrySpec(host(), /*write=*/false);
    spec.request.mutable_get_zone()->set_name(name_);
    Ask(kLook, std::move(spec));
  }
  void OpDone(Slot slot, OpResult result) override {
    host().ForgetZone(name_);
    if (slot == kDelete) {
      if (!IsOk(result.status)) return End(std::move(result.status));
      host().ForgetZoneId(ZoneId::Must(zone_));
      return Succeed(v1::ZonesDeleteResponse());
    }
    const bool absent = CodeOf(result.status) == Code::kNotFound ||
                        (IsOk(result.status) && result.response.zones().zones_size() == 0);
    if (absent || (IsOk(result.status) && result.response.zones().zones(0).deleting())) return End(ZoneUnknown(name_));
    if (!IsOk(result.status)) return End(std::move(result.status));
    zone_ = result.response.zones().zones(0).id();
    Delete();
  }

 private:
  static constexpr Slot kLook = 0;
  static constexpr Slot kDelete = 1;

  void Delete() {
    OpSpec spec = RegistrySpec(host(), /*write=*/true);
    spec.request.mutable_delete_zone()->set_name(name_);
    spec.request.mutable_delete_zone()->set_zone(zone_);
    Ask(kDelete, std::move(spec));
  }

  const std::string name_;
  std::string zone_;  // the id; empty until known
};

}  // namespace

std::unique_ptr<Call> MakeZonesCall(CallId id, Instant deadline, CallHost& host, Request request) {
  switch (MethodOf(request)) {
    case Method::kZonesCreate:
      return std::make_unique<CreateZoneCall>(id, deadline, host, std::get<v1::ZonesCreateRequest>(request));
    case Method::kZonesList:
      return std::make_unique<ListZonesCall>(id, deadline, host, std::get<v1::ZonesListRequest>(request));
    case Method::kZonesResolve:
      return std::make_unique<ResolveZoneCall>(id, deadline, host, std::get<v1::ZonesResolveRequest>(request));
    default: return std::make_unique<DeleteZoneCall>(id, deadline, host, std::get<v1::ZonesDeleteRequest>(request));
  }
}

}  // namespace coffer::router
