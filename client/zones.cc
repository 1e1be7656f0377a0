// Zones. A zone's id is what makes creating and deleting it repeat-safe: it is the same in every attempt.
#include <random>

#include "client/call_series.h"
#include "coffer/v1/zones.pb.h"

namespace coffer::client {
namespace {

ZoneInfo ToZone(const v1::Zone& z) {
  return {z.name(), z.id(), z.created_ms(), z.state() == v1::ZONE_STATE_DELETING};
}

std::string DrawZoneId() {
  std::random_device device;
  std::string id;
  while (id.size() < ZoneId::kSize) id.push_back(static_cast<char>(device() & 0xff));
  return id;
}

// DeleteZone under way: which zone has the name, then that zone's deletion.
class ZoneDeleter : public CallSeries, public std::enable_shared_from_this<ZoneDeleter> {
 public:
  ZoneDeleter(const std::shared_ptr<Client::Impl>& client, std::string name, CallOptions options, Callback<Done> done)
      : CallSeries(client, std::move(options)), name_(std::move(name)), done_(std::move(done)) {}

  void Find() {
    const auto client = this->client();
    if (!client) return done_(Closed());
    v1::ZonesListRequest request;
    request.set_name(name_);
    Keep(client->RunUnary<v1::ZonesListResponse>(
        client->NewJob("coffer.v1.Zones/List", request.SerializeAsString(), Effect::kRead, options()),
        Callback<std::string>([self = shared_from_this()](Result<std::string> id) {
          if (!id.ok()) return self->done_(std::move(id.status));
          self->Delete(id.value);
        }),
        [name = name_](v1::ZonesListResponse r) -> Result<std::string> {
          for (const v1::Zone& zone : r.zones()) {
            if (zone.name() == name) return zone.id();
          }
          return Status::Failed(Code::kNotFound, "there is no zone \"" + name + "\"", "ZONE_UNKNOWN");
        }));
  }

 private:
  void Delete(const std::string& id) {
    const auto client = this->client();
    if (!client) return done_(Closed());
    v1::ZonesDeleteRequest request;
    request.set_name(name_);
    request.set_id(id);
    Job job = client->NewJob("coffer.v1.Zones/Delete", request.SerializeAsString(), Effect::kRepeatSafe, options());
    Limit(&job);
    Keep(client->RunUnary<v1::ZonesDeleteResponse>(std::move(job), done_, [engine = client->engine.get(), name = name_](v1::ZonesDeleteResponse) {
      engine->TellZone(name, "");
      return Done{};
    }));
  }

  const std::string name_;
  const Callback<Done> done_;
};

}  // namespace

Ticket Client::CreateZone(const std::string& name, const CallOptions& o, Callback<ZoneInfo> done) {
  v1::ZonesCreateRequest request;
  request.set_name(name);
  request.set_id(DrawZoneId());
  return impl_->RunUnary<v1::ZonesCreateResponse>(
      impl_->NewJob("coffer.v1.Zones/Create", request.SerializeAsString(), Effect::kRepeatSafe, o), std::move(done),
      [engine = impl_->engine.get()](v1::ZonesCreateResponse r) {
        engine->TellZone(r.zone().name(), r.zone().id());
        return ToZone(r.zone());
      });
}

Ticket Client::ListZones(const std::string& page_token, const CallOptions& o, Callback<ZonePage> done) {
  v1::ZonesListRequest request;
  request.set_page_token(page_token);
  return impl_->RunUnary<v1::ZonesListResponse>(
      impl_->NewJob("coffer.v1.Zones/List", request.SerializeAsString(), Effect::kRead, o), std::move(done),
      [](v1::ZonesListResponse r) {
        ZonePage page;
        for (const v1::Zone& z : r.zones()) page.zones.push_back(ToZone(z));
        page.next_page_token = r.next_page_token();
        return page;
      });
}

Ticket Client::DeleteZone(const std::string& name, const CallOptions& o, Callback<Done> done) {
  auto deleter = std::make_shared<ZoneDeleter>(impl_, name, o, std::move(done));
  deleter->Find();
  return Ticket([weak = std::weak_ptr<ZoneDeleter>(deleter)] {
    if (auto d = weak.lock()) d->Cancel();
  });
}

}  // namespace coffer::client
