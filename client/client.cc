#include "client/client.h"

#include <stdexcept>

#include "client/client_impl.h"
#include "client/request_frame.h"
#include "client/response_bytes.h"
#include "client/rpc_status.h"
#include "coffer/v1/chunks.pb.h"
#include "google/rpc/status.pb.h"
#include "proto/mutex.h"

namespace coffer::client {
namespace {

// Requests and answers from this size on take the second stream.
constexpr std::size_t kBulkBytes = 64u << 10;

EngineOptions ForEngine(const ClientOptions& o) {
  if (o.routers.empty()) throw std::runtime_error("no router is named: give host:port of at least one");
  for (const std::string& r : o.routers) {
    const std::size_t colon = r.rfind(':');
    const std::string port = colon == std::string::npos ? "" : r.substr(colon + 1);
    if (colon == 0 || port.empty() || port.find_first_not_of("0123456789") != std::string::npos || port.size() > 5 ||
        std::stoi(port) > 65535 || std::stoi(port) == 0) {
      throw std::runtime_error("\"" + r +
                               "\" is not the address of a router: host:port is needed, such as 127.0.0.1:7700");
    }
  }
  if (o.tls_certificate.empty() != o.tls_key.empty()) {
    throw std::runtime_error("a TLS certificate and its key belong together: give both or none");
  }
  if (!o.tls_certificate.empty() && o.tls_ca.empty()) {
    throw std::runtime_error(
        "a TLS certificate is given and no authority: name the file of the authority that signs the routers' "
        "certificates");
  }
  EngineOptions e;
  e.transport.routers = o.routers;
  e.transport.tls_certificate = o.tls_certificate;
  e.transport.tls_key = o.tls_key;
  e.transport.tls_ca = o.tls_ca;
  e.retry = o.retry;
  e.max_in_flight_bytes = o.max_in_flight_bytes;
  e.connect_patience = o.connect_patience;
  return e;
}

// One outcome of a batch. A retryable code is a definite failure of this item only if it is a read.
Status ItemStatus(const google::rpc::Status& rpc, Effect effect) {
  Status s = FromRpc(rpc);
  if (s.ok()) return s;
  ReplyFacts facts;
  facts.code = s.code;
  if (s.retry_after) facts.retry_after = *s.retry_after;
  facts.refused = RefusedBeforeWriting(rpc);
  const AttemptFailure f = Judge(effect, facts);
  s.retry_class = f.certainty == Certainty::kMayHaveHappened ? RetryClass::kOutcomeUnknown
                  : f.retryable                              ? RetryClass::kRetryLater
                                                             : RetryClass::kFailed;
  return s;
}

}  // namespace

Client::Impl::Impl(ClientOptions o) : options(std::move(o)), engine(std::make_unique<Engine>(ForEngine(options))) {}

Ticket Client::Impl::Run(Job job) {
  const Engine::JobId id = engine->Start(std::move(job));
  return Ticket([weak = weak_from_this(), id] {
    if (auto self = weak.lock()) self->engine->Cancel(id);
  });
}

Job Client::Impl::NewJob(std::string_view method, std::string request, Effect effect, const CallOptions& o) const {
  Job job;
  job.method = method;
  job.bulk = o.bulk || request.size() >= kBulkBytes;
  job.request = std::move(request);
  job.effect = effect;
  job.timeout = Timeout(o);
  return job;
}

std::unique_ptr<Client> Client::Connect(ClientOptions options) {
  return std::unique_ptr<Client>(new Client(std::make_shared<Impl>(std::move(options))));
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Client::~Client() {
  impl_->closing = true;
  std::set<std::shared_ptr<Follower>> followers;
  {
    MutexLock guard(impl_->followers_lock);
    followers = impl_->followers;
  }
  for (const auto& f : followers) f->Cancel();
  // Closed here, on the caller's thread: a callback may hold the last reference to impl_, and can't join its own
  // thread.
  impl_->engine->Close();
}

std::uint64_t Client::in_flight_bytes() const {
  return impl_->engine->in_flight_bytes();
}
const ClientOptions& Client::options() const {
  return impl_->options;
}

Ticket Client::Put(const BlockId& id, std::string data, const CallOptions& o, Callback<PutResult> done) {
  v1::PutRequest request;
  request.set_id(id.str());
  Job job = impl_->NewWrite("coffer.v1.Chunks/Put", &request, o);
  job.bulk = job.bulk || data.size() >= kBulkBytes;
  job.value = std::make_shared<const std::string>(std::move(data));
  job.settles = [](const Status& s) { return s.code == Code::kAlreadyExists; };
  return impl_->RunUnary<v1::PutResponse>(std::move(job), std::move(done),
                                          [](v1::PutResponse r) { return PutResult{r.already_existed()}; });
}

Ticket Client::PutMany(std::vector<ChunkToPut> chunks, const CallOptions& o,
                       Callback<std::vector<Result<PutResult>>> done) {
  v1::PutManyRequest request;
  const auto count = static_cast<int>(chunks.size());
  for (ChunkToPut& chunk : chunks) {
    v1::ChunkToPut& c = *request.add_chunks();
    c.set_id(chunk.id.str());
    c.set_data(std::move(chunk.data));
  }
  Job job = impl_->NewWrite("coffer.v1.Chunks/PutMany", &request, o);
  return impl_->RunUnary<v1::PutManyResponse>(std::move(job), std::move(done),
                                              [count](v1::PutManyResponse r) -> Result<std::vector<Result<PutResult>>> {
                                                if (r.outcomes_size() != count) {
                                                  return Status{Code::kInternal,
                                                                RetryClass::kOutcomeUnknown,
                                                                "the router answered for another number of chunks",
                                                                "BAD_ANSWER",
                                                                {},
                                                                {}};
                                                }
                                                std::vector<Result<PutResult>> out;
                                                for (const v1::PutOutcome& outcome : r.outcomes()) {
                                                  out.emplace_back(PutResult{outcome.already_existed()});
                                                  out.back().status = ItemStatus(outcome.status(), Effect::kRepeatSafe);
                                                }
                                                return out;
                                              });
}

Ticket Client::Get(const BlockId& id, const CallOptions& o, Callback<GetResult> done, std::uint64_t offset,
                   std::uint64_t length) {
  Job job = impl_->NewJob("coffer.v1.Chunks/Get", EncodeGetRequest(impl_->Zone(o), id, offset, length), Effect::kRead, o);
  job.on_end = [done = std::move(done)](Status status, Responses responses) {
    if (!status.ok()) return done(std::move(status));
    GetResult result;
    if (responses.size() != 1 || !ParseGetResponse(std::move(responses.front()), &result)) {
      return done(Status::Failed(Code::kInternal, "the router's answer to Chunks/Get can't be parsed", "BAD_ANSWER"));
    }
    done(std::move(result));
  };
  return impl_->Run(std::move(job));
}

Ticket Client::GetMany(const std::vector<BlockId>& ids, const CallOptions& o,
                       Callback<std::vector<Result<std::string>>> done) {
  v1::GetManyRequest request;
  request.set_zone(impl_->Zone(o));
  for (const BlockId& id : ids) request.add_ids(id.str());
  Job job = impl_->NewJob("coffer.v1.Chunks/GetMany", request.SerializeAsString(), Effect::kRead, o);
  job.on_end = [done = std::move(done), count = ids.size()](Status status, Responses responses) {
    if (!status.ok()) return done(std::move(status));
    std::vector<Result<std::string>> out(
        count, Status::Failed(Code::kInternal, "the router did not answer for this chunk", "BAD_ANSWER"));
    for (std::string& raw : responses) {
      v1::GetManyResponse r;
      if (!r.ParseFromString(raw) || r.index() >= count) continue;
      Result<std::string>& item = out[r.index()];
      item.status = ItemStatus(r.status(), Effect::kRead);
      item.value = std::move(*r.mutable_data());
    }
    done(std::move(out));
  };
  return impl_->Run(std::move(job));
}

Ticket Client::Has(const std::vector<BlockId>& ids, const CallOptions& o, Callback<std::vector<bool>> done) {
  v1::HasRequest request;
  request.set_zone(impl_->Zone(o));
  for (const BlockId& id : ids) request.add_ids(id.str());
  return impl_->RunUnary<v1::HasResponse>(
      impl_->NewJob("coffer.v1.Chunks/Has", request.SerializeAsString(), Effect::kRead, o), std::move(done),
      [count = ids.size()](v1::HasResponse r) -> Result<std::vector<bool>> {
        if (static_cast<std::size_t>(r.present_size()) != count) {
          return Status::Failed(Code::kInternal, "the router answered for another number of chunks", "BAD_ANSWER");
        }
        return std::vector<bool>(r.present().begin(), r.present().end());
      });
}

Ticket Client::Delete(const BlockId& id, const CallOptions& o, Callback<Done> done) {
  v1::DeleteRequest request;
  request.set_id(id.str());
  return impl_->RunUnary<v1::DeleteResponse>(impl_->NewWrite("coffer.v1.Chunks/Delete", &request, o), std::move(done),
                                             [](v1::DeleteResponse) { return Done{}; });
}

Ticket Client::Call(const std::string& method, std::string request, Effect effect, const CallOptions& o,
                    Callback<std::string> done) {
  const auto kept = std::make_shared<const std::string>(method);
  Job job = impl_->NewJob(*kept, std::move(request), effect, o);
  job.on_end = [done = std::move(done), kept](Status status, Responses responses) {
    if (!status.ok()) return done(std::move(status));
    if (responses.size() != 1) {
      return done(Status::Failed(Code::kInternal, "the router gave no single answer to " + *kept, "BAD_ANSWER"));
    }
    done(std::move(responses.front()));
  };
  return impl_->Run(std::move(job));
}

Ticket Client::Follow(const std::string& method, std::function<std::string()> next_request,
                      std::chrono::milliseconds silence, std::function<void(std::string)> on_message,
                      Callback<Done> done) {
  auto follower = std::make_shared<Follower>(impl_, method, std::move(next_request), silence, std::move(on_message),
                                             std::move(done));
  {
    MutexLock guard(impl_->followers_lock);
    impl_->followers.insert(follower);
  }
  follower->Start();
  return Ticket([weak = std::weak_ptr<Follower>(follower)] {
    if (auto f = weak.lock()) f->Cancel();
  });
}

}  // namespace coffer::client
