// Zones. A zone's id is what makes creating and deleting it repeat-safe: it is the same in every attempt.
#include <algorithm>
#include <random>

#include "client/client_impl.h"
#include "coffer/v1/zones.pb.h"
#include "proto/mutex.h"

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
class ZoneDeleter : public std::enable_shared_from_this<ZoneDeleter> {
 public:
  ZoneDeleter(std::shared_ptr<Client::Impl> client, std::string name, CallOptions options, Callback<Done> done)
      : client_(client),
        name_(std::move(name)),
        options_(std::move(options)),
        deadline_(SteadyNow() + client->Timeout(options_)),
        done_(std::move(done)) {}

  void Find() {
    const auto client = client_.lock();
    if (!client) return Closed();
    v1::ZonesListRequest request;
    request.set_name(name_);
    Keep(client->RunUnary<v1::ZonesListResponse>(
        client->NewJob("Zones/List", request.SerializeAsString(), Effect::kRead, options_),
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

  void Cancel() {
    MutexLock guard(lock_);
    cancelled_ = true;
    const Ticket running = running_;
    guard.Unlock();
    running.Cancel();
  }

 private:
  void Delete(const std::string& id) {
    const auto client = client_.lock();
    if (!client) return Closed();
    v1::ZonesDeleteRequest request;
    request.set_name(name_);
    request.set_id(id);
    Job job = client->NewJob("Zones/Delete", request.SerializeAsString(), Effect::kRepeatSafe, options_);
    job.timeout = std::max<Duration>(deadline_ - SteadyNow(), std::chrono::milliseconds(1));
    Keep(client->RunUnary<v1::ZonesDeleteResponse>(std::move(job), done_, [](v1::ZonesDeleteResponse) { return Done{}; }));
  }
  void Closed() { done_(Status::Failed(Code::kCancelled, "the client is being closed", "CANCELLED")); }
  void Keep(Ticket ticket) {
    MutexLock guard(lock_);
    running_ = ticket;
    const bool cancel = cancelled_;
    guard.Unlock();
    if (cancel) ticket.Cancel();
  }

  const std::weak_ptr<Client::Impl> client_;
  const std::string name_;
  const CallOptions options_;
  const Instant deadline_;
  const Callback<Done> done_;
  Mutex lock_;
  Ticket running_ ABSL_GUARDED_BY(lock_);
  bool cancelled_ ABSL_GUARDED_BY(lock_) = false;
};

}  // namespace

Ticket Client::CreateZone(const std::string& name, const CallOptions& o, Callback<ZoneInfo> done) {
  v1::ZonesCreateRequest request;
  request.set_name(name);
  request.set_id(DrawZoneId());
  return impl_->RunUnary<v1::ZonesCreateResponse>(
      impl_->NewJob("Zones/Create", request.SerializeAsString(), Effect::kRepeatSafe, o), std::move(done),
      [](v1::ZonesCreateResponse r) { return ToZone(r.zone()); });
}

Ticket Client::ListZones(const std::string& page_token, const CallOptions& o, Callback<ZonePage> done) {
  v1::ZonesListRequest request;
  request.set_page_token(page_token);
  return impl_->RunUnary<v1::ZonesListResponse>(
      impl_->NewJob("Zones/List", request.SerializeAsString(), Effect::kRead, o), std::move(done),
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
